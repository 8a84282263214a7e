"""Folding: how each fact changes the state of an incident. ``FOLD`` changes whenever the meaning of a snapshot does."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tocsin.incidents import facts as f
from tocsin.incidents.chasing import remember
from tocsin.incidents.incident import (
    OPENED,
    OWED,
    Attached,
    Holder,
    Incident,
    Measurement,
    Outgoing,
    Request,
    Run,
    Task,
    Validation,
    alert_key,
)
from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import Fact

FOLD = 8


def fold(incident: Incident, body: f.Body | None, at: Instant, version: int, principal: str) -> None:
    """Applies one fact of ``principal`` to the state, in place. A redacted body (None) only moves the version on."""
    incident.version = version
    if body is not None:
        handler = _HANDLERS.get(type(body))
        if handler is not None:
            handler(incident, body, at)
        if principal.startswith("person:") and _touches(body):
            incident.touched = True
        if isinstance(body, f.UpdatePosted) and principal == f"person:{incident.holder}":
            incident.responded_at = incident.responded_at or max(at, incident.respond_from)


def refold(stream_id: str, stored: Iterable[Fact], start: Incident | None = None) -> Incident:
    """The state after ``stored`` facts, from an earlier state or from nothing."""
    incident = start or Incident(stream_id)
    for fact in stored:
        fold(
            incident,
            f.read(fact),
            fact.occurred_at if fact.type in BACKDATED else fact.recorded_at,
            fact.version,
            fact.actor.principal,
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
    i.calendars = [b.calendar]
    i.kinds = [(at, b.kind, b.subtype)]
    i.severities = [(at, b.severity)]
    i.milestones["detected"] = at
    i.protocol["record"] = at
    i.confirmed_at = at if b.severity_state == "confirmed" else 0


def _attached(i: Incident, b: f.AlertsAttached | f.AlertsRefired, at: Instant) -> None:
    for ref in b.alerts:
        i.alerts[alert_key(ref.integration, ref.key)] = Attached.of(ref)
        if ref.service and ref.service not in i.services:
            i.services.append(ref.service)
    i.all_clear_at = 0
    if "resolve" in i.asked:  # it is asked anew once all is clear again
        i.asked.remove("resolve")


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
    i.raised_by = b.merged
    i.severities.append((at, b.after))
    if b.direction == "raised":
        i.told_at.pop(f"{OPENED}{b.after}", None)  # whoever hears of this severity hears of it again
        i.acknowledge_from = i.respond_from = i.update_from = i.resolve_chase_from = at
        i.responded_at = i.acknowledged_at = 0
        i.protocol = {"record": i.protocol.get("record", at)}
        _let_go(i)
        i.silent_intervals, i.declined = 0, []
    elif b.direction == "lowered" and i.silent_intervals:
        # the new rhythm counts from the change; what was missed in the old one stands
        i.update_from, i.silent_intervals = at, 0


def _type(i: Incident, b: f.TypeSet, at: Instant) -> None:
    i.kind, i.subtype = b.kind, b.subtype
    i.kinds.append((at, b.kind, b.subtype))
    if b.reason == f.MERGED_RESTRICTED and not i.restricted:
        i.restricted_by_merge = True
    elif b.restricted:
        i.restricted_by_merge = False
    i.restricted = i.restricted or b.restricted


def _retitled(i: Incident, b: f.Retitled, at: Instant) -> None:
    i.title, i.summary = b.title, b.summary or i.summary


def _run(i: Incident, b: f.RunStarted, at: Instant) -> None:
    for run in i.runs.values():
        if (run.kind, run.service, run.escalation_policy) == (b.kind, b.service, b.escalation_policy):
            run.void = True  # whoever had answered is asked anew
    i.runs[b.run] = Run(
        b.run, b.kind, b.escalation_policy, b.severity, b.service, b.anchor or at, at, b.reason, list(b.first)
    )


def _paged(i: Incident, b: f.Paged, at: Instant) -> None:
    run = i.runs[b.run]
    _step(run, b.step, b.round, b.late, at)
    run.reached, run.skipped = True, False
    for person in b.people:
        run.paged[person] = at
    run.latest = list(b.people)
    run.turns.update(b.turns)
    i.nobody = False
    _join(i, b.people)


def _skipped(i: Incident, b: f.StepSkipped, at: Instant) -> None:
    run = i.runs[b.run]
    _step(run, b.step, b.round, b.late, at)
    run.skipped = True
    run.turns.update(b.turns)


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
        i.runs[run].state, i.runs[run].answered_by, i.runs[run].void = "acknowledged", b.person, False
    i.nobody = False
    _join(i, [b.person])
    if b.person in i.declined:
        i.declined.remove(b.person)
    if b.runs and all(i.runs[run].kind == "commander" for run in b.runs):
        return  # the commander's own page was answered: the responders' goes on
    if not i.holder:
        i.holder = i.last_holder = b.person
        i.held_since = at
    i.acknowledged_at = i.acknowledged_at or at
    i.protocol.setdefault("acknowledge", at)


def _let_go(i: Incident, person: str = "") -> None:
    """What ``person`` acknowledged holds no more; without one: what anybody did."""
    if person in ("", i.holder):
        i.holder, i.held_since = "", 0
    for run in i.runs.values():
        if person in ("", run.answered_by):
            run.void = True


def _lapsed(i: Incident, b: f.AcknowledgementLapsed, at: Instant) -> None:
    _let_go(i, b.person)


def _declined(i: Incident, b: f.Declined, at: Instant) -> None:
    _let_go(i, b.person)
    if b.person not in i.declined:
        i.declined.append(b.person)


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
        _end_pause(i, at)
        for run in i.runs.values():
            if run.state == "running":
                run.state = "stopped"


def _reopened(i: Incident, b: f.Reopened, at: Instant) -> None:
    _begin_again(i, at)


def _begin_again(i: Incident, at: Instant) -> None:
    """It is open again: its clocks restart, and what was shown or learned of its end no longer counts."""
    if i.resolved_at or i.closed_at:
        i.milestones.pop("resolved", None)
        i.learned, i.validations, i.overridden, i.restored = {}, {}, {}, {}
    i.status, i.resolved_at, i.resolved_by_person, i.closed_at = "investigating", 0, False, 0
    i.acknowledge_from = i.respond_from = i.update_from = i.hear_from = at
    i.severities = [(at, i.severity)]
    i.acknowledged_at = i.responded_at = i.silent_intervals = 0
    _let_go(i)
    i.asked, i.declined = [], []
    i.protocol = {"record": i.protocol.get("record", at)}


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
    share = b.values.get("users_affected_percent")
    if isinstance(share, int):
        i.shares.append((at, share))


def _service(i: Incident, b: f.ServiceState, at: Instant) -> None:
    i.service_states.append((b.service, b.state, b.at))
    if b.service not in i.services:
        i.services.append(b.service)


def _task(i: Incident, b: f.TaskAdded, at: Instant) -> None:
    i.tasks[b.task] = Task(b.task, b.text, b.owner, b.due)


def _task_changed(i: Incident, b: f.TaskChanged, at: Instant) -> None:
    task = i.tasks[b.task]
    task.state, task.owner, task.reason = b.state, b.owner or task.owner, b.reason


def _missed(i: Incident, b: f.DutyMissed, at: Instant) -> None:
    remember(i, b, at)
    if b.rule == "update":
        i.silent_intervals += 1
    elif b.rule == "stand_up":
        i.stand_up_at = max(i.stand_up_at, int(b.duty.partition(":")[2]))


def _waived(i: Incident, b: f.DutyWaived, at: Instant) -> None:
    i.waived[b.duty] = b.reason


def _met(i: Incident, b: f.DutyMet, at: Instant) -> None:
    if b.rule == "respond":
        i.responded_at = i.responded_at or at


def _pause(i: Incident, b: f.ClockPaused, at: Instant) -> None:
    _end_pause(i, at)
    i.pauses.append((at, b.until))
    i.paused_until, i.pause_reason = b.until, b.reason


def _resume(i: Incident, b: f.ClockResumed, at: Instant) -> None:
    _end_pause(i, at)


def _end_pause(i: Incident, at: Instant) -> None:
    if i.paused_until:
        start, end = i.pauses[-1]
        i.pauses[-1] = (start, min(at, end))
    i.paused_until, i.pause_reason = 0, ""


def _merged_into(i: Incident, b: f.MergedInto, at: Instant) -> None:
    i.status, i.merged_into = "merged", b.target
    _end_pause(i, at)
    for run in i.runs.values():
        run.state = "stopped"


def _merged_from(i: Incident, b: f.MergedFrom, at: Instant) -> None:
    if not i.merged_from:
        i.alone = (i.opened_at, i.resolve_from)
    i.merged_from.append(b.source)
    i.before_merge[b.source] = (i.severity, i.severity_state, i.severity_reason, i.rule)
    services = list(dict.fromkeys([*b.services, *(ref.service for ref in b.alerts if ref.service)]))
    i.brought[b.source] = (b.opened_at, services, [one for one in services if one not in i.services])
    i.opened_at = i.resolve_from = min(i.opened_at, b.opened_at)
    _attached(i, f.AlertsAttached(b.alerts), at)
    _cleared(i, f.AlertsCleared(b.cleared), at)
    i.services.extend(service for service in b.services if service not in i.services)
    known = i.told.setdefault("merged", [])
    known.extend(person for person in b.told if person not in known)


def _split_off(i: Incident, b: f.SplitOff, at: Instant) -> None:
    for integration, key in b.keys:
        i.alerts.pop(alert_key(integration, key), None)
    if not i.alerts:
        i.all_clear_at = 0
    elif not i.firing and not i.all_clear_at:
        i.all_clear_at = at
    if b.target in i.merged_from:
        i.merged_from.remove(b.target)
        i.before_merge.pop(b.target, None)
        _, _, new = i.brought.pop(b.target)
        others = list(i.brought.values())
        i.opened_at, i.resolve_from = (min([own, *(began for began, _, _ in others)]) for own in i.alone)
        stay = {one.ref.service for one in i.alerts.values()}
        stay.update(service for _, services, _ in others for service in services)
        i.services = [service for service in i.services if service not in new or service in stay]
        for _, services, came in others:  # what two of them have goes with the last of them
            came.extend(one for one in new if one in services and one not in came)


def _split_from(i: Incident, b: f.SplitFrom, at: Instant) -> None:
    if i.status == "merged":
        i.merged_into = ""
        if i.restricted_by_merge:
            i.restricted = i.restricted_by_merge = False
        _begin_again(i, at)
    _attached(i, f.AlertsAttached(b.alerts), at)
    _cleared(i, f.AlertsCleared(b.cleared), at)


def _members(i: Incident, b: f.MembersAdded, at: Instant) -> None:
    _join(i, b.people)


def _shift(i: Incident, b: f.ShiftChanged, at: Instant) -> None:
    for run in i.runs.values():
        if run.turns.get(b.target) == b.before:
            run.turns[b.target] = b.after


def _requested(i: Incident, b: f.Requested, at: Instant) -> None:
    i.requests[b.request] = Request(b.request, b.verb, dict(b.fields), b.by, b.reason, at)


def _answered(i: Incident, b: f.RequestAnswered, at: Instant) -> None:
    request = i.requests[b.request]
    request.state, request.answered_by = "granted" if b.granted else "refused", b.by


def _overridden(i: Incident, b: f.GateOverridden, at: Instant) -> None:
    i.overridden[b.gate] = b.reason


def _measured(i: Incident, b: f.Measured, at: Instant) -> None:
    i.measurements.append(Measurement(b.metric, b.value, b.unit, b.source, b.start, b.end, at))


def _affected(i: Incident, b: f.ServicesAffected, at: Instant) -> None:
    i.services.extend(service for service in b.services if service not in i.services)


def _reported(i: Incident, b: f.ReportAttached, at: Instant) -> None:
    i.reports += 1
    if b.service and b.service not in i.services:
        i.services.append(b.service)


def _plan_step(i: Incident, b: f.PlanStepDone, at: Instant) -> None:
    i.steps[f"{b.plan}/{b.step}"] = Validation(b.outcome, at, b.note)


def _continuity(i: Incident, b: f.ContinuityBegun, at: Instant) -> None:
    i.plans.setdefault(b.plan, at)


def _heard(i: Incident, b: f.Heard, at: Instant) -> None:
    i.heard.update(dict.fromkeys(b.audiences, at))


def _restored(i: Incident, b: f.ServiceRestored, at: Instant) -> None:
    i.restored[b.service] = b.stage


def _adopted(i: Incident, b: f.PolicyAdopted, at: Instant) -> None:
    i.policy, i.severities = b.after, [(at, i.severity)]


def _calendar(i: Incident, b: f.CalendarJoined, at: Instant) -> None:
    if b.calendar not in i.calendars:
        i.calendars.append(b.calendar)


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
    f.Acknowledged: _acknowledged, f.AcknowledgementLapsed: _lapsed, f.Declined: _declined, f.Told: _told,
    f.Delivery: _delivery, f.RoleAssigned: _role, f.RoleReleased: _released, f.StatusChanged: _status,
    f.Reopened: _reopened, f.UpdatePosted: _update, f.ProtocolStepDone: _protocol, f.MilestoneSet: _milestone,
    f.WarRoomOpened: _war_room, f.StandUpHeld: _stand_up, f.ValidationDone: _validated, f.PostMortemStepDone: _learned,
    f.MessageDrafted: _drafted, f.MessageApproved: _approved, f.MessageSent: _sent, f.ImpactSet: _impact, f.ServiceState: _service, f.TaskAdded: _task, f.TaskChanged: _task_changed,
    f.DutyReminded: remember, f.DutyMissed: _missed, f.DutyChased: remember, f.DutyMet: _met, f.DutyWaived: _waived, f.ClockPaused: _pause,
    f.ClockResumed: _resume, f.MergedInto: _merged_into, f.MergedFrom: _merged_from, f.SplitOff: _split_off,
    f.SplitFrom: _split_from, f.MembersAdded: _members, f.ShiftChanged: _shift, f.Asked: _asked, f.ChangeNoted: _change,
    f.CalendarJoined: _calendar, f.Requested: _requested, f.RequestAnswered: _answered, f.GateOverridden: _overridden,
    f.Measured: _measured, f.ServicesAffected: _affected, f.ReportAttached: _reported,
    f.PlanStepDone: _plan_step, f.ContinuityBegun: _continuity, f.Heard: _heard, f.ServiceRestored: _restored, f.PolicyAdopted: _adopted,
}  # fmt: skip

BACKDATED = frozenset({"update_posted", "service_state"})
"""Facts whose place in time is when they happened; all others count from when they were recorded."""

_TOUCHING = frozenset({
    f.NoteAdded, f.DecisionMade, f.UpdatePosted, f.SeverityChanged, f.StatusChanged, f.TaskAdded, f.TypeSet, f.ImpactSet,
    f.MilestoneSet, f.MergedFrom, f.Reopened, f.ProtocolStepDone, f.MessageDrafted, f.MessageSent, f.ValidationDone,
    f.Retitled, f.StandUpHeld, f.ClockPaused, f.ServiceState, f.Measured, f.ServicesAffected, f.ReportAttached, f.Requested, f.PlanStepDone, f.ServiceRestored,
})  # fmt: skip


def _touches(body: f.Body) -> bool:
    """Whether a person who does this has taken the incident in hand. An acting commander only acknowledged."""
    return type(body) in _TOUCHING or (isinstance(body, f.RoleAssigned) and not body.acting)
