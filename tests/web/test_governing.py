"""Insights, drills, checking and applying the policy: on pages and for programs."""

import re

import pytest
from people_at_the_door import Visitor, asks

from tocsin.policy.load import default_policy_text

SLOWER = default_policy_text().replace(
    "    update: 15m                                 # [COM-2]", "    update: 10m"
)


def test_insights_show_attainment_times_and_what_each_type_is_judged_by(site):
    site.alert("payments down", "pay-1")
    site.api("POST", "/api/v1/incidents/INC-1/commands/acknowledge", json={})
    page = Visitor(site, "chiara").get("/insights").text
    assert "Were promises kept?" in page
    assert "100 %" in page
    assert "What each type is judged by" in page
    found = site.api("GET", "/api/v1/figures").json()
    assert [
        (one["severity"], one["rule"], one["met"])
        for one in found["attainment"]
        if one["rule"] == "acknowledge"
    ] == [("P1", "acknowledge", 1)]
    assert (
        site.api("GET", "/api/v1/figures?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z").status_code
        == 400
    )


def test_an_incidents_score_shows_each_promise_with_the_time_that_counted(site):
    site.alert("payments down", "pay-1")
    page = Visitor(site, "chiara").get("/incidents/INC-1/score").text
    assert "Were its promises kept?" in page
    running = page.partition("Still running")[2].partition("</section>")[0]
    assert {"Acknowledge", "Respond", "Resolve", "Update"} <= set(re.findall(r"<strong>([^<]+)", running))
    kept = site.api("GET", "/api/v1/incidents/INC-1/score").json()
    assert {"acknowledge", "respond", "resolve", "update"} <= {one["rule"] for one in kept["duties"]}


@pytest.mark.guide("GOV-1")
def test_a_version_is_looked_at_then_put_in_force_by_program(site):
    owner = asks(site, "anna")
    looked = owner("POST", "/api/v1/policy/preview", json={"text": SLOWER, "weeks": 1}).json()
    assert looked["same"] is False
    refused = owner("PUT", "/api/v1/policy", json={"text": SLOWER, "before": "0" * 64, "weeks": 1})
    assert refused.status_code == 409
    done = owner(
        "PUT",
        "/api/v1/policy",
        json={"text": SLOWER, "before": looked["before"], "force": "a trial", "weeks": 1},
    )
    assert done.status_code == 200, done.text
    current = owner("GET", "/api/v1/policy").json()
    assert (current["version"], current["hash"]) == (2, looked["hash"])
    assert [one["version"] for one in current["versions"]] == [2, 1]
    assert current["review_due"]


def test_a_policy_that_cannot_be_read_names_its_line(site):
    answer = site.api(
        "POST", "/api/v1/policy/preview", json={"text": SLOWER.replace("severities:\n", "severitys:\n", 1)}
    )
    assert answer.status_code == 400
    assert "policy.yaml:" in answer.json()["detail"]
    assert site.api("POST", "/api/v1/policy/preview", json={"text": 7}).status_code == 400
    assert site.api("POST", "/api/v1/policy/preview", json={"text": SLOWER, "weeks": 99}).status_code == 400


def test_an_owner_looks_at_another_version_on_its_page_and_puts_it_in_force(site):
    anna = Visitor(site, "anna")
    looked = anna.post("/policy/apply", verb="look", text=SLOWER)
    assert "What version 2 would change" in looked.text
    before = site.api("GET", "/api/v1/policy").json()["hash"]
    done = anna.post("/policy/apply", verb="policy_apply", text=SLOWER, before=before, force="a trial")
    assert done.status_code == 303
    assert site.api("GET", "/api/v1/policy").json()["version"] == 2
    assert Visitor(site, "hugo").get("/policy/apply").status_code == 403


@pytest.mark.semantics(15)
def test_the_check_page_says_whether_pages_reach_people_and_if_not_when_who_and_which_step(site):
    page = Visitor(site, "chiara").get("/policy/check").text
    assert "Proved" in page or "Not proved" in page
    proof = site.api("GET", "/api/v1/policy/proof?weeks=1").json()
    assert proof["proved"] is (proof["counterexamples"] == [])
    assert proof["openings"] > 10


def test_a_drill_is_played_under_the_policy_in_force_and_its_report_is_read(site):
    me = Visitor(site, "chiara")
    assert "/drills/demo" in me.get("/drills").text
    page = me.post("/drills/payment-provider", verb="play")
    assert page.status_code == 200
    assert "expectations are met" in page.text
    assert me.get("/drills/..%2Fdemo").status_code == 404
    report = site.api("POST", "/api/v1/drills/payment-provider", json={}).json()
    assert report["events"]
    assert site.api("POST", "/api/v1/drills/nothing", json={}).status_code == 404


def test_action_items_are_read_and_moved_by_program(site):
    site.alert("payments down", "pay-1")
    made = site.api(
        "POST",
        "/api/v1/incidents/INC-1/commands/action_add",
        json={"text": "alarm on the queue", "owner": "bilal", "criteria": "an alarm within a minute"},
    )
    assert made.json()["number"] == "ACT-1"
    listed = site.api("GET", "/api/v1/actions?open=true").json()["actions"]
    assert [one["number"] for one in listed] == ["ACT-1"]
    assert (
        site.api("POST", "/api/v1/actions/ACT-1/commands/action_report", json={"text": "half"}).status_code
        == 200
    )
    assert site.api("GET", "/api/v1/actions/ACT-1").json()["report"] == "half"
    assert site.api("GET", "/api/v1/actions/ACT-99").status_code == 404
    assert site.api(
        "POST", "/api/v1/incidents/INC-1/commands/action_report", json={"text": "x"}
    ).status_code in (400, 404)
