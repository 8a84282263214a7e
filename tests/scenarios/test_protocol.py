"""The first fifteen minutes: five steps, each with an owner and a clock, done by the system where it can."""

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.incidents.duties import duties, standing
from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def clocks(world, name="INC-1"):
    incident = world.incident(name)
    policy = world.store.read(lambda r: world.engine.policy_of(r, incident.policy)[0])
    return {one.rule: standing(one, world.clock.now()) for one in duties(incident, policy)}


@pytest.mark.guide("PRO-1", "PRO-2", "PRO-4", "COM-4")
def test_the_record_the_war_room_and_the_team_of_a_p1_are_there_at_once(world):
    world.alert()
    incident = world.incident()
    assert {"record", "activate"} <= set(incident.protocol)
    assert incident.war_room == "https://meet.fernhill.example/inc-1"
    assert clocks(world)["acknowledge"].left == 5 * MINUTE
    assert clocks(world)["acknowledge"].duty.owner == "on_call"
    assert clocks(world)["activate"].state == "met"


@pytest.mark.guide("PRO-3")
def test_the_commander_assesses_within_the_response_and_confirming_the_severity_counts(world):
    world.alert()
    assess = clocks(world)["assess"]
    assert (assess.duty.owner, assess.left) == ("incident_commander", 15 * MINUTE)
    world.run(SECOND)
    world.do("jonas", c.Acknowledge("INC-1"))
    world.run(13 * MINUTE)
    told = [one.text for one in world.phone.messages if one.to == "jonas" and not one.ack_url]
    assert any("assess severity and impact" in text for text in told)
    world.do("jonas", c.SetSeverity("INC-1", "P1"))
    assert clocks(world)["assess"].state == "met"


@pytest.mark.guide("PRO-5")
def test_mitigation_is_the_technical_leads_and_a_miss_is_recorded_with_who_owed_it(world):
    world.alert()
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.AssignRole("INC-1", "technical_lead", "dmitri"))
    assert clocks(world)["mitigate"].duty.owner == "technical_lead"
    world.run(16 * MINUTE)
    assert "MISSED: begin mitigation" in world.told()
    assert clocks(world)["mitigate"].missed
    world.do("dmitri", c.Protocol("INC-1", "mitigate", "rolled back"))
    assert clocks(world)["mitigate"].state == "met_late"


@pytest.mark.guide("PRO-4")
@pytest.mark.semantics(30)
def test_the_team_is_called_at_once_for_a_p1_in_one_click_for_a_p2_and_by_hand_below(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    world.do("anna", c.Declare("checkout is slow", severity="P2", services=["payments"]))
    world.do("anna", c.Declare("a button is broken", severity="P3", services=["payments"]))
    assert "activate" in world.incident("INC-1").protocol
    assert clocks(world, "INC-2")["activate"].left == HOUR
    assert "activate" not in clocks(world, "INC-3")
    world.do("anna", c.SetSeverity("INC-2", "P2"))
    world.do("anna", c.Protocol("INC-2", "assess"))
    world.do("anna", c.Activate("INC-2"))
    assert clocks(world, "INC-2")["activate"].state == "met"


@pytest.mark.guide("COM-5")
def test_stand_ups_are_owed_three_times_a_day_for_a_p1_and_one_that_is_missed_gives_way_to_the_next(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    first = clocks(world)["stand_up"].duty.start
    world.run(first - world.clock.now() + 10 * MINUTE)
    world.do("anna", c.StandUp("INC-1", "the bank looks"))
    second = clocks(world)["stand_up"].duty.start
    assert second > first
    world.run(second - world.clock.now() + 40 * MINUTE)
    assert "MISSED: stand-up" in world.told()
    assert clocks(world)["stand_up"].duty.start > second


@pytest.mark.guide("COM-5")
@pytest.mark.semantics(8)
def test_no_stand_up_is_missed_of_a_time_in_which_the_severity_had_none(world):
    world.do("anna", c.Declare("the help has a typo", severity="P4", services=["payments"]))
    world.run(2 * DAY)
    world.do("anna", c.SetSeverity("INC-1", "P1", "the help deletes accounts"))
    world.run(MINUTE)
    assert "MISSED: stand-up" not in world.told()
    assert clocks(world)["stand_up"].duty.start > world.clock.now()


@pytest.mark.guide("COM-5")
@pytest.mark.semantics(2)
def test_no_stand_up_is_missed_of_a_time_in_which_it_was_resolved(world):
    world.do("anna", c.Declare("reports are slow", severity="P2", services=["payments"]))
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="seen by hand"))
    world.run(2 * DAY)
    world.do("anna", c.Move("INC-1", "reopen", "it is back"))
    world.run(MINUTE)
    assert "MISSED: stand-up" not in world.told()


@pytest.mark.guide("COM-5")
@pytest.mark.semantics(8)
def test_lowering_owes_the_next_stand_up_of_the_new_rhythm_and_none_that_is_past(world):
    world.clock.move_to(world.clock.now() - 3 * HOUR)  # 07:00
    world.do("anna", c.Declare("reports are slow", severity="P2", services=["payments"]))
    world.run(2 * HOUR + 5 * MINUTE)
    world.do("anna", c.StandUp("INC-1", "an index is missing"))
    world.run(3 * HOUR)
    world.do("anna", c.SetSeverity("INC-1", "P3", "the index is built"))
    world.run(MINUTE)
    assert "MISSED: stand-up" not in world.told(), "09:30 is for a P3, and it was a P2 then"


@pytest.mark.guide("COM-5")
@pytest.mark.semantics(8)
def test_raising_within_the_same_rhythm_keeps_the_stand_up_that_is_due(world):
    world.do("anna", c.Declare("reports are slow", severity="P2", services=["payments"]))
    due = clocks(world)["stand_up"].duty.start
    world.run(due - world.clock.now() + 10 * MINUTE)
    world.do("anna", c.SetSeverity("INC-1", "P1", "everything is slow"))
    assert clocks(world)["stand_up"].duty.start == due
