"""The API: its document holds what it says, scopes limit tokens, restricted incidents stay hidden, answers carry guards."""

import json
import re

import httpx2
import msgspec
import pytest
from fastapi.openapi.models import OpenAPI
from people_at_the_door import Visitor, asks

from tocsin.engine.commands import COMMANDS
from tocsin.web.endpoints import READS, WRITES
from tocsin.web.views import Done


def test_the_document_is_openapi_and_every_reference_leads_somewhere(site):
    document = httpx2.get(site.url + "/api/openapi.json", timeout=10).json()
    OpenAPI(**document)
    schemas = document["components"]["schemas"]
    refs = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(document)))
    assert refs <= set(schemas)
    operations = [op for path in document["paths"].values() for op in path.values()]
    ids = [op["operationId"] for op in operations]
    assert len(ids) == len(set(ids))
    for path, methods in document["paths"].items():
        for operation in methods.values():
            declared = {one["name"] for one in operation["parameters"] if one["in"] == "path"}
            assert declared == set(re.findall(r"{(\w+)}", path))
            assert all(one["required"] for one in operation["parameters"] if one["in"] == "path")
            assert "200" in operation["responses"] or "201" in operation["responses"]
            assert "security" in operation


def test_the_document_is_one_that_generators_of_clients_and_people_can_read(site):
    document = httpx2.get(site.url + "/api/openapi.json", timeout=10).json()
    assert '"items": false' not in json.dumps(document), (
        "openapi-python-client takes no schema that is no object"
    )
    assert document["servers"] == [{"url": "/"}]
    classes = {kind.__name__ for kind in COMMANDS.values()}
    for path in document["paths"].values():
        for operation in path.values():
            summary = operation["summary"]
            assert summary not in classes and "``" not in summary and not summary.endswith((",", ".")), (
                summary
            )


def test_everything_that_is_served_under_api_v1_is_documented_and_the_other_way_round(site):
    document = httpx2.get(site.url + "/api/openapi.json", timeout=10).json()
    documented = {
        (method.upper(), re.sub(r"{\w+}", "{}", path))
        for path, methods in document["paths"].items()
        for method in methods
        if path.startswith("/api/v1")
    }
    commands = {
        ("POST", f"/api/v1/{of}/{{}}/commands/{verb}")
        for of, field in (("incidents", "incident"), ("actions", "action"))
        for verb, kind in COMMANDS.items()
        if verb != "declare" and field in kind.__struct_fields__
    }
    tables = {("GET", re.sub(r"{\w+}", "{}", one.path)) for one in READS}
    tables |= {(one.method, re.sub(r"{\w+}", "{}", one.path)) for one in WRITES}
    assert commands | tables <= documented
    rest = documented - commands - tables
    assert rest == {
        ("POST", "/api/v1/incidents"), ("GET", "/api/v1/incidents/{}"), ("GET", "/api/v1/incidents/{}/export"),
        ("POST", "/api/v1/integrations/{}/test"), ("GET", "/api/v1/events"), ("POST", "/api/v1/policy/preview"), ("PUT", "/api/v1/policy"),
        ("POST", "/api/v1/policy/commands/policy_review"), ("POST", "/api/v1/drills/{}"),
    }  # fmt: skip


@pytest.mark.parametrize("one", READS, ids=lambda one: one.handler + "-" + one.path.rsplit("/", 1)[1])
def test_every_address_that_is_read_answers_as_documented(site, one):
    import msgspec

    site.alert("payments down", "pay-1")
    item = {"text": "alarm on the queue", "owner": "bilal", "criteria": "an alarm within a minute"}
    asks(site, "anna")("POST", "/api/v1/incidents/INC-1/commands/action_add", json=item)
    directory = site.tocsin.engine.directory()
    pieces = {
        "reference": "INC-1", "person": "anna", "schedule": next(iter(directory.schedules)), "service": "payments", "action": "ACT-1",
        "integration": site.tocsin.store.read(lambda r: r.records("integration"))[0].id,
    }  # fmt: skip
    answer = asks(site, "anna")("GET", one.path.format(**pieces))
    assert answer.status_code == 200, answer.text
    msgspec.json.decode(answer.content, type=one.answer)


