"""Chasing what is owed: reminders before, a recorded miss, nudges after it, and at last somebody else. One message a person.

Chasing stops when the duty is met, waived or moot, because what is owed is asked anew each time.
"""

from __future__ import annotations

import msgspec

from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.chasing import RINGING, escalates_at, is_chased, next_chased, reminders
from tocsin.incidents.duties import Duty, calendar_of, lapses_at, owed
from tocsin.incidents.escalation import one_up
from tocsin.incidents.incident import OWED, Incident
from tocsin.policy.calendar import BusinessCalendar
from tocsin.policy.model import Policy


class Nudge(msgspec.Struct):
    """What one person has to hear: texts of several duties travel together."""

    texts: list[str]
    quiet: bool = True


class Chasing:
    """One look at what an incident owes; gathers what people have to hear."""

    def __init__(self, work: Work, incident: Incident) -> None:
        self.work, self.incident = work, incident
        self.policy: Policy = work.policy(incident)
        self.calendar: BusinessCalendar = calendar_of(incident, self.policy)
        self.severity = self.policy.severity(incident.severity)
        self.business = self.severity.hours == "business"
        self.digest = self.severity.escalation.when_missed == "digest"
        self.nudges: dict[str, Nudge] = {}

    def look(self) -> None:
        """Records every miss, long silences interval by interval, then reminds and chases."""
        while True:
            late = [
                duty
                for duty in owed(self.incident, self.policy)
                if duty.due < self.work.now and duty.id not in self.incident.missed
            ]
            if not late:
                break
            for duty in late:
                self._missed(duty)
        for duty in owed(self.incident, self.policy):
            if not is_chased(duty, self.digest):
                continue
            if duty.id in self.incident.missed:
                self._chase(duty)
            else:
                self._remind(duty)
        lapse = lapses_at(self.incident, self.policy)
        if lapse is not None and lapse < self.work.now:
            reason = "the response fell due and was not met"
            self.work.record(self.incident, f.AcknowledgementLapsed(self.incident.holder, reason))
        self._tell()

    def _missed(self, duty: Duty) -> None:
        people = owner_people(self.work, self.incident, duty.owner)
        self.work.record(self.incident, f.DutyMissed(duty.id, duty.rule, duty.due, duty.owner, people))
        lapses = duty.rule == "respond" and self.incident.holder
        if is_chased(duty) and not self.digest and not lapses:
            self._nudge(people, duty, f"{duty.rule} is overdue: {duty.how}")

    def _remind(self, duty: Duty) -> None:
        due = [
            one
            for one in reminders(duty, self.policy.chase(duty.rule), self.calendar, business=self.business)
            if one.at <= self.work.now and one.key not in self.incident.reminded
        ]
        if not due:
            return
        people = owner_people(self.work, self.incident, duty.owner)
        for one in due:
            self.work.record(self.incident, f.DutyReminded(one.key, duty.rule, duty.due, people))
        self._nudge(people, duty, f"{duty.rule} is due soon: {duty.how}")

    def _chase(self, duty: Duty) -> None:
        terms = self.policy.chase(duty.rule)
        at = escalates_at(duty, terms, self.calendar, business=self.business, digest=self.digest)
        if at is not None and at <= self.work.now and duty.id not in self.incident.escalated:
            target = (
                self.severity.escalation.digest_to if self.digest else terms.escalate_to
            ) or "engineering_lead"
            people = self._target(target, owner_people(self.work, self.incident, duty.owner))
            self.work.record(self.incident, f.DutyChased(duty.id, duty.rule, duty.due, people, 0, target))
            self._nudge(people, duty, f"{duty.rule} is overdue and nobody has met it: {duty.how}")
        done = self.incident.chased.get(duty.id, 0)
        number = done
        while not self.digest:
            following = next_chased(duty, terms, self.calendar, number, business=self.business)
            if following is None or following.at > self.work.now:
                break
            number = following.number
        if number > done:
            people = owner_people(self.work, self.incident, duty.owner)
            self.work.record(self.incident, f.DutyChased(duty.id, duty.rule, duty.due, people, number))
            self._nudge(people, duty, f"{duty.rule} is still overdue: {duty.how}")

    def _target(self, target: str, owing: list[str]) -> list[str]:
        if target in self.policy.roles and (target in self.incident.roles or target == "incident_commander"):
            return owner_people(self.work, self.incident, target)
        service = self.incident.services[0] if self.incident.services else ""
        found = one_up(
            target, self.work.directory, self.work.now, owing, service=service, policy=self.incident.escalation_policy
        )  # fmt: skip
        return list(found)

    def _nudge(self, people: list[str], duty: Duty, text: str) -> None:
        for person in people:
            nudge = self.nudges.setdefault(person, Nudge([]))
            if text not in nudge.texts:
                nudge.texts.append(text)
            nudge.quiet = nudge.quiet and duty.rule not in RINGING

    def _tell(self) -> None:
        together: dict[tuple[str, bool], list[str]] = {}
        for person, nudge in self.nudges.items():
            together.setdefault(("\n".join(nudge.texts), nudge.quiet), []).append(person)
        for number, ((text, quiet), people) in enumerate(together.items()):
            reason = text.split(":", 1)[0] if "\n" not in text else "several duties"
            self.work.record(
                self.incident,
                f.Told("owner", people, f"{OWED}{self.work.now}:{number}", reason, text, quiet),
            )


def chase(work: Work, incident: Incident) -> None:
    """Does everything that is due about what the incident owes."""
    Chasing(work, incident).look()


def owner_people(work: Work, incident: Incident, role: str) -> list[str]:
    """Who owes what belongs to ``role`` now, resolved at the moment of asking.

    A role of the incident: its holder, else the commander, else who acknowledged, else those being paged. A position of
    the organisation (the CEO, the engineering manager): whoever holds it, else as for a role that nobody holds.
    """
    if role == "tocsin":
        return []
    policy = work.policy(incident)
    if role in policy.positions and role not in policy.roles and role != "on_call":
        service = incident.services[0] if incident.services else ""
        found = work.directory.resolve(role, work.now, service=service, policy=incident.escalation_policy)
        if found.people:
            return list(found.people)
    holder = incident.roles.get(role) or incident.roles.get("incident_commander")
    if role != "on_call" and holder is not None:
        return [holder.person]
    if incident.holder:
        return [incident.holder]
    running = [run for run in incident.runs.values() if run.state == "running" and run.latest]
    return list(max(running, key=lambda run: run.last_step_at).latest) if running else []
