"""What leaves, to whom, together with what, and what is said of what does not: through the real engine, in virtual time."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from broken import Broken, written_by_a_newer_version
from test_what_happens_to_people import World

from tocsin.alerts.shape import Alert
from tocsin.catalogue.people import Contact, NotificationRule
from tocsin.engine import commands as c
from tocsin.engine import delivery, overview, replies, sending
from tocsin.engine.pace import CALM, LONGEST_REST, PAUSE
from tocsin.engine.sending import APART, FEW_APART
from tocsin.engine.settling import RECORDED_WITHIN, Settling, Told, paged_key
from tocsin.engine.watching import Heartbeat
from tocsin.identity.principals import person_principal
from tocsin.incidents import facts as f
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import HOUR, MILLISECOND, MINUTE, SECOND, ManualClock, parse_instant
from tocsin.kernel.errors import Busy, DeliveryFailed, FromTheFuture, NotFound
from tocsin.kernel.facts import SYSTEM, Stream
from tocsin.kernel.ports import OutboxRow, Reply
from tocsin.policy.load import default_policy_text
from tocsin.providers.console import ConsoleChannel

SLOW = default_policy_text().replace(
    "page_each_person_at_most_every: 60s", "page_each_person_at_most_every: 10m"
)


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def put(world, person, **changes):
    known = world.engine.directory().people[person]
    world.engine.put_records([record_of(msgspec.structs.replace(known, **changes), world.clock.now())])


def token(message):
    return message.ack_url.rpartition("/")[2]


# one that cannot be composed


@pytest.mark.semantics(14)
def test_one_stream_that_a_newer_version_wrote_holds_up_no_page_of_the_others(world):
    world.alert()
    written_by_a_newer_version(world)
    world.alert("sign-in down", "k2", service="authentication")
    world.step()
    assert {one.thread for one in world.pages()} == {world.incident("INC-2").id}
    assert any("FromTheFuture" in why for why in world.engine.poisoned.values())
    world.clock.advance(3 * MINUTE)
    world.step()
    assert world.engine.lateness()[1] >= 3 * MINUTE, "what could not be composed is late and shows"


def test_a_page_names_what_fires_and_not_an_alert_that_is_over(world):
    """One service, one incident: it was over, and something else brought it back."""
    world.alert("the disk of api-1 is full", "disk", dashboard="x")
    world.step()
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.Move("INC-1", "monitor"))
    world.alert(key="disk", action="resolve")
    world.run(2 * MINUTE)
    world.alert("certificate of api.example expired", "cert")
    world.step()
    page = world.pages("chiara")[-1]
    assert page.title == "P2 INC-1: certificate of api.example expired (opened as: the disk of api-1 is full)"
    assert "certificate" in page.short and page.text.startswith(page.title)
    assert page.data["incidents"][0]["fires"] == "certificate of api.example expired"
    world.alert("the disk of api-1 is full", "disk")
    world.run(2 * MINUTE)
    assert delivery.speaking(world.incident()).key == "disk", "the alert that gave the title speaks again"


def test_what_brings_an_incident_back_for_the_first_time_did_not_fire_again(world):
    world.alert("the disk of api-1 is full", "disk")
    world.alert(key="disk", action="resolve")
    world.run(15 * MINUTE)
    assert world.incident().status == "resolved"
    world.alert("certificate of api.example expired", "cert")
    world.alert(key="cert", action="resolve")
    world.alert("certificate of api.example expired", "cert")
    said = [one.text for one in world.lines()]
    assert "fires: certificate of api.example expired" in said
    assert "fired again: certificate of api.example expired" in said


def test_a_zone_that_nobody_knows_is_read_as_utc(world):
    put(world, "chiara", zone="Mars/Olympus")
    world.alert()
    world.step()
    assert "Since 10:00 UTC" in world.pages("chiara")[0].text


def test_one_row_that_is_damaged_is_set_aside_with_its_reason_and_leaves_once_it_is_mended(world):
    world.alert()
    row = world.store.read(lambda r: r.outbox(recipient="chiara"))[0]
    with world.store.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET payload = x'00' WHERE id = ?", (row.id,))
    world.step()
    assert world.pages("chiara") == [] and world.pages("jonas") != []
    assert f"message {row.id}" in world.engine.poisoned
    with world.store.engine().begin() as connection:
        connection.exec_driver_sql("UPDATE outbox SET payload = ? WHERE id = ?", (row.payload, row.id))
    world.run(MINUTE)
    assert len(world.pages("chiara")) == 1
    assert f"message {row.id}" not in world.engine.poisoned


def test_a_channel_with_a_fault_of_its_own_fails_over_like_one_that_says_no(world):
    class Faulty:
        name, wakes = "sms", True

        def deliver(self, message):
            raise KeyError("sid")

    put(world, "chiara", contacts=(Contact("t", "sms", "+4915112345", "", 1, 1), Contact("p", "console", "chiara", "", 1, 1)))  # fmt: skip
    world.engine.channels["sms"] = Faulty()
    world.alert()
    world.run(20 * SECOND)
    assert len(world.pages("chiara")) == 1
    assert "channel sms" in world.engine.poisoned


def test_a_message_that_left_is_not_sent_again_because_its_incident_cannot_be_told(world):
    sent = []

    class Upgrading(ConsoleChannel):
        """While it delivers, a newer version writes to the incident."""

        def deliver(self, message):
            if not sent:
                written_by_a_newer_version(world)
            sent.append(message.to)
            return super().deliver(message)

    world.engine.channels["console"] = Upgrading()
    world.alert()
    world.step()
    world.clock.advance(5 * MINUTE)
    world.step()
    assert len(sent) == len(set(sent))


# lateness


@pytest.mark.semantics(20)
def test_a_page_that_no_channel_takes_is_late_since_it_was_first_due_and_the_outside_hears_it(world):
    pinged = []
    heartbeat = Heartbeat(world.engine, "https://watchdog.example", pinged.append, steady=ManualClock())
    assert heartbeat.beat()
    world.engine.channels.clear()
    world.engine.channels |= {"console": Broken(), "sms": Broken("sms")}
    world.alert()
    world.run(20 * MINUTE)
    assert world.engine.lateness()[1] >= 20 * MINUTE
    assert "Messages are late" in " ".join(overview.banner(world.engine))
    assert not heartbeat.beat() and len(pinged) == 1


@pytest.mark.semantics(20)
def test_a_page_that_failed_for_good_for_everybody_stays_late_until_somebody_takes_it(world):
    world.engine.channels.clear()
    world.engine.channels |= {
        "console": Broken(permanent=True),
        "sms": Broken("sms", permanent=True),
    }
    world.alert()
    world.run(5 * MINUTE)
    assert world.engine.lateness()[1] >= 5 * MINUTE
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("jonas", c.Acknowledge("INC-1"))
    assert world.engine.lateness()[1] == 0


@pytest.mark.semantics(20)
def test_a_stream_that_is_set_aside_grows_late_and_stops_the_ping(world):
    pinged = []
    heartbeat = Heartbeat(world.engine, "https://watchdog.example", pinged.append, steady=ManualClock())
    world.alert()
    world.step()
    written_by_a_newer_version(world)
    worst = 0
    for _ in range(60):
        world.clock.advance(20 * SECOND)
        world.step()
        worst = max(worst, world.engine.lateness()[0])
    assert worst >= 15 * MINUTE
    assert world.engine.poisoned and not heartbeat.beat() and pinged == []
    assert any("set aside" in one or "could not be worked on" in one for one in overview.banner(world.engine))


def test_what_was_set_aside_is_forgotten_once_it_no_longer_fails(world):
    world.engine.set_aside("x", DeliveryFailed("away"), kind="channel")
    assert world.engine.poisoned == {"x": "DeliveryFailed: away"}
    world.clock.advance(6 * MINUTE)
    assert world.engine.poisoned == {}


@pytest.mark.semantics(19)
def test_work_under_a_lease_that_another_has_taken_is_not_done_twice(world):
    world.alert()
    now = world.clock.now() + 3 * MINUTE
    world.clock.move_to(now)
    rows = world.store.write(lambda tx: tx.lease_timers(now, now + SECOND, "slow", 9))
    world.clock.advance(5 * SECOND)
    other = world.store.write(
        lambda tx: tx.lease_timers(world.clock.now(), world.clock.now() + MINUTE, "quick", 9)
    )
    assert {row.key for row in other} == {row.key for row in rows}
    before = len(world.lines())
    for row in rows:
        world.store.write(world.engine._timer_work(row, "slow"))
    assert len(world.lines()) == before
    for row in other:
        world.store.write(world.engine._timer_work(row, "quick"))
    assert len(world.lines()) > before


# what a page lists


@pytest.mark.semantics(14)
def test_a_new_p1_is_never_held_for_more_than_a_minute_whatever_the_policy_says(tmp_path, monkeypatch):
    monkeypatch.setattr("test_what_happens_to_people.default_policy_text", lambda: SLOW)
    world = World(tmp_path)
    world.do("anna", c.Declare("slow", severity="P2", services=["payments"]))
    world.step()
    world.clock.advance(SECOND)
    world.do("anna", c.Declare("down", severity="P1", services=["payments"]))
    world.run(MINUTE)
    _, second = world.pages("chiara")
    assert "P1 INC-2" in second.title
    assert "INC-1" in second.text, "it lists what the first page asked for too"
    world.store.close()


@pytest.mark.semantics(13, 14)
def test_what_waits_for_working_hours_is_not_listed_by_a_page_at_night(world):
    world.clock.move_to(parse_instant("2026-03-04T02:00:00Z"))
    world.do("anna", c.Declare("slow", severity="P3", services=["payments"]))
    world.run(MINUTE)
    world.do("anna", c.Declare("down", severity="P1", services=["payments"]))
    world.run(MINUTE)
    assert "INC-1" not in world.pages("chiara")[0].text
    world.engine.acknowledge_link(token(world.pages("chiara")[0]))
    assert world.incident("INC-1").holder == ""


@pytest.mark.semantics(14)
def test_a_page_of_many_incidents_tells_the_worst_in_full_and_names_all(world):
    for number in range(30):
        world.do("anna", c.Declare(f"thing {number} is down", severity="P2", services=["payments"]))
    world.step()
    page = world.pages("chiara")[0]
    assert all(f"INC-{n}:" in page.text for n in range(1, 31))
    assert page.text.count("Since ") == 10
    assert "and 29 more" in page.title


@pytest.mark.semantics(12, 14)
def test_a_quiet_page_does_not_count_as_an_interruption(world):
    world.engine.channels["email"] = mail = ConsoleChannel("email")
    contacts = (Contact("p", "console", "chiara", "", 1, 1), Contact("m", "email", "c@x.example", "", 1, 1))
    put(world, "chiara", contacts=contacts)
    world.alert("small request: nicer icon", "k0")
    world.step()
    assert [one.kind for one in mail.messages] == ["page"]
    world.alert()
    world.step()
    assert [one.urgency for one in world.pages("chiara")] == [0]


# what is told together


@pytest.mark.semantics(13)
def test_one_notice_covers_p1s_that_open_together(world):
    for number in range(3):
        world.do("anna", c.Declare(f"outage {number}", severity="P1", services=["payments"]))
    world.step()
    told = [one for one in world.phone.messages if one.to == "kavya" and one.kind == "notice"]
    assert [one.title for one in told] == [
        "3 incidents: P1 INC-1: outage 0; P1 INC-2: outage 1; P1 INC-3: outage 2"
    ]
    world.clock.advance(20 * SECOND)
    for number in (3, 4):
        world.do("anna", c.Declare(f"outage {number}", severity="P1", services=["payments"]))
    wait = [row for row in world.store.read(lambda r: r.outbox(state="waiting")) if row.recipient == "kavya"]
    assert {row.not_before - world.clock.now() for row in wait if row.effect == "notice"} == {40 * SECOND}
    world.run(MINUTE)
    told = [one for one in world.phone.messages if one.to == "kavya" and one.kind == "notice"]
    assert len(told) == 2 and told[1].title.startswith("2 incidents: P1 INC-4")


@pytest.mark.semantics(19)
def test_after_six_hours_down_each_person_gets_one_message(world):
    for number, service in enumerate(("payments", "checkout", "reports", "api")):
        world.alert(f"{service} down", f"k{number}", service=service)
    world.run(2 * MINUTE)
    world.do("chiara", c.Acknowledge("INC-1"))
    world.step()
    sent = len(world.phone.messages)
    world.clock.advance(6 * HOUR)
    world.step()
    people = [one.to for one in list(world.phone.messages)[sent:]]
    assert people and len(people) == len(set(people))


@pytest.mark.semantics(23)
def test_what_is_told_of_a_restricted_incident_is_number_severity_and_link_only(world):
    secret = "zebraquartz"
    world.do("anna", c.Declare(f"{secret} leaked", severity="P1", kind="security", services=["payments"]))
    world.run(MINUTE)
    world.do("anna", c.SetSeverity("INC-1", "P2", f"{secret} is harmless", break_glass="nobody commands"))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("anna", c.Move("INC-1", "false_alarm", f"it was {secret} of accounting", break_glass="mine"))
    world.run(MINUTE)
    assert len(world.phone.messages) > 3
    for one in world.phone.messages:
        assert secret not in str(msgspec.to_builtins(one))
        assert one.data["reason"] == ""
        assert "INC-1 (restricted)" in one.text and "false alarm" not in one.text


@pytest.mark.guide("SEV-1")
def test_every_message_of_a_drill_begins_with_the_word_and_shares_none_with_what_is_real(world):
    world.do("anna", c.Declare("rehearsal", severity="P1", services=["payments"], drill=True))
    world.do("anna", c.Declare("it burns", severity="P1", services=["payments"]))
    world.run(3 * MINUTE)
    drills = [one for one in world.phone.messages if "DRILL-1" in one.text]
    assert drills
    for one in drills:
        assert [text[:5] for text in (one.title, one.text, one.short)] == ["DRILL"] * 3
        assert "INC-1" not in one.text
    real = [one for one in world.phone.messages if "INC-1" in one.text]
    assert real and not any("DRILL" in one.title + one.text for one in real)


@pytest.mark.semantics(17)
def test_where_the_alert_names_no_runbook_and_no_dashboard_those_of_the_service_are_given(world):
    service = world.engine.directory().services["payments"]
    assert service.runbook_url
    world.alert()
    world.step()
    text = world.pages("chiara")[0].text
    assert f"Runbook: {service.runbook_url}" in text
    assert all(f"Dashboard: {one.url}" in text for one in service.dashboards)


# links


@pytest.mark.semantics(16)
def test_the_link_of_somebody_who_was_deactivated_neither_shows_nor_acknowledges(world):
    world.alert()
    world.step()
    link = token(world.pages("chiara")[0])
    put(world, "chiara", active=False)
    with pytest.raises(NotFound, match="no longer active"):
        world.engine.link(link)
    with pytest.raises(NotFound, match="no longer active"):
        world.engine.acknowledge_link(link)
    assert world.incident().holder == ""


@pytest.mark.semantics(9, 16)
def test_the_link_of_a_merged_incident_serves_the_one_that_goes_on(world):
    world.alert()
    world.step()
    page = world.pages("chiara")[0]
    world.do("anna", c.Declare("checkout down", severity="P1", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "the same"))
    assert [one.name for one in world.engine.link(token(page))[1]] == ["INC-2"]
    world.engine.acknowledge_link(token(page))
    assert world.incident("INC-2").holder == "chiara"


@pytest.mark.semantics(16)
def test_a_link_goes_on_serving_what_can_be_read(world):
    world.do("anna", c.Declare("one", severity="P2", services=["payments"]))
    world.do("anna", c.Declare("two", severity="P2", services=["payments"]))
    world.step()
    page = world.pages("chiara")[0]
    written_by_a_newer_version(world, "INC-1")
    assert [one.name for one in world.engine.link(token(page))[1]] == ["INC-2"]
    world.engine.acknowledge_link(token(page))
    assert world.incident("INC-2").holder == "chiara"
    with pytest.raises(FromTheFuture):
        world.incident("INC-1")


# lists


def test_lists_show_what_can_be_read_and_the_banner_says_what_cannot(world):
    world.alert()
    world.step()
    written_by_a_newer_version(world)
    world.alert("sign-in down", "k2", service="authentication")
    anna = person_principal("anna", "owner")
    overview.owed_by(world.engine, person_principal("farid", "responder"))
    assert "authentication" in overview.health(world.engine, anna)
    assert any("INC-1" in one for one in overview.banner(world.engine))


# what leaves with the commit that made it due


class Beside:
    """Deliveries that run beside whoever hands them out; here when they are told to."""

    def __init__(self):
        self.jobs, self.free, self.passes, self.moments = [], True, None, 0
        self.by = []
        """the channel of each"""

    def room(self, channel):
        return 9

    def idle(self):
        return self.free

    def pause(self, micros):
        """``passes``: what happens while a delivery waits; where nothing does, none waits. The moment between messages of a load is
        over at once.
        """
        if micros == APART:
            self.moments += 1
            return True
        return self.passes is not None and self.passes(micros)

    def hand_out(self, channel, job):
        self.jobs.append(job)
        self.by.append(channel)

    def of(self, world):
        """What was handed out by now: the thread that commits has nothing left to do."""
        world.store.write(lambda tx: None)
        return self.jobs


@pytest.mark.semantics(12)
def test_a_page_leaves_with_the_commit_of_its_alert_and_does_not_wait_for_the_next_step(world):
    world.engine.deliveries = beside = Beside()
    world.alert()
    for job in beside.of(world):
        job()
    assert [one.kind for one in world.pages("chiara")] == ["page"]
    assert world.store.read(lambda r: r.outbox(state="leased")) == []
    sent = len(world.phone.messages)
    world.step()
    assert len(world.phone.messages) == sent, "and once only"


def test_the_first_page_of_a_load_has_the_machine_to_itself_for_a_moment(world):
    """Two requests at once in one interpreter both arrive as late as the second. Not where many leave: they would only be late."""
    world.engine.deliveries = beside = Beside()
    waited, kinds, deliver = [], [], world.phone.deliver

    def delivering(message):
        waited.append(beside.moments)
        kinds.append(message.kind)
        return deliver(message)

    world.phone.deliver = delivering
    beside.free = False
    world.alert()
    load = world.store.write(lambda tx: world.engine._sending.load(tx, 200))
    load.composed.parcels.sort(key=lambda one: one.row.effect)  # notices first, as may happen by their ids
    world.engine._sending.dispatch(load)
    assert 1 < len(beside.jobs) <= FEW_APART
    for job in beside.jobs:
        job()
    assert waited == list(range(len(beside.jobs))), "all but the first, each before it leaves"
    assert (kinds[0], kinds[-1]) == ("page", "notice")


def test_the_many_messages_of_a_load_leave_side_by_side(world, monkeypatch):
    monkeypatch.setattr(sending, "FEW_APART", 1)
    world.engine.deliveries = beside = Beside()
    world.alert()
    jobs = list(beside.of(world))
    assert len(jobs) > 1
    for job in jobs:
        job()
    assert world.pages("chiara") and not beside.moments


def test_while_others_are_on_their_way_what_falls_due_is_gathered_for_the_next_step(world):
    world.engine.deliveries = beside = Beside()
    beside.free = False
    world.do("anna", c.Declare("slow", "P2", services=["payments"]))
    world.do("anna", c.Declare("slower", "P2", services=["payments"]))
    assert beside.of(world) == []
    world.engine.step()
    for job in beside.jobs:
        job()
    assert [one.title.partition(" and ")[2] for one in world.pages("chiara")] == ["1 more"]


def hurried(tmp_path, monkeypatch, took=5 * MILLISECOND):
    """Each page may leave at once, and to compose messages takes a time."""
    policy = SLOW.replace("at_most_every: 10m", "at_most_every: 0s")
    monkeypatch.setattr("test_what_happens_to_people.default_policy_text", lambda: policy)
    world, compose = World(tmp_path), delivery.compose

    def composing(*arguments, **more):
        world.clock.advance(took)
        return compose(*arguments, **more)

    monkeypatch.setattr(delivery, "compose", composing)
    return world


def declare(world, *names):
    for name in names:
        world.do("anna", c.Declare(name, "P2", services=["payments"]))


def begin_storm(world):
    """Three incidents whose messages leave together; answers the deliveries and how many those were."""
    world.engine.deliveries = beside = Beside()
    beside.free = False
    declare(world, "one", "two", "three")
    beside.free = True
    world.engine.step()
    assert beside.jobs
    return beside, len(beside.jobs)


def test_the_pages_of_a_storm_wait_for_each_other_and_leave_when_it_is_calm(tmp_path, monkeypatch):
    world = hurried(tmp_path, monkeypatch, 20 * MILLISECOND)
    beside, left = begin_storm(world)
    declare(world, "four", "five")
    assert len(beside.of(world)) == left
    assert world.engine.step() == 0 and len(beside.jobs) == left, "a step does not hurry them"
    due = world.engine.next_due()
    assert 0 < due - world.clock.now() <= CALM
    world.clock.move_to(due)
    world.engine.step()
    for job in beside.jobs:
        job()
    assert [one.title.partition(" and ")[2] for one in world.pages("chiara")] == ["2 more", "4 more"]
    world.store.close()


def test_what_one_incident_sends_is_no_storm(tmp_path, monkeypatch):
    world = hurried(tmp_path, monkeypatch, 20 * MILLISECOND)
    world.engine.deliveries = beside = Beside()
    declare(world, "one")
    left = len(beside.of(world))
    declare(world, "two")
    assert len(beside.of(world)) > left > 0
    world.store.close()


def test_while_it_goes_on_coming_in_they_wait_no_longer_than_a_tenth_of_a_second(tmp_path, monkeypatch):
    world = hurried(tmp_path, monkeypatch, 80 * MILLISECOND)
    beside, left = begin_storm(world)
    more = 0
    while len(beside.of(world)) == left and more < 50:
        world.clock.advance(5 * MILLISECOND)
        declare(world, "one more")
        more += 1
    assert more == LONGEST_REST // (5 * MILLISECOND)
    world.store.close()


def test_while_something_comes_in_it_is_not_calm_however_long_that_takes(tmp_path, monkeypatch):
    world = hurried(tmp_path, monkeypatch, 80 * MILLISECOND)
    begin_storm(world)
    declare(world, "four")

    def long(tx):
        world.clock.advance(2 * CALM)
        return world.engine.next_due() - world.clock.now()

    assert world.engine.submit(long).result() > CALM
    assert 0 < world.engine.next_due() - world.clock.now() <= CALM, "and soon after it is"
    world.store.close()


# what became of it


def told(world):
    """How many facts say what became of a message."""
    return sum(fact.type == "delivery" for fact in world.store.read(lambda r: r.facts_since(0, 10_000)))


def test_what_became_of_the_messages_of_a_storm_is_written_once_it_pauses(tmp_path, monkeypatch):
    """The writer is left to what comes in. A message that failed is another matter: its person's next channel is waited for."""
    world = hurried(tmp_path, monkeypatch, 80 * MILLISECOND)
    beside, _ = begin_storm(world)
    seen = []

    def passes(micros):
        seen.append(told(world))
        world.clock.advance(micros)
        return True

    beside.passes = passes
    left_rows = world.store.read(lambda r: r.outbox(state="leased"))
    for job in beside.jobs:
        job()
    assert seen and not any(seen)
    assert len(seen) * CALM == PAUSE
    assert told(world) == len(left_rows)
    world.store.close()


