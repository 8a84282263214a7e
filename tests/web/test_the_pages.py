"""What people do on the pages, over HTTP: contacts proved by a code, shifts taken, accounts made, reports sent."""

import html
import json
import re

import pytest
from people_at_the_door import Visitor, asks, forms_on

from tocsin.engine import overview
from tocsin.engine.changes import CHANGES
from tocsin.engine.commands import COMMANDS
from tocsin.kernel.clock import DAY, HOUR, MINUTE, to_iso
from tocsin.kernel.errors import DeliveryFailed
from tocsin.web.endpoints import WRITES


@pytest.mark.semantics(15)
def test_a_contact_wakes_nobody_until_its_code_came_back(site):
    me = Visitor(site, "bilal")
    me.post("/people/bilal", verb="add_contact", kind="console", address="bilal-2", label="second phone")
    contact = site.tocsin.engine.directory().people["bilal"].contacts[-1]
    assert contact.tested_at == 0
    assert me.post("/people/bilal", verb="test_contact", contact=contact.id).status_code == 303
    message = site.wait_for(lambda: next((m for m in site.tocsin.phone.messages if m.to == "bilal-2"), None))
    code = re.search(r"code is (\d{6})", message.text)[1]

    wrong = me.post(
        "/people/bilal",
        verb="confirm_contact",
        contact=contact.id,
        code="000000" if code != "000000" else "1",
    )
    assert wrong.status_code == 303
    assert site.tocsin.engine.directory().people["bilal"].contacts[-1].tested_at == 0
    me.post("/people/bilal", verb="confirm_contact", contact=contact.id, code=code)
    proved = site.tocsin.engine.directory().people["bilal"].contacts[-1]
    assert proved.tested_at > 0
    assert proved.verified_at > 0


def test_a_test_that_did_not_leave_is_shown_beside_its_contact(site):
    site.tocsin.phone.fail_next.append(
        DeliveryFailed("twilio answered 400: gone (code 21211)", permanent=True)
    )
    me = Visitor(site, "bilal")
    contact = site.tocsin.engine.directory().people["bilal"].contacts[0]
    me.post("/people/bilal", verb="test_contact", contact=contact.id)
    site.wait_for(lambda: "its last test did not leave: twilio answered 400" in me.get("/people/bilal").text)
    me.post("/people/bilal", verb="test_contact", contact=contact.id)
    site.wait_for(lambda: "did not leave" not in me.get("/people/bilal").text)


def test_a_code_cannot_be_guessed_by_trying(site):
    me = asks(site, "bilal")
    me("POST", "/api/v1/people/bilal/test")
    contact = site.tocsin.engine.directory().people["bilal"].contacts[0].id
    path = f"/api/v1/people/bilal/contacts/{contact}/confirm"
    answers = [me("POST", path, json={"code": f"x{n}"}).status_code for n in range(7)]
    assert answers == [200] * 5 + [409] * 2


def test_a_responder_takes_a_shift_but_gives_none_away(site):
    start = site.tocsin.engine.clock.now() + HOUR
    me, owner = asks(site, "bilal"), asks(site, "anna")
    schedule = next(iter(site.tocsin.engine.directory().schedules))
    path = f"/api/v1/schedules/{schedule}/overrides"
    span = {"start": to_iso(start), "end": to_iso(start + HOUR)}
    assert me("POST", path, json={**span, "person": "dmitri"}).status_code == 403
    made = me("POST", path, json=span)
    assert made.status_code == 200
    assert site.tocsin.engine.directory().on_call(schedule, start).person == "bilal"
    assert asks(site, "dmitri")("DELETE", f"/api/v1/overrides/{made.json()['id']}").status_code == 403
    assert owner("POST", path, json={**span, "person": "dmitri"}).status_code == 200
    assert site.tocsin.engine.directory().on_call(schedule, start).person == "dmitri"


