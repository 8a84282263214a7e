"""The default policy holds the guide's figures, and the figures for what the guide leaves open."""

from __future__ import annotations

import pytest

from tocsin.kernel.clock import parse_instant, to_iso
from tocsin.policy.calendar import Duration
from tocsin.policy.check import check
from tocsin.policy.load import (
    canonical,
    default_policy,
    default_policy_text,
    load_policy,
    policy_from_bytes,
    policy_hash,
)

POLICY = default_policy()


def is_(text: str) -> Duration:
    return Duration.parse(text)


def chain(severity: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(step.after.text, step.targets) for step in POLICY.severities[severity].escalation.steps]


@pytest.mark.parametrize(
    ("severity", "name", "acknowledge", "respond", "resolve", "update"),
    [
        pytest.param("P1", "Critical", "5m", "15m", "4h", "15m", marks=pytest.mark.guide("SEV-1", "COM-2")),
        pytest.param("P2", "High", "30m", "1h", "24h", "1h", marks=pytest.mark.guide("SEV-2", "COM-2")),
        pytest.param(
            "P3", "Medium", "2h business", "4h business", "72h", "4h business",
            marks=[pytest.mark.guide("SEV-3", "COM-2"), pytest.mark.semantics(26)],
        ),
        pytest.param(
            "P4", "Low", "1 business day", "2 business days", "1 week", "1 business day",
            marks=[pytest.mark.guide("SEV-4", "COM-2"), pytest.mark.semantics(26)],
        ),
    ],
)  # fmt: skip
def test_what_a_severity_promises(
    severity: str, name: str, acknowledge: str, respond: str, resolve: str, update: str
) -> None:
    terms = POLICY.severities[severity]
    assert terms.name == name
    assert terms.acknowledge == is_(acknowledge)
    assert terms.respond == is_(respond)
    assert terms.resolve == is_(resolve)
    assert terms.update == is_(update)


@pytest.mark.semantics(25)
def test_only_the_milder_severities_pause_and_are_chased_in_working_hours() -> None:
    assert {name: (terms.pausable, terms.hours) for name, terms in POLICY.severities.items()} == {
        "P1": (False, "always"), "P2": (False, "always"), "P3": (True, "business"), "P4": (True, "business"),
    }  # fmt: skip


@pytest.mark.semantics(26)
def test_the_first_daily_update_of_a_p4_is_due_with_its_response() -> None:
    firsts = {name: terms.first_update for name, terms in POLICY.severities.items()}
    assert firsts == {"P1": "interval", "P2": "interval", "P3": "interval", "P4": "response"}


@pytest.mark.guide("SEV-5")
@pytest.mark.semantics(13, 33)
def test_who_is_told() -> None:
    critical, high, medium = (POLICY.severities[name].notice for name in ("P1", "P2", "P3"))
    assert critical is not None and high is not None and medium is not None
    assert (critical.targets, critical.when) == (("cto", "ceo"), "confirmed")
    assert critical.while_proposed_after == is_("5m")
    assert (high.targets, high.when) == (("engineering_lead",), "opened")
    assert not medium.interrupts
    assert POLICY.severities["P4"].notice is None


@pytest.mark.guide("COM-3")
@pytest.mark.semantics(12, 33)
def test_who_is_paged_while_nobody_acknowledges() -> None:
    assert chain("P1") == [
        ("0m", ("on_call",)), ("2m", ("on_call", "secondary")), ("5m", ("engineering_lead",)),
        ("10m", ("engineering_manager",)), ("15m", ("cto",)), ("20m", ("ceo",)),
    ]  # fmt: skip
    assert chain("P2") == [
        ("0m", ("on_call",)), ("10m", ("on_call", "secondary")), ("20m", ("engineering_lead",)),
        ("40m", ("engineering_manager",)), ("60m", ("cto",)),
    ]  # fmt: skip
    assert POLICY.severities["P1"].escalation.repeat_every == is_("10m")
    assert POLICY.severities["P2"].escalation.repeat_every == is_("30m")


