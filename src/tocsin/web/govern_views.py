"""What the API shows of action items, the policy, figures and drills."""

from __future__ import annotations

import msgspec

from tocsin.engine.boards import InForce, Item
from tocsin.engine.figures import Figures
from tocsin.engine.governing import Preview
from tocsin.kernel.clock import SECOND, to_iso
from tocsin.learn.metrics import Figure
from tocsin.learn.score import Kept
from tocsin.notify.coverage import Counterexample, Proof
from tocsin.web.views import DutyView, duty, time


class ActionView(msgspec.Struct):
    """An action item. ``recurred``: incidents that came back although it was verified."""

    id: str
    number: str
    text: str
    category: str
    owner: str
    due: str | None
    criteria: str
    status: str
    incident: str
    report: str
    reported_at: str | None
    done_at: str | None
    closed_at: str | None
    verified_by: str
    how: str
    moved: int
    restricted: bool
    owes: list[DutyView]
    verifiers: list[str]
    recurred: list[str]


class ActionList(msgspec.Struct):
    actions: list[ActionView]


class PolicyVersion(msgspec.Struct):
    version: int
    hash: str
    applied_at: str | None
    by: str
    reason: str


class PolicyView(msgspec.Struct):
    """The policy in force as it is written, and its versions, the newest first."""

    hash: str
    version: int
    text: str
    applied_at: str | None
    by: str
    review_due: str | None
    review_owners: list[str]
    versions: list[PolicyVersion]


class AdoptionView(msgspec.Struct):
    incident: str
    changes: list[str]


class PreviewView(msgspec.Struct):
    """What applying a text would mean. Give ``before`` back when applying: then nobody applies over a version unseen."""

    hash: str
    version: int
    before: str
    same: bool
    findings: list[str]
    changes: list[str]
    words: list[str]
    adoptions: list[AdoptionView]


class Applied(msgspec.Struct):
    hash: str
    version: int
    adopted: list[str]
    """incidents that were moved to it"""


class CounterexampleView(msgspec.Struct):
    demand: str
    severity: str
    service: str
    opened: str
    until: str
    without_person: str
    without_provider: str
    sentence: str


class ProofView(msgspec.Struct):
    """Whether every page reaches somebody, over the weeks ahead."""

    proved: bool
    start: str
    end: str
    services: int
    openings: int
    counterexamples: list[CounterexampleView]


class AttainmentView(msgspec.Struct):
    """How one promise of one severity was kept. Lateness is over what was missed, what is not kept yet included."""

    severity: str
    rule: str
    met: int
    missed: int
    waived: int
    running: int
    met_permille: int | None
    median_late_seconds: int
    worst_late_seconds: int


class TimesView(msgspec.Struct):
    severity: str
    incidents: int
    acknowledged_median_seconds: int | None
    acknowledged_p90_seconds: int | None
    resolved_median_seconds: int | None
    resolved_p90_seconds: int | None


class FigureView(msgspec.Struct):
    """A primary metric. ``value`` is a decimal number as text, empty where the record does not say; ``basis``: what was counted."""

    metric: str
    value: str
    unit: str
    basis: list[str]
    missing: str


class FiguresView(msgspec.Struct):
    start: str
    end: str
    incidents: int
    attainment: list[AttainmentView]
    times: list[TimesView]
    types: dict[str, FigureView]
    unreadable: int


class KeptView(msgspec.Struct):
    """A duty that ran: met, missed, waived, moot or running. ``counted``: the stretches of time that count towards it.

    ``late_seconds``: how long it stayed unkept after it was due, until it was met or the next of its kind in its place, began
    anew, or ended with the incident; else until now.
    """

    rule: str
    id: str
    severity: str
    owner: str
    start: str
    due: str
    state: str
    late_seconds: int
    ended: str | None
    counted: list[tuple[str, str]]


class ScoreView(msgspec.Struct):
    duties: list[KeptView]
    metric: FigureView


class DrillLine(msgspec.Struct):
    name: str
    title: str


class DrillList(msgspec.Struct):
    drills: list[DrillLine]


def action(one: Item) -> ActionView:
    item = one.item
    return ActionView(
        item.id, item.name, item.text, item.category, item.owner, time(item.due), item.criteria, item.status, item.incident_name, item.report,
        time(item.reported_at), time(item.done_at), time(item.closed_at), item.verified_by, item.how, item.moved, item.restricted,
        [duty(clock) for clock in one.clocks], one.verifiers, one.recurred,
    )  # fmt: skip


def policy(found: InForce) -> PolicyView:
    document = found.document
    versions = [
        PolicyVersion(one.version, one.hash, time(one.created_at), one.created_by, one.reason)
        for one in sorted(found.versions, key=lambda one: -one.version)
    ]
    return PolicyView(
        document.hash, document.version, bytes(document.body).decode(), time(found.record.applied_at if found.record else 0),
        document.created_by, time(found.review.duty.due) if found.review else None, found.owners, versions,
    )  # fmt: skip


def preview(found: Preview) -> PreviewView:
    adoptions = [AdoptionView(one.incident, one.changes) for one in found.adoptions]
    return PreviewView(
        found.hash,
        found.number,
        found.before,
        found.same,
        found.findings,
        found.changes,
        found.words,
        adoptions,
    )


def proof(found: Proof) -> ProofView:
    return ProofView(
        found.proved,
        to_iso(found.start),
        to_iso(found.end),
        found.services,
        found.openings,
        [counterexample(one) for one in found.found],
    )


def counterexample(one: Counterexample) -> CounterexampleView:
    return CounterexampleView(
        one.demand, one.severity, one.service, to_iso(one.opened), to_iso(one.until), one.without_person, one.without_provider, one.sentence
    )  # fmt: skip


def figures(found: Figures) -> FiguresView:
    return FiguresView(
        to_iso(found.start), to_iso(found.end), found.incidents,
        [
            AttainmentView(
                one.severity, one.rule, one.met, one.missed, one.waived, one.running, one.share if one.share >= 0 else None,
                one.median_late // SECOND, one.worst_late // SECOND,
            )
            for one in found.attainment
        ],
        [
            TimesView(
                one.severity, one.incidents, _seconds(one.acknowledged_median), _seconds(one.acknowledged_p90),
                _seconds(one.resolved_median), _seconds(one.resolved_p90),
            )
            for one in found.times
        ],
        {kind: figure(one) for kind, one in found.types.items()}, found.unreadable,
    )  # fmt: skip


def figure(one: Figure) -> FigureView:
    return FigureView(one.metric, one.value, one.unit, list(one.basis), one.missing)


def score(kept: list[Kept], metric: Figure) -> ScoreView:
    return ScoreView(
        [
            KeptView(
                one.rule, one.id, one.severity, one.owner, to_iso(one.start), to_iso(one.due), one.state, one.late // SECOND,
                time(one.ended), [(to_iso(low), to_iso(high)) for low, high in one.counted],
            )
            for one in kept
        ],
        figure(metric),
    )  # fmt: skip


def _seconds(micros: int) -> int | None:
    return micros // SECOND if micros >= 0 else None