def test_leave_says_which_shifts_nobody_would_answer(site):
    directory, now = site.tocsin.engine.directory(), site.tocsin.engine.clock.now()
    holder = next(p for s in directory.schedules if (p := directory.on_call(s, now).person))
    answer = asks(site, holder)(
        "POST", "/api/v1/leave", json={"start": to_iso(now), "end": to_iso(now + DAY)}
    )
    assert "on call in that time" in answer.json()["warning"]


def test_the_calendar_feed_needs_its_token_and_answers_304_when_nothing_changed(site):
    me = Visitor(site, "chiara")
    assert me.get("/oncall/mine.ics").status_code == 401
    me.post("/account", verb="new_feed_token")
    address = re.search(r"/oncall/mine\.ics\?token=[\w-]+", me.get("/account").text)[0]
    feed = me.get(address)
    assert feed.headers["content-type"].startswith("text/calendar")
    assert feed.text.startswith("BEGIN:VCALENDAR\r\n")
    assert feed.text.count("BEGIN:VEVENT") == feed.text.count("END:VEVENT") > 0
    again = me.client.get(address, headers={"If-None-Match": feed.headers["etag"]})
    assert (again.status_code, again.text) == (304, "")
    me.post("/account", verb="new_feed_token")
    assert me.get(address).status_code == 401, "a new address ends the old one"


def test_an_owner_adds_somebody_who_signs_in_once_by_the_link_and_sets_a_password(site):
    owner = Visitor(site, "anna")
    owner.post(
        "/people",
        verb="add_person",
        name="Noor Haddad",
        email="noor@fernhill.example",
        role="responder",
        zone="UTC",
    )
    shown = owner.post("/people/noor-haddad", verb="make_sign_in_link").text
    link = re.search(r"/sign-in/[\w-]+", shown)[0]
    client = Visitor(site, "noor-haddad").client
    client.cookies.clear()
    assert "signs you in" in client.get(link).text
    assert client.post(link).headers["location"] == "/account"
    assert client.post(link).status_code == 404, "the link works once"
    csrf = re.search(r'name="csrf" value="([^"]+)"', client.get("/account").text)[1]
    assert (
        client.post("/account", data={"csrf": csrf, "verb": "change_password", "new": "short"}).status_code
        == 400
    )
    fine = {"csrf": csrf, "verb": "change_password", "new": "a few words in a row"}
    assert client.post("/account", data=fine).status_code == 303
    assert client.post("/account", data=fine).status_code == 403, "from now on the present one is asked for"
    signed = client.post("/sign-in", data={"login": "noor@fernhill.example", "password": fine["new"]})
    assert signed.headers["location"] == "/"


def test_a_deactivated_person_loses_sessions_and_tokens_at_once(site):
    owner, gone, token = Visitor(site, "anna"), Visitor(site, "farid"), asks(site, "farid")
    assert gone.get("/").status_code == 200
    owner.post("/people/farid", verb="change_person", active="no")
    assert gone.get("/").status_code == 303
    assert token("GET", "/api/v1/incidents").status_code == 401


def test_the_last_owner_stays_owner(site):
    refused = asks(site, "anna")("PATCH", "/api/v1/people/anna", json={"role": "responder"})
    assert refused.status_code == 409
    assert "last owner" in refused.json()["detail"]


def test_sessions_are_listed_and_ended_by_their_owner_alone(site):
    here, there = Visitor(site, "chiara"), Visitor(site, "chiara")
    stranger = asks(site, "bilal")
    assert stranger("DELETE", f"/api/v1/sessions/{there.session.id}").status_code == 404
    here.post("/account", verb="revoke_session", session=here.session.id, others="yes")
    assert there.get("/").status_code == 303
    assert here.get("/").status_code == 200


@pytest.mark.semantics(24)
def test_a_stakeholder_reports_and_hears_what_happens_next(site):
    her = Visitor(site, "lena")
    assert her.get("/declare").status_code == 403
    assert her.post("/declare", verb="declare", title="x").status_code == 403
    done = her.post(
        "/report",
        title="customers cannot pay",
        detected_how="ticket",
        service="payments",
        who="Ms Ode, ticket 88",
    )
    assert "INC-1" in done.text
    assert "being paged" in done.text
    incident = asks(site, "anna")("GET", "/api/v1/incidents/INC-1").json()
    assert (incident["detected_how"], incident["detected_by"], incident["by"]) == (
        "ticket",
        "Ms Ode, ticket 88",
        "lena",
    )
    assert incident["severity_state"] == "proposed"
    assert (
        asks(site, "lena")("POST", "/api/v1/incidents/INC-1/commands/note", json={"text": "x"}).status_code
        == 403
    )


