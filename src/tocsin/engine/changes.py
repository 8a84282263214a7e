"""What can be asked of live records: people, contacts, schedules, services, integrations, access. One struct for each verb.

They are to records what :mod:`tocsin.engine.commands` is to incidents: pages, API and command line all send these.
Instants are UTC microseconds; the API takes RFC 3339 as well. None means: leave it as it is.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tocsin.catalogue.services import Link, ServiceContact
from tocsin.kernel.clock import Instant
from tocsin.oncall.rotations import Rotation


class Change(msgspec.Struct, forbid_unknown_fields=True):
    """``verb`` names it in logs and for idempotency keys."""

    verb: ClassVar[str] = ""


# people and how they are reached


class AddPerson(Change):
    """An account and somebody who can be paged. The id is made of the name where none is given."""

    verb: ClassVar[str] = "add_person"
    name: str
    email: str = ""
    login: str = ""
    role: str = "responder"
    zone: str = "UTC"
    org_roles: list[str] = []
    senior: bool = False
    id: str = ""


class ChangePerson(Change):
    """Oneself: zone and locale. An owner: everything."""

    verb: ClassVar[str] = "change_person"
    person: str
    name: str | None = None
    email: str | None = None
    login: str | None = None
    role: str | None = None
    zone: str | None = None
    locale: str | None = None
    org_roles: list[str] | None = None
    senior: bool | None = None
    active: bool | None = None


class AddContact(Change):
    """``address``: a mail address, a number in E.164 (+49…), an ntfy topic, a URL."""

    verb: ClassVar[str] = "add_contact"
    person: str
    kind: str
    address: str
    label: str = ""


class RemoveContact(Change):
    verb: ClassVar[str] = "remove_contact"
    person: str
    contact: str


class MoveContact(Change):
    """Puts a contact at a place in the person's order, 1 for the first."""

    verb: ClassVar[str] = "move_contact"
    person: str
    contact: str
    position: int


class TestContact(Change):
    """*Page me as a test*: a message with a code to one contact, or to all where none is named."""

    verb: ClassVar[str] = "test_contact"
    person: str
    contact: str = ""


class ConfirmContact(Change):
    """The code that arrived: the contact is theirs, and a page reaches them."""

    verb: ClassVar[str] = "confirm_contact"
    person: str
    contact: str
    code: str


class RuleWish(msgspec.Struct, forbid_unknown_fields=True):
    """``after``: a duration such as ``0`` or ``5 min``. ``severities``: P1 to P4, or ``*``."""

    contact: str
    after: str = "0"
    severities: list[str] = msgspec.field(default_factory=lambda: ["*"])


class SetRules(Change):
    """A person's own order of channels. It may add to the first interrupting contact, never delay it."""

    verb: ClassVar[str] = "set_rules"
    person: str
    rules: list[RuleWish]


# access


class MakeSignInLink(Change):
    """A one-time link, good for an hour: for a first sign-in or a forgotten password."""

    verb: ClassVar[str] = "make_sign_in_link"
    person: str


class ChangePassword(Change):
    """``current`` is not asked of somebody who has no password yet."""

    verb: ClassVar[str] = "change_password"
    new: str
    current: str = ""


class RevokeSession(Change):
    """Ends a sign-in; ``others`` ends all of one's own but the named one."""

    verb: ClassVar[str] = "revoke_session"
    session: str
    others: bool = False


class AddToken(Change):
    """An API token of one's own; ``days`` 0 for no end. The secret is answered once."""

    verb: ClassVar[str] = "add_token"
    name: str
    scopes: list[str]
    days: int = 0


class RevokeToken(Change):
    verb: ClassVar[str] = "revoke_token"
    token: str


class NewFeedToken(Change):
    """A new secret for one's calendar feeds; the one before stops working."""

    verb: ClassVar[str] = "new_feed_token"


# on call


class AddOverride(Change):
    verb: ClassVar[str] = "add_override"
    schedule: str
    start: Instant
    end: Instant
    person: str = ""
    position: str = "primary"
    reason: str = ""
    replaces: str = ""


class RemoveOverride(Change):
    verb: ClassVar[str] = "remove_override"
    override: str


class AddLeave(Change):
    verb: ClassVar[str] = "add_leave"
    start: Instant
    end: Instant
    person: str = ""
    reason: str = ""


class RemoveLeave(Change):
    verb: ClassVar[str] = "remove_leave"
    leave: str


class PutSchedule(Change):
    """Makes or replaces a schedule. Later rotations lie on top; one without a zone has the schedule's. ``secondary_offset`` 0
    means no secondary.
    """

    verb: ClassVar[str] = "put_schedule"
    id: str
    name: str
    rotations: list[Rotation]
    zone: str = "UTC"
    secondary: list[Rotation] = []
    secondary_offset: int = 1


class RemoveSchedule(Change):
    verb: ClassVar[str] = "remove_schedule"
    schedule: str


class ChainStep(msgspec.Struct):
    """``page`` (targets or references) is paged ``after`` a duration; ``business``: counted in the team's working hours."""

    after: str
    page: list[str]
    business: bool = False


class PutEscalationPolicy(Change):
    """Makes or replaces an escalation policy. ``targets``: name → whom it means for ``team``. ``steps``: severity → the chain that
    replaces the policy's own.
    """

    verb: ClassVar[str] = "put_escalation_policy"
    id: str
    name: str
    team: str = ""
    targets: dict[str, str] = {}
    steps: dict[str, list[ChainStep]] = {}


