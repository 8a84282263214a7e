"""The policy: everything an organisation promises itself about incidents, as frozen, strict data.

Names are those of the file (``docs/policy.md`` explains it to its writers). Durations are
:class:`~tocsin.policy.calendar.Duration`; targets and positions are names from ``positions`` or references such as
``person:anna`` or ``schedule:payments#secondary``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from tocsin.kernel.errors import Unusable
from tocsin.policy.calendar import (
    WEEKDAYS,
    BusinessCalendar,
    Duration,
    Minutes,
    business_calendar,
    zone_named,
)
from tocsin.policy.conditions import Condition
from tocsin.policy.plans import BusinessContinuity, Recovery
from tocsin.policy.terms import Allowed, Elapsed, ElapsedSome, Name, Percent, Terms, Text, WallTime, one_of
from tocsin.policy.wording import (
    AUDIENCES,
    BLANK,
    FILLED_BLANKS,
    INSIDE,
    OUTSIDE,
    Audience,
    Blank,
    Template,
    Templates,
    Wording,
    blanks_in,
)

__all__ = [
    "AUDIENCES", "BLANK", "DUTIES", "FILLED_BLANKS", "INSIDE", "OUTSIDE", "ROLES", "SEVERITIES", "Actions", "Alerts",
    "Audience", "Blank", "Chase", "Escalation", "IncidentType", "Notice", "Policy", "PostMortem", "Role", "Rule", "SelfResolve",
    "Severity", "Step", "Template", "Templates", "Wording", "blanks_in",
]  # fmt: skip

SEVERITIES = ("P1", "P2", "P3", "P4")
"""The most severe first."""
SeverityId = Annotated[str, one_of("severity", SEVERITIES)]

REFERENCE_KINDS = ("person", "schedule", "team", "org", "service")

# governance and time


class Governance(Terms):
    """Whose policy this is and how often it is looked at again (the count starts when it is applied here)."""

    title: Text
    version: Text
    owner: Text
    """a position or reference: who owes the review"""
    review_every: Allowed


def _span(text: object) -> Any:
    """``09:00-17:00`` → minutes since midnight."""
    if not isinstance(text, str):
        return text
    shape = re.fullmatch(r"(\d\d):([0-5]\d)\s*[-–]\s*(\d\d):([0-5]\d)", text.strip(), re.ASCII)
    if shape is None:
        raise ValueError(f"{text!r} are not working hours: write them like 09:00-17:00")
    start, end = int(shape[1]) * 60 + int(shape[2]), int(shape[3]) * 60 + int(shape[4])
    return (start, end)


Hours = Annotated[tuple[Annotated[Minutes, BeforeValidator(_span)], ...], Field(strict=False)]


class WeeklyHours(Terms):
    """Working hours by weekday; a day that is left out is free."""

    monday: Hours = ()
    tuesday: Hours = ()
    wednesday: Hours = ()
    thursday: Hours = ()
    friday: Hours = ()
    saturday: Hours = ()
    sunday: Hours = ()


def _date(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise ValueError(f"the holiday {text!r} is not a date: write it like 2026-12-25") from None


IsoDate = Annotated[str, AfterValidator(_date)]


def _zone(name: str) -> str:
    try:
        zone_named(name)
    except Unusable as error:
        raise ValueError(error.sentence) from None
    return name


class CalendarTerms(Terms):
    """Working time of one office: an IANA ``zone``, ``hours`` on its wall clocks, ``holidays`` as ISO dates."""

    zone: Annotated[str, AfterValidator(_zone)]
    hours: WeeklyHours
    holidays: frozenset[IsoDate] = frozenset()

    @model_validator(mode="after")
    def _usable(self) -> CalendarTerms:
        try:
            self.built  # noqa: B018  # building it is the check
        except Unusable as error:
            raise ValueError(error.sentence) from None
        return self

    @cached_property
    def built(self) -> BusinessCalendar:
        """The calendar to compute with."""
        return business_calendar(
            self.zone, {day: getattr(self.hours, day) for day in WEEKDAYS}, self.holidays
        )


# severities


class Step(Terms):
    """Page ``targets`` this long ``after`` the escalation began. ``quiet``: owned, but nobody is interrupted."""

    after: Duration
    targets: tuple[Text, ...] = Field(min_length=1)
    quiet: bool = False


class Escalation(Terms):
    """Who is paged when nobody acknowledges. A step adds people and never stops an earlier one.

    ``repeat_every``: after the last step, again and again; left out: once. ``hours``: ``business`` holds back what
    interrupts until working hours. ``when_missed``: a response that falls due unmet starts the paging again with its
    holder (``page_again``), or goes one step up in the next digest (``digest``, to ``digest_to``).
    """

    steps: tuple[Step, ...]
    repeat_every: Allowed | None = None
    hours: Literal["always", "business"] = "always"
    when_missed: Literal["page_again", "digest"] = "page_again"
    digest_to: str | None = None

    @model_validator(mode="after")
    def _digest(self) -> Escalation:
        if (self.when_missed == "digest") != (self.digest_to is not None):
            raise ValueError("when_missed: digest and digest_to belong together: give both or neither")
        return self


class Notice(Terms):
    """Who is told, without being asked to acknowledge.

    ``when``: ``opened`` (whatever its state) or ``confirmed`` (a person declared or confirmed the severity).
    ``while_proposed_after``: also after this long while it is only proposed, unless it was lowered; 0: at once.
    ``interrupts``: may wake people; otherwise quiet channels (chat, mail, application) alone.
    """

    targets: tuple[Text, ...] = Field(min_length=1)
    when: Literal["opened", "confirmed"] = "opened"
    while_proposed_after: Elapsed | None = None
    interrupts: bool = True


class StandUps(Terms):
    """``at``: times of day in the zone of the default calendar; ``days``: ``every`` one, or ``business`` days."""

    at: tuple[WallTime, ...] = Field(min_length=1)
    days: Literal["every", "business"] = "every"


class Severity(Terms):
    """What is promised for one severity, all of it counted from receipt or declaration.

    ``hours``: when what is late is chased, ``always`` or in ``business`` hours. ``first_update``: after one
    ``interval``, or with the ``response``. ``activate_team``: ``at_once``, ``proposed`` in one click, ``by_hand``.
    ``validate_before``: whether validation gates ``resolved`` or ``closed``.
    """

    name: Text
    meaning: Text
    acknowledge: Allowed
    respond: Allowed
    resolve: Allowed
    update: Allowed
    hours: Literal["always", "business"] = "always"
    pausable: bool = False
    first_update: Literal["interval", "response"] = "interval"
    activate_team: Literal["at_once", "proposed", "by_hand"] = "by_hand"
    war_room: bool = False
    stand_ups: StandUps | None = None
    post_mortem: Literal["required", "optional", "none"] = "optional"
    validate_before: Literal["resolved", "closed"] = "closed"
    notice: Notice | None = None
    escalation: Escalation

    def before_due(self, duty: str) -> Duration:
        """The time allowed for ``acknowledge``, ``respond``, ``resolve`` or ``update``."""
        allowed: Duration = getattr(self, duty)
        return allowed


class CommanderPaging(Terms):
    """The commander's own page, beside the responders': only the commander's acknowledgement answers it."""

    severities: tuple[SeverityId, ...]
    steps: tuple[Step, ...]
    repeat_every: Allowed | None = None


