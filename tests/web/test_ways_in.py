"""Every way in over HTTP: who is let in, what is answered, and what the integration's owner is shown."""

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from door_site import DoorSite, door_site, key_of
from tocsin.app import build
from tocsin.engine.receiving import Integration
from tocsin.engine.ways_in import WaysIn
from tocsin.identity.principals import person_principal
from tocsin.incidents.duties import owed
from tocsin.intake.gate import Gate
from tocsin.intake.sources import SOURCES, TEST_SUMMARY
from tocsin.kernel.clock import HOUR, MINUTE
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import Busy
from tocsin.settings import Settings

SAMPLES = Path(os.environ.get("TOCSIN_SAMPLES", Path(__file__).parents[3] / "shared")) / "payloads"
WEBHOOKS = [source for source in SOURCES.values() if source.kind == "webhook"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DoorSite]:
    with door_site(tmp_path) as one:
        yield one


def kept(site, name):
    return site.ways.requests(name)


@pytest.mark.parametrize("source", WEBHOOKS, ids=[one.name for one in WEBHOOKS])
def test_a_webhook_is_answered_202_with_what_became_of_each_alert(site, source):
    body = source.sample(site.clock.now(), key_of(source.name))
    first, again = site.send(source.name, content=body), site.send(source.name, content=body)
    assert (first.status_code, again.status_code) == (202, 202)
    assert [one["event"] for one in first.json()["alerts"]] == ["opened"]
    assert "opened INC-1" in first.json()["alerts"][0]["reason"]
    assert [one["event"] for one in again.json()["alerts"]] == ["repeated"]
    assert list(site.alerts().values()) == ["firing"]
    assert [(one.status, "opened INC-1" in one.reason) for one in kept(site, source.name)] == [
        (202, False),
        (202, True),
    ]


@pytest.mark.semantics(24)
def test_a_key_opens_its_own_address_and_nothing_else(site):
    body = {"summary": "disk full"}
    assert site.post("/in/generic/nobody", json=body).status_code == 401
    assert site.post("/in/generic", json=body).status_code == 401
    assert site.post("/in/grafana/" + key_of("generic"), json=body).status_code == 403
    assert "/in/generic/KEY" in site.post("/in/grafana/" + key_of("generic"), json=body).json()["detail"]
    missing = site.post("/in/nagios/" + key_of("generic"), json=body)
    assert missing.status_code == 404
    assert "generic" in missing.json()["detail"]
    assert "/v2/enqueue" in site.post("/in/pagerduty/" + key_of("pagerduty"), json=body).json()["detail"]
    assert site.call("GET", "/in/generic/" + key_of("generic")).status_code == 405
    event = {"routing_key": key_of("generic"), "event_action": "resolve", "dedup_key": "k"}
    other = site.post("/v2/enqueue", json=event)
    assert (other.status_code, other.json()["status"]) == (400, "invalid event"), (
        "the protocol has no other refusal"
    )
    assert "/in/generic/KEY" in other.json()["errors"][0]
    assert site.alerts() == {}


def test_the_key_may_stand_in_the_header(site):
    headers = {"Authorization": f"Bearer {key_of('generic')}"}
    assert site.post("/in/generic", json={"summary": "x"}, headers=headers).status_code == 202
    for auth in ((key_of("generic"), ""), ("tocsin", key_of("generic"))):
        assert site.post("/in/generic", json={"summary": "x"}, auth=auth).status_code == 202
    bad = {"Authorization": "Basic %%%"}
    assert site.post("/in/generic", json={"summary": "x"}, headers=bad).status_code == 401


def test_a_key_that_was_taken_away_or_changed_counts_at_once(site):
    assert site.send("generic", json={"summary": "x"}).status_code == 202
    site.store.write(lambda tx: tx.delete_record("integration", "generic"))
    assert site.send("generic", json={"summary": "x"}).status_code == 401


def test_a_refusal_says_what_and_where_and_is_kept_for_the_owner(site):
    refused = site.send("alertmanager", json={"alerts": [{"labels": []}], "token": "abc"})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    assert "$.alerts" in refused.json()["where"] + refused.json()["detail"]
    (one,) = kept(site, "alertmanager")
    assert one.status == 400
    assert "labels" in one.reason
    assert "abc" not in one.body


def test_what_can_be_used_of_a_body_is_taken_though_the_rest_is_refused(site):
    answer = site.send("generic", json=[{"summary": "disk full"}, {"nothing": 1}])
    assert answer.status_code == 400
    assert answer.json()["alerts"][0]["event"] == "opened"
    assert "$[1]" in answer.json()["refused"][0]
    assert list(site.alerts().values()) == ["firing"]


