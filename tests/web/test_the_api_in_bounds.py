"""The API towards what is odd: far years, digits that are none, large and packed bodies, other methods, other encodings."""

import json
import re

import httpx2
import pytest
from people_at_the_door import Visitor, asks

from tocsin.engine.commands import COMMANDS
from tocsin.web.endpoints import WRITES
from tocsin.web.forms import fields_of
from tocsin.web.openapi import CHOICES

YEARS = [10**15 * 9, 10**18, 2**63, 10**30, -1, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00", "²", "٣"]
SHOWN = ("/api/v1/silences", "/api/v1/maintenance", "/api/v1/leave", "/api/v1/schedules", "/api/v1/state")
PAGES = ("/", "/silences", "/oncall", "/people/anna")


@pytest.mark.parametrize("year", YEARS)
def test_an_instant_that_no_calendar_shows_is_refused_and_no_page_breaks_over_it(site, year):
    me, visitor = asks(site, "anna"), Visitor(site, "anna")
    site.alert("report export broken feature", "a")
    schedule = next(iter(site.tocsin.engine.directory().schedules))
    until, soon = "2098-01-01T00:00:00Z", "2090-01-01T00:00:00Z"
    quiet = {"reason": "r", "matchers": ["a=b"]}
    changes = [
        ("/api/v1/silences", quiet | {"ends_at": year}),
        ("/api/v1/silences", quiet | {"ends_at": until, "starts_at": year}),
        ("/api/v1/maintenance", {"services": ["payments"], "reason": "r", "ends_at": year}),
        ("/api/v1/leave", {"person": "anna", "start": soon, "end": year}),
        ("/api/v1/leave", {"person": "anna", "start": year, "end": until}),
        (f"/api/v1/schedules/{schedule}/overrides", {"person": "anna", "start": soon, "end": year}),
        *(
            (f"/api/v1/incidents/INC-1/commands/{verb}", body)
            for verb, body in (
                ("update", {"text": "u", "eta": year}),
                ("note", {"text": "n", "at": year}),
                ("milestone", {"name": "impact_began", "at": year}),
                ("task_add", {"text": "t", "due": year}),
                ("pause_clock", {"until": year, "reason": "r"}),
            )
        ),
    ]
    for path, body in changes:
        answer = me("POST", path, json=body)
        assert answer.status_code == 400, (path, body, answer.text)
        assert answer.json()["detail"]
    form = {"verb": "add_silence", "matchers": "a=b", "reason": "r", "ends_at": str(year)}
    assert visitor.post("/silences", **form).status_code == 400
    assert me("GET", f"/api/v1/oncall?at={year}").status_code == 400
    for path in SHOWN:
        assert me("GET", path).status_code == 200
    for path in PAGES:
        assert visitor.get(path).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/incidents?limit=²", "/incidents?before=².x", "/incidents?limit=0", "/incidents?limit=501", "/incidents/INC-²",
        "/incidents/INC-1/timeline?after=²", "/schedules/payments?days=²",
    ],
)  # fmt: skip
def test_digits_that_are_no_numbers_are_refused(site, path):
    assert asks(site, "anna")("GET", "/api/v1" + path).status_code in (400, 404)


def test_a_body_that_is_too_large_or_packed_is_told_so(site):
    me = asks(site, "anna")
    large = me("POST", "/api/v1/incidents", content=b'{"title":"' + b"x" * 1_100_000 + b'"}')
    assert large.status_code == 413
    assert large.headers["content-type"] == "application/problem+json"
    pieces = me("POST", "/api/v1/incidents", content=iter([b" " * 65_536] * 20))
    assert pieces.status_code == 413
    packed = me("POST", "/api/v1/incidents", content=b"\x1f\x8b", headers={"Content-Encoding": "gzip"})
    assert packed.status_code == 415
    deep = me("POST", "/api/v1/incidents", content=b'{"title":' + b"[" * 500 + b"]" * 500 + b"}")
    assert (deep.status_code, "nested" in deep.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/v1/incidents", {"GET", "HEAD", "POST"}),
        ("/api/v1/people/anna", {"GET", "HEAD", "PATCH"}),
        ("/api/v1/teams/payments", {"DELETE", "PUT"}),
        ("/api/v1/schedules/payments", {"GET", "HEAD", "PUT", "DELETE"}),
        ("/api/v2/alerts", {"GET", "HEAD", "POST"}),
        ("/api/v2/silence/x", {"GET", "HEAD", "DELETE"}),
    ],
)
def test_another_method_is_told_all_that_may_be_used(site, path, methods):
    answer = asks(site, "anna")("TRACE", path)
    assert answer.status_code == 405
    assert {one.strip() for one in answer.headers["allow"].split(",")} == methods


def test_an_address_with_several_methods_does_what_each_says(site):
    me = asks(site, "anna")
    assert me("PUT", "/api/v1/teams/night", json={"name": "Night"}).json()["id"] == "night"
    assert "night" in [one["id"] for one in me("GET", "/api/v1/teams").json()["teams"]]
    assert me("DELETE", "/api/v1/teams/night").status_code == 200


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/api/v1/incidents?sverity=P1", "sverity"),
        ("/api/v1/incidents?severity=P1&severity=P2", "severity"),
        ("/api/v1/incidents?severity=P9", "severity"),
        ("/api/v1/incidents?status=resolvd", "status"),
        ("/api/v1/people?q=anna", "q"),
        ("/api/v1/incidents/INC-1?verbose=1", "verbose"),
    ],
)
def test_a_parameter_that_was_mistyped_does_not_answer_for_all(site, path, where):
    answer = asks(site, "anna")("GET", path)
    assert (answer.status_code, answer.json()["where"]) == (400, where)


