"""When somebody is reminded of a duty, nudged after it was missed, and when it goes to somebody else: pure.

The figures are the policy's ``chasing``. Where the severity keeps business hours, each moment moves to the next opening.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from tocsin.incidents import facts as f
from tocsin.incidents.duties import Duty
from tocsin.kernel.clock import Instant, earliest
from tocsin.policy.calendar import BusinessCalendar, Duration
from tocsin.policy.model import Chase

UNCHASED = ("acknowledge",)
"""Duties that the escalation itself chases."""
RINGING = ("acknowledge", "respond")
"""Duties for which a phone may ring; all others nudge on quiet channels."""


class Reminder(msgspec.Struct, frozen=True):
    """Before it is due. ``key`` stands in the incident once it was sent."""

    key: str
    at: Instant


class Chased(msgspec.Struct, frozen=True):
    """After it was missed: the ``number``-th nudge."""

    number: int
    at: Instant


def is_interval(duty: Duty) -> bool:
    """Whether it is a later interval of one long silence: recorded when missed, while the first is what people are told of."""
    return "#" in duty.id


def is_chased(duty: Duty, digest: bool = False) -> bool:
    """Whether people are reminded of it and nudged: what the escalation chases, Tocsin owes or repeats a silence is not.

    ``digest``: the severity has no chain that calls for an acknowledgement, so its miss is named in the digest too.
    """
    return (digest or duty.rule not in UNCHASED) and not is_interval(duty) and not duty.by_system


def reminders(duty: Duty, terms: Chase, calendar: BusinessCalendar, *, business: bool) -> list[Reminder]:
    """The reminders before ``duty``, the earliest first; none of them at or after it is due, none before its chasing starts."""
    moments = [
        Reminder(key, _in_hours(at, calendar, business) if business else at)
        for key, at in _wanted(duty, terms)
    ]
    return sorted((one for one in moments if one.at < duty.due), key=lambda one: one.at)


def _wanted(duty: Duty, terms: Chase) -> list[tuple[str, Instant]]:
    """(key, when) of each reminder, its hours not yet looked at."""
    start, due, chase_from = duty.start, duty.due, duty.chase_from
    length = max(0, due - start)
    wanted = [
        (f"{duty.id}@{percent}%", start + length * percent // 100) for percent in terms.remind_at_percent
    ]
    for before in terms.remind_before:
        if before.is_elapsed:
            wanted.append((f"{duty.id}-{before.text}", due - before.micros))
    return [(key, max(at, chase_from)) for key, at in wanted if at > start or chase_from > start]


def next_chased(
    duty: Duty, terms: Chase, calendar: BusinessCalendar, done: int, *, business: bool
) -> Chased | None:
    """The nudge that follows ``done`` earlier ones, or None where the policy has none."""
    if terms.chase_every is None:
        return None
    at = calendar.add(duty.due, times(terms.chase_every, done + 1))
    return Chased(done + 1, _in_hours(at, calendar, business))


def escalates_at(
    duty: Duty, terms: Chase, calendar: BusinessCalendar, *, business: bool, digest: bool
) -> Instant | None:
    """When a missed duty goes to somebody else: once. ``digest``: at the opening of the next business day instead."""
    if digest:
        return digest_at(duty.due, calendar)
    if terms.escalate_after is None:
        return None
    return _in_hours(calendar.add(duty.due, terms.escalate_after), calendar, business)


def digest_at(due: Instant, calendar: BusinessCalendar) -> Instant:
    """When the digest leaves that names what fell due at ``due``: the next business day opens."""
    return calendar.next_day(due)


def _in_hours(at: Instant, calendar: BusinessCalendar, business: bool) -> Instant:
    return calendar.next_opening(at) if business and not calendar.is_open(at) else at


def times(duration: Duration, factor: int) -> Duration:
    """``factor`` times as long."""
    return Duration(duration.kind, duration.amount * factor)


class Said(Protocol):
    """What the state of a stream remembers of its duties: misses, reminders, nudges, and what went to somebody else."""

    missed: dict[str, Instant]
    reminded: list[str]
    chased: dict[str, int]
    escalated: list[str]


def remember(state: Said, body: f.Body | None, at: Instant) -> None:
    """Applies what was said of a duty to the state of any kind of stream: reminded, missed, nudged, gone to somebody else."""
    match body:
        case f.DutyReminded():
            state.reminded.append(body.duty)
        case f.DutyMissed():
            state.missed[body.duty] = at
        case f.DutyChased() if body.escalated_to:
            state.escalated.append(body.duty)
        case f.DutyChased():
            state.chased[body.duty] = body.number
        case _:
            pass


def not_before(duty: Duty, terms: Chase) -> Instant:
    """Before this nobody has to be reminded of a duty that was not missed: quickly said, and no later than the true moment."""
    soonest = duty.due + 1
    if terms.remind_at_percent:
        soonest = min(soonest, duty.start + max(0, duty.due - duty.start) * terms.remind_at_percent[0] // 100)
    return min(soonest, duty.due - terms.longest_before) if terms.remind_before else soonest


def next_chase_moment(
    duty: Duty, said: Said, terms: Chase, calendar: BusinessCalendar, *, business: bool, digest: bool
) -> Instant | None:
    """When somebody has to be reminded of, or chased for, a duty that is owed; its miss included."""
    if duty.id not in said.missed:
        first = duty.due + 1
        if is_chased(
            duty, digest
        ):  # each incident asks this of all it owes after each of its facts: no lists, no objects
            for key, at in _wanted(duty, terms):
                if at < first and key not in said.reminded:
                    at = _in_hours(at, calendar, business) if business else at
                    first = at if at < duty.due and at < first else first
        return first
    if not is_chased(duty, digest):
        return None
    done = said.chased.get(duty.id, 0)
    after = None if digest else next_chased(duty, terms, calendar, done, business=business)
    moments: list[Instant | None] = [after.at if after else None]
    if duty.id not in said.escalated:
        moments.append(escalates_at(duty, terms, calendar, business=business, digest=digest))
    return earliest(moments)


def first_moment(
    duties: Iterable[Duty], said: Said, terms_of: Callable[[str], Chase], calendar: BusinessCalendar, *, business: bool, digest: bool
) -> Instant | None:  # fmt: skip
    """When the first of what is owed has to be looked at; worked out in full for the few that can be first.

    ``terms_of``: how the duties of a rule are chased.
    """
    first: Instant | None = None
    for duty in duties:
        terms = terms_of(duty.rule)
        if first is None or duty.id in said.missed or not_before(duty, terms) < first:
            at = next_chase_moment(duty, said, terms, calendar, business=business, digest=digest)
            first = earliest((first, at))
    return first