def test_a_token_does_what_its_scopes_say_and_no_more(site):
    read, respond = (asks(site, "anna", scope) for scope in ("read", "respond"))
    assert read("GET", "/api/v1/incidents").status_code == 200
    refused = read("POST", "/api/v1/incidents", json={"title": "x"})
    assert refused.status_code == 403
    assert "scope" in refused.json()["detail"]
    assert respond("POST", "/api/v1/incidents", json={"title": "x"}).status_code == 201
    assert respond("POST", "/api/v1/people", json={"name": "x"}).status_code == 403, (
        "an owner's token without admin"
    )


def test_a_token_makes_no_token_that_may_more_than_itself(site):
    me = asks(site, "anna", "configure")
    assert me("POST", "/api/v1/tokens", json={"name": "more", "scopes": ["admin"]}).status_code == 403
    made = me("POST", "/api/v1/tokens", json={"name": "less", "scopes": ["read"]}).json()
    shown = httpx2.get(
        site.url + "/api/v1/tokens", headers={"Authorization": f"Bearer {made['secret']}"}, timeout=10
    )
    assert made["secret"] not in shown.text, "a secret is shown once"
    assert me("DELETE", f"/api/v1/tokens/{made['id']}").status_code == 200
    assert (
        httpx2.get(
            site.url + "/api/v1/tokens", headers={"Authorization": f"Bearer {made['secret']}"}, timeout=10
        ).status_code
        == 401
    )


def test_a_change_sent_twice_with_one_key_is_made_once_and_its_secret_is_not_kept(site):
    me, headers = asks(site, "anna"), {"Idempotency-Key": "k1"}
    first = me("POST", "/api/v1/tokens", json={"name": "a", "scopes": ["read"]}, headers=headers).json()
    again = me("POST", "/api/v1/tokens", json={"name": "a", "scopes": ["read"]}, headers=headers).json()
    assert again["id"] == first["id"]
    assert "secret" not in again
    other = me("POST", "/api/v1/tokens", json={"name": "b", "scopes": ["read"]}, headers=headers)
    assert other.status_code == 422


@pytest.mark.semantics(23)
def test_a_restricted_incident_exists_for_its_members_alone(site):
    owner, member, stranger = asks(site, "anna"), asks(site, "greta"), asks(site, "hugo")
    made = owner(
        "POST",
        "/api/v1/incidents",
        json={"title": "stolen laptop xyzzy", "kind": "security", "severity": "P3", "services": ["payments"]},
    )
    assert made.status_code == 201, made.text
    number = made.json()["number"]
    owner(
        "POST",
        f"/api/v1/incidents/{number}/commands/assign_role",
        json={"role": "technical_lead", "person": "greta"},
    )
    for path in ("", "/timeline", "/duties", "/escalation", "/export"):
        assert stranger("GET", f"/api/v1/incidents/{number}{path}").status_code == 404, path
        assert member("GET", f"/api/v1/incidents/{number}{path}").status_code == 200, path
    assert (
        stranger("POST", f"/api/v1/incidents/{number}/commands/note", json={"text": "x"}).status_code == 404
    )
    for path in (
        "/api/v1/incidents",
        "/api/v1/search?q=laptop",
        "/api/v1/services",
        "/api/v1/services/payments",
    ):
        assert number not in stranger("GET", path).text, path
        assert number in member("GET", path).text, path
    him, her = Visitor(site, "hugo"), Visitor(site, "greta")
    for path in ("/", "/incidents", "/incidents?q=laptop", "/services/payments"):
        assert "xyzzy" not in him.get(path).text, path
        assert "xyzzy" in her.get(path).text, path
    assert him.get(f"/incidents/{number}/export").status_code == 404
    assert her.get(f"/incidents/{number}/export").status_code == 200


@pytest.mark.semantics(23)
def test_what_a_request_opened_is_for_owners_and_its_sender_hears_nothing_of_what_is_restricted(site):
    owner = asks(site, "anna")
    made = owner(
        "POST", "/api/v1/integrations", json={"name": "vault", "source": "generic", "service": "payments"}
    ).json()
    address = f"/in/generic/{made['secret']}"
    for summary in ("customer credentials exposed", "the disk is full"):
        answer = httpx2.post(site.url + address, json={"summary": summary, "dedup_key": summary})
        assert answer.status_code == 202
        (said,) = answer.json()["alerts"]
        restricted = "exposed" in summary
        assert (said["event"] == "taken") is restricted and ("INC-" not in said["reason"]) is restricted, said
    path = f"/api/v1/integrations/{made['id']}/requests"
    assert "INC-1" in owner("GET", path).text
    for person in ("hugo", "bilal"):
        assert {one["reason"] for one in asks(site, person)("GET", path).json()["requests"]} == {"taken"}
        page = Visitor(site, person).get(f"/integrations/{made['id']}").text
        assert "INC-" not in page and "restricted" not in page
    assert "restricted" in Visitor(site, "anna").get(f"/integrations/{made['id']}").text