def test_it_is_written_within_a_second_though_the_storm_goes_on(tmp_path, monkeypatch):
    world = hurried(tmp_path, monkeypatch, 80 * MILLISECOND)
    beside, _ = begin_storm(world)
    began = world.clock.now()

    def passes(micros):
        assert not told(world)
        world.clock.advance(micros)
        beside.free = False
        declare(world, "one more", "and another")
        beside.free = True
        world.engine.step()
        return True

    beside.passes = passes
    beside.jobs[0]()
    assert told(world) and RECORDED_WITHIN <= world.clock.now() - began < RECORDED_WITHIN + LONGEST_REST
    world.store.close()


def test_one_delivery_alone_waits_for_the_pause_and_tells_of_the_others(tmp_path, monkeypatch):
    """A channel has few threads: what waits must not keep the next page from leaving."""
    world = hurried(tmp_path, monkeypatch, 80 * MILLISECOND)
    beside, _ = begin_storm(world)
    first, *others = beside.jobs
    assert others
    waiting = []

    def passes(micros):
        waiting.append(1)
        if len(waiting) == 1:
            for job in others:
                job()
            assert len(waiting) == 1 and not told(world)
        world.clock.advance(micros)
        return True

    beside.passes = passes
    first()
    assert world.store.read(lambda r: r.outbox(state="leased")) == []
    world.store.close()


