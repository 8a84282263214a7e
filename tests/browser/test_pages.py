"""A person at the pages: signs in, sees an alert arrive without reload, acknowledges, updates, hands over, resolves."""

import os
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

from tocsin.web.auth import COOKIE, new_session

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

MOVES_ONLY = """[...document.styleSheets].flatMap(sheet => [...sheet.cssRules]).flatMap(rule => [...(rule.cssRules || [])])
    .flatMap(rule => [...(rule.cssRules || [])]).every(frame => !frame.style.opacity)"""


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_main_story_in_a_real_browser(site, chromium, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    errors, foreign = watch(page, site)
    sign_in(page, site)
    page.wait_for_selector("text=Nothing is open")
    check(page)

    site.alert("payments down", "pay-1")
    page.wait_for_selector(".need:has-text('payments down')", timeout=10_000)
    check(page)
    page.click("a.row:has-text('payments down')")
    page.wait_for_selector("text=nobody has acknowledged")
    shoot(page, f"incident-{width}-{scheme}")
    check(page)

    page.fill("#text", "rolling the depl")
    page.click("#next button:has-text('Acknowledge')")
    page.wait_for_selector("#say:has-text('You have it')")
    assert page.evaluate(MOVES_ONLY), (
        "what was done can be read from its first moment on: it moves in, it never fades in"
    )
    page.wait_for_selector(".head:has-text('Chiara Conti')")
    assert page.input_value("#text") == "rolling the depl", "what is half written stays"
    page.click("#next button:has-text('Confirm P1')")
    page.wait_for_selector("#say:has-text('The severity is P1, confirmed')")
    page.fill("#text", "rolling the deployment back")
    page.click("button:has-text('Post update')")
    page.wait_for_selector(".timeline >> text=rolling the deployment back")
    assert page.input_value("#text") == "", "what was sent is gone"

    page.evaluate("scrollTo(0, 0)")
    shoot(page, f"incident-at-a-glance-{width}-{scheme}", whole=False)  # docs/images/incident.png is this one

    page.click("#hand-over summary")
    page.select_option("#hand-over select[name=role]", "technical_lead")
    page.select_option("#hand-over select[name=person]", "greta")
    page.click("#hand-over button")
    page.wait_for_selector("#later li:has-text('Technical lead') >> text=Greta Lind")
    page.fill("input[name=how]", "the release before is back")
    page.click("button:has-text('Mitigation has begun')")
    page.wait_for_selector(".steps li.done:has-text('Begin mitigation')")
    shoot(page, f"incident-worked-on-{width}-{scheme}")
    check(page)

    site.alert("payments down", "pay-1", "resolve")
    for kind in ("functional", "performance", "security"):
        page.click(f"#next button[aria-label='Passed: {kind}']")
    page.click("#next button:has-text('Resolve')")
    page.wait_for_selector(".head:has-text('resolved')")
    assert re.search(r"lasted \d", page.inner_text(".head")), "what is over no longer counts"
    check(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than the screen"
    )
    assert errors == []
    assert foreign == []
    context.close()


def test_a_burst_of_news_loads_an_incident_once_and_not_once_for_each(site, chromium):
    site.alert("payments down", "pay-1")
    page = chromium.new_page()
    sign_in(page, site)
    page.goto(site.url + "/incidents/INC-1")
    page.wait_for_event(
        "response", lambda answer: answer.url.endswith("/incidents/INC-1")
    )  # the stream is open
    loads = []
    page.on("request", lambda request: loads.append(request.url) if "/incidents/" in request.url else None)
    for number in range(8):
        site.api("POST", "/api/v1/incidents/INC-1/commands/note", json={"text": f"line {number}"})
    page.wait_for_selector("text=line 7")
    page.wait_for_timeout(1700)  # two loads are 1.5 s apart
    assert 1 <= len(loads) <= 3
    page.close()


@pytest.mark.semantics(23)
def test_a_page_lets_an_incident_go_that_is_hidden_from_its_reader(site, chromium):
    site.make_owner()
    site.alert("payments down", "pay-1")
    secret, _ = site.tocsin.store.write(lambda tx: new_session(site.tocsin.engine, tx, "lena"))
    context = chromium.new_context()
    context.add_cookies([{"name": COOKIE, "value": secret, "url": site.url}])
    pages = {path: context.new_page() for path in ("/incidents/INC-1", "/incidents")}
    for path, page in pages.items():
        page.goto(site.url + path)
        page.wait_for_selector("text=payments down")
    site.api("POST", "/api/v1/incidents/INC-1/commands/set_type", json={"kind": "security"})
    for page in pages.values():
        page.bring_to_front()
        page.wait_for_selector("text=payments down", state="detached")
    assert "There is no incident INC-1" in pages["/incidents/INC-1"].inner_text("main")
    context.close()


def test_clocks_tick_and_a_lost_connection_is_said(site, chromium):
    site.alert("payments down", "pay-1")
    page = chromium.new_page()
    sign_in(page, site)
    page.route("**/api/v1/events", lambda route: route.abort())
    page.goto(site.url + "/incidents/INC-1")
    before = page.inner_text(".next-due .left")
    page.wait_for_function("was => document.querySelector('.next-due .left').textContent !== was", arg=before)
    page.wait_for_selector("#lost:has-text('The connection to the server is lost')")
    page.unroute("**/api/v1/events")
    page.wait_for_selector("#lost", state="hidden")
    page.close()


def test_a_form_that_is_refused_keeps_every_word_and_says_why_where_it_stands(site, chromium):
    site.alert("payments down", "pay-1")
    page = chromium.new_page()
    sign_in(page, site)
    page.goto(site.url + "/incidents/INC-1")
    page.fill("#text", "half an update")
    page.click("#more-status > summary")
    page.evaluate("document.querySelectorAll('#more-status [required]').forEach(one => one.required = false)")
    page.fill("#more-status [name=break_glass]", "nobody answers")
    page.click("#more-status button:has-text('Resolve')")
    page.wait_for_selector("#more-status [role=alert]:has-text('an alert still fires')")
    assert page.evaluate("document.activeElement.getAttribute('role')") == "alert"
    assert page.input_value("#more-status [name=break_glass]") == "nobody answers"
    assert page.input_value("#text") == "half an update"
    check(page)
    page.close()


def test_all_of_it_works_without_script(site, chromium):
    site.alert("payments down", "pay-1")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, site)
    page.click("button:has-text('Acknowledge')")
    page.wait_for_selector("#say:has-text('You have it')")
    page.click("a.row:has-text('payments down')")
    page.fill("#text", "looking")
    page.click("button:has-text('Add as note')")
    page.wait_for_selector(".timeline >> text=looking")
    page.click(".tabs >> text=Communication")
    page.wait_for_selector("h2:has-text('To the outside')")
    context.close()


