"""``tocsin policy``: verify, compare, try and read the policy. Nothing here changes an installation; it is opened read-only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec

from tocsin.app import engine_of, open_installation
from tocsin.cli_operations import storage
from tocsin.cli_responder import as_json
from tocsin.drill.cases import load_cases
from tocsin.drill.cases_run import Outcome, run_cases
from tocsin.engine.engine import Engine
from tocsin.incidents.directory import Directory
from tocsin.incidents.organisation import demo_organisation, load_organisation
from tocsin.kernel.clock import Instant, SystemClock, to_iso
from tocsin.kernel.errors import NotFound, Unusable
from tocsin.notify.coverage import Counterexample, Proof, prove
from tocsin.notify.policy_change import PeopleChange, Side, coming_week, people_changes
from tocsin.notify.policy_people import people_findings
from tocsin.oncall.relative import parse_moment
from tocsin.policy.check import Finding, Places, check
from tocsin.policy.diff import Change, Difference, diff
from tocsin.policy.guide import guide_html, guide_markdown
from tocsin.policy.load import default_policy_text, load_policy
from tocsin.policy.model import Policy
from tocsin.policy.saying import listed
from tocsin.providers.console import ConsoleChannel
from tocsin.settings import Settings, load_settings

DEFAULT = "the default policy"
SHOWN = 20
"""counterexamples in the text for people; programs get all of them"""
NO_PEOPLE = "no people were given: whether pages reach somebody was not decided (--organisation FILE, --data DIR or --database-url URL)"
FILE = click.Path(dir_okay=False, path_type=Path)


class People(msgspec.Struct):
    """Whom the policy meets: from where, and which kinds of contact can be used there (None: every one)."""

    source: str
    directory: Directory
    kinds: tuple[str, ...] | None = None


class Text(msgspec.Struct):
    """A policy with its words and where they come from."""

    text: str
    name: str
    policy: Policy
    in_force: str = ""
    """a sentence, for the version that an installation has in force"""


@click.group()
def policy() -> None:
    """Verify, compare, try and read the policy file."""


def read(file: Path | None) -> Text:
    """A policy file, or the default without one. Raises :class:`Unusable` with every fault."""
    if file is None or str(file) == "default":
        text, name = default_policy_text(), DEFAULT
    else:
        text, name = read_text(file, "policy"), str(file)
    return Text(text, name, load_policy(text, name))


def read_text(file: Path, what: str) -> str:
    """The text of a file; raises :class:`Unusable` with a sentence."""
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise Unusable(f"the {what} file {file} cannot be read: {reason}", str(file)) from None


def moment(text: str | None, zone: str) -> Instant:
    """What ``--from`` means; the present without it."""
    now = SystemClock().now()
    return parse_moment(text, zone, now) if text else now


# installations


def named_installation(flags: Mapping[str, Any]) -> Settings | None:
    """The settings of the installation that flags, variables or ``tocsin.toml`` name; None where none does."""
    settings = load_settings(flags, os.environ)
    plain = Settings.model_fields["data"].default
    return settings if settings.database_url or settings.data != plain else None


@contextmanager
def opened(settings: Settings) -> Iterator[Engine]:
    """An installation beside its running server: nothing is written. Raises :class:`NotFound` where there is none."""
    if not settings.database_url and not (Path(settings.data) / "tocsin.db").is_file():
        raise NotFound(
            f"there is no database in {settings.data}; start tocsin serve once, or name another folder"
        )
    installation = open_installation(settings, read_only=True)
    try:
        yield engine_of(installation, ConsoleChannel())
    finally:
        installation.store.close()


def policy_in_force(engine: Engine) -> Text:
    """The policy in force, with the day on which it was applied."""
    row = engine.store.read(lambda r: r.document("policy", "policy"))
    if row is None:
        raise NotFound("no policy is in force here; start tocsin serve once")
    text = row.body.decode("utf-8")
    since = f"In force since {to_iso(row.created_at)[:10]}."
    return Text(text, "the policy in force", load_policy(text, "the policy in force"), since)


def people_of(engine: Engine, settings: Settings) -> People:
    """The people of an installation; contacts of kinds that it has no channel for do not count."""
    demo = engine.store.read(lambda r: r.meta("demo")) is not None
    kinds = tuple(name for name in engine.channels if name != "console" or demo)
    return People("the database" if settings.database_url else settings.data, engine.directory(), kinds)


def organisation(file: str, now: Instant) -> People:
    """The people of an organisation file; ``demo`` is the demonstration's company."""
    if file == "demo":
        return People("the demonstration's company", demo_organisation(now).directory())
    text = read_text(Path(file), "organisation")
    return People(file, load_organisation(text, file, now=now).directory())


organisation_option = click.option(
    "--organisation", metavar="FILE", help="People, services and schedules; demo: the demonstration's."
)
from_option = click.option(
    "--from", "since", metavar="DATE", help="First day looked at, like 2026-03-02; today without it."
)


# commands