class Paging(Terms):
    """What holds for pages of every severity."""

    acknowledge_while_proposed: ElapsedSome
    """the acknowledge time while a severity is only proposed, as P1 or because no rule matched"""
    commander: CommanderPaging
    page_each_person_at_most_every: Elapsed
    """one interrupting page for each person in this time, listing all that is unacknowledged"""
    link_lives_after_resolved: Elapsed


class Chase(Terms):
    """How one kind of duty is chased.

    ``remind_at_percent``: of its time gone, in rising order. ``remind_before``: this long before it is due.
    ``chase_every``: after it was missed. ``escalate_after``: so long after the miss it goes to ``escalate_to``.
    """

    remind_at_percent: tuple[Annotated[int, Field(ge=1, le=99)], ...] = ()
    remind_before: tuple[Duration, ...] = ()
    chase_every: Allowed | None = None
    escalate_after: Allowed | None = None
    escalate_to: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Chase:
        if (self.escalate_after is None) != (self.escalate_to is None):
            raise ValueError("escalate_after and escalate_to belong together: give both or neither")
        if list(self.remind_at_percent) != sorted(set(self.remind_at_percent)):
            raise ValueError("remind_at_percent must rise, each once: [50, 80]")
        return self

    @cached_property
    def longest_before(self) -> int:
        """Microseconds of the longest elapsed time in ``remind_before``; 0 where there is none."""
        return max((before.micros for before in self.remind_before if before.is_elapsed), default=0)


