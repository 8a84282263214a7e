"""Scenario files: what happens when, and what is expected of it. Strict YAML; every fault with file, line and a hint."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import yaml

from tocsin.catalogue.people import CONTACT_KINDS
from tocsin.catalogue.reading import Node, did_you_mean, missing, read_document
from tocsin.engine.commands import COMMANDS, Command
from tocsin.incidents.organisation import Organisation, demo_organisation, load_organisation
from tocsin.intake.pagerduty import parse_change
from tocsin.intake.sources import SOURCES
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Unusable, UnusableMany
from tocsin.oncall.relative import parse_duration, parse_moment
from tocsin.oncall.walltime import zone_of

LARGEST = 1_000_000
"""Bytes of a scenario file."""
LONGEST = 366 * 24 * 3600 * 1_000_000
"""A drill lasts a year at most."""
RULES = ("acknowledge", "respond", "resolve", "update")
START = "2026-03-03T10:00:00Z"
"""A Tuesday in working hours, where a scenario says nothing."""
MOMENTS = frozenset({"at", "until", "eta", "due"})
"""Fields of commands that hold an instant: written as a time from the step on, `2 h` or `-10 min`."""


class Step(msgspec.Struct, frozen=True):
    """Something that happens ``at`` microseconds after the start. ``what`` is the kind, ``values`` what belongs to it.

    ``by``: the person, for commands. ``refused``: words of the refusal that is expected. ``where``: file and line.
    """

    at: int
    what: str
    values: dict[str, Any]
    by: str = ""
    refused: str | None = None
    where: str = ""


class Expectation(msgspec.Struct, frozen=True):
    """What must hold. ``what`` is the kind, ``value`` its object; see ``docs/drills.md`` for what the others mean."""

    what: str
    value: str
    incident: str = ""
    by: int | None = None
    not_before: int | None = None
    before: int | None = None
    after: int | None = None
    at: int | None = None
    via: str = ""
    to: str = ""
    where: str = ""


class Habit(msgspec.Struct, frozen=True):
    """What a person does about pages: nothing (``after`` None), or one tap on the link ``after`` so many microseconds.

    From ``not_before`` on; what reaches them earlier is left lying.
    """

    after: int | None = None
    not_before: int = 0


class Scenario(msgspec.Struct, frozen=True):
    """A drill as it is written. ``ends`` counts from the start; ``organisation`` builds the people at an instant."""

    name: str
    title: str
    story: str
    zone: str
    start: Instant
    seed: str
    ends: int
    organisation: Callable[[Instant], Organisation]
    steps: tuple[Step, ...]
    habits: Mapping[str, Habit]
    expectations: tuple[Expectation, ...]


STEPS: dict[str, str] = {
    "alert": "source body summary severity service labels key acknowledged",
    "resolve": "key",
    "change": "source body summary service",
    "storm": "alerts summary severity service labels key different",
    "leave": "person for reason",
    "override": "schedule person for position reason",
    "deactivate": "person",
    "provider_down": "channel for permanent",
    "kill": "for",
    "clock_step": "by",
}
"""What can happen beside commands by people → the keys it takes."""

EXPECTATIONS: dict[str, str] = {
    "paged": "by not_before via incident",
    "not_paged": "before after via incident",
    "told": "by not_before via incident",
    "not_told": "before after via incident",
    "acknowledged_by": "by not_before incident",
    "met": "incident",
    "missed": "incident by not_before",
    "not_missed": "incident",
    "severity": "incident at",
    "status": "incident at",
    "commander": "incident at",
    "message": "to by not_before via",
    "no_message": "to before after via",
    "timeline": "incident by not_before",
    "not_on_timeline": "incident",
    "incidents": "at",
}
"""What can be expected → the keys it takes."""


def load_scenario(text: str, filename: str, name: str = "") -> Scenario:
    """Reads a scenario; raises :class:`UnusableMany` with every fault and its line."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise UnusableMany([Unusable("the file is larger than 1 MB: that is no scenario", filename)])
    root = read_document(text, filename)
    scenario = _Reader(root, filename).read(name or Path(filename).stem)
    if root.faults:
        raise UnusableMany(sorted(root.faults, key=lambda fault: int(fault.where.rpartition(":")[2])))
    return scenario