@policy.command("show")
@click.argument("file", type=FILE, required=False)
def policy_show(file: Path | None) -> None:
    """Print a policy: FILE once it can be used, the default without one.

    \b
    Example:
      tocsin policy show > policy.yaml
    """
    click.echo(read(file).text, nl=False)


@policy.command("check")
@click.argument("file", type=FILE, required=False)
@organisation_option
@storage
@click.option(
    "--weeks", type=click.IntRange(1, 520), default=13, show_default=True, help="How far to look ahead."
)
@from_option
@as_json
def policy_check(
    file: Path | None, organisation: str | None, weeks: int, since: str | None, as_json: bool, **flags: Any
) -> None:
    """Verify a policy, and prove that its pages reach somebody where people are given: 0 clean, 1 findings, 2 unusable.

    Without FILE: the policy in force of the installation that is named, or the default.

    \b
    Example:
      tocsin policy check policy.yaml --organisation people.yaml --weeks 26
      tocsin policy check --data /var/lib/tocsin
    """
    text, people = _looked_at(file, organisation, flags, since)
    report = verify(text, people, moment(since, people.directory.settings.zone if people else "UTC"), weeks)
    click.echo(json.dumps(report.plain(), indent=2, ensure_ascii=False) if as_json else report.text())
    sys.exit(0 if report.clean else 1)


def _looked_at(
    file: Path | None, named: str | None, flags: Mapping[str, Any], since: str | None
) -> tuple[Text, People | None]:
    settings = named_installation(flags)
    if named and (flags.get("data") or flags.get("database_url")):
        raise click.UsageError("give either --organisation, or --data or --database-url")
    if named or settings is None:
        return read(file), organisation(named, moment(since, "UTC")) if named else None
    with opened(settings) as engine:
        return read(file) if file else policy_in_force(engine), people_of(engine, settings)


class Report(msgspec.Struct):
    """What ``policy check`` found: in the file, between the policy and its people, and whether coverage is proved."""

    policy: Text
    findings: list[Finding]
    source: str = ""
    about_people: list[Finding] = []
    proof: Proof | None = None
    weeks: int = 0

    @property
    def clean(self) -> bool:
        """Nothing was found, and what could be decided was proved."""
        return not self.findings and not self.about_people and (self.proof is None or self.proof.proved)

    def text(self) -> str:
        """For people."""
        places = Places(self.policy.text, self.policy.name)
        lines = [
            f"{places.said(one) if one.where else f'{self.source}: {one.severity}: {one.sentence}'} [{one.rule}]"
            for one in (*self.findings, *self.about_people)
        ]
        count = len(lines)
        lines.append(
            f"{count} finding{'' if count == 1 else 's'}" if count else f"{self.policy.name}: nothing found"
        )
        return "\n".join([*lines, *self._coverage()])

    def _coverage(self) -> list[str]:
        if self.proof is None:
            return [NO_PEOPLE]
        proof = self.proof
        if proof.proved:
            services = f"{proof.services} service{'' if proof.services == 1 else 's'}"
            return [
                f"proved: for {self.weeks} week{'' if self.weeks == 1 else 's'} every page of {listed(proof.severities)} reaches somebody in "
                f"time, for {services} ({proof.openings:,} stretches of opening times decided)"
            ]
        lines = [f"NOT PROVED: {one.sentence}" for one in proof.found[:SHOWN]]
        if len(proof.found) > SHOWN:
            lines.append(f"and {len(proof.found) - SHOWN} more; --json lists them all")
        return lines

    def plain(self) -> dict[str, Any]:
        """For programs."""
        places = Places(self.policy.text, self.policy.name)

        def shown(one: Finding) -> dict[str, Any]:
            found: dict[str, Any] = msgspec.to_builtins(one)
            lines = {"line": places.line(one.where)} if one.where else {}
            return found | lines | ({"also_line": places.line(one.also)} if one.also else {})

        return {
            "policy": self.policy.name,
            "clean": self.clean,
            "findings": [shown(one) for one in self.findings],
            "people": None if self.proof is None else self._plain_people(self.proof, shown),
        }

    def _plain_people(self, proof: Proof, shown: Any) -> dict[str, Any]:
        return {
            "source": self.source,
            "findings": [shown(one) for one in self.about_people],
            "proof": {
                "proved": proof.proved, "from": to_iso(proof.start), "until": to_iso(proof.end), "weeks": self.weeks,
                "services": proof.services, "severities": list(proof.severities), "openings": proof.openings,
                "counterexamples": [_counterexample(one) for one in proof.found],
            },
        }  # fmt: skip


def _counterexample(one: Counterexample) -> dict[str, Any]:
    steps = [
        {"step": step.number + 1, "after": step.after, "targets": list(step.targets), "at": to_iso(step.at), "people": list(step.people)}
        for step in one.steps
    ]  # fmt: skip
    return {
        "demand": one.demand, "severity": one.severity, "service": one.service, "opened": to_iso(one.opened), "until": to_iso(one.until),
        "without_person": one.without_person, "without_provider": one.without_provider, "within": one.within, "steps": steps,
        "sentence": one.sentence, "others": one.others,
    }  # fmt: skip


