"""The state of an incident: the fold of its facts. ``FOLD`` changes whenever the meaning of a snapshot does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from tocsin.incidents import facts as f
from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import Fact

FOLD = 3

OPEN = ("investigating", "identified", "monitoring")
ENDED = ("closed", "false_alarm", "merged")
OWED = "owed:"
"""how the kind of a notice begins that reminds of a duty"""
ALL_SEVERITIES = ("P1", "P2", "P3", "P4")


def worse(a: str, b: str) -> bool:
    """Whether severity ``a`` is more severe than ``b``."""
    return ALL_SEVERITIES.index(a) < ALL_SEVERITIES.index(b)


class Attached(msgspec.Struct):
    """An alert of the incident; ``cleared_at`` 0 while it fires."""

    ref: f.AlertRef
    cleared_at: Instant = 0
    how: str = ""


class Run(msgspec.Struct):
    """One escalation. ``anchor`` is what step delays count from in this round; ``next`` the step that comes next."""

    id: str
    kind: str
    escalation_policy: str
    severity: str
    service: str
    anchor: Instant
    started_at: Instant
    reason: str
    first: list[str] = []
    next: int = 0
    round: int = 0
    paged: dict[str, Instant] = {}
    reached: bool = False
    """somebody was paged in this round"""
    state: str = "running"
    """running, acknowledged, stopped"""
    paused_until: Instant = 0
    last_step_at: Instant = 0
    skipped: bool = False
    """the last step found nobody, so the next one is taken at once"""
    on_call: str = ""


class Holder(msgspec.Struct):
    person: str
    since: Instant
    acting: bool = False


class Task(msgspec.Struct):
    id: str
    text: str
    owner: str = ""
    due: Instant = 0
    state: str = "open"
    reason: str = ""


class Outgoing(msgspec.Struct):
    """Something that is to leave the company. ``state``: drafted, approved, sent."""

    id: str
    channel: str
    text: str
    approver: str
    sender: str
    state: str = "drafted"
    to: str = ""


class Validation(msgspec.Struct):
    """The last check of its kind. ``outcome``: passed, failed, not_applicable."""

    outcome: str
    at: Instant
    note: str = ""


class Incident(msgspec.Struct):
    """Everything that is known of one incident. All times are instants (UTC microseconds), 0 where not yet."""

    id: str
    number: int = 0
    series: str = "INC"
    version: int = 0
    title: str = ""
    summary: str = ""
    kind: str = "availability"
    subtype: str = ""
    severity: str = "P2"
    severity_state: str = "proposed"
    severity_reason: str = ""
    rule: str = ""
    status: str = "investigating"
    policy: str = ""
    calendar: str = ""
    escalation_policy: str = ""
    group_key: str = ""
    services: list[str] = []
    restricted: bool = False
    drill: bool = False
    linked: str = ""
    by: str = "machine"
    detected_how: str = ""
    detected_by: str = ""
    opened_at: Instant = 0
    alerts: dict[str, Attached] = {}
    all_clear_at: Instant = 0
    runs: dict[str, Run] = {}
    holder: str = ""
    """who acknowledged; empty when nobody has, or it lapsed"""
    acknowledged_at: Instant = 0
    roles: dict[str, Holder] = {}
    past_roles: list[tuple[str, str, Instant, Instant]] = []
    members: list[str] = []
    told: dict[str, list[str]] = {}
    """notice kind → people told"""
    last_update_at: Instant = 0
    updates: int = 0
    responded_at: Instant = 0
    protocol: dict[str, Instant] = {}
    tasks: dict[str, Task] = {}
    milestones: dict[str, Instant] = {}
    impact: dict[str, int | str] = {}
    service_states: list[tuple[str, str, Instant]] = []
    acknowledge_from: Instant = 0
    respond_from: Instant = 0
    update_from: Instant = 0
    resolve_from: Instant = 0
    resolve_chase_from: Instant = 0
    reminded: list[str] = []
    """keys of reminders that were sent"""
    missed: dict[str, Instant] = {}
    chased: dict[str, int] = {}
    """duty → nudges since it was missed"""
    escalated: list[str] = []
    """missed duties that went to somebody else"""
    silent_intervals: int = 0
    """update intervals missed since the last update"""
    waived: dict[str, str] = {}
    paused_until: Instant = 0
    pause_reason: str = ""
    paused_since: Instant = 0
    paused_total: int = 0
    touched: bool = False
    """a person wrote, took a role or told outsiders"""
    resolved_at: Instant = 0
    resolved_by_person: bool = False
    closed_at: Instant = 0
    asked: list[str] = []
    merged_into: str = ""
    merged_from: list[str] = []
    nobody: bool = False
    """the last round of some escalation reached nobody"""
    failed: dict[str, list[str]] = {}
    """person → contacts that failed for good"""
    change: str = ""
    told_at: dict[str, Instant] = {}
    """notice kind → when people were first told"""
    confirmed_at: Instant = 0
    """when a person last declared, confirmed or changed the severity"""
    war_room_at: Instant = 0
    war_room: str = ""
    stand_up_at: Instant = 0
    """the last stand-up that was held or missed"""
    validations: dict[str, Validation] = {}
    learned: dict[str, Instant] = {}
    """steps of the post-mortem that are done"""
    outgoing: dict[str, Outgoing] = {}
    sent_to: dict[str, Instant] = {}
    """channel or party outside → when it was last told"""

    @property
    def name(self) -> str:
        """The human number: ``INC-123``."""
        return f"{self.series}-{self.number}"

    @property
    def open(self) -> bool:
        return self.status in OPEN

    @property
    def commander(self) -> str:
        holder = self.roles.get("incident_commander")
        return holder.person if holder and not holder.acting else ""

    @property
    def acting_commander(self) -> str:
        holder = self.roles.get("incident_commander")
        return holder.person if holder and holder.acting else ""

    @property
    def firing(self) -> list[Attached]:
        return [alert for alert in self.alerts.values() if not alert.cleared_at]

    @property
    def everybody_told(self) -> list[str]:
        """All who were paged or told, each once, in order."""
        people: dict[str, None] = {}
        for run in self.runs.values():
            people.update(dict.fromkeys(run.paged))
        for names in self.told.values():
            people.update(dict.fromkeys(names))
        return list(people)


def alert_key(integration: str, key: str) -> str:
    """How the fold names an alert."""
    return f"{integration}\n{key}"


def fold(incident: Incident, body: f.Body | None, at: Instant, version: int, by_person: bool) -> None:
    """Applies one fact to the state, in place. A redacted body (None) only moves the version on."""
    incident.version = version
    if body is not None:
        handler = _HANDLERS.get(type(body))
        if handler is not None:
            handler(incident, body, at)
        if by_person and type(body) in _TOUCHING:
            incident.touched = True


def refold(stream_id: str, stored: Iterable[Fact], start: Incident | None = None) -> Incident:
    """The state after ``stored`` facts, from an earlier state or from nothing."""
    incident = start or Incident(stream_id)
    for fact in stored:
        fold(
            incident,
            f.read(fact),
            fact.occurred_at if fact.type in _BACKDATED else fact.recorded_at,
            fact.version,
            fact.actor.principal.startswith("person:"),
        )
    return incident


def _declared(i: Incident, b: f.Declared, at: Instant) -> None:
    for name in (
        "number", "series", "title", "severity", "severity_state", "policy", "rule", "kind", "subtype", "summary", "by",
        "detected_how", "detected_by", "escalation_policy", "group_key", "restricted", "drill", "linked", "calendar",
    ):  # fmt: skip
        setattr(i, name, getattr(b, name))
    i.severity_reason, i.services = b.reason, list(b.services)
    i.opened_at = i.acknowledge_from = i.respond_from = i.update_from = i.resolve_from = (
        i.resolve_chase_from
    ) = at
    i.milestones["detected"] = at
    i.protocol["record"] = at
    i.confirmed_at = at if b.severity_state == "confirmed" else 0


def _attached(i: Incident, b: f.AlertsAttached | f.AlertsRefired, at: Instant) -> None:
    for ref in b.alerts:
        i.alerts[alert_key(ref.integration, ref.key)] = Attached(ref)
        if ref.service and ref.service not in i.services:
            i.services.append(ref.service)
    i.all_clear_at = 0


def _cleared(i: Incident, b: f.AlertsCleared, at: Instant) -> None:
    for integration, key in b.keys:
        alert = i.alerts.get(alert_key(integration, key))
        if alert is not None:
            alert.cleared_at, alert.how = at, b.how
    if i.alerts and not i.firing:
        i.all_clear_at = at


def _sender_acknowledged(i: Incident, b: f.SenderAcknowledged, at: Instant) -> None:
    for run in i.runs.values():
        if run.state == "running":
            run.paused_until = max(run.paused_until, b.until)


def _severity(i: Incident, b: f.SeverityChanged, at: Instant) -> None:
    i.severity, i.severity_state, i.severity_reason = b.after, b.state, b.reason
    i.rule = b.rule
    i.confirmed_at = at if b.state == "confirmed" else 0
    if b.direction == "raised":
        i.acknowledge_from = i.respond_from = i.update_from = i.resolve_chase_from = at
        i.responded_at = i.acknowledged_at = 0
        i.protocol = {"record": i.protocol.get("record", at)}
        i.holder, i.silent_intervals = "", 0
    elif b.direction == "lowered" and i.silent_intervals:
        # the new rhythm counts from the change; what was missed in the old one stands
        i.update_from, i.silent_intervals = at, 0


def _type(i: Incident, b: f.TypeSet, at: Instant) -> None:
    i.kind, i.subtype = b.kind, b.subtype
    i.restricted = i.restricted or b.restricted


def _retitled(i: Incident, b: f.Retitled, at: Instant) -> None:
    i.title, i.summary = b.title, b.summary or i.summary


def _run(i: Incident, b: f.RunStarted, at: Instant) -> None:
    i.runs[b.run] = Run(
        b.run, b.kind, b.escalation_policy, b.severity, b.service, b.anchor or at, at, b.reason, list(b.first)
    )


def _paged(i: Incident, b: f.Paged, at: Instant) -> None:
    run = i.runs[b.run]
    _step(run, b.step, b.round, b.late, at)
    run.reached, run.skipped = True, False
    for person in b.people:
        run.paged[person] = at
    if "on_call" in b.targets and b.people:
        run.on_call = b.people[0]
    i.nobody = False
    _join(i, b.people)


def _skipped(i: Incident, b: f.StepSkipped, at: Instant) -> None:
    _step(i.runs[b.run], b.step, b.round, b.late, at)
    i.runs[b.run].skipped = True


def _step(run: Run, step: int, round: int, late: int, at: Instant) -> None:
    if round != run.round:
        run.round, run.reached = round, False
        run.anchor = at
    else:
        run.anchor += late
    if step >= 0:
        run.next = step + 1
    run.last_step_at = at


def _nobody(i: Incident, b: f.NobodyReachable, at: Instant) -> None:
    i.nobody = True


def _stopped(i: Incident, b: f.RunStopped, at: Instant) -> None:
    i.runs[b.run].state = "stopped"


def _acknowledged(i: Incident, b: f.Acknowledged, at: Instant) -> None:
    for run in b.runs:
        i.runs[run].state = "acknowledged"
    if not i.holder:
        i.holder = b.person
    i.acknowledged_at = i.acknowledged_at or at
    i.protocol.setdefault("acknowledge", at)
    i.nobody = False
    _join(i, [b.person])


def _lapsed(i: Incident, b: f.AcknowledgementLapsed | f.Declined, at: Instant) -> None:
    if i.holder == b.person:
        i.holder = ""


def _told(i: Incident, b: f.Told, at: Instant) -> None:
    _join(i, b.people)
    if b.kind.startswith(OWED):
        return  # whoever is nudged works on it and needs no all-clear; and nudges are many
    known = i.told.setdefault(b.kind, [])
    known.extend(person for person in b.people if person not in known)
    i.told_at.setdefault(b.kind, at)


def _war_room(i: Incident, b: f.WarRoomOpened, at: Instant) -> None:
    i.war_room, i.war_room_at = b.where, i.war_room_at or at


def _stand_up(i: Incident, b: f.StandUpHeld, at: Instant) -> None:
    i.stand_up_at = max(i.stand_up_at, b.slot)


def _validated(i: Incident, b: f.ValidationDone, at: Instant) -> None:
    i.validations[b.kind] = Validation(b.outcome, at, b.note)


def _learned(i: Incident, b: f.PostMortemStepDone, at: Instant) -> None:
    i.learned.setdefault(b.step, at)


def _drafted(i: Incident, b: f.MessageDrafted, at: Instant) -> None:
    i.outgoing[b.message] = Outgoing(b.message, b.channel, b.text, b.approver, b.sender)


def _approved(i: Incident, b: f.MessageApproved, at: Instant) -> None:
    i.outgoing[b.message].state = "approved"


def _sent(i: Incident, b: f.MessageSent, at: Instant) -> None:
    message = i.outgoing[b.message]
    message.state, message.to = "sent", b.to
    i.sent_to[b.channel] = at
    i.touched = True


def _delivery(i: Incident, b: f.Delivery, at: Instant) -> None:
    if b.outcome in ("failed", "gave_up", "delayed"):
        known = i.failed.setdefault(b.person, [])
        if b.contact not in known:
            known.append(b.contact)
    elif b.person in i.failed and b.contact in i.failed[b.person]:
        i.failed[b.person].remove(b.contact)


def _role(i: Incident, b: f.RoleAssigned, at: Instant) -> None:
    before = i.roles.get(b.role)
    if before is not None:
        i.past_roles.append((b.role, before.person, before.since, at))
    i.roles[b.role] = Holder(b.person, at, b.acting)
    for task in b.tasks:
        i.tasks[task].owner = b.person
    _join(i, [b.person])


def _released(i: Incident, b: f.RoleReleased, at: Instant) -> None:
    before = i.roles.pop(b.role, None)
    if before is not None:
        i.past_roles.append((b.role, before.person, before.since, at))


def _status(i: Incident, b: f.StatusChanged, at: Instant) -> None:
    i.status = b.after
    if b.after == "resolved":
        i.resolved_at, i.resolved_by_person = at, b.by_person
        i.milestones["resolved"] = at
    if b.after in ("closed", "false_alarm"):
        i.closed_at = at
    if not i.open:
        for run in i.runs.values():
            if run.state == "running":
                run.state = "stopped"


def _reopened(i: Incident, b: f.Reopened, at: Instant) -> None:
    i.status, i.resolved_at, i.resolved_by_person, i.closed_at = "investigating", 0, False, 0
    i.acknowledge_from = i.respond_from = i.update_from = at
    i.acknowledged_at = i.responded_at = i.silent_intervals = 0
    i.holder, i.asked = "", []
    i.protocol = {"record": i.protocol.get("record", at)}
    i.milestones.pop("resolved", None)
    i.learned, i.validations = {}, {}


def _update(i: Incident, b: f.UpdatePosted, at: Instant) -> None:
    if at > i.last_update_at:
        i.last_update_at, i.silent_intervals = at, 0
    i.updates += 1


def _protocol(i: Incident, b: f.ProtocolStepDone, at: Instant) -> None:
    i.protocol.setdefault(b.step, at)


def _milestone(i: Incident, b: f.MilestoneSet, at: Instant) -> None:
    i.milestones[b.name] = b.at


def _impact(i: Incident, b: f.ImpactSet, at: Instant) -> None:
    i.impact.update(b.values)


def _service(i: Incident, b: f.ServiceState, at: Instant) -> None:
    i.service_states.append((b.service, b.state, b.at))
    if b.service not in i.services:
        i.services.append(b.service)


def _task(i: Incident, b: f.TaskAdded, at: Instant) -> None:
    i.tasks[b.task] = Task(b.task, b.text, b.owner, b.due)


def _task_changed(i: Incident, b: f.TaskChanged, at: Instant) -> None:
    task = i.tasks[b.task]
    task.state, task.owner, task.reason = b.state, b.owner or task.owner, b.reason


def _reminded(i: Incident, b: f.DutyReminded, at: Instant) -> None:
    i.reminded.append(b.duty)


def _missed(i: Incident, b: f.DutyMissed, at: Instant) -> None:
    i.missed[b.duty] = at
    if b.rule == "update":
        i.silent_intervals += 1
    elif b.rule == "stand_up":
        i.stand_up_at = max(i.stand_up_at, int(b.duty.partition(":")[2]))


def _chased(i: Incident, b: f.DutyChased, at: Instant) -> None:
    if b.escalated_to:
        i.escalated.append(b.duty)
    else:
        i.chased[b.duty] = b.number


def _waived(i: Incident, b: f.DutyWaived, at: Instant) -> None:
    i.waived[b.duty] = b.reason


def _met(i: Incident, b: f.DutyMet, at: Instant) -> None:
    if b.rule == "respond":
        i.responded_at = i.responded_at or at


def _pause(i: Incident, b: f.ClockPaused, at: Instant) -> None:
    i.paused_since, i.paused_until, i.pause_reason = at, b.until, b.reason


def _resume(i: Incident, b: f.ClockResumed, at: Instant) -> None:
    if i.paused_since:
        i.paused_total += max(0, min(at, i.paused_until) - i.paused_since)
    i.paused_since = i.paused_until = 0
    i.pause_reason = ""


def _merged_into(i: Incident, b: f.MergedInto, at: Instant) -> None:
    i.status, i.merged_into = "merged", b.target
    for run in i.runs.values():
        run.state = "stopped"


def _merged_from(i: Incident, b: f.MergedFrom, at: Instant) -> None:
    i.merged_from.append(b.source)
    i.opened_at = i.resolve_from = min(i.opened_at, b.opened_at)
    _attached(i, f.AlertsAttached(b.alerts), at)
    _cleared(i, f.AlertsCleared(b.cleared), at)
    i.services.extend(service for service in b.services if service not in i.services)
    known = i.told.setdefault("merged", [])
    known.extend(person for person in b.told if person not in known)


def _split_off(i: Incident, b: f.SplitOff, at: Instant) -> None:
    for integration, key in b.keys:
        i.alerts.pop(alert_key(integration, key), None)
    if b.target in i.merged_from:
        i.merged_from.remove(b.target)


def _split_from(i: Incident, b: f.SplitFrom, at: Instant) -> None:
    if i.status == "merged":
        i.status, i.merged_into = "investigating", ""
        i.holder, i.acknowledged_at, i.responded_at = "", 0, 0
        i.acknowledge_from = i.respond_from = i.update_from = at
    _attached(i, f.AlertsAttached(b.alerts), at)


def _members(i: Incident, b: f.MembersAdded, at: Instant) -> None:
    _join(i, b.people)


def _shift(i: Incident, b: f.ShiftChanged, at: Instant) -> None:
    for run in i.runs.values():
        if run.on_call == b.before:
            run.on_call = b.after


def _asked(i: Incident, b: f.Asked, at: Instant) -> None:
    i.asked.append(b.what)


def _change(i: Incident, b: f.ChangeNoted, at: Instant) -> None:
    i.change = b.summary


def _join(i: Incident, people: Iterable[str]) -> None:
    i.members.extend(person for person in people if person not in i.members)


_HANDLERS: dict[type[f.Body], Callable[..., None]] = {
    f.Declared: _declared, f.AlertsAttached: _attached, f.AlertsCleared: _cleared, f.AlertsRefired: _attached,
    f.SenderAcknowledged: _sender_acknowledged, f.SeverityChanged: _severity, f.TypeSet: _type, f.Retitled: _retitled,
    f.RunStarted: _run, f.Paged: _paged, f.StepSkipped: _skipped, f.NobodyReachable: _nobody, f.RunStopped: _stopped,
    f.Acknowledged: _acknowledged, f.AcknowledgementLapsed: _lapsed, f.Declined: _lapsed, f.Told: _told,
    f.Delivery: _delivery, f.RoleAssigned: _role, f.RoleReleased: _released, f.StatusChanged: _status,
    f.Reopened: _reopened, f.UpdatePosted: _update, f.ProtocolStepDone: _protocol, f.MilestoneSet: _milestone,
    f.WarRoomOpened: _war_room, f.StandUpHeld: _stand_up, f.ValidationDone: _validated, f.PostMortemStepDone: _learned,
    f.MessageDrafted: _drafted, f.MessageApproved: _approved, f.MessageSent: _sent, f.ImpactSet: _impact, f.ServiceState: _service, f.TaskAdded: _task, f.TaskChanged: _task_changed,
    f.DutyReminded: _reminded, f.DutyMissed: _missed, f.DutyChased: _chased, f.DutyMet: _met, f.DutyWaived: _waived, f.ClockPaused: _pause,
    f.ClockResumed: _resume, f.MergedInto: _merged_into, f.MergedFrom: _merged_from, f.SplitOff: _split_off,
    f.SplitFrom: _split_from, f.MembersAdded: _members, f.ShiftChanged: _shift, f.Asked: _asked, f.ChangeNoted: _change,
}  # fmt: skip

_BACKDATED = frozenset({"update_posted", "service_state"})
"""Facts whose place in time is when they happened; all others count from when they were recorded."""

_TOUCHING = frozenset({
    f.NoteAdded, f.DecisionMade, f.UpdatePosted, f.RoleAssigned, f.SeverityChanged, f.StatusChanged, f.TaskAdded,
    f.TypeSet, f.ImpactSet, f.MilestoneSet, f.MergedFrom, f.Reopened,
})  # fmt: skip
