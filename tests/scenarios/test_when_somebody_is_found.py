"""A page that found nobody goes to whoever can be paged as soon as there is somebody, not at its next repetition."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.engine import changes as ch
from tocsin.engine import commands as c
from tocsin.engine.administration import administer
from tocsin.identity.principals import person_principal
from tocsin.incidents.organisation import Organisation
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.oncall.rotations import Rotation

ANNA = person_principal("anna", "owner")


class Unmanned(World):
    """The people of the demonstration before anybody has a schedule, a team or a post."""

    def organisation(self):
        people = tuple(msgspec.structs.replace(one, org_roles=()) for one in super().organisation().people)
        return Organisation(people=people)

    def change(self, *changes):
        for change in changes:
            administer(self.engine, ANNA, change)
        self.step()

    def team(self, *rotations):
        """A team that answers for everything, with a schedule of these rotations."""
        self.change(
            ch.PutSchedule("first", "First line", list(rotations), secondary_offset=0),
            ch.PutTeam("everything", "Everything", schedule="first"),
        )


@pytest.fixture
def world(tmp_path):
    one = Unmanned(tmp_path)
    yield one
    one.store.close()


BILAL = Rotation("weekly", ("bilal",), "2026-03-02T09:00")
BEGINS = Rotation("weekly", ("bilal",), "2026-03-03T10:04")
"""of which the first turn begins four minutes after the alert"""


@pytest.mark.semantics(6)
def test_a_schedule_that_is_made_pages_whoever_it_names_at_once(world):
    world.alert()
    world.run(3 * MINUTE)
    assert world.incident().nobody
    assert not world.pages()
    world.team(BILAL)
    world.run(SECOND)
    assert [one.to for one in world.pages()] == ["bilal"]
    assert world.paged_after() == {"bilal": 3 * MINUTE}
    assert not world.incident().nobody
    assert "nobody could be paged until now" in world.told()
    world.run(9 * MINUTE)
    assert len(world.pages("bilal")) == 1
    world.run(MINUTE)
    assert len(world.pages("bilal")) == 2, "and again as always, counted from the page"


@pytest.mark.semantics(6)
def test_a_gap_that_ends_pages_whoever_comes_on_call_at_that_moment(world):
    world.team(BEGINS)
    world.alert()
    world.run(HOUR // 2)
    assert world.paged_after() == {"bilal": 4 * MINUTE}


def test_a_post_that_is_filled_pages_its_holder_at_once(world):
    world.alert()
    world.run(3 * MINUTE)
    world.change(ch.ChangePerson("kavya", org_roles=["cto"]))
    world.run(SECOND)
    assert world.paged_after() == {"kavya": 3 * MINUTE}


@pytest.mark.semantics(18)
def test_whoever_comes_after_a_gap_is_paged_although_on_leave_where_nobody_else_was(world):
    world.alert()
    now = world.clock.now()
    world.change(ch.AddLeave(now, now + HOUR, "bilal"))
    world.run(3 * MINUTE)
    world.team(BILAL)
    world.run(SECOND)
    assert world.paged_after() == {"bilal": 3 * MINUTE}


@pytest.mark.semantics(6)
def test_what_somebody_has_is_told_to_whoever_comes_after_a_gap_and_pages_nobody(world):
    world.team(BEGINS)
    world.alert()
    world.run(MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.change(ch.ChangePerson("kavya", org_roles=["cto"]))
    world.run(4 * MINUTE)
    assert not world.pages()
    assert any("Chiara Conti has it" in one.text for one in world.phone.messages if one.to == "bilal")
    assert "nobody → Bilal Haddad" in world.told()
    assert "nobody → Kavya Nair" not in world.told()