@pytest.mark.semantics(24)
def test_a_report_link_works_without_an_account_until_it_is_withdrawn_and_not_without_limit(site):
    owner = Visitor(site, "anna")
    owner.post("/integrations", verb="add_report_key", name="support desk")
    link = re.search(r"/report/[\w-]+", owner.get("/integrations").text)[0]
    client = Visitor(site, "lena").client
    client.cookies.clear()
    first = client.post(link, data={"title": "the page is blank", "detected_how": "user_report"})
    assert "INC-1" in first.text
    assert "Chiara" not in first.text, "whoever has the link learns no names"
    for n in range(4):
        client.post(link, data={"title": f"blank {n}"})
    assert client.post(link, data={"title": "blank again"}).status_code == 429
    id = asks(site, "anna")("GET", "/api/v1/report-links").json()["links"][0]["id"]
    asks(site, "anna")("DELETE", f"/api/v1/report-links/{id}")
    assert client.get(link).status_code == 404


@pytest.mark.semantics(12)
def test_a_team_gets_an_escalation_policy_of_its_own_and_is_paged_by_it(site):
    owner = Visitor(site, "anna")
    made = owner.post(
        "/escalation/new", verb="put_escalation_policy", name="Nights of payments", team="payments",
        targets="on_call = person:greta\nnight_lead = person:hugo", **{"steps-P1": "0: on_call\n1 min: night_lead, on_call\n4 h business: cto"},
    )  # fmt: skip
    assert made.headers["location"] == "/escalation/nights-of-payments"
    page = owner.get(made.headers["location"]).text
    assert "4 h business: cto" in page and "after 1 min: Hugo" in page
    team = site.tocsin.engine.directory().teams["payments"]
    owner.post("/teams/payments", verb="put_team", name=team.name, members=list(team.members), schedule=team.schedule, escalation_policy="nights-of-payments")  # fmt: skip
    assert team.name in owner.get("/escalation").text
    site.alert("payments down", "pay-1")
    assert site.page_for("greta")
    asked = asks(site, "anna")("GET", "/api/v1/incidents/INC-1/escalation").json()
    assert "Hugo" in json.dumps(asked)
    refused = owner.post("/escalation/nights-of-payments", verb="remove_escalation_policy")
    assert refused.status_code != 303 and f"the team {team.name} would be paged another way" in refused.text
    owner.post(
        "/teams/payments",
        verb="put_team",
        name=team.name,
        members=list(team.members),
        schedule=team.schedule,
        escalation_policy="payments",
    )
    assert owner.post("/escalation/nights-of-payments", verb="remove_escalation_policy").status_code == 303
    assert "nights-of-payments" not in site.tocsin.engine.directory().escalation_policies


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"targets": "on_call schedule:payments"}, "names, line 1"),
        ({"targets": "on_call = person:nobody"}, "there is no person"),
        ({"targets": "on_call = on_call"}, "on_call means on_call"),
        ({"targets": "on_call = a\na = b\nb = a"}, "on_call means a means b means a"),
        ({"targets": "night lead = person:hugo"}, "is no name"),
        ({"steps-P1": "0: on_call\n30 min business: cto\n1 h: ceo"}, "would wait with it"),
        ({"steps-P1": "0: on_call\n1 h: cto\n30 min: ceo"}, "is earlier"),
        ({"steps-P1": "1 h: on_call"}, "the first step of p1 comes within 15 min"),
        ({"targets": "on_call = on_cal"}, "did you mean"),
        ({"steps-P1": "soon: on_call"}, "is not a duration"),
        ({"steps-P1": "0: on_call\n2 min"}, "P1, line 2"),
        ({"steps-P2": "0: on_call\n8 days: on_call"}, "7 days are the most"),
        ({"steps-P1": "0: schedule:none"}, "there is no schedule"),
        ({"name": " "}, "the name is empty"),
    ],
)
def test_an_escalation_policy_that_would_page_nobody_is_refused_with_the_line_and_comes_back_as_it_was_written(
    site, fields, said
):
    owner = Visitor(site, "anna")
    form = {"name": "Nights", "verb": "put_escalation_policy"} | fields
    answer = owner.post("/escalation/new", **form)
    assert answer.status_code == 400
    assert said in html.unescape(answer.text).lower() or said in html.unescape(answer.text), answer.text[
        :3000
    ]
    for value in fields.values():
        assert html.escape(value.split("\n")[0].strip()) in answer.text


