"""An organisation in one readable file: people, teams, services, schedules. For demonstrations, drills and imports.

The file is strict: an unknown key, a person nobody has, a time that cannot be read are faults with file and line, and
all of them are reported together. ``now`` resolves relative times such as ``monday -4 weeks 09:00``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from importlib import resources
from typing import Any

import msgspec

from tocsin.catalogue.people import ANY_SEVERITY, CONTACT_KINDS, ROLES, Contact, NotificationRule, Person
from tocsin.catalogue.reading import Node, did_you_mean, missing, read_document
from tocsin.catalogue.services import Link, Service, ServiceContact, by_id, cycle
from tocsin.catalogue.teams import Team
from tocsin.incidents.directory import RECORD_TYPES, Directory, OrganisationSettings
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import Unusable, UnusableMany
from tocsin.kernel.ports import RecordRow
from tocsin.oncall.escalation import TARGETS, EscalationPolicy, EscalationStep, parse_reference
from tocsin.oncall.relative import WEEKDAYS, parse_duration, parse_local, parse_moment
from tocsin.oncall.rotations import Rotation, Window, check_rotation
from tocsin.oncall.schedules import POSITIONS, Leave, Override, Schedule
from tocsin.oncall.walltime import wall_text, zone_of

_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")
_SECTIONS = (
    "organisation", "zone", "commander_schedule", "default_team", "war_room", "people", "teams", "services", "schedules", "overrides", "leaves",
    "escalation_policies", "routes", "integrations",
)  # fmt: skip
_ALL_DAYS = tuple(range(7))


class Organisation(msgspec.Struct):
    """Everything such a file holds. ``routes`` and ``integrations`` stay plain data for those who know their meaning."""

    settings: OrganisationSettings = OrganisationSettings()
    people: tuple[Person, ...] = ()
    teams: tuple[Team, ...] = ()
    services: tuple[Service, ...] = ()
    schedules: tuple[Schedule, ...] = ()
    overrides: tuple[Override, ...] = ()
    leaves: tuple[Leave, ...] = ()
    escalation_policies: tuple[EscalationPolicy, ...] = ()
    routes: list[dict[str, Any]] = []
    integrations: list[dict[str, Any]] = []

    def directory(self) -> Directory:
        """The directory of these people."""
        return Directory(
            people=self.people, teams=self.teams, services=self.services, schedules=self.schedules,
            overrides=self.overrides, leaves=self.leaves, escalation_policies=self.escalation_policies,
            settings=self.settings,
        )  # fmt: skip


def load_organisation(text: str, filename: str, *, now: Instant) -> Organisation:
    """Reads the file; raises :class:`UnusableMany` with every fault and its line."""
    root = read_document(text, filename)
    organisation = _Reader(root, now).read()
    if root.faults:
        raise UnusableMany(sorted(root.faults, key=lambda fault: int(fault.where.rpartition(":")[2])))
    return organisation


def demo_organisation(now: Instant) -> Organisation:
    """The fictional company of the demonstration and of drills, its rotations under way at ``now``."""
    name = "demo_organisation.yaml"
    return load_organisation(
        resources.files("tocsin.incidents").joinpath(name).read_text("utf-8"), name, now=now
    )


class _Reader:
    """Walks the file once; ids of all sections are known before any of them is read."""

    def __init__(self, root: Node, now: Instant) -> None:
        self.now = now
        self.root = root
        self.sections = root.mapping(_SECTIONS, "an organisation")
        self.zone = self._zone(self._section("zone"), "UTC")
        self.ids = {
            name: tuple(self._section(name).mapping(what=name))
            for name in ("people", "teams", "services", "schedules", "escalation_policies")
        }
        root.faults.clear()  # the sections are read again below, and would say the same twice
        root.mapping(_SECTIONS, "an organisation")

    def read(self) -> Organisation:
        self._zone(self._section("zone"), "UTC")
        settings = OrganisationSettings(
            self._section("organisation").text(what="organisation"), self.zone,
            self._section("commander_schedule").reference(self.ids["schedules"], "schedule"),
            self._section("default_team").reference(self.ids["teams"], "team"),
            self._section("war_room").text(what="war_room"),
        )  # fmt: skip
        people = tuple(self._person(key, node) for key, node in self._entries("people"))
        self.org_roles = {role for person in people for role in person.org_roles}
        services = tuple(self._service(key, node) for key, node in self._entries("services"))
        circle = cycle(by_id(services))
        if circle:
            self._section("services").fault(
                f"services depend on each other in a circle: {' → '.join(circle)}"
            )
        return Organisation(
            settings, people, tuple(self._team(key, node) for key, node in self._entries("teams")), services,
            tuple(self._schedule(key, node) for key, node in self._entries("schedules")),
            tuple(self._override(number, node) for number, node in enumerate(self._section("overrides").items("overrides"), 1)),
            tuple(self._leave(number, node) for number, node in enumerate(self._section("leaves").items("leaves"), 1)),
            tuple(self._escalation(key, node) for key, node in self._entries("escalation_policies")),
            self._raw("routes"), self._raw("integrations"),
        )  # fmt: skip

    # small things

    def _section(self, name: str) -> Node:
        return self.sections.get(name) or missing(self.root)

    def _entries(self, name: str) -> list[tuple[str, Node]]:
        entries = list(self._section(name).mapping(what=name).items())
        for key, node in entries:
            if not _ID.fullmatch(key):
                node.fault(f"{key!r} is not an id: use lowercase letters, digits, - and _")
        return entries

    def _fields(self, node: Node, what: str, known: str, required: str = "") -> _Fields:
        fields = node.mapping(known.split(), what)
        for name in required.split():
            if name not in fields or fields[name].empty:
                node.fault(f"{what} needs a {name}")
        return _Fields(node, fields)

    def _zone(self, node: Node, default: str) -> str:
        name = node.text(default, "zone")
        return node.attempt(lambda: zone_of(name).key, default)

    def _moment(self, node: Node, zone: str) -> Instant:
        return 0 if node.empty else node.attempt(lambda: parse_moment(node.text(), zone, self.now), 0)

    def _raw(self, name: str) -> list[dict[str, Any]]:
        found = []
        for node in self._section(name).items(name):
            value = node.plain()
            if isinstance(value, dict):
                found.append(value)
            else:
                node.fault(f"each of {name} must be a mapping (key: value)")
        return found

    def _references(self, node: Node, known: Collection[str], what: str) -> tuple[str, ...]:
        return tuple(one.reference(known, what) for one in node.scalars(what))

    # people and teams

    def _person(self, key: str, node: Node) -> Person:
        fields = self._fields(
            node,
            f"person {key}",
            "name email login zone locale role contacts rules active org_roles senior",
            "name",
        )
        email = fields["email"].text()
        contacts = tuple(self._contact(one, key, email) for one in fields["contacts"].items("contacts"))
        known = [contact.id for contact in contacts]
        for twice in sorted({name for name in known if known.count(name) > 1}):
            fields["contacts"].fault(f"{key} has two contacts called {twice}: give one of them another id")
        return Person(
            key, fields["name"].text(key), email, fields["login"].text(key), self._zone(fields["zone"], self.zone),
            fields["locale"].text("en"), fields["role"].choice("responder", ROLES, "role"), contacts,
            tuple(self._rule(one, known) for one in fields["rules"].items("rules")),
            fields["active"].boolean(True, "active"), fields["org_roles"].texts("org_roles"),
            fields["senior"].boolean(False, "senior"),
        )  # fmt: skip

    def _contact(self, node: Node, person: str, email: str) -> Contact:
        fields = self._fields(node, "a contact", "id kind address label verified tested", "kind")
        kind = fields["kind"].choice("console", CONTACT_KINDS, "kind")
        address = fields["address"].text(
            email if kind == "email" else person if kind in ("console", "app") else ""
        )
        if not address:
            node.fault(f"a contact of kind {kind} needs an address")
        name = fields["id"].text() or fields["label"].text() or kind
        tested = self._done(fields["tested"])
        return Contact(
            name, kind, address, fields["label"].text(), self._done(fields["verified"]) or tested, tested
        )

    def _done(self, node: Node) -> Instant:
        """``true`` means now, ``false`` never; a time is taken as it is."""
        text = node.text().casefold()
        if text in ("", "false", "no"):
            return 0
        return self.now if text in ("true", "yes") else self._moment(node, self.zone)

    def _rule(self, node: Node, contacts: Collection[str]) -> NotificationRule:
        fields = self._fields(node, "a rule", "severities after contact", "contact")
        return NotificationRule(
            fields["severities"].texts("severities") or (ANY_SEVERITY,), self._duration(fields["after"]),
            fields["contact"].reference(contacts, "contact"),
        )  # fmt: skip

    def _duration(self, node: Node) -> int:
        return 0 if node.empty else node.attempt(lambda: parse_duration(node.text()), 0)

    def _team(self, key: str, node: Node) -> Team:
        fields = self._fields(
            node, f"team {key}",
            "name members schedule engineering_lead engineering_manager calendar escalation_policy", "name",
        )  # fmt: skip
        people = self.ids["people"]
        return Team(
            key, fields["name"].text(key), self._references(fields["members"], people, "person"),
            fields["schedule"].reference(self.ids["schedules"], "schedule"),
            fields["engineering_lead"].reference(people, "person"),
            fields["engineering_manager"].reference(people, "person"), fields["calendar"].text(),
            fields["escalation_policy"].reference(self.ids["escalation_policies"], "escalation policy"),
        )  # fmt: skip

    # services

    def _service(self, key: str, node: Node) -> Service:
        fields = self._fields(
            node, f"service {key}",
            "name component team depends_on criticality aliases runbook dashboards links contacts", "name",
        )  # fmt: skip
        return Service(
            key, fields["name"].text(key), fields["component"].text(),
            fields["team"].reference(self.ids["teams"], "team"),
            self._references(fields["depends_on"], self.ids["services"], "service"),
            fields["criticality"].integer(3, 1, 4, "criticality"), fields["aliases"].texts("aliases"),
            fields["runbook"].text(), self._links(fields["dashboards"]), self._links(fields["links"]),
            tuple(self._service_contact(one) for one in fields["contacts"].items("contacts")),
        )  # fmt: skip

    def _links(self, node: Node) -> tuple[Link, ...]:
        return tuple(Link(label, one.text()) for label, one in node.mapping(what="links").items())

    def _service_contact(self, node: Node) -> ServiceContact:
        fields = self._fields(node, "a service's contact", "name function hours number contract", "name")
        return ServiceContact(
            *(fields[name].text() for name in ("name", "function", "hours", "number", "contract"))
        )

    # schedules

    def _schedule(self, key: str, node: Node) -> Schedule:
        fields = self._fields(node, f"schedule {key}", "name zone rotations secondary", "rotations")
        zone = self._zone(fields["zone"], self.zone)
        secondary = fields["secondary"]
        offset = 1
        layers: tuple[Rotation, ...] = ()
        if secondary.is_list:
            layers = self._rotations(secondary, f"{key}-secondary", zone)
        elif (
            secondary.choice("next", ("next", "none"), "secondary (unless it is a list of rotations)")
            == "none"
        ):
            offset = 0
        return Schedule(
            key,
            fields["name"].text(key),
            self._rotations(fields["rotations"], key, zone),
            zone,
            tuple(layers),
            offset,
        )

    def _rotations(self, node: Node, prefix: str, zone: str) -> tuple[Rotation, ...]:
        rotations = tuple(
            self._rotation(one, f"{prefix}-{number}", zone)
            for number, one in enumerate(node.items("rotations"), 1)
        )
        names = [rotation.id for rotation in rotations]
        for twice in sorted({name for name in names if names.count(name) > 1}):
            node.fault(f"two rotations are called {twice}: give one of them another id")
        return rotations

    def _rotation(self, node: Node, default_id: str, schedule_zone: str) -> Rotation:
        faults = len(node.faults)
        fields = self._fields(
            node, "a rotation", "id name members start zone every restrict", "members start"
        )
        zone = self._zone(fields["zone"], schedule_zone)
        start = fields["start"]
        wall = 0 if start.empty else start.attempt(lambda: parse_local(start.text(), zone, self.now), 0)
        every, unit = self._every(fields["every"])
        rotation = Rotation(
            fields["id"].text(default_id), self._references(fields["members"], self.ids["people"], "person"),
            wall_text(wall), zone, every, unit, tuple(self._window(one) for one in fields["restrict"].items("restrict")),
            fields["name"].text(),
        )  # fmt: skip
        if len(node.faults) == faults:  # otherwise the same would be said twice
            for fault in check_rotation(rotation):
                node.fault(fault)
        return rotation

    def _every(self, node: Node) -> tuple[int, str]:
        match = re.fullmatch(r"(\d{1,3}) ?(day|week)s?", node.text("1 week").casefold())
        if match is None or int(match[1]) < 1 or int(match[1]) > 366:
            node.fault("a turn lasts some days or weeks: write every: 1 week")
            return 1, "weeks"
        return int(match[1]), f"{match[2]}s"

    def _window(self, node: Node) -> Window:
        fields = self._fields(node, "a window", "days from to")
        days = [self._day(one) for one in fields["days"].scalars("days")]
        return Window(tuple(days) or _ALL_DAYS, fields["from"].text("00:00"), fields["to"].text("24:00"))

    def _day(self, node: Node) -> int:
        text = node.text().casefold()
        found = next(
            (number for number, name in enumerate(WEEKDAYS) if len(text) >= 3 and name.startswith(text)), None
        )
        if found is None:
            node.fault(f"{text} is not a day of the week{did_you_mean(text, WEEKDAYS)}")
        return found or 0

    def _span(self, node: Node, fields: _Fields, zone: str) -> tuple[Instant, Instant]:
        start, end = self._moment(fields["start"], zone), self._moment(fields["end"], zone)
        if end <= start and not (fields["start"].empty or fields["end"].empty):
            node.fault("it ends before it starts")
        return start, end

    def _override(self, number: int, node: Node) -> Override:
        fields = self._fields(
            node,
            "an override",
            "id schedule start end person replaces by reason position",
            "schedule start end person",
        )
        start, end = self._span(node, fields, self.zone)
        return Override(
            fields["id"].text(f"override-{number}"), fields["schedule"].reference(self.ids["schedules"], "schedule"),
            start, end, fields["person"].reference(self.ids["people"], "person"),
            fields["replaces"].reference(self.ids["people"], "person"), fields["by"].text(), fields["reason"].text(),
            fields["position"].choice("primary", POSITIONS, "position"),
        )  # fmt: skip

    def _leave(self, number: int, node: Node) -> Leave:
        fields = self._fields(node, "a leave", "id person start end reason", "person start end")
        start, end = self._span(node, fields, self.zone)
        person = fields["person"].reference(self.ids["people"], "person")
        return Leave(person, start, end, fields["reason"].text(), fields["id"].text(f"leave-{number}"))

    # escalation

    def _escalation(self, key: str, node: Node) -> EscalationPolicy:
        fields = self._fields(node, f"escalation policy {key}", "name team targets steps")
        targets = fields["targets"].mapping(what="targets")
        names = {*targets, *TARGETS, *self.org_roles}
        return EscalationPolicy(
            key, fields["name"].text(key), fields["team"].reference(self.ids["teams"], "team"),
            {name: self._target(one, names) for name, one in targets.items()},
            {
                severity: tuple(self._step(one, names) for one in steps.items("steps"))
                for severity, steps in fields["steps"].mapping(what="steps").items()
            },
        )  # fmt: skip

    def _step(self, node: Node, names: Collection[str]) -> EscalationStep:
        fields = self._fields(node, "a step", "after page business", "page")
        page = tuple(self._target(one, names) for one in fields["page"].scalars("page"))
        return EscalationStep(
            self._duration(fields["after"]), page, fields["business"].boolean(False, "business")
        )

    def _target(self, node: Node, names: Collection[str]) -> str:
        text = node.text()
        reference = parse_reference(text)
        if reference is None:
            if text not in names:
                node.fault(
                    f"{text!r} is neither a target nor a reference such as person:anna or schedule:payments{did_you_mean(text, names)}"
                )
            return text
        known = {
            "person": self.ids["people"], "schedule": self.ids["schedules"], "team": self.ids["teams"],
            "service": self.ids["services"], "org": tuple(self.org_roles),
        }[reference.kind]  # fmt: skip
        if reference.id not in known:
            node.fault(
                f"{text} points at nothing: there is no {reference.kind} {reference.id}{did_you_mean(reference.id, known)}"
            )
        return text


class _Fields:
    """The values of one mapping; one that was not written reads as empty, at the line of the mapping."""

    def __init__(self, parent: Node, found: dict[str, Node]) -> None:
        self.parent = parent
        self.found = found

    def __getitem__(self, name: str) -> Node:
        return self.found.get(name) or missing(self.parent)


# records

_KINDS = {struct: kind for kind, struct in RECORD_TYPES.items()}


def record_of(value: msgspec.Struct, now: Instant) -> RecordRow:
    """The row that stores a person, team, service, schedule, override, leave or escalation policy.

    Look-up columns: a person's sign-in name, an override's schedule, a leave's person.
    """
    kind = _KINDS.get(type(value))
    if kind is None:
        raise Unusable(f"a {type(value).__name__} is no record of the organisation")
    lookup = ""
    if isinstance(value, Person):
        lookup = (value.login or value.email).casefold()
    elif isinstance(value, Override):
        lookup = value.schedule
    elif isinstance(value, Leave):
        lookup = value.person
    id = "organisation" if isinstance(value, OrganisationSettings) else str(getattr(value, "id", ""))
    if not id:
        raise Unusable(f"this {kind} has no id: give it one before it is stored")
    return RecordRow(kind, id, lookup, encode(value), now)


def to_records(organisation: Organisation, now: Instant) -> list[RecordRow]:
    """One row for everything but routes and integrations, in an order in which each finds what it points at."""
    parts: tuple[Iterable[msgspec.Struct], ...] = (
        (organisation.settings,), organisation.people, organisation.schedules, organisation.escalation_policies,
        organisation.teams, organisation.services, organisation.overrides, organisation.leaves,
    )  # fmt: skip
    return [record_of(value, now) for part in parts for value in part]


def from_record(kind: str, body: bytes) -> Any:
    """The struct in a stored row; raises :class:`Unusable` for a kind that is none of the organisation's."""
    if kind not in RECORD_TYPES:
        raise Unusable(f"{kind} is no record of the organisation: {', '.join(RECORD_TYPES)} are")
    return decode(body, RECORD_TYPES[kind])


def from_records(rows: Iterable[RecordRow]) -> Directory:
    """The directory of stored rows; rows of other kinds are passed over."""
    return Directory.from_records((row.kind, row.body) for row in rows)