@pytest.mark.guide("SEV-5", "COM-3")
@pytest.mark.semantics(12)
def test_a_p3_climbs_in_business_time_and_a_p4_interrupts_nobody() -> None:
    medium, low = POLICY.severities["P3"].escalation, POLICY.severities["P4"].escalation
    assert chain("P3")[1:] == [
        ("1h business", ("engineering_lead",)),
        ("2h business", ("engineering_manager",)),
    ]
    assert (medium.hours, medium.repeat_every) == ("business", is_("1 business day"))
    assert [(step.targets, step.quiet) for step in low.steps] == [(("on_call",), True)]
    assert (low.when_missed, low.digest_to, low.repeat_every) == ("digest", "engineering_lead", None)


@pytest.mark.semantics(21)
def test_the_commander_has_a_page_of_their_own() -> None:
    commander = POLICY.paging.commander
    assert commander.severities == ("P1", "P2")
    assert [(step.after.text, step.targets) for step in commander.steps] == [
        ("0m", ("incident_commander",)), ("5m", ("secondary_commander",)),
    ]  # fmt: skip


@pytest.mark.guide("PRO-1")
@pytest.mark.semantics(5, 14, 16)
def test_the_figures_of_paging() -> None:
    paging = POLICY.paging
    assert paging.acknowledge_while_proposed == is_("5m")
    assert paging.page_each_person_at_most_every == is_("60s")
    assert paging.link_lives_after_resolved == is_("24h")


@pytest.mark.guide("COM-2")
def test_late_updates_are_chased_and_then_escalated() -> None:
    chase = POLICY.chase("update")
    assert chase.chase_every is not None
    assert chase.escalate_to == "incident_commander"
    assert POLICY.chase("stand_up") == POLICY.chasing["default"]


@pytest.mark.guide("PRO-4", "COM-4", "COM-5")
@pytest.mark.semantics(29, 30)
def test_team_war_room_and_stand_ups() -> None:
    severities = POLICY.severities
    assert [severities[name].activate_team for name in severities] == [
        "at_once",
        "proposed",
        "by_hand",
        "by_hand",
    ]
    assert [severities[name].war_room for name in severities] == [True, False, False, False]
    stand_ups = {
        name: len(terms.stand_ups.at) if terms.stand_ups else 0 for name, terms in severities.items()
    }
    assert stand_ups == {"P1": 3, "P2": 3, "P3": 1, "P4": 0}


@pytest.mark.semantics(2, 3, 4, 35)
@pytest.mark.guide("REC-4")
def test_the_figures_of_alerts() -> None:
    alerts, self_resolve = POLICY.alerts, POLICY.self_resolve
    assert (alerts.expire_after, alerts.group_window, alerts.group_at_most) == (
        is_("5m"),
        is_("30m"),
        is_("24h"),
    )
    assert (alerts.flapping_hold, alerts.watch_after_resolved) == (is_("2m"), is_("2h"))
    assert (self_resolve.clear_for, self_resolve.reopen_within) == (is_("5m"), is_("30m"))
    assert self_resolve.severities == ("P3", "P4")
    assert [name for name, terms in POLICY.types.items() if not terms.self_resolves] == ["security", "data"]


@pytest.mark.parametrize(
    ("name", "subtypes", "judged_by", "hits"),
    [
        pytest.param(
            "availability", ["complete_outage", "partial_outage", "degraded_performance"], "uptime_percent",
            ("revenue", "customer satisfaction"), marks=pytest.mark.guide("TYP-1"),
        ),
        pytest.param(
            "performance", ["slow_api", "slow_database", "slow_front_end"], "response_time_percentiles",
            ("user experience", "conversion"), marks=pytest.mark.guide("TYP-2"),
        ),
        pytest.param(
            "security", ["data_breach", "unauthorised_access", "ddos", "vulnerability"], "time_to_containment",
            ("data protection", "legal compliance"), marks=pytest.mark.guide("TYP-3"),
        ),
        pytest.param(
            "data", ["loss", "corruption", "sync"], "data_recovered_percent",
            ("business continuity", "customer trust"), marks=pytest.mark.guide("TYP-4"),
        ),
        pytest.param(
            "integration", ["payment_gateway", "email_service", "sms_provider"], "integration_availability",
            ("workflows",), marks=pytest.mark.guide("TYP-5"),
        ),
    ],
)  # fmt: skip
def test_a_type_of_incident(name: str, subtypes: list[str], judged_by: str, hits: tuple[str, ...]) -> None:
    terms = POLICY.types[name]
    assert list(terms.subtypes) == subtypes
    assert terms.judged_by == judged_by
    assert terms.hits == hits


