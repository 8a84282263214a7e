"""*Now*, on call, silences, the link in a page, doors and empty installations: what a person sees and can do there."""

import re

import pytest
from people_at_the_door import Visitor, asks, forms_on

from running_site import running
from tocsin.drill.rooms import DrillRooms
from tocsin.kernel.clock import DAY, HOUR, to_iso
from tocsin.kernel.errors import Busy
from tocsin.providers.console import ConsoleChannel
from tocsin.providers.ntfy import NtfyChannel
from tocsin.providers.webhook import WebhookChannel


def test_now_begins_with_what_pages_me_and_acknowledges_there(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    text = me.get("/").text
    assert "You are paged, nobody has it yet" in text
    assert '<span class="waiting">nobody yet</span>' in text
    assert me.post("/", verb="acknowledge", incident="INC-1").headers["location"] == "/"
    assert "nobody yet" not in me.get("/").text
    assert me.post("/", verb="move", incident="INC-1", to="close").status_code == 404, (
        "this page does no more"
    )


@pytest.mark.semantics(21)
def test_the_commander_on_rotation_is_asked_although_an_engineer_has_it(site):
    site.alert("payments down", "pay-1")
    commander = (
        site.tocsin.engine.directory().resolve("incident_commander", site.tocsin.engine.clock.now()).people[0]
    )
    message = site.page_for(commander)
    asks(site, "chiara")("POST", "/api/v1/incidents/INC-1/commands/acknowledge", json={})
    assert "your answer is waited for" in Visitor(site, commander).get("/").text
    client = Visitor(site, commander).client
    client.cookies.clear()
    page = client.get(message.ack_url).text
    assert ">Acknowledge</button>" in page
    assert "paged as commander" in page
    assert "You have it" in client.post(message.ack_url).text
    incident = site.api("GET", "/api/v1/incidents/INC-1").json()
    assert incident["roles"]["incident_commander"]["person"] == commander


def test_the_link_in_a_page_says_what_broke_and_lets_one_pass_it_on(site):
    site.alert("payments down", "pay-1")
    message = site.page_for("chiara")
    client = Visitor(site, "chiara").client
    client.cookies.clear()
    page = client.get(message.ack_url).text
    assert "https://runbooks.fernhill.example/payments" in page
    assert "Also paged: Jonas Keller" in page or "Also paged" in page
    assert 'href="/incidents/INC-1"' in page
    client.post(message.ack_url)
    passed = client.post(message.ack_url, data={"verb": "decline"})
    assert "Nobody has acknowledged yet" in passed.text
    assert "can&#39;t take it" in Visitor(site, "chiara").get("/incidents/INC-1").text


def test_what_fires_though_its_incident_is_over_is_shown(site):
    site.alert("payments down", "pay-1")
    owner = Visitor(site, "anna")
    owner.post(
        "/incidents/INC-1", verb="move", to="resolve", reason="the probe is wrong", override="seen by hand"
    )
    text = owner.get("/").text
    assert "Firing, but its incident is over" in text
    assert "INC-1" in text.partition("Firing, but its incident is over")[2]


def test_a_page_that_is_for_others_says_so_before_anybody_fills_it_in(site):
    me = Visitor(site, "bilal")
    schedule = next(iter(site.tocsin.engine.directory().schedules))
    for path in (
        f"/oncall/{schedule}/edit",
        "/services/payments/edit",
        "/teams/new",
        "/services/new/edit",
        "/oncall/new/edit",
    ):
        answer = me.get(path)
        assert answer.status_code == 403, path
        assert "owner" in answer.text
        assert not forms_on(answer.text)
        assert "services_edit" not in answer.text, "nobody reads the names of verbs"


def test_a_page_that_is_not_there_keeps_the_navigation_of_whoever_is_signed_in(site):
    me = Visitor(site, "bilal")
    answer = me.get("/nowhere")
    assert answer.status_code == 404
    assert '<nav class="wide-only" aria-label="Main">' in answer.text
    me.client.cookies.clear()
    assert 'aria-label="Main"' not in me.get("/nowhere").text


def test_a_silence_is_looked_at_before_it_is_asked_for_and_can_begin_at_an_alert(site):
    site.alert("payments down", "pay-1")
    me = Visitor(site, "chiara")
    link = re.search(r'href="(/silences\?[^"#]+)', me.get("/incidents/INC-1").text)[1].replace("&amp;", "&")
    begun = me.get(link).text
    assert "Silence this alert" in begun
    assert "1 alert fires that fits" in begun
    assert "add_silence" not in forms_on(me.get("/silences").text), "first what it covers, then the silence"
    other = me.get("/silences?matchers=component%3Dsearch").text
    assert "0 alerts fire that fit" in other
    wrong = me.get("/silences?matchers=nonsense").text
    assert "is not a matcher" in wrong
    assert "add_silence" not in forms_on(wrong)


def test_a_gap_is_named_and_taken_in_one_click(site):
    directory, now = site.tocsin.engine.directory(), site.tocsin.engine.clock.now()
    holder = directory.on_call("payments", now).person
    start = now + HOUR
    asks(site, holder)("POST", "/api/v1/leave", json={"start": to_iso(start), "end": to_iso(start + DAY)})
    other = next(one for one in directory.teams["payments"].members if one != holder)
    me = Visitor(site, other)
    page = me.get("/oncall").text
    assert f"{directory.name(holder)} is on leave" in page
    assert 'fill="url(#away)"' in page, "leave is drawn into the strip"
    form = next(
        one for one in page.split("<form")[1:] if 'value="add_override"' in one and 'value="payments"' in one
    )
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    me.post("/oncall", **{**fields, "csrf": me.session.csrf})
    assert site.tocsin.engine.directory().on_call("payments", start + HOUR).person == other


def test_a_schedule_is_filled_by_names_and_keeps_their_order(site):
    owner = Visitor(site, "anna")
    made = owner.client.post("/oncall/new/edit", data={
        "csrf": owner.session.csrf, "verb": "put_schedule", "rows": "1", "name": "Night watch", "zone": "Europe/Berlin", "secondary": "next",
        "name-0": "Nights", "start-0": "2026-03-02T20:00", "every-0": "1", "unit-0": "days", "members-0": ["greta", "", "chiara", "bilal"],
    })  # fmt: skip
    assert made.headers["location"] == "/oncall/night-watch"
    assert site.tocsin.engine.directory().schedules["night-watch"].rotations[0].members == (
        "greta",
        "chiara",
        "bilal",
    )
    page = owner.get("/oncall/night-watch/edit").text
    assert '<option value="chiara" selected>Chiara Conti</option>' in page


def test_somebody_has_one_colour_in_all_schedules(site):
    page = Visitor(site, "bilal").get("/oncall").text
    bars = re.findall(r"<title>([^,<]+), [^<]*</title><rect class=\"c(\d+)\"", page)
    colours = {}
    for name, colour in bars:
        colours.setdefault(name, set()).add(colour)
    assert len(bars) > 8
    assert all(len(found) == 1 for found in colours.values())


def test_an_empty_installation_says_what_it_needs_and_that_nobody_can_be_paged(tmp_path):
    with running(tmp_path, demo=False) as site:
        me = Visitor(site, "owner")
        text = me.get("/").text
        assert "Nobody can be paged: there is no schedule yet." in text
        assert "Before it can wake anybody" in text
        wanted = re.findall(r'<li class="(\w*)"><span>(?:<a href="([^"]+)">)?', text)
        assert [link for done, link in wanted if not done] == [
            "/account", "", "/people/owner", "/oncall/new/edit", "/teams/new", "/integrations",
        ]  # fmt: skip
        me.post("/account", verb="change_password", new="a few words in a row")
        assert len(re.findall(r'<li class="yes">', me.get("/").text)) == 1


@pytest.mark.semantics(15)
def test_an_owner_sees_where_the_provider_has_to_send_what_people_answer(tmp_path):
    with running(tmp_path, demo=False) as site:
        owner = Visitor(site, "owner")
        assert "/in/reply/" not in owner.get("/integrations").text, "nothing comes back without a provider"
        site.tocsin.engine.channels["sms"] = ConsoleChannel("sms")
        address = f"{site.tocsin.engine.public_url}/in/reply/sms/{site.tocsin.engine.reply_key}"
        assert f"<code>{address}</code>" in owner.get("/integrations").text
        asks(site, "owner")("POST", "/api/v1/people", json={"name": "Bo", "id": "bo"})
        assert "/in/reply/" not in Visitor(site, "bo").get("/integrations").text


def test_the_phone_tells_messages_apart(site):
    site.alert("payments down", "pay-1")
    site.page_for("chiara")
    me = Visitor(site, "chiara")
    text = site.wait_for(lambda: page if "as commander" in (page := me.get("/phone").text) else "")
    assert "first page" in text
    assert "Open and acknowledge" in text
    me.post("/incidents/INC-1", verb="acknowledge")
    assert "Chiara Conti acknowledged." in me.get("/phone").text


def test_a_page_refuses_with_the_status_of_what_is_wrong_and_keeps_the_form(site):
    site.alert("payments down", "pay-1")
    her = Visitor(site, "lena")  # a stakeholder, to whom none of these is offered
    for path, fields in (
        ("/integrations", {"verb": "add_integration", "name": "mine", "source": "generic"}),
        ("/people", {"verb": "add_person", "name": "Mo Unwin", "login": "mo"}),
        ("/people/anna", {"verb": "change_person", "name": "Somebody Else"}),
        (
            "/silences",
            {
                "verb": "add_silence",
                "matchers": "component=search",
                "reason": "why",
                "ends_at": "2099-01-01T00:00",
            },
        ),
        ("/declare", {"verb": "declare", "title": "not mine"}),
        ("/incidents/INC-1", {"verb": "note", "text": "a word of mine"}),
        ("/policy", {"verb": "policy_review", "note": "as it should be"}),
    ):
        refused = her.post(path, **fields)
        assert refused.status_code == 403, (path, refused.status_code)
        assert 'class="alarm"' in refused.text, path
    owner = Visitor(site, "anna")
    kept = owner.post("/people/bilal", verb="remove_contact", contact="gone")
    assert (kept.status_code, "Bilal" in kept.text, "has no contact gone" in kept.text) == (404, True, True)
    form = owner.post("/people", verb="add_person", name="", login="mo")
    assert (form.status_code, 'value="mo"' in form.text) == (400, True)
    resolved = owner.post("/incidents/INC-1", verb="move", to="resolve")
    assert (resolved.status_code, "say why it is resolved" in resolved.text) == (409, True)


def test_a_page_that_refuses_for_now_says_when_to_come_again(site, monkeypatch):
    def full(*what, **more):
        raise Busy("a drill is played already", 7)

    monkeypatch.setattr(DrillRooms, "play", full)
    refused = Visitor(site, "anna").post("/drills/demo")
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "7")
    assert "a drill is played already" in refused.text


def test_a_web_hook_is_no_channel_that_wakes_people(tmp_path):
    with running(tmp_path, demo=False) as site:
        me, channels = Visitor(site, "owner"), site.tocsin.engine.channels

        def connected():
            return '<li class="yes"><span>Connect a channel that wakes people' in me.get("/").text

        channels["webhook"] = WebhookChannel(None, site.tocsin.engine.clock, "whsec_" + "MDEy" * 8)
        assert not connected()
        channels["ntfy"] = NtfyChannel(None)
        assert connected()


def test_of_an_alert_without_a_service_now_says_who_answers_as_it_is(site):
    site.alert("something down", "x-1", component="nobody-knows-it")
    me = Visitor(site, "chiara")
    text = me.get("/").text
    team = site.tocsin.engine.directory().default_team()
    assert f"{team.name} answers for what nobody owns" in text.partition("Unrouted alerts")[2]
    engine = site.tocsin.engine
    for row in engine.store.read(lambda r: r.records("team")):
        engine.store.write(lambda tx, row=row: tx.delete_record("team", row.id))
    assert engine.directory().default_team() is None
    text = me.get("/").text.partition("Unrouted alerts")[2]
    assert "No team answers for what nobody owns, so nobody was paged" in text