def test_what_an_escalation_policy_means_is_not_removed_under_it_and_its_form_keeps_every_second(site):
    owner = asks(site, "anna")
    body = {
        "name": "New", "targets": {"on_call": "schedule:payments", "helpers": "team:platform", "maker": "person:hugo"},
        "steps": {"P1": [{"after": "0", "page": ["on_call"]}, {"after": "8000 s", "page": ["service:api"]}]},
    }  # fmt: skip
    page = Visitor(site, "anna")
    made = page.post(
        "/escalation/new", verb="put_escalation_policy", name="New", targets="on_call = schedule:payments"
    )
    assert made.headers["location"] == "/escalation/new-2", "new is where a page makes one"
    assert owner("PUT", "/api/v1/escalation-policies/new-2", json=body).status_code == 200
    assert "2 h 13 min 20 s: service:api" in page.get("/escalation/new-2").text
    for path in ("/schedules/payments", "/teams/platform", "/services/api"):
        answer = owner("DELETE", f"/api/v1{path}")
        assert answer.status_code == 409, (path, answer.text)
    for team in site.tocsin.engine.directory().teams.values():
        fields = {"name": team.name, "members": list(team.members), "schedule": "platform"}
        assert owner("PUT", f"/api/v1/teams/{team.id}", json=fields).status_code == 200
    refused = owner("DELETE", "/api/v1/schedules/payments")
    assert refused.status_code == 409 and "the escalation policy New" in refused.text
    gone = owner("PATCH", "/api/v1/people/hugo", json={"active": False})
    assert "still meant by the escalation policy New" in gone.json()["warning"]
    assert page.post("/escalation/new-2", verb="rotate_key", name="other").status_code == 404


def test_escalation_policies_are_read_by_all_and_changed_by_owners(site):
    owner, bilal = asks(site, "anna"), asks(site, "bilal")
    body = {"name": "Nights", "team": "payments", "targets": {"on_call": "schedule:payments"}, "steps": {"P1": [{"after": "0", "page": ["on_call"]}, {"after": "2 min", "page": ["team:payments"], "business": True}]}}  # fmt: skip
    path = "/api/v1/escalation-policies/nights"
    assert bilal("PUT", path, json=body).status_code == 403
    assert owner("PUT", path, json=body).status_code == 200
    found = {
        one["id"]: one for one in bilal("GET", "/api/v1/escalation-policies").json()["escalation_policies"]
    }
    step = found["nights"]["steps"]["P1"][1]
    assert (step["after_seconds"], step["business"], step["page"]) == (120, True, ["team:payments"])
    assert len(step["people"]) > 1 and found["nights"]["people"]["on_call"]
    wrong = owner("PUT", path, json=body | {"steps": {"P9": [{"after": "0", "page": ["on_call"]}]}})
    assert wrong.status_code == 400 and "P9" in wrong.text
    assert "Nights" in Visitor(site, "bilal").get("/escalation/nights").text
    assert Visitor(site, "bilal").get("/escalation/new").status_code == 403
    assert bilal("DELETE", path).status_code == 403
    assert owner("DELETE", path).status_code == 200
    assert owner("DELETE", path).status_code == 404