def with_two_ways_at_once(world):
    """Chiara is pushed and texted for everything, at once; the text messages fail."""
    texted = Contact("text", "sms", "+4915112345678", tested_at=1)
    contacts = (*world.engine.directory().people["chiara"].contacts, texted)
    put(world, "chiara", contacts=contacts, rules=(NotificationRule(("*",), 0, "text"),))
    world.sms = world.engine.channels["sms"] = ConsoleChannel("sms")
    world.sms.fail_next.extend([DeliveryFailed("twilio: no answer within 10 s")] * 50)


def pages_of_the_next(world, beside):
    """Runs what is handed out for one more incident; answers the pages of chiara that are new."""
    known, done = len(world.pages("chiara")), len(beside.jobs)
    world.clock.advance(MILLISECOND)
    declare(world, "one more")
    world.engine.step()
    for job in beside.jobs[done:]:
        job()
    return world.pages("chiara")[known:]


@pytest.mark.semantics(14)
def test_a_channel_that_fails_after_another_rang_makes_nobody_be_paged_again(world):
    """What rang is not written yet, because the storm goes on."""
    with_two_ways_at_once(world)
    beside, _ = begin_storm(world)
    texts = [job for job, channel in zip(beside.jobs, beside.by, strict=True) if channel == "sms"]
    assert texts

    def passes(micros):
        if not world.pages("chiara"):
            return False
        while texts:
            texts.pop()()
        assert pages_of_the_next(world, beside) == []
        world.clock.advance(micros)
        return True

    beside.passes = passes
    for job, channel in zip(list(beside.jobs), list(beside.by), strict=True):
        if channel != "sms":
            job()
    assert not texts and len(world.pages("chiara")) == 1
    assert pages_of_the_next(world, beside) == []


