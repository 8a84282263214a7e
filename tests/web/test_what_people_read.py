"""What stands on the pages is for people: names, clocks and sentences, never what machines call things."""

import html
import re

import httpx2
import pytest
from people_at_the_door import Visitor

from markup import faults
from tocsin.policy.load import default_policy_text
from tocsin.web.server import sentence

RAW = re.compile(r"\b[0-9A-HJKMNP-TV-Z]{26}\b|\d{4}-\d\d-\d\dT\d\d|\b[a-z]+_[a-z_]+\b")
"""an id, a moment or a name as machines write it"""
APART = ("/static", "/api", "/a/", "/sign-out")


def read_by_people(page: str) -> str:
    """The text of a page's main part with its labels and hints; what is quoted as code is left out."""
    main = page.partition("<main")[2].partition(">")[2]
    main = re.sub(r"<(pre|code|script|style|textarea)\b.*?</\1>", "", main, flags=re.DOTALL)
    spoken = " ".join(re.findall(r'\s(?:aria-label|title|placeholder)="([^"]*)"', main))
    return html.unescape(re.sub(r"<[^>]+>", " ", main) + " " + spoken)


@pytest.fixture
def busy(site):
    """Incidents of every kind, worked on, with what they taught."""

    def do(incident, verb, **fields):
        answer = site.api("POST", f"/api/v1/incidents/{incident}/commands/{verb}", json=fields)
        assert answer.status_code == 200, answer.text

    site.make_owner()
    site.alert("payments down", "pay-1")
    site.alert("strange thing", "odd-1", component="no-such")
    do("INC-1", "acknowledge")
    do("INC-1", "impact", values={"users_affected_percent": 40, "who": "whoever pays by card"})
    do("INC-1", "assign_role", role="technical_lead", person="greta")
    do("INC-1", "draft", channel="customer_mail", text="we are on it")
    do("INC-1", "service_state", service="payments", state="down")
    do("INC-1", "plan_step", plan="recovery", step=_first_step(site))
    Visitor(site, "bilal").post(
        "/incidents/INC-1", verb="ask", verb_wanted="move", **{"with-to": "resolve", "reason": "quiet"}
    )
    for title, more in (("search slow", {"services": ["api"]}), ("a key is public", {"kind": "security"})):
        site.api("POST", "/api/v1/incidents", json={"title": title, "severity": "P2", **more})
    do("INC-3", "move", to="resolve", reason="indexed", override="seen by hand")
    do("INC-3", "action_add", text="watch slow queries", owner="greta", criteria="an alert at 2 s")
    site.api("POST", "/api/v1/incidents", json={"title": "game day", "severity": "P2", "drill": True})
    site.tocsin.engine.clock.skip(2 * 3600 * 1_000_000)
    site.wait_for(lambda: "MISSED" in Visitor(site, "anna").get("/incidents/INC-1").text)
    return site


def _first_step(site) -> str:
    page = Visitor(site, "anna").get("/incidents/INC-1/recovery").text
    return re.search(r'name="plan" value="recovery"><input type="hidden" name="step" value="(\w+)"', page)[1]


def test_no_page_shows_what_machines_call_things_and_its_markup_is_whole(busy):
    anna = Visitor(busy, "anna")
    todo, seen = (
        [
            "/",
            "/account",
            "/phone",
            "/policy",
            "/policy/apply",
            "/drills",
            "/report",
            "/declare",
            "/incidents/INC-1/score",
        ],
        set(),
    )
    while todo:
        path = todo.pop(0)
        once = re.sub(r"=[^&]*", "", path)  # one value of each parameter will do
        if once in seen:
            continue
        seen.add(once)
        answer = anna.get(path)
        assert answer.status_code == 200, path
        if "html" in answer.headers["content-type"] and "as=" not in path:
            found = set(RAW.findall(read_by_people(answer.text)))
            assert found == set(), path
            assert faults(answer.text) == [], path
            links = map(html.unescape, re.findall(r'href="(/[^"#]*)', answer.text))
            todo += [one for one in links if not one.startswith(APART) and not one.endswith("/export")]
    assert len(seen) > 80, "the pages lead to each other"


def test_the_markup_of_doors_refusals_and_reports_is_whole(site):
    site.alert("payments down", "pay-1")
    her, nobody = Visitor(site, "lena"), httpx2.Client(base_url=site.url, headers={"accept": "text/html"})
    for answer in (
        *(nobody.get(path) for path in ("/sign-in", "/sign-in/x", "/a/x", "/report/x", "/api/docs")),
        nobody.post("/sign-in", data={"login": "x", "password": "y"}),
        nobody.get(site.page_for("chiara").ack_url),
        *(her.get(path) for path in ("/", "/incidents/INC-1", "/services", "/people/anna", "/nowhere")),
        her.post("/people/anna", verb="change_person", name="x"),
        her.post("/incidents/INC-1", verb="note", text="x"),
        her.post("/report", title=""),
        her.post("/report", title="it is down"),
        Visitor(site, "anna").get("/policy/guide?as=html"),
    ):
        assert faults(answer.text) == [], answer.url