@pytest.mark.semantics(23)
def test_security_incidents_alone_open_restricted() -> None:
    assert [name for name, terms in POLICY.types.items() if terms.restricted] == ["security"]


@pytest.mark.guide("PMR-1")
@pytest.mark.semantics(29)
@pytest.mark.parametrize(
    ("severity", "kind", "owed"),
    [("P1", "availability", "required"), ("P2", "performance", "required"), ("P3", "integration", "optional"),
     ("P4", "availability", "none"), ("P3", "data", "required"), ("P4", "security", "required")],
)  # fmt: skip
def test_who_owes_a_post_mortem(severity: str, kind: str, owed: str) -> None:
    assert POLICY.post_mortem_for(severity, kind) == owed


@pytest.mark.guide("REC-5")
@pytest.mark.semantics(34)
@pytest.mark.parametrize(
    ("severity", "kind", "gate"),
    [("P1", "availability", "resolved"), ("P2", "performance", "resolved"), ("P3", "availability", "closed"),
     ("P4", "integration", "closed"), ("P3", "data", "resolved"), ("P4", "security", "resolved")],
)  # fmt: skip
def test_what_validation_gates(severity: str, kind: str, gate: str) -> None:
    assert POLICY.validation_gates(severity, kind) == gate


@pytest.mark.guide("ROL-1", "ROL-2")
def test_the_incident_commander() -> None:
    role = POLICY.roles["incident_commander"]
    assert (role.authority, role.source, role.standby) == (
        "full",
        "commander_rotation",
        "secondary_commander",
    )
    assert role.rotation == "weekly, among senior engineers"
    assert len(role.tasks) == 4


@pytest.mark.guide("ROL-3")
@pytest.mark.semantics(22)
def test_the_technical_lead() -> None:
    role = POLICY.roles["technical_lead"]
    assert role.may_escalate_to == ("architect", "cto")
    assert role.source == "service_owners"


@pytest.mark.guide("ROL-4")
def test_the_communication_lead() -> None:
    role = POLICY.roles["communication_lead"]
    assert role.channels == ("status page", "e-mail", "social media", "support system")
    assert len(role.tasks) == 4


@pytest.mark.guide("ROL-5")
def test_the_customer_liaison() -> None:
    role = POLICY.roles["customer_liaison"]
    assert role.tools == ("support system", "CRM", "communication platforms")
    assert len(role.tasks) == 4


@pytest.mark.guide("COM-1")
def test_the_channels() -> None:
    assert list(POLICY.channels) == [
        "incident_response", "security_incidents", "executive_alerts", "engineering_incidents",
    ]  # fmt: skip
    assert [name for name, channel in POLICY.channels.items() if channel.primary] == ["incident_response"]


@pytest.mark.guide("EXT-1")
def test_the_components_of_the_status_page() -> None:
    assert [component.name for component in POLICY.outside.components.values()] == [
        "Web Application", "API Services", "Authentication", "Database", "File Storage", "Third-party Integrations",
    ]  # fmt: skip


@pytest.mark.guide("EXT-2", "EXT-3")
@pytest.mark.semantics(32)
def test_when_customers_hear() -> None:
    mail = POLICY.outside.customer_mail
    assert (mail.severities, mail.above_percent_of_users) == (("P1", "P2"), 10)
    assert mail.at_any_share == ("data_breach",)
    assert mail.major_changes_only
    assert POLICY.outside.in_app.modal == ("P1",)


@pytest.mark.guide("EXT-4")
def test_who_else_hears() -> None:
    parties = POLICY.outside.parties
    assert (parties["investors"].severities, parties["investors"].through) == (("P1",), "ceo")
    assert parties["partners"].types == ("integration",)
    assert parties["media"].through == "public_relations"


@pytest.mark.guide("EXT-5")
@pytest.mark.semantics(37)
def test_who_approves_what_leaves() -> None:
    approval = POLICY.outside.approval
    assert (approval["stakeholders"].approves, approval["stakeholders"].sends) == (
        "incident_commander", "communication_lead",
    )  # fmt: skip
    assert approval["media"].approves == "public_relations"