@pytest.mark.semantics(14)
def test_one_that_fails_before_another_rings_lets_go_of_the_minute_until_that_rings(world):
    with_two_ways_at_once(world)
    beside, _ = begin_storm(world)
    jobs = list(zip(beside.jobs, beside.by, strict=True))
    for job, channel in jobs:
        if channel == "sms":
            job()

    def passes(micros):
        assert not world.pages("chiara"), "that somebody was paged after all is written at once"
        return False

    beside.passes = passes
    for job, channel in jobs:
        if channel == "console" and not world.pages("chiara"):
            job()
    beside.passes = None
    assert len(world.pages("chiara")) == 1
    assert pages_of_the_next(world, beside) == []


def test_what_a_provider_tells_of_a_message_comes_after_its_being_taken(world):
    """Its report arrives while that it was taken waits to be written."""
    with_two_ways_at_once(world)
    world.sms.fail_next.clear()
    beside, _ = begin_storm(world)

    def passes(micros):
        if world.sms.messages and not reported:
            reported.append(world.sms.messages[0].id)
            late = Reply("status", message=reported[0], state="failed", detail="no such number")
            assert replies.delivered(world.engine, late)
        world.clock.advance(micros)
        return True

    reported = []
    beside.passes = passes
    for job, _ in sorted(zip(beside.jobs, beside.by, strict=True), key=lambda one: one[1] != "sms"):
        job()
    row = world.store.read(lambda r: r.outbox_row(reported[0]))
    incident = row.scope.partition("/")[2]
    facts = world.store.read(lambda r: r.facts(Stream("incident", incident)))
    said = [
        one.outcome for fact in facts if isinstance(one := f.read(fact), f.Delivery) and one.message == row.id
    ]
    assert said == ["delivered", "failed"]
    assert world.engine.incident(person_principal("anna", "owner"), incident).failed == {"chiara": ["text"]}


