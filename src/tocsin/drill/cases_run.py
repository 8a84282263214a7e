"""Runs an owner's cases: severities by the rules, due times by the duties, pages by the real engine on a clock that jumps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from tocsin.alerts.shape import Alert
from tocsin.drill.cases import NO_RULE, Case, Cases, DrillCase, DueCase, PagedCase, SeverityCase
from tocsin.drill.runner import run as run_drill
from tocsin.drill.stage import WATCHER, Sent, Stage, scratch_folder
from tocsin.engine import commands as c
from tocsin.incidents.duties import duties
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import MINUTE, SECOND, Instant, to_datetime
from tocsin.kernel.errors import TocsinError
from tocsin.oncall.walltime import zone_of
from tocsin.policy.model import Policy
from tocsin.policy.severity import propose
from tocsin.store.sqlite import SqliteStore


class Outcome(msgspec.Struct, frozen=True):
    """A case, whether it is as expected, and what was found where it is not. ``where``: file and line."""

    name: str
    ok: bool
    found: str
    where: str


def run_cases(cases: Cases) -> Iterator[Outcome]:
    """The outcome of each case, in the order of the file."""
    with scratch_folder() as folder:
        blank = (
            _migrated(Path(folder))
            if any(isinstance(one, PagedCase | DrillCase) for one in cases.cases)
            else None
        )
        for case in cases.cases:
            faults = list(_run(case, cases, blank))
            yield Outcome(case.name, not faults, "; ".join(faults), case.where)


def _migrated(folder: Path) -> Path:
    store = SqliteStore(folder)
    store.migrate()
    store.close()
    return folder / "tocsin.db"


def _run(case: Case, cases: Cases, blank: Path | None) -> Iterator[str]:
    match case:
        case SeverityCase():
            yield from _severity(case, cases.policy)
        case DueCase():
            yield from _due(case, cases)
        case PagedCase():
            yield from _paged(case, cases, blank)
        case DrillCase():
            yield from _drill(case, cases, blank)


def _severity(case: SeverityCase, policy: Policy) -> Iterator[str]:
    found = propose(policy, case.given)
    by = f"by {found.rule!r}" if found.rule else f"({found.reason})"
    named = found.rule or NO_RULE
    if found.severity != case.expect or (case.rule and named != case.rule):
        yield f"it is {found.severity} {by}"
    others = [name for name, _ in found.others]
    lacking = [name for name in case.also if name not in others]
    if lacking:
        yield f"{', '.join(map(repr, lacking))} did not fire too; {', '.join(map(repr, others)) or 'nothing else'} did"


def _due(case: DueCase, cases: Cases) -> Iterator[str]:
    incident = Incident(
        "case", number=1, severity=case.severity, severity_state="proposed" if case.proposed or case.rule == NO_RULE else "confirmed",
        rule="" if case.rule == NO_RULE else "a rule", kind=case.kind or next(iter(cases.policy.types)), status="triggered",
        opened_at=case.opened, acknowledge_from=case.opened, respond_from=case.opened, update_from=case.opened, resolve_from=case.opened,
        resolve_chase_from=case.opened, confirmed_at=0 if case.proposed else case.opened, calendar=case.calendar,
        resolved_at=case.resolved, resolved_by_person=bool(case.resolved),
    )  # fmt: skip
    owed: dict[str, Instant] = {}
    for duty in duties(incident, cases.policy):
        name = duty.id.split(":")[1] if duty.rule == "post_mortem" else duty.rule
        owed.setdefault(name, duty.due)
    for what, expected in case.due.items():
        found = owed.get(what)
        shown = what.replace("_", " ")
        if found is None:
            yield f"no {shown} is owed"
        elif found != expected:
            yield f"{shown} is due {_moment(found, cases.zone)}, expected {_moment(expected, cases.zone)}"


def _moment(at: Instant, zone: str) -> str:
    local = to_datetime(at, zone_of(zone))
    return f"{local:%A %Y-%m-%d %H:%M}" + (f":{local:%S}" if local.second else "")


def _paged(case: PagedCase, cases: Cases, blank: Path | None) -> Iterator[str]:
    assert cases.organisation is not None  # the reader saw to it
    with scratch_folder() as folder:
        stage = Stage(
            Path(folder),
            organisation=cases.organisation,
            policy=cases.policy_text,
            start=case.opened,
            blank=blank,
        )
        try:
            _open(stage, case)
            stage.run_to(case.within)
            sent = [one for one in stage.sent if not one.failed]
        finally:
            stage.close()
    pages, notices = _first(sent, pages=True), _first(sent, pages=False)
    for verb, expected, found in (("paged", case.pages, pages), ("told", case.tells, notices)):
        for person, at in expected.items():
            if person not in found:
                yield f"{person} is not {verb} within {_since(case.within)}"
            elif found[person] // SECOND != at // SECOND:
                yield f"{person} is {verb} at {_since(found[person])}, expected {_since(at)}"
    for person in case.never:
        if person in pages:
            yield f"{person} is paged at {_since(pages[person])}"
    if case.only:
        others = [f"{person} at {_since(at)}" for person, at in pages.items() if person not in case.pages]
        if others:
            yield f"paged too: {', '.join(others)}"


def _open(stage: Stage, case: PagedCase) -> None:
    if case.alert:
        alert = case.alert
        stage.receive(
            [
                Alert(
                    "trigger", "case", str(alert["summary"]), str(alert["severity"]), "case", str(alert["service"]),
                    dict(alert["labels"]), via="drill",
                )
            ]
        )  # fmt: skip
    else:
        command = c.Declare("a case", severity=case.severity, services=[case.service] if case.service else [])
        stage.engine.execute(WATCHER, command, via="drill")


def _first(sent: list[Sent], *, pages: bool) -> dict[str, int]:
    """Person → when the first page, or notice, reached them."""
    found: dict[str, int] = {}
    for one in sent:
        if one.is_page == pages:
            found.setdefault(one.person, one.at)
    return found


def _since(micros: int) -> str:
    """``0m``, ``2m``, ``90s``: a time since the opening, as it is written in a file."""
    return f"{micros // MINUTE}m" if micros % MINUTE < SECOND else f"{micros // SECOND}s"


def _drill(case: DrillCase, cases: Cases, blank: Path | None) -> Iterator[str]:
    try:
        result = run_drill(case.scenario, policy=cases.policy_text, blank=blank)
    except TocsinError as error:
        yield error.sentence
        return
    for verdict in result.verdicts:
        if not verdict.ok:
            yield f"{verdict.text}: {verdict.found}" + (f" ({verdict.where})" if verdict.where else "")
