"""A policy beside the people it meets: names that mean nobody, roles without people, phones that wake nobody."""

import msgspec
import pytest
from test_coverage import alone, changed

from tocsin.catalogue.people import Contact
from tocsin.incidents.organisation import demo_organisation
from tocsin.kernel.clock import parse_instant
from tocsin.notify.policy_people import people_findings
from tocsin.policy.load import default_policy, default_policy_text, load_policy

NOW = parse_instant("2026-03-02T09:00:00Z")
DEMO = demo_organisation(NOW)


def found(organisation, policy=None, **how):
    return {
        (one.rule, one.where): one
        for one in people_findings(policy or default_policy(), organisation.directory(), NOW, **how)
    }


def test_the_demonstrations_organisation_is_complete():
    assert found(DEMO, weeks=26) == {}


def test_a_post_that_nobody_holds_is_named_where_the_policy_waits_for_it():
    without = changed(DEMO, "lena", org_roles=())
    one = found(without)["means_nobody", "severities.P1.escalation.steps.5.targets.0"]
    assert one.severity == "error"
    assert one.sentence == "the CEO means nobody: nobody is CEO: give somebody the org role ceo"


def test_a_chase_target_that_nobody_is_and_a_person_who_left():
    text = default_policy_text().replace("    escalate_to: ceo\n", "    escalate_to: 'person:zoe'\n")
    one = found(DEMO, load_policy(text))["means_nobody", "chasing.policy_review.escalate_to"]
    assert "person:zoe means nobody" in one.sentence


@pytest.mark.guide("REC-1", "BCP-1")
def test_a_step_of_a_plan_that_belongs_to_nobody_is_named():
    text = default_policy_text().replace(
        "{id: emergency_access, strand: manual, owner: security", "{id: emergency_access, strand: manual, owner: 'person:zoe'"
    )  # fmt: skip
    one = found(DEMO, load_policy(text))["means_nobody", "continuity.plans.authentication.steps.1.owner"]
    assert one.severity == "error" and "person:zoe means nobody" in one.sentence
    step = found(changed(DEMO, "jonas", org_roles=("architect",)))["means_nobody", "recovery.steps.2.owner"]
    assert step.severity == "error" and "security" in step.sentence


def test_a_plan_of_a_service_that_is_not_there_never_begins():
    services = tuple(one for one in DEMO.services if one.component != "Authentication")
    less = msgspec.structs.replace(DEMO, services=services)
    one = found(less)["never_begins_here", "continuity.plans.authentication"]
    assert one.severity == "warning"
    assert "there is no service one of the component authentication" in one.sentence
    assert ("never_begins_here", "continuity.plans.payments") not in found(less), "a subtype begins it"


def test_a_service_whose_team_has_no_lead_is_named():
    teams = tuple(
        msgspec.structs.replace(one, engineering_lead="") if one.id == "web" else one for one in DEMO.teams
    )
    one = found(msgspec.structs.replace(DEMO, teams=teams))[
        "means_nobody", "severities.P1.escalation.steps.2.targets.0"
    ]
    assert "for E-mail and SMS, Reports and Web Application" in one.sentence


def test_attendance_that_nobody_can_keep_is_a_warning_only():
    one = found(
        changed(DEMO, "miriam", org_roles=("public_relations", "communication_lead", "customer_liaison"))
    )
    assert {key: each.severity for key, each in one.items()} == {
        ("means_nobody", "post_mortem.required_when_users_saw.0"): "warning"
    }


@pytest.mark.guide("ROL-2")
@pytest.mark.semantics(22)
def test_a_role_whose_source_is_empty_is_named():
    settings = msgspec.structs.replace(DEMO.settings, commander_schedule="")
    one = found(msgspec.structs.replace(DEMO, settings=settings))
    assert (
        "name a commander_schedule" in one["role_without_people", "roles.incident_commander.source"].sentence
    )
    one = found(changed(DEMO, "miriam", org_roles=("public_relations", "product_manager")))
    assert (
        "give somebody the org role communication_lead"
        in one["role_without_people", "roles.communication_lead.source"].sentence
    )
    services = tuple(
        msgspec.structs.replace(one, team="") if one.id == "reports" else one for one in DEMO.services
    )
    one = found(msgspec.structs.replace(DEMO, services=services))
    assert "no team owns Reports" in one["role_without_people", "roles.technical_lead.source"].sentence


@pytest.mark.semantics(15)
def test_whoever_is_on_call_in_those_weeks_and_cannot_be_woken_is_named():
    mail = (Contact("mail", "email", "esi@fernhill.example", tested_at=1),)
    one = found(changed(DEMO, "esi", contacts=mail))["will_not_wake", ""]
    assert one.sentence.startswith(
        "a P1 will not wake Esi Mensah (primary of Web on call): there is only email"
    )
    untested = (Contact("push", "ntfy", "t"),)
    assert "was never tested" in found(changed(DEMO, "esi", contacts=untested))["will_not_wake", ""].sentence
    assert "only console and sms" in found(DEMO, kinds=["email"])["will_not_wake", ""].sentence


def test_a_company_of_five_is_told_what_it_lacks():
    rules = {rule for rule, _ in found(alone())}
    assert rules == {"means_nobody", "never_begins_here", "role_without_people"}
