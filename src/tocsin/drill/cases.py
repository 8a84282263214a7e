"""An owner's own cases for a policy: which severity is proposed, when something is due, who is paged, which drill is passed.

Strict YAML as everywhere: an unknown key, a rule or a person that does not exist, a time that cannot be read are faults with
file and line, all of them reported together. ``docs/policy.md`` explains the file to its writers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tocsin.catalogue.reading import Node, did_you_mean, missing, read_document
from tocsin.drill.library import find
from tocsin.drill.scenario import LONGEST, Scenario, changed_demo
from tocsin.incidents.directory import Directory
from tocsin.incidents.organisation import Organisation, demo_organisation, load_organisation
from tocsin.incidents.promises import LEARNING
from tocsin.kernel.clock import HOUR, WEEK, Instant
from tocsin.kernel.errors import TocsinError, Unusable, UnusableMany
from tocsin.oncall.relative import WEEKDAYS, parse_duration, parse_moment
from tocsin.oncall.walltime import zone_of
from tocsin.policy.conditions import FACTS, Fact
from tocsin.policy.load import default_policy_text, load_policy
from tocsin.policy.model import SEVERITIES, Policy

LARGEST = 1_000_000
"""Bytes of a file of cases."""
ORDINARY_WEEK = "2026-03-02"
"""the Monday of the week that weekdays belong to where a file says nothing"""
PROMISES = ("acknowledge", "respond", "resolve", "update")
NO_RULE = "none"

Build = Callable[[Instant], Organisation]


class SeverityCase(msgspec.Struct, frozen=True):
    """Of ``given`` facts the policy proposes ``expect``. ``rule``: by this one; ``none``: by no rule; empty: by whichever."""

    name: str
    where: str
    given: Mapping[str, Fact]
    expect: str
    rule: str = ""
    also: tuple[str, ...] = ()


class DueCase(msgspec.Struct, frozen=True):
    """What is ``opened`` then owes each of ``due`` (promise or step of the post-mortem) by that instant.

    ``proposed``: nobody has confirmed the severity. ``rule``: ``none`` when no rule explains it. ``resolved``: for steps of
    the post-mortem.
    """

    name: str
    where: str
    severity: str
    opened: Instant
    due: Mapping[str, Instant]
    calendar: str = ""
    proposed: bool = False
    rule: str = ""
    kind: str = ""
    resolved: Instant = 0


class PagedCase(msgspec.Struct, frozen=True):
    """Who is paged and told, and when first (microseconds since the opening), for a declared severity or an alert."""

    name: str
    where: str
    opened: Instant
    severity: str
    service: str
    alert: Mapping[str, Any]
    pages: Mapping[str, int]
    tells: Mapping[str, int]
    never: tuple[str, ...]
    within: int
    only: bool


class DrillCase(msgspec.Struct, frozen=True):
    """A scenario that the policy passes."""

    name: str
    where: str
    scenario: Scenario


Case = SeverityCase | DueCase | PagedCase | DrillCase


class Cases(msgspec.Struct, frozen=True):
    """A file of cases with the policy they are about and the people they need."""

    policy_text: str
    policy_name: str
    policy: Policy
    zone: str
    organisation: Build | None
    cases: tuple[Case, ...]


def load_cases(text: str, filename: str, policy: Path | None = None) -> Cases:
    """Reads a file of cases; raises :class:`UnusableMany` with every fault and its line. ``policy``: in place of the file's own."""
    if len(text.encode("utf-8", "replace")) > LARGEST:
        raise UnusableMany([Unusable("the file is larger than 1 MB: that is no file of cases", filename)])
    root = read_document(text, filename)
    cases = _Reader(root, filename, policy).read()
    if root.faults:
        raise UnusableMany(sorted(root.faults, key=lambda fault: int(fault.where.rpartition(":")[2])))
    return cases


