"""What joins, changes, lingers or belongs to an incident that cannot be read: nobody misses it, and it holds up nobody else."""

import pytest
from test_what_happens_to_people import World

from tocsin.alerts.matchers import Matcher
from tocsin.alerts.routing import Route
from tocsin.alerts.shape import Alert
from tocsin.alerts.silences import Silence
from tocsin.engine import changes as ch
from tocsin.engine import commands as c
from tocsin.engine import overview
from tocsin.engine.administration import administer
from tocsin.engine.work import find_row
from tocsin.identity.principals import person_principal
from tocsin.incidents import facts as f
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.codec import canonical, encode
from tocsin.kernel.facts import Actor, Draft, chain
from tocsin.kernel.ports import RecordRow
from tocsin.kernel.randomness import ulid

ANNA = person_principal("anna", "owner")
HUGO = person_principal("hugo", "responder")
FEATURE = "report export broken feature"
"""a P3 by the policy's rules"""
UNRULED = "kernel panic on node 7"
"""no rule knows it"""


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def grouped(world, *labels):
    route = Route("r1", "by label", group_by=list(labels))
    world.engine.put_records([RecordRow("route", "r1", "", encode(route), world.clock.now())])


def send(world, *alerts):
    return world.engine.receive(world.integration, alerts).result()


def alert(summary, key, action="trigger", service="payments", severity="critical", ends_at=0, **labels):
    return Alert(action, key, summary, severity, service=service, labels=labels, ends_at=ends_at)


def rows(world):
    return {row.dedup_key: row for row in world.store.read(lambda r: r.alerts())}


def names(world):
    found = world.store.read(lambda r: r.streams("incident"))
    return sorted(f"{row.series}-{row.number}" for row in found)


class QuantumLeap(f.Body):
    """What only a newer version knows, until this one is upgraded."""

    x: int


def written_by_a_newer_version(world, name="INC-1"):
    def work(tx):
        row, now = find_row(tx, name), world.clock.now()
        facts = chain(
            row.stream, [Draft("quantum_leap", canonical({"x": 1}), now)], version=row.version, previous=row.head, actor=Actor("tocsin"),
            command_id="c", now=now, ids=[ulid(world.engine.randomness, now)],
        )  # fmt: skip
        tx.append(facts)
        row.version, row.head, row.fold, row.snapshot = facts[-1].version, facts[-1].hash, 99, b"{}"
        tx.put_stream(row)

    world.store.write(work)


# one incident that cannot be read


def test_an_expiring_alert_of_an_unreadable_incident_holds_up_no_other(world):
    soon = world.clock.now() + MINUTE
    send(world, alert("payments down", "a", ends_at=soon))
    send(world, alert(UNRULED, "b", service="database", ends_at=soon))
    world.step()
    written_by_a_newer_version(world)
    world.run(5 * MINUTE)
    assert {key: row.status for key, row in rows(world).items()} == {"a": "firing", "b": "expired"}
    assert len(world.engine.poisoned) == 1, "the one is counted, and said"


def test_a_batch_is_taken_though_one_of_its_incidents_cannot_be_read(world):
    send(world, alert("payments down", "a"))
    world.step()
    written_by_a_newer_version(world)
    told = send(
        world,
        alert("payments down", "a", "resolve"),
        alert("database unreachable", "z", service="database"),
        alert("payments: checkout answers 500", "b"),
    )
    assert "cannot be read" in told[0].reason
    assert "opened INC-2 as P1" in told[1].reason
    assert "cannot be read" in told[2].reason
    assert "opened INC-3" in told[2].reason, "a page too many is cheaper than one too few"
    assert rows(world)["a"].status == "firing"


def test_what_an_unreadable_incident_missed_it_is_told_once_it_can_be_read(world, monkeypatch):
    send(world, alert("payments down", "a"))
    world.step()
    written_by_a_newer_version(world)
    send(world, alert("payments down", "a", "resolve"))
    for _ in range(4):
        world.clock.advance(MINUTE)
        world.step()
    monkeypatch.setitem(f.TYPES, "quantum_leap", QuantumLeap)
    world.run(MINUTE)
    assert rows(world)["a"].status == "resolved"
    assert not world.incident().firing


