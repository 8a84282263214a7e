"""The state of an incident: the fold of its facts (:mod:`tocsin.incidents.folding`)."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.incidents import facts as f
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import decode, encode

OPEN = ("investigating", "identified", "monitoring")
ENDED = ("closed", "false_alarm", "merged")
OPENED = "opened:"
"""how the kind of a notice begins that tells whom a severity tells"""
OWED = "owed:"
"""how the kind of a notice begins that reminds of a duty"""
ALL_SEVERITIES = ("P1", "P2", "P3", "P4")


def worse(a: str, b: str) -> bool:
    """Whether severity ``a`` is more severe than ``b``."""
    return ALL_SEVERITIES.index(a) < ALL_SEVERITIES.index(b)


class Attached(msgspec.Struct):
    """An alert of the incident; ``cleared_at`` 0 while it fires.

    What is remembered of it stays as it was written until somebody asks: an incident of thousands of alerts is read for each
    one that joins, and most of what it says is passed on unread.
    """

    raw: msgspec.Raw = msgspec.field(name="ref")
    cleared_at: Instant = 0
    how: str = ""

    @classmethod
    def of(cls, ref: f.AlertRef) -> Attached:
        """One that fires."""
        return cls(msgspec.Raw(encode(ref)))

    @property
    def ref(self) -> f.AlertRef:
        """What the incident remembers of it."""
        found: f.AlertRef = decode(self.raw, f.AlertRef)
        return found


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
    turns: dict[str, str] = {}
    """target that is a turn of duty → who had it when it was paged; a target that meant nobody → empty"""
    latest: list[str] = []
    """whom the last step paged"""
    answered_by: str = ""
    """who acknowledged it"""
    void: bool = False
    """its acknowledgement holds no more: it lapsed, was passed on, was given at lower urgency, or it is paged anew"""

    @property
    def held(self) -> bool:
        """Whether somebody acknowledged it and has it still."""
        return self.state == "acknowledged" and not self.void


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


class Request(msgspec.Struct):
    """A decision that somebody asked for. ``state``: open, granted, refused."""

    id: str
    verb: str
    fields: dict[str, Any]
    by: str
    reason: str
    at: Instant
    state: str = "open"
    answered_by: str = ""


class Measurement(msgspec.Struct):
    """A figure that was measured, with its window and where it comes from. ``value`` is a decimal number as text."""

    metric: str
    value: str
    unit: str
    source: str
    start: Instant
    end: Instant
    at: Instant


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
    calendars: list[str] = []
    """of the teams of all services; what is due in business time is due by the earliest of them"""
    escalation_policy: str = ""
    group_key: str = ""
    services: list[str] = []
    restricted: bool = False
    restricted_by_merge: bool = False
    """it is restricted because it was merged into one that is, and for nothing of its own"""
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
    held_since: Instant = 0
    last_holder: str = ""
    """who acknowledged last, lapsed or not"""
    declined: list[str] = []
    """who said that they cannot take it, and have not taken it since"""
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
    shares: list[tuple[Instant, int]] = []
    """(from when, per cent of the users that are affected), as it was said"""
    kinds: list[tuple[Instant, str, str]] = []
    """(from when, type, subtype), as it was set; since it was declared"""
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
    pauses: list[tuple[Instant, Instant]] = []
    """stretches in which the clocks stood still; the last one may not be over"""
    touched: bool = False
    """a person wrote, took a role or told outsiders"""
    resolved_at: Instant = 0
    resolved_by_person: bool = False
    closed_at: Instant = 0
    asked: list[str] = []
    merged_into: str = ""
    merged_from: list[str] = []
    alone: tuple[Instant, Instant] = (0, 0)
    """opened and resolve counted from, as they were before anything was merged into it"""
    brought: dict[str, tuple[Instant, list[str], list[str]]] = {}
    """merged incident → when it was opened, its services, and those of them that were new here: what a split takes away"""
    before_merge: dict[str, tuple[str, str, str, str]] = {}
    """merged incident → severity, its state, its reason, its rule before: what a split restores"""
    raised_by: str = ""
    """the merged incident that made the severity what it is; empty where something else did, or spoke since"""
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
    severities: list[tuple[Instant, str]] = []
    """(from when, severity), as it was said since it was declared, opened again or moved to another policy"""
    hear_from: Instant = 0
    """since when the audiences of continuity hear again of an incident that had ended"""
    validations: dict[str, Validation] = {}
    steps: dict[str, Validation] = {}
    """plan/step → what came of it"""
    plans: dict[str, Instant] = {}
    """plans of continuity that have begun"""
    restored: dict[str, str] = {}
    """service → limited or full"""
    heard: dict[str, Instant] = {}
    """audience of continuity → when it last heard"""
    overridden: dict[str, str] = {}
    """gate → the reason with which the commander went on without it"""
    requests: dict[str, Request] = {}
    measurements: list[Measurement] = []
    reports: int = 0
    """later reports that were attached"""
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
    def firing_refs(self) -> list[f.AlertRef]:
        """Its alerts that fire, as it remembers them."""
        return [alert.ref for alert in self.firing]

    @property
    def everybody_paged(self) -> list[str]:
        """All who were paged, each once, in order."""
        return list(dict.fromkeys(person for run in self.runs.values() for person in run.paged))

    @property
    def everybody_told(self) -> list[str]:
        """All who were paged or told, each once, in order."""
        people: dict[str, None] = {}
        for run in self.runs.values():
            people.update(dict.fromkeys(run.paged))
        for names in self.told.values():
            people.update(dict.fromkeys(names))
        return list(people)


def war_room_at(setting: str, name: str) -> str:
    """Where the response to the incident of that name meets: the setting of the installation, or else its own page."""
    return setting.replace("{incident}", name.lower()) or f"the page of {name}"


def alert_key(integration: str, key: str) -> str:
    """How the fold names an alert."""
    return f"{integration}\n{key}"