class _Fields:
    """The values of one mapping; one that was not written reads as empty, at the line of the mapping."""

    def __init__(self, parent: Node, found: Mapping[str, Node]) -> None:
        self.parent, self.found = parent, found

    def __getitem__(self, name: str) -> Node:
        return self.found.get(name) or missing(self.parent)


class _Reader:
    """Walks the file once. Faults gather at the root."""

    def __init__(self, root: Node, filename: str, policy: Path | None) -> None:
        self.filename = filename
        known = "policy organisation zone week severities due paged drills"
        self.fields = self._fields(root, known, "a file of cases")
        zone = self.fields["zone"]
        self.zone = zone.attempt(lambda: zone_of(zone.text("UTC")).key, "UTC")
        week = self.fields["week"]
        self.week = week.attempt(lambda: self._monday(week.text(ORDINARY_WEEK)), 0)
        self.policy_name, self.policy_text = self._policy_text(policy)
        self.policy = load_policy(self.policy_text, self.policy_name)
        self.organisation = self._organisation(self.fields["organisation"])
        self.directory = (
            self.organisation(self.week).directory() if self.organisation is not None else Directory()
        )

    def read(self) -> Cases:
        found: list[Case | None] = []
        for name, reader in (
            ("severities", self._severity), ("due", self._due), ("paged", self._paged), ("drills", self._drill),
        ):  # fmt: skip
            found += [reader(node) for node in self.fields[name].items(name)]
        if not found:
            self.fields.parent.fault("there is no case: write some under severities, due, paged or drills")
        return Cases(
            self.policy_text, self.policy_name, self.policy, self.zone, self.organisation, tuple(case for case in found if case),
        )  # fmt: skip

    # what all cases share

    def _fields(self, node: Node, known: str, what: str, required: str = "") -> _Fields:
        found = node.mapping(known.split(), what)
        for name in required.split():
            if name not in found or found[name].empty:
                node.fault(f"{what} needs {name}")
        return _Fields(node, found)

    def _monday(self, text: str) -> Instant:
        if not re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            raise Unusable(f"{text!r} is no date: write week like {ORDINARY_WEEK}")
        day = parse_moment(f"{text} 00:00", self.zone, 0)
        return parse_moment("monday 00:00", self.zone, day)

    def _policy_text(self, given: Path | None) -> tuple[str, str]:
        node = self.fields["policy"]
        named = node.text(what="policy")
        if given is None and (not named or named == "default"):
            return "the default policy", default_policy_text()
        path = given or Path(self.filename).parent / named
        try:
            return str(path), path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UnusableMany(
                [Unusable(f"the policy {path} cannot be read: {error}", "" if given else node.where)]
            ) from None

    def _organisation(self, node: Node) -> Build | None:
        if node.empty:
            return None
        build: Build = demo_organisation
        if isinstance(node.raw, yaml.MappingNode):
            text, name = changed_demo(node.raw), f"{self.filename} (its organisation)"
            build = lambda now: load_organisation(text, name, now=now)  # noqa: E731
        elif node.text(what="organisation") != "demo":
            path = Path(self.filename).parent / node.text()
            if not path.is_file():
                node.fault(f"there is no file {node.text()} beside this one: write demo, or a file of people")
                return None
            content = path.read_text(encoding="utf-8")
            build = lambda now: load_organisation(content, str(path), now=now)  # noqa: E731
        try:
            build(self.week)
        except UnusableMany as error:
            for fault in error.faults:
                node.fault(f"{fault.where}: {fault.sentence}" if fault.where else fault.sentence)
            return None
        return build

    def _moment(self, node: Node, after: Instant) -> Instant:
        """An instant: a date and time, a weekday of the file's week, or a duration since ``after`` (where that is set)."""
        text = node.text().casefold()
        if not text:
            return 0
        if after and re.match(r"\d+\s*[a-z]", text) and not re.match(r"\d{4}-", text):
            return after + node.attempt(lambda: parse_duration(text), 0)
        found = node.attempt(lambda: parse_moment(text, self.zone, after or self.week), 0)
        if after and found < after and text.partition(" ")[0] in WEEKDAYS:
            found += WEEK  # the next such day
        return found

    def _times(self, node: Node, known: tuple[str, ...], what: str) -> dict[str, int]:
        """Name → duration since the opening."""
        found: dict[str, int] = {}
        for name, one in node.mapping(known, what).items():
            text = one.text()
            value = one.attempt(lambda text=text: parse_duration(text), 0)  # type: ignore[misc]
            if not 0 <= value <= LONGEST:
                one.fault("a time lies between the opening and a year later")
            found[name] = value
        return found

    def _choice(self, node: Node, what: str) -> str:
        return node.choice("", ("", *SEVERITIES), what)

    def _rule_named(self, node: Node) -> str:
        names = [rule.name for rule in self.policy.rules]
        name = node.text(what="rule")
        if name and name != NO_RULE and name not in names:
            node.fault(
                f"there is no rule {name!r}{did_you_mean(name, names)}; write none where no rule fires"
            )
        return name

    # the kinds

    def _severity(self, node: Node) -> SeverityCase:
        fields = self._fields(node, "name given expect rule also", "a case of severities", "given expect")
        given = self._facts(fields["given"])
        expect = self._choice(fields["expect"], "expect")
        rule = self._rule_named(fields["rule"])
        also = tuple(self._rule_named(one) for one in fields["also"].scalars("also"))
        facts = ", ".join(f"{fact} {value}" for fact, value in given.items())
        name = fields["name"].text(f"{facts}: {expect}" + (f" by {rule!r}" if rule else ""))
        return SeverityCase(name, node.where, given, expect, rule, also)

    def _facts(self, node: Node) -> dict[str, Fact]:
        found: dict[str, Fact] = {}
        for name, one in node.mapping(what="given").items():
            if name not in FACTS and not (name.startswith("label.") and name[6:]):
                one.fault(f"there is no fact {name!r}{did_you_mean(name, FACTS)}; a label is label.NAME")
                continue
            form, text = FACTS.get(name, "text"), one.text(what=name)
            if form == "number":
                found[name] = one.integer(0, 0, 10**9, name)
            elif form == "yes or no":
                found[name] = one.boolean(False, name)
            else:
                found[name] = text
        return found

    def _due(self, node: Node) -> DueCase:
        steps = tuple(LEARNING)
        known = f"name severity opened calendar service proposed rule type resolved {' '.join((*PROMISES, *steps))}"
        fields = self._fields(node, known, "a case of due", "severity opened")
        opened = self._moment(fields["opened"], 0)
        resolved = self._moment(fields["resolved"], opened)
        due = {
            what: self._moment(fields[what], resolved if what in steps else opened)
            for what in (*PROMISES, *steps)
            if not fields[what].empty
        }
        if not due:
            node.fault(f"a case of due needs one of {', '.join((*PROMISES, *steps))}")
        if any(what in steps for what in due) and not resolved:
            node.fault("a step of the post-mortem is counted from the end: give resolved")
        calendar = fields["calendar"].text(what="calendar")
        if calendar and calendar not in self.policy.calendars:
            fields["calendar"].fault(
                f"the policy has no calendar {calendar!r}{did_you_mean(calendar, self.policy.calendars)}"
            )
        service = self._service(fields["service"])
        severity = self._choice(fields["severity"], "severity")
        written = ", ".join(f"{what} due {fields[what].text()}" for what in due)
        kind = fields["type"].text(what="type")
        if kind and kind not in self.policy.types:
            fields["type"].fault(f"the policy has no type {kind!r}{did_you_mean(kind, self.policy.types)}")
        return DueCase(
            fields["name"].text(f"{severity} opened {fields['opened'].text()}: {written}"), node.where, severity, opened, due,
            calendar or self.directory.calendar_of(service), fields["proposed"].boolean(False, "proposed"),
            fields["rule"].choice("", ("", NO_RULE), "rule"), kind, resolved,
        )  # fmt: skip

    def _service(self, node: Node) -> str:
        text = node.text(what="service")
        if not text:
            return ""
        known = self.directory.service(text)
        if known is None:
            hint = did_you_mean(text.casefold(), self.directory.aliases)
            node.fault(
                f"there is no service {text}{hint}"
                + ("" if self.organisation else "; give the file an organisation")
            )
            return ""
        return known.id

    def _person(self, node: Node) -> str:
        return node.reference(tuple(self.directory.people), "person")

    def _paged(self, node: Node) -> PagedCase | None:
        known = "name opened severity service alert pages tells never within only"
        fields = self._fields(node, known, "a case of paged", "opened")
        if self.organisation is None:
            node.fault(
                "who is paged needs people: give the file an organisation (demo, or a file beside this one)"
            )
            return None
        people = tuple(self.directory.people)
        if fields["severity"].empty == fields["alert"].empty:
            node.fault(
                "a case of paged needs either severity (a person declares it) or alert (the rules decide)"
            )
        pages = self._times(fields["pages"], people, "pages")
        tells = self._times(fields["tells"], people, "tells")
        never = tuple(self._person(one) for one in fields["never"].scalars("never"))
        if not (pages or tells or never):
            node.fault("a case of paged needs pages, tells or never")
        within = fields["within"]
        longest = max((*pages.values(), *tells.values(), HOUR))
        length = (
            within.attempt(lambda: parse_duration(within.text()), longest) if not within.empty else longest
        )
        alert = self._alert(fields["alert"])
        severity = self._choice(fields["severity"], "severity")
        service = self._service(fields["service"]) or str(alert.get("service", ""))
        written = (
            listed_times(fields["pages"], "pages")
            or listed_times(fields["tells"], "tells")
            or f"never {', '.join(never)}"
        )
        what = severity or repr(alert.get("summary", ""))
        name = fields["name"].text(
            f"{what}{f' on {service}' if service else ''} opened {fields['opened'].text()}: {written}"
        )
        return PagedCase(
            name, node.where, self._moment(fields["opened"], 0), severity, service, alert, pages, tells, never,
            max(length, longest) if within.empty else length, fields["only"].boolean(False, "only"),
        )  # fmt: skip

    def _alert(self, node: Node) -> dict[str, Any]:
        if node.empty:
            return {}
        fields = self._fields(node, "summary service labels severity", "an alert", "summary")
        labels = {name: one.text() for name, one in fields["labels"].mapping(what="labels").items()}
        return {
            "summary": fields["summary"].text(), "service": self._service(fields["service"]), "labels": labels,
            "severity": fields["severity"].text("critical"),
        }  # fmt: skip

    def _drill(self, node: Node) -> DrillCase | None:
        fields = (
            node.mapping(("scenario", "name"), "a drill")
            if isinstance(node.raw, yaml.MappingNode)
            else {"scenario": node}
        )
        wanted = fields.get("scenario") or missing(node)
        text = wanted.text(what="scenario")
        if not text:
            node.fault("a drill needs the name of a scenario, or a file beside this one")
            return None
        beside = Path(self.filename).parent / text
        try:
            scenario = find(str(beside) if beside.is_file() else text)
        except UnusableMany as error:
            for fault in error.faults:
                wanted.fault(f"{fault.where}: {fault.sentence}")
            return None
        except TocsinError as error:
            wanted.fault(error.sentence)
            return None
        name = fields["name"].text() if "name" in fields else f"drill {scenario.name}: {scenario.title}"
        return DrillCase(name, node.where, scenario)


def listed_times(node: Node, verb: str) -> str:
    """``pages anna at 0m, ben at 2m``; empty where nothing was written."""
    written = [f"{name} at {one.text()}" for name, one in node.mapping().items()]
    return f"{verb} {', '.join(written)}" if written else ""
