"""Every signed-in page, wide and bright and narrow and dark: no script error, no request elsewhere, axe finds nothing."""

import pytest
from test_pages import check, shoot, watch

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PAGES = {
    "now": "/",
    "incidents": "/incidents?q=payments",
    "incident": "/incidents/INC-1",
    "declare": "/declare",
    "oncall": "/oncall",
    "schedule": "/oncall/{schedule}",
    "schedule-edit": "/oncall/{schedule}/edit",
    "services": "/services",
    "service": "/services/payments",
    "service-edit": "/services/payments/edit",
    "team": "/teams/{team}",
    "people": "/people",
    "person": "/people/anna",
    "account": "/account",
    "integrations": "/integrations",
    "integration": "/integrations/{integration}",
    "silences": "/silences",
    "report": "/report",
}


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_loads_clean(site, chromium, width, scheme):
    site.alert("payments down", "pay-1")
    integration = site.tocsin.store.read(lambda r: r.records("integration"))[0].id
    directory = site.tocsin.engine.directory()
    names = {
        "schedule": next(iter(directory.schedules)),
        "team": next(iter(directory.teams)),
        "integration": integration,
    }
    site.make_owner()
    site.api("POST", "/api/v1/incidents/INC-1/commands/note", json={"text": "looking"})
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    errors, foreign = watch(page, site)
    page.goto(site.url + "/sign-in")
    page.fill("#login", site.login)
    page.fill("#password", site.password)
    page.click("button:has-text('Sign in')")
    page.wait_for_selector("h1:has-text('Now')")
    for name, path in PAGES.items():
        page.goto(site.url + path.format(**names))
        page.wait_for_selector("h1")
        if name == "incident":
            page.evaluate("document.querySelectorAll('.composer details').forEach(one => one.open = true)")
        shoot(page, f"{name}-{width}-{scheme}")
        check(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
            f"{name} is wider than the screen"
        )
    assert errors == []
    assert foreign == []
    context.close()


def test_a_keyboard_alone_reaches_an_incident(site, chromium):
    site.alert("payments down", "pay-1")
    page = chromium.new_page()
    page.goto(site.url + "/sign-in")
    page.fill("#login", site.login)
    page.fill("#password", site.password)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=payments down")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip", (
        "the first stop leads past the navigation"
    )
    while not page.evaluate("document.activeElement.textContent.includes('payments down')"):
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/incidents/INC-1")
    page.close()


def test_the_api_document_can_be_read_offline(site, chromium):
    page = chromium.new_page()
    errors, foreign = watch(page, site)
    page.goto(site.url + "/api/docs")
    page.wait_for_selector(".opblock >> nth=40")
    assert (errors, foreign) == ([], [])
    page.close()