def test_the_end_of_a_silence_pages_though_one_group_cannot_be_read(world):
    send(world, alert("payments down", "a"))
    world.step()
    now = world.clock.now()
    quiet = Silence("", [Matcher("s", "1")], now, now + 5 * MINUTE, "anna", "x", covers_p1=True)
    world.engine.silence(ANNA, quiet)
    send(world, alert("payments very down", "b", s="1"))
    send(world, alert("database unreachable", "c", service="database", s="1"))
    written_by_a_newer_version(world)
    world.run(6 * MINUTE)
    assert {key: row.state for key, row in rows(world).items()} == dict.fromkeys("abc", "attached")
    assert names(world) == ["INC-1", "INC-2", "INC-3"]


# joining


@pytest.mark.semantics(4)
@pytest.mark.semantics(5)
def test_an_alert_that_no_rule_knows_raises_the_p3_it_joins(world):
    grouped(world, "cluster")
    send(world, alert(FEATURE, "a", cluster="x"))
    assert world.incident().severity == "P3"
    send(world, alert(UNRULED, "b", cluster="x"))
    assert (world.incident().severity, world.incident().rule) == ("P2", "")


@pytest.mark.semantics(4)
def test_an_alert_remembers_the_team_that_answers_for_it(world):
    grouped(world, "cluster")
    send(world, alert("payments down", "a", cluster="x"))
    send(world, alert("web application answers 500", "b", service="web-application", cluster="x"))
    found = {one.ref.key: (one.ref.policy, one.ref.team) for one in world.incident().alerts.values()}
    assert found == {"a": ("payments", "payments"), "b": ("", "web")}


@pytest.mark.semantics(4)
def test_what_a_person_lowered_is_not_raised_again_by_the_same_alert_coming_and_going(world):
    send(world, alert(UNRULED, "a"))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.SetSeverity("INC-1", "P3", "one node of many"))
    send(world, alert(UNRULED, "a", "resolve"))
    send(world, alert(UNRULED, "a"))
    assert world.incident().severity == "P3"
    send(world, alert(UNRULED, "a", "resolve"))
    send(world, alert("database unreachable", "a"))
    assert world.incident().severity == "P1", "it is another thing now"


# repeats that say something else


@pytest.mark.semantics(4)
def test_a_repeat_whose_words_are_worse_raises_and_pages(world):
    send(world, alert(FEATURE, "a", severity="error"))
    world.run(MINUTE)
    assert world.incident().severity == "P3"
    before = len(world.pages())
    told = send(world, alert("payments down, nobody can pay", "a", severity="error"))
    assert (told[0].event, world.incident().severity) == ("repeated", "P1")
    world.run(MINUTE)
    assert len(world.pages()) > before


@pytest.mark.semantics(24)
def test_a_silence_that_does_not_cover_a_p1_no_longer_hides_what_became_one(world):
    now = world.clock.now()
    world.engine.silence(ANNA, Silence("", [Matcher("alertname", "pay")], now, now + HOUR, "anna", "known"))
    send(world, alert(FEATURE, "a", alertname="pay"))
    world.run(MINUTE)
    assert (rows(world)["a"].state, world.pages()) == ("silenced", [])
    send(world, alert("payments down", "a", alertname="pay"))
    world.run(MINUTE)
    assert world.incident().severity == "P1"
    assert world.pages()


def test_a_repeat_with_new_details_alone_changes_nothing_that_a_person_settled(world):
    send(world, alert("payments down since 1 min", "a"))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.SetSeverity("INC-1", "P3", "one customer"))
    for minute in range(2, 6):
        world.clock.advance(MINUTE)
        send(world, alert(f"payments down since {minute} min", "a"))
    assert world.incident().severity == "P3", "the rules propose of it what they proposed before"


# what ended while it fired