DUTIES = (
    "acknowledge", "respond", "resolve", "update", "stand_up", "message", "validation", "continuity", "post_mortem", "action",
    "action_status", "action_verification", "policy_review",
)  # fmt: skip
DutyName = Annotated[str, one_of("duty", ("default", *DUTIES))]


# alerts


class SelfResolve(Terms):
    """An incident that a machine opened ends by itself once all its alerts stayed clear for ``clear_for``.

    ``severities``: even when acknowledged; the others only while nobody has acknowledged. Types say for themselves
    whether they may at all. It reopens when it fires again within ``reopen_within``.
    """

    clear_for: Elapsed
    severities: tuple[SeverityId, ...]
    reopen_within: Elapsed


class Alerts(Terms):
    """How alerts become incidents, and when an incident may end by itself."""

    expire_after: ElapsedSome
    """an alert that says no end of its own counts as cleared when it is not sent again in this time"""
    group_window: ElapsedSome
    """an alert of the same group joins while the last one came within this time"""
    group_at_most: ElapsedSome
    """… and while the incident is younger than this"""
    flapping_hold: Elapsed
    """hold-off for an alert that comes and goes; never delays a first page of P1 or P2"""
    watch_after_resolved: Elapsed
    """an alert on an affected service reopens an incident that a person resolved within this time"""


# types, roles, positions


class IncidentType(Terms):
    """``subtypes``: name → in words. ``judged_by``: the primary metric. ``hits``: what it hurts.

    ``restricted``: opens visible to its members only (``members``: positions or references beside those who work on
    it). ``self_resolves``: may end by itself. ``post_mortem``: ``required`` at any severity, or as the severity says.
    ``validate_before``: as for a severity; the earlier gate of both holds.
    """

    name: Text
    subtypes: Mapping[Name, Text] = Field(min_length=1)
    judged_by: Literal[
        "uptime_percent", "response_time_percentiles", "time_to_containment", "data_recovered_percent",
        "integration_availability",
    ]  # fmt: skip
    hits: tuple[Text, ...] = Field(min_length=1)
    restricted: bool = False
    members: tuple[Text, ...] = ()
    self_resolves: bool = True
    post_mortem: Literal["required", "by_severity"] = "by_severity"
    validate_before: Literal["resolved", "by_severity"] = "by_severity"


class Role(Terms):
    """A part in the response. ``source``: where its holder comes from. ``decides``: full authority, or what it may."""

    name: Text
    purpose: Text
    tasks: tuple[Text, ...] = Field(min_length=1)
    tools: tuple[Text, ...] = ()
    channels: tuple[Text, ...] = ()
    authority: Literal["full", "own_task"] = "own_task"
    source: Literal["commander_rotation", "service_owners", "roster"] = "roster"
    rotation: Text | None = None
    """how often the rotation changes hands, in words, and among whom"""
    standby: Text | None = None
    """the position that is always on standby"""
    may_escalate_to: tuple[Text, ...] = ()