def test_the_key_is_not_kept_with_the_body(site):
    event = {"routing_key": key_of("pagerduty"), "event_action": "resolve", "dedup_key": "k"}
    assert site.post("/v2/enqueue", json=event).status_code == 202
    assert site.post("/v2/enqueue", json=event | {"event_action": "shout"}).status_code == 400
    rows = site.store.read(lambda r: r.requests("pagerduty"))
    assert [row.status for row in rows] == [400, 202]
    assert not any(key_of("pagerduty").encode() in bytes(row.body) for row in rows)


def test_sizes_and_encodings_are_refused_before_the_body_is_read(site):
    parts = urlsplit(site.url)
    for headers, status in (
        ({"Content-Length": str(50 * 1024 * 1024)}, 413),
        ({"Content-Encoding": "gzip", "Content-Length": "10"}, 415),
    ):
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        connection.putrequest("POST", "/in/generic/" + key_of("generic"))
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()


def test_a_chunked_body_is_counted_while_it_comes(site):
    def endless():
        for _ in range(64):
            yield b" " * 65536

    with httpx2.Client(base_url=site.url, timeout=20) as client:
        path = "/in/generic/" + key_of("generic")
        assert client.post(path, content=b" " * 2_000_000).status_code == 413
        assert client.post(path, json={"summary": "x"}).status_code == 202, "the next one on the same line"
    assert site.send("generic", content=endless()).status_code == 413
    assert site.send("generic", content=iter([b'{"summary"', b':"x"}'])).status_code == 202
    assert "larger than" in site.post("/v2/enqueue", content=endless()).json()["errors"][0]


def in_the_words_of_each_protocol(site):
    """A full intake: 503 for webhooks and Alertmanager's API, 429 for the Events API, each with the time to wait."""
    webhook = site.send("generic", json={"summary": "x"})
    assert (webhook.status_code, webhook.headers["retry-after"]) == (503, "5")
    event = {"routing_key": key_of("pagerduty"), "event_action": "resolve", "dedup_key": "k"}
    events = site.post("/v2/enqueue", json=event)
    assert (events.status_code, events.headers["retry-after"]) == (429, "5")
    assert set(events.json()) == {"status", "message", "errors"}
    api = site.api("POST", "/alerts", json=[])
    assert (api.status_code, api.headers["retry-after"]) == (503, "5")
    assert isinstance(api.json(), str)