def test_a_drills_report_calls_promises_and_people_by_their_names(site):
    page = Visitor(site, "chiara").post("/drills/payment-provider", verb="play").text
    read = read_by_people(page)
    assert RAW.findall(read) == []
    assert "Post-mortem: root cause" in read
    assert "Greta Lind is paged at 5 min" in read
    assert "On-call engineer, due after 30 min, met after 42 min" in " ".join(read.split())


def test_a_page_that_refuses_is_a_sentence_under_a_heading_that_fits(site):
    me = Visitor(site, "hugo")
    gone = me.get("/incidents/INC-77")
    assert (gone.status_code, "There is no incident INC-77." in gone.text) == (404, True)
    assert "<h1>Not here</h1>" in gone.text
    others = me.get("/policy/apply")
    assert (others.status_code, "The policy is changed by owners" in others.text) == (403, True)
    assert sentence("it is over; wait…") == "It is over; wait…"


def test_the_page_of_somebody_else_speaks_of_them(site):
    anna = Visitor(site, "anna")
    theirs, mine = anna.get("/people/bilal").text, anna.get("/people/anna").text
    assert "Page Bilal Haddad as a test" in theirs and "Rules of their own" in theirs
    assert "Page me as a test" in mine and "Rules of my own" in mine
    assert 'href="/account">Password' not in theirs


def test_the_list_of_people_says_who_is_on_call(site):
    directory, now = site.tocsin.engine.directory(), site.tocsin.engine.clock.now()
    holder = directory.on_call("payments", now).person
    row = next(
        one for one in Visitor(site, "anna").get("/people").text.split("<tr>") if f'/people/{holder}"' in one
    )
    assert "on call" in row


def test_what_came_back_although_it_was_verified_stands_on_the_board_and_the_item(site):
    def do(incident, verb, **fields):
        return site.api("POST", f"/api/v1/incidents/{incident}/commands/{verb}", json=fields)

    site.make_owner()
    slow = {"title": "search slow", "severity": "P2", "services": ["api"]}
    site.api("POST", "/api/v1/incidents", json=slow)
    do("INC-1", "move", to="resolve", reason="indexed", override="seen by hand")
    do("INC-1", "action_add", text="watch slow queries", owner="greta", criteria="an alert at 2 s")
    Visitor(site, "greta").post("/actions/ACT-1", verb="action_done", note="see the board")
    anna = Visitor(site, "anna")
    anna.post("/actions/ACT-1", verb="action_verify", how="it fired", passed="yes")
    assert "came back" not in anna.get("/actions?over=yes").text
    site.tocsin.engine.clock.skip(1_000_000)
    site.api("POST", "/api/v1/incidents", json=slow)
    assert "came back: INC-2" in anna.get("/actions?over=yes").text
    assert "It came back although this was verified" in anna.get("/actions/ACT-1").text


def test_a_version_of_the_policy_is_looked_at_on_the_readers_clocks_and_listed_once_it_is_in_force(site):
    site.alert("payments down", "pay-1")
    anna = Visitor(site, "anna")
    slower = default_policy_text().replace("    update: 15m ", "    update: 40m ")
    assert "versions" not in read_by_people(anna.get("/policy").text)
    looked = anna.post("/policy/apply", verb="look", text=slower).text
    assert "What version 2 would change" in looked
    assert re.search(r"update: due \d\d:\d\d instead of \d\d:\d\d", looked)
    before = re.search(r'name="before" value="(\w+)"', looked)[1]
    anna.post("/policy/apply", verb="policy_apply", text=slower, before=before, force="a trial")
    page = read_by_people(anna.get("/policy").text)
    assert "2 versions" in page and "applied by Anna Berg" in page


def test_a_policy_that_cannot_be_read_says_so_once_and_keeps_the_text(site):
    page = Visitor(site, "anna").post("/policy/apply", verb="look", text="severitys: {}\n# mine")
    assert page.status_code == 409
    assert page.text.count("there is no key &#39;severitys&#39;") == 1
    assert "severitys: {}\n# mine</textarea>" in page.text


def test_wide_tables_of_the_guide_scroll_by_themselves_within_reach_of_the_keyboard(site):
    page = Visitor(site, "lena").get("/policy/guide").text
    for table in re.findall(r"<table>.*?</table>", page, flags=re.DOTALL):
        wide = table.count("<th>") >= 4
        around = '<div class="scrolls many" role="group" tabindex="0"'
        assert wide == (around in page[page.index(table) - 140 : page.index(table)])
    assert "scrolls many" in page
