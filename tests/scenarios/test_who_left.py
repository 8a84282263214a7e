"""People who are deactivated or go away while something is theirs: nothing waits for them, and nothing reaches them."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.engine import changes as ch
from tocsin.engine import commands as c
from tocsin.engine.administration import administer
from tocsin.identity.principals import person_principal
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.errors import DeliveryFailed
from tocsin.oncall.schedules import Leave

ANNA = person_principal("anna", "owner")


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def leaves(world, person):
    administer(world.engine, ANNA, ch.ChangePerson(person, active=False))


def after(world, number, person=None):
    return [one for one in list(world.phone.messages)[number:] if person in (None, one.to)]


def called(world, kind="responders"):
    running = (run for run in world.incident().runs.values() if (run.kind, run.state) == (kind, "running"))
    return [person for run in running for person in run.paged]


@pytest.mark.semantics(18)
def test_who_was_told_and_is_deactivated_hears_nothing_more(world):
    world.alert()
    world.run(3 * MINUTE)
    assert world.pages("greta")
    leaves(world, "greta")
    sent = len(world.phone.messages)
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("jonas", c.SetSeverity("INC-1", "P3", "one feature"))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("jonas", c.Move("INC-1", "resolve", "fixed"))
    world.run(MINUTE)
    assert after(world, sent, "chiara")
    assert not after(world, sent, "greta")
    assert "told Chiara Conti" in world.told()
    assert not [one.text for one in world.lines()[-12:] if "told" in one.text and "Greta" in one.text]


@pytest.mark.semantics(18)
def test_what_waits_to_be_sent_again_is_withdrawn_with_the_account(world):
    world.phone.fail_next.extend([DeliveryFailed("busy")] * 3)
    world.alert()
    world.step()
    leaves(world, "chiara")
    world.run(10 * MINUTE)
    assert not [one for one in world.phone.messages if one.to == "chiara"]
    assert world.pages("greta")


@pytest.mark.semantics(6, 18)
def test_what_somebody_had_who_is_deactivated_pages_again(world):
    world.alert()
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    for step in ("assess", "mitigate"):
        world.do("chiara", c.Protocol("INC-1", step))
    leaves(world, "chiara")
    world.run(SECOND)
    assert world.incident().holder == ""
    assert called(world) == ["greta"]
    assert "the account is deactivated" in world.told()


@pytest.mark.semantics(21, 22)
def test_command_that_its_holder_leaves_behind_is_empty_and_the_rotation_is_called(world):
    world.do("anna", c.Declare("nobody can pay", "P1", services=["payments"]))
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "dmitri"))
    world.run(SECOND)
    assert called(world, "commander") == []
    leaves(world, "dmitri")
    world.run(SECOND)
    assert world.incident().commander == ""
    assert called(world, "commander") == ["jonas"]


@pytest.mark.semantics(18, 21)
def test_raising_calls_the_rotation_where_the_assigned_commander_is_on_leave(world):
    world.do("anna", c.Declare("payments are slow", "P2", services=["payments"]))
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "dmitri"))
    now = world.clock.now()
    world.engine.put_records([record_of(Leave("dmitri", now, now + 8 * HOUR, "ill", id="l1"), now)])
    world.do("anna", c.SetSeverity("INC-1", "P1", "nobody can pay"))
    world.run(SECOND)
    assert called(world, "commander") == ["jonas"]
    world.do("jonas", c.Acknowledge("INC-1"))
    assert world.incident().commander == "jonas"


@pytest.mark.semantics(11)
def test_open_tasks_of_whoever_left_go_to_the_next_in_their_role(world):
    world.do("anna", c.Declare("nobody can pay", "P1", services=["payments"]))
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "dmitri"))
    world.do("anna", c.AddTask("INC-1", "call the bank", "dmitri"))
    leaves(world, "dmitri")
    world.run(SECOND)
    world.do("jonas", c.Acknowledge("INC-1"))
    assert [one.owner for one in world.incident().tasks.values()] == ["jonas"]


@pytest.mark.semantics(18, 22)
def test_what_is_owed_by_somebody_on_leave_is_asked_of_who_is_there(world):
    world.do("anna", c.Declare("nobody can pay", "P1", services=["payments"]))
    world.do("anna", c.AssignRole("INC-1", "communication_lead", "miriam"))
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "dmitri"))
    now = world.clock.now()
    world.engine.put_records([record_of(Leave("miriam", now, now + 8 * HOUR, "ill", id="l1"), now)])
    sent = len(world.phone.messages)
    world.run(14 * MINUTE)
    assert [one for one in after(world, sent, "dmitri") if "update" in one.text]
    assert not [one for one in after(world, sent, "miriam") if "update" in one.text]


@pytest.mark.semantics(18)
def test_where_everybody_who_could_owe_it_is_on_leave_they_are_asked_all_the_same(world):
    world.do("anna", c.Declare("nobody can pay", "P1", services=["payments"]))
    world.do("anna", c.AssignRole("INC-1", "incident_commander", "dmitri"))
    now = world.clock.now()
    everybody = [one for one in world.engine.directory().people if one != "miriam"]
    world.engine.put_records(
        [record_of(Leave(one, now, now + 8 * HOUR, "", id=f"l-{one}"), now) for one in everybody]
    )
    world.run(20 * MINUTE)
    missed = [fact for fact in world.engine.facts(ANNA, "INC-1") if fact.type == "duty_missed"]
    assert {tuple(msgspec.json.decode(fact.body)["people"]) for fact in missed} >= {("dmitri",)}


def takes_over(world, after, person="bilal"):
    """``person`` has the turn from then on."""
    start = world.clock.now() + after
    administer(world.engine, ANNA, ch.AddOverride("payments", start, start + HOUR, person))


def said_to_whoever_takes_over(world):
    texts = [one.text for one in world.phone.messages if one.to == "bilal"]
    assert texts, "bilal has the turn, and hears of it"
    return " ".join([*texts, world.told()])


def lapses(world):
    world.run(16 * MINUTE)


def passes_on(world):
    world.do("chiara", c.Decline("INC-1", "ill"))


def is_deactivated(world):
    leaves(world, "chiara")


def is_raised(world):
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("jonas", c.SetSeverity("INC-1", "P2", "only some"))
    world.do("jonas", c.SetSeverity("INC-1", "P1", "everybody again"))


def is_reopened(world):
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("jonas", c.Move("INC-1", "resolve", "fixed", override="a test"))
    world.do("jonas", c.Move("INC-1", "reopen", "it is not"))


@pytest.mark.semantics(6)
@pytest.mark.parametrize("ends", [lapses, passes_on, is_deactivated, is_raised, is_reopened])
def test_nobody_is_said_to_have_it_from_the_shift_before_once_that_holds_no_more(world, ends):
    world.alert()
    world.run(MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    takes_over(world, 20 * MINUTE)
    ends(world)
    world.step()
    assert world.incident().holder == ""
    world.run(21 * MINUTE)
    assert "from the shift before" not in said_to_whoever_takes_over(world)


@pytest.mark.semantics(6)
def test_whoever_takes_over_is_told_who_has_it(world):
    world.alert()
    world.run(MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    takes_over(world, 5 * MINUTE)
    world.run(6 * MINUTE)
    assert "Chiara Conti has it from the shift before" in said_to_whoever_takes_over(world)
    assert not world.pages("bilal")


@pytest.mark.semantics(6)
def test_who_took_it_again_after_a_lapse_has_it_at_the_change_of_shift(world):
    world.alert()
    world.do("chiara", c.Acknowledge("INC-1"))
    world.run(16 * MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    takes_over(world, 5 * MINUTE)
    world.run(6 * MINUTE)
    told = [one for one in world.lines() if one.text.startswith("shift change")]
    assert "Chiara Conti has it from the shift before" in said_to_whoever_takes_over(world)
    assert len(told) == 1, "of what is paged anew the new page alone is handed over"


@pytest.mark.semantics(6, 18)
@pytest.mark.parametrize("had_it", [False, True])
def test_who_cannot_take_it_pages_the_secondary_at_once_although_on_leave(world, had_it):
    now = world.clock.now()
    administer(world.engine, ANNA, ch.AddLeave(now, now + 24 * HOUR, "greta"))
    world.alert()
    world.run(10 * SECOND)
    if had_it:
        world.do("chiara", c.Acknowledge("INC-1"))
    sent = len(world.phone.messages)
    world.do("chiara", c.Decline("INC-1", "on a train"))
    world.run(SECOND)
    assert world.paged_after()["greta"] == 10 * SECOND
    assert [one for one in after(world, sent, "greta") if one.ack_url]
    assert not [one for one in after(world, sent, "chiara") if one.ack_url], "who declined is not asked again"


@pytest.mark.semantics(6)
def test_who_cannot_take_it_is_asked_again_only_where_there_is_nobody_else(world):
    everybody = [one.id for one in world.engine.directory().people.values()]
    world.alert()
    world.run(25 * MINUTE)
    for person in everybody:
        world.do(person, c.Decline("INC-1", "on a train"))
    sent = len(world.phone.messages)
    world.run(11 * MINUTE)
    assert [one for one in after(world, sent, "chiara") if one.ack_url]
