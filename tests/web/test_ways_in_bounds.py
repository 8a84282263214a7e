"""What a stranger may send and how it is answered: heads without end, odd encodings, slashes, far years, mended mappings."""

import json
import socket
from urllib.parse import urlsplit

import pytest

from door_site import door_site, key_of
from tocsin.engine import changes as c
from tocsin.engine.administration import administer
from tocsin.identity.principals import person_principal
from tocsin.kernel.clock import HOUR
from tocsin.kernel.errors import UnusableMany

ANNA = person_principal("anna", "owner")


@pytest.fixture
def site(tmp_path):
    with door_site(tmp_path) as running:
        yield running


def event(**more):
    payload = {"summary": "disk full", "source": "db1", "severity": "error", **more.pop("payload", {})}
    return {"routing_key": key_of("pagerduty"), "event_action": "trigger", "payload": payload, **more}


def raw(site, *pieces):
    """What a server answers to bytes as they are."""
    parts = urlsplit(site.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
        except OSError:
            pass  # the server has said what it had to say and hung up
        answer = b""
        try:
            while chunk := line.recv(65536):
                answer += chunk
        except OSError:
            pass
    return answer


@pytest.mark.parametrize(
    "pieces",
    [
        [*[b"X: " + b"a" * 30_000 + b"\r\n"] * 3, b"\r\n"],
        [b"X: ", *[b"a" * 60_000] * 20],
        [b"X-%d: b\r\n" % number for number in range(9_000)],
    ],
    ids=["long headers", "one that never ends", "many"],
)
def test_a_head_without_end_is_refused_before_it_fills_the_memory(site, pieces):
    answer = raw(site, b"POST /in/generic HTTP/1.1\r\nHost: x\r\n", *pieces)
    assert answer.startswith(b"HTTP/1.1 431 ") and b"\r\nx-content-type-options: nosniff\r\n" in answer
    assert site.send("generic", json={"summary": "x"}).status_code == 202


@pytest.mark.parametrize(
    "said", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"GET\r\n\r\n", b"GET / HTTP/1.1\r\nHost\r\n\r\n"]
)
def test_what_is_no_request_is_refused_in_words_that_nobody_runs(site, said):
    answer = raw(site, said)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"\r\nx-content-type-options: nosniff\r\n" in answer
    assert answer.endswith(b"Invalid HTTP request received.") and b"\r\nconnection: close\r\n" in answer


def test_a_head_of_ordinary_size_is_read(site):
    answer = raw(
        site, b"GET /-/ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: " + b"a" * 60_000 + b"\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/in/generic/{generic}/", "/in/heartbeat/{heartbeat}/", "/in/alertmanager/{prometheus}/api/v2/alerts/"])  # fmt: skip
def test_a_slash_at_the_end_is_tolerated_and_never_redirected(site, path):
    keys = {name: key_of(name) for name in ("generic", "heartbeat", "prometheus")}
    body = [{"labels": {"alertname": "A"}}] if "alerts" in path else {"summary": "x"}
    answer = site.post(path.format(**keys), json=body)
    assert answer.status_code in (200, 202)
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path", ["//in/generic/{generic}", "/in//generic//{generic}", "//v2/enqueue", "/v2//enqueue//"]
)
def test_a_base_that_ends_with_a_slash_loses_no_alert(site, path):
    """The sender joined its base and the path, and a 404 makes it give the alert up."""
    body = event() if "enqueue" in path else {"summary": "x"}
    answer = site.post(path.format(generic=key_of("generic")), json=body)
    assert answer.status_code == 202, answer.text


def test_a_number_that_is_too_large_is_called_so(site):
    answer = site.post(f"/in/generic/{key_of('generic')}", content=b'{"summary": "x", "value": 1e309}')
    assert answer.status_code == 400
    assert "a number that is too large" in answer.text and "valid JSON" not in answer.text


@pytest.mark.parametrize("source", ["alertmanager", "grafana"])
def test_an_alert_with_a_nul_takes_no_other_of_its_notification_with_it(site, source):
    """Neither sends again what was answered with a 4xx."""
    alerts = [{"status": "firing", "labels": {"alertname": name}} for name in ("odd \x00 one", "plain")]
    answer = site.post(f"/in/{source}/{key_of(source)}", json={"version": "4", "alerts": alerts})
    assert answer.status_code == 202, answer.text
    assert len(answer.json()["alerts"]) == 2


def test_the_events_api_knows_three_answers(site):
    refused = [
        event(routing_key="nobody"),
        event(routing_key=key_of("generic")),
        event(payload={"severity": "grave"}),
        event(dedup_key="x" * 256),
    ]
    for one in refused:
        answer = site.post("/v2/enqueue", json=one)
        assert (answer.status_code, answer.json()["status"]) == (400, "invalid event"), one
        assert answer.json()["errors"]
    zipped = site.post("/v2/enqueue", content=b"x", headers={"Content-Encoding": "gzip"})
    assert (zipped.status_code, zipped.json()["status"]) == (400, "invalid event")
    assert site.post("/v2/enqueue/", json=event()).status_code == 202


