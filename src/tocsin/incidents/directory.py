"""Whom a name means at an instant: people, teams, schedules, leave and escalation policies looked up together.

The directory is live: it is rebuilt when a record changes and never frozen with an incident. It reads no clock.

A target is a name from the policy's chain (``on_call``, ``secondary``, ``engineering_lead``, ``cto``,
``incident_commander`` …) or a reference (``person:anna``, ``schedule:payments#secondary``, ``team:payments``,
``org:cto``, ``service:checkout``).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from tocsin.catalogue import people as people_module
from tocsin.catalogue.people import Contact, Person
from tocsin.catalogue.services import Service
from tocsin.catalogue.teams import Team
from tocsin.kernel.clock import Instant, to_iso
from tocsin.kernel.codec import decode
from tocsin.oncall.escalation import EscalationPolicy, parse_reference
from tocsin.oncall.schedules import (
    Gap,
    Leave,
    OnCall,
    Override,
    Schedule,
    gaps,
    has_secondary,
    next_change,
    who,
)

MAX_HOPS = 8
"""How many times one target may point at another before it is called a circle."""
NO_CONTACT = "without any contact"


class OrganisationSettings(msgspec.Struct, frozen=True):
    """What belongs to the organisation as a whole: its name, its zone, and the schedule of incident commanders.

    ``default_team`` answers for what no team owns; empty: the first team, by id, that has a schedule. ``war_room`` is the
    address where a response meets, ``{incident}`` standing for its number; empty: the incident's own page.
    """

    name: str = ""
    zone: str = "UTC"
    commander_schedule: str = ""
    default_team: str = ""
    war_room: str = ""


class Resolved(msgspec.Struct, frozen=True):
    """Whom a target means: ``people`` (person ids), why, and who was left out with the reason.

    ``anyway``: everybody meant is on leave and is named all the same. ``people`` is empty where there is nobody.
    """

    target: str
    people: tuple[str, ...]
    reason: str
    skipped: tuple[tuple[str, str], ...] = ()
    anyway: bool = False


class Held(msgspec.Struct, frozen=True):
    """Whom a target ``meant`` at ``since``, and until when at least that stays so (None: for ever)."""

    since: Instant
    until: Instant | None
    meant: Resolved


class Unreachable(msgspec.Struct, frozen=True):
    """Somebody on call whom no tested channel can wake, and the sentence to show."""

    person: str
    schedule: str
    position: str
    sentence: str


class _Meant(msgspec.Struct):
    """Candidates before leave is looked at: ``people`` first, ``stand_ins`` where all of those are off."""

    people: tuple[str, ...]
    reason: str
    stand_ins: tuple[str, ...] = ()


RECORD_TYPES: dict[str, type[msgspec.Struct]] = {
    "organisation": OrganisationSettings,
    "person": Person,
    "team": Team,
    "service": Service,
    "schedule": Schedule,
    "override": Override,
    "leave": Leave,
    "escalation_policy": EscalationPolicy,
}
"""Kind of a stored record → what its JSON holds."""


class Directory:
    """Everything the engine asks about people. Immutable by convention; indexes are built once."""

    def __init__(
        self, *, people: Iterable[Person] = (), teams: Iterable[Team] = (), services: Iterable[Service] = (),
        schedules: Iterable[Schedule] = (), overrides: Iterable[Override] = (), leaves: Iterable[Leave] = (),
        escalation_policies: Iterable[EscalationPolicy] = (), settings: OrganisationSettings | None = None,
        commander_schedule: str = "",
    ) -> None:  # fmt: skip
        self.settings = settings or OrganisationSettings(commander_schedule=commander_schedule)
        self.commander_schedule = commander_schedule or self.settings.commander_schedule
        self.people: Mapping[str, Person] = {person.id: person for person in people}
        self.teams: Mapping[str, Team] = {team.id: team for team in teams}
        self.services: Mapping[str, Service] = {service.id: service for service in services}
        self.aliases: dict[str, str] = {}
        """every name of a service, in lower case → its id; an id comes before a name, a name before an alias"""
        for names_of in (lambda one: (one.id,), lambda one: (one.name,), lambda one: one.aliases):
            for service in self.services.values():
                for known in names_of(service):
                    self.aliases.setdefault(known.strip().lower(), service.id)
        self.schedules: Mapping[str, Schedule] = {schedule.id: schedule for schedule in schedules}
        self.overrides: tuple[Override, ...] = tuple(overrides)
        self.leaves: tuple[Leave, ...] = tuple(leaves)
        self.escalation_policies: Mapping[str, EscalationPolicy] = {
            policy.id: policy for policy in escalation_policies
        }
        self._by_login = {
            name.casefold(): one for one in self.people.values() for name in (one.email, one.login) if name
        }
        self._overrides_of: dict[str, list[Override]] = {}
        for override in self.overrides:
            self._overrides_of.setdefault(override.schedule, []).append(override)
        # an answer says over which stretch it holds, so the last one is worth keeping; nothing else ever changes here
        self._answers: dict[tuple[str, str], OnCall] = {}
        self.stretches: dict[tuple[str, str, str], Held] = {}
        """(target, service, policy) → a stretch over which its last answer holds; kept by :mod:`tocsin.incidents.sweep`"""
        self._leaves_of: dict[str, list[Leave]] = {}
        for leave in self.leaves:
            self._leaves_of.setdefault(leave.person, []).append(leave)
        self._org: dict[str, tuple[str, ...]] = {}
        for person in self.people.values():
            for org_role in person.org_roles:
                self._org[org_role] = (*self._org.get(org_role, ()), person.id)

    @classmethod
    def from_records(cls, records: Iterable[tuple[str, bytes]]) -> Directory:
        """Builds it from (kind, JSON) pairs as stored; kinds that are none of its business are passed over.

        Overrides must come in the order in which they were added: the last one wins.
        """
        found: dict[str, list[msgspec.Struct]] = {kind: [] for kind in RECORD_TYPES}
        for kind, body in records:
            if kind in RECORD_TYPES:
                found[kind].append(decode(body, RECORD_TYPES[kind]))
        parts: dict[str, list] = found  # type: ignore[assignment]  # each list holds its kind's struct
        return cls(
            people=parts["person"], teams=parts["team"], services=parts["service"], schedules=parts["schedule"],
            overrides=parts["override"], leaves=parts["leave"], escalation_policies=parts["escalation_policy"],
            settings=parts["organisation"][-1] if parts["organisation"] else None,
        )  # fmt: skip

    # people

    def name(self, person_id: str) -> str:
        """What to call somebody; the id itself where nobody has it."""
        person = self.people.get(person_id)
        return person.name if person else person_id

    def person_by_login(self, login: str) -> Person | None:
        """The person who signs in with, or has the e-mail address, ``login``; letter case does not matter."""
        return self._by_login.get(login.strip().casefold())

    def off(self, person_id: str, at: Instant) -> str:
        """Why a person must not be paged at ``at``: unknown, deactivated or on leave; empty where they may be."""
        person = self.people.get(person_id)
        if person is None:
            return "nobody has this id"
        if not person.active:
            return "deactivated"
        leave = next((one for one in self._leaves_of.get(person_id, ()) if one.start <= at < one.end), None)
        if leave is None:
            return ""
        return f"on leave until {to_iso(leave.end)}" + (f" ({leave.reason})" if leave.reason else "")

    def on_leave(self, person_id: str, at: Instant) -> bool:
        """Whether the person is active but away."""
        person = self.people.get(person_id)
        return bool(person and person.active and self.off(person_id, at))

    def interrupting_contacts(self, person_id: str) -> tuple[Contact, ...]:
        """The contacts that can wake the person, tested ones first."""
        person = self.people.get(person_id)
        return people_module.interrupting_contacts(person) if person else ()

    # schedules

    def overrides_of(self, schedule_id: str) -> Sequence[Override]:
        """The overrides of one schedule in the order in which they were added."""
        return self._overrides_of.get(schedule_id, ())

    def on_call(self, schedule_id: str, at: Instant, position: str = "primary") -> OnCall:
        """Who holds a position by the schedule alone, leave not looked at."""
        known = self._answers.get((schedule_id, position))
        if (
            known is not None
            and (known.since is None or known.since <= at)
            and (known.until is None or at < known.until)
        ):
            return known
        schedule = self.schedules.get(schedule_id)
        if schedule is None:
            return OnCall(None, None, None, f"there is no schedule {schedule_id}")
        answer = who(schedule, at, self.overrides_of(schedule_id), position)
        self._answers[schedule_id, position] = answer
        return answer

    def next_change(self, schedule_id: str, at: Instant, position: str = "primary") -> Instant | None:
        """When somebody else takes over, or None."""
        schedule = self.schedules.get(schedule_id)
        return next_change(schedule, at, self.overrides_of(schedule_id), position) if schedule else None

    def gaps(self, start: Instant, end: Instant) -> list[tuple[str, Gap]]:
        """(schedule, gap) wherever nobody could answer between the two instants, earliest first."""
        found = [
            (schedule.id, gap)
            for schedule in self.schedules.values()
            for gap in gaps(schedule, start, end, self.overrides_of(schedule.id), self.leaves)
        ]
        return sorted(found, key=lambda pair: (pair[1].start, pair[0], pair[1].position))

    def untested_on_call(self, at: Instant, kinds: Collection[str] | None = None) -> list[Unreachable]:
        """Everybody on call at ``at`` whom no tested interrupting channel (of ``kinds``: those configured) can wake."""
        found = []
        for schedule in self.schedules.values():
            for position in ("primary", "secondary"):
                holder = self.on_call(schedule.id, at, position).person
                if holder is None or self.off(holder, at):
                    continue
                person = self.people[holder]
                if not people_module.is_wakeable(person, kinds):
                    sentence = f"a P1 will not wake {person.name} ({position} of {schedule.name}): {_missing_channel(person, kinds)}"
                    found.append(Unreachable(holder, schedule.id, position, sentence))
        return found

    # services and teams

    def service(self, name: str) -> Service | None:
        """The service of that id, name or alias."""
        return self.services.get(name) or self.services.get(self.aliases.get(name.strip().lower(), ""))

    def team_of(self, service: str) -> Team | None:
        """The team that owns a service."""
        known = self.service(service) if service else None
        return self.teams.get(known.team) if known else None

    def default_team(self) -> Team | None:
        """Who answers for what no team owns, so that nothing is paged to nobody."""
        named = self.teams.get(self.settings.default_team)
        return named or next(
            (self.teams[id] for id in sorted(self.teams) if self.teams[id].schedule in self.schedules), None
        )

    def answering_team(
        self, *, service: str = "", team: str = "", policy: str = ""
    ) -> tuple[Team | None, str]:
        """The team whose schedule is paged, and why where it is not simply the owner.

        The team asked for, else the service's, else the escalation policy's; where that has no schedule, the default.
        """
        escalation = self.escalation_policy_for(service=service, team=team, policy=policy)
        owner = self._owner(service, team, escalation)
        if owner is not None and owner.schedule in self.schedules:
            return owner, ""
        why = f"the team {owner.name} has no schedule" if owner else "no team owns this"
        fallback = self.default_team()
        return (
            fallback,
            f"{why}, so {fallback.name} answers"
            if fallback
            else f"{why}, and there is no team with a schedule",
        )

    def calendar_of(self, service: str) -> str:
        """The name of the business calendar of the owning team; empty for the default."""
        team = self.team_of(service)
        return team.calendar if team else ""

    def escalation_policy_for(
        self, *, service: str = "", team: str = "", policy: str = ""
    ) -> EscalationPolicy | None:
        """The one named, else the owning team's, else one that names the team, else None."""
        if policy in self.escalation_policies:
            return self.escalation_policies[policy]
        owner = self.teams.get(team) or self.team_of(service)
        if owner is None:
            return None
        if owner.escalation_policy in self.escalation_policies:
            return self.escalation_policies[owner.escalation_policy]
        return next((one for one in self.escalation_policies.values() if one.team == owner.id), None)

    # targets

    def resolve(
        self, target: str, at: Instant, *, service: str = "", team: str = "", policy: str = "", to_page: bool = False
    ) -> Resolved:  # fmt: skip
        """Whom ``target`` means at ``at`` for a service, a team or an escalation policy (ids; the last wins).

        People who are off are skipped. Where an on-call person is off, the secondary stands in. Where everybody who
        should be paged is on leave, they are named anyway; deactivated people never are. ``to_page``: nor is anybody who has no
        contact at all, because nothing would leave.
        """
        meant = self._meant(target, at, service, team, policy)
        present, skipped = self._present(meant.people, at, to_page)
        if present:
            return Resolved(target, present, meant.reason, skipped)
        stand_ins, also_off = self._present(
            tuple(one for one in meant.stand_ins if one not in meant.people), at, to_page
        )
        skipped += also_off
        named = ", ".join(f"{self.name(person)} is {why}" for person, why in skipped)
        if stand_ins:
            reason = (
                f"{meant.reason}; {named}: the secondary stands in"
                if named
                else f"{meant.reason}; the secondary stands in"
            )
            return Resolved(target, stand_ins[:1], reason, skipped)
        absent = [person for person, why in skipped if why != NO_CONTACT and self.on_leave(person, at)]
        away = tuple(one for one in absent if one in meant.people) or tuple(absent)
        if away:
            silent = [self.name(person) for person, why in skipped if why == NO_CONTACT]
            said = f"{', '.join(silent)} without any contact, and everybody else" if silent else "everybody"
            reason = f"{meant.reason}; {said} who should be paged is on leave, so they are paged anyway"
            return Resolved(
                target, away, reason, tuple(pair for pair in skipped if pair[0] not in away), anyway=True
            )
        reason = meant.reason if not skipped else f"{meant.reason}; nobody there can be paged: {named}"
        return Resolved(target, (), reason, skipped)

    def _present(
        self, people: Iterable[str], at: Instant, to_page: bool = False
    ) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
        reasons = [(person, self.absent(person, at, to_page=to_page)) for person in dict.fromkeys(people)]
        return tuple(one for one, why in reasons if not why), tuple((one, why) for one, why in reasons if why)

    def absent(self, person_id: str, at: Instant, *, to_page: bool) -> str:
        """Why somebody is passed over; empty where they are not. ``to_page``: whoever has no contact is, on leave or not."""
        off, person = self.off(person_id, at), self.people.get(person_id)
        silent = to_page and person is not None and person.active and not person.contacts
        return NO_CONTACT if silent else off

    def _meant(self, target: str, at: Instant, service: str, team: str, policy: str) -> _Meant:
        escalation = self.escalation_policy_for(service=service, team=team, policy=policy)
        owner, why = self.answering_team(service=service, team=team, policy=policy)
        seen = [target]
        while escalation is not None and target in escalation.targets and len(seen) <= MAX_HOPS:
            target = escalation.targets[target]
            if target in seen:  # on_call: on_call means the default
                break
            seen.append(target)
        reference = parse_reference(target)
        if reference is None:
            return self._named(target, at, owner, self._owner(service, team, escalation), why)
        if reference.kind == "schedule":
            return self._scheduled(reference.id, at, reference.position)
        if reference.kind == "person":
            return _Meant((reference.id,), f"{self.name(reference.id)} by name")
        if reference.kind == "team":
            known = self.teams.get(reference.id)
            if known is None:
                return _Meant((), f"there is no team {reference.id}")
            return _Meant(
                known.members,
                f"all of the team {known.name}" if known.members else f"the team {known.name} has no members",
            )
        if reference.kind == "org":
            return self._organisational(reference.id)
        if self.service(reference.id) is None:
            return _Meant((), f"there is no service {reference.id}")
        answering, why = self.answering_team(service=reference.id)
        return self._of_team("on_call", at, answering, why)

    def _owner(self, service: str, team: str, escalation: EscalationPolicy | None) -> Team | None:
        return (
            self.teams.get(team)
            or self.team_of(service)
            or (self.teams.get(escalation.team) if escalation else None)
        )

    def _named(
        self, target: str, at: Instant, answering: Team | None, owner: Team | None, why: str
    ) -> _Meant:
        if target in ("incident_commander", "commander", "secondary_commander"):
            if not self.commander_schedule:
                return _Meant((), "there is no commander rotation: name a commander_schedule")
            return self._scheduled(
                self.commander_schedule, at, "secondary" if target == "secondary_commander" else "primary"
            )
        if target in ("on_call", "technical_lead", "secondary"):
            return self._of_team(target, at, answering, why)
        if target in ("engineering_lead", "engineering_manager"):
            for team in (owner, answering):
                person = getattr(team, target, "")
                if team is not None and person:
                    return _Meant(
                        (person,), f"{self.name(person)} is the {target.replace('_', ' ')} of {team.name}"
                    )
        return self._organisational(target)

    def _of_team(self, target: str, at: Instant, answering: Team | None, why: str) -> _Meant:
        if answering is None:
            return _Meant((), f"{why}: {target} means nobody")
        meant = self._scheduled(answering.schedule, at, "secondary" if target == "secondary" else "primary")
        if why:
            meant.reason = f"{why}; {meant.reason}"
        return meant

    def _organisational(self, org_role: str) -> _Meant:
        holders = self._org.get(org_role, ())
        shown = org_role.replace("_", " ")
        shown = shown.upper() if org_role in ("cto", "ceo", "coo", "cfo", "ciso") else shown
        if not holders:
            return _Meant((), f"nobody is {shown}: give somebody the org role {org_role}")
        return _Meant(holders, f"{', '.join(self.name(person) for person in holders)}: {shown}")

    def _scheduled(self, schedule_id: str, at: Instant, position: str) -> _Meant:
        schedule = self.schedules.get(schedule_id)
        if schedule is None:
            return _Meant((), f"there is no schedule {schedule_id}")
        answer = self.on_call(schedule_id, at, position)
        stand_ins: tuple[str, ...] = ()
        if position == "primary" and has_secondary(schedule):
            second = self.on_call(schedule_id, at, "secondary").person
            stand_ins = (second,) if second else ()
        if answer.person is None:
            return _Meant((), f"nobody is {position} of {schedule.name}: {answer.reason}", stand_ins)
        return _Meant(
            (answer.person,),
            f"{self.name(answer.person)} is {position} of {schedule.name}: {answer.reason}",
            stand_ins,
        )


def _missing_channel(person: Person, kinds: Collection[str] | None = None) -> str:
    waking = people_module.interrupting_contacts(person)
    usable = [contact for contact in waking if kinds is None or contact.kind in kinds]
    if waking and not usable:
        named = " and ".join(dict.fromkeys(contact.kind for contact in waking))
        return f"no {named} channel is configured here; set it up, or give another contact"
    waking = tuple(usable)
    if waking:
        return f"{waking[0].label or waking[0].kind} was never tested; send a test page"
    if person.contacts:
        return f"only {', '.join(sorted({contact.kind for contact in person.contacts}))}, which wakes nobody; add ntfy, SMS or voice"
    return "no contact at all; add ntfy, SMS or voice"
