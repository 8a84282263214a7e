"""What happens to people, in virtual time, through the real engine on the real store."""

import pytest

from tocsin.alerts.shape import Alert
from tocsin.engine import commands as c
from tocsin.engine.engine import Engine
from tocsin.engine.receiving import Integration
from tocsin.identity.principals import person_principal
from tocsin.incidents.folding import refold
from tocsin.incidents.organisation import demo_organisation, to_records
from tocsin.incidents.timeline import line
from tocsin.kernel.clock import HOUR, MINUTE, SECOND, ManualClock
from tocsin.kernel.errors import DeliveryFailed, Forbidden
from tocsin.kernel.facts import verify_chain
from tocsin.kernel.randomness import SeededRandomness
from tocsin.policy.load import default_policy_text
from tocsin.providers.console import ConsoleChannel
from tocsin.store.sqlite import SqliteStore

TUESDAY = "2026-03-03T10:00:00Z"


class World:
    """The demonstration's organisation on a clock that stands still until it is moved."""

    def __init__(self, folder):
        self.clock = ManualClock(TUESDAY)
        self.store = SqliteStore(folder)
        self.store.migrate()
        self.phone = ConsoleChannel()
        self.engine = Engine(
            self.store,
            self.clock,
            SeededRandomness(7),
            {"console": self.phone},
            secret=b"s" * 32,
            public_url="https://t.example",
        )
        self.engine.seed_policy(default_policy_text())
        self.engine.put_records(to_records(self.organisation(), self.clock.now()))
        self.integration = Integration("i1", "probe", "pagerduty")

    def organisation(self):
        return demo_organisation(self.clock.now())

    def alert(self, summary="payments down", key="k1", action="trigger", service="payments", **labels):
        self.engine.receive(
            self.integration, [Alert(action, key, summary, "critical", service=service, labels=labels)]
        ).result()

    def step(self):
        while self.engine.step():
            pass

    def run(self, duration):
        """Moves through every due moment up to ``duration`` from now."""
        end = self.clock.now() + duration
        self.step()
        while (due := self.engine.next_due()) is not None and due <= end:
            self.clock.move_to(max(due, self.clock.now()))
            self.step()
        self.clock.move_to(end)
        self.step()

    def do(self, who, command):
        role = self.engine.directory().people[who].role
        return self.engine.execute(person_principal(who, role), command)

    def incident(self, name="INC-1"):
        return self.engine.incident(person_principal("anna", "owner"), name)

    def lines(self, name="INC-1"):
        directory = self.engine.directory()
        facts = self.engine.facts(person_principal("anna", "owner"), name)
        return [line(fact, {one.id: one.name for one in directory.people.values()}) for fact in facts]

    def told(self, name="INC-1"):
        return " | ".join(one.text for one in self.lines(name))

    def pages(self, person=None):
        return [one for one in self.phone.messages if one.ack_url and person in (None, one.to)]

    def paged_after(self, name="INC-1"):
        """person → microseconds from the opening to their first page."""
        opened = self.incident(name).opened_at
        first = {}
        for run in self.incident(name).runs.values():
            if run.kind == "responders":
                for fact in self.engine.facts(person_principal("anna", "owner"), name):
                    if fact.type == "paged" and run.id.encode() in fact.body:
                        for person in __import__("json").loads(fact.body)["people"]:
                            first.setdefault(person, fact.recorded_at - opened)
        return first


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    # whatever happened: the chain is whole, and the stored view is the fold of the facts
    for row in one.store.read(lambda r: r.streams("incident")):
        facts = one.store.read(lambda r, row=row: r.facts(row.stream))
        assert verify_chain(facts, row.stream) is None
        assert refold(row.stream.id, facts) == one.engine.incident(
            person_principal("anna", "owner"), row.stream.id
        )
    one.store.close()


@pytest.mark.semantics(1)
def test_an_alert_that_resolves_before_its_page_leaves_pages_nobody(world):
    world.alert()
    world.alert(action="resolve")
    world.run(MINUTE)
    assert world.pages() == []


@pytest.mark.semantics(1)
def test_an_alert_that_clears_after_its_page_left_is_told_to_those_paged(world):
    world.alert()
    world.step()
    world.alert(action="resolve")
    world.step()
    assert any("it cleared" in one.title for one in world.phone.messages if one.to == "chiara")