def resolved_while_firing(world):
    send(world, alert("payments down", "a"))
    world.run(MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    for kind in ("functional", "performance", "security"):
        world.do("chiara", c.Validate("INC-1", kind, "passed"))
    world.do("chiara", c.Move("INC-1", "resolve"))
    assert world.incident().status == "resolved"


@pytest.mark.semantics(35)
def test_what_a_person_resolved_while_it_fires_comes_back_after_five_minutes_of_repeats(world):
    resolved_while_firing(world)
    ended = world.clock.now()
    while world.incident().status == "resolved":
        world.clock.advance(30 * SECOND)
        told = send(world, alert("payments down", "a"))
    away = world.clock.now() - ended
    assert 5 * MINUTE <= away <= 10 * MINUTE, "not with the next repeat, and not never"
    assert "still fires" in told[0].reason
    assert "an alert still fires" in world.told()
    world.step()
    assert names(world) == ["INC-1"]
    assert rows(world)["a"].incident == world.incident().id


@pytest.mark.semantics(35)
def test_after_the_watch_a_repeat_opens_a_new_incident_linked_back(world):
    resolved_while_firing(world)
    world.run(3 * HOUR)
    send(world, alert("payments down", "a"))
    assert names(world) == ["INC-1", "INC-2"]
    assert world.incident("INC-2").linked == world.incident().id


@pytest.mark.semantics(35)
def test_closing_within_the_watch_hides_nothing(world):
    send(world, alert(FEATURE, "a"))
    world.run(MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    for kind in ("functional", "performance", "security"):
        world.do("chiara", c.Validate("INC-1", kind, "passed"))
    send(world, alert(FEATURE, "a", "resolve"))
    world.do("chiara", c.Move("INC-1", "resolve"))
    world.do("chiara", c.Move("INC-1", "close"))
    world.run(MINUTE)
    send(world, alert(FEATURE, "b"))
    assert (names(world), world.incident().status) == (["INC-1"], "investigating")


def test_a_false_alarm_swallows_neither_what_gets_worse_nor_another_alert(world):
    send(world, alert(FEATURE, "a", severity="warning"))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.Move("INC-1", "false_alarm", "a test of the exporter"))
    world.run(MINUTE)
    assert "opened INC-2" in send(world, alert("payments down", "a"))[0].reason
    assert world.incident("INC-2").linked == world.incident().id
    world.run(SECOND)
    assert [one for one in world.pages("chiara") if "payments down" in one.text]


def test_mere_repeats_of_a_false_alarm_stay_quiet_for_as_long_as_a_resolved_one_is_watched(world):
    send(world, alert(FEATURE, "a"))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.Move("INC-1", "false_alarm", "the exporter is broken"))
    for _ in range(11):
        world.clock.advance(10 * MINUTE)
        send(world, alert(FEATURE, "a"))
    assert names(world) == ["INC-1"], "a person has judged this very firing"
    world.clock.advance(15 * MINUTE)
    send(world, alert(FEATURE, "a"))
    assert names(world) == ["INC-1", "INC-2"], "but not for ever"


@pytest.mark.semantics(2)
@pytest.mark.semantics(35)
def test_alerts_that_clear_while_it_is_resolved_are_cleared_when_it_opens_again(world):
    resolved_while_firing(world)
    send(world, alert("payments down", "a", "resolve"))
    world.run(MINUTE)
    send(world, alert("payments down again", "b"))
    assert world.incident().status == "investigating"
    assert [one.ref.key for one in world.incident().firing] == ["b"]


# holding back, and what senders acknowledge


@pytest.mark.semantics(4)
def test_flapping_as_a_p3_never_holds_back_its_first_page_as_a_p1(world):
    for _ in range(5):
        send(world, alert(FEATURE, "a"))
        world.run(20 * SECOND)
        send(world, alert(FEATURE, "a", "resolve"))
        world.run(20 * SECOND)
    world.run(6 * MINUTE)
    told = send(world, alert("payments down, nobody can pay", "a"))
    assert "waits until" not in told[0].reason
    assert world.incident(names(world)[-1]).severity == "P1"


@pytest.mark.semantics(6)
def test_a_senders_acknowledge_pauses_for_the_running_acknowledge_time_once_in_an_episode(world):
    send(world, alert(UNRULED, "a"))
    start = world.clock.now()
    for _ in range(3):
        told = send(world, alert(UNRULED, "a", "acknowledge"))
        world.run(MINUTE)
    assert told[0].event == "acknowledged_again"
    paused = {run.paused_until for run in world.incident().runs.values()}
    assert paused == {start + 5 * MINUTE}, "five minutes while nobody has settled how bad it is"
    send(world, alert(UNRULED, "a", "resolve"))
    send(world, alert(UNRULED, "a"))
    assert send(world, alert(UNRULED, "a", "acknowledge"))[0].event == "acknowledged", "a new episode"