class _Reader:
    """Walks the file once. Faults gather at the root."""

    def __init__(self, root: Node, filename: str) -> None:
        self.root, self.filename = root, filename
        self.people: tuple[str, ...] = ()
        self.services: frozenset[str] = frozenset()
        self.schedules: tuple[str, ...] = ()

    def read(self, name: str) -> Scenario:
        fields = self._fields(
            self.root,
            "title story zone start seed ends organisation people steps expect",
            "a scenario",
            "title steps expect",
        )
        zone = fields["zone"].attempt(lambda: zone_of(fields["zone"].text("UTC")).key, "UTC")
        start_node = fields["start"]
        start = start_node.attempt(lambda: self._start(start_node.text(START), zone), 0)
        organisation = self._organisation(fields["organisation"], start)
        steps = [self._step(node) for node in fields["steps"].items("steps")]
        expectations = [self._expectation(node) for node in fields["expect"].items("expect")]
        habits = {
            person: self._habit(node)
            for person, node in fields["people"].mapping(self.people, "people").items()
        }
        times = [step.at for step in steps if step]
        times += [t for one in expectations if one for t in (one.by, one.at, one.before, one.after) if t]
        ends = self._duration(fields["ends"], max(times, default=0))
        if ends < max(times, default=0):
            fields["ends"].fault("the drill ends before its last step or expectation: let it end later")
        return Scenario(
            name, fields["title"].text(what="title"), fields["story"].text(what="story"), zone, start,
            fields["seed"].text(name, "seed"), ends, organisation,
            tuple(sorted((one for one in steps if one), key=lambda step: step.at)), habits,
            tuple(one for one in expectations if one),
        )  # fmt: skip

    @staticmethod
    def _start(text: str, zone: str) -> Instant:
        if not re.search(r"\d{4}-\d\d-\d\d", text):
            raise Unusable(
                f"{text!r} is no date and time: write it like 2026-03-03 10:00, so that each run is the same"
            )
        return parse_moment(text, zone, 0)

    def _fields(self, node: Node, known: str, what: str, required: str = "") -> _Fields:
        found = node.mapping(known.split(), what)
        for name in required.split():
            if name not in found or found[name].empty:
                node.fault(f"{what} needs {name}")
        return _Fields(node, found)

    def _duration(self, node: Node, default: int) -> int:
        if node.empty:
            return default
        value = node.attempt(lambda: signed_duration(node.text()), default)
        if not 0 <= value <= LONGEST:
            node.fault("a time in a drill lies between its start and a year later")
            return default
        return value

    def _optional(self, node: Node) -> int | None:
        return None if node.empty else self._duration(node, 0)

    # people

    def _organisation(self, node: Node, start: Instant) -> Callable[[Instant], Organisation]:
        """The demo's, a file beside the scenario, or the demo's with the parts that stand here in place of its own."""
        build: Callable[[Instant], Organisation] = demo_organisation
        if isinstance(node.raw, yaml.MappingNode):
            text = changed_demo(node.raw)
            build = lambda now: load_organisation(text, f"{self.filename} (its organisation)", now=now)  # noqa: E731
        elif node.text("demo", "organisation") != "demo":
            path = Path(self.filename).parent / node.text()
            if not path.is_file():
                node.fault(
                    f"there is no file {node.text()} beside the scenario: write demo, or the changes to it"
                )
            else:
                content = path.read_text(encoding="utf-8")
                build = lambda now: load_organisation(content, str(path), now=now)  # noqa: E731
        try:
            built = build(start)
        except UnusableMany as error:
            for fault in error.faults:
                node.fault(fault.sentence)
            built = demo_organisation(start)
        self.people = tuple(person.id for person in built.people)
        self.schedules = tuple(schedule.id for schedule in built.schedules)
        self.services = frozenset(built.directory().aliases)
        return build

    def _person(self, node: Node) -> str:
        return node.reference(self.people, "person")

    def _habit(self, node: Node) -> Habit:
        if not isinstance(node.raw, yaml.MappingNode):
            node.choice(
                "ignores", ("ignores",), "what a person does about pages (or acknowledges_after: 3 min)"
            )
            return Habit()
        fields = self._fields(
            node, "acknowledges_after not_before", "what a person does", "acknowledges_after"
        )
        return Habit(self._duration(fields["acknowledges_after"], 0), self._duration(fields["not_before"], 0))

    # steps

    def _step(self, node: Node) -> Step | None:
        found = node.mapping(what="a step")
        at_node = found.pop("at", None)
        by_node, refused = found.pop("by", None), found.pop("refused", None)
        if at_node is None:
            node.fault("a step needs at: the time since the start, like 5 min")
        known = tuple(COMMANDS) if by_node is not None else tuple(STEPS)
        if len(found) != 1:
            node.fault("a step is at, one thing that happens, and by where a person does it")
            return None
        what, value = next(iter(found.items()))
        if what not in known:
            hint = "; a command needs by: PERSON" if what in COMMANDS and by_node is None else ""
            node.fault(f"there is no step {what}{did_you_mean(what, known)}{hint}")
            return None
        at = self._duration(at_node or missing(node), 0)
        by = self._person(by_node) if by_node is not None else ""
        values = self._command(what, value) if by_node is not None else self._happening(what, value)
        return Step(at, what, values, by, refused.text() if refused else None, node.where)

    def _command(self, verb: str, node: Node) -> dict[str, Any]:
        """The command's fields. It is about INC-1 where nothing else is said; a single word is the incident."""
        cls = COMMANDS[verb]
        names = {field.name for field in msgspec.structs.fields(cls)}
        if isinstance(node.raw, yaml.ScalarNode) and not node.empty:
            values: dict[str, Any] = {"incident": node.text()}
        else:
            values = {name: one.plain() for name, one in node.mapping(names, verb).items()}
        if "incident" in names:
            values.setdefault("incident", "INC-1")
        node.attempt(lambda: _converted(cls, resolved(values, lambda t: 1_000_000 + t)), None)
        return values

    def _happening(self, what: str, node: Node) -> dict[str, Any]:
        if isinstance(node.raw, yaml.ScalarNode):
            single = {"resolve": "key", "deactivate": "person", "clock_step": "by"}.get(what)
            if single is None and not node.empty:
                node.fault(f"{what} must be a mapping with {STEPS[what].replace(' ', ', ')}")
                return {}
            fields = _Fields(node, {single: node} if single and not node.empty else {})
        else:
            fields = self._fields(node, STEPS[what], what)
        return getattr(self, f"_{what}")(fields)  # type: ignore[no-any-return]

    def _alert(self, fields: _Fields) -> dict[str, Any]:
        if not fields["source"].empty or not fields["body"].empty:
            return self._sourced(fields, "alert")
        service = fields["service"].text(what="service")
        if service and service.casefold() not in self.services:
            fields["service"].fault(f"there is no service {service}{did_you_mean(service, self.services)}")
        if fields["summary"].empty:
            fields.parent.fault("an alert needs a summary, or a source and a body")
        labels = {name: one.text() for name, one in fields["labels"].mapping(what="labels").items()}
        summary = fields["summary"].text(what="summary")
        return {
            "summary": summary, "severity": fields["severity"].text("critical"), "service": service, "labels": labels,
            "key": fields["key"].text(summary), "acknowledged": fields["acknowledged"].boolean(False, "acknowledged"),
        }  # fmt: skip

    def _sourced(self, fields: _Fields, what: str) -> dict[str, Any]:
        """A body as the source sends it; it is parsed now, so that a fault shows with its line."""
        sources = ("pagerduty",) if what == "change" else tuple(SOURCES)
        source = fields["source"].choice("pagerduty", sources, "source")
        body = fields["body"].plain()
        if not isinstance(body, dict):
            fields.parent.fault(
                f"{what} with a source needs a body: the JSON that the source sends, as a mapping"
            )
            return {}
        raw = raw_body(source, body)
        parse = parse_change if what == "change" else lambda raw: SOURCES[source].parse(raw, 0, {})
        try:
            parse(raw)
        except Unusable as error:
            fields["body"].fault(f"{source} would refuse this: {error.sentence}")
        return {"source": source, "body": body}

    def _resolve(self, fields: _Fields) -> dict[str, Any]:
        if fields["key"].empty:
            fields.parent.fault("resolve needs the key of an alert")
        return {"key": fields["key"].text()}

    def _change(self, fields: _Fields) -> dict[str, Any]:
        if not fields["source"].empty or not fields["body"].empty:
            return self._sourced(fields, "change")
        if fields["summary"].empty:
            fields.parent.fault("a change needs a summary")
        return {"summary": fields["summary"].text(), "service": fields["service"].text()}

    def _storm(self, fields: _Fields) -> dict[str, Any]:
        values = self._alert(fields)
        values["alerts"] = fields["alerts"].integer(100, 1, 10_000, "alerts")
        values["different"] = fields["different"].boolean(False, "different")
        return values

    def _leave(self, fields: _Fields) -> dict[str, Any]:
        return {
            "person": self._person(fields["person"]), "for": self._duration(fields["for"], 8 * 3600 * 1_000_000),
            "reason": fields["reason"].text(),
        }  # fmt: skip

    def _override(self, fields: _Fields) -> dict[str, Any]:
        return {
            "schedule": fields["schedule"].reference(self.schedules, "schedule"), "person": self._person(fields["person"]),
            "for": self._duration(fields["for"], 8 * 3600 * 1_000_000),
            "position": fields["position"].choice("primary", ("primary", "secondary"), "position"),
            "reason": fields["reason"].text(),
        }  # fmt: skip

    def _deactivate(self, fields: _Fields) -> dict[str, Any]:
        return {"person": self._person(fields["person"])}

    def _provider_down(self, fields: _Fields) -> dict[str, Any]:
        return {
            "channel": fields["channel"].choice("console", CONTACT_KINDS, "channel"),
            "for": self._duration(fields["for"], LONGEST), "permanent": fields["permanent"].boolean(False, "permanent"),
        }  # fmt: skip

    def _kill(self, fields: _Fields) -> dict[str, Any]:
        return {"for": self._duration(fields["for"], 0)}

    def _clock_step(self, fields: _Fields) -> dict[str, Any]:
        node = fields["by"]
        if node.empty:
            fields.parent.fault("clock_step needs by: -30 s, 5 min …")
            return {"by": 0}
        return {"by": node.attempt(lambda: signed_duration(node.text()), 0)}

    # expectations

    def _expectation(self, node: Node) -> Expectation | None:
        found = node.mapping(what="an expectation")
        kinds = [name for name in found if name in EXPECTATIONS]
        if len(kinds) != 1:
            stray = next((name for name in found if name not in EXPECTATIONS), "")
            node.fault(
                f"an expectation is exactly one of {', '.join(EXPECTATIONS)}{did_you_mean(stray, EXPECTATIONS)}"
            )
            return None
        what = kinds[0]
        fields = self._fields(node, f"{what} {EXPECTATIONS[what]}", f"the expectation {what}")
        if what in ("paged", "not_paged", "told", "not_told", "commander", "acknowledged_by"):
            value = self._person(fields[what])
        elif what in ("met", "missed", "not_missed"):
            value = fields[what].choice(RULES[0], RULES, "a duty")
        elif what == "incidents":
            value = str(fields[what].integer(0, 0, 10_000, "incidents"))
        else:
            value = fields[what].text(what=what)
        if not value:
            node.fault(f"{what} is empty: fill it in")
        return Expectation(
            what, value, fields["incident"].text(), self._optional(fields["by"]), self._optional(fields["not_before"]),
            self._optional(fields["before"]), self._optional(fields["after"]), self._optional(fields["at"]),
            "" if fields["via"].empty else fields["via"].choice("console", CONTACT_KINDS, "via"),
            self._person(fields["to"]), node.where,
        )  # fmt: skip


