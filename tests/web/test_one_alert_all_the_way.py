"""One alert carried the whole way over HTTP: sent, paged, acknowledged by link, worked on, resolved, verified."""

import hashlib
import json

import httpx2
import pytest

from tocsin.cli import cli


@pytest.mark.guide("PRO-1", "DET-1")
def test_an_alert_pages_the_person_on_call_who_acknowledges_by_link_and_resolves(site):
    assert site.alert("payments down", "pay-1").status_code == 202
    message = site.page_for("chiara")
    assert "payments down" in message.text
    assert "P1" in message.title

    seen = httpx2.get(message.ack_url, timeout=10)
    assert "Nobody has acknowledged yet" in seen.text
    incident = site.api("GET", "/api/v1/incidents/INC-1").json()
    assert incident["holder"] == "", "a GET never acknowledges: mail scanners follow links"

    done = httpx2.post(message.ack_url, timeout=10)
    assert "You have it" in done.text
    assert site.api("GET", "/api/v1/incidents/INC-1").json()["holder"] == "chiara"

    assert (
        site.api("POST", "/api/v1/incidents/INC-1/commands/update", json={"text": "rolling back"}).status_code
        == 200
    )
    early = site.api("POST", "/api/v1/incidents/INC-1/commands/move", json={"to": "resolve"})
    assert early.status_code == 409
    assert "validate:functional" in early.json()["allowed"]
    for kind in ("functional", "performance", "security"):
        site.api(
            "POST", "/api/v1/incidents/INC-1/commands/validate", json={"kind": kind, "outcome": "passed"}
        )
    resolved = site.api(
        "POST", "/api/v1/incidents/INC-1/commands/move", json={"to": "resolve", "reason": "rolled back"}
    )
    assert resolved.json()["status"] == "resolved"
    told = " ".join(
        one["text"] for one in site.api("GET", "/api/v1/incidents/INC-1/timeline").json()["timeline"]
    )
    assert "Chiara Conti acknowledged by link" in told
    assert "resolved" in told


def test_an_old_client_sends_its_key_in_a_header(site):
    event = {"event_action": "trigger", "payload": {"summary": "s", "source": "x", "severity": "info"}}
    answer = httpx2.post(
        site.url + "/v2/enqueue", json=event, headers={"X-Routing-Key": site.key}, timeout=10
    )
    assert answer.status_code == 202
    refused = httpx2.post(site.url + "/v2/enqueue", json=event, timeout=10)
    assert refused.status_code == 400 and "routing_key" in refused.text


def test_the_same_trigger_sent_often_is_one_alert_and_one_incident(site):
    for _ in range(20):
        site.alert("payments down", "pay-1")
    assert len(site.api("GET", "/api/v1/incidents").json()["incidents"]) == 1


def test_events_v2_answers_exactly_as_documented(site):
    trigger = httpx2.post(
        site.url + "/v2/enqueue",
        json={
            "routing_key": site.key,
            "event_action": "trigger",
            "payload": {"summary": "s", "source": "x", "severity": "info"},
        },
        timeout=10,
    )
    assert trigger.status_code == 202
    body = trigger.json()
    assert body["status"] == "success"
    assert (
        len(body["dedup_key"]) == 32
        and body["dedup_key"].isalnum()
        and body["dedup_key"] == body["dedup_key"].lower()
    )
    for action in ("acknowledge", "resolve"):
        answer = httpx2.post(
            site.url + "/v2/enqueue",
            json={"routing_key": site.key, "event_action": action, "dedup_key": body["dedup_key"]},
            timeout=10,
        )
        assert (answer.status_code, answer.json()["dedup_key"]) == (202, body["dedup_key"])
        bare = httpx2.post(
            site.url + "/v2/enqueue", json={"routing_key": site.key, "event_action": action}, timeout=10
        )
        assert bare.status_code == 400
        assert any("dedup_key" in fault for fault in bare.json()["errors"])
    change = httpx2.post(
        site.url + "/v2/change/enqueue",
        json={"routing_key": site.key, "payload": {"summary": "deployed"}},
        timeout=10,
    )
    assert change.status_code == 202
    assert "dedup_key" not in change.json()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"routing_key": 5}',
        b'"\\ud800"',
        b"[" * 50_000,
        b'{"a": "\\u0000"}',
        b'{"routing_key":"x","event_action":"trigger","payload":[]}',
    ],
)
def test_bad_input_is_a_400_with_every_reason(site, body):
    answer = httpx2.post(site.url + "/v2/enqueue", content=body, timeout=10)
    assert answer.status_code == 400
    assert answer.json()["errors"]


def test_an_unknown_key_is_refused_and_a_refused_request_of_a_known_one_is_kept(site):
    event = {
        "routing_key": "nobody",
        "event_action": "trigger",
        "payload": {"summary": "s", "source": "x", "severity": "info"},
    }
    refused = httpx2.post(site.url + "/v2/enqueue", json=event, timeout=10)
    assert (refused.status_code, refused.json()["status"]) == (400, "invalid event")
    httpx2.post(site.url + "/v2/enqueue", json={"routing_key": site.key, "event_action": "shout"}, timeout=10)
    integration = site.tocsin.store.read(lambda r: r.records("integration"))[0]
    kept = site.tocsin.store.read(lambda r: r.requests(integration.id))
    assert kept[0].status == 400
    assert "event_action" in kept[0].reason


