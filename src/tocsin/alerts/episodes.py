"""One alert through time: an episode for each firing, repeats that touch the row only, order by the source's clock.

Senders repeat themselves, retry, and deliver out of order. Whatever comes, an alert is one row, and each firing of it
one episode. Two rules decide between events: the source's own time of an event where it has one, else arrival; and in
doubt the alert counts as firing, because a page too many is cheaper than one too few.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.alerts.shape import Alert, AlertBody, body_of
from tocsin.kernel.clock import MINUTE, Instant, humanize, to_iso
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import AlertRow

RANK = {"critical": 3, "error": 2, "warning": 1, "info": 0, "": 0}

_MARKED = b'"acknowledged":'
"""in a body whose episode its sender may have acknowledged; a label of that name merely costs a look"""

KEPT_FIRINGS = 10
"""beginnings of earlier episodes that a row remembers"""

CLOCK_SKEW = 5 * MINUTE
"""A source's time further in the future than this is not believed: one wrong clock must not make all that follows stale."""


class Advanced(msgspec.Struct):
    """The row afterwards (None where nothing is to be written), what happened and why.

    ``event``: ``opened``, ``repeated``, ``worsened`` (the sender's severity rose), ``cleared``, ``refired`` (a new episode
    after an end), ``late_resolve`` (nothing was open: kept, pages nobody), ``late_acknowledge`` (the same for an
    acknowledgement), ``stale`` (older than what is known, ignored), ``acknowledged`` (once in an episode, then
    ``acknowledged_again``), ``expired``, ``kept`` (not yet).
    """

    row: AlertRow | None
    event: str
    reason: str
    same: bool = False
    """a repeat that says nothing new: times and the count of repeats alone have changed"""
    before: Alert | None = None
    """what it said before, where a repeat has other words or labels now: its severity is to be proposed again"""


def advance(row: AlertRow | None, alert: Alert, now: Instant, *, integration: str) -> Advanced:
    """What ``alert`` does to its row. The row is changed in place; a missing one is made."""
    at = alert.source_at if alert.source_at <= now + CLOCK_SKEW else 0
    if row is not None and _is_stale(row, alert, at):
        return Advanced(None, "stale", "older than what is known of this alert, by the source's own time")
    if alert.action == "resolve":
        return _resolve(row, alert, now, at, integration)
    if alert.action == "acknowledge":
        return _acknowledge(row, now, at)
    if row is None:
        row = _new(alert, now, integration)
        _begin(row, alert, now, at)
        return Advanced(row, "opened", "first time this key fires")
    if row.status != "firing":
        _begin(row, alert, now, at)
        if row.episode == 1:
            return Advanced(
                row, "opened", "first time this key fires; an earlier resolve had nothing to resolve"
            )
        return Advanced(row, "refired", f"fires again, episode {row.episode}")
    return _repeat(row, alert, now, at)


def _is_stale(row: AlertRow, alert: Alert, at: Instant) -> bool:
    if not at:
        return False
    if row.source_at and at < row.source_at:
        # what fires is hidden by an end alone that came after it, not by what was heard of its firing before: two senders may
        # share a key, and a delayed one may be the worse
        return alert.action != "trigger" or row.status != "firing"
    # a resolve that names when the firing it ends began, and was over before the present firing began
    return alert.action == "resolve" and 0 < alert.started_at < row.started_at and at < row.started_at


def _resolve(row: AlertRow | None, alert: Alert, now: Instant, at: Instant, integration: str) -> Advanced:
    if row is None:
        row = _new(alert, now, integration)
        row.source_at = at
        return Advanced(row, "late_resolve", "nothing was open for this key; kept, nobody is paged")
    row.last_at, row.source_at = (
        now,
        at,
    )  # an end without a time of its own counts by its arrival, and so does what follows
    if row.status != "firing":
        was = f"{row.status} already" if row.episode else "never firing"
        return Advanced(row, "late_resolve", f"it was {was}; kept, nobody is paged")
    row.status, row.cleared_at, row.ends_at = "resolved", now, 0
    return Advanced(row, "cleared", "the source resolved it")


def _acknowledge(row: AlertRow | None, now: Instant, at: Instant) -> Advanced:
    if row is None:
        return Advanced(
            None, "late_acknowledge", "nothing is open for this key; there is nothing to acknowledge"
        )
    if row.status != "firing":
        return Advanced(None, "late_acknowledge", f"it is {row.status}; there is nothing to acknowledge")
    row.last_at, row.source_at = now, at or row.source_at
    body = decode(row.body, AlertBody)
    if body.acknowledged:
        return Advanced(
            row, "acknowledged_again", "the sender acknowledged it before; that counts once", True
        )
    body.acknowledged = now
    row.body = encode(body)
    return Advanced(row, "acknowledged", "the sender acknowledged it")