@pytest.mark.parametrize(
    "moment", ["soon", "2026-99-99T00:00:00Z", 10**18, "9999-12-31T23:59:59Z", "a." * 8000]
)
def test_an_event_is_not_lost_for_its_clock(site, moment):
    answer = site.post("/v2/enqueue", json=event(dedup_key="k", payload={"timestamp": moment}))
    assert answer.status_code == 202
    assert site.alerts() == {"k": "firing"}


@pytest.mark.parametrize("letter", ["x", "ü", "日", "😀"])
def test_a_dedup_key_of_255_characters_is_taken_in_any_script_and_echoed(site, letter):
    key = letter * 255
    assert site.post("/v2/enqueue", json=event(dedup_key=key)).json()["dedup_key"] == key
    assert (
        site.post("/v2/enqueue", json=event(dedup_key=key, event_action="resolve")).json()["dedup_key"] == key
    )
    assert list(site.alerts().values()) == ["resolved"]


def test_what_is_nested_without_end_is_refused_everywhere(site):
    deep = b"[" * 900 + b"1" + b"]" * 900
    body = b'{"status":"firing","alerts":[{"labels":{"a":"b"},"values":%s}]}' % deep
    for name in ("alertmanager", "grafana", "generic"):
        answer = site.send(name, content=body)
        assert answer.status_code == 400
        assert "nested" in answer.json()["detail"]
    answer = site.post("/v2/enqueue", content=json.dumps(event()).encode()[:-1] + b',"x":' + deep + b"}")
    assert (answer.status_code, answer.json()["status"]) == (400, "invalid event")


def test_a_path_that_looks_like_a_thousand_addresses_answers_at_once(site):
    answer = site.post("/in/" + "a." * 20_000)
    assert answer.status_code == 404
    assert len(answer.text) < 1000


def test_a_mended_mapping_works_with_the_next_request(site):
    made = administer(
        site.engine, ANNA, c.AddIntegration("mapped", "generic", mapping={"summary": "wrong.path"})
    )
    body = {"alert": {"title": "disk full"}}
    assert site.post(f"/in/generic/{made['secret']}", json=body).status_code == 400
    administer(site.engine, ANNA, c.ChangeIntegration(made["id"], mapping={"summary": "alert.title"}))
    assert site.post(f"/in/generic/{made['secret']}", json=body).status_code == 202
    assert site.post(f"/in/generic/{made['secret']}", json={"wrong": {"path": "x"}}).status_code == 400


@pytest.mark.parametrize(
    "mapping", [{"nope": "x"}, {"summary": "{{ a }}{{ b"}, {"summary": "a" * 10_000}, {"source": "a"}]
)
def test_a_mapping_that_cannot_be_used_is_refused_when_it_is_saved(site, mapping):
    with pytest.raises(UnusableMany, match=r"mapping\."):
        administer(site.engine, ANNA, c.AddIntegration("mapped", "generic", mapping=mapping))


def test_alertmanagers_view_shows_what_is_really_held_back(site):
    def silence(matcher):
        body = {
            "matchers": [{"name": "alertname", "value": matcher, "isRegex": False}],
            "startsAt": "2026-03-03T10:00:00Z", "endsAt": "2026-03-03T11:00:00Z", "createdBy": "a", "comment": "c",
        }  # fmt: skip
        return site.api("POST", "/silences", json=body).json()["silenceID"]

    def status(name):
        return site.api("GET", "/alerts", params={"filter": f"alertname={name}"}).json()[0]["status"]

    own = silence("known")
    silence("outage")
    site.api("POST", "/alerts", json=[{"labels": {"alertname": "known"}}])
    outage = {"labels": {"alertname": "outage"}, "annotations": {"summary": "complete platform outage"}}
    site.api("POST", "/alerts", json=[outage])
    assert status("known") == {"inhibitedBy": [], "mutedBy": [], "silencedBy": [own], "state": "suppressed"}
    assert status("outage")["state"] == "active", "it is a P1, and the silence does not cover that"
    everywhere = c.AddSilence(
        matchers=["alertname=everywhere"], reason="we know", ends_at=site.clock.now() + HOUR
    )
    administer(site.engine, ANNA, everywhere)
    site.api("POST", "/alerts", json=[{"labels": {"alertname": "everywhere"}}])
    found = status("everywhere")
    assert (found["state"], found["silencedBy"]) == ("suppressed", []), (
        "it names none that GET /silence does not know"
    )
    assert site.api("GET", "/silences", params={"creator": "nobody"}).json() == []
    assert len(site.api("GET", "/silences", params={"creator": "a"}).json()) == 2


def test_a_silence_until_the_end_of_time_is_refused_and_stops_nothing(site):
    body = {
        "matchers": [{"name": "a", "value": "b", "isRegex": False}], "startsAt": "2026-03-03T10:00:00Z",
        "endsAt": "9999-12-31T23:59:59Z", "createdBy": "a", "comment": "c",
    }  # fmt: skip
    refused = site.api("POST", "/silences", json=body)
    assert (refused.status_code, "2100" in refused.json()) == (400, True)
    never = [{"labels": {"a": "b"}, "endsAt": "9999-12-31T23:59:59Z"}]
    assert site.api("POST", "/alerts", json=never).status_code == 200, "an alert that never ends is one"
    assert site.api("GET", "/alerts").status_code == 200