def test_a_report_that_another_process_took_first_stands(world, monkeypatch):
    with_two_ways_at_once(world)
    world.sms.fail_next.clear()
    beside, _ = begin_storm(world)
    text = next(job for job, channel in zip(beside.jobs, beside.by, strict=True) if channel == "sms")
    monkeypatch.setattr(world.engine, "settle_gathered", lambda: None)  # it knows nothing of this one

    def passes(micros):
        late = Reply("status", message=world.sms.messages[0].id, state="failed", detail="no such number")
        replies.delivered(world.engine, late)
        world.clock.advance(SECOND)
        return True

    beside.passes = passes
    text()
    row = world.store.read(lambda r: r.outbox_row(world.sms.messages[0].id))
    assert row.state == "done"
    incident = world.engine.incident(person_principal("anna", "owner"), row.scope.partition("/")[2])
    assert incident.failed == {"chiara": ["text"]}
    assert world.store.read(lambda r: r.meta(paged_key("chiara", "sms"))) is None, "and nothing rang"


def test_what_became_of_messages_is_not_forgotten_because_the_store_has_no_room_just_now(world, monkeypatch):
    beside, _ = begin_storm(world)
    submit, refusals = world.store.submit, [Busy("full"), Busy("full"), Busy("full")]

    def refuses(work):
        if refusals:
            raise refusals.pop()
        return submit(work)

    def passes(micros):
        world.clock.advance(micros)
        return True

    beside.passes = passes
    monkeypatch.setattr(world.store, "submit", refuses)
    for job in list(beside.jobs):
        job()
    assert not refusals and world.store.read(lambda r: r.outbox(state="leased")) == []


