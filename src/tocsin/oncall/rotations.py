"""Rotations: people who take turns, handed over at a wall-clock time that stays put across daylight saving.

A rotation is a function of time alone. Its turn ``k`` begins at the local date of the first hand-off plus ``k`` times
its length, at the same time of day in its zone. A hand-off that falls into the hour that clocks skip happens at the
first instant after it; one in the hour that clocks repeat happens the first time round.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from tocsin.kernel.clock import DAY, WEEK, Instant
from tocsin.kernel.errors import Unusable
from tocsin.oncall.walltime import (
    instant_at,
    parse_time_of_day,
    parse_wall,
    wall_at,
    wall_text,
    weekday,
    zone_of,
)

UNITS = {"days": DAY, "weeks": WEEK}


class Window(msgspec.Struct, frozen=True):
    """Weekly hours, local to the rotation: ``days`` 0 (Monday) to 6, ``start`` and ``end`` as ``HH:MM``.

    An end not after its start lies on the next day; ``24:00`` is midnight at the end of the day.
    """

    days: tuple[int, ...]
    start: str = "00:00"
    end: str = "24:00"


class Rotation(msgspec.Struct, frozen=True):
    """People who take turns.

    ``members`` are person ids in order; ``start`` is the local date and time of the first hand-off
    (``2026-03-02T09:00``) in ``zone``, before which nobody is on call; a turn lasts ``every`` ``unit`` (``days`` or
    ``weeks``). Without a zone it has that of its schedule, by itself UTC. ``restrict`` limits the rotation to weekly hours; empty: round the clock.
    """

    id: str
    members: tuple[str, ...]
    start: str
    zone: str = ""
    every: int = 1
    unit: str = "weeks"
    restrict: tuple[Window, ...] = ()
    name: str = ""

    @property
    def clocks(self) -> str:
        """The zone whose clocks it goes by."""
        return self.zone or "UTC"

    @property
    def handoff(self) -> str:
        """The local time of day at which a turn ends, ``HH:MM``."""
        return wall_text(_start(self.start)).partition("T")[2]


class Span(msgspec.Struct, frozen=True):
    """The stretch round an instant in which a rotation's answer does not change.

    ``turn`` is the number of the turn, from 0; None where the rotation covers nothing (then ``reason`` says why).
    None for ``start`` or ``end`` means without end on that side.
    """

    turn: int | None
    start: Instant | None
    end: Instant | None
    reason: str = ""


def check_rotation(rotation: Rotation) -> list[str]:
    """What is wrong with a rotation, a sentence each; empty when it can be used."""
    faults = []
    for attempt in (
        lambda: zone_of(rotation.clocks),
        lambda: parse_wall(rotation.start),
        lambda: _length(rotation.every, rotation.unit),
    ):
        try:
            attempt()
        except Unusable as error:
            faults.append(error.sentence)
    for window in rotation.restrict:
        if not window.days or not all(0 <= day <= 6 for day in window.days):
            faults.append("a window needs days between 0 (Monday) and 6 (Sunday)")
        for text in (window.start, window.end):
            try:
                parse_time_of_day(text)
            except Unusable as error:
                faults.append(error.sentence)
        if window.start == "24:00":
            faults.append("a window cannot start at 24:00: write 00:00 of the next day")
    return faults


def member_at(rotation: Rotation, turn: int, offset: int = 0) -> str | None:
    """Who has turn ``turn``, or the member ``offset`` places further on; None where nobody is in the rotation."""
    return rotation.members[(turn + offset) % len(rotation.members)] if rotation.members else None


def turn_start(rotation: Rotation, turn: int) -> Instant:
    """When turn ``turn`` begins. Two turns may begin together where a zone left out a whole day (Apia, 2011-12-30)."""
    return instant_at(rotation.clocks, _start(rotation.start) + turn * _length(rotation.every, rotation.unit))


def turn_at(rotation: Rotation, at: Instant) -> int | None:
    """The number of the turn that runs at ``at``; None before the first hand-off."""
    length = _length(rotation.every, rotation.unit)
    turn = max((wall_at(rotation.clocks, at) - _start(rotation.start)) // length, -1)
    while turn >= 0 and turn_start(rotation, turn) > at:
        turn -= 1
    while turn_start(rotation, turn + 1) <= at:
        turn += 1
    return turn if turn >= 0 else None


def span_at(rotation: Rotation, at: Instant) -> Span:
    """The rotation's answer at ``at`` and how far it reaches on both sides."""
    label = rotation.name or rotation.id
    if not rotation.members:
        return Span(None, None, None, f"the rotation {label} has no members")
    turn = turn_at(rotation, at)
    if turn is None:
        return Span(None, None, turn_start(rotation, 0), f"the rotation {label} has not begun yet")
    begin, end = turn_start(rotation, turn), turn_start(rotation, turn + 1)
    if not rotation.restrict:
        return Span(turn, begin, end)
    covered, low, high = _window_at(rotation.clocks, rotation.restrict, at)
    if covered:
        return Span(turn, _latest(begin, low), _earliest(end, high))
    # uncovered hours reach over hand-offs, but not back before the first
    return Span(
        None, _latest(turn_start(rotation, 0), low), high, f"outside the hours of the rotation {label}"
    )