class _Fields:
    """The values of one mapping; one that was not written reads as empty, at the line of the mapping."""

    def __init__(self, parent: Node, found: Mapping[str, Node]) -> None:
        self.parent, self.found = parent, found

    def __getitem__(self, name: str) -> Node:
        return self.found.get(name) or missing(self.parent)


def raw_body(source: str, body: Mapping[str, Any]) -> bytes:
    """The request's body as ``source`` sends it; Events v2 carries its key in it, which a scenario need not write."""
    return encode({"routing_key": "drill", **body} if source == "pagerduty" else body)


def signed_duration(text: str) -> int:
    """``5 min`` or ``-5 min`` in microseconds; raises :class:`Unusable`."""
    text = text.strip()
    return -parse_duration(text[1:]) if text.startswith("-") else parse_duration(text.removeprefix("+"))


def resolved(values: Mapping[str, Any], moment: Callable[[int], Instant]) -> dict[str, Any]:
    """A command's fields with its times, written from the step on, as instants; raises :class:`Unusable`."""
    return {
        name: moment(signed_duration(value)) if name in MOMENTS and isinstance(value, str) else value
        for name, value in values.items()
    }


def command_of(step: Step, moment: Callable[[int], Instant]) -> Command:
    """The command of a step; ``moment`` turns a time from the step on into an instant."""
    return _converted(COMMANDS[step.what], resolved(step.values, moment))


