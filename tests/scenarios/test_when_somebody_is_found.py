"""A page that found nobody goes to whoever can be paged as soon as there is somebody, not at its next repetition."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.catalogue.people import Contact
from tocsin.engine import changes as ch
from tocsin.engine import commands as c
from tocsin.engine.administration import administer
from tocsin.identity.principals import person_principal
from tocsin.incidents.organisation import Organisation, demo_organisation, record_of
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.errors import Unusable
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


# whoever has no contact


class Silent(World):
    """The demonstration, where those on call for payments have not entered a contact yet. ``SILENT``: who has none."""

    SILENT = ("chiara",)

    def organisation(self):
        made = super().organisation()
        people = tuple(
            msgspec.structs.replace(one, contacts=()) if one.id in self.SILENT else one for one in made.people
        )
        return msgspec.structs.replace(made, people=people)

    def change(self, *changes):
        for change in changes:
            administer(self.engine, ANNA, change)
        self.step()


class Mute(Silent):
    """Nobody has one."""

    SILENT = tuple(one.id for one in demo_organisation(0).people)


@pytest.mark.semantics(12, 15)
def test_for_whoever_has_no_contact_the_secondary_stands_in_at_once_and_it_is_said(tmp_path):
    world = Silent(tmp_path)
    world.alert()
    world.step()
    assert world.paged_after() == {"greta": 0}
    assert "Chiara Conti is without any contact: the secondary stands in" in world.told()
    assert not any("paged Chiara" in one.text for one in world.lines())
    world.store.close()


@pytest.mark.semantics(12)
def test_where_nobody_has_a_contact_that_is_an_alarm_and_the_first_who_enters_one_is_paged(tmp_path):
    world = Mute(tmp_path)
    world.alert()
    world.run(25 * MINUTE)
    assert world.incident().nobody
    assert "NOBODY COULD BE PAGED" in world.told()
    assert not world.pages()
    chiara = msgspec.structs.replace(
        world.engine.directory().people["chiara"], contacts=(Contact("phone", "console", "chiara"),)
    )
    world.engine.put_records([record_of(chiara, world.clock.now())])
    world.run(SECOND)
    assert {one.to for one in world.pages()} == {"chiara"}
    assert not world.incident().nobody
    world.store.close()


def test_paging_somebody_without_a_contact_by_hand_is_refused(tmp_path):
    world = Silent(tmp_path)
    world.do("anna", c.Declare("slow", "P3", services=["payments"]))
    with pytest.raises(Unusable, match="Chiara Conti is without any contact"):
        world.do("anna", c.PageSomeone("INC-1", ["chiara"]))
    world.store.close()