def with_members(rotation: Rotation, members: tuple[str, ...], at: Instant) -> Rotation:
    """The rotation with other members, arranged so that whoever is on call at ``at`` stays so where still a member.

    The first hand-off moves to the turn that runs at ``at``; shifts served before it belong to the old version.
    """
    turn = turn_at(rotation, at)
    if turn is None or not members:
        return msgspec.structs.replace(rotation, members=members)
    start = wall_text(_start(rotation.start) + turn * _length(rotation.every, rotation.unit))
    for offset in range(len(rotation.members)):  # the present holder, else the next in line who stays
        holder = member_at(rotation, turn, offset)
        if holder in members:
            place = members.index(holder)
            return msgspec.structs.replace(rotation, members=members[place:] + members[:place], start=start)
    return msgspec.structs.replace(rotation, members=members, start=start)


@lru_cache(maxsize=16_384)
def _start(text: str) -> int:
    return parse_wall(text)


def _length(every: int, unit: str) -> int:
    if unit not in UNITS:
        raise Unusable(f"a rotation's turn is counted in days or weeks, not in {unit!r}", "every")
    if not 1 <= every <= 366:
        raise Unusable(f"a rotation's turn lasts between 1 and 366 {unit}, not {every}", "every")
    return every * UNITS[unit]


def _latest(one: Instant | None, other: Instant | None) -> Instant | None:
    return other if one is None else one if other is None else max(one, other)


def _earliest(one: Instant | None, other: Instant | None) -> Instant | None:
    return other if one is None else one if other is None else min(one, other)


def _window_at(
    zone: str, windows: tuple[Window, ...], at: Instant
) -> tuple[bool, Instant | None, Instant | None]:
    """(whether some window is open at ``at``, since when, until when) with touching windows taken as one."""
    week = wall_at(zone, at) // WEEK
    for reach in (2, 8, 64):
        blocks = _blocks(zone, windows, week, reach)
        for index, (start, end) in enumerate(blocks):
            if at < start:
                return False, blocks[index - 1][1] if index else None, start
            if at < end:
                if 0 < index < len(blocks) - 1:
                    return True, start, end
                break
    return True, None, None  # open on and on: the windows leave no hour out


@lru_cache(maxsize=8_192)
def _blocks(
    zone: str, windows: tuple[Window, ...], week: int, reach: int
) -> tuple[tuple[Instant, Instant], ...]:
    """Open hours from ``reach`` weeks before to ``reach`` weeks after ``week`` (of wall time), merged and in order."""
    found = []
    for day in range((week - reach) * 7, (week + reach + 1) * 7):
        midnight = day * DAY
        for window in windows:
            if weekday(midnight) not in window.days:
                continue
            start, end = parse_time_of_day(window.start), parse_time_of_day(window.end)
            opens = instant_at(zone, midnight + start)
            closes = instant_at(zone, midnight + end + (DAY if end <= start else 0))
            if opens < closes:
                found.append((opens, closes))
    merged: list[tuple[Instant, Instant]] = []
    for opens, closes in sorted(found):
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], closes))
        else:
            merged.append((opens, closes))
    return tuple(merged)
