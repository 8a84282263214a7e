"""Heartbeats: a job calls an address when it has run; silence past its interval is an alert.

The body of a call is not looked at; every call counts. The same arithmetic watches senders of alerts that are never
quiet for long, such as Prometheus: one of those that falls silent is an alert of its own.
"""

from __future__ import annotations

import msgspec

from tocsin.alerts.shape import Alert
from tocsin.kernel.clock import MINUTE, SECOND, Instant, humanize, to_iso
from tocsin.kernel.errors import Unusable

SHORTEST = 30 * SECOND
LONGEST = 400 * 24 * 60 * MINUTE
VIA = "heartbeat"


class Overdue(msgspec.Struct, frozen=True):
    """``overdue``: whether the beat is late now. ``due_at``: when it counts as late (0: never); ``reason`` for people."""

    overdue: bool
    due_at: Instant
    reason: str


def check_interval(interval: int, grace: int) -> None:
    """Raises :class:`Unusable` unless the interval is 30 s to 400 days and the grace not negative (microseconds)."""
    if not SHORTEST <= interval <= LONGEST:
        raise Unusable(
            f"an interval of {humanize(interval)} is not possible; give one from 30 s to 400 days", "interval"
        )
    if not 0 <= grace <= LONGEST:
        raise Unusable(f"a grace of {humanize(grace)} is not possible; give 0 or more", "grace")


def overdue(last_at: Instant, interval: int, grace: int, now: Instant, *, deaf: int = 0) -> Overdue:
    """Whether a heartbeat is overdue. All durations in microseconds.

    ``last_at``: the last beat, 0 where none came yet (then it is never overdue: a job that never ran has nobody waiting).
    ``deaf``: time since the last beat in which nothing could be received; it does not count.
    """
    if not last_at:
        return Overdue(False, 0, "no beat has come yet; the clock starts with the first")
    due_at = last_at + interval + grace + deaf
    if now < due_at:
        return Overdue(
            False, due_at, f"the last beat came at {to_iso(last_at)}; the next is late at {to_iso(due_at)}"
        )
    return Overdue(
        True,
        due_at,
        f"no beat for {humanize(now - last_at)}, one is expected every {humanize(interval)}",
    )


def alert_of(integration: str, name: str, beat: Overdue, last_at: Instant, *, service: str = "") -> Alert:
    """The alert of an overdue heartbeat, or its end. ``integration`` is the integration's id, ``name`` its name."""
    return Alert(
        "trigger" if beat.overdue else "resolve",
        f"heartbeat/{integration}",
        summary=f"{name}: {beat.reason}"[:1024] if beat.overdue else f"{name} beats again",
        severity="error",
        source=name[:256],
        service=service,
        labels={"alertname": "HeartbeatMissed", "heartbeat": name[:256]},
        details={"last beat": to_iso(last_at)} if last_at else {},
        started_at=last_at if beat.overdue else 0,
        via=VIA,
    )


def silence_of(integration: str, name: str, beat: Overdue, last_at: Instant, *, service: str = "") -> Alert:
    """The alert of a whole sender that fell silent, or its end; arguments as those of :func:`alert_of`."""
    said = beat.reason.replace("no beat for", "it has sent nothing for").replace(
        "one is expected every", "something is expected every"
    )
    return Alert(
        "trigger" if beat.overdue else "resolve",
        f"silence/{integration}",
        summary=f"{name} fell silent: {said}"[:1024] if beat.overdue else f"{name} sends again",
        severity="error",
        source=name[:256],
        service=service,
        labels={"alertname": "SenderSilent", "integration": name[:256]},
        details={"last heard of": to_iso(last_at)} if last_at else {},
        started_at=last_at if beat.overdue else 0,
        via=VIA,
    )
