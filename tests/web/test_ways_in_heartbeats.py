"""Silence that is an alert: heartbeats over HTTP, senders that stop, and a server that could not hear."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from door_site import DoorSite, door_site, key_of
from tocsin.engine import heartbeats
from tocsin.kernel.clock import HOUR, MINUTE, SECOND
from tocsin.kernel.codec import encode

BEAT = "/in/heartbeat/" + key_of("heartbeat")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DoorSite]:
    with door_site(tmp_path) as one:
        yield one


def state(site, name="heartbeat"):
    kind = "heartbeat" if name == "heartbeat" else "silence"
    return site.alerts().get(f"{kind}/{name}")


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_a_beat_is_taken_and_says_when_the_next_is_late(site, method):
    answer = site.call(method, BEAT)
    assert answer.status_code == 202
    if method != "HEAD":
        assert "2026-03-03T10:05:00" in answer.json()["message"]
    assert site.call(method, "/in/heartbeat/nobody").status_code == 401
    assert site.call(method, "/in/heartbeat/" + key_of("generic")).status_code == 403


def test_a_beat_may_carry_a_body_of_any_size(site):
    assert site.post(BEAT, content=b"\xff" * 3_000_000).status_code == 202
    assert site.call("GET", BEAT).status_code == 202


def test_silence_past_the_interval_pages_and_the_next_beat_clears_it(site):
    site.run(HOUR)
    assert state(site) is None, "a job that never ran has nobody waiting"
    site.post(BEAT)
    site.run(4 * MINUTE)
    site.post(BEAT)
    site.run(4 * MINUTE)
    assert state(site) is None
    site.run(2 * MINUTE)
    assert state(site) == "firing"
    page = next(one for one in site.phone.messages if one.kind == "page")
    assert "no beat for 5 min, one is expected every 5 min" in page.text
    site.post(BEAT)
    assert state(site) == "resolved"
    site.run(6 * MINUTE)
    assert state(site) == "firing", "and the clock runs again"


def test_a_grace_is_waited_for(site):
    integration = site.add("patient", "heartbeat", interval=5 * MINUTE, grace=10 * MINUTE)
    site.post("/in/heartbeat/" + key_of("patient"))
    site.run(14 * MINUTE)
    assert "heartbeat/patient" not in site.alerts()
    assert not site.ways.state(integration).overdue
    site.run(2 * MINUTE)
    assert site.alerts()["heartbeat/patient"] == "firing"
    assert site.ways.state(integration).overdue


@pytest.mark.semantics(3)
def test_time_in_which_nothing_could_be_received_does_not_count(site):
    site.post(BEAT)
    start = site.clock.now()
    site.clock.advance(6 * HOUR)
    deaf = {"times": [(start + MINUTE, site.clock.now() - MINUTE)], "incident": "x"}
    site.store.write(lambda tx: tx.put_meta(heartbeats.DEAF, encode(deaf)))
    site.run(SECOND)
    assert state(site) is None
    site.run(4 * MINUTE)
    assert state(site) == "firing"


@pytest.mark.semantics(3)
def test_a_short_absence_gives_the_sender_as_long_again(site):
    site.post(BEAT)
    site.clock.advance(7 * MINUTE)
    site.run(SECOND)
    assert state(site) is None, "whoever was away when it fell due may have missed the beat"
    site.run(3 * MINUTE)
    assert state(site) == "firing"


@pytest.mark.semantics(3)
def test_a_whole_sender_that_falls_silent_is_an_alert_of_its_own(site):
    site.add("prom", "prometheus", interval=10 * MINUTE)
    for _ in range(30):
        assert site.api("POST", "/alerts", "prom", json=[]).status_code == 200
        site.run(MINUTE)
    assert state(site, "prom") is None
    site.run(12 * MINUTE)
    assert state(site, "prom") == "firing"
    assert "The prom fell silent" in site.store.read(lambda r: r.alerts(integration="prom"))[0].summary
    site.api("POST", "/alerts", "prom", json=[])
    assert state(site, "prom") == "resolved"


def test_a_busy_sender_does_not_write_its_every_sign_of_life(site):
    site.add("busy", "generic", interval=100 * MINUTE)
    written = []
    for _ in range(5):
        site.post("/in/generic/" + key_of("busy"), json={"summary": "x"})
        written.append(site.store.read(lambda r: heartbeats.last_beat(r, "busy")).last_at)
    assert len(set(written)) == 1


def test_a_heartbeat_that_is_removed_or_loses_its_interval_is_forgotten(site):
    integration = site.add("old", "heartbeat", interval=5 * MINUTE)
    site.post("/in/heartbeat/" + key_of("old"))
    integration.interval = 0
    site.put(integration)
    site.run(HOUR)
    assert "heartbeat/old" not in site.alerts()
    site.post(BEAT)
    site.store.write(lambda tx: tx.delete_record("integration", "heartbeat"))
    site.run(HOUR)
    assert state(site) is None
    assert site.store.read(lambda r: r.timer("heartbeat", "heartbeat")) is None
    assert site.store.read(lambda r: r.metas("beat/heartbeat")) == {}
