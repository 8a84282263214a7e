"""What can happen to an incident: one struct for each fact type, and how they are read and written.

A fact type is added here (struct and registry), folded in :mod:`tocsin.incidents.folding` and told in
:mod:`tocsin.incidents.timeline`: three places beside each other, none of them outside this room.
A stored fact is never rewritten; an older type version is lifted by ``UPCASTS`` when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import canonical, decode
from tocsin.kernel.errors import FromTheFuture
from tocsin.kernel.facts import Draft, Fact


class Body(msgspec.Struct, omit_defaults=True):
    """Common to all: ``type`` is the name in the envelope."""

    type: ClassVar[str] = ""
    type_version: ClassVar[int] = 1


class AlertRef(msgspec.Struct, omit_defaults=True):
    """An alert as the incident remembers it."""

    integration: str
    key: str
    episode: int
    summary: str
    severity: str = ""
    """the sender's own word, an input to rules, never the incident's severity"""
    service: str = ""
    received_at: Instant = 0
    started_at: Instant = 0
    policy: str = ""
    """escalation policy it was routed to"""
    links: list[tuple[str, str]] = []
    source: str = ""
    runbook_url: str = ""
    dashboard_url: str = ""
    sender_url: str = ""
    team: str = ""
    """the team that answers for it, by the policy it was routed to or by its service"""
    proposed: str = ""
    """the severity that the rules proposed for it"""


class Declared(Body):
    """An incident exists. ``by``: ``machine`` or a person id. ``severity_state``: ``proposed`` or ``confirmed``."""

    type: ClassVar[str] = "declared"
    number: int
    series: str
    title: str
    severity: str
    severity_state: str
    reason: str
    policy: str
    """hash of the policy frozen onto the incident"""
    rule: str = ""
    kind: str = "availability"
    subtype: str = ""
    summary: str = ""
    by: str = "machine"
    detected_how: str = "monitor"
    detected_by: str = ""
    services: list[str] = []
    escalation_policy: str = ""
    group_key: str = ""
    restricted: bool = False
    drill: bool = False
    linked: str = ""
    """id of the incident it follows"""
    calendar: str = ""
    self_resolvable: bool = True


class AlertsAttached(Body):
    type: ClassVar[str] = "alerts_attached"
    alerts: list[AlertRef]
    reason: str = ""
    services: list[str] = []


class AlertsCleared(Body):
    """``how``: ``resolved`` or ``expired``."""

    type: ClassVar[str] = "alerts_cleared"
    keys: list[tuple[str, str]]
    how: str = "resolved"


class AlertsRefired(Body):
    type: ClassVar[str] = "alerts_refired"
    alerts: list[AlertRef]
    reason: str = ""


class SenderAcknowledged(Body):
    """A sender's own acknowledge: pauses escalation until ``until``, satisfies no duty."""

    type: ClassVar[str] = "sender_acknowledged"
    keys: list[tuple[str, str]]
    until: Instant = 0


class SeverityChanged(Body):
    """``direction``: ``raised``, ``lowered`` or ``confirmed``. ``state`` afterwards: ``proposed`` or ``confirmed``."""

    type: ClassVar[str] = "severity_changed"
    before: str
    after: str
    direction: str
    reason: str
    state: str = "confirmed"
    rule: str = ""
    merged: str = ""
    """id of the incident whose merge raised it"""


MERGED_RESTRICTED = "merged into a restricted incident"
"""why an incident is restricted whose type does not ask for it"""


class TypeSet(Body):
    type: ClassVar[str] = "type_set"
    kind: str
    subtype: str = ""
    reason: str = ""
    restricted: bool = False


class Retitled(Body):
    type: ClassVar[str] = "retitled"
    title: str
    summary: str = ""


class RunStarted(Body):
    """An escalation begins. ``kind``: ``responders``, ``commander`` or ``manual``."""

    type: ClassVar[str] = "run_started"
    run: str
    kind: str
    escalation_policy: str
    severity: str
    reason: str
    anchor: Instant = 0
    first: list[str] = []
    """people paged before the chain (the holder of a lapsed acknowledgement, a manual target)"""
    service: str = ""


class Paged(Body):
    """A step of an escalation paged people. ``late`` (microseconds) moves the steps that follow."""

    type: ClassVar[str] = "paged"
    run: str
    step: int
    round: int
    people: list[str]
    targets: list[str]
    reason: str
    late: int = 0
    quiet: bool = False
    """owned, but nobody is interrupted"""
    interrupt_from: Instant = 0
    """what interrupts waits until then (business hours); 0 for at once"""
    turns: dict[str, str] = {}
    """target that is a turn of duty (on_call, incident_commander …) → who has it; any target that means nobody → empty"""


