"""Who is paged otherwise, and when, once another policy or other people are in force: over one week, to the microsecond.

Both sides are walked through for every opening of the week: between two moments at which somebody takes over, leaves or comes
back, or at which working hours begin or end, the answer is the same. What differs is merged into stretches of the week.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import msgspec

from tocsin.incidents.directory import Directory
from tocsin.incidents.escalation import Step, chain_of
from tocsin.incidents.incident import Run
from tocsin.incidents.sweep import Line, Sweep
from tocsin.kernel.clock import DAY, MINUTE, SECOND, WEEK, Instant, to_datetime
from tocsin.notify.coverage import paged
from tocsin.policy.calendar import WEEKDAYS, Duration, wall_instant
from tocsin.policy.model import SEVERITIES, Policy
from tocsin.policy.saying import after, listed
from tocsin.policy.timemap import TimeMap

PAGED, COMMANDER, TOLD = "responders", "commander", "told"
"""the responders' chain, the commander's own page, and those whom the severity tells"""

Answer = tuple[tuple[str, Duration, bool], ...]
"""(person, by which step's delay first, whether quietly), in that order"""


class Side(msgspec.Struct):
    """A policy with the people it meets."""

    policy: Policy
    directory: Directory


class Stretch(msgspec.Struct, frozen=True):
    """From ``start`` until ``end`` an opening is answered by ``now`` instead of ``before``."""

    start: Instant
    end: Instant
    before: Answer
    now: Answer


class PeopleChange(msgspec.Struct, frozen=True):
    """One difference, with all stretches of the week, services and severities in which it is the same."""

    when: str
    services: tuple[str, ...]
    severities: tuple[str, ...]
    sentence: str


def coming_week(directory: Directory, now: Instant) -> Instant:
    """When the next Monday begins in the zone of the organisation."""
    zone = directory.settings.zone
    local = to_datetime(now, ZoneInfo(zone))
    return wall_instant(zone, local.toordinal() + 7 - local.weekday(), 0)


def people_changes(old: Side, new: Side, start: Instant) -> list[PeopleChange]:
    """What changes in the week from ``start`` on; the earliest of the week first. Empty: everybody is paged as before."""
    found: dict[tuple[str, tuple[str, ...], str], list[str]] = {}
    before, now = (Scope(side, start, start + WEEK) for side in (old, new))
    for services in groups(old.directory, new.directory):
        for severity in SEVERITIES:
            for kind in (PAGED, COMMANDER, TOLD):
                by_people = same_chain(old, new, severity, kind, services[0])
                shown: dict[str, list[Stretch]] = {}
                for stretch in stretches(before, now, severity, kind, services[0]):
                    for body in _bodies(kind, stretch, old, new, moved=by_people):
                        shown.setdefault(body, []).append(stretch)
                for body, those in shown.items():
                    when = week_text(those, new.directory.settings.zone, start)
                    found.setdefault((when, services, body), []).append(severity)
    alike: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for (when, services, body), severities in found.items():
        alike.setdefault((when, body, tuple(severities)), []).extend(services)
    changes = [
        PeopleChange(when, tuple(services), severities, _sentence(when, services, severities, body, old, new))
        for (when, body, severities), services in alike.items()
    ]
    return [*_services(old, new), *changes]


def groups(old: Directory, new: Directory) -> list[tuple[str, ...]]:
    """Services that both sides know, together where each side pages them alike; the empty one is for what names none."""
    found: dict[tuple[object, ...], list[str]] = {}
    for service in ("", *sorted(set(old.services) & set(new.services))):
        key = tuple(_answered_by(directory, service) for directory in (old, new))
        found.setdefault(key, []).append(service)
    return [tuple(services) for services in found.values()]


def _answered_by(directory: Directory, service: str) -> tuple[str, ...]:
    owner = directory.team_of(service)
    answering, _ = directory.answering_team(service=service)
    escalation = directory.escalation_policy_for(service=service)
    return (
        owner.id if owner else "", answering.id if answering else "", escalation.id if escalation else "",
        directory.calendar_of(service),
    )  # fmt: skip


def same_chain(old: Side, new: Side, severity: str, kind: str, service: str) -> bool:
    """Whether both sides take the same steps, so that only people can make a difference."""
    return steps_of(old, severity, kind, service) == steps_of(new, severity, kind, service)


def steps_of(side: Side, severity: str, kind: str, service: str) -> tuple[Step, ...]:
    """The steps of a chain; those who are told are one step of their own."""
    if kind == TOLD:
        notice = side.policy.severity(severity).notice
        return (Step(Duration.parse("0m"), notice.targets, True),) if notice else ()
    if kind == COMMANDER and severity not in side.policy.paging.commander.severities:
        return ()
    escalation = side.directory.escalation_policy_for(service=service)
    run = Run("", kind, escalation.id if escalation else "", severity, service, 0, 0, "")
    return chain_of(run, side.policy, side.directory).steps


class Scope:
    """One side over a stretch of openings. Whom a target means, and when a delay is over, is worked out once for all chains."""

    def __init__(self, side: Side, start: Instant, end: Instant) -> None:
        self.side, self.start, self.end = side, start, end
        self._sweep = Sweep(side.directory)
        self._maps: dict[tuple[str, Duration], TimeMap] = {}
        self._lines: dict[tuple[str, str, bool], Line] = {}

    def map(self, duration: Duration, calendar: str) -> TimeMap:
        """When ``duration`` is over by a calendar, for every opening."""
        key = (calendar, duration)
        if key not in self._maps:
            self._maps[key] = TimeMap.of(duration, self.side.policy.calendar(calendar), self.start, self.end)
        return self._maps[key]

    def line(self, target: str, service: str, to_page: bool) -> Line:
        """Whom ``target`` means for a service, until well after the last opening."""
        key = (target, service, to_page)
        if key not in self._lines:
            escalation = self.side.directory.escalation_policy_for(service=service)
            self._lines[key] = self._sweep.line(
                target,
                self.start,
                self.end + 60 * DAY,
                service=service,
                policy=escalation.id if escalation else "",
                to_page=to_page,
            )
        return self._lines[key]


class Walk:
    """One chain of one service over the stretch of a scope."""

    def __init__(self, scope: Scope, severity: str, kind: str, service: str) -> None:
        calendar = scope.side.directory.calendar_of(service)
        self.kind = kind
        self.steps = steps_of(scope.side, severity, kind, service)
        self.maps = [scope.map(step.after, calendar) for step in self.steps]
        self.lines: Mapping[str, Line] = {
            target: scope.line(target, service, kind != TOLD)
            for step in self.steps
            for target in step.targets
        }
        found = {scope.start}
        for index, when in enumerate(self.maps):
            # a step that comes early in place of an empty one is looked up at that one's time
            names = {target for step in self.steps[index:] for target in step.targets}
            found.update(when.since(edge) for name in names for edge in self.lines[name].starts)
        self.moments = sorted(moment for moment in found if scope.start <= moment < scope.end)

    def answer(self, opened: Instant) -> Answer:
        """Who is paged by which step first, for an incident that opens then and that nobody acknowledges."""
        found: dict[str, tuple[Duration, bool]] = {}
        empty, at = False, opened
        by = Duration.parse("0m")
        for when, step in zip(self.maps, self.steps, strict=True):
            due = when.at(opened)
            if not empty or due < at:
                at, by = due, step.after
            meant = [self.lines[target].at(at) for target in step.targets]
            people = (
                tuple(dict.fromkeys(person for one in meant for person in one.people))
                if self.kind == TOLD
                else paged(meant)
            )
            for person in people:
                found.setdefault(person, (by, step.quiet))
            empty = not people
        return tuple((person, *how) for person, how in found.items())


def stretches(old: Scope, new: Scope, severity: str, kind: str, service: str) -> list[Stretch]:
    """Where the two sides answer differently, neighbours with the same answers joined."""
    one, other = (Walk(scope, severity, kind, service) for scope in (old, new))
    found: list[Stretch] = []
    for low, high in pairwise([*sorted({*one.moments, *other.moments}), new.end]):
        before, now = one.answer(low), other.answer(low)
        if before == now:
            continue
        if found and found[-1].end == low and (found[-1].before, found[-1].now) == (before, now):
            found[-1] = Stretch(found[-1].start, high, before, now)
        else:
            found.append(Stretch(low, high, before, now))
    return found


# words


def _bodies(kind: str, stretch: Stretch, old: Side, new: Side, *, moved: bool) -> Iterator[str]:
    """What is different about people; ``moved``: also by which step somebody is paged first."""
    before = {person: (delay, quiet) for person, delay, quiet in stretch.before}
    now = {person: (delay, quiet) for person, delay, quiet in stretch.now}
    verb = "told" if kind == TOLD else "paged"

    def names(people: Iterable[str]) -> str:
        return listed([_name(person, old, new) for person in people])

    if not now:
        does = {PAGED: "pages nobody", COMMANDER: "pages no commander", TOLD: "tells nobody"}[kind]
        yield f"!{does} (before: {names(before)})"
        return
    if not before:
        yield f"{names(now)} {_are(now)} {verb} (before: nobody)"
        return
    gone, added = [who for who in before if who not in now], [who for who in now if who not in before]
    parts = [f"{names(gone)} {_are(gone)} no longer {verb}"] if gone else []
    parts += [f"{names(added)} {_are(added)} {verb}"] if added else []
    if moved and kind != TOLD:
        parts += [
            f"{_name(who, old, new)} is paged {_how(now[who])} instead of {_how(before[who])}"
            for who in now
            if who in before and now[who] != before[who]
        ]
    if parts:
        yield f"{'the commander: ' if kind == COMMANDER else ''}{'; '.join(parts)}"


def _how(how: tuple[Duration, bool]) -> str:
    return f"{after(how[0])}{', quietly' if how[1] else ''}"


def _are(people: Sequence[str] | Mapping[str, object]) -> str:
    return "is" if len(people) == 1 else "are"


def _name(person: str, old: Side, new: Side) -> str:
    return new.directory.name(person) if person in new.directory.people else old.directory.name(person)


def _sentence(
    when: str, services: Sequence[str], severities: Sequence[str], body: str, old: Side, new: Side
) -> str:
    named = [new.directory.services[one].name for one in services if one]
    shown = listed([*named, "what names no service"] if "" in services else named)
    which = "" if len(severities) == len(SEVERITIES) else listed(severities)
    if body.startswith("!"):
        does, _, before = body[1:].partition(" (")
        does = does.replace("s ", " ", 1) if len(services) > 1 else does
        return f"{when}: {shown} {does}{f' for {which}' if which else ''} ({before}"
    return f"{when}: {shown}{f', {which}' if which else ''}: {body}"


def _services(old: Side, new: Side) -> Iterator[PeopleChange]:
    for one, other, what in ((old, new, "is gone"), (new, old, "is new")):
        for service in sorted(set(one.directory.services) - set(other.directory.services)):
            name = one.directory.services[service].name
            yield PeopleChange("all week", (service,), SEVERITIES, f"all week: the service {name} {what}")


def week_text(found: Sequence[Stretch], zone: str, start: Instant) -> str:
    """Stretches of one week as people say them: ``Saturdays 02:00–06:00``, ``Mondays to Fridays 18:00–09:00``, ``all week``."""
    spans = _joined([(one.start, one.end) for one in found])
    end = start + WEEK
    if spans == [(start, end)]:
        return "all week"
    if len(spans) > 1 and spans[0][0] == start and spans[-1][1] == end:  # the week is a circle
        spans = [*spans[1:-1], (spans[-1][0], spans[0][1] + WEEK)]
    daily: dict[tuple[str, str], list[int]] = {}
    said: list[str] = []
    for low, high in spans:
        first, last = (to_datetime(edge, ZoneInfo(zone)) for edge in (low, high))
        day = first.weekday()
        days = last.toordinal() - first.toordinal()
        until = _clock(high, zone)
        if until == "00:00" and days == 1:
            daily.setdefault((_clock(low, zone), "24:00"), []).append(day)
        elif days == 0 or (days == 1 and high - low < DAY):
            daily.setdefault((_clock(low, zone), until), []).append(day)
        else:
            if until == "00:00":
                last, until = last - timedelta(days=1), "24:00"
            said.append(f"{_DAYS[day]} {_clock(low, zone)} to {_DAYS[last.weekday()]} {until}")
    said += [f"{_days(days)} {since}–{until}" for (since, until), days in daily.items()]
    return listed(said)


def _joined(spans: list[tuple[Instant, Instant]]) -> list[tuple[Instant, Instant]]:
    found: list[tuple[Instant, Instant]] = []
    for low, high in sorted(spans):
        if found and found[-1][1] >= low:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


_DAYS = tuple(day.capitalize() for day in WEEKDAYS)


def _clock(at: Instant, zone: str) -> str:
    local = to_datetime(at, ZoneInfo(zone))
    return f"{local:%H:%M}" if at % MINUTE < SECOND else f"{local:%H:%M:%S}"


def _days(days: Sequence[int]) -> str:
    ordered = sorted(set(days))
    if len(ordered) == 7:
        return "every day"
    if len(ordered) > 2 and ordered == list(range(ordered[0], ordered[-1] + 1)):
        return f"{_DAYS[ordered[0]]}s to {_DAYS[ordered[-1]]}s"
    return listed([f"{_DAYS[day]}s" for day in ordered])