def verify(text: Text, people: People | None, start: Instant, weeks: int) -> Report:
    """Everything that can be said of a policy: alone, and with the people it is given."""
    findings = check(text.policy)
    if people is None:
        return Report(text, findings)
    about = people_findings(text.policy, people.directory, start, weeks=weeks, kinds=people.kinds)
    proof = prove(text.policy, people.directory, start, weeks=weeks, kinds=people.kinds)
    return Report(text, findings, people.source, about, proof, weeks)


@policy.command("diff")
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option(
    "--organisation", "organisations", metavar="FILE", multiple=True,
    help="People, for who is paged otherwise; twice: those of OLD and those of NEW.",
)  # fmt: skip
@from_option
@as_json
def policy_diff(
    old: Path, new: Path, organisations: tuple[str, ...], since: str | None, as_json: bool
) -> None:
    """Say what NEW changes for people: 0 nothing, 1 something, 2 unusable. "default" stands for the default policy.

    \b
    Example:
      tocsin policy diff policy.yaml new.yaml
      tocsin policy diff policy.yaml policy.yaml --organisation people.yaml --organisation new-people.yaml
    """
    before, now = read(old), read(new)
    if len(organisations) > 2:
        raise click.UsageError("give --organisation once for both, or twice: those of OLD and those of NEW")
    found = diff(before.policy, now.policy)
    people: list[PeopleChange] | None = None
    if organisations:
        at = moment(since, "UTC")
        first, second = (organisation(one, at).directory for one in (organisations[0], organisations[-1]))
        people = people_changes(Side(before.policy, first), Side(now.policy, second), coming_week(second, at))
    click.echo(
        json.dumps(_plain_difference(found, people), indent=2, ensure_ascii=False)
        if as_json
        else difference_text(found, people)
    )
    sys.exit(0 if found.same and not people else 1)


def difference_text(found: Difference, people: list[PeopleChange] | None) -> str:
    """For people: what changes, group by group; what only readers of the policy notice comes last."""
    changes = [*found.behaviour, *(Change("Who is paged", one.sentence) for one in people or ())]
    lines = _grouped(changes) or ["nothing changes for people"]
    if found.words:
        lines += ["", "Words alone", *(f"  {one.sentence}" for one in found.words)]
    elif found.idle:
        lines.append("the files differ only in how they are written, or in settings without effect")
    return "\n".join(lines)


def _grouped(changes: list[Change]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for one in changes:
        groups.setdefault(one.about, []).append(f"  {one.sentence}")
    return [line for about, sentences in groups.items() for line in (about, *sentences)]


def _plain_difference(found: Difference, people: list[PeopleChange] | None) -> dict[str, Any]:
    return {
        "same": found.same and not people,
        "behaviour": [msgspec.to_builtins(one) for one in found.behaviour],
        "people": None if people is None else [msgspec.to_builtins(one) for one in people],
        "words": [msgspec.to_builtins(one) for one in found.words],
    }


@policy.command("test")
@click.argument("cases", type=FILE)
@click.option("--policy", "against", type=FILE, help="A policy file in place of the one that CASES names.")
@as_json
def policy_test(cases: Path, against: Path | None, as_json: bool) -> None:
    """Try your own CASES against a policy: 0 all as expected, 1 some are not, 2 unusable.

    \b
    Example:
      tocsin policy test policy-tests.yaml
      tocsin policy test policy-tests.yaml --policy new.yaml --json
    """
    loaded = load_cases(read_text(cases, "case"), str(cases), against)
    outcomes: list[Outcome] = []
    for outcome in run_cases(loaded):
        outcomes.append(outcome)
        if not as_json:
            failed = f"FAILED  {outcome.name}: {outcome.found} ({outcome.where})"
            click.echo(f"ok      {outcome.name}" if outcome.ok else failed)
    good = sum(1 for one in outcomes if one.ok)
    if as_json:
        plain = {
            "policy": loaded.policy_name,
            "met": good == len(outcomes),
            "cases": [msgspec.to_builtins(one) for one in outcomes],
        }
        click.echo(json.dumps(plain, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{good} of {len(outcomes)} cases as expected of {loaded.policy_name}")
    sys.exit(0 if good == len(outcomes) else 1)


@policy.command("guide")
@click.argument("file", type=FILE, required=False)
@click.option("--html", is_flag=True, help="One page of HTML that needs nothing else.")
@storage
def policy_guide(file: Path | None, html: bool, **flags: Any) -> None:
    """Print the policy as a guide to read, in Markdown. Without FILE: the policy in force, or the default.

    \b
    Example:
      tocsin policy guide policy.yaml --html > guide.html
    """
    settings = load_settings(flags, os.environ)
    here = settings.database_url or (Path(settings.data) / "tocsin.db").is_file()
    if file is None and (here or named_installation(flags) is not None):
        with opened(settings) as engine:
            text = policy_in_force(engine)
    else:
        text = read(file)
    click.echo((guide_html if html else guide_markdown)(text.policy, text.in_force), nl=False)
