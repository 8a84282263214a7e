"""Chasing what is owed: reminders before, a recorded miss, nudges after it, and at last somebody else. One message a person.

Chasing stops when the duty is met, waived or moot, because what is owed is asked anew each time. It is the same for
every kind of stream; a :class:`Book` says what that stream owes and whom it asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.chasing import (
    RINGING,
    escalates_at,
    first_moment,
    is_chased,
    next_chased,
    reminders,
)
from tocsin.incidents.duties import Duty, calendar_of, label, lapses_at, owed
from tocsin.incidents.escalation import one_up
from tocsin.incidents.incident import OWED, Incident
from tocsin.kernel.clock import Instant
from tocsin.policy.calendar import BusinessCalendar
from tocsin.policy.model import Chase, Policy


class Book(Protocol):
    """What a stream owes, by whose hours, and whom it asks."""

    calendar: BusinessCalendar
    business: bool
    """people are chased in business hours only"""
    digest: bool
    """what is missed is told in the next business-day digest alone"""

    def owed(self) -> list[Duty]: ...
    def terms(self, rule: str) -> Chase: ...
    def owner(self, role: str) -> list[str]: ...
    def target(self, wanted: str, owing: list[str]) -> list[str]: ...
    def escalate_to(self, terms: Chase) -> str: ...


class Nudge(msgspec.Struct):
    """What one person has to hear: texts of several duties travel together."""

    texts: list[str]
    quiet: bool = True


class Chasing:
    """One look at what a stream owes; gathers what people have to hear. ``state`` remembers what was said already."""

    def __init__(self, work: Work, state: Any, book: Book) -> None:
        self.work, self.state, self.book = work, state, book
        self.nudges: dict[str, Nudge] = {}

    def look(self) -> None:
        """Records every miss, long silences interval by interval, then reminds and chases."""
        while True:
            late = [
                duty
                for duty in self.book.owed()
                if duty.due < self.work.now and duty.id not in self.state.missed
            ]
            if not late:
                break
            for duty in late:
                self._missed(duty)
        for duty in self.book.owed():
            if not is_chased(duty, self.book.digest):
                continue
            if duty.id in self.state.missed:
                self._chase(duty)
            else:
                self._remind(duty)

    def _missed(self, duty: Duty) -> None:
        people = self.book.owner(duty.owner)
        self.work.record(self.state, f.DutyMissed(duty.id, duty.rule, duty.due, duty.owner, people))
        lapses = duty.rule == "respond" and bool(getattr(self.state, "holder", False))
        if is_chased(duty) and not self.book.digest and not lapses:
            self._nudge(people, duty, f"overdue: {label(duty)} ({duty.how})")

    def _remind(self, duty: Duty) -> None:
        book = self.book
        due = [
            one
            for one in reminders(duty, book.terms(duty.rule), book.calendar, business=book.business)
            if one.at <= self.work.now and one.key not in self.state.reminded
        ]
        if not due:
            return
        people = book.owner(duty.owner)
        for one in due:
            self.work.record(self.state, f.DutyReminded(one.key, duty.rule, duty.due, people))
        self._nudge(people, duty, f"due soon: {label(duty)} ({duty.how})")

    def _chase(self, duty: Duty) -> None:
        book, terms = self.book, self.book.terms(duty.rule)
        at = escalates_at(duty, terms, book.calendar, business=book.business, digest=book.digest)
        if at is not None and at <= self.work.now and duty.id not in self.state.escalated:
            target = book.escalate_to(terms)
            people = book.target(target, book.owner(duty.owner))
            self.work.record(self.state, f.DutyChased(duty.id, duty.rule, duty.due, people, 0, target))
            self._nudge(people, duty, f"overdue, and nobody has met it: {label(duty)} ({duty.how})")
        done = self.state.chased.get(duty.id, 0)
        number = done
        while not book.digest:
            following = next_chased(duty, terms, book.calendar, number, business=book.business)
            if following is None or following.at > self.work.now:
                break
            number = following.number
        if number > done:
            people = book.owner(duty.owner)
            self.work.record(self.state, f.DutyChased(duty.id, duty.rule, duty.due, people, number))
            self._nudge(people, duty, f"still overdue: {label(duty)} ({duty.how})")

    def _nudge(self, people: list[str], duty: Duty, text: str) -> None:
        for person in people:
            nudge = self.nudges.setdefault(person, Nudge([]))
            if text not in nudge.texts:
                nudge.texts.append(text)
            nudge.quiet = nudge.quiet and duty.rule not in RINGING

    def tell(self) -> None:
        """One message for each person; those who hear the same share a fact."""
        together: dict[tuple[str, bool], list[str]] = {}
        for person, nudge in self.nudges.items():
            together.setdefault(("\n".join(nudge.texts), nudge.quiet), []).append(person)
        for number, ((text, quiet), people) in enumerate(together.items()):
            reason = text.split(":", 1)[0] if "\n" not in text else "several duties"
            kind = f"{OWED}{self.work.now}:{number}"
            self.work.record(self.state, f.Told("owner", people, kind, reason, text, quiet))


def miss_late(work: Work, state: Any, book: Book) -> None:
    """Records what is late before a command changes what is owed: its timer may not have been looked at yet."""
    for duty in book.owed():
        if duty.due < work.now and duty.id not in state.missed:
            people = book.owner(duty.owner)
            work.record(state, f.DutyMissed(duty.id, duty.rule, duty.due, duty.owner, people))


class IncidentBook:
    """What an incident owes."""

    def __init__(self, work: Work, incident: Incident) -> None:
        self.work, self.incident = work, incident
        self.policy: Policy = work.policy(incident)
        self.calendar = calendar_of(incident, self.policy)
        self.severity = self.policy.severity(incident.severity)
        self.business = self.severity.hours == "business"
        self.digest = self.severity.escalation.when_missed == "digest"

    def owed(self) -> list[Duty]:
        return owed(self.incident, self.policy)

    def terms(self, rule: str) -> Chase:
        return self.policy.chase(rule)

    def owner(self, role: str) -> list[str]:
        return owner_people(self.work, self.incident, role)

    def escalate_to(self, terms: Chase) -> str:
        wanted = self.severity.escalation.digest_to if self.digest else terms.escalate_to
        return wanted or "engineering_lead"

    def target(self, wanted: str, owing: list[str]) -> list[str]:
        if wanted in self.policy.roles and (wanted in self.incident.roles or wanted == "incident_commander"):
            return owner_people(self.work, self.incident, wanted)
        service = self.incident.services[0] if self.incident.services else ""
        found = one_up(
            wanted, self.work.directory, self.work.now, owing, service=service, policy=self.incident.escalation_policy
        )  # fmt: skip
        return list(found)


def chase(work: Work, incident: Incident) -> None:
    """Does everything that is due about what the incident owes."""
    book = IncidentBook(work, incident)
    chasing = Chasing(work, incident, book)
    chasing.look()
    lapse = lapses_at(incident, book.policy)
    if lapse is not None and lapse < work.now:
        reason = "the response fell due and was not met"
        work.record(incident, f.AcknowledgementLapsed(incident.holder, reason))
    chasing.tell()


def next_moment(state: Any, book: Book) -> Instant | None:
    """When the next reminder, miss or nudge of anything that a stream owes is due."""
    return first_moment(
        book.owed(), state, book.terms, book.calendar, business=book.business, digest=book.digest
    )


def owner_people(work: Work, incident: Incident, role: str) -> list[str]:
    """Who owes what belongs to ``role`` now, resolved at the moment of asking.

    A role of the incident: its holder, else the commander, else who acknowledged, else those being paged. A position of
    the organisation (the CEO, the engineering manager): whoever holds it, else as for a role that nobody holds. Whoever is
    off is passed over for the next of these who is not; where nobody is left, whoever is on leave owes it all the same.
    """
    if role == "tocsin":
        return []
    asked = list(_owners(work, incident, role))
    for people in asked:
        present = [person for person in people if not work.directory.off(person, work.now)]
        if present:
            return present
    away = ([one for one in people if work.directory.on_leave(one, work.now)] for people in asked)
    return next((people for people in away if people), [])


def _owners(work: Work, incident: Incident, role: str) -> Iterator[list[str]]:
    """Those whom it could be, one after another."""
    policy = work.policy(incident)
    if role in policy.positions and role not in policy.roles and role != "on_call":
        service = incident.services[0] if incident.services else ""
        found = work.directory.resolve(role, work.now, service=service, policy=incident.escalation_policy)
        yield list(found.people)
    if role != "on_call":
        for name in dict.fromkeys((role, "incident_commander")):
            if name in incident.roles:
                yield [incident.roles[name].person]
    if incident.holder:
        yield [incident.holder]
    running = [run for run in incident.runs.values() if run.state == "running" and run.latest]
    if running:
        yield list(max(running, key=lambda run: run.last_step_at).latest)
