"""One alert through time: an episode for each firing, repeats that touch the row only, order by the source's clock."""

from __future__ import annotations

import msgspec

from tocsin.alerts.shape import Alert
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import AlertRow

RANK = {"critical": 3, "error": 2, "warning": 1, "info": 0, "": 0}


class Advanced(msgspec.Struct):
    """The row afterwards (None where nothing is kept), what happened and why.

    ``event``: opened, repeated, worsened, cleared, refired, late_resolve, stale, acknowledged.
    """

    row: AlertRow | None
    event: str
    reason: str


def advance(row: AlertRow | None, alert: Alert, now: Instant, *, integration: str) -> Advanced:
    """What ``alert`` does to its row. The row is changed in place; a missing one is made."""
    if row is not None and alert.source_at and row.source_at and alert.source_at < row.source_at:
        return Advanced(None, "stale", "older than what is known of this alert, by the source's own time")
    if alert.action == "resolve":
        if row is None:
            return Advanced(
                _new(alert, now, integration, status="resolved"),
                "late_resolve",
                "nothing was open for this key; kept, nobody is paged",
            )
        row.last_at, row.source_at = now, alert.source_at or row.source_at
        if row.status != "firing":
            return Advanced(row, "late_resolve", f"it was {row.status} already")
        row.status, row.cleared_at, row.ends_at = "resolved", now, 0
        return Advanced(row, "cleared", "the source resolved it")
    if row is None:
        return Advanced(_new(alert, now, integration), "opened", "first time this key fires")
    if alert.action == "acknowledge":
        if row.status != "firing":
            return Advanced(row, "late_resolve", f"it is {row.status}; nothing to acknowledge")
        row.last_at, row.source_at = now, alert.source_at or row.source_at
        return Advanced(row, "acknowledged", "the sender acknowledged it")
    if row.status != "firing":
        _begin(row, alert, now)
        return Advanced(row, "refired", f"fires again, episode {row.episode}")
    row.repeats += 1
    row.last_at, row.source_at = now, alert.source_at or row.source_at
    row.ends_at = alert.ends_at
    if RANK.get(alert.severity, 0) > RANK.get(row.severity, 0):
        row.severity = alert.severity
        return Advanced(row, "worsened", f"the sender now says {alert.severity}")
    return Advanced(row, "repeated", f"sent again, {row.repeats} repeats of one alert")


def _new(alert: Alert, now: Instant, integration: str, status: str = "firing") -> AlertRow:
    row = AlertRow(
        integration=integration, dedup_key=alert.dedup_key, episode=0, status=status, state="logged", severity="", summary="",
        service="", incident="", group_key="", reason="", started_at=0, received_at=now, last_at=now, source_at=0, ends_at=0,
        cleared_at=0, repeats=0, body=b"{}",
    )  # fmt: skip
    _begin(row, alert, now)
    row.status = status
    if status != "firing":
        row.cleared_at = now
    return row


def _begin(row: AlertRow, alert: Alert, now: Instant) -> None:
    row.episode += 1
    row.status, row.repeats, row.cleared_at = "firing", 0, 0
    row.severity, row.summary = alert.severity, alert.summary
    row.started_at, row.received_at, row.last_at = alert.started_at or now, now, now
    row.source_at, row.ends_at = alert.source_at, alert.ends_at
    row.body = encode(
        {"labels": alert.labels, "links": alert.links, "details": alert.details, "source": alert.source}
    )
