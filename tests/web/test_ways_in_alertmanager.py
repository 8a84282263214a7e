"""Alertmanager's API v2 over HTTP, in both of its places."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from door_site import DoorSite, door_site, key_of
from tocsin.engine import silencing
from tocsin.kernel.clock import HOUR, MINUTE, to_iso
from tocsin.kernel.facts import SYSTEM


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DoorSite]:
    with door_site(tmp_path) as one:
        yield one


def alert(**labels):
    return {"labels": {"alertname": "DiskFull", **labels}, "annotations": {"summary": "disk full"}, "generatorURL": "http://p.example/g"}  # fmt: skip


def silence(site, minutes=60, **matcher):
    matcher = {"name": "alertname", "value": "DiskFull", "isRegex": False, "isEqual": True} | matcher
    now = site.clock.now()
    return {
        "matchers": [matcher], "startsAt": to_iso(now), "endsAt": to_iso(now + minutes * MINUTE),
        "createdBy": "anna", "comment": "the disk is being changed",
    }  # fmt: skip


def bearer(name="prometheus"):
    return {"Authorization": f"Bearer {key_of(name)}"}


def test_alerts_are_posted_shown_grouped_and_resolved_by_their_end(site):
    posted = site.api("POST", "/alerts", json=[alert(instance="a"), alert(instance="b")])
    assert (posted.status_code, posted.content) == (200, b"")
    shown = site.api("GET", "/alerts").json()
    assert [one["labels"]["instance"] for one in shown] in (["a", "b"], ["b", "a"])
    assert set(shown[0]) >= {
        "annotations",
        "endsAt",
        "fingerprint",
        "receivers",
        "startsAt",
        "status",
        "updatedAt",
        "labels",
    }
    assert [len(group["alerts"]) for group in site.api("GET", "/alerts/groups").json()] in ([2], [1, 1])
    assert len(site.api("GET", "/alerts", params={"filter": 'instance="a"'}).json()) == 1
    over = alert(instance="a") | {"endsAt": to_iso(site.clock.now())}
    assert site.api("POST", "/alerts", json=[over]).status_code == 200
    assert [one["labels"]["instance"] for one in site.api("GET", "/alerts").json()] == ["b"]


@pytest.mark.semantics(3)
def test_an_alert_that_is_not_sent_again_expires(site):
    site.api("POST", "/alerts", json=[alert()])
    site.run(6 * MINUTE)
    assert list(site.alerts().values()) == ["expired"]
    assert site.api("GET", "/alerts").json() == []


@pytest.mark.semantics(24)
def test_the_root_form_needs_a_key_in_its_header(site):
    assert site.post("/api/v2/alerts", json=[alert()]).status_code == 401
    for path in (
        "/alerts",
        "/alerts/groups",
        "/receivers",
        "/status",
        "/silences",
        f"/silence/{uuid.uuid4()}",
    ):
        answer = site.call("GET", "/api/v2" + path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer, Basic realm="Tocsin"', "each is taken"
        assert site.call("GET", f"/in/alertmanager/nobody/api/v2{path}").status_code == 401
    assert site.call("DELETE", f"/api/v2/silence/{uuid.uuid4()}").status_code == 401
    assert site.post("/api/v2/silences", json=silence(site)).status_code == 401
    assert site.post("/api/v2/alerts", json=[alert()], headers=bearer("generic")).status_code == 403
    assert site.alerts() == {}
    assert site.post("/api/v2/alerts", json=[alert()], headers=bearer()).status_code == 200
    assert len(site.call("GET", "/api/v2/alerts", auth=("x", key_of("prometheus"))).json()) == 1


def test_each_key_sees_its_own_alerts_and_silences(site):
    site.api("POST", "/alerts", json=[alert()])
    id = site.api("POST", "/silences", json=silence(site)).json()["silenceID"]
    assert site.api("GET", "/alerts", "quiet").json() == []
    assert site.api("GET", "/silences", "quiet").json() == []
    assert site.api("GET", f"/silence/{id}", "quiet").status_code == 404
    assert site.api("GET", f"/silence/{id}").json()["id"] == id


@pytest.mark.parametrize("id", ["%00", "a%00b", "%ff%fe", "x", "3f1c2a50-8d0e-4a59-9f6e-2f6f0f8d1b7c"])
def test_a_silence_that_is_not_there_is_404_whatever_its_id_is_made_of(site, id):
    for method in ("GET", "DELETE"):
        answer = site.api(method, f"/silence/{id}")
        assert answer.status_code == 404, (method, answer.text)
        assert answer.json().startswith("there is no silence "), method


@pytest.mark.semantics(24)
def test_silencing_is_a_scope_of_its_own(site):
    refused = site.api("POST", "/silences", "quiet", json=silence(site))
    assert refused.status_code == 403
    assert "may not silence" in refused.json()
    assert "may not silence" in site.ways.requests("quiet")[0].reason


def test_a_silence_hides_what_fires_until_it_is_ended(site):
    id = site.api("POST", "/silences", json=silence(site)).json()["silenceID"]
    assert str(uuid.UUID(id)) == id
    site.api("POST", "/alerts", json=[alert()])
    site.run(MINUTE)
    assert not [one for one in site.phone.messages if one.kind == "page"]
    (shown,) = site.api("GET", "/alerts").json()
    assert (shown["status"]["state"], shown["status"]["silencedBy"]) == ("suppressed", [id])
    assert site.api("GET", "/alerts", params={"silenced": "false"}).json() == []
    ended = site.api("DELETE", f"/silence/{id}")
    assert (ended.status_code, ended.content) == (200, b"")
    assert site.api("GET", f"/silence/{id}").json()["status"] == {"state": "expired"}
    site.run(MINUTE)
    assert [one for one in site.phone.messages if one.kind == "page"]
    shown = site.api("GET", f"/silence/{id}").json()
    assert shown["updatedAt"] == shown["endsAt"]
    assert site.api("DELETE", f"/silence/{id}").status_code == 200, "a request that is sent again is no fault"
    assert site.api("GET", f"/silence/{id}").json() == shown
    assert site.api("DELETE", f"/silence/{uuid.uuid4()}").status_code == 404


@pytest.mark.semantics(24)
def test_a_silence_made_with_a_key_never_hides_a_p1(site):
    site.api("POST", "/silences", json=silence(site, value=".+", isRegex=True))
    outage = alert() | {"annotations": {"summary": "platform-wide outage: everything is down"}}
    site.api("POST", "/alerts", json=[outage])
    site.run(MINUTE)
    assert [one for one in site.phone.messages if one.kind == "page"]


def test_a_silence_is_changed_in_place_or_replaced(site):
    first = silence(site)
    id = site.api("POST", "/silences", json=first).json()["silenceID"]
    longer = first | {"id": id, "endsAt": to_iso(site.clock.now() + 3 * HOUR)}
    assert site.api("POST", "/silences", json=longer).json()["silenceID"] == id
    other = silence(site, value="Other") | {"id": id}
    new = site.api("POST", "/silences", json=other).json()["silenceID"]
    assert new != id
    states = {one["id"]: one["status"]["state"] for one in site.api("GET", "/silences").json()}
    assert states == {id: "expired", new: "active"}
    assert site.api("POST", "/silences", json=silence(site) | {"id": str(uuid.uuid4())}).status_code == 404


def test_a_longer_silence_hides_no_p1_that_only_the_shorter_one_was_allowed_to(site):
    first = silence(site)
    id = site.api("POST", "/silences", json=first).json()["silenceID"]
    (made,) = site.ways.silences(site.ways.find(key_of("prometheus")))
    made.covers_p1 = True
    site.store.write(lambda tx: silencing.put_silence(site.engine.work(tx, SYSTEM), made))
    site.api("POST", "/silences", json=first | {"id": id, "comment": "still"})
    assert site.ways.silence(site.ways.find(key_of("prometheus")), id).covers_p1
    site.api("POST", "/silences", json=first | {"id": id, "endsAt": to_iso(site.clock.now() + 9 * HOUR)})
    assert not site.ways.silence(site.ways.find(key_of("prometheus")), id).covers_p1


def test_what_is_wrong_with_a_post_is_a_text_and_the_rest_is_taken(site):
    answer = site.api("POST", "/alerts", json=[alert(), {"labels": {}}])
    assert answer.status_code == 400
    assert "$[1].labels" in answer.json()
    assert list(site.alerts().values()) == ["firing"]
    assert site.api("POST", "/silences", json=silence(site) | {"comment": ""}).status_code == 400
    assert site.api("GET", "/alerts", params={"filter": "%%%"}).status_code == 400
    assert site.api("POST", "/silences", json=silence(site, minutes=-5)).status_code == 400


def test_receivers_status_and_health(site):
    assert site.api("GET", "/receivers").json() == [{"name": "tocsin"}]
    assert set(site.api("GET", "/status").json()) == {"cluster", "config", "uptime", "versionInfo"}
    for path in ("/-/ready", "/-/healthy"):
        assert site.call("GET", path).text == "OK"
        assert site.call("GET", f"/in/alertmanager/{key_of('prometheus')}{path}").text == "OK"
        assert site.call("GET", f"/in/alertmanager/nobody{path}").status_code == 401


def test_more_alerts_than_one_page_of_the_store_are_all_shown(site):
    for start in (0, 700):
        many = [alert(instance=f"i{number}") for number in range(start, start + 700)]
        assert site.api("POST", "/alerts", json=many).status_code == 200
    assert len(site.api("GET", "/alerts").json()) == 1400