@pytest.mark.parametrize(
    ("template", "blanks"),
    [
        pytest.param(
            "first_notice",
            {"severity", "id", "started", "impact", "services", "status", "next_update", "commander", "status_page",
             "update_every"},
            marks=pytest.mark.guide("TPL-1"),
        ),
        pytest.param(
            "progress_update",
            {"id", "time", "status", "progress", "actions_taken", "next_steps", "eta", "next_update"},
            marks=pytest.mark.guide("TPL-2"),
        ),
        pytest.param(
            "resolution_notice",
            {"id", "resolved", "duration", "root_cause", "summary", "preventive_measures", "post_mortem_place",
             "post_mortem_date"},
            marks=pytest.mark.guide("TPL-3"),
        ),
    ],
)  # fmt: skip
def test_what_a_message_says(template: str, blanks: set[str]) -> None:
    terms = getattr(POLICY.templates, template)
    assert set(terms.everybody.blanks) >= blanks
    assert set(terms.wording("customers").blanks) >= blanks - {"id"}


@pytest.mark.guide("TPL-4")
@pytest.mark.semantics(31)
def test_every_blank_has_an_honest_fallback_for_each_audience() -> None:
    for name, blank in POLICY.blanks.items():
        for audience in ("internal", "leadership", "customers", "partners", "investors", "media"):
            assert blank.fallback(audience), name
    assert POLICY.blanks["root_cause"].fallback("customers") == "under investigation"
    assert POLICY.blanks["commander"].outside_always == "our incident commander"


@pytest.mark.guide("RCA-4")
def test_the_causes() -> None:
    assert POLICY.causes.technical == ("code", "infrastructure", "configuration", "capacity")
    assert POLICY.causes.process == ("deployment", "monitoring", "communication", "training")
    assert POLICY.causes.external == ("vendors", "dependencies", "attacks", "environment")


@pytest.mark.guide("PMR-1", "COM-6")
@pytest.mark.semantics(28)
def test_the_deadlines_of_a_post_mortem() -> None:
    terms = POLICY.post_mortem
    assert (terms.timeline, terms.root_cause, terms.draft) == (is_("24h"), is_("48h"), is_("72h"))
    assert (terms.review, terms.publication) == (is_("1 week"), is_("2 weeks"))
    assert (terms.meeting_booked, terms.meeting_held) == (is_("48h"), is_("1 week"))


@pytest.mark.guide("PMR-2", "PMR-3")
def test_the_post_mortem_and_who_attends() -> None:
    terms = POLICY.post_mortem
    assert terms.required == ("incident_commander", "technical_lead", "engineering_manager")
    assert terms.required_when_users_saw == ("product_manager",)
    assert terms.optional == ("support", "security", "business_stakeholder")
    assert len(terms.sections) == 9


@pytest.mark.guide("ACT-1")
@pytest.mark.semantics(37)
@pytest.mark.parametrize(
    ("category", "within", "status"),
    [
        ("immediate", "1 week", "1 week"),
        ("short_term", "1 month", "2 weeks"),
        ("long_term", "1 quarter", "1 month"),
    ],
)
def test_the_categories_of_actions(category: str, within: str, status: str) -> None:
    terms = POLICY.actions.category(category)
    assert (terms.within, terms.status_every) == (is_(within), is_(status))


@pytest.mark.guide("GOV-1")
@pytest.mark.semantics(36)
def test_the_policy_names_its_version_its_owner_and_its_review() -> None:
    terms = POLICY.governance
    assert (terms.version, terms.owner, terms.review_every) == ("1.0.0", "cto", is_("1 quarter"))
    assert POLICY.knows_target(terms.owner)


def test_the_default_working_week() -> None:
    calendar = POLICY.calendar()
    assert to_iso(calendar.next_opening(parse_instant("2026-03-07T12:00:00Z"))) == "2026-03-09T09:00:00Z"
    assert POLICY.calendar("no such team calendar") is calendar


def test_the_checker_finds_nothing_in_it() -> None:
    assert check(POLICY) == []


def test_versions_are_kept_by_their_content() -> None:
    body = default_policy_text().encode()
    assert policy_from_bytes(body) is policy_from_bytes(body)
    assert policy_hash(body) == policy_hash(default_policy_text())
    assert len(policy_hash(body)) == 64


def test_two_files_that_say_the_same_are_the_same_policy() -> None:
    spaced = "# a word before\n" + default_policy_text().replace("  P1:", "  P1:   ")
    assert canonical(load_policy(spaced)) == canonical(POLICY)
    assert policy_hash(spaced) != policy_hash(default_policy_text())
