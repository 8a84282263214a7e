"""Facts as sentences: what a person reads on the timeline, in a message, in an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tocsin.incidents import facts as f
from tocsin.kernel.clock import Instant, humanize, to_iso
from tocsin.kernel.facts import Fact


class Line(msgspec.Struct):
    """One line of the timeline. ``kind`` groups lines for the eye: alert, page, person, status, clock, message."""

    fact: str
    at: Instant
    recorded_at: Instant
    kind: str
    text: str
    who: str
    via: str
    type: str
    version: int


Names = Mapping[str, str]
"""person id → name, service id → name"""


def line(fact: Fact, names: Names) -> Line:
    """The sentence of one fact; a redacted one says so."""
    body = f.read(fact)
    who = fact.actor.principal.removeprefix("person:")
    if body is None:
        kind, text = "person", "redacted"
    else:
        kind, teller = _TELLERS[type(body)]
        text = teller(body, lambda ids: ", ".join(names.get(one, one) for one in ids))
    return Line(
        fact.id,
        fact.occurred_at,
        fact.recorded_at,
        kind,
        text,
        names.get(who, who),
        fact.actor.via,
        fact.type,
        fact.version,
    )


def _why(text: str) -> str:
    return f" ({text})" if text else ""


_P = Callable[[list[str]], str]


def _alerts(refs: list[f.AlertRef]) -> str:
    head = "; ".join(ref.summary for ref in refs[:3])
    return head + (f" and {len(refs) - 3} more" if len(refs) > 3 else "")


def _paged(b: f.Paged, p: _P) -> str:
    how = "put on the list of" if b.quiet else "paged"
    wait = f"; what interrupts waits until {to_iso(b.interrupt_from)}" if b.interrupt_from else ""
    late = f", {humanize(b.late)} late" if b.late else ""
    return f"{how} {p(b.people)}: {b.reason}{late}{wait}"


def _delivery(b: f.Delivery, p: _P) -> str:
    words = {
        "accepted": "took the message for",
        "delivered": "reached",
        "failed": "could not reach",
        "gave_up": "gave up on",
        "delayed": "does not take the message for",
    }
    tries = f" after {b.attempts} attempts" if b.attempts > 1 else ""
    return f"{b.channel} {words[b.outcome]} {p([b.person])}{tries}{_why(b.detail)}"


def _severity(b: f.SeverityChanged, p: _P) -> str:
    if b.direction == "confirmed":
        return f"severity {b.after} confirmed{_why(b.reason)}"
    return f"severity {b.direction} from {b.before} to {b.after}{_why(b.reason)}"


_TELLERS: dict[type[f.Body], tuple[str, Callable[[Any, _P], str]]] = {
    f.Declared: ("status", lambda b, p: f"declared {b.series}-{b.number} as {b.severity} ({b.severity_state}): {b.title}{_why(b.reason)}"),
    f.AlertsAttached: ("alert", lambda b, p: f"{len(b.alerts)} alert{'s' * (len(b.alerts) != 1)} joined: {_alerts(b.alerts)}{_why(b.reason)}"),
    f.AlertsCleared: ("alert", lambda b, p: f"{len(b.keys)} alert{'s' * (len(b.keys) != 1)} {b.how}"),
    f.AlertsRefired: ("alert", lambda b, p: f"fired again: {_alerts(b.alerts)}{_why(b.reason)}"),
    f.SenderAcknowledged: ("alert", lambda b, p: f"the sender acknowledged; escalation pauses until {to_iso(b.until)}"),
    f.SeverityChanged: ("status", _severity),
    f.TypeSet: ("status", lambda b, p: f"type set to {b.kind}{_why(b.subtype)}"),
    f.Retitled: ("person", lambda b, p: f"title changed to “{b.title}”"),
    f.RunStarted: ("page", lambda b, p: f"paging {b.kind} begins{_why(b.reason)}"),
    f.Paged: ("page", _paged),
    f.StepSkipped: ("page", lambda b, p: f"step {b.step + 1} skipped: {b.reason}"),
    f.NobodyReachable: ("page", lambda b, p: f"NOBODY COULD BE PAGED: {b.reason}"),
    f.RunStopped: ("page", lambda b, p: f"paging stopped: {b.reason}"),
    f.Acknowledged: ("person", lambda b, p: f"{p([b.person])} acknowledged by {b.via}{_why(b.note)}"),
    f.AcknowledgementLapsed: ("clock", lambda b, p: f"the acknowledgement of {p([b.person])} lapsed: {b.reason}"),
    f.Declined: ("person", lambda b, p: f"{p([b.person])} can't take it{_why(b.reason)}"),
    f.Told: ("message", lambda b, p: f"told {p(b.people)} ({b.audience}): {b.reason}"),
    f.Delivery: ("message", _delivery),
    f.RoleAssigned: ("person", lambda b, p: f"{p([b.person])} is {'acting ' * b.acting}{b.role.replace('_', ' ')}{_why('; '.join(b.owed))}"),
    f.RoleReleased: ("person", lambda b, p: f"{p([b.person])} is no longer {b.role.replace('_', ' ')}"),
    f.StatusChanged: ("status", lambda b, p: f"{b.before} → {b.after.replace('_', ' ')}{_why(b.reason)}"),
    f.Reopened: ("status", lambda b, p: f"reopened after {humanize(b.away)}: {b.reason}"),
    f.UpdatePosted: ("person", lambda b, p: f"update ({b.audience}): {b.text}" + (f" — expected back {to_iso(b.eta)}" if b.eta else "")),
    f.NoteAdded: ("person", lambda b, p: b.text),
    f.DecisionMade: ("person", lambda b, p: f"decision: {b.text}"),
    f.ReportAttached: ("alert", lambda b, p: f"reported ({b.how}): {b.text}"),
    f.ProtocolStepDone: ("person", lambda b, p: f"protocol: {b.step} done{_why(b.how)}"),
    f.MilestoneSet: ("person", lambda b, p: f"{b.name.replace('_', ' ')} at {to_iso(b.at)}{_why(b.how)}"),
    f.ImpactSet: ("person", lambda b, p: "impact: " + ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in b.values.items())),
    f.ServiceState: ("status", lambda b, p: f"{p([b.service])} is {b.state} since {to_iso(b.at)}"),
    f.TaskAdded: ("person", lambda b, p: f"task: {b.text}{_why(p([b.owner]) if b.owner else '')}"),
    f.TaskChanged: ("person", lambda b, p: f"task {b.state}{_why(b.reason)}"),
    f.DutyReminded: ("clock", lambda b, p: f"reminded {p(b.people)}: {b.rule} is due {to_iso(b.due)}"),
    f.WarRoomOpened: ("status", lambda b, p: f"war room: {b.where}"),
    f.StandUpHeld: ("person", lambda b, p: f"stand-up of {to_iso(b.slot)} held" + (f": {b.notes}" if b.notes else "")),
    f.ValidationDone: ("status", lambda b, p: f"{b.kind.replace('_', ' ')} validation {b.outcome.replace('_', ' ')}" + (f": {b.note}" if b.note else "")),
    f.PostMortemStepDone: ("person", lambda b, p: f"post-mortem: {b.step.replace('_', ' ')} done" + (f": {b.note}" if b.note else "")),
    f.MessageDrafted: ("message", lambda b, p: f"drafted for {b.channel.replace('_', ' ')}, to be approved by {b.approver.replace('_', ' ')}: {b.text}"),
    f.MessageApproved: ("message", lambda b, p: "the message is approved"),
    f.MessageSent: ("message", lambda b, p: f"sent to {b.channel.replace('_', ' ')}" + (f": {b.to}" if b.to else "")),
    f.DutyChased: ("clock", lambda b, p: f"{b.rule} is overdue since {to_iso(b.due)}: " + (f"escalated to {b.escalated_to.replace('_', ' ')}, " if b.escalated_to else "") + f"told {p(b.people)}"),
    f.DutyMissed: ("clock", lambda b, p: f"MISSED: {b.rule}, due {to_iso(b.due)}, owed by {b.owner.replace('_', ' ')}"),
    f.DutyMet: ("clock", lambda b, p: f"{b.rule} met" + (f", {humanize(b.late)} late" if b.late else "")),
    f.DutyWaived: ("clock", lambda b, p: f"{b.rule} waived: {b.reason}"),
    f.ClockPaused: ("clock", lambda b, p: f"clocks paused until {to_iso(b.until)}: {b.reason}"),
    f.ClockResumed: ("clock", lambda b, p: f"clocks run again{_why(b.reason)}"),
    f.MergedInto: ("status", lambda b, p: f"merged into {b.target_name}{_why(b.reason)}; its duties go on there"),
    f.MergedFrom: ("status", lambda b, p: f"{b.source_name} was merged into this"),
    f.SplitOff: ("status", lambda b, p: f"{len(b.keys)} alerts split off to {b.target_name}{_why(b.reason)}"),
    f.SplitFrom: ("status", lambda b, p: f"split from {b.source_name}{_why(b.reason)}"),
    f.MembersAdded: ("person", lambda b, p: f"{p(b.people)} joined{_why(b.reason)}"),
    f.ShiftChanged: ("page", lambda b, p: f"shift change ({b.target}): {p([b.before])} → {p([b.after])}"),
    f.Asked: ("clock", lambda b, p: f"asked {p(b.people)} to {b.what}: {b.reason}"),
    f.CalendarJoined: ("clock", lambda b, p: f"the business hours of {b.calendar or 'the default calendar'} count too, for {p([b.service])}"),
    f.Requested: ("person", lambda b, p: f"{p([b.by])} asks for {b.verb.replace('_', ' ')}: {b.reason}"),
    f.RequestAnswered: ("person", lambda b, p: f"{p([b.by])} {'granted' if b.granted else 'refused'} it{_why(b.reason)}"),
    f.GateOverridden: ("status", lambda b, p: f"WENT ON WITHOUT {', '.join(one.replace('_', ' ') for one in b.missing)}: {b.reason}"),
    f.Measured: ("person", lambda b, p: f"measured {b.metric.replace('_', ' ')}: {b.value} {b.unit}{_why(b.source)}"),
    f.ServicesAffected: ("person", lambda b, p: f"affected too: {p(b.services)}{_why(b.reason)}"),
    f.PlanStepDone: ("status", lambda b, p: f"{b.plan}: {b.step.replace('_', ' ')} {b.outcome.replace('_', ' ')}{_why(b.note)}"),
    f.ContinuityBegun: ("status", lambda b, p: f"the continuity plan for {b.plan.replace('_', ' ')} begins: {b.reason}"),
    f.Heard: ("message", lambda b, p: f"{', '.join(b.audiences)} heard how it goes ({b.how.replace('_', ' ')})"),
    f.ServiceRestored: ("status", lambda b, p: f"{p([b.service])} is back for {'everybody' if b.stage == 'full' else 'a limited group of users'}{_why(b.how)}"),
    f.PolicyAdopted: ("clock", lambda b, p: "moved to another version of the policy" + (f": {'; '.join(b.changes)}" if b.changes else "; nothing that is owed changes")),
    f.ChangeNoted: ("alert", lambda b, p: f"nearest change: {b.summary} at {to_iso(b.at)}"),
    f.BrokeGlass: ("person", lambda b, p: f"BREAK-GLASS: {p([b.person])} used {b.verb.replace('_', ' ')} without the role: {b.reason}"),
    f.Redacted: ("person", lambda b, p: f"a fact was redacted: {b.reason}"),
}  # fmt: skip
