"""Every signed-in page, wide and bright and narrow and dark: no script error, no request elsewhere, axe finds nothing."""

import pytest
from test_pages import check, shoot, sign_in, watch

from running_site import running

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PAGES = {
    "now": "/",
    "incidents": "/incidents?q=payments",
    "incident": "/incidents/INC-1",
    "communication": "/incidents/INC-1/communication?draft=customer_mail",
    "recovery": "/incidents/INC-1/recovery",
    "whole timeline": "/incidents/INC-1?timeline=all",
    "post-mortem": "/incidents/INC-2/post-mortem",
    "resolved": "/incidents/INC-2",
    "actions": "/actions",
    "action": "/actions/ACT-1",
    "policy": "/policy",
    "phone": "/phone",
    "nowhere": "/nowhere",
    "declare": "/declare",
    "oncall": "/oncall",
    "schedule": "/oncall/{schedule}",
    "schedule-edit": "/oncall/{schedule}/edit",
    "escalation-policies": "/escalation",
    "escalation-policy": "/escalation/{escalation}",
    "services": "/services",
    "service": "/services/payments",
    "service-edit": "/services/payments/edit",
    "team": "/teams/{team}",
    "people": "/people",
    "person": "/people/anna",
    "journal": "/journal",
    "account": "/account",
    "integrations": "/integrations",
    "integration": "/integrations/{integration}",
    "silences": "/silences",
    "a silence tried": "/silences?matchers=component%3Dpayments",
    "report": "/report",
    "insights": "/insights",
    "score": "/incidents/INC-2/score",
    "drills": "/drills",
    "guide": "/policy/guide",
    "check": "/policy/check",
    "apply": "/policy/apply",
}
OPENED = ("incident", "recovery", "person", "post-mortem")
"""pages that are looked at with every section open"""


@pytest.fixture(scope="module")
def worked_on(tmp_path_factory):
    """A site with two incidents, for tests that only look."""
    with running(tmp_path_factory.mktemp("worked-on")) as site:
        site.make_owner()
        site.alert("payments down", "pay-1")
        work_on_two_incidents(site)
        yield site


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_every_page_loads_clean(worked_on, chromium, width, scheme):
    site = worked_on
    directory = site.tocsin.engine.directory()
    names = {
        "schedule": next(iter(directory.schedules)),
        "team": next(iter(directory.teams)),
        "escalation": next(iter(directory.escalation_policies)),
        "integration": site.tocsin.store.read(lambda r: r.records("integration"))[0].id,
    }
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    errors, foreign = watch(page, site)
    sign_in(page, site)
    for name, path in PAGES.items():
        page.goto(site.url + path.format(**names))
        page.wait_for_selector("h1")
        if name in OPENED:
            page.evaluate("document.querySelectorAll('main details').forEach(one => one.open = true)")
        shoot(page, f"{name}-{width}-{scheme}")
        check(page)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), (
            f"{name} is wider than the screen"
        )
        assert page.evaluate(
            "(document.querySelector('header.bar')?.getBoundingClientRect().bottom || 0) <= 96"
        ), "the frame leaves the screen to the page"
    assert [one for one in errors if "404" not in one] == []
    assert foreign == []
    context.close()


def work_on_two_incidents(site):
    """INC-1 is being worked on, with a draft, a task and a wish; INC-2 is over and has taught something."""

    def do(incident, verb, **fields):
        answer = site.api("POST", f"/api/v1/incidents/{incident}/commands/{verb}", json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    do("INC-1", "acknowledge")
    do("INC-1", "update", text="the release before is back", eta="2099-01-01T10:00:00Z")
    do("INC-1", "draft", channel="customer_mail", text="we are on it")
    do("INC-1", "task_add", text="look at the bank's page", owner="greta")
    do("INC-1", "impact", values={"users_affected_percent": 40, "who": "whoever pays by card"})
    do("INC-1", "waive", duty="tell", reason="they sit here")
    site.api(
        "POST", "/api/v1/incidents", json={"title": "search was slow", "severity": "P2", "services": ["api"]}
    )
    for kind in ("functional", "performance", "security"):
        do("INC-2", "validate", kind=kind, outcome="passed")
    do("INC-2", "move", to="resolve", reason="an index was missing")
    do("INC-2", "action_add", text="watch slow queries", owner="greta", criteria="an alert fires at 2 s")


def test_a_keyboard_alone_reaches_an_incident(site, chromium):
    site.alert("payments down", "pay-1")
    page = chromium.new_page()
    page.goto(site.url + "/sign-in")
    page.wait_for_function("document.activeElement.name === 'login'")  # the cursor is there once it is drawn
    page.keyboard.type(site.login)
    page.keyboard.press("Tab")
    page.keyboard.type(site.password)
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
    tab_to(page, "Acknowledge")
    page.keyboard.press("Enter")
    page.wait_for_selector("#say:has-text('You have it')")
    tab_to(page, "Confirm P1")
    page.keyboard.press("Enter")
    page.wait_for_selector("#say:has-text('confirmed')")
    page.keyboard.press("w")
    page.keyboard.type("looking into it")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(".timeline >> text=looking into it")
    page.close()


def test_the_second_stop_of_an_incident_leads_to_where_one_writes(site, chromium):
    site.alert("payments down", "pay-1")
    page = chromium.new_page()
    sign_in(page, site)
    page.goto(site.url + "/incidents/INC-1")
    tab_to(page, "Skip to writing")
    page.keyboard.press("Enter")
    page.keyboard.type("window")  # and a letter that is typed is no key
    assert page.input_value("#text") == "window"
    page.close()


def tab_to(page, words):
    """Presses Tab until something that says ``words`` has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("words => document.activeElement.textContent.trim() === words", words):
            return
    raise AssertionError(f"Tab does not reach {words}")


def test_the_api_document_can_be_read_offline(site, chromium):
    page = chromium.new_page()
    errors, foreign = watch(page, site)
    page.goto(site.url + "/api/docs")
    page.wait_for_selector(".opblock >> nth=40")
    assert (errors, foreign) == ([], [])
    page.close()