def _converted(cls: type[Command], values: Mapping[str, Any]) -> Command:
    hints = get_type_hints(cls)
    plain = {name: str(value) if hints.get(name) is str else value for name, value in values.items()}
    try:
        return msgspec.convert(plain, cls)
    except msgspec.ValidationError as error:
        raise Unusable(f"{cls.verb} cannot be used: {error}") from None


def changed_demo(changes: yaml.MappingNode) -> str:
    """The demonstration's organisation with entries of ``changes`` added to its own, or put in their place.

    A person, service or schedule that the demonstration has takes over the keys that are written; the rest of it stays.
    """
    text = resources.files("tocsin.incidents").joinpath("demo_organisation.yaml").read_text("utf-8")
    demo = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(demo, yaml.MappingNode):
        raise Unusable("the demonstration's organisation is no mapping: this installation is damaged")
    _merge(demo, changes, 0)
    return str(yaml.serialize(demo))


def _merge(into: yaml.MappingNode, changes: yaml.MappingNode, depth: int) -> None:
    places = {key.value: index for index, (key, _) in enumerate(into.value)}
    for key, value in changes.value:
        index = places.get(key.value)
        if index is None:
            into.value.append((key, value))
        elif (
            depth < 2
            and isinstance(value, yaml.MappingNode)
            and isinstance(into.value[index][1], yaml.MappingNode)
        ):
            _merge(into.value[index][1], value, depth + 1)
        else:
            into.value[index] = (key, value)