def test_an_owner_reads_who_changed_what_and_how_it_stood_before(site):
    anna, chiara = Visitor(site, "anna"), asks(site, "chiara", "configure")
    team = site.tocsin.engine.directory().teams["payments"]
    fields = {"verb": "put_team", "name": team.name, "schedule": team.schedule}
    anna.post("/teams/payments", members=["chiara", "hugo"], engineering_lead="greta", **fields)
    start = site.tocsin.engine.clock.now() + HOUR
    chiara(
        "POST",
        "/api/v1/leave",
        json={"start": to_iso(start), "end": to_iso(start + DAY), "reason": "dentist"},
    )
    asks(site, "anna")("POST", "/api/v1/tokens", json={"name": "robot", "scopes": ["read"]})
    anna.post("/people/bilal", verb="add_contact", kind="console", address="a-secret-topic", label="phone")
    owner = asks(site, "anna", "configure")
    last = owner("GET", "/api/v1/journal").json()["entries"]
    assert [(one["by"], one["verb"]) for one in last] == [
        ("person:anna", "add_contact"), ("person:anna", "add_token"), ("person:chiara", "add_leave"), ("person:anna", "put_team"),
    ]  # fmt: skip
    put = next(one for one in last if one["verb"] == "put_team")
    assert f"members: {', '.join(team.members)} → chiara, hugo" in put["changed"] and put["door"] == "session"
    assert not any(line.startswith("schedule") for line in put["changed"]), "what is as it was is not told"
    text = json.dumps(last)
    assert f"start: {to_iso(start)[:16]}" in text and "address: changed" in text
    for kept_out in ("dentist", "a-secret-topic"):
        assert kept_out not in text, kept_out
    anna.post("/teams/payments", members=["chiara", "hugo"], engineering_lead="greta", **fields)
    assert len(owner("GET", "/api/v1/journal").json()["entries"]) == len(last), "nothing was different"
    override = {"start": to_iso(start), "end": to_iso(start + DAY), "person": "hugo"}
    made = owner("POST", "/api/v1/schedules/payments/overrides", json=override).json()
    assert asks(site, "anna")("DELETE", f"/api/v1/overrides/{made['id']}").status_code == 200
    removed = owner("GET", "/api/v1/journal").json()["entries"][0]["changed"]
    assert removed[0] == "removed" and "schedule: payments" in removed and "person: hugo" in removed
    page = anna.get("/journal").text
    assert "Anna" in page and "chiara, hugo" in page and "a-secret-topic" not in page
    assert asks(site, "bilal")("GET", "/api/v1/journal").status_code == 403
    assert Visitor(site, "bilal").get("/journal").status_code == 403
    newest = owner("GET", "/api/v1/journal?limit=2").json()
    older = owner("GET", f"/api/v1/journal?limit=100&before={newest['next']}").json()
    assert len(newest["entries"]) == 2 and len(older["entries"]) == len(last) and older["next"] == ""


