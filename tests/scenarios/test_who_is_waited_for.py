"""Whose answer is waited for is kept in memory: it says what the facts say, whoever wrote them and whatever was undone."""

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.engine.waiting import Seen, Unanswered, waited_for
from tocsin.engine.work import read_incident
from tocsin.incidents import facts as f
from tocsin.kernel.clock import MINUTE
from tocsin.kernel.facts import SYSTEM


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def known(world, unanswered, people=("chiara", "jonas")):
    """What is kept after a look, a list of numbers for each person, and that the facts say the same."""

    def look(reader):
        unanswered.follow(reader, lambda row: read_incident(reader, row), Seen())
        incidents = [read_incident(reader, row) for row in reader.streams("incident", limit=100)]
        for person in people:
            said = {one.id for one in incidents if person in waited_for(one)}
            assert {one.id for one in unanswered.of(person)} == said
        return {person: [one.order[2] for one in unanswered.of(person)] for person in people}

    return world.store.read(look)


def test_it_follows_what_opens_is_taken_and_ends_and_lists_the_worst_first(world):
    unanswered = Unanswered()
    world.do("anna", c.Declare("slow", "P2", services=["payments"]))
    world.do("anna", c.Declare("down", "P1", services=["payments"]))
    world.step()
    assert known(world, unanswered)["chiara"] == [2, 1]
    world.do("chiara", c.Acknowledge("INC-2"))
    assert known(world, unanswered)["chiara"] == [1]
    world.do("chiara", c.Move("INC-1", "false_alarm", "a rehearsal", break_glass="it is mine"))
    assert known(world, unanswered) == {"chiara": [], "jonas": [2]}, "he is still asked to command the other"


def test_what_was_rolled_back_is_not_remembered(world):
    world.alert("report export broken", "k1")
    world.step()
    unanswered, seen = Unanswered(), Seen()

    class Undone(Exception):
        pass

    def work(tx):
        unit = world.engine.work(tx, SYSTEM)
        incident = unit.load("INC-1")
        unit.record(incident, f.Acknowledged("chiara", "page", list(incident.runs)))
        unit.flush()
        row = tx.streams("incident", limit=1)[0]
        unanswered.follow(tx, lambda one: seen.read(tx, one), seen)
        assert row.version > before and list(unanswered.of("chiara")) == []
        raise Undone

    before = world.store.read(lambda r: r.streams("incident", limit=1)[0].version)
    with pytest.raises(Undone):
        world.store.write(work)
    assert known(world, unanswered)["chiara"] == [1]
    found = world.store.read(lambda r: seen.read(r, r.streams("incident", limit=1)[0]))
    assert "chiara" in waited_for(found)


def test_after_a_start_all_that_is_open_is_read_once(world):
    for number in range(3):
        world.do("anna", c.Declare(f"thing {number} is down", "P2", services=["payments"]))
    world.run(MINUTE)
    assert known(world, Unanswered())["chiara"] == [1, 2, 3]