def test_the_official_pagerduty_sdk_triggers_acknowledges_and_resolves(site):
    import pagerduty

    client = pagerduty.EventsApiV2Client(site.key)
    client._url = site.url  # the public setter insists on https, which a loopback test has none of
    key = client.trigger(
        "checkout errors at 12 %", "probe-1", severity="error", custom_details={"error_rate_percent": 12}
    )
    client.acknowledge(key)
    client.resolve(key)
    rows = site.tocsin.store.read(lambda r: r.alerts())
    assert [(row.dedup_key, row.status) for row in rows] == [(key, "resolved")]


def test_nobody_without_a_token_sees_anything(site):
    for path in ("/api/v1/incidents", "/api/v1/incidents/INC-1", "/api/v1/events"):
        answer = httpx2.get(site.url + path, timeout=10)
        assert answer.status_code == 401
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_same_idempotency_key_declares_once_and_refuses_another_request(site):
    first = site.api("POST", "/api/v1/incidents", json={"title": "a"}, headers={"Idempotency-Key": "k"})
    again = site.api("POST", "/api/v1/incidents", json={"title": "a"}, headers={"Idempotency-Key": "k"})
    other = site.api("POST", "/api/v1/incidents", json={"title": "b"}, headers={"Idempotency-Key": "k"})
    assert first.json() == again.json()
    assert other.status_code == 422


def test_an_illegal_move_names_the_legal_ones(site):
    site.api("POST", "/api/v1/incidents", json={"title": "a"})
    refused = site.api("POST", "/api/v1/incidents/INC-1/commands/move", json={"to": "close"})
    assert refused.status_code in (403, 409)
    site.api("POST", "/api/v1/incidents/INC-1/commands/acknowledge", json={})
    refused = site.api("POST", "/api/v1/incidents/INC-1/commands/move", json={"to": "close"})
    assert refused.status_code == 409
    assert "resolve" in refused.json()["allowed"]


def test_a_form_without_its_token_changes_nothing(site):
    site.api("POST", "/api/v1/incidents", json={"title": "a"})
    client, csrf = site.signed_in()
    assert client.post("/incidents/INC-1", data={"verb": "note", "text": "x"}).status_code == 403
    assert (
        client.post("/incidents/INC-1", data={"verb": "note", "text": "x", "csrf": csrf}).status_code == 200
    )


def test_a_wrong_password_is_refused_without_saying_what_was_wrong(site):
    answers = [
        httpx2.post(site.url + "/sign-in", data={"login": login, "password": "wrong wrong wrong"}, timeout=10)
        for login in (site.login, "nobody")
    ]
    assert [one.status_code for one in answers] == [401, 401]
    plain = [one.text.replace(login, "") for one, login in zip(answers, (site.login, "nobody"), strict=True)]
    assert plain[0] == plain[1]
    assert f'value="{site.login}"' in answers[0].text, "the name need not be written again"


def test_live_events_tell_of_a_change_and_resume_where_they_stopped(site):
    site.api("POST", "/api/v1/incidents", json={"title": "a"})
    headers = {"Authorization": f"Bearer {site.token}", "Last-Event-ID": "0"}
    with httpx2.stream("GET", site.url + "/api/v1/events", headers=headers, timeout=10) as answer:
        data = next(line for line in answer.iter_lines() if line.startswith("data:"))
    assert json.loads(data[5:]) | {"at": ""} == {"incident": "INC-1", "type": "declared", "at": ""}


def test_an_export_is_verified_offline_and_a_changed_line_is_named(site, tmp_path):
    from click.testing import CliRunner

    site.alert("payments down", "pay-1")
    row = site.tocsin.store.read(lambda r: r.streams("incident"))[0]
    facts = site.tocsin.store.read(lambda r: r.facts(row.stream))
    lines = [
        json.dumps({"header": f.header.decode(), "body": f.body.decode(), "hash": f.hash.hex()})
        for f in facts
    ]
    export = tmp_path / "INC-1.jsonl"
    export.write_text("\n".join(lines))
    good = CliRunner().invoke(cli, ["verify", str(export)])
    assert good.exit_code == 0, good.output
    lines[2] = json.dumps(
        {"header": facts[2].header.decode(), "body": '{"x":1}', "hash": facts[2].hash.hex()}
    )
    export.write_text("\n".join(lines))
    bad = CliRunner().invoke(cli, ["verify", str(export)])
    assert bad.exit_code == 1
    assert "fact 3" in bad.output


def test_links_keep_only_a_digest_of_their_token(site):
    site.alert("payments down", "pay-1")
    token = site.page_for("chiara").ack_url.rpartition("/")[2]
    links = site.tocsin.store.read(lambda r: r.records("link"))
    assert hashlib.sha256(token.encode()).hexdigest() in {row.lookup for row in links}
    assert not any(token.encode() in row.body or token in row.id for row in links)