def test_an_owner_tries_a_mapping_on_what_came_last_and_saves_it(site):
    owner = Visitor(site, "anna")
    made = owner.post("/integrations", verb="add_integration", name="checks", source="generic")
    path = made.headers["location"]
    address = re.search(r"/in/generic/\w{32}", owner.get(path).text)[0]
    body = {"check": {"id": "db1/disk", "words": "disk full on db1", "state": "bad"}}
    assert owner.client.post(address, json=body).status_code == 400, "it has no summary yet"
    assert "db1/disk" in re.search(r'name="sample".*?</textarea>', owner.get(path).text, re.DOTALL)[0]

    wrong = owner.post(path, verb="try_mapping", mapping="summary check.words\nfoo check.id", sample="{}")
    assert wrong.status_code == 400 and "is no field of an alert" in wrong.text
    assert "foo check.id" in wrong.text, "what was written is still there"
    mapping = "summary    check.words\ndedup_key  check.id\nresolve    check.state = good"
    tried = owner.post(path, verb="try_mapping", mapping=mapping, sample=json.dumps(body))
    assert tried.status_code == 200 and "would be 1 alert. Nothing was sent." in tried.text
    assert "fires: <strong>disk full on db1</strong>" in tried.text and "<code>db1/disk</code>" in tried.text
    assert owner.client.post(address, json=body).status_code == 400, "and nothing was saved"
    no_json = owner.post(path, verb="try_mapping", mapping=mapping, sample="<xml>")
    assert no_json.status_code == 400 and "&lt;xml&gt;" in no_json.text

    assert owner.post(path, verb="save_mapping", mapping=mapping, sample="").status_code == 303
    assert owner.client.post(address, json=body).status_code == 202
    assert "dedup_key  check.id" in owner.get(path).text
    assert owner.post(path, verb="save_mapping", mapping="resolve check.state").status_code == 400
    assert owner.post(path, verb="save_mapping", mapping=" ", sample="").status_code == 303
    assert owner.client.post(address, json=body).status_code == 400, "the usual names again"
    probe = owner.post("/integrations", verb="add_integration", name="probe", source="prometheus").headers[
        "location"
    ]
    assert owner.post(probe, verb="save_mapping", mapping="x y").status_code == 404, "it reads none"
    bilal = Visitor(site, "bilal")
    for verb in ("try_mapping", "save_mapping"):
        assert bilal.post(path, verb=verb, mapping=mapping, sample="{}").status_code in (400, 403)
    assert "db1/disk" not in bilal.get(path).text


def test_how_late_a_beat_may_be_and_when_silence_is_an_alert_are_set_on_the_page(site):
    owner = Visitor(site, "anna")

    def stored(path):
        return overview.integration_rows(site.tocsin.engine)[path.rpartition("/")[2]]

    made = owner.post(
        "/integrations", verb="add_integration", name="backup", source="heartbeat", interval="1 day"
    )
    beat = made.headers["location"]
    unsaid = owner.post("/integrations", verb="add_integration", name="nightly", source="heartbeat")
    assert unsaid.status_code == 400 and "say how often" in unsaid.text
    owner.post(beat, verb="change_integration", name="backup", interval="1 day", grace="2 h")
    assert (stored(beat).interval, stored(beat).grace) == (DAY, 2 * HOUR)
    assert 'name="grace" value="2 h"' in owner.get(beat).text
    owner.post(beat, verb="change_integration", name="backup", interval="1 day", grace="")
    assert stored(beat).grace == 0
    assert (
        owner.post(
            beat, verb="change_integration", name="backup", interval="1 day", grace="2 years"
        ).status_code
        == 400
    )
    made = owner.post("/integrations", verb="add_integration", name="prom", source="prometheus")
    prom = made.headers["location"]
    owner.post(prom, verb="change_integration", name="prom", interval="10 min")
    assert stored(prom).interval == 10 * MINUTE
    owner.post(prom, verb="change_integration", name="prom", interval="")
    assert stored(prom).interval == 0


def test_an_integration_is_made_shown_tested_and_its_old_key_refused(site):
    owner = Visitor(site, "anna")
    made = owner.post(
        "/integrations", verb="add_integration", name="probe", source="pagerduty", service="payments"
    )
    page = owner.get(made.headers["location"]).text
    key = re.search(r"routing_key&#34;: &#34;(\w{32})", page)[1]
    tested = owner.post(made.headers["location"], verb="test_integration")
    assert "went through the same door" in tested.text
    assert "Test of this integration" in owner.get(made.headers["location"]).text
    assert key not in Visitor(site, "bilal").get(made.headers["location"]).text, "the key is for owners"
    owner.post(made.headers["location"], verb="rotate_key")
    event = {
        "routing_key": key,
        "event_action": "trigger",
        "payload": {"summary": "s", "source": "x", "severity": "info"},
    }
    assert "key is not known" in owner.client.post("/v2/enqueue", json=event).json()["errors"][0]


