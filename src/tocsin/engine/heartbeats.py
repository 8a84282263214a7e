"""Silence that is an alert: heartbeats, and senders of alerts that are never quiet for long.

The last beat of an integration is one small row (``beat/ID``); its timer row (kind ``heartbeat``) says when silence
becomes an alert. The alert goes the ordinary way of alerts, and the next beat clears it. Time in which the server could
not receive does not count.
"""

from __future__ import annotations

import msgspec

from tocsin.alerts.shape import Alert
from tocsin.engine.placing import Integration, Rules
from tocsin.engine.receiving import receive
from tocsin.engine.work import Work
from tocsin.intake import heartbeat
from tocsin.kernel.clock import MINUTE, SECOND, Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import Reader, Transaction

TIMER = "heartbeat"
KIND = "heartbeat"
"""the source whose integrations beat; those of other sources may fall silent"""
DEAF = "deaf"
"""the named value in which the watch writes the periods when nothing could be received"""
LATE = 15 * SECOND
PATIENCE = 5 * MINUTE
"""a timer looked at later than ``LATE`` waits as long again, at most this: whoever was away could not hear either"""
COARSE = 20
"""a busy sender's last moment is written at most this many times in its interval"""


class Beat(msgspec.Struct):
    """When something last came, and whether its silence has been made an alert."""

    last_at: Instant = 0
    missed: bool = False


class Gap(msgspec.Struct):
    """What is read of the watch's row: the periods in which nothing could be received."""

    times: list[tuple[Instant, Instant]] = []


def last_beat(reader: Reader, integration: str) -> Beat:
    """The last beat of an integration; ``last_at`` is 0 where none came yet."""
    value = reader.meta(_name(integration))
    return decode(bytes(value), Beat) if value else Beat()


def state(reader: Reader, integration: Integration, now: Instant) -> heartbeat.Overdue:
    """Whether the integration is overdue at ``now``, when the next beat is late, and a sentence for people."""
    beat = last_beat(reader, integration.id)
    return _overdue(integration, beat.last_at, now, deaf_since(reader, beat.last_at, now))


def beat(work: Work, integration: Integration, rules: Rules) -> heartbeat.Overdue:
    """Takes a beat: the alert of a missed one ends, and the clock starts again."""
    before = last_beat(work.tx, integration.id)
    if before.missed:
        back = heartbeat.Overdue(False, 0, "a beat came")
        receive(work, integration, [_alert(integration, back, work.now)], rules)
    work.tx.put_meta(_name(integration.id), encode(Beat(work.now)))
    return rearm(work.tx, integration, work.now)


def heard(work: Work, integration: Integration, rules: Rules) -> None:
    """A sender of alerts has sent something. Written down coarsely: a busy sender does not pay for each request."""
    before = last_beat(work.tx, integration.id)
    if before.missed or work.now - before.last_at >= _coarseness(integration):
        beat(work, integration, rules)


def rearm(tx: Transaction, integration: Integration, now: Instant) -> heartbeat.Overdue:
    """Writes the timer row of an integration anew, after a beat or a change of its interval."""
    last = last_beat(tx, integration.id)
    found = _overdue(integration, last.last_at, now, deaf_since(tx, last.last_at, now))
    waits = bool(integration.interval and found.due_at and not last.missed)
    tx.set_timer(TIMER, integration.id, found.due_at if waits else None)
    return found


def rehearsed(integration: Integration, now: Instant) -> Alert:
    """The alert that the silence of a heartbeat would be, to test what comes of it."""
    found = heartbeat.Overdue(True, now, "no beat (a test: nothing is missing)")
    return _alert(integration, found, now)


def forget(tx: Transaction, integration: str) -> None:
    """Drops what is kept of the beats of an integration that goes away."""
    tx.set_timer(TIMER, integration, None)
    tx.put_meta(_name(integration), None)


def look(work: Work, id: str, rules: Rules) -> None:
    """A timer fell due: silence past the interval becomes an alert, or the timer is set to when it will."""
    row = work.tx.record("integration", id)
    if row is None:
        forget(work.tx, id)
        return
    integration = decode(row.body, Integration)
    last, timer = last_beat(work.tx, id), work.tx.timer(TIMER, id)
    found = rearm(work.tx, integration, work.now)
    if not integration.interval or not found.overdue or last.missed:
        return
    late = work.now - timer.due_at if timer is not None else 0
    if late > LATE:
        work.tx.set_timer(TIMER, id, work.now + min(late, PATIENCE))
        return
    receive(work, integration, [_alert(integration, found, last.last_at)], rules)
    work.tx.put_meta(_name(id), encode(Beat(last.last_at, True)))
    work.tx.set_timer(TIMER, id, None)


def deaf_since(reader: Reader, since: Instant, until: Instant) -> int:
    """Microseconds between two instants in which nothing could be received, as far as it was written down."""
    value = reader.meta(DEAF)
    if not value or not since:
        return 0
    times = decode(bytes(value), Gap).times
    return sum(max(0, min(end, until) - max(start, since)) for start, end in times)


def _name(integration: str) -> str:
    return f"beat/{integration}"


def _coarseness(integration: Integration) -> int:
    return 0 if integration.source == KIND else min(integration.interval // COARSE, 60 * SECOND)


def _overdue(integration: Integration, last_at: Instant, now: Instant, deaf: int) -> heartbeat.Overdue:
    if not integration.interval:
        return heartbeat.Overdue(False, 0, "it has no interval, so silence is no alert")
    # what was written down coarsely may be that much older than what really came last
    grace = integration.grace + _coarseness(integration)
    return heartbeat.overdue(last_at, integration.interval, grace, now, deaf=deaf)


def _alert(integration: Integration, found: heartbeat.Overdue, last_at: Instant) -> Alert:
    made = heartbeat.alert_of if integration.source == KIND else heartbeat.silence_of
    return made(integration.id, integration.name, found, last_at, service=integration.service)