def test_the_pages_link_works_without_signing_in(site, chromium):
    site.alert("payments down", "pay-1")
    message = site.page_for("chiara")
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.goto(message.ack_url)
    check(page)
    shoot(page, "acknowledge-390")
    page.click("button:has-text('Acknowledge')")
    page.wait_for_selector("h1:has-text('You have it')")
    shoot(page, "acknowledged-390")
    check(page)
    page.click('summary:has-text("I can\'t take it")')
    page.click('button:has-text("I can\'t take it")')
    page.wait_for_selector("text=Nobody has acknowledged yet")
    page.close()


def sign_in(page, site):
    """From the door to *Now*."""
    page.goto(site.url + "/sign-in")
    page.fill("#login", site.login)
    page.fill("#password", site.password)
    page.click("button:has-text('Sign in')")
    page.wait_for_selector("h1:has-text('Now')")


def watch(page, site):
    """(script errors, requests to other hosts) of a page, as they come."""
    errors, foreign = [], []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on(
        "request",
        lambda request: (
            foreign.append(request.url) if not request.url.startswith((site.url, "data:")) else None
        ),
    )
    return errors, foreign


def check(page):
    """axe finds nothing; in the other colours, where only these differ, it finds no text that is hard to read."""
    other = "light" if page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") else "dark"
    found = Axe().run(page).response["violations"]
    page.emulate_media(color_scheme=other)
    found += page.evaluate("axe.run({runOnly: ['color-contrast'], resultTypes: ['violations']})")[
        "violations"
    ]
    page.emulate_media(color_scheme="light" if other == "dark" else "dark")
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []


def shoot(page, name, whole=True):
    """Keeps a picture where TOCSIN_PICTURES names a folder: of the whole page, or of what the window shows."""
    if folder := os.environ.get("TOCSIN_PICTURES"):
        page.wait_for_timeout(300)  # what moves has come to rest
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=whole, caret="initial")


def test_a_phone_shows_a_long_title_and_the_tab_that_one_is_on(site, chromium):
    site.make_owner()
    long = "payments down in every country since the release of this morning, cards and invoices, " * 3
    site.api(
        "POST", "/api/v1/incidents", json={"title": long[:240], "severity": "P1", "services": ["payments"]}
    )
    site.api("POST", "/api/v1/incidents/INC-1/commands/acknowledge", json={})
    site.api("POST", "/api/v1/incidents/INC-1/commands/move", json={"to": "resolve", "reason": "over", "break_glass": "test", "override": "test"})  # fmt: skip
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    sign_in(page, site)
    page.goto(site.url + "/incidents/INC-1/post-mortem")
    page.wait_for_event("response", lambda answer: answer.url.endswith("/post-mortem"))  # the stream is open
    line = "parseFloat(getComputedStyle(document.querySelector('.head h1')).lineHeight)"
    assert round(page.evaluate(f"document.querySelector('.head h1').clientHeight / {line}")) == 3
    visible = """(() => { const row = document.querySelector('.tabs').getBoundingClientRect(),
        tab = document.querySelector('.tabs [aria-current]').getBoundingClientRect();
        return tab.left >= row.left - 1 && tab.right <= row.right + 1; })()"""
    assert page.evaluate(
        "document.querySelector('.tabs').scrollWidth > document.querySelector('.tabs').clientWidth"
    )
    assert page.evaluate(visible)
    site.api("POST", "/api/v1/incidents/INC-1/commands/rename", json={"title": f"again: {long[:200]}"})
    page.wait_for_selector(".head h1:has-text('again')")
    assert page.evaluate(visible), "after news as well"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    context.close()


def test_a_slash_searches_incidents_from_every_page(site, chromium):
    site.alert("payments down", "pay-1")
    page = chromium.new_page()
    sign_in(page, site)
    for path in ("/incidents/INC-1", "/oncall", "/incidents"):
        page.goto(site.url + path)
        page.keyboard.press("/")
        page.wait_for_url("**/incidents*")
        page.wait_for_selector("#search:focus")
        page.keyboard.type("pay/me")
        assert page.input_value("#search") == "pay/me", "a slash that is written is a slash"
    page.close()


def test_a_phone_says_what_each_cell_of_a_table_is(site, chromium):
    site.make_owner()
    context = chromium.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    sign_in(page, site)
    for path in ("/escalation", "/services"):
        page.goto(site.url + path)
        bare = page.eval_on_selector_all(
            "table.rows:not(:has(.sev)):not(:has(.good)) tbody td:nth-child(n+2)",
            "cells => cells.filter(one => one.textContent.trim() && !one.dataset.label).map(one => one.textContent)",
        )
        assert bare == [], path
    context.close()