def test_what_a_channel_has_no_room_for_is_not_composed_again_and_again(world, monkeypatch):
    """Three hundred messages that none joins, and a channel that takes one at a time."""
    world.engine.deliveries = beside = Beside()
    beside.room = lambda channel: 1
    now = world.clock.now()
    rows = [
        OutboxRow(f"o{n:03}", f"k{n}", "test", "console", "chiara", "here", "", "test", 0, now, now, b"{}")
        for n in range(300)
    ]
    world.store.write(lambda tx: tx.put_outbox(rows))
    composed, compose = [], delivery.compose
    monkeypatch.setattr(
        delivery, "compose", lambda tx, some, *rest, **more: composed.append(len(some)) or compose(tx, some, *rest, **more)
    )  # fmt: skip
    for sent in range(1, 9):
        world.engine.step()
        assert len(beside.jobs) == sent
    assert composed[0] > 100 and composed[-1] <= 20
    beside.room = lambda channel: 100
    for _ in range(5):
        world.engine.step()
    assert len(beside.jobs) == 300, "as soon as there is room it takes all of them"


def test_a_clock_that_is_set_back_lets_no_page_rest(tmp_path, monkeypatch):
    world = hurried(tmp_path, monkeypatch)
    beside, left = begin_storm(world)
    world.clock.move_to(world.clock.now() - HOUR)
    declare(world, "four")
    assert len(beside.of(world)) > left
    world.store.close()