@pytest.mark.semantics(12)
@pytest.mark.guide("COM-3")
def test_an_unanswered_p1_climbs_the_chain_at_its_delays_and_repeats_without_limit(world):
    world.alert()
    world.run(45 * MINUTE)
    after = {person: delay // MINUTE for person, delay in world.paged_after().items()}
    assert after == {"chiara": 0, "greta": 2, "ines": 10, "kavya": 15, "lena": 20}
    repeats = [one for one in world.lines() if "paged again" in one.text and "on call" in one.text]
    assert [(one.at - world.incident().opened_at) // MINUTE for one in repeats] == [30, 40]


@pytest.mark.semantics(6)
@pytest.mark.guide("PRO-1")
def test_acknowledging_stops_the_chain_for_all_and_tells_the_others_paged(world):
    world.alert()
    world.run(3 * MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.run(11 * MINUTE)
    assert "ines" not in world.paged_after()
    assert any("Chiara Conti has it" in one.title for one in world.phone.messages if one.to == "greta")


@pytest.mark.semantics(6, 7)
def test_an_acknowledgement_lapses_when_the_response_falls_due_unmet(world):
    world.alert()
    world.do("chiara", c.Acknowledge("INC-1"))
    world.run(16 * MINUTE)
    assert "the acknowledgement of Chiara Conti lapsed" in world.told()
    assert world.incident().holder == ""
    assert {"chiara", "greta"} <= set(list(world.incident().runs.values())[-1].paged)


@pytest.mark.semantics(6)
def test_who_cannot_take_it_escalates_now(world):
    world.alert()
    world.step()
    world.do("chiara", c.Decline("INC-1", "on a train"))
    assert world.paged_after()["greta"] == 0


@pytest.mark.semantics(5)
@pytest.mark.guide("SEV-6")
def test_no_rule_fires_means_p2_with_that_as_the_reason_and_five_minutes_to_acknowledge(world):
    world.alert("something odd", service="")
    assert world.incident().severity == "P2"
    assert "no" in world.incident().severity_reason
    world.run(6 * MINUTE)
    assert "MISSED: acknowledge" in world.told()


@pytest.mark.semantics(13)
@pytest.mark.guide("SEV-5")
def test_executives_hear_of_a_proposed_p1_after_five_minutes_and_of_a_confirmed_one_at_once(world):
    world.alert()
    world.run(4 * MINUTE)
    assert not any(one.to in ("kavya", "lena") for one in world.phone.messages)
    world.do("chiara", c.SetSeverity("INC-1", "P1"))
    world.step()
    told = [one.to for one in world.phone.messages if one.to in ("kavya", "lena")]
    assert sorted(told) == ["kavya", "lena"]
    assert not any(one.ack_url for one in world.phone.messages if one.to == "lena"), (
        "a notice asks nobody to acknowledge"
    )


@pytest.mark.semantics(8, 13)
@pytest.mark.guide("SEV-5")
def test_executives_who_heard_that_it_was_lowered_hear_that_it_is_a_p1_again(world):
    world.do("anna", c.Declare("nobody can pay", severity="P1", services=["payments"]))
    world.do("anna", c.SetSeverity("INC-1", "P2", "only some"))
    world.run(HOUR)
    heard = len(world.phone.messages)
    world.do("anna", c.SetSeverity("INC-1", "P1", "everybody again"))
    world.run(MINUTE)
    assert {"kavya", "lena"} <= {one.to for one in list(world.phone.messages)[heard:]}
    assert "MISSED: first notice" not in world.told()


@pytest.mark.semantics(21)
@pytest.mark.guide("ROL-6")
def test_the_first_to_acknowledge_is_acting_commander_and_the_commanders_page_goes_on(world):
    world.alert()
    world.step()
    world.do("chiara", c.Acknowledge("INC-1"))
    assert world.incident().acting_commander == "chiara"
    assert any(run.kind == "commander" and run.state == "running" for run in world.incident().runs.values())
    world.do("jonas", c.Acknowledge("INC-1"))
    assert world.incident().commander == "jonas"
    with pytest.raises(Forbidden, match="commander"):
        world.do("chiara", c.SetSeverity("INC-1", "P2", "not so bad"))


@pytest.mark.semantics(8)
@pytest.mark.guide("SEV-7")
def test_raising_pages_anew_and_restarts_the_clocks_that_restart(world):
    world.alert("checkout errors at 12 %", error_rate_percent="12")
    world.step()
    world.do("chiara", c.Acknowledge("INC-1"))
    before = world.incident()
    world.run(10 * MINUTE)
    world.do("chiara", c.SetSeverity("INC-1", "P1", "nobody can pay"))
    after = world.incident()
    assert after.acknowledge_from == after.respond_from == world.clock.now()
    assert after.resolve_from == before.resolve_from
    assert after.holder == ""
    assert list(after.runs.values())[-2].paged or list(after.runs.values())[-1].paged


@pytest.mark.semantics(8)
def test_lowering_tells_everybody_already_told(world):
    world.alert()
    world.run(3 * MINUTE)
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("jonas", c.SetSeverity("INC-1", "P3", "one feature only"))
    world.step()
    assert {"chiara", "greta"} <= {
        one.to for one in world.phone.messages if "lowered from P1 to P3" in one.text
    }


@pytest.mark.semantics(2)
def test_an_unacknowledged_machine_incident_resolves_itself_and_reopens_when_it_fires_again(world):
    world.alert()
    world.alert(action="resolve")
    world.run(6 * MINUTE)
    assert world.incident().status == "resolved"
    world.run(20 * MINUTE)
    world.alert()
    assert world.incident().status == "investigating"
    assert "reopened" in world.told()


@pytest.mark.semantics(2)
def test_an_acknowledged_p1_never_resolves_itself_the_commander_is_asked(world):
    world.alert()
    world.do("chiara", c.Acknowledge("INC-1"))
    world.alert(action="resolve")
    world.run(6 * MINUTE)
    assert world.incident().status == "investigating"
    assert "asked Chiara Conti to resolve" in world.told()


@pytest.mark.semantics(4)
def test_joining_never_hides_a_worse_alert_raises(world):
    world.alert("checkout errors at 12 %", error_rate_percent="12")
    assert world.incident().severity == "P2"
    world.alert("payments down", key="k2")
    assert world.incident().severity == "P1"
    assert "raised from P2 to P1" in world.told()


@pytest.mark.semantics(4)
def test_an_alert_that_joins_while_monitoring_pages_again(world):
    world.alert()
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.Move("INC-1", "monitor"))
    runs = len(world.incident().runs)
    world.alert("payments slow", key="k2")
    assert len(world.incident().runs) > runs


@pytest.mark.semantics(9)
def test_merging_keeps_the_higher_severity_and_the_earlier_start_and_tells_the_number(world):
    world.alert("checkout errors at 12 %", error_rate_percent="12")
    world.run(MINUTE)
    opened = world.incident().opened_at
    world.do("anna", c.Declare("login is down", severity="P1"))
    world.do("anna", c.Acknowledge("INC-2"))
    world.do("anna", c.Merge("INC-1", "INC-2", "same cause"))
    assert world.incident("INC-1").status == "merged"
    target = world.incident("INC-2")
    assert (target.severity, target.opened_at) == ("P1", opened)
    world.step()
    assert any("INC-1 goes on as INC-2" in one.text for one in world.phone.messages if one.to == "chiara")


@pytest.mark.semantics(14)
def test_a_mass_event_is_one_page_a_minute_that_lists_all_and_its_link_acknowledges_exactly_those(world):
    world.alert()
    world.step()
    for number in range(5):
        world.do("anna", c.Declare(f"thing {number} is down", severity="P1", services=["payments"]))
    world.run(61 * SECOND)
    first, second = world.pages("chiara")[:2]
    assert "INC-2" not in first.text
    assert all(f"INC-{n}" in second.text for n in range(1, 7)), "what the first page listed waits still"
    world.do("anna", c.Declare("one thing more", severity="P1", services=["payments"]))
    world.engine.acknowledge_link(second.ack_url.rpartition("/")[2])
    assert all(world.incident(f"INC-{n}").holder == "chiara" for n in range(1, 7))
    assert world.incident("INC-7").holder == ""


@pytest.mark.semantics(19)
def test_after_six_hours_down_the_next_step_is_taken_once_and_the_rest_keeps_its_spacing(world):
    world.alert()
    world.step()
    sent = len(world.pages())
    world.clock.advance(6 * HOUR)
    world.step()
    after = [one.to for one in world.pages()[sent:]]
    assert len(after) == len(set(after)), "each person gets one page"
    assert "lena" not in after
    world.run(19 * MINUTE)
    assert any(one.to == "lena" for one in world.phone.messages)


@pytest.mark.semantics(22)
def test_anybody_can_be_paged_at_once(world):
    world.do("anna", c.Declare("odd", severity="P3"))
    world.do("anna", c.PageSomeone("INC-1", ["cto"]))
    world.step()
    assert world.pages("kavya")


@pytest.mark.semantics(11)
def test_open_tasks_are_handed_over_with_the_role(world):
    world.alert()
    world.step()
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("jonas", c.AddTask("INC-1", "call the bank", "jonas"))
    world.do("jonas", c.AssignRole("INC-1", "incident_commander", "anna"))
    assert [task.owner for task in world.incident().tasks.values()] == ["anna"]


@pytest.mark.semantics(25)
def test_clocks_run_from_receipt_never_from_the_senders_own_time(world):
    late = Alert("trigger", "k", "payments down", service="payments", started_at=world.clock.now() - HOUR)
    world.engine.receive(world.integration, [late]).result()
    assert world.incident().acknowledge_from == world.clock.now()


def test_a_channel_that_fails_for_good_is_on_the_timeline_and_the_chain_goes_on(world):
    world.phone.fail_next.append(DeliveryFailed("number unknown", permanent=True))
    world.alert()
    world.run(3 * MINUTE)
    assert "could not reach" in world.told()
    assert world.pages("greta")


def test_a_passing_failure_is_tried_again_and_the_page_arrives_once(world):
    world.phone.fail_next.extend([DeliveryFailed("busy"), DeliveryFailed("busy")])
    world.alert()
    world.run(MINUTE)
    assert len(world.pages("chiara")) == 1
