"""The doors: what only a POST may do, forms of other sites, many guesses at once, live streams that end with their reader."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
import msgspec
import pytest
from people_at_the_door import Visitor, asks
from starlette.requests import Request

from tocsin.app import sign_in_link
from tocsin.identity import passwords
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import MINUTE, ManualClock
from tocsin.kernel.errors import Forbidden
from tocsin.kernel.ports import RecordRow
from tocsin.web import pages
from tocsin.web.security import Throttle, TooMany, same_site


def put(site, person, **changes):
    known = site.tocsin.engine.directory().people[person]
    row = record_of(msgspec.structs.replace(known, **changes), site.tocsin.engine.clock.now())
    site.tocsin.engine.put_records([row])


# what only a POST does


def test_looking_at_a_sign_in_link_with_any_method_does_not_use_it_up(site):
    path = re.search(r"/sign-in/.*", sign_in_link(site.tocsin.engine, "anna"))[0]
    for method in ("HEAD", "GET", "HEAD"):
        answer = httpx2.request(method, site.url + path, timeout=10)
        assert (answer.status_code, answer.headers.get("set-cookie")) == (200, None), method
    assert httpx2.post(site.url + path, timeout=10, headers={"Accept": "text/html"}).status_code == 303
    assert httpx2.post(site.url + path, timeout=10).status_code == 404


@pytest.mark.parametrize("path", ["/", "/integrations"])
def test_a_sender_that_points_at_a_page_is_told_where_alerts_go_and_not_that_all_is_well(site, path):
    """Alertmanager and curl -L follow a redirect, and would count the sign-in page as a success."""
    for body in ({"json": [{"labels": {"alertname": "x"}}]}, {"data": {"a": "b"}}):
        answer = httpx2.post(site.url + path, timeout=10, follow_redirects=True, **body)
        assert answer.status_code == 401, answer.text[:200]
        assert "/v2/enqueue" in answer.text and "/in/SOURCE/KEY" in answer.text


def test_the_head_of_the_sign_in_page_is_that_of_the_page(site):
    assert httpx2.head(site.url + "/sign-in", timeout=10).status_code == 200


@pytest.mark.semantics(16)
def test_the_head_of_a_pages_link_acknowledges_nothing(site):
    site.alert("payments down", "k1")
    url = site.page_for("chiara").ack_url
    assert httpx2.head(url, timeout=10).status_code == 200
    assert site.api("GET", "/api/v1/incidents/1").json()["holder"] == ""


@pytest.mark.semantics(21)
def test_the_commander_can_answer_their_page_by_its_link_after_an_engineer_has_acknowledged(site):
    site.alert("payments down", "k1")
    engineer, commander = site.page_for("chiara").ack_url, None
    directory = site.tocsin.engine.directory()
    on_rotation = directory.resolve("incident_commander", site.tocsin.engine.clock.now()).people[0]
    commander = site.page_for(on_rotation).ack_url
    assert httpx2.post(engineer, timeout=10).status_code == 200
    assert ">Acknowledge</button>" in httpx2.get(commander, timeout=10).text
    httpx2.post(commander, timeout=10)
    assert (
        site.api("GET", "/api/v1/incidents/1").json()["roles"]["incident_commander"]["person"] == on_rotation
    )
    assert ">Acknowledge</button>" not in httpx2.get(commander, timeout=10).text


@pytest.mark.semantics(16)
def test_the_link_of_somebody_who_left_says_what_to_do(site):
    site.alert("payments down", "k1")
    url = site.page_for("chiara").ack_url
    put(site, "chiara", active=False)
    for method in ("GET", "POST"):
        answer = httpx2.request(method, url, timeout=10)
        assert answer.status_code == 404 and "sign in with another" in answer.text


# forms of other sites


def request_with(**headers):
    listed = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": listed})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec_fetch_site": "same-origin", "origin": "null"},
        {"sec_fetch_site": "none"},
        {"origin": "http://tocsin.lan:8080", "host": "tocsin.lan:8080"},
        {"origin": "https://Tocsin.example", "host": "127.0.0.1:8080"},
    ],
)
def test_our_own_forms_and_what_is_no_browser_are_taken(headers):
    same_site(request_with(**headers), "https://tocsin.example")


@pytest.mark.parametrize(
    "headers",
    [
        {"sec_fetch_site": "cross-site", "origin": "https://tocsin.example"},
        {"sec_fetch_site": "same-site"},
        {"origin": "https://evil.example", "host": "tocsin.lan:8080"},
        {"origin": "null", "host": "tocsin.lan:8080"},
        {"origin": "http://tocsin.lan:8081", "host": "tocsin.lan:8080"},
    ],
)
def test_the_form_of_another_site_is_refused(headers):
    with pytest.raises(Forbidden, match="another site"):
        same_site(request_with(**headers), "https://tocsin.example")


def test_nobody_is_signed_in_as_somebody_else_by_another_site(site):
    fields = {"login": site.login, "password": site.password}
    answer = httpx2.post(
        site.url + "/sign-in", data=fields, headers={"Origin": "https://evil.example"}, timeout=10
    )
    assert answer.status_code == 403 and "set-cookie" not in answer.headers


# guessing


def test_many_guesses_at_the_same_moment_are_counted_one_by_one_and_few_are_looked_at_together(
    site, monkeypatch
):
    together, most, lock = 0, 0, threading.Lock()

    def verify(stored, password):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.02)
        with lock:
            together -= 1
        return False

    monkeypatch.setattr("tocsin.web.auth.verify_password", verify)

    def guess(number):
        fields = {"login": site.login, "password": f"wrong wrong {number}"}
        return httpx2.post(site.url + "/sign-in", data=fields, timeout=30).status_code

    with ThreadPoolExecutor(40) as many:
        answers = sorted(many.map(guess, range(40)))
    assert answers == [401] * 10 + [429] * 30
    assert most <= pages.AT_ONCE


def test_few_passwords_are_hashed_together_whoever_asks(monkeypatch):
    together, most, lock = 0, 0, threading.Lock()

    class Slow:
        def verify(self, stored, password):
            nonlocal together, most
            with lock:
                together += 1
                most = max(most, together)
            time.sleep(0.01)
            with lock:
                together -= 1
            return True

    monkeypatch.setattr(passwords, "_hasher", Slow())
    with ThreadPoolExecutor(20) as many:
        assert all(many.map(lambda _: passwords.verify_password("x", "y"), range(20)))
    assert most <= 4


def test_a_right_password_costs_no_try(site):
    fields = {"login": site.login, "password": site.password}
    for _ in range(15):
        assert httpx2.post(site.url + "/sign-in", data=fields, timeout=20).status_code == 303


def test_tries_by_any_name_of_a_person_count_together_and_nothing_tells_that_there_is_one(site, monkeypatch):
    looked_at = []
    put(site, "anna", login="anna.w", email="anna@fernhill.example")

    def verify(stored, password):
        looked_at.append(stored)
        return password == "right"

    monkeypatch.setattr("tocsin.web.auth.verify_password", verify)
    site.tocsin.store.write(lambda tx: tx.put_record(RecordRow("password", "anna", "", b"hers", 0)))
    monkeypatch.setattr("tocsin.web.auth.needs_rehash", lambda stored: False)

    def answers(*names, password="wrong"):
        sent = [{"login": name, "password": password} for name in names]
        found = [httpx2.post(site.url + "/sign-in", data=fields, timeout=20) for fields in sent]
        return [(one.status_code, re.sub(r'value="[^"]*"', "", one.text)) for one in found]

    hers = answers(*["anna.w", "ANNA@fernhill.example", "anna"] * 4)
    nobodys = answers(*["nobody", "nobody@fernhill.example", "nobody.w"] * 4)
    assert hers == nobodys
    assert {status for status, _ in hers} == {401}
    assert looked_at.count("hers") == 10
    assert len(looked_at) == 24, "a hash is looked at each time, so that all take as long"
    assert answers("anna", password="right")[0][0] == 401, "guesses by another name are no more guesses"
    site.tocsin.engine.clock.skip(16 * MINUTE)
    assert answers("anna", password="right")[0][0] == 303
    assert {status for status, _ in answers(*["anna"] * 10)} == {401}, "whoever got in starts anew"
    assert answers("anna")[0][0] == 429


def test_what_is_taken_is_counted_and_can_be_given_back():
    throttle = Throttle(ManualClock(), 2)
    throttle.take("a")
    throttle.take("a")
    with pytest.raises(TooMany):
        throttle.take("a")
    throttle.give_back("a")
    throttle.take("a")
    throttle.clock.advance(16 * MINUTE)
    throttle.take("a")


# live streams


class Listener(threading.Thread):
    """Reads a live stream until it ends."""

    def __init__(self, site, headers):
        super().__init__(daemon=True)
        self.url, self.headers, self.lines, self.ended = site.url + "/api/v1/events", headers, [], False

    def run(self):
        with httpx2.stream("GET", self.url, headers=self.headers, timeout=30) as answer:
            self.status = answer.status_code
            for line in answer.iter_lines():
                self.lines.append(line)
        self.ended = True


def listening(site, token):
    listener = Listener(site, {"Authorization": f"Bearer {token}"})
    listener.start()
    site.wait_for(lambda: listener.lines)
    return listener


def new_token(site, client, csrf, *scopes):
    body = {"name": "stream", "scopes": list(scopes)}
    return client.post("/api/v1/tokens", json=body, headers={"X-CSRF-Token": csrf}).json()


def test_a_live_stream_ends_when_its_token_is_revoked(site):
    client, csrf = site.signed_in()
    made = new_token(site, client, csrf, "read")
    listener = listening(site, made["secret"])
    site.alert("payments down", "k1")
    site.wait_for(lambda: any("INC-1" in line for line in listener.lines))
    client.delete(f"/api/v1/tokens/{made['id']}", headers={"X-CSRF-Token": csrf})
    seen = len(listener.lines)
    site.alert("sign-in down", "k2", component="authentication")
    site.wait_for(lambda: listener.ended)
    assert not any("INC-2" in line for line in listener.lines[seen:])


def test_a_live_stream_ends_when_its_person_is_deactivated(site):
    client, csrf = site.signed_in()
    listener = listening(site, new_token(site, client, csrf, "read")["secret"])
    put(site, site.login, active=False)
    site.wait_for(lambda: listener.ended)


# figures


@pytest.mark.semantics(23)
def test_the_figures_leave_restricted_alerts_out(site):
    def firing():
        return re.search(
            r"^tocsin_alerts_firing (\d+)", httpx2.get(site.url + "/metrics", timeout=10).text, re.M
        )[1]

    site.alert("payments down", "k1")
    assert firing() == "1"
    row = site.tocsin.store.read(lambda r: r.alerts())[0]
    row.restricted = True
    site.tocsin.store.write(lambda tx: tx.put_alerts([row]))
    assert firing() == "0"


# caches


def test_what_is_not_for_everybody_is_kept_by_no_cache(site):
    site.alert("payments down", "pay-1")
    me, api, respond = Visitor(site, "anna"), asks(site, "anna"), asks(site, "anna", "respond")
    for status, answer in (
        (200, me.get("/incidents/INC-1/export")),
        (200, me.get("/policy/guide?as=md")),
        (200, api("GET", "/api/v1/incidents/INC-1/export")),
        (404, api("GET", "/api/v1/incidents/INC-9")),
        (404, api("GET", "/api/v1/nowhere")),
        (405, api("PUT", "/api/v1/incidents")),
        (403, respond("POST", "/api/v1/people", json={"name": "x"})),
        (401, httpx2.get(site.url + "/api/v1/incidents", timeout=10)),
    ):
        said = (answer.status_code, answer.headers.get("cache-control"))
        assert said == (status, "no-store"), answer.url


def test_a_form_that_is_sent_after_its_session_ended_says_that_nothing_was_saved(site):
    for headers in ({"Accept": "TEXT/HTML"}, {"HX-Request": "true"}, {"Sec-Fetch-Mode": "navigate"}):
        answer = httpx2.post(site.url + "/report", data={"title": "x"}, headers=headers, timeout=10)
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/sign-in?next=/report&unsaved=yes",
        ), headers
    page = httpx2.get(site.url + answer.headers["location"], timeout=10).text
    assert "what you sent was not saved" in page and 'name="next" value="/report"' in page
    assert "not saved" not in httpx2.get(site.url + "/sign-in", timeout=10).text
