"""The report form by link, signed in and over the API: whose form it may be, and how often it is taken."""

import re
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import msgspec
import pytest
from people_at_the_door import Visitor, asks

from tocsin.engine import administration
from tocsin.engine.work import find_row, read_incident
from tocsin.web import api as api_module
from tocsin.web import report_pages


def link_of(site) -> str:
    """The address of a new link to the report form."""
    owner = Visitor(site, "anna")
    owner.post("/integrations", verb="add_report_key", name="support desk")
    return site.url + re.search(r"/report/[\w-]+", owner.get("/integrations").text)[0]


def test_a_form_of_the_public_address_is_taken_whatever_host_a_proxy_asks_for(site, monkeypatch):
    monkeypatch.setattr(site.tocsin.engine, "public_url", "https://tocsin.example.com")
    link = link_of(site)
    for origin, status in (("https://tocsin.example.com", 200), ("https://evil.example", 403)):
        answer = httpx2.post(link, data={"title": "blank"}, headers={"Origin": origin}, timeout=10)
        assert answer.status_code == status, origin


@pytest.mark.parametrize("way", ["link", "signed in", "api"])
def test_reports_of_one_moment_are_counted_one_by_one_and_refused_ones_not_at_all(site, monkeypatch, way):
    def slow(*what, **more):
        time.sleep(0.2)  # so that the others come before it is done
        return administration.administer(*what, **more)

    link, her, api = link_of(site), Visitor(site, "lena"), asks(site, "lena")
    for module in (report_pages, api_module):
        monkeypatch.setattr(module, "administer", slow)

    def send(title: str) -> int:
        if way == "link":
            return httpx2.post(link, data={"title": title}, timeout=20).status_code
        if way == "api":
            return api("POST", "/api/v1/reports", json={"title": title}).status_code
        return her.post("/report", title=title).status_code

    assert {send(" ") for _ in range(6)} == {400}
    with ThreadPoolExecutor(20) as many:
        answers = list(many.map(send, [f"blank {number}" for number in range(20)]))
    assert sum(one in (200, 201) for one in answers) == 5, sorted(answers)
    reader = site.tocsin.store.read
    assert len(reader(lambda r: r.streams("incident"))) == 5


def test_whoever_reports_too_often_is_told_when_again_on_every_way(site):
    link, her, api = link_of(site), Visitor(site, "lena"), asks(site, "bilal")
    ways = {
        "link": lambda: httpx2.post(link, data={"title": "blank"}, timeout=20),
        "signed in": lambda: her.post("/report", title="blank"),
        "api": lambda: api("POST", "/api/v1/reports", json={"title": "blank"}),
    }
    for way, send in ways.items():
        for _ in range(5):
            assert send().status_code in (200, 201), way
        refused = send()
        assert refused.status_code == 429, way
        assert 0 < int(refused.headers["retry-after"]) <= 900, way
        assert "too many tries" in refused.text, way


def test_whoever_is_paged_as_two_things_is_named_once(site):
    anna, directory = asks(site, "anna"), site.tocsin.engine.directory()
    schedule = directory.answering_team(service="payments")[0].schedule
    body = msgspec.to_builtins(directory.settings) | {"commander_schedule": schedule}
    known = {name: body[name] for name in ("name", "zone", "commander_schedule", "default_team")}
    changed = anna("PUT", "/api/v1/organisation", json=known)
    assert changed.status_code == 200, changed.text
    report = {"title": "payments are down for everybody", "service": "payments"}
    answer = anna("POST", "/api/v1/reports", json=report).json()
    incident = site.tocsin.engine.store.read(lambda r: read_incident(r, find_row(r, answer["number"])))
    assert [run.kind for run in incident.runs.values()] == ["responders", "commander"], answer
    assert len(answer["paged"]) == 1, answer
