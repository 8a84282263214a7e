"""Live events towards programs and proxies: the stream shows that it lives, outlives the store, and has no end that hangs."""

import contextlib
import http.client
import json
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from people_at_the_door import asks

from tocsin.kernel.errors import Busy
from tocsin.web import live


class Listener(threading.Thread):
    """Reads a stream until it ends."""

    def __init__(self, site, last: str = "", token: str = "") -> None:
        super().__init__(daemon=True)
        self.url, self.lines, self.ended = site.url + "/api/v1/events", [], False
        self.headers = {"Authorization": f"Bearer {token or site.token}"} | (
            {"Last-Event-ID": last} if last else {}
        )
        self.start()
        site.wait_for(lambda: self.lines)

    def run(self) -> None:
        stopped = contextlib.suppress(httpx2.RemoteProtocolError)  # the server stops before the listener does
        with stopped, httpx2.stream("GET", self.url, headers=self.headers, timeout=30) as answer:
            for line in answer.iter_lines():
                self.lines.append(line)
        self.ended = True

    def heard(self, words: str) -> bool:
        return any(words in line for line in list(self.lines))


def test_a_listener_hears_that_the_stream_lives_while_others_are_busy(site, monkeypatch):
    monkeypatch.setattr(live, "BEAT", 0.4)
    listener = Listener(site)
    end = time.monotonic() + 3
    while time.monotonic() < end and not listener.heard("still here"):
        site.tocsin.store.write(lambda tx: tx.put_meta("busy", b"1"))  # a commit that is no news
        time.sleep(0.05)
    assert listener.heard("still here")


def test_who_heard_nothing_yet_knows_from_where_to_go_on(site):
    """A proxy cut a quiet stream; what happened until the listener is back must not be lost to it."""
    listener = Listener(site)
    site.wait_for(lambda: listener.heard("id: "))
    last = next(line for line in listener.lines if line.startswith("id: ")).removeprefix("id: ")
    site.alert("payments down", "k1")
    again = Listener(site, last=last)
    site.wait_for(lambda: again.heard('"type": "declared"'))


@pytest.mark.semantics(23)
def test_whoever_loses_sight_of_an_incident_hears_that_their_page_is_old_and_not_of_which(site):
    site.alert("payments down", "k1")
    anna = asks(site, "anna")
    made = asks(site, "lena", "configure")(
        "POST", "/api/v1/tokens", json={"name": "feed", "scopes": ["read"]}
    )
    listener = Listener(site, token=made.json()["secret"])
    for kind in ("security", "performance"):
        answer = anna("POST", "/api/v1/incidents/INC-1/commands/set_type", json={"kind": kind})
        assert answer.status_code == 200, answer.text
    site.alert("sign-in down", "k2", component="authentication")
    site.wait_for(lambda: listener.heard("INC-2"))
    (hidden,) = [line for line in listener.lines if '"hidden"' in line]
    assert json.loads(hidden.partition(": ")[2])["incident"] == ""
    assert not listener.heard("type_set") and not listener.heard("INC-1")


def test_what_a_program_has_to_know_to_listen_is_described_as_it_is(site):
    listener = Listener(site)
    site.alert("payments down", "k1")
    site.wait_for(lambda: listener.heard("declared"))
    said = next(line for line in listener.lines if '"declared"' in line)
    event = json.loads(said.partition(": ")[2])
    assert "event: fact" in listener.lines
    described = site.api("GET", "/api/openapi.json").json()["paths"]["/api/v1/events"]["get"]["description"]
    by_hand = (Path(__file__).parents[2] / "docs" / "using.md").read_text()
    for text in (described, by_hand):
        assert 'addEventListener("fact", …)' in text and "`onmessage` hears nothing" in text
        assert all(f"`{name}`" in text for name in event), sorted(event)
        assert all(f"`{name}`" in text for name in ("hidden", "id"))


def test_the_stream_outlives_a_store_that_does_not_answer(site, monkeypatch):
    monkeypatch.setattr(live, "AGAIN", 0.05)
    listener = Listener(site)
    store = site.tocsin.engine.store

    def away(*_: object) -> None:
        raise Busy("the database cannot be reached")

    with monkeypatch.context() as patched:
        patched.setattr(store, "read", away)
        store.write(lambda tx: tx.put_meta("busy", b"1"))
        time.sleep(0.3)
        assert not listener.ended
    site.alert("payments down", "k1")
    site.wait_for(lambda: listener.heard("INC-1"))


def test_a_head_is_answered_and_the_connection_goes_on(site):
    parts = urlsplit(site.url)
    line = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    line.request("HEAD", "/api/v1/events", headers={"Authorization": f"Bearer {site.token}"})
    answer = line.getresponse()
    assert (answer.status, answer.read()) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    line.request("GET", "/healthz")
    assert line.getresponse().read() == b"ok\n"
    line.close()


def test_who_was_further_than_the_database_hears_what_comes_next(site):
    listener = Listener(site, last="999999999")
    site.alert("payments down", "k1")
    site.wait_for(lambda: listener.heard("INC-1"))


def test_every_event_of_a_burst_arrives_once_and_in_order(site):
    start = site.tocsin.store.read(lambda r: r.last_position())
    listener = Listener(site)
    for number in range(20):
        site.alert(f"disk {number} full", f"k{number}")
    kept = site.tocsin.store.read(lambda r: r.facts_since(start))
    wanted = [fact.position for fact in kept if fact.stream.kind == "incident"]
    site.wait_for(lambda: listener.heard(f"id: {wanted[-1]}"))
    first, *ids = [int(line[4:]) for line in list(listener.lines) if line.startswith("id: ")]
    assert first <= wanted[0], "from where it listens"
    assert len(wanted) >= 20
    assert ids[: len(wanted)] == wanted
    assert ids == sorted(set(ids))
