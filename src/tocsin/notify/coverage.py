"""Does every page reach somebody? A proof over the coming weeks, or the shortest counterexample.

For each severity and each service: whoever must *respond* has to be reached in the time that the policy allows though
any one person does not answer and any one provider is down; whoever must be *told* though any one provider is down.

Nothing is sampled. Who is on call changes at hand-offs, overrides and leave; when a step falls due changes its pace
where working hours begin or end. Between two such moments the answer is the same for every opening, so one opening
for each stretch decides it: the sweep is exact to the microsecond.

What is left out is on the safe side: a page handed on at a change of shift or at the end of a gap, and repeats
after the last step, would reach further people.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise

import msgspec

from tocsin.catalogue.people import PROVIDERS, Contact
from tocsin.incidents.chasing import digest_at
from tocsin.incidents.directory import Directory, Resolved
from tocsin.incidents.escalation import ABOVE, Step, chain_of
from tocsin.incidents.incident import Run
from tocsin.incidents.sweep import Line, Sweep
from tocsin.kernel.clock import DAY, WEEK, Instant, humanize, to_iso
from tocsin.notify.rules import FALL_OVER, in_order, plan
from tocsin.policy.calendar import BusinessCalendar, Duration
from tocsin.policy.model import SEVERITIES, Policy
from tocsin.policy.saying import listed
from tocsin.policy.timemap import TimeMap, crossings, turns

RESPOND, COMMAND, TOLD = "respond", "command", "told"
"""what is demanded: a responder, a commander, that those are told whom the severity tells"""


MOST_NAMED = 10
"""services that one sentence names"""


class Reach(msgspec.Struct, frozen=True):
    """One way in which a page reaches a person: over ``provider``, ``delay`` after the step; ``waits`` for opening."""

    provider: str
    delay: int
    waits: bool


class Trace(msgspec.Struct, frozen=True):
    """What one step does for an incident that opens at a moment."""

    number: int
    after: str
    targets: tuple[str, ...]
    at: Instant
    people: tuple[str, ...]
    pulled: bool = False
    """taken early, because the step before it was empty"""


class Counterexample(msgspec.Struct, frozen=True):
    """When whom nobody reaches. It holds for every opening from ``opened`` until ``until``."""

    demand: str
    severity: str
    service: str
    opened: Instant
    until: Instant
    without_person: str
    without_provider: str
    within: str
    steps: tuple[Trace, ...]
    sentence: str
    others: int = 0
    """further stretches of the same kind within the weeks looked at"""

    @property
    def failures(self) -> int:
        """How much has to go wrong: 0, 1 or 2 things."""
        return bool(self.without_person) + bool(self.without_provider)


class Proof(msgspec.Struct):
    """``found``: for each severity, service and demand the first counterexample; the shortest first. Empty: proved."""

    start: Instant
    end: Instant
    services: int
    severities: tuple[str, ...]
    openings: int
    """how many stretches of opening times were decided"""
    found: list[Counterexample]

    @property
    def proved(self) -> bool:
        return not self.found


def prove(
    policy: Policy,
    directory: Directory,
    start: Instant,
    *,
    weeks: int = 13,
    kinds: Iterable[str] | None = None,
    severities: Iterable[str] = SEVERITIES,
) -> Proof:
    """Decides it for every opening from ``start`` on, for that many weeks.

    ``kinds``: the kinds of contact that this installation can use at all; None: every one.
    """
    end = start + weeks * WEEK
    usable = frozenset(kinds) if kinds is not None else frozenset(PROVIDERS)
    sweep = Sweep(directory)
    found: list[Counterexample] = []
    openings = 0
    told: dict[tuple[str, Instant, Instant, str], tuple[Counterexample, list[str]]] = {}
    """what of those who are told → the first counterexample, and the services that it holds for"""
    groups = _groups(directory)
    wanted = tuple(severities)
    lines: dict[tuple[str, str], dict[str, Line]] = {}
    for severity in wanted:
        terms = policy.severity(severity)
        paging = _Reaches(
            directory, severity, usable, terms.hours == "always", terms.escalation.hours == "business"
        )
        telling = _Reaches(directory, severity, usable, False, False)
        clocks: dict[str, _Clock] = {}
        for service, by, alike in groups:
            name = directory.calendar_of(service) or policy.default_calendar
            clock = clocks.setdefault(name, _Clock(policy, severity, policy.calendar(name), start, end))
            known = lines.setdefault((service, by), {})
            for demand in _demands(
                policy, severity, directory, sweep, service, by, clock, known, paging, telling
            ):
                openings += len(demand.moments)
                counter = demand.first(alike)
                if counter is not None and counter.demand == TOLD:
                    key = (severity, counter.opened, counter.until, counter.sentence)
                    told.setdefault(key, (counter, []))[1].extend([service, *alike])
                elif counter is not None:
                    found.append(counter)
    found += [_told(directory, counter, services) for counter, services in told.values()]
    found.sort(key=lambda one: (one.failures, one.opened, one.severity, one.service))
    return Proof(start, end, len(directory.services), wanted, openings, found)


def _groups(directory: Directory) -> list[tuple[str, str, list[str]]]:
    """(service, escalation policy, others) for each set of services that is paged alike, the first for what names none; then one
    for each escalation policy that no service has: a route or an integration may name it.
    """
    seen: dict[tuple[str, ...], list[str]] = {}
    for service in ("", *sorted(directory.services)):
        owner = directory.team_of(service)
        answering, _ = directory.answering_team(service=service)
        escalation = directory.escalation_policy_for(service=service)
        key = (
            owner.id if owner else "",
            answering.id if answering else "",
            escalation.id if escalation else "",
            directory.calendar_of(service),
        )
        seen.setdefault(key, []).append(service)
    had = {key[2] for key in seen}
    return [
        *((names[0], "", names[1:]) for names in seen.values()),
        *(("", id, list[str]()) for id in sorted(directory.escalation_policies) if id not in had),
    ]


class _Clock:
    """What does not depend on the service: when each delay is over, and whether that is in time."""

    def __init__(
        self, policy: Policy, severity: str, calendar: BusinessCalendar, start: Instant, end: Instant
    ) -> None:
        self.policy, self.severity, self.calendar, self.start, self.end = (
            policy,
            severity,
            calendar,
            start,
            end,
        )
        self.terms = policy.severity(severity)
        self.digest = self.terms.escalation.when_missed == "digest"
        self._maps: dict[Duration, TimeMap] = {}
        self._timely: dict[tuple[Duration, int, bool, Duration], tuple[list[Instant], list[bool]]] = {}
        self._turns: list[Instant] | None = None

    def map(self, duration: Duration) -> TimeMap:
        """When ``duration`` is over, for every opening."""
        if duration not in self._maps:
            if duration == DIGEST:
                acknowledge = self.terms.acknowledge

                def at(t: Instant) -> Instant:
                    return digest_at(self.calendar.add(t, acknowledge), self.calendar)

                base = self.map(acknowledge)
                edges = {base.since(midnight) for midnight in self._midnights()}
                self._maps[duration] = TimeMap(at, self.start, self.end, {*self.turns, *base.knots, *edges})
            else:
                self._maps[duration] = TimeMap.of(duration, self.calendar, self.start, self.end)
        return self._maps[duration]

    def _midnights(self) -> list[Instant]:
        """The local midnights of the stretch and of the days after it."""
        found, at = [], self.start
        while at < self.end + 15 * DAY:
            at = self.calendar.midnight_after(at)
            found.append(at)
        return found

    @property
    def turns(self) -> list[Instant]:
        if self._turns is None:
            self._turns = turns(self.calendar, self.start, self.end)
        return self._turns

    def timely(self, after: Duration, reach: Reach, within: Duration) -> tuple[list[Instant], list[bool]]:
        """From which openings on a page over ``reach`` arrives in time, or too late."""
        key = (after, reach.delay, reach.waits, within)
        known = self._timely.get(key)
        if known is None:
            known = self._timely[key] = self._decide(after, reach, within)
        return known

    def _decide(self, after: Duration, reach: Reach, within: Duration) -> tuple[list[Instant], list[bool]]:
        step = self.map(after)

        def arrives(t: Instant) -> Instant:
            at = step.at(t)
            return max(at + reach.delay, self.calendar.in_hours(at) if reach.waits else 0)

        if after.is_elapsed and within.is_elapsed and not reach.waits:
            return [self.start], [arrives(self.start) <= self.start + within.amount]
        edges = {turn + past for turn in self.turns for past in (0, 1)}
        knots = {*step.knots, *self.turns, *(step.since(edge) for edge in edges)}
        knots |= {step.since(edge - reach.delay) for edge in edges}
        deadline = self.map(within)
        arrival = TimeMap(arrives, self.start, self.end, knots)
        moments: list[Instant] = []
        answers: list[bool] = []
        for t in crossings(arrival, deadline):
            answer = arrives(t) <= deadline.at(t)
            if not answers or answers[-1] != answer:
                moments.append(t)
                answers.append(answer)
        return moments, answers


DIGEST = Duration("digest", 0, "the next business-day digest")
"""stands for the moment at which a missed duty of a low severity goes one step up"""


class _Demand:
    """One demand for one service and severity: the moments that part its openings, and what is true between them."""

    def __init__(
        self, kind: str, clock: _Clock, service: str, by: str, within: Duration, steps: list[tuple[Step, bool]],
        lines: Mapping[str, Line], reaches: _Reaches, directory: Directory,
    ) -> None:  # fmt: skip
        self.kind, self.clock, self.service, self.within = kind, clock, service, within
        self.by = by
        """the escalation policy, where that and not the service says who is paged"""
        self.steps, self.lines, self.reaches, self.directory = steps, lines, reaches, directory
        self.maps = [clock.map(step.after) for step, _ in steps]
        self._kept: dict[tuple[object, ...], tuple[str, str] | None] = {}
        pairs = self._pairs()
        self._last = max((taken for _, taken in pairs), default=-1) + 1
        """steps from here on come too late to count"""
        self._steady = all(
            len(self._timely(at, taken, reach)[0]) == 1
            for at, taken in pairs
            for reach in self.reaches.shapes(steps[taken][1])
        )
        self.moments = self._moments(pairs)

    def _timely(self, at: int, taken: int, reach: Reach) -> tuple[list[Instant], list[bool]]:
        return self.clock.timely(self.steps[at][0].after, reach, self.within)

    def _pairs(self) -> list[tuple[int, int]]:
        """(whose time, which step): every step at its own time, and in place of the steps before it that may be empty,
        as far as a page could then arrive in time.
        """
        found = []
        for at in range(len(self.steps)):
            for taken in range(at, len(self.steps)):
                shapes = self.reaches.shapes(self.steps[taken][1])
                if any(any(self._timely(at, taken, reach)[1]) for reach in shapes):
                    found.append((at, taken))
                if not self._may_be_empty(taken):
                    break
        return found

    def _may_be_empty(self, index: int) -> bool:
        targets = self.steps[index][0].targets
        return all(any(not value.people for value in self.lines[target].values) for target in targets)

    def _moments(self, pairs: list[tuple[int, int]]) -> list[Instant]:
        start, end = self.clock.start, self.clock.end
        found = {start}
        for at, taken in pairs:
            names = {target for step, _ in self.steps[at : taken + 1] for target in step.targets}
            if self.steps[at][0].after == DIGEST:
                names = set(self.lines)
            found.update(self.maps[at].since(edge) for name in names for edge in self.lines[name].starts)
            for reach in self.reaches.shapes(self.steps[taken][1]):
                found.update(self._timely(at, taken, reach)[0])
        return sorted(moment for moment in found if start <= moment < end)

    def trace(self, opened: Instant) -> list[Trace]:
        """Which steps page whom when, for an incident that opens at ``opened`` and that nobody acknowledges."""
        found: list[Trace] = []
        empty = False
        at = opened
        for number, (when, (step, _)) in enumerate(zip(self.maps, self.steps, strict=True)):
            at = min(at, when.at(opened)) if empty else when.at(opened)
            people = paged(self.lines[target].at(at) for target in step.targets)
            if step.after == DIGEST:
                people = self._one_up(step.targets[0], at, {who for one in found for who in one.people})
            found.append(Trace(number, step.after.text, step.targets, at, people, empty))
            empty = not people
        return found

    def _one_up(self, target: str, at: Instant, owing: set[str]) -> tuple[str, ...]:
        asked: str | None = target
        people: tuple[str, ...] = ()
        while asked is not None:
            people = self.lines[asked].at(at).people
            if any(person not in owing for person in people):
                break
            asked = ABOVE.get(asked)
        return people

    def decide(self, opened: Instant) -> tuple[str, str] | None:
        """(person, provider) without whom nobody is reached in time, each empty where it is not needed; None: reached."""
        walked: list[tuple[int, tuple[str, ...]]] = []
        earlier: set[str] = set()
        empty, governing, at = False, 0, opened
        for number in range(self._last):
            due = self.maps[number].line(opened)[0]
            if not empty or due < at:
                governing, at = number, due
            step = self.steps[number][0]
            if step.after == DIGEST:
                people = self._one_up(step.targets[0], at, earlier)
            else:
                people = self._paged(number, at)
            walked.append((governing, people))
            earlier.update(people)
            empty = not people
        if not self._steady:
            return self._missing(walked, opened)
        key = tuple(walked)
        if key not in self._kept:
            self._kept[key] = self._missing(walked, opened)
        return self._kept[key]

    def _paged(self, number: int, at: Instant) -> tuple[str, ...]:
        targets = self.steps[number][0].targets
        if len(targets) == 1:
            return self.lines[targets[0]].at(at).people
        return paged(self.lines[target].at(at) for target in targets)

    def _missing(self, walked: list[tuple[int, tuple[str, ...]]], opened: Instant) -> tuple[str, str] | None:
        arrivals: set[tuple[str, str]] = set()
        for number, (governing, people) in enumerate(walked):
            for person in people:
                for reach in self.reaches.of(person, self.steps[number][1]):
                    moments, answers = self._timely(governing, number, reach)
                    if answers[bisect_right(moments, opened) - 1]:
                        arrivals.add((person, reach.provider))
        return missing(arrivals)

    def first(self, alike: Sequence[str]) -> Counterexample | None:
        """The counterexample that needs the least to go wrong, the earliest of those."""
        best: tuple[int, Instant, Instant, tuple[str, str]] | None = None
        others = 0
        before: tuple[str, str] | None = None
        for opened, until in pairwise([*self.moments, self.clock.end]):
            lacking = self.decide(opened)
            if lacking is not None and lacking != before:
                others += 1
            if lacking is not None:
                needed = sum(1 for one in lacking if one)
                if best is None or needed < best[0]:
                    best = (needed, opened, until, lacking)
                elif best[2] == opened and best[3] == lacking:
                    best = (needed, best[1], until, lacking)
            before = lacking
        if best is None:
            return None
        _, opened, until, (person, provider) = best
        steps = tuple(self.trace(opened))
        return Counterexample(
            self.kind, self.clock.severity, self.service, opened, until, person, provider, self.within.text, steps,
            _sentence(self, opened, person, provider, steps, alike), max(0, others - 1),
        )  # fmt: skip


class _Told:
    """That those are told whom the severity tells: each of them over two providers, or somebody else in their place."""

    def __init__(self, clock: _Clock, service: str, target: str, line: Line, reaches: _Reaches) -> None:
        self.clock, self.service, self.target, self.line, self.reaches = clock, service, target, line, reaches
        self.moments = [start for start in line.starts if start < clock.end]

    def first(self, alike: Sequence[str]) -> Counterexample | None:
        for index, opened in enumerate(self.moments):
            people = self.line.values[index].people
            providers = {reach.provider for person in people for reach in self.reaches.of(person, True)}
            if len(providers) > 1:
                continue
            until = self.moments[index + 1] if index + 1 < len(self.moments) else self.clock.end
            only = next(iter(providers), "")
            shown = self.target.replace("_", " ")
            names = ", ".join(self.reaches.directory.name(person) for person in people)
            if not people:
                why = f"nobody is {shown}"
            elif not only:
                why = f"{names} ({shown}) has no contact that this installation can use"
            else:
                why = f"if {only} is down, {names} ({shown}) is not told: there is no second provider and no deputy"
            sentence = f"{self.clock.severity}, opened {to_iso(opened)}: {why}"
            trace = (Trace(0, "0s", (self.target,), opened, tuple(people)),)
            return Counterexample(
                TOLD,
                self.clock.severity,
                self.service,
                opened,
                until,
                "",
                only,
                "",
                trace,
                sentence,
            )
        return None


def _demands(
    policy: Policy, severity: str, directory: Directory, sweep: Sweep, service: str, by: str, clock: _Clock, lines: dict[str, Line],
    paging: _Reaches, telling: _Reaches,
) -> Iterator[_Demand | _Told]:  # fmt: skip
    terms = policy.severity(severity)
    escalation = directory.escalation_policy_for(service=service, policy=by)
    named = escalation.id if escalation else ""
    far = clock.end + 60 * DAY

    def line(target: str) -> Line:
        if target not in lines:
            lines[target] = sweep.line(target, clock.start, far, service=service, policy=named, to_page=True)
        return lines[target]

    for kind, within in (
        (RESPOND, terms.respond if clock.digest else terms.acknowledge),
        (COMMAND, terms.respond),
    ):
        if kind == COMMAND and (by or severity not in policy.paging.commander.severities):
            continue
        run = Run("", "commander" if kind == COMMAND else "responders", named, severity, service, 0, 0, "")
        steps = [(step, step.quiet) for step in chain_of(run, policy, directory).steps]
        if kind == RESPOND and clock.digest and terms.escalation.digest_to:
            steps.append((Step(DIGEST, (terms.escalation.digest_to,), True), True))
        if not steps:
            continue  # said by the checker: nobody would ever be paged
        for step, _ in steps:
            for target in step.targets:
                line(target)
        above = steps[-1][0].targets[0] if steps[-1][0].after == DIGEST else ""
        while above := ABOVE.get(above, ""):
            line(above)
        yield _Demand(kind, clock, service, by, within, steps, lines, paging, directory)
    if terms.notice is not None and not by:
        for target in terms.notice.targets:
            meant = sweep.line(target, clock.start, far, service=service, policy=named)
            yield _Told(clock, service, target, meant, telling)


class _Reaches:
    """How a page of one severity reaches each person; worked out once for each."""

    def __init__(
        self, directory: Directory, severity: str, usable: frozenset[str], must_wake: bool, waits: bool
    ) -> None:
        self.directory, self.severity, self.usable = directory, severity, usable
        self.must_wake, self.waits = must_wake, waits
        self._known: dict[tuple[str, bool], tuple[Reach, ...]] = {}
        self._shapes: dict[bool, set[Reach]] = {}

    def of(self, person_id: str, quiet: bool) -> tuple[Reach, ...]:
        """Ways to a person, later ones for the case that those before them fail."""
        key = (person_id, quiet)
        if key not in self._known:
            self._known[key] = tuple(self._ways(person_id, quiet))
        return self._known[key]

    def _ways(self, person_id: str, quiet: bool) -> Iterator[Reach]:
        person = self.directory.people.get(person_id)
        if person is None:
            return
        attempts = plan(person, self.severity, "nudge" if quiet else "page")
        for attempt in attempts:
            if self._counts(attempt.contact):
                yield self._reach(attempt.contact, attempt.after, quiet)
        rest = in_order(person, [attempt.contact.id for attempt in attempts[:1]])
        for position, contact in enumerate(rest, 1):
            if self._counts(contact):
                # where business hours are kept, nobody asks for the minute that falling over takes
                yield self._reach(contact, position * FALL_OVER if self.must_wake else 0, quiet)

    def _counts(self, contact: Contact) -> bool:
        wakes = contact.interrupts and contact.tested_at > 0
        return contact.kind in self.usable and (wakes or not self.must_wake)

    def _reach(self, contact: Contact, delay: int, quiet: bool) -> Reach:
        return Reach(PROVIDERS[contact.kind], delay, self.waits and contact.interrupts)

    def shapes(self, quiet: bool) -> set[Reach]:
        """Every distinct way among all people: what decides about being in time."""
        if quiet not in self._shapes:
            every = (reach for person in self.directory.people for reach in self.of(person, quiet))
            self._shapes[quiet] = {msgspec.structs.replace(reach, provider="") for reach in every}
        return self._shapes[quiet]


def paged(meant: Iterable[Resolved]) -> tuple[str, ...]:
    """Whom a step pages: those on leave only where nobody else of the step can be."""
    answers = list(meant)
    present = any(one.people and not one.anyway for one in answers)
    people = dict.fromkeys(person for one in answers if not (one.anyway and present) for person in one.people)
    return tuple(people)


def missing(arrivals: Iterable[tuple[str, str]]) -> tuple[str, str] | None:
    """The least that keeps all of ``arrivals`` (person, provider) away: one person, one provider, or both; None: no such."""
    pairs = sorted(set(arrivals))
    people = sorted({person for person, _ in pairs})
    providers = sorted({provider for _, provider in pairs})
    if not pairs:
        return "", ""
    if len(people) == 1:
        return people[0], ""
    if len(providers) == 1:
        return "", providers[0]
    for person in people:
        rest = {provider for who, provider in pairs if who != person}
        if len(rest) == 1:
            return person, next(iter(rest))
    return None


def _sentence(
    demand: _Demand,
    opened: Instant,
    person: str,
    provider: str,
    steps: tuple[Trace, ...],
    alike: Sequence[str],
) -> str:
    name = demand.directory.name
    what = {RESPOND: "nobody is reached who could respond", COMMAND: "nobody is reached who could command"}
    if demand.by:
        where = f"an alert that goes by the escalation policy {demand.directory.escalation_policies[demand.by].name}"
    elif demand.service:
        where = demand.directory.services[demand.service].name
    else:
        where = "an alert that names no service"
    given = [f"{name(person)} does not answer"] if person else []
    given += [f"{provider} is down"] if provider else []
    condition = f"if {' and '.join(given)}, " if given else ""
    walked = "; ".join(
        f"step {one.number + 1} (after {one.after}: {', '.join(one.targets)}) pages "
        + (", ".join(name(who) for who in one.people) or "nobody")
        + (f" {humanize(one.at - opened)} after the start" if one.at > opened else " at once")
        for one in steps
    )
    return (
        f"{demand.clock.severity} on {where}, opened {to_iso(opened)}: {condition}{what[demand.kind]} within "
        f"{demand.within.text}. {walked}" + _deaf(demand, steps) + _alike(demand.directory, alike)
    )


def _deaf(demand: _Demand, steps: tuple[Trace, ...]) -> str:
    """Who of those that are paged cannot be reached at all, and why: what a reader would otherwise have to find out."""
    people = dict.fromkeys(who for one in steps for who in one.people)
    names = [demand.directory.name(who) for who in people if not demand.reaches.of(who, False)]
    if not names:
        return ""
    lacks = "no tested contact that wakes" if demand.reaches.must_wake else "no contact that works here"
    return f". {', '.join(names)} {'has' if len(names) == 1 else 'have'} {lacks}"


def _alike(directory: Directory, alike: Sequence[str]) -> str:
    return f". The same holds for {_named(directory, alike)}" if alike else ""


def _told(directory: Directory, counter: Counterexample, services: Sequence[str]) -> Counterexample:
    """The counterexample with the services that it holds for, where it does not for all."""
    if len(services) > len(directory.services):
        return counter
    return msgspec.structs.replace(
        counter, sentence=f"{counter.sentence} (for {_named(directory, services)})"
    )


def _named(directory: Directory, services: Sequence[str]) -> str:
    named = [
        directory.services[one].name if one else "an alert that names no service"
        for one in services[:MOST_NAMED]
    ]
    more = len(services) - MOST_NAMED
    return listed([*named, f"{more} more service{'s' if more > 1 else ''}"] if more > 0 else named)
