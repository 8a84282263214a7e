"""An incident on its pages: one next step, who decides, what is missing, what was said to whom; nothing written is lost."""

import html
import re

import httpx2
import pytest
from people_at_the_door import Visitor, asks, forms_on

from running_site import TLS
from tocsin.alerts.shape import AlertBody, Link
from tocsin.incidents.chasing import is_interval
from tocsin.incidents.duties import owed
from tocsin.kernel.clock import HOUR, MINUTE, to_datetime, to_iso
from tocsin.web.alert_content import content_of
from tocsin.web.base import countdown, linked_text
from tocsin.web.incident_drafts import begun
from tocsin.web.refill import Refused, opened


def step(text):
    """The heading of the one next step."""
    found = re.search(r'<div class="step-card">\s*<h2>(.*?)</h2>', text, re.DOTALL)
    return re.sub(r"<[^>]+>", "", found[1]).strip() if found else ""


def test_one_step_leads_to_the_next(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    path = "/incidents/INC-1"
    assert step(me.get(path).text) == "Nobody has it yet"
    me.post(path, verb="acknowledge")
    assert step(me.get(path).text) == "Is it a P1?"
    me.post(path, verb="severity", severity="P1")
    assert step(me.get(path).text) in ("Lessen the harm", "Say what is known")
    me.post(path, verb="protocol", step="mitigate", how="rolled back")
    me.post(path, verb="update", text="rolled back")
    assert step(me.get(path).text) == "Under way"
    site.alert("payments down", "pay-1", "resolve")
    assert step(me.get(path).text) == "Is it really over?"
    for kind in ("functional", "performance", "security"):
        me.post(path, verb="validate", kind=kind, outcome="passed")
    assert step(me.get(path).text) == "It looks over"
    me.post(path, verb="move", to="resolve", reason="rolled back")
    assert step(me.get(path).text) == "Learn from it"
    assert "lasted" in me.get(path).text


def protocol(text):
    """The steps of the first response, as (label, text beside and beneath it), and what stands above them."""
    panel = text.partition('<h2 id="protocol">')[2].partition("</ol>")[0]
    head, _, steps = panel.partition("</h2>")

    def plain(part):
        return " ".join(re.sub(r"<[^>]+>", " ", part).split())

    found = [plain(one).partition(" ") for one in steps.split("<li")[1:]]
    return plain(head), [last.partition(">")[2].strip() or last for *_, last in found]


@pytest.mark.guide("PRO-6")
def test_the_first_response_is_one_live_protocol_with_owner_tools_clock_and_who_did_it(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    page = me.get("/incidents/INC-1").text
    head, steps = protocol(page)
    assert head.startswith("First response") and "all within 15 min:" in head, (
        "the time of a P1's first response"
    )
    assert re.search(r'data-due="\d+"', page.partition('<h2 id="protocol">')[2].partition("</h2>")[0]), (
        "it ticks"
    )
    names = [
        "Acknowledge",
        "Record what happened",
        "Assess severity and impact",
        "Call the response team",
        "Begin mitigation",
    ]
    assert len(steps) == 5
    for name, step in zip(names, steps, strict=True):
        assert name in step
    assert "min" in steps[0] and "Chiara Conti" in steps[0], "whose it is and how long is left"
    assert re.search(r"\d\d:\d\d", steps[1]), "what is done has its time"
    assert "record the impact" in steps[2] and 'id="set-impact"' in page
    assert "runbook of Payments" in steps[4] and "https://runbooks.fernhill.example/payments" in page
    me.post("/incidents/INC-1", verb="acknowledge")
    me.post("/incidents/INC-1", verb="protocol", step="assess", how="every card fails")
    head, steps = protocol(me.get("/incidents/INC-1").text)
    assert "4 of 5" in head
    assert "Chiara Conti: every card fails" in steps[2]
    me.post("/incidents/INC-1", verb="protocol", step="mitigate", how="rolled back")
    assert "5 of 5 done" in protocol(me.get("/incidents/INC-1").text)[0]
    site.api("POST", "/api/v1/incidents", json={"title": "slow", "severity": "P2", "services": ["api"]})
    assert "all within 1 h:" in protocol(me.get("/incidents/INC-2").text)[0], "a milder one has its own time"


@pytest.mark.guide("SEV-8")
def test_every_running_clock_shows_with_what_by_whom_how_long_and_what_was_missed(site):
    site.alert("payments down", "pay-1")
    me, engine = Visitor(site, "chiara"), site.tocsin.engine
    me.post("/incidents/INC-1", verb="acknowledge")

    def owed_now():
        incident = engine.store.read(lambda r: engine.reading(r).load(r.streams("incident")[0].stream.id))
        policy = engine.store.read(lambda r: engine.policy_of(r, incident.policy)[0])
        return [one for one in owed(incident, policy) if not is_interval(one)]

    page = me.get("/incidents/INC-1").text
    assert len(owed_now()) > 5
    for duty in owed_now():
        clock = f'data-due="{duty.due // 1000}" data-start="{duty.start // 1000}"'
        assert clock in page or duty.rule in ("assess", "mitigate"), f"{duty.id} has its clock"
    panel = page.partition('<h2 id="clocks">')[2].partition("</section>")[0]
    assert re.search(
        r"<strong>Resolve</strong>.*?Chiara Conti \(incident commander\), due ", panel, re.DOTALL
    )
    engine.clock.skip(20 * 60 * 1_000_000)
    site.wait_for(lambda: "MISSED: update" in me.get("/incidents/INC-1").text)
    late = me.get("/incidents/INC-1").text
    assert re.search(
        r'<li class="overdue" data-clock><strong>Update</strong> <span class="left overdue"', late
    )


def test_only_one_button_of_the_whole_page_is_the_primary_one(site):
    site.alert("payments down", "pay-1")
    text = Visitor(site, "chiara").get("/incidents/INC-1").text
    assert re.findall(r'<button[^>]*class="primary"[^>]*>([^<]*)', text) == ["Acknowledge"]


def test_a_form_that_is_refused_comes_back_as_it_was_written(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    refused = me.post(
        "/incidents/INC-1", verb="update", text="it & all <b>of it</b>", at="2099-01-01T10:00", audience="customers"
    )  # fmt: skip
    assert refused.status_code == 409
    assert "it &amp; all &lt;b&gt;of it&lt;/b&gt;</textarea>" in refused.text
    assert '<option value="customers" selected>' in refused.text
    assert 'name="at" value="2099-01-01T10:00"' in refused.text
    assert re.search(r'<details open id="write-more">', refused.text), "the field that is wrong is shown"
    assert refused.text.count('role="alert" tabindex') == 1, "the sentence stands at its own form alone"


def test_declaring_and_reporting_keep_what_was_written_too(site):
    me = Visitor(site, "chiara")
    refused = me.post("/declare", verb="declare", title="  ", summary="since the release", kind="data")
    assert refused.status_code == 400
    assert "since the release</textarea>" in refused.text
    assert '<option value="data" selected>' in refused.text
    refused = me.post("/report", title="cannot pay", detected_how="crystal_ball", who="Ms Ode")
    assert 'value="Ms Ode"' in refused.text


def test_several_fields_of_one_name_come_back_each_in_its_place():
    from starlette.datastructures import FormData

    form = FormData([("verb", "put"), ("who", "b"), ("who", "a"), ("secret", "x")])
    options = '<option value="a">A</option><option value="b">B</option>'
    inner = f'<select name="who">{options}</select><select name="who">{options}</select><input type="password" name="secret">'
    refused = Refused(form, "no")
    assert refused.fits("put", inner)
    assert not refused.fits("put", inner), "one form says why, not each that looks like it"
    filled = refused.fill(inner)
    first, second, _ = filled.split("</select>")
    assert 'value="b" selected' in first and 'value="a" selected' in second
    assert "value" not in filled.rpartition("<input")[2], "a password is never written back"
    page = '<details id="a"><details id="b"></details><form><p class="alarm" role="alert" tabindex="-1">'
    assert opened(page).startswith('<details open id="a"><details id="b">')


def test_resolving_while_alerts_fire_wants_a_reason(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "anna")
    assert "alert still fires: payments down" in me.get("/incidents/INC-1").text
    refused = me.post("/incidents/INC-1", verb="move", to="resolve", override="checked by hand")
    assert refused.status_code == 409
    assert "say why it is resolved all the same" in refused.text
    fine = me.post(
        "/incidents/INC-1", verb="move", to="resolve", override="checked by hand", reason="the probe is wrong"
    )
    assert fine.status_code == 303


def test_what_keeps_an_incident_from_closing_is_listed_with_a_button_each(site):
    site.api(
        "POST", "/api/v1/incidents", json={"title": "search slow", "severity": "P2", "services": ["api"]}
    )
    me = Visitor(site, "anna")
    me.post("/incidents/INC-1", verb="move", to="resolve", reason="indexed", override="seen by hand")
    page = me.get("/incidents/INC-1/recovery").text
    assert "Before it can be closed" in page
    steps = re.findall(r'name="step" value="(\w+)"', page)
    assert {"timeline", "root_cause", "draft", "publication"} <= set(steps)
    for kept in steps:
        me.post("/incidents/INC-1/post-mortem", verb="post_mortem", step=kept, note="in the wiki")
    assert "Nothing is owed any more" in me.get("/incidents/INC-1").text
    assert me.post("/incidents/INC-1", verb="move", to="close").status_code == 303
    assert "closed" in me.get("/incidents/INC-1").text


@pytest.mark.semantics(21)
def test_who_may_not_decide_asks_and_whoever_may_grants_it_in_one_click(site):
    site.alert("payments down", "pay-1")
    asks(site, "chiara")("POST", "/api/v1/incidents/INC-1/commands/acknowledge", json={})
    bilal, chiara = Visitor(site, "bilal"), Visitor(site, "chiara")
    page = bilal.get("/incidents/INC-1").text
    assert "Ask Chiara Conti to resolve it" in page
    said = bilal.post(
        "/incidents/INC-1",
        verb="ask",
        verb_wanted="severity",
        **{"with-severity": "P2"},
        reason="cards alone",
    )
    assert said.status_code == 303
    assert "Bilal Haddad asks to set the severity to P2" in bilal.get("/incidents/INC-1").text
    assert "answer_request" not in forms_on(bilal.get("/incidents/INC-1").text), (
        "whoever asks does not answer"
    )
    page = chiara.get("/incidents/INC-1").text
    request = re.search(r'name="request" value="(\w+)"', page)[1]
    chiara.post("/incidents/INC-1", verb="answer_request", request=request, grant="yes")
    incident = site.api("GET", "/api/v1/incidents/INC-1").json()
    assert incident["severity"] == "P2"


def test_somebody_takes_command_and_roles_are_filled_by_one_click(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "greta")
    page = me.get("/incidents/INC-1").text
    assert "Take command" in page
    assert "Assign Chiara" in page, "the technical lead is proposed from the owners of what is affected"
    me.post("/incidents/INC-1", verb="assign_role", role="incident_commander", person="greta")
    page = me.get("/incidents/INC-1").text
    assert re.search(r"<b>Greta Lind</b> commands", page)
    assert "Take command" not in page


def test_a_merge_without_a_commander_breaks_the_glass_only_where_that_is_possible(site):
    site.alert("payments down", "pay-1")
    site.alert("search is slow", "search-1", component="api")
    page = Visitor(site, "bilal").get("/incidents/INC-2").text
    merge = page.partition('name="verb" value="merge"')[2].partition("</form>")[0]
    assert not merge or 'name="break_glass"' in merge, "no form is offered that cannot be sent"


def test_drafts_are_filled_from_the_record_and_say_nothing_that_is_for_inside(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    me.post("/incidents/INC-1", verb="acknowledge")
    me.post("/incidents/INC-1", verb="severity", severity="P1")
    me.post("/incidents/INC-1", verb="update", text="Greta's deployment broke it", audience="internal")
    me.post("/incidents/INC-1", verb="impact", who="cards are declined", workaround="pay by invoice")
    page = me.get("/incidents/INC-1/communication?draft=customer_mail").text
    draft = page.partition('id="draft"')[2].partition("<textarea")[2].partition("</textarea>")[0]
    assert "cards are declined" in draft and "pay by invoice" in draft
    assert "Greta" not in draft and "Chiara" not in draft, "outside, names are roles"
    assert "{{" not in draft
    sent = me.post(
        "/incidents/INC-1/communication", verb="draft", channel="customer_mail", text="We are on it."
    )
    assert sent.status_code == 303
    page = me.get("/incidents/INC-1/communication").text
    assert "waits for approval" in page
    assert "Approve" in page, "whoever commands approves for a lead that nobody is yet"


def draft_of(visitor, channel):
    """The draft for a channel as the page offers it."""
    page = visitor.get(f"/incidents/INC-1/communication?draft={channel}").text
    text = page.partition('id="draft"')[2].partition("<textarea")[2].partition("</textarea>")[0]
    return html.unescape(text.partition(">")[2])


def promised(draft, now):
    """The moment of the next update that a draft names, as minutes after midnight, and now likewise."""
    hour, minute = re.search(r"Next update: (?:\w+ \d+ \w+ )?(\d\d):(\d\d) UTC", draft).groups()
    there = to_datetime(now)
    return int(hour) * 60 + int(minute), there.hour * 60 + there.minute


def test_a_draft_never_promises_an_update_in_the_past(site):
    site.alert("payments down", "pay-1")
    me, clock = Visitor(site, "chiara"), site.tocsin.engine.clock
    me.post("/incidents/INC-1", verb="acknowledge")
    me.post("/incidents/INC-1", verb="severity", severity="P1")
    me.post("/incidents/INC-1", verb="update", text="rolling back", audience="customers")
    for silent in (0, 40, 200):  # minutes without a word; a P1 has one every fifteen
        clock.skip(silent * MINUTE)
        later, now = promised(draft_of(me, "customer_mail"), clock.now())
        assert 1 <= (later - now) % (24 * 60) <= 15, f"after {silent} minutes"


def test_what_somebody_expected_and_what_did_not_come_is_promised_to_nobody(site):
    site.alert("payments down", "pay-1")
    me, clock = Visitor(site, "chiara"), site.tocsin.engine.clock
    soon = to_iso(clock.now() + 20 * HOUR)[:16]  # on the clocks of any zone it is to come
    me.post("/incidents/INC-1", verb="update", text="rolling back", audience="customers", eta=soon)
    assert re.search(r"Expected to be solved: .*\d\d:\d\d UTC", draft_of(me, "customer_mail"))
    clock.skip(40 * HOUR)
    assert "Expected to be solved: we cannot give a time yet" in draft_of(me, "customer_mail")


def test_drafts_are_whole_sentences_and_their_times_carry_a_zone(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    me.post("/incidents/INC-1", verb="severity", severity="P1")
    for channel in ("customer_mail", "media", "stakeholders"):
        draft = draft_of(me, channel)
        times = re.findall(r"\d\d:\d\d.{0,5}", draft)
        assert times and all(re.match(r"\d\d:\d\d [A-Z]{3}", one) for one in times), (channel, times)
    draft = draft_of(me, "customer_mail")
    assert "\nOur incident commander leads the response. Next update: " in draft
    assert "For the newest state: our support team" in draft
    assert begun("https://status.example", "") == "https://status.example", "an address stays as it is"
    assert begun("we roll back", "It is known. ") == "We roll back"
    assert begun("being assessed", "Impact: ") == "being assessed"


def test_the_timeline_leaves_out_what_the_machine_says_to_itself_until_it_is_asked_for(site):
    site.alert("payments down", "pay-1")
    site.page_for("chiara")
    site.wait_for(lambda: "reached" in Visitor(site, "chiara").get("/incidents/INC-1").text)
    me = Visitor(site, "chiara")
    for number in range(60):
        me.post("/incidents/INC-1", verb="note", text=f"line {number}")
    short, whole = me.get("/incidents/INC-1").text, me.get("/incidents/INC-1?timeline=all&lines=500").text
    assert "paging responders begins" not in short and "paging responders begins" in whole
    assert "line 59" in short and "line 3<" not in short and "line 3<" in whole
    assert "older" in short
    assert not re.search(r">[^<]*\d{4}-\d\d-\d\dT", whole), "no time is shown as machines write it"
    kept = me.client.post(
        "/incidents/INC-1?timeline=all", data={"csrf": me.session.csrf, "verb": "note", "text": "x"}
    )
    assert kept.headers["location"] == "/incidents/INC-1?timeline=all"


def test_times_stand_in_the_zone_of_whoever_reads(site):
    site.alert("payments down", "pay-1")
    rome, accra = (
        Visitor(site, "chiara").get("/incidents/INC-1").text,
        Visitor(site, "esi").get("/incidents/INC-1").text,
    )
    assert "in Europe/Rome, UTC+" in rome
    assert "in Africa/Accra" in accra

    def detected(text):
        return re.search(r'detected</dt><dd><time datetime="([^"]+)" title="[^"]* UTC">(\d\d:\d\d)', text)

    assert detected(rome)[1] == detected(accra)[1] and detected(rome)[2] != detected(accra)[2]


@pytest.mark.parametrize(("seconds", "words"), [(-45, "45 s"), (245, "4 min 05 s"), (7500, "2 h 05 min"), (90000, "1 d 1 h")])  # fmt: skip
def test_a_clock_is_short(seconds, words):
    assert countdown(seconds * 1_000_000) == words


def test_an_address_in_a_reason_is_a_link_and_nothing_else_becomes_markup():
    text = linked_text("<b> open https://sns.example/?a=1&b=2 to confirm")
    assert '<a href="https://sns.example/?a=1&amp;b=2" rel="noreferrer">' in text
    assert "&lt;b&gt;" in text


def test_an_action_item_is_made_reported_done_and_verified_on_its_pages(site):
    site.api(
        "POST", "/api/v1/incidents", json={"title": "search slow", "severity": "P2", "services": ["api"]}
    )
    owner, greta = Visitor(site, "anna"), Visitor(site, "greta")
    owner.post("/incidents/INC-1", verb="move", to="resolve", reason="indexed", override="seen by hand")
    owner.post(
        "/incidents/INC-1/post-mortem", verb="action_add", text="watch slow queries", owner="greta", criteria="an alert at 2 s"
    )  # fmt: skip
    assert "watch slow queries" in greta.get("/actions").text
    greta.post("/actions/ACT-1", verb="action_report", text="half of it")
    greta.post("/actions/ACT-1", verb="action_done", note="see the board")
    assert "action_verify" not in forms_on(greta.get("/actions/ACT-1").text), "not by whoever did it"
    owner.post("/actions/ACT-1", verb="action_verify", how="it fired", passed="yes")
    assert "watch slow queries" not in greta.get("/actions").text
    assert "verified" in greta.get("/actions?over=yes").text


def test_the_policy_in_force_can_be_read_and_its_review_recorded(site):
    assert "Incident response policy" in Visitor(site, "lena").get("/policy").text
    assert "policy_review" not in forms_on(Visitor(site, "lena").get("/policy").text)
    assert Visitor(site, "kavya").post("/policy", verb="policy_review", note="fits").status_code == 303


def test_later_hours_of_an_incident_have_their_day(site):
    site.alert("payments down", "pay-1")
    site.tocsin.engine.clock.skip(26 * HOUR)
    assert re.search(r"open for <span[^>]*>1 d 2 h", Visitor(site, "chiara").get("/incidents/INC-1").text)


def test_an_owner_takes_a_pasted_password_out_of_the_record(site):
    site.alert("payments down", "pay-1")
    me, owner = Visitor(site, "chiara"), Visitor(site, "anna")
    path = "/incidents/INC-1"
    me.post(path, verb="note", text="the password is hunter2")
    assert "Take the words out of" not in me.get(path).text
    form = owner.get(path).text.partition("Take the words out of")[2].partition("</form>")[0]
    fact = re.search(r'value="(\w+)">[^<]*the password is hunter2', form)[1]
    assert me.post(path, verb="redact", fact=fact, reason="a password").status_code == 403
    owner.post(path, verb="redact", fact=fact, reason="a password")
    text = owner.get(path).text
    assert "hunter2" not in text
    assert "were redacted: a password" in text


def broke(text):
    """What stands under *What broke*."""
    return text.partition('<h2 id="broke">')[2].partition("</section>")[0]


def test_what_somebody_wrote_who_declared_it_stands_on_its_page_and_in_what_it_sends(site):
    words = (
        "Cards fail since the release.\n<b>Only</b> in Italy; password=hunter22 was in the log. " + "x" * 400
    )
    declared = site.api(
        "POST",
        "/api/v1/incidents",
        json={
            "title": "payments fail", "severity": "P1", "services": ["payments"], "summary": words,
            "detected_how": "ticket", "detected_by": "Ms Ode <88>",
        },
    )  # fmt: skip
    assert declared.status_code == 201
    panel = broke(Visitor(site, "chiara").get("/incidents/INC-1").text)
    assert 'class="said">Cards fail since the release.\n&lt;b&gt;Only&lt;/b&gt; in Italy' in panel
    assert "Noticed through: ticket, Ms Ode &lt;88&gt;" in panel
    paged = site.page_for("chiara")
    assert "Cards fail since the release. <b>Only</b> in Italy" in paged.text
    assert "hunter22" not in paged.text and "x" * 300 not in paged.text
    assert (
        "Cards fail since the release."
        in Visitor(site, "chiara").get(paged.ack_url.partition(site.url)[2]).text
    )


def test_what_was_written_of_a_restricted_incident_leaves_only_to_those_who_may_see_it(site):
    words = "The key of acme was leaked"
    site.api("POST", "/api/v1/incidents", json={"title": "a leak", "severity": "P1", "kind": "security", "summary": words})  # fmt: skip
    engine = site.tocsin.engine
    members = engine.store.read(lambda r: engine.reading(r).load(r.streams("incident")[0].stream.id)).members
    stranger = next(
        one.id for one in engine.directory().people.values() if one.id not in members and one.role != "owner"
    )
    assert Visitor(site, stranger).get("/incidents/INC-1").status_code == 404
    person = site.wait_for(lambda: next((m for m in site.tocsin.phone.messages if m.ack_url), None))
    assert "acme" not in person.text + person.html
    assert words in broke(Visitor(site, site.login).get("/incidents/INC-1").text)


def test_who_noticed_is_said_of_people_and_not_of_monitors(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    assert "Noticed through" not in me.get("/incidents/INC-1").text
    me.post("/declare", verb="declare", title="slow", severity="P3", detected_how="responder")
    assert "Noticed through: responder, Chiara Conti" in me.get("/incidents/INC-2").text


def event(site, key, **payload):
    """A PagerDuty event as a sender sends it; ``links`` beside its payload."""
    links = payload.pop("links", [])
    basis = {"summary": f"{key} fails", "source": "probe", "severity": "critical", "component": "payments"}
    sent = {"routing_key": site.key, "event_action": "trigger", "dedup_key": key, "payload": basis | payload, "links": links}  # fmt: skip
    assert httpx2.post(site.url + "/v2/enqueue", json=sent, timeout=10, verify=TLS).status_code == 202


def test_what_an_alert_says_stands_folded_beneath_it_without_its_secrets(site):
    details = {
        "description": "Cards fail <b>everywhere</b>\nsince 03:12",
        "api_token": "ode-to-joy-with blanks",
        "checks": [{"name": "auth", "ok": False, "db_password": "hunter22"}],
        "query": "https://grafana.fernhill.example/d/1?x=1&y=2",
        "none": None,
    }
    event(site, "pay-1", custom_details=details, links=[{"href": "https://wiki.fernhill.example/pay", "text": "How to pay"}])  # fmt: skip
    text = broke(Visitor(site, "chiara").get("/incidents/INC-1").text)
    assert 'class="content"><summary>' in text, "folded"
    content = text.partition('class="content"')[2].partition("</details>")[0]
    assert "Cards fail &lt;b&gt;everywhere&lt;/b&gt;\nsince 03:12" in content
    assert "<dt>description</dt>" in content and "<code>severity=critical</code>" in content
    assert content.count("everywhere") == 1, "a detail that is a label as well stands once"
    assert "api_token=•••" in content and "ode-to-joy" not in content and "blanks" not in content
    assert "&#34;name&#34;: &#34;auth&#34;" in content and "hunter22" not in content
    assert '<a href="https://wiki.fernhill.example/pay" rel="noreferrer" class="button small">How to pay</a>' in content  # fmt: skip
    assert "none" not in content


def test_annotations_are_read_one_by_one():
    said = {"summary": "cards fail", "description": "9 of 10 are refused", "password": "hunter22"}
    content = content_of("probe/cards", AlertBody({"alertname": "CardsFail"}, details={"annotations": said}))
    assert content.labels == [("alertname", "CardsFail")]
    assert ("annotations.description", "9 of 10 are refused") in content.details
    assert ("annotations.password", "•••") in content.details


def test_of_an_incident_of_many_alerts_the_first_twenty_show_what_they_say_in_little_time(site):
    huge = {f"part-{n}": {"deep": [{"text": "x" * 100, "n": n}]} for n in range(300)}
    for number in range(23):
        event(site, f"pay-{number}", custom_details=huge | {"description": f"says {number} ,"})
    me = Visitor(site, "chiara")
    text = site.wait_for(lambda: "and 15 more" in (page := broke(me.get("/incidents/INC-1").text)) and page)
    assert text.count('class="content"') == 20
    assert "The other 3 stand in" in text
    assert len(re.findall(r"says \d+ ,", text)) == 20
    assert len(text) < 1_500_000


def test_what_is_left_out_of_a_sender_s_flood_of_details_is_said():
    content = content_of("probe/cards", AlertBody(details={f"n{n}": n for n in range(5000)}))
    assert len(content.details) == 100
    assert content.more == 4900
    assert "…" in content_of("probe/cards", AlertBody(details={"deep": [["x"]] * 5000})).details[0][1]


def test_a_link_with_a_password_is_shown_without_it_and_leads_nowhere():
    links = [Link("https://ode:hunter22@wiki.example/pay", "How to pay"), Link("https://wiki.example/", "")]
    content = content_of("probe/cards", AlertBody(links=links))
    assert content.details == [("How to pay", "https://ode:•••@wiki.example/pay")]
    assert content.links == [("https://wiki.example/", "Link")]
