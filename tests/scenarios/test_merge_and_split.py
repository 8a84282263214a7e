"""Incidents that become one and are parted again, in the orders and states in which it hurts."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.alerts.shape import Alert
from tocsin.engine import changes as ch
from tocsin.engine import commands as c
from tocsin.engine.administration import administer
from tocsin.identity.principals import person_principal
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND
from tocsin.kernel.errors import NotFound, Refused
from tocsin.policy.load import default_policy_text


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def clocks(world, name="INC-1"):
    incident = world.incident(name)
    policy = world.engine.store.read(lambda r: world.engine.policy_of(r, incident.policy)[0])
    return {one.rule: standing(one, world.clock.now()) for one in duties(incident, policy)}


def called(world, name):
    """Whom the escalations to responders that run have paged."""
    running = (run for run in world.incident(name).runs.values() if run.state == "running")
    return [person for run in running if run.kind == "responders" for person in run.paged]


# nobody's page is lost


@pytest.mark.semantics(4, 9)
def test_what_fires_merged_into_one_that_had_cleared_before_anybody_took_it_pages(world):
    world.alert(key="a")
    world.run(SECOND)
    world.alert(key="a", action="resolve")
    world.run(SECOND)
    world.alert("checkout down", "b", service="checkout")
    world.run(SECOND)
    world.do("anna", c.Merge("INC-2", "INC-1", "one cause"))
    world.run(SECOND)
    assert world.incident().firing
    assert called(world, "INC-1"), "nobody has it, so somebody is called"


@pytest.mark.semantics(4, 9)
def test_what_fires_merged_into_one_that_is_being_monitored_pages_again(world):
    world.alert(key="a")
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.Move("INC-1", "monitor"))
    world.alert("checkout down", "b", service="checkout")
    world.run(SECOND)
    world.do("anna", c.Merge("INC-2", "INC-1", "one cause"))
    world.run(SECOND)
    assert called(world, "INC-1")


@pytest.mark.semantics(9)
def test_what_a_person_declared_goes_on_paging_its_own_team_where_it_was_merged_to(world):
    world.alert(key="a")
    world.do("anna", c.Declare("the web application is white", "P1", services=["web-application"]))
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    assert called(world, "INC-2") == ["hugo"]
    world.do("anna", c.Merge("INC-2", "INC-1", "one cause"))
    assert called(world, "INC-1") == ["hugo"], "it has no alert, and hugo has not answered"


@pytest.mark.semantics(9)
def test_a_drill_and_what_is_real_never_become_one(world):
    world.alert(key="a")
    world.do("anna", c.Declare("payments down", "P1", services=["payments"], drill=True))
    for source, target in (("INC-1", "DRILL-1"), ("DRILL-1", "INC-1")):
        with pytest.raises(Refused, match="a drill and what is real"):
            world.do("anna", c.Merge(source, target, "one cause"))
    assert world.incident().open


def test_what_is_said_of_a_merged_incident_counts_where_it_goes_on(world):
    world.do("anna", c.Declare("reports are slow", "P2", services=["payments"]))
    world.do("anna", c.Declare("exports are slow", "P2", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.run(30 * MINUTE)
    answer = world.do("chiara", c.PostUpdate("INC-1", "the queue is draining"))
    assert answer["number"] == "INC-2"
    assert world.incident("INC-2").last_update_at == world.clock.now()
    with pytest.raises(Refused):
        world.do("anna", c.Move("INC-1", "resolve", "over", override="seen"))
    assert world.incident("INC-2").open, "what decides about an incident is never led on"


# what a split gives back


@pytest.mark.semantics(9)
@pytest.mark.parametrize("order", [("INC-1", "INC-2"), ("INC-2", "INC-1")])
def test_splits_in_any_order_give_back_the_start_and_the_services(world, order):
    for title, service in (("one", "api"), ("two", "checkout"), ("three", "payments")):
        world.do("anna", c.Declare(title, "P3", services=[service]))
        world.run(MINUTE)
    began = {name: world.incident(name).opened_at for name in ("INC-1", "INC-2", "INC-3")}
    world.do("anna", c.Merge("INC-1", "INC-3", "one cause"))
    world.do("anna", c.Merge("INC-2", "INC-3", "one cause"))
    world.do("anna", c.Affect("INC-3", ["reports"], "slow too"))
    world.do("anna", c.Split("INC-3", source=order[0], reason="not this one"))
    half = world.incident("INC-3")
    assert half.opened_at == half.resolve_from == began[order[1]]
    world.do("anna", c.Split("INC-3", source=order[1], reason="nor this"))
    whole = world.incident("INC-3")
    assert whole.opened_at == whole.resolve_from == began["INC-3"]
    assert whole.services == ["payments", "reports"], "what somebody found meanwhile stays"


@pytest.mark.semantics(9)
def test_what_was_resolved_before_it_was_merged_owes_again_once_it_stands_on_its_own(world):
    world.alert(key="a")
    world.run(MINUTE)
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("jonas", c.Move("INC-1", "resolve", "fixed", override="seen by hand"))
    world.do("anna", c.Declare("another thing", "P1", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.run(HOUR)
    world.do("anna", c.Split("INC-2", source="INC-1", reason="two causes"))
    incident = world.incident("INC-1")
    assert (incident.open, incident.resolved_at) == (True, 0)
    assert clocks(world)["acknowledge"].state == "running", "nothing is moot while it is open"
    assert "post_mortem" not in clocks(world)


@pytest.mark.semantics(9)
def test_what_was_done_before_a_merge_does_not_answer_what_is_owed_after_the_split(world):
    world.alert(key="a")
    world.run(SECOND)
    world.do("chiara", c.Acknowledge("INC-1"))
    for step in ("assess", "mitigate"):
        world.do("chiara", c.Protocol("INC-1", step))
    world.run(40 * MINUTE)
    silent = world.incident().silent_intervals
    assert silent, "two updates were missed before"
    world.do("anna", c.Declare("another thing", "P1", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.do("anna", c.Split("INC-2", source="INC-1", reason="two causes"))
    now = clocks(world)
    assert {now[rule].state for rule in ("respond", "assess", "mitigate", "update")} == {"running"}
    assert world.incident().silent_intervals == 0
    world.run(MINUTE)
    assert clocks(world)["activate"].state == "met", "the team is called anew"


@pytest.mark.semantics(2, 9)
def test_what_still_fires_split_off_leaves_the_rest_clear(world):
    world.alert("the export is broken", "a")
    world.alert("the import is broken", "b")
    world.run(SECOND)
    world.alert(key="a", action="resolve")
    world.do("anna", c.Split("INC-1", alerts=["i1/b"], reason="two things"))
    world.run(6 * MINUTE)
    assert world.incident().status == "resolved", "all its alerts are clear, and nobody took it up"
    assert world.incident("INC-2").open


@pytest.mark.semantics(9)
def test_alerts_are_parted_where_they_are_and_not_where_they_once_were(world):
    world.alert("payments down", "a")
    world.alert("web application down", "b", service="web-application")
    world.alert("api down", "c", service="api")
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.do("anna", c.Merge("INC-2", "INC-3", "one cause"))
    with pytest.raises(Refused, match="split from INC-3"):
        world.do("anna", c.Split("INC-2", source="INC-1", reason="two causes"))
    world.do("anna", c.Split("INC-3", source="INC-2", reason="two causes"))
    world.do("anna", c.Split("INC-2", source="INC-1", reason="three causes"))
    rows = {row.dedup_key: row.incident for row in world.store.read(lambda r: r.alerts())}
    assert rows == {
        key: world.incident(name).id for key, name in zip("abc", ("INC-1", "INC-2", "INC-3"), strict=True)
    }


def test_an_older_incident_merged_into_a_new_one_brings_no_stand_ups_that_nobody_could_hold(world):
    world.do("anna", c.Declare("reports are slow", "P4", services=["payments"]))
    world.run(2 * DAY)
    world.do("anna", c.Declare("the database is slow", "P2", services=["database"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.run(MINUTE)
    assert "MISSED: stand-up" not in world.told("INC-2")


@pytest.mark.semantics(9)
def test_whoever_heard_of_it_hears_that_it_stands_on_its_own_again(world):
    world.do("anna", c.Declare("nobody can pay", "P1", services=["payments"]))
    world.do("anna", c.Declare("the database is down", "P1", services=["database"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.run(3 * MINUTE)
    heard = len(world.phone.messages)
    world.do("anna", c.Split("INC-2", source="INC-1", reason="two causes"))
    world.run(2 * MINUTE)
    told = [one.to for one in list(world.phone.messages)[heard:] if "on its own again" in one.text]
    assert {"kavya", "lena"} <= set(told)


@pytest.mark.semantics(9, 25)
def test_the_working_hours_of_what_was_merged_count_too(world):
    calendar = default_policy_text().replace(
        "calendars:\n", 'calendars:\n  early:\n    zone: UTC\n    hours: {tuesday: ["06:00-12:00"], wednesday: ["06:00-12:00"]}\n', 1
    )  # fmt: skip
    team = world.engine.directory().teams["web"]
    later = msgspec.structs.replace(team, calendar="early")
    world.engine.put_records([record_of(later, world.clock.now())])
    preview = world.engine.look_at_policy(calendar)
    world.engine.apply_policy(person_principal("anna", "owner"), calendar, preview, force="a test")
    world.do("anna", c.Declare("the web is slow", "P3", services=["web-application"]))
    world.do("anna", c.Declare("payments are slow", "P3", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    assert set(world.incident("INC-2").calendars) == {"", "early"}


# who may see what


@pytest.mark.semantics(23)
def test_what_does_not_exist_and_what_one_may_not_see_are_told_apart_by_nothing(world):
    world.do("anna", c.Declare("a laptop is stolen", "P2", kind="security", services=["payments"]))
    said = []
    for name in ("INC-1", "INC-2"):
        with pytest.raises(NotFound) as refused:
            world.do("hugo", c.AddNote(name, "what is it?"))
        said.append(refused.value.sentence.replace(name, "it"))
    assert said[0] == said[1]


@pytest.mark.semantics(23)
def test_what_became_of_a_request_says_nothing_of_the_restricted_incident_that_it_opened(world):
    sent = Alert("trigger", "a", "customer credentials exposed", "critical", service="payments")
    (outcome,) = world.engine.receive(world.integration, [sent]).result()
    assert world.incident().restricted
    assert "exposed" not in outcome.reason


@pytest.mark.semantics(23)
def test_neither_a_look_at_a_policy_nor_a_silence_says_what_is_restricted(world):
    world.alert("customer credentials exposed", "a", alertname="vault")
    hugo = person_principal("hugo", "responder")
    text = default_policy_text().replace("update: 15m ", "update: 10m ", 1)
    assert world.engine.look_at_policy(text).adoptions
    assert world.engine.look_at_policy(text, principal=hugo).adoptions == []
    wish = ch.AddSilence(["alertname=vault"], ends_at=world.clock.now() + HOUR, reason="is there something?")
    assert administer(world.engine, hugo, wish)["covers"] == 0
    assert administer(world.engine, person_principal("anna", "owner"), wish)["covers"] == 1


@pytest.mark.semantics(23)
def test_what_everybody_saw_is_hidden_once_it_belongs_to_a_restricted_incident(world):
    world.alert("odd traffic", "a", service="")
    world.do("anna", c.Declare("odd logins", "P2", kind="security", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.alert("odd traffic to the vault", "a", service="")
    (row,) = world.store.read(lambda r: r.alerts())
    assert row.restricted, "lists of alerts leave it out"
    assert world.incident("INC-1").restricted, "it would name what only members may know of"
    assert any("restricted from now on" in one.text for one in world.lines("INC-1"))
    for name in ("INC-1", "INC-9"):
        with pytest.raises(NotFound, match=f"there is no incident {name}"):
            world.do("hugo", c.AddNote(name, "what became of it?"))


@pytest.mark.semantics(23)
def test_a_merge_into_a_restricted_incident_by_mistake_is_undone_and_everybody_sees_it_again(world):
    world.alert("payments down", "a")
    world.do("anna", c.Declare("odd logins", "P2", kind="security"))
    world.do("anna", c.Merge("INC-1", "INC-2", "a slip"))
    (row,) = world.store.read(lambda r: r.alerts())
    assert row.restricted and world.incident("INC-1").restricted
    world.do("anna", c.Split("INC-2", source="INC-1", reason="it was the wrong one"))
    again = world.incident("INC-1")
    assert again.open and not again.restricted and world.incident("INC-2").restricted
    (row,) = world.store.read(lambda r: r.alerts())
    assert not row.restricted
    world.do("hugo", c.AddNote("INC-1", "on it"))
    world.alert("payments still down", "b")
    assert not world.incident("INC-1").restricted


@pytest.mark.semantics(23)
def test_what_a_restricted_incident_learned_stays_hidden_when_it_is_parted_again(world):
    world.alert("odd traffic", "a")
    world.do("anna", c.Declare("odd logins", "P2", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.alert("customer credentials leaked", "a")
    assert world.incident("INC-2").restricted
    world.alert(key="a", action="resolve")
    world.alert("the vault of customer 17 leaked", "a", type="security")
    world.do("anna", c.Split("INC-2", source="INC-1", reason="two causes"))
    parted = world.incident("INC-1")
    assert [one.ref.summary for one in parted.alerts.values()] == ["the vault of customer 17 leaked"]
    assert parted.restricted
