"""What people and programs can ask for. One struct for each verb; ``incident`` is an id or a number."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from tocsin.kernel.clock import Instant


class Command(msgspec.Struct, forbid_unknown_fields=True):
    """``verb`` is the name in the API, on the command line and in the table of who may."""

    verb: ClassVar[str] = ""


class Declare(Command):
    """Declare an incident by hand. Without a severity it is proposed from the facts."""

    verb: ClassVar[str] = "declare"
    title: str
    severity: str = ""
    summary: str = ""
    kind: str = ""
    subtype: str = ""
    services: list[str] = []
    detected_how: str = "responder"
    detected_by: str = ""
    drill: bool = False


class Acknowledge(Command):
    """I have it: stops the escalation of this page for everybody, and tells the others who were paged."""

    verb: ClassVar[str] = "acknowledge"
    incident: str
    note: str = ""


class Decline(Command):
    """I cannot take it: whoever comes next is paged now."""

    verb: ClassVar[str] = "decline"
    incident: str
    reason: str = ""


class SetSeverity(Command):
    """Raise, lower or confirm; lowering needs a reason and the commander."""

    verb: ClassVar[str] = "severity"
    incident: str
    severity: str
    reason: str = ""
    break_glass: str = ""


class SetType(Command):
    """Sets the type and, where it has some, the subtype."""

    verb: ClassVar[str] = "set_type"
    incident: str
    kind: str
    subtype: str = ""


class AssignRole(Command):
    """Gives a role to a person; a role that somebody has is handed over."""

    verb: ClassVar[str] = "assign_role"
    incident: str
    role: str
    person: str
    reason: str = ""
    break_glass: str = ""


class PostUpdate(Command):
    """Says how it stands; the next update is owed from here."""

    verb: ClassVar[str] = "update"
    incident: str
    text: str
    audience: str = "internal"
    eta: Instant = 0
    at: Instant = 0
    """back-dates the entry; 0 is now"""


class AddNote(Command):
    """Writes a note into the timeline; it may be back-dated."""

    verb: ClassVar[str] = "note"
    incident: str
    text: str
    at: Instant = 0


class AddDecision(Command):
    """Writes a decision into the timeline; it may be back-dated."""

    verb: ClassVar[str] = "decision"
    incident: str
    text: str
    at: Instant = 0


class Move(Command):
    """Changes the status: investigate, identify, monitor, resolve, close, reopen, false_alarm."""

    verb: ClassVar[str] = "move"
    incident: str
    to: str
    reason: str = ""
    break_glass: str = ""
    override: str = ""
    """the commander's reason to go on although a check of recovery is missing"""


class Protocol(Command):
    """Marks a step of the protocol as done: assess, activate, mitigate."""

    verb: ClassVar[str] = "protocol"
    incident: str
    step: str
    how: str = ""


class Milestone(Command):
    """Says when something happened: impact_began, detected, contained, mitigated, resolved; the last one set counts."""

    verb: ClassVar[str] = "milestone"
    incident: str
    name: str
    at: Instant
    how: str = ""


class Impact(Command):
    """Says what it does to users, by the names that the policy asks for."""

    verb: ClassVar[str] = "impact"
    incident: str
    values: dict[str, int | str]


class AddTask(Command):
    """Adds a task, for a person or for whoever takes it."""

    verb: ClassVar[str] = "task_add"
    incident: str
    text: str
    owner: str = ""
    due: Instant = 0


class ChangeTask(Command):
    """Gives a task to somebody, or says that it is done or dropped."""

    verb: ClassVar[str] = "task_change"
    incident: str
    task: str
    state: str
    owner: str = ""
    reason: str = ""


class PageSomeone(Command):
    """Pages any person, role or team at once."""

    verb: ClassVar[str] = "page"
    incident: str
    targets: list[str]
    reason: str = ""


class Merge(Command):
    """Merges it into another incident; its alerts, duties and readers go along."""

    verb: ClassVar[str] = "merge"
    incident: str
    into: str
    reason: str = ""


class Split(Command):
    """Undoes a merge, or takes alerts (``INTEGRATION/KEY``) into an incident of their own."""

    verb: ClassVar[str] = "split"
    incident: str
    source: str = ""
    """the merged incident that stands on its own again"""
    alerts: list[str] = []
    reason: str = ""


class Activate(Command):
    """Calls the response team together: whoever is proposed for a role hears of it."""

    verb: ClassVar[str] = "activate"
    incident: str


class StandUp(Command):
    """A stand-up was held: the one that is due now, or next."""

    verb: ClassVar[str] = "stand_up"
    incident: str
    notes: str = ""


class Validate(Command):
    """A check of recovery: functional, performance, security or limited_users; passed, failed or not_applicable."""

    verb: ClassVar[str] = "validate"
    incident: str
    kind: str
    outcome: str
    note: str = ""


class PostMortem(Command):
    """A step of the post-mortem is done: timeline, root_cause, meeting_booked, meeting_held, draft, review, publication."""

    verb: ClassVar[str] = "post_mortem"
    incident: str
    step: str
    note: str = ""


class DraftMessage(Command):
    """Drafts what is to leave the company; ``channel`` as the policy's approval names it: investors, partners, media …"""

    verb: ClassVar[str] = "draft"
    incident: str
    channel: str
    text: str


