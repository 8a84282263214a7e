"""Silences, maintenance, flapping and joining, in virtual time through the real engine."""

import pytest
from test_what_happens_to_people import World

from tocsin.alerts.matchers import Matcher
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine import commands as c
from tocsin.engine.placing import Integration
from tocsin.identity.principals import person_principal
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.errors import Forbidden, NotFound, Unusable


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def silence(world, matcher=("alertname", "disk"), lasting=HOUR, who="jonas", **more):
    now = world.clock.now()
    wanted = Silence("", [Matcher(*matcher)], now, now + lasting, who, "we know", **more)
    return world.engine.silence(person_principal(who, world.engine.directory().people[who].role), wanted)


@pytest.mark.semantics(24)
def test_a_silence_hides_shows_what_it_hid_and_pages_what_still_fires_at_its_end(world):
    silence(world)
    world.alert("disk almost full", "d1", service="checkout", alertname="disk")
    world.run(59 * MINUTE)
    assert world.pages() == []
    hidden = world.engine.hidden(person_principal("jonas", "responder"))
    assert [(one.summary, one.state) for one in hidden] == [("disk almost full", "silenced")]
    assert "we know" in hidden[0].reason
    world.run(2 * MINUTE)
    assert world.pages()
    assert world.engine.hidden(person_principal("jonas", "responder")) == []


@pytest.mark.semantics(24)
def test_what_cleared_under_a_silence_pages_nobody_at_its_end(world):
    silence(world)
    world.alert("disk almost full", "d1", service="checkout", alertname="disk")
    world.alert("disk almost full", "d1", "resolve", service="checkout", alertname="disk")
    world.run(2 * HOUR)
    assert world.pages() == []


@pytest.mark.semantics(24)
def test_ending_a_silence_by_hand_pages_what_still_fires_at_once(world):
    made = silence(world)
    world.alert("disk almost full", "d1", service="checkout", alertname="disk")
    world.engine.end_quiet(person_principal("jonas", "responder"), "silence", made.id)
    world.run(SECOND)
    assert world.pages()


@pytest.mark.semantics(24)
def test_a_silence_that_does_not_say_so_never_hides_a_p1(world):
    silence(world, ("alertname", "pay"))
    world.alert("payments down", "p1", service="payments", alertname="pay")
    world.run(SECOND)
    assert world.pages()


@pytest.mark.semantics(24)
def test_a_silence_that_covers_p1_is_for_an_owner_or_the_commander_on_rotation(world):
    watch = world.engine.directory().resolve("incident_commander", world.clock.now()).people[0]
    other = next(
        one.id
        for one in world.engine.directory().people.values()
        if one.role == "responder" and one.id != watch
    )
    with pytest.raises(Forbidden, match="an owner, or the commander on rotation"):
        silence(world, who=other, covers_p1=True)
    silence(world, ("alertname", "pay"), who=watch, covers_p1=True)
    world.alert("payments down", "p1", service="payments", alertname="pay")
    world.run(SECOND)
    assert world.pages() == []


@pytest.mark.semantics(24)
@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"author": " "}, "author"),
        ({"reason": ""}, "reason"),
        ({"ends_at": 1}, "end"),
        ({"matchers": []}, "matcher"),
    ],
)
def test_a_silence_needs_an_author_a_reason_an_end_and_something_to_match(world, change, word):
    now = world.clock.now()
    wanted = Silence("", [Matcher("a", "b")], now, now + HOUR, "jonas", "why")
    for name, value in change.items():
        setattr(wanted, name, value)
    with pytest.raises(Unusable, match=word):
        world.engine.silence(person_principal("jonas", "responder"), wanted)


def test_maintenance_on_a_service_keeps_its_alerts_quiet_until_it_ends(world):
    now = world.clock.now()
    window = Maintenance("", ["Checkout"], now, now + HOUR, "jonas", "new database")
    world.engine.maintenance(person_principal("jonas", "responder"), window)
    world.alert("slow answers", "c1", service="checkout")
    world.run(59 * MINUTE)
    assert world.pages() == []
    assert world.engine.hidden(person_principal("jonas", "responder"))[0].state == "maintenance"
    world.run(2 * MINUTE)
    assert world.pages()


def test_quiet_that_is_not_there_cannot_be_ended(world):
    with pytest.raises(NotFound, match="there is no silence"):
        world.engine.end_quiet(person_principal("jonas", "responder"), "silence", "nope")


