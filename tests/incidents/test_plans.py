"""Plans on an incident: which begin, and which of their steps are for it."""

import pytest

from tocsin.catalogue.services import Service, by_id
from tocsin.incidents import plans
from tocsin.incidents.incident import Incident
from tocsin.kernel.errors import UnusableMany
from tocsin.policy.load import default_policy_text, load_policy

TEXT = default_policy_text()


def written(*changes):
    text = TEXT
    for right, wrong in changes:
        assert right in text
        text = text.replace(right, wrong, 1)
    return load_policy(text)


def begun(policy, component):
    """The plans that begin when a service of that component is hit by a P1."""
    services = by_id([Service("one", "One", component=component)])
    incident = Incident("I", severity="P1", services=["one"])
    return {
        name for name, plan in policy.continuity.plans.items() if plans.begins(plan, incident, services, policy)
    }  # fmt: skip


@pytest.mark.guide("BCP-1")
@pytest.mark.parametrize("component", ["login", "Authentication", "authentication", "LOGIN"])
def test_a_component_is_meant_by_its_key_and_by_its_name_on_both_sides(component):
    by_key = written(
        ("    authentication: {name: Authentication}", "    login: {name: Authentication}"),
        ("      components: [authentication]", "      components: [login]"),
    )
    by_name = written(
        ("    authentication: {name: Authentication}", "    login: {name: Authentication}"),
        ("      components: [authentication]", "      components: [Authentication]"),
    )
    assert begun(by_key, component) == begun(by_name, component) == {"authentication"}


def test_a_component_that_the_status_page_does_not_have_begins_nothing():
    assert begun(written(), "Telephony") == begun(written(), "") == set()


def test_a_step_of_continuity_is_for_its_types_alone():
    policy = written(
        ("{id: emergency_access, strand: manual, owner", "{id: emergency_access, strand: manual, types: [security], owner"),
    )  # fmt: skip
    for kind, expected in (("security", True), ("availability", False)):
        incident = Incident("I", severity="P1", kind=kind, plans={"authentication": 1})
        steps = [step.id for step in plans.continuity(incident, policy)["authentication"]]
        assert ("emergency_access" in steps) is expected
        assert "backup_sign_in" in steps


def test_no_plan_of_continuity_takes_the_name_of_the_plan_of_recovery():
    with pytest.raises(UnusableMany) as refused:
        written(("    data_access:     ", "    recovery:        "))
    (fault,) = refused.value.faults
    assert "cannot be called recovery" in fault.sentence
    line = TEXT[: TEXT.index("\ncontinuity:")].count("\n") + 2
    assert fault.where == f"policy.yaml:{line}"
