"""Whatever is sent to whichever address of intake: a clear answer, and never a 5xx."""

import json
import random
from collections.abc import Iterator

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from any_json import JSON
from door_site import DoorSite, door_site, key_of
from tocsin.intake.sources import SOURCES
from tocsin.kernel.clock import MINUTE

POSTS = [
    "/v2/enqueue",
    "/v2/change/enqueue",
    *(f"/in/{one.name}/{key_of(one.name)}" for one in SOURCES.values() if one.kind == "webhook"),
    f"/in/alertmanager/{key_of('prometheus')}/api/v2/alerts",
    f"/in/alertmanager/{key_of('prometheus')}/api/v2/silences",
    f"/in/heartbeat/{key_of('heartbeat')}",
]
EVENT = {
    "routing_key": key_of("pagerduty"), "event_action": "trigger", "dedup_key": "k",
    "payload": {"summary": "s", "source": "x", "severity": "info", "custom_details": {}},
}  # fmt: skip
SILENCE = {
    "matchers": [{"name": "a", "value": "b", "isRegex": False}], "startsAt": "2026-03-03T10:00:00Z",
    "endsAt": "2026-03-03T11:00:00Z", "createdBy": "a", "comment": "c",
}  # fmt: skip
ALERT = {
    "status": "firing",
    "labels": {"alertname": "A"},
    "annotations": {},
    "startsAt": "2026-03-03T10:00:00Z",
}
UGLY = {
    "nothing": b"",
    "blank": b"   ",
    "deep list": b"[" * 10_000,
    "deep and whole": b"[" * 10_000 + b"]" * 10_000,
    "deep object": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "surrogate": b'{"summary":"\\ud800","routing_key":"\\udfff"}',
    "surrogate bytes": b'{"summary":"\xed\xa0\x80"}',
    "NUL": b'{"summary":"a\\u0000b"}',
    "bare NUL": b'{"summary":"a\x00b"}',
    "no UTF-8": b'{"summary":"\xff\xfe"}',
    "UTF-16": '{"summary":"x"}'.encode("utf-16"),
    "huge integer": b'{"summary":"x","id":' + b"9" * 5000 + b"}",
    "64 bits and one": b'{"summary":"x","severity":18446744073709551616,"timestamp":-9223372036854775809}',
    "infinity": b'{"summary":"x","id":1e999}',
    "NaN": b'{"summary":NaN,"id":Infinity}',
    "BOM": b'\xef\xbb\xbf{"summary":"x"}',
    "twice": b'{"summary":"x","summary":[],"summary":{"a":1}}',
    "form": b"payload=%7B%7D&x=1",
    "multipart": b'--x\r\nContent-Disposition: form-data; name="data"\r\n\r\n{}\r\n--x--',
    "text": b'"just text"',
    "number": b"0",
    "null": b"null",
    "nulls": b"[null, null]",
    "year one": json.dumps([ALERT | {"startsAt": "0001-01-01T00:00:00+14:00", "endsAt": "9999-12-31T23:59:59-14:00"}]).encode(),
}  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoorSite]:
    with door_site(tmp_path_factory.mktemp("fuzz")) as one:
        yield one


@pytest.fixture(scope="module")
def client(site: DoorSite) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=site.url, timeout=20) as one:
        yield one


def fits(answer: httpx2.Response) -> None:
    """An answer that a sender can do something with."""
    assert answer.status_code in (200, 202, 400), (answer.status_code, answer.text[:500])
    if answer.status_code == 400:
        assert answer.text.strip('"{} '), "a refusal says what is wrong"
        answer.json()


@pytest.mark.parametrize("path", POSTS)
def test_bodies_that_hurt_other_programs(client, path):
    for name, body in UGLY.items():
        answer = client.post(path, content=body)
        assert answer.status_code in (200, 202, 400), (name, answer.status_code, answer.text[:300])


@pytest.mark.parametrize("path", POSTS)
def test_random_documents(client, path):
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(value=JSON | st.lists(JSON, max_size=3))
    def sends(value: object) -> None:
        fits(client.post(path, content=json.dumps(value).encode()))

    sends()


def changed(value: object, draw: random.Random, fill: object) -> object:
    """``value`` with one thing in it replaced or dropped."""
    if isinstance(value, dict) and value and draw.random() < 0.8:
        name = draw.choice(sorted(value))
        rest = {key: one for key, one in value.items() if key != name}
        return rest if draw.random() < 0.2 else value | {name: changed(value[name], draw, fill)}
    if isinstance(value, list) and value and draw.random() < 0.8:
        return [changed(value[0], draw, fill), *value[1:]]
    return fill


