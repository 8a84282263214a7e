"""What the API shows: one struct for each thing, times as RFC 3339. The OpenAPI document is made of these.

``None`` stands for *not yet* and *never*. Secrets are in no view; what is shown once is in the answer of its change.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.alerts.routing import Route
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.catalogue.people import Person
from tocsin.catalogue.services import Service
from tocsin.catalogue.teams import Team
from tocsin.engine.journal import Entry
from tocsin.engine.overview import Owed
from tocsin.engine.receiving import Integration
from tocsin.engine.silencing import Hidden
from tocsin.engine.ways_in import Kept
from tocsin.identity.sessions import Session
from tocsin.identity.tokens import ApiToken
from tocsin.incidents.directory import Directory
from tocsin.incidents.duties import Standing
from tocsin.incidents.timeline import Line
from tocsin.kernel.clock import SECOND, Instant, to_iso
from tocsin.kernel.ports import StreamRow
from tocsin.oncall.escalation import EscalationPolicy
from tocsin.oncall.rotations import Rotation
from tocsin.oncall.schedules import Gap, Leave, OnCall, Override, Schedule, Shift


def time(at: Instant | None) -> str | None:
    """RFC 3339 in UTC, or None where there is no time."""
    return to_iso(at) if at else None


class Problem(msgspec.Struct, omit_defaults=True):
    """An RFC 9457 problem document."""

    type: str
    title: str
    status: int
    detail: str
    code: str = ""
    """the kind of error, for programs"""
    where: str = ""
    """points into the request"""
    allowed: list[str] = []
    """what the present state does allow"""


class IncidentRow(msgspec.Struct):
    """One line of the list."""

    id: str
    name: str
    title: str
    status: str
    severity: str
    opened_at: str | None
    restricted: bool
    open: bool
    drill: bool


class IncidentList(msgspec.Struct):
    incidents: list[IncidentRow]
    next: str | None = None
    """give it as ``before`` to get the page that follows"""


class TimelineLine(msgspec.Struct):
    fact: str
    at: str
    recorded_at: str
    kind: str
    text: str
    who: str
    via: str
    type: str
    version: int


class Timeline(msgspec.Struct):
    timeline: list[TimelineLine]


class DutyView(msgspec.Struct):
    """A promise with its clock. ``left_seconds`` is negative when overdue."""

    id: str
    rule: str
    owner: str
    start: str
    due: str
    how: str
    state: str
    left_seconds: int
    missed: bool
    incident: str = ""


class Duties(msgspec.Struct):
    duties: list[DutyView]


class NextPageView(msgspec.Struct):
    kind: str
    at: str
    people: list[str]
    again: bool
    quiet: bool


class Escalation(msgspec.Struct):
    next: list[NextPageView]


class Done(msgspec.Struct, omit_defaults=True):
    """What a command about an incident answers."""

    id: str
    number: str
    status: str
    severity: str
    version: int
    message: str = ""
    task: str = ""


class Changed(msgspec.Struct, omit_defaults=True):
    """What a change answers. ``secret`` and ``url`` are shown this once; ``warning`` is something to look after."""

    id: str
    name: str = ""
    warning: str = ""
    secret: str = ""
    url: str = ""


class Reported(msgspec.Struct):
    id: str
    number: str
    severity: str
    reason: str
    paged: list[str]


class ContactView(msgspec.Struct):
    """``address`` is shown to the person and to owners."""

    id: str
    kind: str
    label: str
    address: str | None
    verified_at: str | None
    tested_at: str | None
    interrupts: bool


class RuleView(msgspec.Struct):
    severities: list[str]
    after_seconds: int
    contact: str


class PersonView(msgspec.Struct):
    id: str
    name: str
    email: str
    role: str
    zone: str
    active: bool
    org_roles: list[str]
    contacts: list[ContactView]
    rules: list[RuleView]
    off: str
    """why they are not paged now; empty where they are"""


class People(msgspec.Struct):
    people: list[PersonView]


class Holding(msgspec.Struct):
    schedule: str
    name: str
    position: str
    person: str | None
    since: str | None
    until: str | None
    reason: str


class OnCallNow(msgspec.Struct):
    on_call: list[Holding]


class ShiftView(msgspec.Struct):
    position: str
    start: str
    end: str
    person: str | None
    reason: str


class OverrideView(msgspec.Struct):
    id: str
    schedule: str
    person: str
    position: str
    start: str
    end: str
    reason: str
    by: str


class GapView(msgspec.Struct):
    schedule: str
    position: str
    start: str
    end: str
    reason: str


class LeaveView(msgspec.Struct):
    id: str
    person: str
    start: str
    end: str
    reason: str


class Leaves(msgspec.Struct):
    leave: list[LeaveView]


class ScheduleView(msgspec.Struct):
    id: str
    name: str
    zone: str
    rotations: list[Rotation]
    secondary: list[Rotation]
    secondary_offset: int
    shifts: list[ShiftView] = []
    overrides: list[OverrideView] = []
    gaps: list[GapView] = []


class Schedules(msgspec.Struct):
    schedules: list[ScheduleView]


class ServiceView(msgspec.Struct):
    service: Service
    incidents: list[str]
    """open ones that you may see"""
    severity: str
    """of the worst of them"""


class Services(msgspec.Struct):
    services: list[ServiceView]


class StepView(msgspec.Struct):
    """A step of a chain: whom it pages ``after_seconds``, of working hours where ``business``; ``people``: whom that means now."""

    after_seconds: int
    business: bool
    page: list[str]
    people: list[str]


class EscalationPolicyView(msgspec.Struct):
    """``steps``: severity → the chain of its own, where it has one. ``people``: target → whom it means now."""

    id: str
    name: str
    team: str
    targets: dict[str, str]
    people: dict[str, list[str]]
    steps: dict[str, list[StepView]]


class EscalationPolicies(msgspec.Struct):
    escalation_policies: list[EscalationPolicyView]


class JournalEntry(msgspec.Struct):
    """A change of a live record: ``changed`` is what differs now, ``field: before → after``."""

    at: str
    by: str
    door: str
    verb: str
    about: str
    name: str
    changed: list[str]


class Journal(msgspec.Struct):
    entries: list[JournalEntry]
    next: str
    """for ``before``, where there are older ones"""


class Teams(msgspec.Struct):
    teams: list[Team]


class IntegrationView(msgspec.Struct):
    id: str
    name: str
    source: str
    service: str
    escalation_policy: str
    team: str
    group_by: list[str]
    may_silence: bool
    interval_seconds: int
    snippet: str = ""
    """what to paste at the sender, key included; for owners"""


class Integrations(msgspec.Struct):
    integrations: list[IntegrationView]


class RequestView(msgspec.Struct):
    """One of the last requests; ``body`` and ``headers`` are for owners, others read whether it was taken as its ``reason``."""

    received_at: str
    status: int
    reason: str
    body: str
    headers: str


class Requests(msgspec.Struct):
    requests: list[RequestView]


class OutcomeView(msgspec.Struct):
    dedup_key: str
    event: str
    reason: str
    incident: str


class TestResult(msgspec.Struct):
    outcomes: list[OutcomeView]
    notes: list[str]


class RouteView(msgspec.Struct):
    id: str
    name: str
    matchers: list[str]
    integration: str
    service: str
    escalation_policy: str
    group_by: list[str]


class Routes(msgspec.Struct):
    routes: list[RouteView]


class SilenceView(msgspec.Struct):
    id: str
    matchers: list[str]
    integration: str
    starts_at: str
    ends_at: str
    author: str
    reason: str
    covers_p1: bool


class Silences(msgspec.Struct):
    silences: list[SilenceView]


class MaintenanceView(msgspec.Struct):
    id: str
    services: list[str]
    starts_at: str
    ends_at: str
    author: str
    reason: str
    covers_p1: bool


class MaintenanceWindows(msgspec.Struct):
    maintenance: list[MaintenanceView]


class QuietAlert(msgspec.Struct):
    integration: str
    dedup_key: str
    summary: str
    service: str
    state: str
    reason: str
    since: str


class Quiet(msgspec.Struct):
    alerts: list[QuietAlert]


class TokenView(msgspec.Struct):
    id: str
    name: str
    hint: str
    scopes: list[str]
    created: str | None
    expires: str | None


class Tokens(msgspec.Struct):
    tokens: list[TokenView]


class SessionView(msgspec.Struct):
    id: str
    label: str
    created: str
    last_seen: str


class Sessions(msgspec.Struct):
    sessions: list[SessionView]


class Feeds(msgspec.Struct):
    """Addresses of calendar feeds; empty until a token was made."""

    feeds: dict[str, str]


class ReportLink(msgspec.Struct):
    id: str
    name: str


class ReportLinks(msgspec.Struct):
    links: list[ReportLink]


class State(msgspec.Struct):
    """What everybody must know of this installation now."""

    banner: list[str]
    unreachable: list[str]
    timer_late_seconds: int
    message_late_seconds: int


def incident_row(row: StreamRow) -> IncidentRow:
    return IncidentRow(
        row.stream.id, f"{row.series}-{row.number}", row.title, row.status, row.severity, time(row.opened_at), row.restricted,
        row.open, row.drill,
    )  # fmt: skip


def timeline_line(one: Line) -> TimelineLine:
    return TimelineLine(
        one.fact,
        to_iso(one.at),
        to_iso(one.recorded_at),
        one.kind,
        one.text,
        one.who,
        one.via,
        one.type,
        one.version,
    )


def duty(clock: Standing, incident: str = "") -> DutyView:
    d = clock.duty
    return DutyView(
        d.id, d.rule, d.owner, to_iso(d.start), to_iso(d.due), d.how, clock.state, clock.left // SECOND, clock.missed, incident
    )  # fmt: skip


def owed(one: Owed) -> DutyView:
    return duty(one.clock, one.incident.name)


def person(one: Person, directory: Directory, now: Instant, *, addresses: bool) -> PersonView:
    return PersonView(
        one.id, one.name, one.email, one.role, one.zone, one.active, list(one.org_roles),
        [
            ContactView(
                c.id, c.kind, c.label, c.address if addresses else None, time(c.verified_at), time(c.tested_at), c.interrupts
            )
            for c in one.contacts
        ],
        [RuleView(list(rule.severities), rule.after // SECOND, rule.contact) for rule in one.rules],
        directory.off(one.id, now),
    )  # fmt: skip


def holding(schedule: Schedule, position: str, answer: OnCall) -> Holding:
    return Holding(
        schedule.id,
        schedule.name,
        position,
        answer.person,
        time(answer.since),
        time(answer.until),
        answer.reason,
    )


def shift(position: str, one: Shift) -> ShiftView:
    return ShiftView(position, to_iso(one.start), to_iso(one.end), one.person, one.reason)


def override(one: Override) -> OverrideView:
    return OverrideView(
        one.id, one.schedule, one.person, one.position, to_iso(one.start), to_iso(one.end), one.reason, one.by
    )


def gap(schedule: str, one: Gap) -> GapView:
    return GapView(schedule, one.position, to_iso(one.start), to_iso(one.end), one.reason)


def leave(one: Leave) -> LeaveView:
    return LeaveView(one.id, one.person, to_iso(one.start), to_iso(one.end), one.reason)


def schedule(one: Schedule) -> ScheduleView:
    return ScheduleView(
        one.id, one.name, one.zone, list(one.rotations), list(one.secondary), one.secondary_offset
    )


def integration(one: Integration, snippet: str = "") -> IntegrationView:
    return IntegrationView(
        one.id, one.name, one.source, one.service, one.escalation_policy, one.team, one.group_by, one.may_silence,
        one.interval // SECOND, snippet,
    )  # fmt: skip


def escalation_policy(one: EscalationPolicy, directory: Directory, now: Instant) -> EscalationPolicyView:
    def meant(target: str) -> list[str]:
        return list(directory.resolve(target, now, team=one.team, policy=one.id, to_page=True).people)

    return EscalationPolicyView(
        one.id, one.name, one.team, one.targets, {name: meant(name) for name in one.targets},
        {
            severity: [
                StepView(
                    step.after // SECOND, step.business, list(step.targets),
                    list(dict.fromkeys(person for target in step.targets for person in meant(target))),
                )
                for step in one.steps_for(severity)
            ]
            for severity in one.steps
        },
    )  # fmt: skip


def journal_entry(one: Entry) -> JournalEntry:
    return JournalEntry(to_iso(one.at), one.by, one.door, one.verb, one.about, one.name, one.lines)


def brief(status: int) -> str:
    """What everybody may know of a request: what it opened may be restricted."""
    return "taken" if status < 400 else "refused"


def request(row: Kept, *, whole: bool) -> RequestView:
    return RequestView(
        to_iso(row.received_at),
        row.status,
        row.reason if whole else brief(row.status),
        row.body if whole else "",
        row.headers if whole else "",
    )


def route(one: Route) -> RouteView:
    return RouteView(
        one.id, one.name, [str(matcher) for matcher in one.matchers], one.integration, one.service, one.escalation_policy, one.group_by
    )  # fmt: skip


def silence(one: Silence) -> SilenceView:
    return SilenceView(
        one.id, [str(matcher) for matcher in one.matchers], one.integration, to_iso(one.starts_at), to_iso(one.ends_at),
        one.author, one.reason, one.covers_p1,
    )  # fmt: skip


def maintenance(one: Maintenance) -> MaintenanceView:
    return MaintenanceView(
        one.id,
        one.services,
        to_iso(one.starts_at),
        to_iso(one.ends_at),
        one.author,
        one.reason,
        one.covers_p1,
    )


def quiet(one: Hidden) -> QuietAlert:
    return QuietAlert(
        one.integration, one.dedup_key, one.summary, one.service, one.state, one.reason, to_iso(one.since)
    )


def token(one: ApiToken) -> TokenView:
    return TokenView(one.id, one.name, one.hint, list(one.scopes), time(one.created), time(one.expires))


def session(one: Session) -> SessionView:
    return SessionView(one.id, one.label, to_iso(one.created), to_iso(one.last_seen))


def as_json(value: Any) -> bytes:
    """The bytes that are sent."""
    return msgspec.json.encode(value)