def test_nothing_leaves_of_what_was_not_committed(world):
    world.engine.deliveries = beside = Beside()

    def work(tx):
        world.engine.take_in(
            world.engine.work(tx, SYSTEM),
            world.integration,
            [Alert("trigger", "k", "down", "critical", service="payments")],
        )
        raise DeliveryFailed("the disk is full")

    with pytest.raises(DeliveryFailed):
        world.engine.submit(work).result()
    assert beside.of(world) == [] and world.store.read(lambda r: r.outbox()) == []


def test_an_alert_is_taken_although_its_page_cannot_be_composed_yet(world, monkeypatch):
    world.engine.deliveries = beside = Beside()
    monkeypatch.setattr(delivery, "compose", lambda *anything, **more: 1 / 0)
    world.alert()
    assert beside.of(world) == [] and world.incident().severity == "P1"
    assert "sending" in world.engine.poisoned
    monkeypatch.undo()
    world.engine.step()
    for job in beside.of(world):
        job()
    assert len(world.pages("chiara")) == 1


def test_whoever_waits_for_what_is_due_is_woken_where_nothing_could_leave_with_its_commit(world, monkeypatch):
    world.engine.deliveries = beside = Beside()
    woken = []
    world.store.subscribe(lambda: woken.append(len(beside.jobs)), due_only=True)
    world.alert()
    assert beside.of(world) and woken == [], "what leaves is on its way alone"
    for job in beside.jobs:
        job()
    assert woken, "and then the next is looked for"
    woken.clear()
    beside.jobs.clear()
    monkeypatch.setattr(delivery.Composer, "moot", lambda self, row: "nothing left to acknowledge")
    world.alert("sign-in down", "k2", service="authentication")
    assert beside.of(world) == [] and woken
    assert world.store.read(lambda r: r.outbox(state="withdrawn")), (
        "it was looked at, and nothing of it had to leave"
    )