@pytest.mark.parametrize(
    ("path", "good"),
    [
        ("/v2/enqueue", EVENT),
        ("/v2/change/enqueue", EVENT),
        (f"/in/alertmanager/{key_of('prometheus')}/api/v2/alerts", [ALERT]),
        (f"/in/alertmanager/{key_of('prometheus')}/api/v2/silences", SILENCE),
        *((f"/in/{one.name}/{key_of(one.name)}", None) for one in SOURCES.values() if one.kind == "webhook"),
    ],
)
def test_a_good_body_with_one_thing_changed(site, client, path, good):
    if good is None:
        name = path.split("/")[2]
        good = json.loads(SOURCES[name].sample(site.clock.now(), key_of(name)))

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(draw=st.randoms(use_true_random=False), fill=JSON)
    def sends(draw: random.Random, fill: object) -> None:
        body = json.dumps(changed(good, draw, fill)).encode()
        answer = client.post(path, content=body)
        if answer.status_code not in (401, 403):  # the key of an event may be what was changed
            fits(answer)

    sends()


@pytest.mark.parametrize(
    "path",
    [
        "/in/{}/x", "/in/generic/{}", "/in/heartbeat/{}", "/in/alertmanager/{}/api/v2/alerts",
        f"/in/alertmanager/{key_of('prometheus')}/api/v2/silence/{{}}",
        f"/in/alertmanager/{key_of('prometheus')}/api/v2/alerts?filter={{}}",
        f"/in/alertmanager/{key_of('prometheus')}/api/v2/alerts/groups?receiver={{}}",
        f"/in/alertmanager/{key_of('prometheus')}/api/v2/silences?filter={{}}",
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "part", ["%00", "%ff%fe", "%ed%a0%80", "a" * 5000, "%22", "'%20or%201=1--", "..%2f..", "(((((", "a%3D~%22(a%2B)%2B%24%22", "%F0%9F%94%A5"]
)  # fmt: skip
def test_addresses_that_nobody_writes_by_hand(client, path, part):
    for method in ("GET", "POST", "DELETE", "PUT"):
        answer = client.request(method, path.format(part), content=b"{}")
        assert answer.status_code < 500, (method, path, answer.text[:300])


@pytest.mark.parametrize("value", ["Bearer", "Bearer \xff", "Basic", "Basic AAAA", "Basic \xe9", "Basic /////w==", "x" * 4000, "Digest a=b"])  # fmt: skip
def test_headers_that_are_no_key(client, value):
    for path in ("/api/v2/alerts", "/api/v2/status", "/in/generic"):
        method = "POST" if path.startswith("/in") else "GET"
        assert (
            client.request(method, path, headers={"Authorization": value.encode("latin-1")}).status_code
            == 401
        )


def test_what_was_taken_can_be_shown_again(site, client):
    for path in POSTS:
        for body in UGLY.values():
            client.post(path, content=body)
    for path in ("/alerts", "/alerts/groups", "/silences", "/receivers", "/status"):
        answer = client.get(f"/in/alertmanager/{key_of('prometheus')}/api/v2{path}")
        assert answer.status_code == 200
        answer.json()
    for source in SOURCES.values():
        if source.kind == "webhook":
            assert site.ways.requests(source.name)
    site.run(1)


@pytest.mark.postgres
def test_bodies_that_hurt_other_programs_on_postgresql(tmp_path, postgres_store):
    with (
        door_site(tmp_path, store=postgres_store) as site,
        httpx2.Client(base_url=site.url, timeout=20) as client,
    ):
        for path in POSTS:
            for name, body in UGLY.items():
                answer = client.post(path, content=body)
                assert answer.status_code in (200, 202, 400), (
                    path,
                    name,
                    answer.status_code,
                    answer.text[:300],
                )
        for path in ("/in/generic/%00", f"/in/alertmanager/{key_of('prometheus')}/api/v2/silence/%00"):
            assert client.post(path, content=b"{}").status_code < 500
            assert client.get(path).status_code < 500
        assert site.api("POST", "/silences", json=SILENCE).status_code == 200
        site.post(f"/in/heartbeat/{key_of('heartbeat')}")
        site.run(10 * MINUTE)
        assert site.alerts()["heartbeat/heartbeat"] == "firing"