def flap(world, times, summary="report slow to load for some users", severity="info", **labels):
    for _ in range(times):
        world.alert(summary, "f1", service="mobile", **labels)
        world.run(5 * MINUTE)
        world.alert(summary, "f1", "resolve", service="mobile", **labels)
        world.run(7 * MINUTE)


@pytest.mark.semantics(4)
def test_what_comes_and_goes_is_held_back_and_pages_only_if_it_still_fires(world):
    flap(world, 4)
    before = len(world.pages())
    world.alert("report slow to load for some users", "f1", service="mobile")
    held = world.engine.hidden(person_principal("jonas", "responder"))
    assert [one.state for one in held] == ["held"]
    assert "comes and goes" in held[0].reason
    world.run(MINUTE)
    assert len(world.pages()) == before
    world.run(2 * MINUTE)
    assert len(world.pages()) > before


@pytest.mark.semantics(4)
def test_what_was_held_back_and_cleared_within_the_hold_pages_nobody(world):
    flap(world, 4)
    before = len(world.pages())
    world.alert("report slow to load for some users", "f1", service="mobile")
    world.alert("report slow to load for some users", "f1", "resolve", service="mobile")
    world.run(10 * MINUTE)
    assert len(world.pages()) == before


@pytest.mark.semantics(4)
def test_an_alert_of_another_escalation_policy_that_joins_pages_its_own_people(world):
    by_team = {one.id: one for one in world.engine.directory().escalation_policies.values()}
    first, second = list(by_team)[:2]
    world.integration = Integration("i1", "probe", "pagerduty", escalation_policy=first, group_by=["site"])
    world.alert("queue stuck", "a", service="", site="eu")
    world.run(SECOND)
    world.integration = Integration("i1", "probe", "pagerduty", escalation_policy=second, group_by=["site"])
    world.alert("mails stuck", "b", service="", site="eu")
    world.run(SECOND)
    runs = [run for run in world.incident().runs.values() if run.kind == "responders"]
    assert [run.escalation_policy for run in runs] == [first, second]
    assert all(run.paged for run in runs)


@pytest.mark.semantics(35)
@pytest.mark.guide("REC-4")
def test_for_two_hours_after_a_person_resolved_it_an_alert_on_its_service_reopens_it(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.Acknowledge("INC-1"))
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="checked by hand"))
    world.alert(action="resolve")
    world.run(90 * MINUTE)
    before = len(world.pages())
    world.alert("payments slow", "another", service="payments", probe="other")
    world.run(SECOND)
    assert world.incident().status == "investigating"
    assert len(world.pages()) > before


@pytest.mark.semantics(2, 35)
def test_after_the_watch_is_over_a_new_incident_opens_linked_back(world):
    world.alert()
    world.run(SECOND)
    world.do("anna", c.Acknowledge("INC-1"))
    world.do("anna", c.Move("INC-1", "resolve", "fixed", override="checked by hand"))
    world.alert(action="resolve")
    world.run(3 * HOUR)
    world.alert()
    world.run(SECOND)
    assert world.incident().status == "resolved"
    assert world.incident("INC-2").linked == world.incident("INC-1").id


@pytest.mark.semantics(3)
def test_an_expired_alert_does_not_clear_a_p1(world):
    expiring(world, "payments down", "payments")
    world.run(30 * MINUTE)
    assert world.incident().status == "investigating"
    assert "not sent again" in world.told() or "expired" in world.told()
    assert any(run.state == "running" for run in world.incident().runs.values())


@pytest.mark.semantics(3)
def test_an_expired_alert_clears_an_unacknowledged_p3(world):
    expiring(
        world, "cosmetic glitch in the footer", "mobile", users_affected_percent="1", severity_hint="low"
    )
    severity = world.incident().severity
    world.run(30 * MINUTE)
    if severity in ("P3", "P4"):
        assert world.incident().status == "resolved"
    else:
        pytest.fail(f"the rules say {severity}; choose another summary for this story")


def expiring(world, summary, service, **labels):
    from tocsin.alerts.shape import Alert

    alert = Alert("trigger", "e1", summary, "info", service=service, labels=labels)
    alert.ends_at = world.clock.now() + 5 * MINUTE
    world.engine.receive(world.integration, [alert]).result()
    world.step()
