"""How promises were kept: the report and the clocks on the page are one calculation."""

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.identity.principals import person_principal
from tocsin.incidents.duties import duties, standing
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.learn.metrics import joined, within

OWNER = person_principal("anna", "owner")


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    one.began = one.clock.now()
    yield one
    one.store.close()


def kept(world, name="INC-1"):
    return world.engine.score_of(OWNER, name)[0]


def attained(world):
    found = world.engine.figures(OWNER, world.began, world.clock.now() + 1)
    return {(one.severity, one.rule): (one.met, one.missed) for one in found.attainment}


def resolve(world, name="INC-1"):
    world.do("anna", c.Move(name, "resolve", "fixed", override="checked by hand"))


@pytest.mark.guide("SEV-9")
def test_each_promise_of_each_severity_is_met_or_missed_and_by_how_much(world):
    world.alert()
    world.run(3 * MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.run(17 * MINUTE)  # the response was due at 15, the update too
    for step in ("assess", "activate", "mitigate"):
        world.do("chiara", c.Protocol("INC-1", step))
    world.do("chiara", c.PostUpdate("INC-1", "rolling back"))
    world.run(10 * MINUTE)
    world.do("chiara", c.PostUpdate("INC-1", "rolled back"))
    resolve(world)
    assert attained(world) == {
        ("P1", "acknowledge"): (1, 0),
        ("P1", "respond"): (0, 1),
        ("P1", "resolve"): (1, 0),
        ("P1", "update"): (2, 1),
    }
    late = next(one for one in kept(world) if one.rule == "respond")
    assert late.late == 5 * MINUTE
    row = next(
        one
        for one in world.engine.figures(OWNER, world.began, world.clock.now()).attainment
        if one.rule == "update"
    )
    assert row.share == 666
    assert row.worst_late == 5 * MINUTE


@pytest.mark.guide("SEV-9")
def test_what_a_raise_restarts_counts_for_the_severity_it_ran_under_and_drills_count_for_nothing(world):
    world.do("anna", c.Declare("odd", severity="P2", services=["payments"]))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.run(MINUTE)
    world.do("anna", c.SetSeverity("INC-1", "P1", "worse"))
    world.do("anna", c.Declare("practice", severity="P1", drill=True))
    world.run(2 * MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    found = attained(world)
    assert found["P2", "acknowledge"] == (1, 0)
    assert found["P1", "acknowledge"] == (1, 0)
    assert world.engine.figures(OWNER, world.began, world.clock.now() + 1).incidents == 1


@pytest.mark.guide("SEV-8", "SEV-9")
def test_the_clock_on_the_page_and_the_report_never_disagree(world):
    world.alert()
    for minutes in (1, 4, 6, 10, 15):
        world.run(minutes * MINUTE)
        incident = world.incident()
        policy = world.store.read(lambda r, incident=incident: world.engine.policy_of(r, incident.policy)[0])
        live = {one.id: standing(one, world.clock.now()) for one in duties(incident, policy)}
        report = {one.id: one for one in kept(world)}
        for key, clock in live.items():
            assert report[key].due == clock.duty.due
            assert (report[key].state == "missed") == clock.missed, (key, clock)
            assert (report[key].state == "met") == (clock.state == "met")


@pytest.mark.guide("SEV-9")
@pytest.mark.semantics(26)
def test_the_stretches_that_were_counted_are_shown_working_hours_alone_and_without_pauses(world):
    world.do("anna", c.Declare("a feature is broken", severity="P3", services=["payments"]))
    world.do("anna", c.Pause("INC-1", world.clock.now() + HOUR, "waiting for the vendor"))
    world.run(2 * HOUR)
    respond = next(one for one in kept(world) if one.rule == "respond")
    assert sum(high - low for low, high in respond.counted) == 4 * HOUR


@pytest.mark.semantics(23)
def test_figures_leave_out_what_one_may_not_see(world):
    world.do("anna", c.Declare("odd log-ins", severity="P2", kind="security"))
    hugo = person_principal("hugo", "responder")
    assert world.engine.figures(hugo, world.began, world.clock.now() + 1).incidents == 0
    assert world.engine.figures(OWNER, world.began, world.clock.now() + 1).incidents == 1


@pytest.mark.guide("TYP-6", "TYP-1", "TYP-5")
def test_uptime_is_counted_from_the_states_of_services_and_never_typed_in(world):
    world.do("anna", c.Declare("api is down", severity="P1", kind="availability", services=["api"]))
    assert world.engine.score_of(OWNER, "INC-1")[1].value == ""
    world.run(MINUTE)
    unknown = world.engine.figures(OWNER, world.began, world.clock.now()).types
    assert {unknown[kind].value for kind in ("availability", "integration")} == {""}
    assert unknown["availability"].missing.startswith("no state of a service is on record")
    world.do("anna", c.SetServiceState("INC-1", "api", "down"))
    world.run(30 * MINUTE)
    world.do("anna", c.SetServiceState("INC-1", "api", "up"))
    world.run(29 * MINUTE)
    resolve(world)
    own = world.engine.score_of(OWNER, "INC-1")[1]
    assert (own.metric, own.value) == ("uptime_percent", "50")
    assert any("api down from" in line for line in own.basis)
    period = world.engine.figures(OWNER, world.began, world.clock.now()).types["availability"]
    services = len(world.engine.directory().services)
    assert float(period.value) == pytest.approx(100 - 50 / services, abs=0.001)


@pytest.mark.guide("TYP-6", "TYP-2")
def test_performance_is_judged_by_measured_percentiles_with_their_source(world):
    world.do("anna", c.Declare("slow", severity="P2", kind="performance", services=["api"]))
    assert "on record" in world.engine.score_of(OWNER, "INC-1")[1].missing
    world.do("anna", c.Measure("INC-1", "response_time_p95", "2450.5", "ms", "dashboard"))
    world.do("anna", c.Measure("INC-1", "response_time_p95", "900", "ms", "dashboard"))
    figure = world.engine.score_of(OWNER, "INC-1")[1]
    assert figure.value == "2450.5"
    assert "dashboard" in figure.basis[0]


@pytest.mark.guide("TYP-6", "TYP-3", "TYP-4")
def test_security_by_time_to_containment_and_data_by_the_share_recovered(world):
    world.do("anna", c.Declare("intruder", severity="P1", kind="security"))
    world.run(45 * MINUTE)
    world.do("anna", c.Milestone("INC-1", "contained", world.clock.now(), "keys revoked"))
    assert world.engine.score_of(OWNER, "INC-1")[1].value == "45"
    world.do("anna", c.Declare("rows lost", severity="P1", kind="data", subtype="loss"))
    world.do("anna", c.Measure("INC-2", "data_lost", "2000", "rows", "count"))
    world.do("anna", c.Measure("INC-2", "data_recovered", "1990", "rows", "restore log"))
    assert world.engine.score_of(OWNER, "INC-2")[1].value == "99.5"
    found = world.engine.figures(OWNER, world.began, world.clock.now() + SECOND)
    assert found.types["security"].value == "45"
    assert found.types["data"].value == "99.5"


def test_overlapping_outages_are_counted_once():
    assert joined([(5, 9), (1, 3), (2, 6), (12, 14)]) == [(1, 9), (12, 14)]
    assert within([(1, 9), (12, 14)], 4, 13) == [(4, 9), (12, 13)]


def late_updates(world):
    return [one.late // SECOND for one in kept(world) if one.rule == "update" and one.state == "missed"]


@pytest.mark.guide("SEV-9")
def test_each_of_several_updates_missed_in_a_row_is_late_until_the_update_that_came(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    world.run(50 * MINUTE)
    assert late_updates(world) == [35 * 60, 20 * 60, 5 * 60], "as long as nobody writes: until now"
    world.do("anna", c.PostUpdate("INC-1", "rolling back"))
    world.run(10 * MINUTE)
    assert late_updates(world) == [35 * 60, 20 * 60, 5 * 60]
    rows = world.engine.figures(OWNER, world.began, world.clock.now()).attainment
    updates = next(one for one in rows if one.rule == "update")
    assert (updates.median_late, updates.worst_late) == (20 * MINUTE, 35 * MINUTE)


@pytest.mark.guide("SEV-9")
@pytest.mark.parametrize("ends", ["resolved", "raised"])
def test_updates_that_never_came_are_late_until_the_incident_ended_or_their_clock_began_anew(world, ends):
    world.do("anna", c.Declare("odd", severity="P2", services=["payments"]))
    for after in (MINUTE, 5 * MINUTE):  # the first is missed, and the one after it
        due = next(one for one in kept(world) if one.rule == "update" and one.state == "running").due
        world.run(due - world.clock.now() + after)
    first, second = (one.due for one in kept(world) if one.rule == "update" and one.state == "missed")
    if ends == "resolved":
        resolve(world)
    else:
        world.do("anna", c.SetSeverity("INC-1", "P1", "worse"))
        world.do("anna", c.PostUpdate("INC-1", "rolling back"))
    world.run(HOUR)
    assert late_updates(world)[:2] == [(second - first) // SECOND + 5 * 60, 5 * 60]


@pytest.mark.guide("SEV-9")
def test_a_stand_up_that_was_missed_is_late_until_the_next_one_is_held(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    due = next(one for one in kept(world) if one.rule == "stand_up").due
    world.run(due - world.clock.now() + MINUTE)
    following = next(one for one in kept(world) if one.rule == "stand_up" and one.state == "running")
    world.run(following.start - world.clock.now() + MINUTE)
    world.do("anna", c.StandUp("INC-1", "all here"))
    missed = next(one for one in kept(world) if one.rule == "stand_up")
    assert (missed.state, missed.late) == ("missed", world.clock.now() - due)