@pytest.mark.semantics(23)
def test_the_live_feed_is_silent_about_what_one_may_not_see(site):
    asks(site, "anna")(
        "POST", "/api/v1/incidents", json={"title": "stolen", "kind": "security", "severity": "P3"}
    )
    asks(site, "anna")("POST", "/api/v1/incidents", json={"title": "open", "severity": "P3"})
    token = asks(site, "hugo", "configure")(
        "POST", "/api/v1/tokens", json={"name": "feed", "scopes": ["read"]}
    ).json()["secret"]
    headers = {"Authorization": f"Bearer {token}", "Last-Event-ID": "0"}
    with httpx2.stream("GET", site.url + "/api/v1/events", headers=headers, timeout=10) as answer:
        first = next(line for line in answer.iter_lines() if line.startswith("data:"))
    assert json.loads(first[5:])["incident"] == "INC-2"


def test_an_export_by_the_api_is_verified_offline(site, tmp_path):
    from click.testing import CliRunner

    from tocsin.cli import cli

    site.alert("payments down", "pay-1")
    file = tmp_path / "INC-1.jsonl"
    file.write_bytes(site.api("GET", "/api/v1/incidents/INC-1/export").content)
    done = CliRunner().invoke(cli, ["verify", str(file)])
    assert done.exit_code == 0, done.output


def test_times_are_read_as_rfc_3339_and_refused_with_the_place(site):
    site.api("POST", "/api/v1/incidents", json={"title": "a"})
    path = "/api/v1/incidents/INC-1/commands/milestone"
    fine = site.api("POST", path, json={"name": "impact_began", "at": "2020-01-01T00:00:00Z"})
    assert fine.status_code == 200
    assert site.api("POST", path, json={"name": "impact_began", "at": "soon"}).status_code == 400
    odd = site.api("POST", path, json={"name": "impact_began", "at": 1, "colour": "red"})
    assert odd.status_code == 400
    assert "colour" in odd.json()["detail"]
    elsewhere = site.api("POST", path, json={"name": "detected", "at": 1, "incident": "INC-9"})
    assert elsewhere.status_code == 400


@pytest.mark.parametrize(
    "body", [b"[", b"[]", b"\xff", b'{"title": "\\u0000"}', b'"\\ud800"', b"[" * 90_000, b'{"title": 5}']
)
def test_a_body_that_cannot_be_used_is_a_problem_document(site, body):
    answer = site.api("POST", "/api/v1/incidents", content=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]


def test_every_answer_carries_its_guards_and_the_cookie_its_flags(site):
    page = httpx2.get(site.url + "/sign-in", timeout=10)
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    for path in ("/sign-in", "/api/v1/incidents", "/static/tocsin.css", "/api/openapi.json"):
        headers = httpx2.get(site.url + path, timeout=10).headers
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "same-origin", path
        assert headers["x-frame-options"] == "DENY", path
    done = httpx2.post(
        site.url + "/sign-in", data={"login": site.login, "password": site.password}, timeout=10
    )
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=lax" in cookie.lower()
    foreign = httpx2.post(
        site.url + "/sign-in", data={"login": "x"}, headers={"Sec-Fetch-Site": "cross-site"}, timeout=10
    )
    assert foreign.status_code == 403


def test_guessing_a_password_is_slowed_down_for_one_name_from_one_address(site):
    wrong = {"login": site.login, "password": "not the password"}
    answers = [httpx2.post(site.url + "/sign-in", data=wrong, timeout=20).status_code for _ in range(12)]
    assert answers == [401] * 10 + [429] * 2
    other = httpx2.post(site.url + "/sign-in", data={"login": "greta", "password": "x" * 12}, timeout=20)
    assert other.status_code == 401, "another name is not held up by it"