ROLES = ("incident_commander", "technical_lead", "communication_lead", "customer_liaison")
RoleId = Annotated[str, one_of("role", ROLES)]


class Channel(Terms):
    """An internal channel. ``primary``: where the response takes place. ``for_types``: incidents that use this one."""

    name: Text
    purpose: Text
    primary: bool = False
    for_types: tuple[Text, ...] = ()
    restricted: bool = False


# outside


class Component(Terms):
    """A line of the public status page, in the order of the file."""

    name: Text
    description: str = ""


class CustomerMail(Terms):
    """Mail to customers: these severities above this share of users; these subtypes at any share, to those affected."""

    severities: tuple[SeverityId, ...]
    above_percent_of_users: Percent
    at_any_share: tuple[Text, ...] = ()
    major_changes_only: bool = True


class InApp(Terms):
    """In the customers' application: ``banner``, ``modal`` (severities), and a message while something is degraded."""

    banner: tuple[SeverityId, ...]
    modal: tuple[SeverityId, ...]
    degraded_message: bool = True


class OutsideParty(Terms):
    """Who outside is told, when, and ``through`` whom. ``types``: of incidents; empty: every type."""

    name: Text
    severities: tuple[SeverityId, ...]
    types: tuple[Text, ...] = ()
    through: Text
    within: Allowed | None = None
    """counted from the moment it becomes due to tell them; left out: it is proposed, not owed"""
    major_only: bool = False
    """only where the incident is major"""


class Major(Terms):
    """When an incident is major: above this share of users, or of one of these subtypes."""

    above_percent_of_users: Percent
    subtypes: tuple[Text, ...] = ()


class Approval(Terms):
    """``approves`` and ``sends``: roles or positions, for what goes out over one channel."""

    approves: Text
    sends: Text


PARTIES = ("investors", "partners", "media")
OUTSIDE_CHANNELS = (
    "status_page", "customer_mail", "in_app", "social_media", "stakeholders", "investors", "partners", "media",
)  # fmt: skip


class Outside(Terms):
    """Everything that leaves the company."""

    components: Mapping[Name, Component] = Field(min_length=1)
    customer_mail: CustomerMail
    in_app: InApp
    major: Major = Major(above_percent_of_users=50.0)
    parties: Mapping[Annotated[str, one_of("party", PARTIES)], OutsideParty]
    approval: Mapping[Annotated[str, one_of("channel", OUTSIDE_CHANNELS)], Approval]


# afterwards


class Causes(Terms):
    """The categories that root causes are sorted into."""

    technical: tuple[Text, ...] = Field(min_length=1)
    process: tuple[Text, ...] = Field(min_length=1)
    external: tuple[Text, ...] = Field(min_length=1)


class PostMortem(Terms):
    """What is owed after resolution, each counted from it."""

    timeline: Allowed
    root_cause: Allowed
    meeting_booked: Allowed
    meeting_held: Allowed
    draft: Allowed
    review: Allowed
    publication: Allowed
    sections: tuple[Text, ...] = Field(min_length=1)
    required: tuple[Text, ...] = Field(min_length=1)
    required_when_users_saw: tuple[Text, ...] = ()
    optional: tuple[Text, ...] = ()


class ActionCategory(Terms):
    """``within``: from the day it was agreed. ``status_every``: how often its owner reports."""

    name: Text
    purpose: Text
    within: Allowed
    status_every: Allowed


class Actions(Terms):
    """``verified_by`` (a position) checks within ``verified_within`` of *done* that the success criteria are met."""

    verified_within: Allowed = Duration.parse("1 week")
    verified_by: Text = "engineering_manager"
    immediate: ActionCategory
    short_term: ActionCategory
    long_term: ActionCategory

    def category(self, name: str) -> ActionCategory:
        """``immediate``, ``short_term`` or ``long_term``; raises :class:`Unusable` for another."""
        if name not in ("immediate", "short_term", "long_term"):
            raise Unusable(f"{name!r} is no category of actions: use immediate, short_term or long_term")
        found: ActionCategory = getattr(self, name)
        return found


