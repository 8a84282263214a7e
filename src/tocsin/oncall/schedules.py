"""Schedules: layers of rotations, a secondary, overrides. ``who`` answers for an instant, ``shifts`` for a stretch.

Nothing here knows who is on leave: a person on the schedule is on call; the directory decides whether to page them.

There is one calculation: :func:`who` gives the answer at an instant together with the exact stretch over which it
holds. Shifts, gaps and the next change are read off by asking again where that stretch ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from tocsin.kernel.clock import DAY, Instant
from tocsin.kernel.errors import Unusable
from tocsin.oncall.rotations import Rotation, Span, check_rotation, member_at, span_at
from tocsin.oncall.walltime import zone_of

POSITIONS = ("primary", "secondary")
HORIZON = 400 * DAY
"""How far ahead :func:`next_change` looks: a little more than the longest turn."""


class Schedule(msgspec.Struct, frozen=True):
    """Who answers, by time.

    ``rotations`` are layers: where a later one covers an instant, it wins. The secondary comes from the rotations of
    ``secondary`` where there are any, otherwise it is the member ``secondary_offset`` places further on in the same
    rotation (or the next after that who is not primary already); 0 means that there is no secondary. ``zone`` is for
    showing, and that of each rotation which names none.
    """

    id: str
    name: str
    rotations: tuple[Rotation, ...] = ()
    zone: str = "UTC"
    secondary: tuple[Rotation, ...] = ()
    secondary_offset: int = 1

    def __post_init__(self) -> None:
        for layers in ("rotations", "secondary"):
            mine: tuple[Rotation, ...] = getattr(self, layers)
            if not all(one.zone for one in mine):
                msgspec.structs.force_setattr(
                    self,
                    layers,
                    tuple(msgspec.structs.replace(one, zone=one.zone or self.zone) for one in mine),
                )


class Override(msgspec.Struct, frozen=True):
    """``person`` is on call from ``start`` until ``end`` (instants), whatever the rotations say; the last added wins.

    ``replaces``: only where that person would be on call otherwise; empty: always. ``by`` is the principal who made it.
    """

    id: str
    schedule: str
    start: Instant
    end: Instant
    person: str
    replaces: str = ""
    by: str = ""
    reason: str = ""
    position: str = "primary"


class Leave(msgspec.Struct, frozen=True):
    """``person`` is away from ``start`` until ``end`` (instants)."""

    person: str
    start: Instant
    end: Instant
    reason: str = ""
    id: str = ""


class OnCall(msgspec.Struct, frozen=True):
    """The answer for an instant: ``person`` (None: nobody) holds the position from ``since`` until ``until``.

    None for ``since`` or ``until`` means without end on that side. ``reason`` says why, ``source`` is
    ``rotation:ID``, ``override:ID`` or empty.
    """

    person: str | None
    since: Instant | None
    until: Instant | None
    reason: str
    source: str = ""


class Shift(msgspec.Struct, frozen=True):
    """A stretch of time with one answer; ``person`` is None where nobody is on call."""

    start: Instant
    end: Instant
    person: str | None
    reason: str
    source: str = ""


class Gap(msgspec.Struct, frozen=True):
    """A stretch of time without anybody who could answer, and why."""

    start: Instant
    end: Instant
    position: str
    reason: str


def check_schedule(schedule: Schedule) -> list[str]:
    """What is wrong with a schedule, a sentence each; empty when it can be used."""
    faults = []
    try:
        zone_of(schedule.zone)
    except Unusable as error:
        faults.append(error.sentence)
    if not schedule.rotations:
        faults.append(f"the schedule {schedule.id} has no rotations: add one")
    if schedule.secondary_offset < 0:
        faults.append(
            f"the schedule {schedule.id} has a negative secondary offset: use 1 for the next in line, 0 for none"
        )
    names = [rotation.id for rotation in (*schedule.rotations, *schedule.secondary)]
    faults += [
        f"the schedule {schedule.id} has two rotations called {name}"
        for name in sorted({n for n in names if names.count(n) > 1})
    ]
    for rotation in (*schedule.rotations, *schedule.secondary):
        faults += [f"rotation {rotation.id}: {fault}" for fault in check_rotation(rotation)]
    return faults


def who(
    schedule: Schedule, at: Instant, overrides: Sequence[Override] = (), position: str = "primary"
) -> OnCall:
    """Who holds ``position`` at ``at``; ``overrides`` in the order in which they were added (other schedules' ignored).

    Raises :class:`Unusable` for a position that does not exist or a rotation that cannot be read.
    """
    if position == "primary":
        return _overridden(schedule, at, overrides, "primary", _from_layers(schedule.rotations, at))
    if position != "secondary":
        raise Unusable(f"there is no position {position!r}: ask for primary or secondary", "position")
    return _overridden(schedule, at, overrides, "secondary", _secondary(schedule, at, overrides))


def shifts(
    schedule: Schedule,
    start: Instant,
    end: Instant,
    overrides: Sequence[Override] = (),
    position: str = "primary",
) -> list[Shift]:
    """Every shift from ``start`` until ``end``, without overlap or hole; stretches with nobody have ``person`` None."""
    found: list[Shift] = []
    relevant = _relevant(schedule, start, end, overrides)
    while start < end:
        answer = who(schedule, start, relevant, position)
        until = end if answer.until is None else min(answer.until, end)
        found.append(Shift(start, until, answer.person, answer.reason, answer.source))
        start = until
    return found


def next_change(
    schedule: Schedule, at: Instant, overrides: Sequence[Override] = (), position: str = "primary"
) -> Instant | None:
    """When somebody else takes over (or nobody does); None where that does not happen within :data:`HORIZON`."""
    present = who(schedule, at, overrides, position)
    until = present.until
    while until is not None and until <= at + HORIZON:
        following = who(schedule, until, overrides, position)
        if following.person != present.person:
            return until
        until = following.until
    return None


def gaps(
    schedule: Schedule, start: Instant, end: Instant, overrides: Sequence[Override] = (), leaves: Iterable[Leave] = (),
    positions: Sequence[str] = POSITIONS,
) -> list[Gap]:  # fmt: skip
    """Where nobody is on call, or whoever is has taken leave, from ``start`` until ``end``; in order of time.

    A schedule that has no secondary on purpose (offset 0, no rotations for it) has no gaps there.
    """
    away = sorted(leaves, key=lambda leave: leave.start)
    found: list[Gap] = []
    for position in positions:
        if position == "secondary" and not has_secondary(schedule):
            continue
        pieces: Iterator[Gap] = (
            gap
            for shift in shifts(schedule, start, end, overrides, position)
            for gap in _gaps_of(shift, position, away)
        )
        mine: list[Gap] = []
        for gap in pieces:
            if mine and mine[-1].end >= gap.start and mine[-1].reason == gap.reason:
                gap = Gap(mine.pop().start, gap.end, position, gap.reason)
            mine.append(gap)
        found += mine
    return sorted(found, key=lambda gap: (gap.start, gap.position))


def has_secondary(schedule: Schedule) -> bool:
    """Whether the schedule is meant to have a secondary at all."""
    return bool(schedule.secondary) or schedule.secondary_offset > 0


def _gaps_of(shift: Shift, position: str, leaves: Sequence[Leave]) -> Iterator[Gap]:
    if shift.person is None:
        yield Gap(shift.start, shift.end, position, shift.reason)
        return
    at = shift.start
    for leave in leaves:
        if leave.person == shift.person and leave.start < shift.end and leave.end > at:
            yield Gap(
                max(at, leave.start), min(shift.end, leave.end), position, f"{shift.person} is on leave"
            )
            at = min(shift.end, leave.end)


def _relevant(
    schedule: Schedule, start: Instant, end: Instant, overrides: Sequence[Override]
) -> list[Override]:
    return [one for one in overrides if one.schedule == schedule.id and one.start < end and one.end > start]


def _from_layers(
    rotations: Sequence[Rotation], at: Instant, taken: Callable[[str], bool] | None = None
) -> OnCall:
    """The topmost layer that covers ``at``, with the stretch over which that holds."""
    since: Instant | None = None
    until: Instant | None = None
    reasons = []
    for rotation in reversed(rotations):
        span = span_at(rotation, at)
        since, until = _narrowed(since, until, span)
        if span.turn is None:
            reasons.append(span.reason)
            continue
        for offset in range(len(rotation.members)):
            person = member_at(rotation, span.turn, offset)
            if person is not None and not (taken is not None and taken(person)):
                return OnCall(person, since, until, _turn_reason(rotation, offset), f"rotation:{rotation.id}")
            if taken is None:
                break
        reasons.append(f"the rotation {rotation.name or rotation.id} has nobody else")
    return OnCall(None, since, until, "; ".join(reasons) or "the schedule has no rotations")


def _turn_reason(rotation: Rotation, offset: int) -> str:
    label = rotation.name or rotation.id
    return f"next in line in the rotation {label}" if offset else f"has the turn in the rotation {label}"


def _narrowed(
    since: Instant | None, until: Instant | None, span: Span
) -> tuple[Instant | None, Instant | None]:
    if span.start is not None and (since is None or span.start > since):
        since = span.start
    if span.end is not None and (until is None or span.end < until):
        until = span.end
    return since, until


def _secondary(schedule: Schedule, at: Instant, overrides: Sequence[Override]) -> OnCall:
    """The secondary before overrides of that position: never the same person as the primary."""
    if not has_secondary(schedule):
        return OnCall(None, None, None, "the schedule has no secondary")
    primary = who(schedule, at, overrides, "primary")
    if schedule.secondary:
        answer = _from_layers(schedule.secondary, at, lambda person: person == primary.person)
    else:
        answer = _next_in_line(schedule, at, primary.person)
    since, until = _narrowed(answer.since, answer.until, Span(None, primary.since, primary.until))
    return msgspec.structs.replace(answer, since=since, until=until)


def _next_in_line(schedule: Schedule, at: Instant, primary: str | None) -> OnCall:
    """The member ``secondary_offset`` places on in the layer that has the turn, or the next who is not primary.

    Whoever gave the turn away comes last: being asked a second time is better than nobody being asked.
    """
    since: Instant | None = None
    until: Instant | None = None
    gave_away: tuple[str, Rotation] | None = None
    reasons = []
    first = True
    for rotation in reversed(schedule.rotations):
        span = span_at(rotation, at)
        since, until = _narrowed(since, until, span)
        if span.turn is None:
            reasons.append(span.reason)
            continue
        holder = member_at(rotation, span.turn)
        begin = (
            schedule.secondary_offset if first else 0
        )  # in lower layers the one who has the turn comes first
        for offset in range(begin, begin + len(rotation.members)):
            person = member_at(rotation, span.turn, offset)
            if person != primary and not (first and person == holder):
                return OnCall(person, since, until, _turn_reason(rotation, offset), f"rotation:{rotation.id}")
        if first and holder is not None and holder != primary:
            gave_away = holder, rotation
        reasons.append(f"the rotation {rotation.name or rotation.id} has nobody besides the primary")
        first = False
    if gave_away is not None:
        holder, rotation = gave_away
        reason = f"gave the turn away, but the rotation {rotation.name or rotation.id} has nobody else"
        return OnCall(holder, since, until, reason, f"rotation:{rotation.id}")
    return OnCall(None, since, until, "; ".join(reasons) or "the schedule has no rotations")


def _overridden(
    schedule: Schedule, at: Instant, overrides: Sequence[Override], position: str, beneath: OnCall
) -> OnCall:
    """Lays the overrides over ``beneath``, first to last, each seeing the answer of those before it."""
    answer = beneath
    for one in overrides:
        if one.schedule != schedule.id or one.position != position or one.end <= one.start:
            continue
        if not one.start <= at < one.end:
            answer = _bounded(answer, at, one)
        elif one.replaces and one.replaces != answer.person:
            answer = _narrow(answer, one.start, one.end)
        else:
            since: Instant | None = one.start
            until: Instant | None = one.end
            if one.replaces:  # it holds only as long as the one it replaces would be on call
                since, until = _narrowed(since, until, Span(None, answer.since, answer.until))
            answer = OnCall(one.person, since, until, _override_reason(one), f"override:{one.id}")
    return answer


def _bounded(answer: OnCall, at: Instant, one: Override) -> OnCall:
    """An override that does not hold now ends the present stretch where it begins, or began it where it ended."""
    if one.end <= at:
        return _narrow(answer, one.end, None)
    return _narrow(answer, None, one.start)


def _narrow(answer: OnCall, since: Instant | None, until: Instant | None) -> OnCall:
    low, high = _narrowed(answer.since, answer.until, Span(None, since, until))
    return msgspec.structs.replace(answer, since=low, until=high)


def _override_reason(one: Override) -> str:
    return (
        "override"
        + (f" in place of {one.replaces}" if one.replaces else "")
        + (f": {one.reason}" if one.reason else "")
    )
