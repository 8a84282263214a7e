"""The API's addresses as tables: one for what can be read, one for what can be changed.

Every change that a page can make has one row here; the fields of its struct that stand in the address are left out of the
body. The OpenAPI document is written from the same rows.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.engine import changes as c
from tocsin.web import govern_views as g
from tocsin.web import views as v


class Write(msgspec.Struct, frozen=True):
    """A change's address. ``verb``: who may, in the table of :mod:`tocsin.identity.authorize`."""

    method: str
    path: str
    change: type[c.Change]
    verb: str
    tag: str
    summary: str
    answer: type[msgspec.Struct] = v.Changed
    fixed: dict[str, Any] = {}


class Read(msgspec.Struct, frozen=True):
    """Something to be read; ``handler`` is the name of the method of :class:`tocsin.web.readings.Readings`."""

    path: str
    handler: str
    tag: str
    summary: str
    answer: type[msgspec.Struct]
    query: dict[str, tuple[type, str]] = {}
    """name → (type, meaning)"""


class Test(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of an integration's test."""

    page: bool = False


class Preview(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A policy that is looked at: its ``text``, and how many weeks ahead its pages are proved."""

    text: str
    weeks: int = 4


class Apply(Preview, frozen=True):
    """A policy that is put in force."""

    before: str = ""
    """the hash that was in force when it was looked at; another one is refused"""
    adopt: bool = False
    """also moves open incidents to it"""
    force: str = ""
    """the reason to apply it despite findings"""


def _write(
    method: str, path: str, change: type[c.Change], verb: str, tag: str, summary: str, **more: Any
) -> Write:
    return Write(method, f"/api/v1{path}", change, verb, tag, summary, **more)


WRITES: tuple[Write, ...] = (
    _write("POST", "/people", c.AddPerson, "people", "people", "Add somebody"),
    _write("PATCH", "/people/{person}", c.ChangePerson, "own_profile", "people", "Change somebody; what is left out stays"),
    _write("POST", "/people/{person}/contacts", c.AddContact, "own_contacts", "people", "Add a way to reach somebody"),
    _write("DELETE", "/people/{person}/contacts/{contact}", c.RemoveContact, "own_contacts", "people", "Remove a contact"),
    _write("POST", "/people/{person}/contacts/{contact}/move", c.MoveContact, "own_contacts", "people", "Put a contact at a place in the order"),
    _write("POST", "/people/{person}/contacts/{contact}/test", c.TestContact, "test_contact", "people", "Send a test with a code to one contact"),
    _write("POST", "/people/{person}/test", c.TestContact, "test_contact", "people", "Page somebody as a test: a code to every contact"),
    _write("POST", "/people/{person}/contacts/{contact}/confirm", c.ConfirmContact, "own_contacts", "people", "Confirm a contact by the code that arrived"),
    _write("PUT", "/people/{person}/rules", c.SetRules, "own_contacts", "people", "Set a person's own notification rules"),
    _write("POST", "/people/{person}/sign-in-link", c.MakeSignInLink, "people", "people", "Make a one-time sign-in link"),
    _write("POST", "/account/password", c.ChangePassword, "own_profile", "account", "Change one's password; only for a signed-in session"),
    _write("DELETE", "/sessions/{session}", c.RevokeSession, "own_sessions", "account", "End a session"),
    _write("POST", "/sessions/{session}/others", c.RevokeSession, "own_sessions", "account", "End all of one's sessions but this", fixed={"others": True}),
    _write("POST", "/tokens", c.AddToken, "own_tokens", "account", "Make an API token; its secret is answered once"),
    _write("DELETE", "/tokens/{token}", c.RevokeToken, "own_tokens", "account", "Revoke a token"),
    _write("POST", "/feeds", c.NewFeedToken, "own_tokens", "account", "Make new addresses for one's calendar feeds"),
    _write("POST", "/schedules/{schedule}/overrides", c.AddOverride, "override", "on call", "Take a shift, or give one as an owner"),
    _write("DELETE", "/overrides/{override}", c.RemoveOverride, "override", "on call", "Take an override back"),
    _write("POST", "/leave", c.AddLeave, "own_leave", "on call", "Enter leave"),
    _write("DELETE", "/leave/{leave}", c.RemoveLeave, "own_leave", "on call", "Take leave back"),
    _write("PUT", "/schedules/{id}", c.PutSchedule, "schedules", "on call", "Make or replace a schedule"),
    _write("DELETE", "/schedules/{schedule}", c.RemoveSchedule, "schedules", "on call", "Remove a schedule"),
    _write("PUT", "/escalation-policies/{id}", c.PutEscalationPolicy, "schedules", "on call", "Make or replace an escalation policy"),
    _write("DELETE", "/escalation-policies/{escalation_policy}", c.RemoveEscalationPolicy, "schedules", "on call", "Remove an escalation policy"),
    _write("PUT", "/teams/{id}", c.PutTeam, "services_edit", "services", "Make or replace a team"),
    _write("DELETE", "/teams/{team}", c.RemoveTeam, "services_edit", "services", "Remove a team"),
    _write("PUT", "/services/{id}", c.PutService, "services_edit", "services", "Make or replace a service"),
    _write("DELETE", "/services/{service}", c.RemoveService, "services_edit", "services", "Remove a service"),
    _write("PUT", "/organisation", c.PutOrganisation, "configure", "on call", "Set who answers for the whole"),
    _write("POST", "/integrations", c.AddIntegration, "integrations", "integrations", "Add a way in; its key is answered"),
    _write("PATCH", "/integrations/{integration}", c.ChangeIntegration, "integrations", "integrations", "Change a way in"),
    _write("POST", "/integrations/{integration}/key", c.RotateKey, "integrations", "integrations", "Make a new key; the old one is refused"),
    _write("DELETE", "/integrations/{integration}", c.RemoveIntegration, "integrations", "integrations", "Remove a way in"),
    _write("POST", "/routes", c.AddRoute, "integrations", "integrations", "Add a route after those there are"),
    _write("DELETE", "/routes/{route}", c.RemoveRoute, "integrations", "integrations", "Remove a route"),
    _write("POST", "/silences", c.AddSilence, "silence", "quiet", "Silence alerts, with an author, a reason and an end"),
    _write("DELETE", "/silences/{silence}", c.EndSilence, "silence", "quiet", "End a silence now; what still fires pages"),
    _write("POST", "/maintenance", c.AddMaintenance, "maintenance", "quiet", "Plan work on services"),
    _write("DELETE", "/maintenance/{maintenance}", c.EndMaintenance, "maintenance", "quiet", "End a maintenance window now"),
    _write("POST", "/reports", c.Report, "report", "incidents", "Report a problem; open to every role", answer=v.Reported),
    _write("POST", "/report-links", c.AddReportKey, "integrations", "incidents", "Make a link to the report form"),
    _write("DELETE", "/report-links/{key}", c.RemoveReportKey, "integrations", "incidents", "Withdraw such a link"),
)  # fmt: skip


def _read(
    path: str, handler: str, tag: str, summary: str, answer: type[msgspec.Struct], query: dict[str, tuple[type, str]] | None = None
) -> Read:  # fmt: skip
    return Read(f"/api/v1{path}", handler, tag, summary, answer, query or {})


_OPEN = (bool, "open ones only, or ended ones only")

READS: tuple[Read, ...] = (
    _read("/incidents", "incidents", "incidents", "Incidents that you may see, newest first; searched with q", v.IncidentList, {"open": _OPEN, "severity": (str, "P1 to P4"), "status": (str, "investigating, resolved …"), "q": (str, "words, all must occur"), "drill": (bool, "drills only, or none"), "before": (str, "next of the page before"), "limit": (int, "1 to 500, 100 where left out")}),
    _read("/search", "incidents", "incidents", "The same as the list, by its other name", v.IncidentList, {"q": (str, "words, all must occur"), "before": (str, "next of the page before"), "limit": (int, "1 to 500")}),
    _read("/incidents/{reference}/timeline", "timeline", "incidents", "What happened, in order", v.Timeline, {"after": (int, "only facts after this version")}),
    _read("/incidents/{reference}/duties", "duties", "incidents", "What is owed, by when, and how it stands", v.Duties),
    _read("/incidents/{reference}/escalation", "escalation", "incidents", "Who is paged next, and when", v.Escalation),
    _read("/duties", "owed", "incidents", "What I owe in all open incidents, the earliest first", v.Duties),
    _read("/people", "people", "people", "Everybody", v.People),
    _read("/people/{person}", "person", "people", "One person", v.PersonView),
    _read("/oncall", "on_call", "on call", "Who is on call, now or at an instant", v.OnCallNow, {"at": (str, "an instant such as 2026-03-03T02:00:00Z; now where left out")}),
    _read("/schedules", "schedules", "on call", "Every schedule", v.Schedules),
    _read("/schedules/{schedule}", "schedule", "on call", "One schedule with its shifts, overrides and gaps", v.ScheduleView, {"days": (int, "1 to 90, 14 where left out")}),
    _read("/escalation-policies", "escalation_policies", "on call", "Escalation policies, and whom their targets mean now", v.EscalationPolicies),
    _read("/leave", "leave", "on call", "Leave that has not ended", v.Leaves),
    _read("/services", "services", "services", "Services with how they stand", v.Services),
    _read("/services/{service}", "service", "services", "One service", v.ServiceView),
    _read("/journal", "journal", "people", "Who changed which live record, newest first; for owners", v.Journal, {"before": (str, "next of the page before"), "limit": (int, "1 to 500, 200 where left out")}),
    _read("/teams", "teams", "services", "Teams", v.Teams),
    _read("/integrations", "integrations", "integrations", "Ways in", v.Integrations),
    _read("/integrations/{integration}", "integration", "integrations", "One way in, for owners with its snippet", v.IntegrationView),
    _read("/integrations/{integration}/requests", "requests", "integrations", "The last requests with status and reason", v.Requests),
    _read("/routes", "routes", "integrations", "Routes in their order", v.Routes),
    _read("/silences", "silences", "quiet", "Silences that have not ended", v.Silences),
    _read("/maintenance", "maintenance", "quiet", "Maintenance windows that have not ended", v.MaintenanceWindows),
    _read("/quiet-alerts", "quiet_alerts", "quiet", "What fires and pages nobody, with the reason", v.Quiet),
    _read("/tokens", "tokens", "account", "One's own tokens", v.Tokens),
    _read("/sessions", "sessions", "account", "One's own sessions", v.Sessions),
    _read("/feeds", "feeds", "account", "One's calendar feeds", v.Feeds),
    _read("/report-links", "report_links", "incidents", "Links to the report form; for owners", v.ReportLinks),
    _read("/actions", "actions", "actions", "Action items that you may see", g.ActionList, {"open": _OPEN, "incident": (str, "of one incident, by its id")}),
    _read("/actions/{action}", "action", "actions", "One action item, by id or number", g.ActionView),
    _read("/policy", "policy", "policy", "The policy in force, its versions and its next review", g.PolicyView),
    _read("/policy/proof", "proof", "policy", "Whether every page reaches somebody over the weeks ahead, though one person and one provider fail", g.ProofView, {"weeks": (int, "1 to 52, 4 where left out")}),
    _read("/figures", "figures", "figures", "How promises were kept, and what each type is judged by, over incidents opened in a period", g.FiguresView, {"from": (str, "an instant; 90 days ago where left out"), "to": (str, "an instant; now where left out")}),
    _read("/incidents/{reference}/score", "score", "figures", "How each promise of one incident was kept, with the time that counted, and its primary metric", g.ScoreView),
    _read("/drills", "drills", "drills", "Scenarios that can be played", g.DrillList),
    _read("/state", "state", "state", "Lateness, and whom a page will not wake", v.State),
)  # fmt: skip
