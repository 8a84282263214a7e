"""A person at the pages: signs in, sees an alert arrive without reload, acknowledges, updates, hands over, resolves."""

import os
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")]
)
def test_the_main_story_in_a_real_browser(site, chromium, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    errors, foreign = watch(page, site)
    page.goto(site.url + "/")
    page.fill("#login", site.login)
    page.fill("#password", site.password)
    page.click("button:has-text('Sign in')")
    page.wait_for_selector("text=Nothing is open")
    check(page)

    site.alert("payments down", "pay-1")
    page.wait_for_selector("text=payments down", timeout=10_000)
    check(page)

    page.click("text=payments down")
    page.wait_for_selector("text=nobody has acknowledged")
    shoot(page, f"incident-{width}-{scheme}")
    check(page)
    page.click("button:has-text('Acknowledge')")
    page.wait_for_selector("text=Chiara Conti has it")
    page.fill("#text", "rolling the deployment back")
    page.click("text=Post update")
    page.wait_for_selector("text=rolling the deployment back")
    page.select_option("select[name=role]", "technical_lead")
    page.select_option("select[name=person]", "greta")
    page.click("text=Hand over")
    page.wait_for_selector("li:has-text('Greta Lind')")
    page.click(".actions button:has-text('Resolve')")
    page.wait_for_selector("button:has-text('Reopen')")
    check(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
        "the page is wider than the screen"
    )
    assert errors == []
    assert foreign == []
    context.close()


def test_the_pages_link_works_without_signing_in(site, chromium):
    site.alert("payments down", "pay-1")
    message = site.page_for("chiara")
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.goto(message.ack_url)
    check(page)
    shoot(page, "acknowledge-390")
    page.click("button:has-text('Acknowledge')")
    page.wait_for_selector("text=has it")
    page.close()


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
    """axe finds nothing."""
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found] == []


def shoot(page, name):
    """Keeps a picture where TOCSIN_PICTURES names a folder."""
    if folder := os.environ.get("TOCSIN_PICTURES"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)