def test_a_silence_by_page_has_author_and_reason_and_only_an_owner_or_the_commander_hides_a_p1(site):
    me = Visitor(site, "farid")
    fields = {"verb": "add_silence", "matchers": "component=search", "ends_at": "2099-01-01T00:00"}
    assert "reason" in me.post("/silences", **fields).text
    assert me.post("/silences", **fields, reason="known", covers_p1="yes").status_code == 403
    assert me.post("/silences", **fields, reason="known").status_code == 303
    silence = asks(site, "farid")("GET", "/api/v1/silences").json()["silences"][0]
    assert (silence["author"], silence["reason"]) == ("farid", "known")
    asks(site, "farid")("DELETE", f"/api/v1/silences/{silence['id']}")
    assert asks(site, "farid")("GET", "/api/v1/silences").json()["silences"] == []


def test_the_list_is_searched_filtered_and_turned_over(site):
    for n in range(60):
        site.api("POST", "/api/v1/incidents", json={"title": f"mailbox {n}", "severity": "P4"})
    site.api("POST", "/api/v1/incidents", json={"title": "cellar flooded", "severity": "P3"})
    me = Visitor(site, "chiara")
    assert "cellar" in me.get("/incidents?q=flood").text
    assert "mailbox" not in me.get("/incidents?q=flood").text
    assert "mailbox" not in me.get("/incidents?severity=P3").text
    first = me.get("/incidents?q=mailbox").text
    older = re.search(r'href="(/incidents\?[^"]*before=[^"]+)"', first)[1].replace("&amp;", "&")
    second = me.get(older).text
    shown = [set(re.findall(r"INC-\d+", text)) for text in (first, second)]
    assert not shown[0] & shown[1]
    assert len(shown[0] | shown[1]) == 60


def test_now_shows_what_i_owe_and_not_what_others_do(site):
    site.alert("payments down", "pay-1")
    site.api("POST", "/api/v1/incidents/INC-1/commands/acknowledge", json={})
    assert "Respond" in Visitor(site, "chiara").get("/").text
    assert "Nothing is owed by you" in Visitor(site, "greta").get("/").text
    mine = site.api("GET", "/api/v1/duties").json()["duties"]
    assert {one["incident"] for one in mine} == {"INC-1"}


def test_what_a_page_offers_is_what_is_legal_and_allowed_now(site):
    site.alert("payments down", "pay-1")
    page = Visitor(site, "chiara").get("/incidents/INC-1").text
    assert {
        "acknowledge",
        "update",
        "note",
        "decision",
        "assign_role",
        "page",
        "task_add",
        "impact",
        "milestone",
    } <= forms_on(page)
    assert "pause_clock" not in forms_on(page), "the clocks of a P1 never pause"
    assert not forms_on(Visitor(site, "lena").get("/incidents/INC-1").text) & set(COMMANDS)


def test_every_change_has_a_page_and_an_address_in_the_api():
    from pathlib import Path

    import tocsin.web

    folder = Path(tocsin.web.__file__).parent / "templates"
    text = "".join(path.read_text("utf-8") for path in folder.glob("*.html"))
    on_pages = set(re.findall(r'form\("(\w+)"|name="verb" value="(\w+)"', text))
    on_pages = {verb for pair in on_pages for verb in pair}
    assert (set(CHANGES) | set(COMMANDS)) - on_pages == {"report"}, "the report form needs no verb"
    assert {one.change.verb for one in WRITES} == set(CHANGES)


def test_a_rotation_without_a_zone_goes_by_the_clocks_of_its_schedule(site):
    owner = asks(site, "anna")
    rotation = {"id": "r", "members": ["chiara"], "start": "2026-03-02T09:00"}
    body = {
        "name": "Far away",
        "zone": "Asia/Tokyo",
        "rotations": [rotation],
        "secondary": [rotation | {"id": "s"}],
    }
    assert owner("PUT", "/api/v1/schedules/far", json=body).status_code == 200
    shown = owner("GET", "/api/v1/schedules/far").json()
    assert [one["zone"] for one in (*shown["rotations"], *shown["secondary"])] == ["Asia/Tokyo"] * 2
    body["rotations"] = [rotation | {"zone": "Europe/Rome"}]
    owner("PUT", "/api/v1/schedules/far", json=body)
    assert owner("GET", "/api/v1/schedules/far").json()["rotations"][0]["zone"] == "Europe/Rome"