@pytest.mark.parametrize(
    ("method", "path", "status", "title", "code"),
    [
        ("GET", "/api/v1/incidents/INC-9", 404, "Not Found", "not_found"),
        ("GET", "/api/v1/incidents?open=maybe", 400, "Bad Request", "unusable"),
        ("GET", "/api/v1/nothing", 404, "Not Found", None),
        ("PATCH", "/api/v1/incidents", 405, "Method Not Allowed", None),
    ],
)
def test_a_problem_has_the_phrase_of_its_status_and_a_sentence(site, method, path, status, title, code):
    body = asks(site, "anna")(method, path).json()
    assert (body["status"], body["title"], body.get("code")) == (status, title, code)
    assert body["detail"] != title


def test_the_document_names_what_a_parameter_can_be(site):
    document = httpx2.get(site.url + "/api/openapi.json").json()
    found = {
        one["name"]: one["schema"] for one in document["paths"]["/api/v1/incidents"]["get"]["parameters"]
    }
    assert found["severity"]["enum"] == ["P1", "P2", "P3", "P4"]
    assert {"investigating", "resolved", "merged"} <= set(found["status"]["enum"])


def test_a_severity_may_be_small(site):
    assert asks(site, "anna")("GET", "/api/v1/incidents?severity=p1&status=investigating").status_code == 200


def test_the_document_states_its_limits(site):
    document = httpx2.get(site.url + "/api/openapi.json", timeout=10).json()
    declare = document["paths"]["/api/v1/incidents"]["post"]
    body = declare["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["title"]["minLength"] == 1
    assert {"413", "415"} <= set(declare["responses"])
    limit = next(
        one for one in document["paths"]["/api/v1/incidents"]["get"]["parameters"] if one["name"] == "limit"
    )
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 500)


@pytest.mark.parametrize("charset", ["unicode_escape", "utf-7", "punycode", "utf-16", "undefined", "x" * 100])
def test_a_form_in_another_encoding_is_refused(site, charset):
    part = b'--B\r\nContent-Disposition: form-data; name="login"\r\n\r\n\\ud800+2AA-\r\n--B--\r\n'
    headers = {"Content-Type": f"multipart/form-data; boundary=B; charset={charset}"}
    assert httpx2.post(site.url + "/sign-in", content=part, headers=headers, timeout=10).status_code == 415
    headers["Content-Type"] = "multipart/form-data; boundary=B; charset=UTF-8"
    assert httpx2.post(site.url + "/sign-in", content=part, headers=headers, timeout=10).status_code < 500


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/incidents", {"title": "x", "drill": 0}),
        ("POST", "/incidents", {"title": "x", "services": "payments"}),
        ("POST", "/people", {"name": "x", "senior": "yes"}),
        ("POST", "/integrations/{integration}/test", {"page": {}}),
        ("POST", "/integrations/{integration}/test", {"pages": True}),
        ("POST", "/policy/preview", {"text": "x", "weeks": "4"}),
        ("POST", "/policy/preview", {"text": "x", "week": 4}),
        ("PUT", "/policy", {"text": "x", "adopt": "yes"}),
        ("PUT", "/policy", {"text": "x", "adpot": True}),
        ("PUT", "/policy", {"text": "x", "force": None}),
    ],
)
def test_a_value_of_another_type_and_a_field_nobody_knows_are_refused(site, method, path, body):
    integration = site.tocsin.store.read(lambda r: r.records("integration"))[0].id
    answer = asks(site, "anna")(method, "/api/v1" + path.format(integration=integration), json=body)
    assert answer.status_code == 400
    assert "cannot be read" in answer.json()["detail"]


def test_an_instant_is_taken_as_answers_have_it(site):
    me = asks(site, "anna")
    number = me("POST", "/api/v1/incidents", json={"title": "x"}).json()["number"]
    for at in ("2026-01-02T03:04:05Z", 1767323045000000, "1767323045000000"):
        note = {"text": f"seen {at}", "at": at}
        assert me("POST", f"/api/v1/incidents/{number}/commands/note", json=note).status_code == 200, at
    said = me("GET", f"/api/v1/incidents/{number}/timeline").json()["timeline"]
    assert [one["at"] for one in said if "seen" in one["text"]] == ["2026-01-02T03:04:05Z"] * 3


def test_the_document_has_one_entry_for_each_address_and_names_what_can_be_chosen(site):
    document = httpx2.get(site.url + "/api/openapi.json", timeout=10).json()
    shapes = [re.sub(r"{\w+}", "{}", path) for path in document["paths"]]
    assert len(shapes) == len(set(shapes)), "templates that differ in names alone are one address"
    assert set(document["paths"]["/api/v1/schedules/{schedule}"]) == {"get", "put", "delete"}
    bodies = json.dumps(document["paths"])
    for choices in CHOICES.values():
        assert json.dumps(list(choices)) in bodies
    verbs = {kind.verb: kind for kind in [*COMMANDS.values(), *(one.change for one in WRITES)]}
    for verb, name in CHOICES:
        assert name in fields_of(verbs[verb])
    for probe, statuses in (("/readyz", {"200", "503"}), ("/metrics", {"200", "503"}), ("/healthz", {"200"})):
        assert set(document["paths"][probe]["get"]["responses"]) == statuses