class ApproveMessage(Command):
    """Approves a draft, as the owner of its channel."""

    verb: ClassVar[str] = "approve"
    incident: str
    message: str


class SendMessage(Command):
    """Records that an approved message left, and to whom."""

    verb: ClassVar[str] = "send"
    incident: str
    message: str
    to: str = ""


class PlanStep(Command):
    """A step of a plan: ``plan`` is recovery or a plan of continuity; ``outcome`` done or not_applicable (with a note)."""

    verb: ClassVar[str] = "plan_step"
    incident: str
    plan: str
    step: str
    outcome: str = "done"
    note: str = ""


class RestoreService(Command):
    """A service is back: ``limited`` (for a limited group of users), then ``full``; what it depends on comes first."""

    verb: ClassVar[str] = "restore_service"
    incident: str
    service: str
    stage: str = "limited"
    how: str = ""
    override: str = ""
    """the commander's reason to go on although something stands before it"""


class AddAction(Command):
    """An action item: one ``owner``, a day (``due``, 0: the category's last), measurable ``criteria``.

    ``category``: immediate, short_term, long_term.
    """

    verb: ClassVar[str] = "action_add"
    incident: str
    text: str
    owner: str
    criteria: str
    category: str = "immediate"
    due: Instant = 0


class ReportAction(Command):
    """How an action item stands."""

    verb: ClassVar[str] = "action_report"
    action: str
    text: str


class ChangeAction(Command):
    """Another owner, day or category, with the reason."""

    verb: ClassVar[str] = "action_change"
    action: str
    reason: str
    owner: str = ""
    due: Instant = 0
    category: str = ""


class FinishAction(Command):
    """Its owner says that it is done; it closes by its verification."""

    verb: ClassVar[str] = "action_done"
    action: str
    note: str = ""


class VerifyAction(Command):
    """Somebody else looked whether the criteria are met, and ``how``."""

    verb: ClassVar[str] = "action_verify"
    action: str
    how: str
    passed: bool = True


class DropAction(Command):
    """Drops an action item, with the reason."""

    verb: ClassVar[str] = "action_drop"
    action: str
    reason: str


class ReviewPolicy(Command):
    """The policy was reviewed; the next review counts from now."""

    verb: ClassVar[str] = "policy_review"
    note: str


class Redact(Command):
    """Takes the words out of one fact, by its id or version: of an incident (``INC-7``) or an action item (``ACT-3``).

    Copies of the words go with them: in the other facts of its stream and of what it was merged with, in messages and in the
    alerts. Times, people, severities and whatever duties are counted from stay; so does the proof that nothing else was
    changed. What has left cannot be called back.
    """

    verb: ClassVar[str] = "redact"
    incident: str
    fact: str
    reason: str


class Pause(Command):
    """Stops the clocks of the incident until a moment, with the reason."""

    verb: ClassVar[str] = "pause_clock"
    incident: str
    until: Instant
    reason: str


class Resume(Command):
    """Ends a pause before its time."""

    verb: ClassVar[str] = "resume_clock"
    incident: str


class Waive(Command):
    """Waives a duty, by its id or its rule. What executives, customers or evidence are owed takes a second person."""

    verb: ClassVar[str] = "waive"
    incident: str
    duty: str
    reason: str


class Ask(Command):
    """Asks whoever may: ``verb_wanted`` (severity, move, merge, waive, pause_clock, assign_role) with its ``fields``."""

    verb: ClassVar[str] = "ask"
    incident: str
    verb_wanted: str
    fields: dict[str, Any]
    reason: str


class AnswerRequest(Command):
    """Grants a request, which does what was asked for at once, or refuses it with a reason."""

    verb: ClassVar[str] = "answer_request"
    incident: str
    request: str
    grant: bool = True
    reason: str = ""


class SetServiceState(Command):
    """A service is ``up``, ``degraded`` or ``down`` since ``at`` (0: now). Figures are computed from these intervals."""

    verb: ClassVar[str] = "service_state"
    incident: str
    service: str
    state: str
    at: Instant = 0


class Measure(Command):
    """Records a figure: ``metric`` (response_time_p50, response_time_p95, response_time_p99, throughput, data_lost,
    data_recovered, integration_availability), a decimal ``value``, its ``unit``, ``source`` and window.
    """

    verb: ClassVar[str] = "measure"
    incident: str
    metric: str
    value: str
    unit: str
    source: str
    start: Instant = 0
    end: Instant = 0


class AttachReport(Command):
    """A later report of the same incident; it counts towards its impact."""

    verb: ClassVar[str] = "attach_report"
    incident: str
    text: str
    how: str = "user_report"
    by: str = ""
    service: str = ""


class Affect(Command):
    """These services are hit too."""

    verb: ClassVar[str] = "affect"
    incident: str
    services: list[str]
    reason: str = ""


class Rename(Command):
    """Another title, and with ``summary`` another account of what is known."""

    verb: ClassVar[str] = "rename"
    incident: str
    title: str
    summary: str = ""


COMMANDS: dict[str, type[Command]] = {cls.verb: cls for cls in Command.__subclasses__()}
"""verb → the command of that verb; every class of this file"""
