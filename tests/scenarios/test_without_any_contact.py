"""Nothing leaves for whoever has no contact at all: they are passed over, it is said, and where nobody is left that is an alarm."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.catalogue.people import Contact
from tocsin.engine import changes as ch
from tocsin.engine import commands as c
from tocsin.engine import overview
from tocsin.engine.administration import administer
from tocsin.engine.doctor import policy_findings
from tocsin.identity.principals import person_principal
from tocsin.incidents.organisation import demo_organisation, record_of
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.errors import Unusable
from tocsin.oncall.escalation import EscalationPolicy
from tocsin.policy.load import default_policy
from tocsin.web import views
from tocsin.web.escalation_pages import stages

ANNA = person_principal("anna", "owner")
EVERYBODY = tuple(one.id for one in demo_organisation(0).people)


class Silent(World):
    """The demonstration, where ``silent`` have no contact."""

    def __init__(self, folder, silent):
        self.silent = silent
        super().__init__(folder)

    def organisation(self):
        made = super().organisation()
        people = [
            msgspec.structs.replace(one, contacts=()) if one.id in self.silent else one for one in made.people
        ]
        return msgspec.structs.replace(made, people=tuple(people))

    def reach(self, who, *addresses):
        """From here on the person has these contacts."""
        contacts = tuple(Contact(f"phone{n}", "console", one) for n, one in enumerate(addresses))
        person = msgspec.structs.replace(self.engine.directory().people[who], contacts=contacts)
        self.engine.put_records([record_of(person, self.clock.now())])
        self.step()

    def leave(self, who):
        administer(self.engine, ANNA, ch.AddLeave(self.clock.now(), self.clock.now() + HOUR, who))
        self.step()

    def texts_to(self, who):
        return [one.text for one in self.phone.messages if one.to == who]


@pytest.fixture
def where(tmp_path):
    """Makes the world in which some have no contact."""
    made = []

    def make(*silent):
        made.append(Silent(tmp_path, silent))
        return made[0]

    yield make
    made[0].store.close()


@pytest.mark.semantics(12, 15)
def test_the_secondary_stands_in_at_once_and_it_is_said(where):
    world = where("chiara")
    world.alert()
    world.step()
    assert world.paged_after() == {"greta": 0}
    assert "Chiara Conti is without any contact: the secondary stands in" in world.told()
    assert "paged Chiara" not in world.told()


@pytest.mark.semantics(12)
def test_where_nobody_has_one_that_is_an_alarm_and_the_first_who_enters_one_is_paged(where):
    world = where(*EVERYBODY)
    world.alert()
    world.run(25 * MINUTE)
    assert world.incident().nobody
    assert "NOBODY COULD BE PAGED" in world.told()
    assert not world.pages()
    world.reach("chiara", "chiara")
    world.run(SECOND)
    assert {one.to for one in world.pages()} == {"chiara"}
    assert not world.incident().nobody


@pytest.mark.semantics(18)
def test_whoever_is_on_leave_is_paged_anyway_where_the_others_have_none(where):
    world = where("chiara")
    world.leave("greta")
    world.alert()
    world.step()
    assert world.paged_after() == {"greta": 0}
    assert (
        "Chiara Conti without any contact, and everybody else who should be paged is on leave" in world.told()
    )


@pytest.mark.semantics(12)
def test_a_lapse_is_no_page_of_a_holder_who_has_none(where):
    """They acknowledged in the browser, and forgot it."""
    world = where(*EVERYBODY)
    world.alert()
    world.step()
    world.do("chiara", c.Acknowledge("INC-1"))
    world.run(16 * MINUTE)
    assert world.incident().nobody
    world.reach("greta", "greta")
    world.run(SECOND)
    assert {one.to for one in world.pages()} == {"greta"}


@pytest.mark.semantics(8)
def test_raising_is_no_page_of_a_holder_who_has_none(where):
    world = where(*EVERYBODY)
    world.do("anna", c.Declare("slow", "P3", services=["payments"]))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.SetSeverity("INC-1", "P2", "it is worse"))
    world.run(MINUTE)
    assert world.incident().nobody
    assert "paged Chiara" not in world.told()


def test_who_declines_is_paged_again_where_nobody_else_has_one(where):
    """The page that nobody else can get goes to them after all."""
    world = where(*(one for one in EVERYBODY if one != "chiara"))
    world.alert()
    world.step()
    world.do("chiara", c.Acknowledge("INC-1"))
    before = len(world.pages("chiara"))
    world.do("chiara", c.Decline("INC-1", "on a train"))
    world.run(2 * MINUTE)
    assert len(world.pages("chiara")) > before
    assert "paged Greta" not in world.told()


def test_a_number_that_is_replaced_is_no_change_of_shift(where):
    world = where()
    world.alert()
    world.step()
    world.reach("chiara")
    world.reach("chiara", "another")
    world.run(SECOND)
    assert "shift" not in world.told()
    assert world.paged_after() == {"chiara": 0}


def test_a_shift_that_begins_with_somebody_who_has_none_pages_the_stand_in(where):
    world = where("bilal")
    world.alert()
    world.step()
    override = ch.AddOverride("payments", world.clock.now() + MINUTE, world.clock.now() + HOUR, "bilal")
    administer(world.engine, ANNA, override)
    world.run(90 * SECOND)
    assert world.paged_after() == {"chiara": 0, "greta": MINUTE}


@pytest.mark.semantics(13)
def test_whom_nothing_reaches_counts_as_told_and_hears_what_follows(where):
    world = where("lena")
    world.do("anna", c.Declare("down", "P1", services=["payments"]))
    world.step()
    assert "nothing reaches Lena Vogt: without any contact" in world.told()
    world.reach("lena", "lena")
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.SetSeverity("INC-1", "P2", "only some of it"))
    world.step()
    assert any("lowered" in one for one in world.texts_to("lena"))


def test_whom_nothing_reaches_sees_a_restricted_incident_all_the_same(where):
    world = where("kavya", "lena")
    world.alert("customer data leaked", security="true")
    world.run(6 * MINUTE)
    assert {"kavya", "lena"} <= set(world.incident().members)


def test_a_post_whose_holder_was_deactivated_is_empty_and_not_unreachable(where):
    world = where()
    for who in ("kavya", "lena"):
        administer(world.engine, ANNA, ch.ChangePerson(who, active=False))
    world.do("anna", c.Declare("down", "P1", services=["payments"]))
    world.step()
    assert "nobody holds these posts" in world.told() and "contact" not in world.told()


def test_paging_them_by_hand_is_refused(where):
    world = where("chiara", "greta")
    world.do("anna", c.Declare("slow", "P3", services=["payments"]))
    with pytest.raises(Unusable, match=r"as chiara \(.*without any contact\), greta \("):
        world.do("anna", c.PageSomeone("INC-1", ["chiara", "greta"]))


def test_who_is_paged_next_leaves_them_out(where):
    world = where("chiara")
    world.alert()
    world.step()
    assert "Chiara Conti" not in str(overview.next_pages(world.engine, world.incident()))


def test_doctor_and_the_escalation_policy_say_whom_a_page_would_find(where):
    world = where("chiara", "kavya")
    policy, directory, now = default_policy(), world.engine.directory(), world.clock.now()
    found = " ".join(one.found for one in policy_findings(policy, directory, now))
    assert "nobody who can be paged: cto" in found
    payments = EscalationPolicy("p", "P", "payments", {"on_call": "schedule:payments"})
    assert stages(payments, "P1", policy, directory, now)[0].people == ["Greta Lind"]
    assert views.escalation_policy(payments, directory, now).people == {"on_call": ["greta"]}