class RemoveEscalationPolicy(Change):
    verb: ClassVar[str] = "remove_escalation_policy"
    escalation_policy: str


# teams and services


class PutTeam(Change):
    verb: ClassVar[str] = "put_team"
    id: str
    name: str
    members: list[str] = []
    schedule: str = ""
    engineering_lead: str = ""
    engineering_manager: str = ""
    calendar: str = ""
    escalation_policy: str = ""


class RemoveTeam(Change):
    verb: ClassVar[str] = "remove_team"
    team: str


class PutService(Change):
    """Makes or replaces a service. ``criticality`` 1 (everything stops without it) to 4 (hardly missed)."""

    verb: ClassVar[str] = "put_service"
    id: str
    name: str
    component: str = ""
    team: str = ""
    depends_on: list[str] = []
    criticality: int = 3
    aliases: list[str] = []
    runbook_url: str = ""
    dashboards: list[Link] = []
    links: list[Link] = []
    contacts: list[ServiceContact] = []


class RemoveService(Change):
    verb: ClassVar[str] = "remove_service"
    service: str


class PutOrganisation(Change):
    """The organisation's name and zone, the commanders' schedule, and the team that answers for what nobody owns.

    ``war_room``: the address where a response meets, ``{incident}`` standing for its number; empty: the incident's own page.
    """

    verb: ClassVar[str] = "put_organisation"
    name: str = ""
    zone: str = "UTC"
    commander_schedule: str = ""
    default_team: str = ""
    war_room: str | None = None


# ways in


class AddIntegration(Change):
    """A way in with a key of its own. ``interval`` (a duration): how often a heartbeat comes, and how much later it may be is its
    ``grace``; of another sender the longest that it is ever quiet, empty where its silence is no alert.
    """

    verb: ClassVar[str] = "add_integration"
    name: str
    source: str
    service: str = ""
    escalation_policy: str = ""
    team: str = ""
    group_by: list[str] = []
    may_silence: bool = False
    mapping: dict[str, str] = {}
    interval: str = ""
    grace: str = ""


class ChangeIntegration(Change):
    verb: ClassVar[str] = "change_integration"
    integration: str
    name: str | None = None
    service: str | None = None
    escalation_policy: str | None = None
    team: str | None = None
    group_by: list[str] | None = None
    may_silence: bool | None = None
    mapping: dict[str, str] | None = None
    interval: str | None = None
    grace: str | None = None


class RotateKey(Change):
    """A new key; the one before is refused from now on."""

    verb: ClassVar[str] = "rotate_key"
    integration: str


class RemoveIntegration(Change):
    verb: ClassVar[str] = "remove_integration"
    integration: str


class AddRoute(Change):
    """Alerts whose labels fit ``matchers`` (``severity=critical``, ``team=~"a|b"``) go to ``service``; the first route that fits counts."""

    verb: ClassVar[str] = "add_route"
    name: str
    matchers: list[str] = []
    integration: str = ""
    service: str = ""
    escalation_policy: str = ""
    group_by: list[str] = []


class RemoveRoute(Change):
    verb: ClassVar[str] = "remove_route"
    route: str


class AddSilence(Change):
    """Alerts whose labels fit page nobody until ``ends_at``. One that covers a P1 needs an owner or the commander on rotation."""

    verb: ClassVar[str] = "add_silence"
    matchers: list[str]
    ends_at: Instant
    reason: str
    starts_at: Instant = 0
    """0 is now"""
    integration: str = ""
    covers_p1: bool = False


class EndSilence(Change):
    """Ends it now: what still fires pages."""

    verb: ClassVar[str] = "end_silence"
    silence: str


class AddMaintenance(Change):
    """Planned work: alerts of these services page nobody until ``ends_at``."""

    verb: ClassVar[str] = "add_maintenance"
    services: list[str]
    ends_at: Instant
    reason: str
    starts_at: Instant = 0
    covers_p1: bool = False


class EndMaintenance(Change):
    verb: ClassVar[str] = "end_maintenance"
    maintenance: str


class AddReportKey(Change):
    """A link to the report form for people who have no account."""

    verb: ClassVar[str] = "add_report_key"
    name: str


class RemoveReportKey(Change):
    verb: ClassVar[str] = "remove_report_key"
    key: str


class Report(Change):
    """Somebody noticed something: declares an incident whose severity is proposed from the facts."""

    verb: ClassVar[str] = "report"
    title: str
    detected_how: str = "user_report"
    summary: str = ""
    service: str = ""
    who: str = ""
    """how to reach whoever noticed it, where that is somebody else"""


CHANGES: dict[str, type[Change]] = {
    cls.verb: cls
    for cls in (
        AddPerson, ChangePerson, AddContact, RemoveContact, MoveContact, TestContact, ConfirmContact, SetRules, MakeSignInLink,
        ChangePassword, RevokeSession, AddToken, RevokeToken, NewFeedToken, AddOverride, RemoveOverride, AddLeave, RemoveLeave,
        PutSchedule, RemoveSchedule, PutEscalationPolicy, RemoveEscalationPolicy, PutTeam, RemoveTeam, PutService, RemoveService, PutOrganisation, AddIntegration,
        ChangeIntegration, RotateKey, RemoveIntegration, AddRoute, RemoveRoute, AddSilence, EndSilence, AddMaintenance, EndMaintenance, AddReportKey, RemoveReportKey, Report,
    )
}  # fmt: skip