class StepSkipped(Body):
    """A step of an escalation found nobody. ``turns`` as of a page."""

    type: ClassVar[str] = "step_skipped"
    run: str
    step: int
    round: int
    targets: list[str]
    reason: str
    late: int = 0
    turns: dict[str, str] = {}


class NobodyReachable(Body):
    """A whole round reached nobody: itself an alarm that shows."""

    type: ClassVar[str] = "nobody_reachable"
    run: str
    round: int
    reason: str


class RunStopped(Body):
    type: ClassVar[str] = "run_stopped"
    run: str
    reason: str


class Acknowledged(Body):
    """One responder's "I have it". ``runs`` are the escalations it stops."""

    type: ClassVar[str] = "acknowledged"
    person: str
    via: str
    runs: list[str] = []
    note: str = ""


class AcknowledgementLapsed(Body):
    type: ClassVar[str] = "acknowledgement_lapsed"
    person: str
    reason: str


class Declined(Body):
    """*Can't take it*: escalates now."""

    type: ClassVar[str] = "declined"
    person: str
    reason: str = ""


class Told(Body):
    """A notice went to people who need not acknowledge. ``audience``: executives, lead, stakeholders, previously told …"""

    type: ClassVar[str] = "told"
    audience: str
    people: list[str]
    kind: str
    reason: str
    text: str = ""
    quiet: bool = False
    """by channels that interrupt nobody"""


class Delivery(Body):
    """What became of a message.

    ``outcome``: ``accepted``, ``delivered``, ``failed`` (for good), ``gave_up``, or ``delayed``: it was not taken twice, is
    tried again, and the person's next channel is tried beside it.
    """

    type: ClassVar[str] = "delivery"
    message: str
    person: str
    channel: str
    contact: str
    outcome: str
    detail: str = ""
    attempts: int = 1
    run: str = ""
    kind: str = "page"
    reference: str = ""


class RoleAssigned(Body):
    type: ClassVar[str] = "role_assigned"
    role: str
    person: str
    acting: bool = False
    owed: list[str] = []
    """what is owed next, named at the hand-over"""
    reason: str = ""
    tasks: list[str] = []
    """open tasks handed over with the role"""


class RoleReleased(Body):
    type: ClassVar[str] = "role_released"
    role: str
    person: str


class StatusChanged(Body):
    """``after``: investigating, identified, monitoring, resolved, closed, false_alarm."""

    type: ClassVar[str] = "status_changed"
    before: str
    after: str
    reason: str = ""
    by_person: bool = True


class Reopened(Body):
    type: ClassVar[str] = "reopened"
    reason: str
    by_person: bool = True
    away: int = 0
    """microseconds between resolution and reopening"""


class UpdatePosted(Body):
    """``eta`` is when the author expects recovery (0: not said)."""

    type: ClassVar[str] = "update_posted"
    text: str
    audience: str = "internal"
    eta: Instant = 0


class NoteAdded(Body):
    type: ClassVar[str] = "note_added"
    text: str


class DecisionMade(Body):
    type: ClassVar[str] = "decision_made"
    text: str


class ReportAttached(Body):
    """A later report of the same incident; counts towards impact."""

    type: ClassVar[str] = "report_attached"
    text: str
    how: str
    by: str = ""
    service: str = ""


class ProtocolStepDone(Body):
    """A step of the first-15-minutes protocol: acknowledge, record, assess, activate, mitigate."""

    type: ClassVar[str] = "protocol_step_done"
    step: str
    how: str = ""


class WarRoomOpened(Body):
    """Where the response meets: an address, or the incident's own page."""

    type: ClassVar[str] = "war_room_opened"
    where: str


class StandUpHeld(Body):
    """``slot``: the hour it was due at. ``notes``: what was said."""

    type: ClassVar[str] = "stand_up_held"
    slot: Instant
    notes: str = ""


class ValidationDone(Body):
    """A check of recovery. ``kind``: functional, performance, security, limited_users. ``outcome``: passed, failed, not_applicable."""

    type: ClassVar[str] = "validation_done"
    kind: str
    outcome: str
    note: str = ""


class PostMortemStepDone(Body):
    """``step``: timeline, root_cause, meeting_booked, meeting_held, draft, review, publication. ``note``: where it is, or when."""

    type: ClassVar[str] = "post_mortem_step_done"
    step: str
    note: str = ""


class MessageDrafted(Body):
    """What is to leave the company. ``channel``: as the policy's approval names it. ``approver`` and ``sender``: roles or positions."""

    type: ClassVar[str] = "message_drafted"
    message: str
    channel: str
    text: str
    approver: str
    sender: str


class MessageApproved(Body):
    type: ClassVar[str] = "message_approved"
    message: str