# what is restricted


LEAK = "customer data leaked on pastebin, credentials stolen"


@pytest.mark.semantics(23)
def test_a_breach_that_a_rule_recognises_opens_restricted_whoever_says_it(world):
    send(world, alert(LEAK, "a"))
    found = world.incident()
    assert (found.kind, found.severity, found.restricted) == ("security", "P1", True)
    assert rows(world)["a"].restricted
    answer = administer(world.engine, HUGO, ch.Report(LEAK))
    reported = world.incident(answer["number"])
    assert (reported.kind, reported.restricted) == ("security", True)
    assert "hugo" in reported.members, "whoever reported it sees what they reported"


@pytest.mark.semantics(23)
def test_what_is_restricted_never_joins_what_everybody_sees_and_takes_nothing_of_it_along(world):
    grouped(world, "cluster")
    send(world, alert("api slow", "a", cluster="x"))
    send(world, alert("attacker has root on db1", "b", cluster="x", type="security"))
    send(world, alert("attacker dumped a table", "c", cluster="x", type="security"))
    send(world, alert("api slower", "d", cluster="x"))
    keys = {
        name: [one.ref.key for one in world.incident(name).alerts.values()] for name in ("INC-1", "INC-2")
    }
    assert keys == {"INC-1": ["a", "d"], "INC-2": ["b", "c"]}
    assert (world.incident().restricted, world.incident("INC-2").restricted) == (False, True)
    assert {key: row.restricted for key, row in rows(world).items()} == {
        "a": False,
        "b": True,
        "c": True,
        "d": False,
    }


@pytest.mark.semantics(23)
def test_a_silenced_breach_is_hidden_from_those_who_may_not_see_it(world):
    now = world.clock.now()
    quiet = Silence("", [Matcher("type", "security")], now, now + HOUR, "anna", "pentest", covers_p1=True)
    world.engine.silence(ANNA, quiet)
    send(world, alert("attacker dumped a table", "a", type="security"))
    assert world.engine.hidden(person_principal("lena", "stakeholder")) == []
    assert [one.dedup_key for one in world.engine.hidden(ANNA)] == ["a"]


@pytest.mark.semantics(23)
def test_what_turns_out_to_be_a_breach_is_restricted_with_all_its_alerts(world):
    grouped(world, "cluster")
    send(world, alert("odd traffic", "a", service="", cluster="x"))
    send(world, alert("more odd traffic", "b", service="", cluster="x"))
    send(
        world,
        alert(LEAK, "a", service="", cluster="x"),
        alert("more odd traffic!", "b", service="", cluster="x"),
    )
    assert (world.incident().kind, world.incident().restricted, world.incident().severity) == (
        "security",
        True,
        "P1",
    )
    assert all(row.restricted for row in rows(world).values())
    assert overview.unrouted_alerts(world.engine, person_principal("lena", "stakeholder")) == []


@pytest.mark.semantics(23)
def test_an_alert_that_merely_repeats_beside_a_breach_stays_restricted_whatever_it_says_later(world):
    grouped(world, "app")
    send(world, alert("checkout is slow", "a", app="x"), alert("checkout is slow too", "b", app="x"))
    world.run(MINUTE)
    send(world, alert("checkout is slow", "a", app="x"), alert(LEAK, "b", app="x"))
    assert world.incident().restricted
    world.run(MINUTE)
    send(world, alert("checkout is slower", "a", app="x"))
    assert {key: row.restricted for key, row in rows(world).items()} == {"a": True, "b": True}


@pytest.mark.semantics(23)
def test_setting_the_type_by_hand_hides_the_alerts_too(world):
    send(world, alert("laptop stolen", "a", service=""))
    world.do("anna", c.SetType("INC-1", "security"))
    assert rows(world)["a"].restricted
    send(world, alert("laptop stolen", "a", "resolve", service=""))
    send(world, alert("laptop stolen", "a", service=""))
    assert (names(world), rows(world)["a"].restricted) == (["INC-1"], True)
