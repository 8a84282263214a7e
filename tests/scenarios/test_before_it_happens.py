"""What is found before it hurts: gaps on call, a response that widens unseen, a meeting nobody knows of, roles proposed."""

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.engine.foreseeing import foresee
from tocsin.incidents.duties import duties, label
from tocsin.incidents.organisation import record_of
from tocsin.incidents.roles import proposals
from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND
from tocsin.kernel.errors import Refused, Unusable
from tocsin.kernel.facts import SYSTEM
from tocsin.oncall.schedules import Leave


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def look_ahead(world):
    world.store.write(lambda tx: foresee(world.engine.work(tx, SYSTEM), "schedules"))
    world.run(SECOND)


def told(world, person):
    return [one.text for one in world.phone.messages if one.to == person and not one.ack_url]


@pytest.mark.guide("ROL-2")
def test_a_gap_in_the_commanders_rotation_is_told_a_fortnight_ahead_and_again_a_day_before(world):
    now = world.clock.now()
    turn = world.engine.directory().on_call("commanders", now + 7 * DAY)
    away = Leave(turn.person, turn.since + HOUR, turn.since + 30 * HOUR, "ill", id="l1")
    world.engine.put_records([record_of(away, now)])

    def heard():
        return [text for text in told(world, "ines") if "Incident commanders" in text and "on leave" in text]

    look_ahead(world)
    first = len(heard())
    assert first
    assert "UTC" in heard()[0]
    look_ahead(world)
    assert len(heard()) == first, "said once"
    world.clock.move_to(away.start - 20 * HOUR)
    look_ahead(world)
    world.run(19 * HOUR)  # it interrupts nobody at night
    assert len(heard()) > first


@pytest.mark.guide("DET-2")
def test_the_response_widens_after_scope_and_impact_were_looked_at(world):
    world.alert("error rate 12 % at checkout", "c1", service="checkout")
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    with pytest.raises(Refused, match="scope and impact"):
        world.do("chiara", c.Activate("INC-1"))
    world.do("chiara", c.SetSeverity("INC-1", "P2"))
    world.do("chiara", c.Activate("INC-1"))
    assert "activate" in world.incident().protocol


@pytest.mark.guide("DET-2")
def test_a_false_alarm_is_closed_as_one_and_leaves_a_record(world):
    world.alert()
    world.run(MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.Move("INC-1", "false_alarm", "the probe was wrong"))
    world.run(SECOND)
    assert world.incident().status == "false_alarm"
    assert "the probe was wrong" in world.told()
    assert duties(world.incident(), policy_of(world)) == []


def policy_of(world):
    return world.store.read(lambda r: world.engine.policy_of(r, world.incident().policy)[0])


@pytest.mark.guide("ROL-3", "ROL-4", "ROL-5")
@pytest.mark.semantics(22)
def test_roles_are_proposed_from_owners_and_rosters_and_the_unfilled_belong_to_the_commander(world):
    world.do("anna", c.Declare("nobody can pay", severity="P2", services=["payments"]))
    found = proposals(world.incident(), policy_of(world), world.engine.directory(), world.clock.now())
    assert found["technical_lead"] == "chiara", "on call for the team that owns payments"
    assert "incident_commander" not in found
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "anna"))
    world.run(2 * HOUR)
    assert any("overdue: update" in text for text in told(world, "anna"))


@pytest.mark.guide("ROL-7")
def test_a_handed_over_role_names_what_is_owed_next_and_the_record_shows_who_held_it_when(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "anna"))
    world.do("anna", c.AddTask("INC-1", "call the bank", "anna"))
    world.run(10 * MINUTE)
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "bilal", "end of my shift"))
    incident = world.incident()
    role, person, since, until = incident.past_roles[-1]
    assert (role, person, until - since) == ("incident_commander", "anna", 10 * MINUTE)
    assert next(iter(incident.tasks.values())).owner == "bilal"
    assert "resolve due" in world.told()


@pytest.mark.guide("PMR-3", "COM-6")
def test_whoever_must_be_at_the_post_mortem_meeting_hears_when_it_is_booked(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "anna"))
    world.do("anna", c.AssignRole("INC-1", "technical_lead", "chiara"))
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="checked by hand"))
    world.do("anna", c.PostMortem("INC-1", "meeting_booked", "Friday 14:00, room 2"))
    world.run(SECOND)
    for person in ("anna", "chiara", "ines"):
        assert any("Friday 14:00" in text for text in told(world, person)), person


@pytest.mark.guide("EXT-4")
def test_the_media_are_owed_word_of_a_major_incident_through_public_relations(world):
    def owed():
        return {
            label(one): one.owner
            for one in duties(world.incident(), policy_of(world))
            if one.rule == "message"
        }

    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    assert owed() == {"message to investors": "ceo"}
    world.do("anna", c.Impact("INC-1", {"users_affected_percent": 80}))
    assert owed()["message to media"] == "public_relations"
    world.do("anna", c.SetType("INC-1", "integration", "payment_gateway"))
    assert owed()["message to partners"] == "communication_lead"


@pytest.mark.guide("EXT-4")
def test_whoever_has_to_hear_of_it_only_now_is_owed_word_from_now_on(world):
    def times():
        found = [one for one in duties(world.incident(), policy_of(world)) if one.rule == "message"]
        return {label(one): (one.start, one.due) for one in found}

    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    declared = world.clock.now()
    world.run(5 * HOUR)
    world.do("anna", c.SetType("INC-1", "integration", "payment_gateway"))
    typed = world.clock.now()
    world.run(HOUR)
    world.do("anna", c.Impact("INC-1", {"users_affected_percent": 80}))
    major = world.clock.now()
    world.run(HOUR)
    world.do("anna", c.Impact("INC-1", {"users_affected_percent": 90}))
    starts = {name: start for name, (start, _) in times().items()}
    assert starts == {
        "message to investors": declared, "message to partners": typed, "message to media": major,
    }  # fmt: skip
    assert times()["message to media"][1] > major


@pytest.mark.guide("EXT-5")
def test_what_left_is_recorded_with_whom_it_went_to(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    message = world.do("anna", c.DraftMessage("INC-1", "stakeholders", "we work on it"))["message"]
    world.do("anna", c.ApproveMessage("INC-1", message))
    with pytest.raises(Unusable, match="to"):
        world.do("anna", c.SendMessage("INC-1", message))
    world.do("anna", c.SendMessage("INC-1", message, "the board, by mail"))
    assert "the board, by mail" in world.told()