class MessageSent(Body):
    """It left: ``to`` whom, as the sender says it."""

    type: ClassVar[str] = "message_sent"
    message: str
    channel: str
    to: str = ""


class MilestoneSet(Body):
    """impact_began, detected, contained, mitigated, resolved. The last one set counts; none is erased."""

    type: ClassVar[str] = "milestone_set"
    name: str
    at: Instant
    how: str = ""
    by: str = ""


class ImpactSet(Body):
    """``values``: users_affected_permille, users_affected, data_lost, data_recovered (with ``unit``), text …"""

    type: ClassVar[str] = "impact_set"
    values: dict[str, int | str]


class ServiceState(Body):
    """A service became ``degraded``, ``down`` or ``up`` at ``at``."""

    type: ClassVar[str] = "service_state"
    service: str
    state: str
    at: Instant


class TaskAdded(Body):
    type: ClassVar[str] = "task_added"
    task: str
    text: str
    owner: str = ""
    due: Instant = 0


class TaskChanged(Body):
    """``state``: open, done or dropped (with a reason)."""

    type: ClassVar[str] = "task_changed"
    task: str
    state: str = "open"
    owner: str = ""
    reason: str = ""


class DutyReminded(Body):
    type: ClassVar[str] = "duty_reminded"
    duty: str
    rule: str
    due: Instant
    people: list[str]


class DutyMissed(Body):
    """Recorded once; nothing erases it, back-dating least of all."""

    type: ClassVar[str] = "duty_missed"
    duty: str
    rule: str
    due: Instant
    owner: str
    people: list[str] = []


class DutyChased(Body):
    """A nudge after a miss. ``number`` counts them; ``escalated_to`` names who was asked in the owner's place, if anybody."""

    type: ClassVar[str] = "duty_chased"
    duty: str
    rule: str
    due: Instant
    people: list[str]
    number: int = 0
    escalated_to: str = ""


class DutyMet(Body):
    """Said for the record where meeting it is not plain from another fact."""

    type: ClassVar[str] = "duty_met"
    duty: str
    rule: str
    due: Instant
    late: int = 0


class DutyWaived(Body):
    type: ClassVar[str] = "duty_waived"
    duty: str
    rule: str
    reason: str


class ClockPaused(Body):
    type: ClassVar[str] = "clock_paused"
    reason: str
    until: Instant


class ClockResumed(Body):
    type: ClassVar[str] = "clock_resumed"
    reason: str = ""


class MergedInto(Body):
    type: ClassVar[str] = "merged_into"
    target: str
    target_name: str
    reason: str = ""


class MergedFrom(Body):
    type: ClassVar[str] = "merged_from"
    source: str
    source_name: str
    opened_at: Instant
    alerts: list[AlertRef] = []
    cleared: list[tuple[str, str]] = []
    services: list[str] = []
    told: list[str] = []
    raises: bool = False


class SplitOff(Body):
    """Alerts that left for another incident (undoing a merge, or on their own)."""

    type: ClassVar[str] = "split_off"
    target: str
    target_name: str
    keys: list[tuple[str, str]]
    reason: str = ""


class SplitFrom(Body):
    """The source of a merge stands on its own again."""

    type: ClassVar[str] = "split_from"
    source: str
    source_name: str
    alerts: list[AlertRef] = []
    reason: str = ""
    cleared: list[tuple[str, str]] = []


class MembersAdded(Body):
    type: ClassVar[str] = "members_added"
    people: list[str]
    reason: str = ""


class ShiftChanged(Body):
    """The person on call changed while the incident was open; ``before`` is empty where there was nobody."""

    type: ClassVar[str] = "shift_changed"
    target: str
    before: str
    after: str
    acknowledged: bool


class Asked(Body):
    """The commander was asked to decide (``what``: resolve, …)."""

    type: ClassVar[str] = "asked"
    what: str
    people: list[str]
    reason: str


class Requested(Body):
    """Somebody asks whoever may for a command: ``verb`` and ``fields`` as the API takes them, the incident left out."""

    type: ClassVar[str] = "requested"
    request: str
    verb: str
    fields: dict[str, Any]
    by: str
    reason: str


class RequestAnswered(Body):
    type: ClassVar[str] = "request_answered"
    request: str
    granted: bool
    by: str
    reason: str = ""


class GateOverridden(Body):
    """The commander went on although ``missing`` was not shown. ``gate``: validation, recovery."""

    type: ClassVar[str] = "gate_overridden"
    gate: str
    missing: list[str]
    reason: str


class Measured(Body):
    """A figure with its window and source. ``value``: a decimal number as text, so that nothing is rounded."""

    type: ClassVar[str] = "measured"
    metric: str
    value: str
    unit: str
    source: str
    start: Instant = 0
    end: Instant = 0