@pytest.mark.parametrize("breaks", [False, True], ids=["all can be told", "one cannot be told"])
def test_what_became_of_messages_is_told_together_and_one_incident_holds_up_no_other(
    world, monkeypatch, breaks
):
    """Messages have left while the writer was busy; a newer version may have written to the incident of some of them."""
    world.engine.deliveries = beside = Beside()
    world.alert()
    world.alert("sign-in down", "k2", service="authentication")
    jobs = list(beside.of(world))
    assert len(jobs) > 2
    if breaks:
        written_by_a_newer_version(world, "INC-1")
    units, end = [], Settling._end
    monkeypatch.setattr(Settling, "_end", lambda *how, **more: (units.append(more), end(*how, **more)))
    gate = threading.Event()
    world.store.submit(lambda tx: gate.wait(10))
    with ThreadPoolExecutor(len(jobs)) as pool:
        done = [pool.submit(job) for job in jobs]
        ends = world.engine._settling
        while ends._ends is None or len(ends._ends[0]._parts) < len(jobs):
            time.sleep(0.005)
        gate.set()
    assert [one.exception() for one in done] == [None] * len(jobs)
    assert world.store.read(lambda r: r.outbox(state="leased")) == []
    assert {fact.type for fact in world.engine.facts(person_principal("anna", "owner"), "INC-2")} >= {
        "delivery"
    }
    if not breaks:
        assert len(units) == 1
    sent = [one.key for one in world.phone.messages]
    world.run(5 * MINUTE)
    assert not set(sent) & {one.key for one in list(world.phone.messages)[len(sent) :]}, "none leaves again"


def test_what_could_not_be_written_for_a_moment_is_written_with_the_next_attempt(world):
    """Somebody else holds the database just as a page has left: its end cannot be written, and everything after that can."""
    world.store.write(
        lambda tx: tx.session.connection.execute("PRAGMA busy_timeout = 50").fetchall() and None
    )
    deliver, held = world.phone.deliver, []

    def delivering(message):
        receipt = deliver(message)
        if not held:
            held.append(world.store.engine().connect())
            held[0].exec_driver_sql("SELECT 1")
        return receipt

    world.phone.deliver = delivering
    world.alert()
    with pytest.raises(Busy):
        world.step()
    held[0].rollback()
    held[0].close()
    world.clock.advance(2 * MINUTE)
    world.step()
    rows = world.store.read(lambda r: r.outbox())
    assert [row.state for row in rows if row.effect == "page"] == ["done"] * len(
        [row for row in rows if row.effect == "page"]
    )
    keys = [one.key.partition("+")[0] for one in world.phone.messages]
    assert max(keys.count(key) for key in keys) == 2, "one left twice, as the same page"


def test_an_end_under_a_lease_that_another_has_taken_is_not_told(world):
    """A worker hung for longer than its lease; its row was leased and delivered by another. Both ends meet in one unit of work."""
    world.engine.deliveries = beside = Beside()
    beside.free = False
    world.alert()
    way_out = world.engine._sending
    first = world.store.write(lambda tx: way_out.load(tx, 200))
    world.clock.advance(2 * MINUTE)
    second = world.store.write(lambda tx: way_out.load(tx, 200))
    row = first.composed.parcels[0].row
    again = next(one for parcel in second.composed.parcels for one in parcel.rows if one.id == row.id)
    told = [Told(again, second.lease, "accepted"), Told(row, first.lease, "failed", "timed out")]
    world.engine._settling.settle(told)
    assert world.store.read(lambda r: r.outbox_row(row.id)).state == "done"
    texts = [one.text for one in world.lines()]
    assert any("took the message" in text for text in texts)
    assert not any("timed out" in text for text in texts)


def test_what_a_provider_says_may_hold_anything_and_the_next_channel_is_tried(world):
    world.engine.channels["console"] = Refusing()
    world.alert()
    world.step()
    rows = [row for row in world.store.read(lambda r: r.outbox()) if row.effect == "page"]
    assert rows and {row.state for row in rows} == {"failed"}
    assert any("400: bad � body" in one.text for one in world.lines())


class Refusing:
    """Refuses for good, in words that no database keeps."""

    wakes = True

    def deliver(self, message):
        raise DeliveryFailed("400: bad \x00 body", permanent=True)


def test_a_unit_of_work_goes_with_its_last_reference_and_waits_for_no_collector(world):
    """Thousands of them come each second: in cycles they would lie about, and passes over them hold up everybody."""
    left = []

    def work(tx):
        unit = world.engine.work(tx, SYSTEM)
        unit.new_ids(3)
        left.append(weakref.ref(unit))

    gc.disable()
    try:
        world.store.write(work)
        world.store.write(lambda tx: None)
        assert left[0]() is None
    finally:
        gc.enable()