class Rule(Terms):
    """Proposes ``severity`` when its condition holds. ``reason``: what people read; left out: the name.

    ``type``: what sort of incident that makes it, where the facts do not say; left out: the rule says nothing of it.
    """

    name: Text
    severity: SeverityId
    type: str = ""
    reason: str = ""
    when: Condition


class Policy(Terms):
    """One version of an organisation's policy."""

    governance: Governance
    default_calendar: Text
    calendars: Mapping[Text, CalendarTerms] = Field(min_length=1)
    positions: Mapping[Name, Text]
    """name → in words: whom steps, notices and attendance may name"""
    severities: Mapping[SeverityId, Severity]
    rules: tuple[Rule, ...]
    paging: Paging
    chasing: Mapping[DutyName, Chase]
    alerts: Alerts
    self_resolve: SelfResolve
    types: Mapping[Name, IncidentType] = Field(min_length=1)
    roles: Mapping[RoleId, Role]
    channels: Mapping[Name, Channel] = Field(min_length=1)
    outside: Outside
    blanks: Mapping[Name, Blank]
    templates: Templates
    causes: Causes
    recovery: Recovery | None = None
    continuity: BusinessContinuity | None = None
    post_mortem: PostMortem
    actions: Actions

    @model_validator(mode="after")
    def _complete(self) -> Policy:
        for what, needed, given in (
            ("severities", SEVERITIES, self.severities), ("roles", ROLES, self.roles), ("chasing", ("default",), self.chasing),
        ):  # fmt: skip
            missing = [name for name in needed if name not in given]
            if missing:
                raise PydanticCustomError(
                    "missing_parts",
                    "{what} must have {missing} too",
                    {"what": what, "missing": ", ".join(missing)},
                )
        return self

    def calendar(self, name: str = "") -> BusinessCalendar:
        """The calendar of that name; the default one for an empty or unknown name."""
        terms = self.calendars.get(name) or self.calendars[self.default_calendar]
        return terms.built

    def severity(self, name: str) -> Severity:
        """The terms of ``P1`` … ``P4``; raises :class:`Unusable` for another."""
        found = self.severities.get(name)
        if found is None:
            raise Unusable(f"{name!r} is no severity: use one of {', '.join(SEVERITIES)}")
        return found

    def incident_type(self, name: str) -> IncidentType | None:
        """The type of that name, or None."""
        return self.types.get(name)

    def component(self, name: str) -> str:
        """The key of the status page's component that ``name`` means, by key or by name; empty where there is none."""
        wanted = name.strip().casefold()
        plain = wanted.replace(" ", "_").replace("-", "_")
        return self._components.get(wanted) or (plain if plain in self.outside.components else "")

    @cached_property
    def _components(self) -> dict[str, str]:
        """Name of a component → its key, the first where two are called the same."""
        named: dict[str, str] = {}
        for key, one in self.outside.components.items():
            named.setdefault(one.name.casefold(), key)
        return named

    def chase(self, duty: str) -> Chase:
        """How that kind of duty is chased; the ``default`` where the policy says nothing of its own."""
        return self.chasing.get(duty) or self.chasing["default"]

    def post_mortem_for(self, severity: str, kind: str) -> str:
        """``required``, ``optional`` or ``none``, by severity and type together."""
        terms = self.types.get(kind)
        if terms is not None and terms.post_mortem == "required":
            return "required"
        return self.severity(severity).post_mortem

    def validation_gates(self, severity: str, kind: str) -> str:
        """Which step waits for validation: ``resolved`` or ``closed``."""
        terms = self.types.get(kind)
        if terms is not None and terms.validate_before == "resolved":
            return "resolved"
        return self.severity(severity).validate_before

    def knows_target(self, target: str) -> bool:
        """Whether ``target`` is a position of this policy or a reference such as ``person:anna``."""
        kind, colon, rest = target.partition(":")
        return target in self.positions or bool(colon and rest and kind in REFERENCE_KINDS)