class ServicesAffected(Body):
    """Services that are hit too, as somebody found."""

    type: ClassVar[str] = "services_affected"
    services: list[str]
    reason: str = ""


class PlanStepDone(Body):
    """A step of a plan (``recovery``, or one of continuity). ``outcome``: done, not_applicable."""

    type: ClassVar[str] = "plan_step_done"
    plan: str
    step: str
    outcome: str = "done"
    note: str = ""


class ContinuityBegun(Body):
    type: ClassVar[str] = "continuity_begun"
    plan: str
    reason: str


class Heard(Body):
    """Audiences of continuity heard how it goes, by ``how``."""

    type: ClassVar[str] = "heard"
    audiences: list[str]
    how: str


class ServiceRestored(Body):
    """``stage``: ``limited`` (a limited group of users) or ``full``."""

    type: ClassVar[str] = "service_restored"
    service: str
    stage: str
    how: str = ""


class PolicyAdopted(Body):
    """The incident was moved to another version of the policy; ``changes``: what that did to what it owes."""

    type: ClassVar[str] = "policy_adopted"
    before: str
    after: str
    changes: list[str] = []


class CalendarJoined(Body):
    """A service of a team with another business calendar is affected too: the earliest due counts from now on."""

    type: ClassVar[str] = "calendar_joined"
    calendar: str
    service: str = ""


class ChangeNoted(Body):
    """The change nearest the onset, as it was known when the incident opened."""

    type: ClassVar[str] = "change_noted"
    summary: str
    service: str
    at: Instant


class BrokeGlass(Body):
    type: ClassVar[str] = "broke_glass"
    person: str
    verb: str
    reason: str


class Redacted(Body):
    """Words of an earlier fact were taken out. ``stand_in``: the digest of the body that stands in its place."""

    type: ClassVar[str] = "redacted"
    fact: str
    reason: str
    stand_in: str = ""
    version: int = 0


TYPES: dict[str, type[Body]] = {
    cls.type: cls
    for cls in (
        Declared, AlertsAttached, AlertsCleared, AlertsRefired, SenderAcknowledged, SeverityChanged, TypeSet, Retitled,
        RunStarted, Paged, StepSkipped, NobodyReachable, RunStopped, Acknowledged, AcknowledgementLapsed, Declined, Told,
        Delivery, RoleAssigned, RoleReleased, StatusChanged, Reopened, UpdatePosted, NoteAdded, DecisionMade,
        WarRoomOpened, StandUpHeld, ValidationDone, PostMortemStepDone, MessageDrafted, MessageApproved, MessageSent,
        ReportAttached, ProtocolStepDone, MilestoneSet, ImpactSet, ServiceState, TaskAdded, TaskChanged, DutyReminded,
        DutyMissed, DutyChased, DutyMet, DutyWaived, ClockPaused, ClockResumed, MergedInto, MergedFrom, SplitOff, SplitFrom,
        MembersAdded, ShiftChanged, Asked, CalendarJoined, Requested, RequestAnswered, GateOverridden, Measured,
        ServicesAffected, PlanStepDone, ContinuityBegun, Heard, ServiceRestored, PolicyAdopted, ChangeNoted, BrokeGlass, Redacted,
    )
}  # fmt: skip

B = TypeVar("B", bound=Body)


def register(cls: type[B]) -> type[B]:
    """Makes a fact type of another kind of stream known, where its kind is defined."""
    TYPES[cls.type] = cls
    return cls


UPCASTS: dict[tuple[str, int], Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""(type, old version) → function that lifts a body to the next version."""


def draft(body: Body, occurred_at: Instant, visibility: str = "internal") -> Draft:
    """The draft of a fact, ready to be chained."""
    return Draft(body.type, canonical(body), occurred_at, body.type_version, visibility)


def read(fact: Fact) -> Body | None:
    """The body of a stored fact, lifted to today's version; None where it was redacted.

    Raises :class:`FromTheFuture` for a type or version that a newer Tocsin wrote: that stream is left alone.
    """
    cls = TYPES.get(fact.type)
    if cls is None or fact.type_version > cls.type_version:
        raise FromTheFuture(
            f"fact {fact.id} of {fact.stream} has type {fact.type} version {fact.type_version}, which this version of "
            "Tocsin does not know; finish the upgrade of all processes"
        )
    if fact.body is None:
        return None
    if fact.type_version == cls.type_version:
        return decode(fact.body, cls)
    value = decode(fact.body)
    for version in range(fact.type_version, cls.type_version):
        value = UPCASTS[fact.type, version](value)
    return msgspec.convert(value, cls)