def _repeat(row: AlertRow, alert: Alert, now: Instant, at: Instant) -> Advanced:
    row.repeats += 1
    row.last_at, row.source_at, row.ends_at = now, max(at, row.source_at), alert.ends_at
    said, kept = row.summary, AlertBody()
    if row.episode > 1 or _MARKED in row.body:
        kept = decode(row.body, AlertBody)
    body = body_of(alert, kept.fired, kept.acknowledged)
    same = body == row.body and alert.summary in ("", said)
    before = None if same else _before(row, alert)
    row.summary, row.body = alert.summary or said, body
    if RANK.get(alert.severity, 0) > RANK.get(row.severity, 0):
        word, row.severity = row.severity or "nothing", alert.severity
        return Advanced(row, "worsened", f"the sender now says {alert.severity}, before it said {word}")
    return Advanced(row, "repeated", f"sent again, {row.repeats} repeats of one alert", same, before)


def _before(row: AlertRow, alert: Alert) -> Alert | None:
    """The alert as it was, where what rules look at has changed; new details alone change nothing."""
    labels = decode(row.body, AlertBody).labels
    if labels == alert.labels and alert.summary in ("", row.summary):
        return None
    return Alert("trigger", row.dedup_key, row.summary, row.severity, service=row.service, labels=labels)


def _new(alert: Alert, now: Instant, integration: str) -> AlertRow:
    """A row that has never fired: episode 0."""
    return AlertRow(
        integration=integration, dedup_key=alert.dedup_key, episode=0, status="resolved", state="logged",
        severity=alert.severity, summary=alert.summary, service="", incident="", group_key="", reason="",
        started_at=alert.started_at or now, received_at=now, last_at=now, source_at=0, ends_at=0, cleared_at=now,
        repeats=0, body=body_of(alert),
    )  # fmt: skip


def _begin(row: AlertRow, alert: Alert, now: Instant, at: Instant) -> None:
    fired = [*decode(row.body, AlertBody).fired, row.received_at][-KEPT_FIRINGS:] if row.episode else []
    row.episode += 1
    row.status, row.repeats, row.cleared_at = "firing", 0, 0
    row.severity, row.summary = alert.severity, alert.summary
    row.started_at, row.received_at, row.last_at = alert.started_at or now, now, now
    row.source_at, row.ends_at = at, alert.ends_at
    row.body = body_of(alert, fired)


def expires_at(row: AlertRow, deaf: Sequence[tuple[Instant, Instant]] = ()) -> Instant:
    """When ``row`` expires: its ``ends_at``, later by the time since the last receipt in which nothing could be received.

    ``deaf``: periods (start, end) that :func:`forgive` has not been told; they may overlap. 0 where it never expires.
    """
    if not row.ends_at:
        return 0
    due, heard_until = row.ends_at, row.last_at
    for start, end in sorted(deaf):
        start = max(start, heard_until)
        if start >= due:
            break
        if end > start:
            due += end - start
            heard_until = end
    return due


def forgive(row: AlertRow, start: Instant, end: Instant) -> bool:
    """Moves the row's end by a period in which nothing could be received; to be told once, when the period is over.

    Answers whether the row changed. The same as handing the period to :func:`expire` each time, for whoever would rather
    write it down once.
    """
    due = expires_at(row, [(start, end)]) if row.status == "firing" else row.ends_at
    changed = due != row.ends_at
    row.ends_at = due
    return changed


def expire(row: AlertRow, now: Instant, deaf: Sequence[tuple[Instant, Instant]] = ()) -> Advanced:
    """``expired`` where the alert was not sent again by its end, else ``kept``. Expired is not resolved."""
    due = expires_at(row, deaf)
    if row.status != "firing" or not due:
        return Advanced(None, "kept", "it is not waiting to be sent again")
    if now < due:
        late = (
            f", {humanize(due - row.ends_at)} later for the time nothing could be received"
            if due > row.ends_at
            else ""
        )
        return Advanced(None, "kept", f"it expires at {to_iso(due)}{late}")
    row.status, row.cleared_at, row.ends_at = "expired", now, 0
    row.reason = f"it was not sent again by {to_iso(due)}"
    return Advanced(row, "expired", row.reason)
