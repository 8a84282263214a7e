"""Reminders before, nudges after, somebody else at last: what is owed is chased until it is met, waived or moot."""

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.identity.principals import person_principal
from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND, parse_instant


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def of(world, kind, rule, name="INC-1"):
    """(minutes since the opening, the line) of each fact of a kind about a duty."""
    opened = world.incident(name).opened_at
    return [
        (one.recorded_at - opened, one.text)
        for one in world.lines(name)
        if one.type == kind and rule in one.text
    ]


@pytest.mark.guide("COM-2")
@pytest.mark.semantics(7)
def test_a_late_update_is_chased_every_five_minutes_and_then_escalated(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.Acknowledge("INC-1"))
    world.run(31 * MINUTE)
    reminded = [at for at, _ in of(world, "duty_reminded", "update")]
    assert reminded == [12 * MINUTE], "at four fifths of its fifteen minutes"
    chased = of(world, "duty_chased", "update")
    assert [at for at, text in chased if "escalated" not in text] == [20 * MINUTE, 25 * MINUTE, 30 * MINUTE]
    assert [at for at, text in chased if "escalated" in text] == [25 * MINUTE]


@pytest.mark.guide("COM-2")
def test_a_long_silence_is_a_miss_for_each_interval_and_an_update_ends_the_chase(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.Acknowledge("INC-1"))
    world.run(HOUR + MINUTE)
    assert len(of(world, "duty_missed", "update")) == 4
    world.do("anna", c.PostUpdate("INC-1", "the bank is looking into it"))
    before = len(of(world, "duty_chased", "update"))
    world.run(14 * MINUTE)
    assert len(of(world, "duty_chased", "update")) == before
    assert len(of(world, "duty_missed", "update")) == 4
    world.run(2 * MINUTE)
    assert len(of(world, "duty_missed", "update")) == 5


def test_somebody_who_is_chased_for_several_duties_gets_one_message(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.Acknowledge("INC-1"))
    world.run(16 * MINUTE)
    # respond and update of a P1 are due at the same moment
    notices = [one for one in world.phone.messages if one.to == "anna" and "overdue" in one.text]
    assert len(notices) == 1


@pytest.mark.guide("SEV-5")
@pytest.mark.semantics(26)
def test_a_p3_is_chased_in_business_hours_only(world):
    world.clock.move_to(parse_instant("2026-03-06T16:30:00Z"))
    world.do("anna", c.Declare("typo in the help text", severity="P3", services=["reports"]))
    world.run(SECOND)
    world.do("anna", c.Acknowledge("INC-1"))
    world.run(SECOND)
    sent = len(world.phone.messages)
    world.run(2 * DAY)
    assert len(world.phone.messages) == sent, "nothing at the weekend"
    world.run(DAY)
    assert len(world.phone.messages) > sent


@pytest.mark.semantics(12)
def test_a_missed_p4_goes_one_step_to_the_lead_in_the_next_digest_and_rings_nobody(world):
    world.do("anna", c.Declare("typo in the help text", severity="P4", services=["reports"]))
    world.run(5 * DAY)
    escalated = of(world, "duty_chased", "respond")
    assert len(escalated) == 1
    assert "engineering lead" in escalated[0][1]
    at = world.incident().opened_at + escalated[0][0]
    assert at % DAY == 9 * HOUR, "at the opening of a working day"
    assert not any(run.round for run in world.incident().runs.values())


@pytest.mark.guide("SEV-7")
def test_waiving_ends_the_chase(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.Acknowledge("INC-1"))
    world.run(16 * MINUTE)
    world.do("anna", c.Waive("INC-1", "respond", "the drill of the day"))
    before = len(of(world, "duty_chased", "respond"))
    world.run(HOUR)
    assert len(of(world, "duty_chased", "respond")) == before


@pytest.mark.semantics(25)
def test_a_pause_hides_no_update_that_was_late_when_it_began(world):
    world.do("anna", c.Declare("one feature broken", severity="P3", services=["payments"]))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.clock.advance(5 * HOUR)  # nobody's clock was looked at meanwhile, and people act first
    world.do("anna", c.Pause("INC-1", world.clock.now() + HOUR, "waiting for the vendor"))
    world.do("chiara", c.PostUpdate("INC-1", "the vendor is asked"))
    world.run(2 * HOUR)
    assert "MISSED: update" in world.told()


CHANGES = {
    "raising": (c.SetSeverity("INC-1", "P1", "it is everything"), {"assess", "mitigate", "stand_up"}),
    "lowering": (c.SetSeverity("INC-1", "P3", "one feature"), {"respond", "assess"}),
    "resolving": (c.Move("INC-1", "resolve", "fixed", override="seen by hand"), {"respond", "mitigate"}),
    "a false alarm": (c.Move("INC-1", "false_alarm", "a probe was wrong"), {"respond", "mitigate"}),
    "merging": (c.Merge("INC-1", "INC-2", "one cause"), {"acknowledge", "respond"}),
    "a stand-up": (c.StandUp("INC-1", "the bank is asked"), {"stand_up"}),
}


@pytest.mark.semantics(8, 9)
@pytest.mark.parametrize("name", CHANGES)
def test_what_is_late_and_was_not_looked_at_yet_is_a_miss_though_it_restarts_or_ends(world, name):
    command, late = CHANGES[name]
    world.do("anna", c.Declare("payments are slow", severity="P2", services=["payments"]))
    world.do("anna", c.Declare("checkout is slow", severity="P2", services=["checkout"]))
    world.step()
    world.clock.advance(4 * HOUR)  # the engine was away, and somebody is quicker than its first step
    world.do("anna", command)
    missed = {one.text for one in world.lines() if one.type == "duty_missed"}
    words = {"assess": "assess severity", "mitigate": "begin mitigation", "stand_up": "stand-up"}
    for rule in late:
        assert [one for one in missed if words.get(rule, rule) in one], f"{rule}: {missed}"
    if name not in ("a false alarm", "merging"):
        kept, _ = world.engine.score_of(person_principal("anna", "owner"), "INC-1")
        assert not {one.rule for one in kept if one.state == "moot" and one.due < one.ended}


def test_an_items_report_that_comes_late_leaves_its_miss_behind(world):
    world.do("bilal", c.Declare("login fails", "P3", services=["api"]))
    world.do("bilal", c.AddAction("INC-1", "an index", "bilal", "no query over 1 s", "long_term"))
    world.step()
    world.clock.advance(35 * DAY)
    world.do("bilal", c.ReportAction("ACT-1", "half of it"))
    item = world.engine.action(person_principal("anna", "owner"), "ACT-1").item
    assert [key for key in item.missed if key.startswith("action_status")]