@contextmanager
def half_a_body(site):
    """A sender that has begun and does not go on; yields its connection."""
    parts = urlsplit(site.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as sender:
        head = f"POST /in/generic/{key_of('generic')} HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n"
        sender.sendall(head.encode() + b'{"summary":')
        yield sender


def test_a_full_gate_says_so_and_lets_in_again_when_somebody_has_gone(tmp_path):
    gate = Gate(max_requests=1)
    with door_site(tmp_path, gate=gate) as site:
        with half_a_body(site) as sender:
            while not gate.bytes:
                time.sleep(0.01)
            in_the_words_of_each_protocol(site)
            sender.sendall(b'"x"}')
            assert b" 202 " in sender.recv(1000)
        assert site.send("generic", json={"summary": "x"}).status_code == 202
        with half_a_body(site):
            while not gate.bytes:
                time.sleep(0.01)
        while gate.bytes:
            time.sleep(0.01)
        assert site.send("generic", json={"summary": "x"}).status_code == 202


def test_too_many_bytes_on_their_way_in_are_too_many(tmp_path):
    with door_site(tmp_path, gate=Gate(max_bytes=1000)) as site:
        assert site.send("generic", json={"summary": "x" * 2000}).status_code == 503
        assert site.send("generic", json={"summary": "x"}).status_code == 202


def test_a_full_queue_of_the_store_is_told_in_the_same_way(site, monkeypatch):
    def submit(work):
        raise Busy("10000 writes wait for the disk already. Try again in a few seconds.")

    monkeypatch.setattr(site.store, "submit", submit)
    in_the_words_of_each_protocol(site)


def test_a_body_that_does_not_come_is_given_up(site, monkeypatch):
    monkeypatch.setattr("tocsin.web.door.READ_SECONDS", 0.1)
    with half_a_body(site) as sender:
        assert b" 408 " in sender.recv(1000)


def test_the_gate_counts_requests_and_bytes_and_gives_them_back():
    gate = Gate(max_requests=2, max_bytes=100)
    with gate.enter() as first, gate.enter():
        with pytest.raises(Busy):
            gate.enter()
        first.add(100)
        with pytest.raises(Busy):
            first.add(1)
    assert (gate.requests, gate.bytes, gate.refused) == (0, 0, 2)
    with gate.enter() as again:
        again.add(100)


def test_a_flood_of_accepted_requests_does_not_push_refused_ones_out(site):
    site.send("generic", json={"nothing": 1})
    for _ in range(60):
        assert site.send("generic", json={"summary": "x"}).status_code == 202
    assert [one.status for one in kept(site, "generic")][-1] == 400
    assert len(kept(site, "generic")) < 30


def test_an_owner_sees_the_snippet_again_and_sends_a_test_that_wakes_nobody(site):
    integration = site.add("web", "generic")
    assert f"https://t.example/in/generic/{key_of('web')}" in site.ways.snippet(integration)
    site.ways.send_test("web")
    site.run(MINUTE)
    assert not site.phone.messages
    assert "a test: " in kept(site, "web")[0].reason


def test_a_test_that_pages_is_marked_ends_by_itself_and_takes_no_real_alert(site):
    site.add("web", "generic", service="payments")
    tested = site.ways.send_test("web", page=True)
    assert tested.outcomes[0].event == "opened"
    assert (
        site.post("/in/generic/" + key_of("web"), json={"summary": "payments answer slowly"}).status_code
        == 202
    )
    site.run(MINUTE)
    opened = {f"{row.series}-{row.number}": row for row in site.store.read(lambda r: r.streams("incident"))}
    assert {name: row.title for name, row in opened.items()} == {
        "TEST-1": f"TEST: {TEST_SUMMARY}",
        "INC-1": "payments answer slowly",
    }
    assert [one for one in site.phone.messages if one.ack_url and TEST_SUMMARY in one.text]
    site.run(10 * MINUTE)
    anna = person_principal("anna", "owner")
    test = site.engine.incident(anna, "TEST-1")
    assert (test.status, test.resolved_by_person) == ("resolved", False)
    policy = site.store.read(lambda r: site.engine.policy_of(r, test.policy)[0])
    assert [duty.rule for duty in owed(test, policy)] == [], "a test is not to be learned from"
    assert site.engine.incident(anna, "INC-1").open


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_every_integration_can_send_itself_a_test(site, name):
    tested = site.ways.send_test(name)
    assert [one.event for one in tested.outcomes] == ["rehearsed"]
    assert "opened TEST-1 as P2: " in tested.outcomes[0].reason
    assert "paged Farid Rahimi: on call: " in tested.outcomes[0].reason
    site.run(HOUR)
    assert site.alerts() == {}
    assert not site.phone.messages
    assert site.store.read(lambda r: r.streams("incident")) == []


def test_every_sample_of_a_real_sender_is_accepted_or_refused_with_a_sentence(site):
    files = sorted(SAMPLES.glob("*/*.json"))
    if not files:
        pytest.skip(f"no sample data at {SAMPLES}")
    accepted = set()
    own = {"alertmanager": "alertmanager", "grafana": "grafana", "grafana-legacy": "grafana", "pingdom": "pingdom", "aws-sns": "cloudwatch"}  # fmt: skip
    for path in files:
        for source in WEBHOOKS:
            answer = site.send(source.name, content=path.read_bytes())
            assert answer.status_code in (202, 400), (path.name, source.name, answer.text)
            if answer.status_code == 202:
                accepted.add((path.parent.name, source.name))
            else:
                assert answer.json()["detail" if "detail" in answer.json() else "refused"]
    assert set(own.items()) <= accepted


def test_a_confirmation_of_amazons_is_shown_to_the_owner(site):
    url = f"https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token={'2336' * 120}"
    body = json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "arn:x", "SubscribeURL": url})
    sent = site.send("cloudwatch", content=body, headers={"Content-Type": "text/plain; charset=UTF-8"})
    assert sent.status_code == 202
    assert "an owner finds the address" in kept(site, "cloudwatch")[0].reason
    assert url in kept(site, "cloudwatch")[0].headers, "which are for owners"
    assert "ConfirmSubscription" not in sent.text


def test_the_first_integration_shows_its_key_again(tmp_path):
    tocsin = build(Settings(data=str(tmp_path)))
    ways = WaysIn(tocsin.engine)
    (row,) = tocsin.store.read(lambda r: r.records("integration"))
    assert tocsin.notes["integration_key"] in ways.snippet(decode(row.body, Integration))
    tocsin.store.close()
