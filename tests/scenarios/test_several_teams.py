"""One incident, the alerts of several teams: each team is called for its own, and nobody's page is lost on the way."""

import pytest
from test_what_happens_to_people import World

from tocsin.alerts.routing import Route
from tocsin.engine import commands as c
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import RecordRow

# chiara is on call for payments, which has an escalation policy of its own; hugo is on call for the web team, which has none


@pytest.fixture
def world(tmp_path):
    """Errors of the payments and the web team make one incident, a P2; both on-call engineers are called."""
    one = World(tmp_path)
    route = Route("r1", "by cluster", group_by=["cluster"])
    one.engine.put_records([RecordRow("route", "r1", "", encode(route), one.clock.now())])
    fires(one, "a", "payments")
    fires(one, "b", "web-application")
    one.run(2 * SECOND)
    yield one
    one.store.close()


def fires(world, key, service, action="trigger"):
    world.alert(f"errors in {service}", key, action, service=service, cluster="eu", error_rate_percent="12")


def called(world, service, name="INC-1"):
    """Whom the escalation of a service's team that runs has paged; empty where none runs."""
    running = [
        run for run in world.incident(name).runs.values()
        if run.kind == "responders" and run.state == "running" and run.service == service
    ]  # fmt: skip
    return [person for run in running for person in run.paged]


@pytest.mark.semantics(4)
def test_an_alert_of_a_team_without_an_escalation_policy_pages_that_team_and_not_the_first_one_again(world):
    assert called(world, "payments") == ["chiara"]
    assert called(world, "web-application") == ["hugo"]


@pytest.mark.semantics(4, 8)
def test_raising_pages_every_team_anew_that_has_not_answered_or_whose_alerts_fire(world):
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.SetSeverity("INC-1", "P1", "nobody can pay"))
    world.run(SECOND)
    assert "chiara" in called(world, "payments")
    assert called(world, "web-application") == ["hugo"]


@pytest.mark.semantics(8)
def test_lowering_takes_no_unanswered_page_of_another_team_away(world):
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.SetSeverity("INC-1", "P3", "one feature"))
    world.run(SECOND)
    assert called(world, "payments") == [], "that page was answered"
    assert called(world, "web-application") == ["hugo"]


@pytest.mark.semantics(2, 4)
def test_what_fires_again_after_the_end_pages_the_team_that_it_belongs_to(world):
    for person in ("chiara", "hugo"):
        world.do(person, c.Acknowledge("INC-1"))
    for key, service in (("a", "payments"), ("b", "web-application")):
        fires(world, key, service, "resolve")
    world.do("anna", c.Move("INC-1", "resolve", "a deployment was undone", override="seen by hand"))
    world.run(HOUR)
    fires(world, "b", "web-application")
    world.run(MINUTE)
    assert world.incident().status == "investigating"
    assert called(world, "web-application")[:1] == ["hugo"]


@pytest.mark.semantics(4)
def test_while_it_is_monitored_an_alert_pages_its_own_team_again(world):
    for person in ("chiara", "hugo"):
        world.do(person, c.Acknowledge("INC-1"))
    fires(world, "b", "web-application", "resolve")
    world.do("chiara", c.Move("INC-1", "monitor"))
    world.run(MINUTE)
    fires(world, "b", "web-application")
    world.run(SECOND)
    assert called(world, "web-application") == ["hugo"]


@pytest.mark.semantics(6)
def test_whoever_answered_for_their_team_and_cannot_take_it_after_all_passes_it_on_within_the_team(world):
    for person in ("chiara", "hugo"):
        world.do(person, c.Acknowledge("INC-1"))
    assert world.incident().holder == "chiara"
    assert world.do("hugo", c.Decline("INC-1", "on a train"))["message"] == "passed on"
    assert called(world, "web-application"), "the web team is called again"
    assert "hugo" not in called(world, "web-application")
    assert called(world, "payments") == [], "chiara has hers still"


@pytest.mark.semantics(6, 22)
def test_whoever_has_it_and_was_asked_by_name_as_well_passes_on_both(world):
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("anna", c.PageSomeone("INC-1", ["chiara"], "are you there?"))
    world.do("chiara", c.Decline("INC-1", "the line is bad"))
    assert world.incident().holder == ""
    assert called(world, "payments"), "somebody else of the team is called"


@pytest.mark.semantics(4, 9)
def test_a_merge_that_raises_takes_no_page_of_another_team_away(world):
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("hugo", c.Acknowledge("INC-1"))
    world.alert("the primary database is unreachable", "k9", service="database")
    world.run(SECOND)
    world.do("anna", c.Merge("INC-2", "INC-1", "one cause"))
    world.run(SECOND)
    assert world.incident().severity == "P1"
    assert called(world, "database") == ["farid"]
    assert called(world, "web-application") == ["hugo"], "an acknowledgement at lower urgency does not count"