def test_after_signing_in_one_goes_on_but_never_to_another_site(site):
    def to(following):
        fields = {"login": site.login, "password": site.password, "next": following}
        return httpx2.post(site.url + "/sign-in", data=fields, timeout=20).headers["location"]

    assert to("/incidents/INC-1") == "/incidents/INC-1"
    assert [to(one) for one in ("https://evil.example/", "//evil.example", "/\\evil.example")] == ["/"] * 3


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "expected"),
    [
        ("10.0.0.9", "203.0.113.7", (), "10.0.0.9"),
        ("10.0.0.9", "203.0.113.7", ("10.0.0.0/8",), "203.0.113.7"),
        ("10.0.0.9", "198.51.100.1, 203.0.113.7, 10.0.0.3", ("10.0.0.0/8",), "203.0.113.7"),
        ("203.0.113.9", "127.0.0.1", ("10.0.0.0/8",), "203.0.113.9"),
    ],
)
def test_only_trusted_proxies_say_where_a_request_came_from(peer, forwarded, trusted, expected):
    from starlette.requests import Request

    from tocsin.web.security import client_address, networks

    scope = {"type": "http", "client": (peer, 1), "headers": [(b"x-forwarded-for", forwarded.encode())]}
    assert client_address(Request(scope), networks(trusted)) == expected


@pytest.mark.guide("COM-4")
def test_the_war_rooms_address_is_the_organisations_and_stays_where_a_form_does_not_name_it(site):
    me = asks(site, "anna")
    me("PUT", "/api/v1/organisation", json={"war_room": "https://meet.example/{incident}"})
    me("PUT", "/api/v1/organisation", json={"name": "Fernhill"})
    assert site.tocsin.engine.directory().settings.war_room == "https://meet.example/{incident}"
    me("POST", "/api/v1/incidents", json={"title": "everything is down", "severity": "P1"})
    told = me("GET", "/api/v1/incidents/INC-1/timeline").json()["timeline"]
    assert "war room: https://meet.example/inc-1" in [one["text"] for one in told]


def test_an_instant_in_an_address_is_described_as_one(site):
    paths = httpx2.get(site.url + "/api/openapi.json", timeout=10).json()["paths"]
    said = {
        (path, one["name"]): one["schema"].get("format")
        for path, methods in paths.items()
        for operation in methods.values()
        for one in operation["parameters"]
        if one["in"] == "query" and "instant" in one.get("description", "")
    }
    named = [("/api/v1/figures", "from"), ("/api/v1/figures", "to"), ("/api/v1/oncall", "at")]
    assert said == dict.fromkeys(named, "date-time")


def test_a_redaction_answers_what_every_command_does(site):
    site.alert("payments down", "pay-1")
    owner = asks(site, "anna")
    path = "/api/v1/incidents/INC-1/commands"
    noted = owner("POST", f"{path}/note", json={"text": "the password is hunter2"}).json()["version"]
    answer = owner("POST", f"{path}/redact", json={"fact": str(noted), "reason": "a password"})
    assert answer.status_code == 200, answer.text
    done = msgspec.convert(answer.json(), Done)
    assert (done.number, done.status, done.severity) == ("INC-1", "investigating", "P1")
    assert done.version > noted


def test_an_incident_is_named_by_its_number_with_its_own_series_or_none(site):
    site.alert("payments down", "pay-1")
    item = {"text": "watch slow queries", "owner": "greta", "criteria": "an alert at 2 s"}
    site.make_owner()
    made = site.api("POST", "/api/v1/incidents/INC-1/commands/action_add", json=item)
    assert made.json()["number"] == "ACT-1"
    owner, page = asks(site, "anna"), Visitor(site, "anna")
    for said in ("INC-1", "inc-1", "1"):
        assert owner("GET", f"/api/v1/incidents/{said}").json()["name"] == "INC-1", said
    for said in ("-1", "--1", "INC-", "INC--1", "ACT-1"):
        for more in ("", "/export", "/timeline", "/score"):
            refused = owner("GET", f"/api/v1/incidents/{said}{more}")
            assert refused.status_code == 404, (said, more)
            assert refused.json()["detail"] == f"there is no incident {said}"
        assert page.get(f"/incidents/{said}").status_code == 404, said
        assert page.get(f"/incidents/{said}/export").status_code == 404, said
        noted = owner("POST", f"/api/v1/incidents/{said}/commands/note", json={"text": "x"})
        assert noted.status_code == 404, said
    for said in ("-1", "INC-1"):
        assert owner("GET", f"/api/v1/actions/{said}").status_code == 404, said
    assert owner("GET", "/api/v1/actions/1").json()["number"] == "ACT-1"
