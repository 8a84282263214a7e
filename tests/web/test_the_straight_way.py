"""The straight way of Prometheus's alerts: the same answers, the same rows and the same record as the other way."""

import contextlib
import json
import random
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from door_site import DoorSite, door_site, key_of
from tocsin.alerts.matchers import Matcher
from tocsin.alerts.silences import Silence
from tocsin.engine.together import Together
from tocsin.kernel.clock import HOUR, MILLISECOND
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Unusable
from tocsin.kernel.ports import RecordRow
from tocsin.web import protocol
from tocsin.web.straight import Straight

PATH = f"/in/alertmanager/{key_of('prometheus')}/api/v2/alerts"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DoorSite]:
    with door_site(tmp_path) as one:
        yield one


@pytest.fixture
def straight(site, monkeypatch) -> list[int]:
    """Bodies that went the straight way, by their length."""
    seen: list[int] = []
    take = Straight.take

    def counted(self, post, connection):
        seen.append(len(post.body))
        take(self, post, connection)

    monkeypatch.setattr(Straight, "take", counted)
    assert site.api("POST", "/alerts", json=[]).status_code == 200  # from here on the key is known
    site.clock.advance(MILLISECOND)
    return seen


def alert(name: str, **more) -> dict[str, object]:
    return {"labels": {"alertname": name}, "annotations": {"summary": f"{name} is down"}, **more}


def post(body: bytes, path: str = PATH, **more: object) -> bytes:
    fields = {"Host": "x", "Content_Length": len(body), "User-Agent": "Prometheus/3.1"} | more
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


def line_to(site) -> socket.socket:
    parts = urlsplit(site.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def answer_on(line: socket.socket) -> bytes:
    """One answer, without its date."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += line.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 100"):
        return head
    length = int(re.search(rb"content-length: (\d+)", head)[1])
    while len(body) < length:
        body += line.recv(65536)
    return re.sub(rb"date: [^\r]+\r\n", b"", head) + b"\r\n\r\n" + body


def until(reached, seconds: float = 10) -> None:
    """Waits for what another thread does."""
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.005)


BODIES = {
    "one": json.dumps([alert("a")]).encode(),
    "none": b"[]",
    "many": json.dumps([alert(f"m{n}") for n in range(150)]).encode(),
    "over 64 kB": json.dumps([alert("big", annotations={"summary": "x", "more": "y" * 70_000})]).encode(),
    "no JSON": b"[{",
    "no list": b'{"labels": {}}',
    "half refused": json.dumps([alert("good"), {"labels": {}}]).encode(),
    "NUL": b'[{"labels": {"alertname": "a\\u0000"}}]',
    "not UTF-8": b'[{"labels": {"alertname": "\xff"}}]',
    "deep": b"[" * 5000,
}


@pytest.mark.parametrize("what", BODIES)
def test_the_answer_is_word_for_word_that_of_the_other_way(site, straight, what):
    with line_to(site) as line:
        line.sendall(post(BODIES[what]))
        one = answer_on(line)
        assert straight == [len(BODIES[what])], "it went the straight way"
        site.app.straight = None
    site.clock.advance(MILLISECOND)
    with line_to(site) as line:
        line.sendall(post(BODIES[what]))
        assert answer_on(line) == one
    second, first = site.ways.requests("prometheus")[:2]
    assert (first.status, first.body, first.headers) == (second.status, second.body, second.headers)
    if not site.alerts():
        assert first.reason == second.reason


@pytest.mark.parametrize(
    "more",
    [
        {"Transfer_Encoding": "chunked", "Content_Length": None},
        {"Content_Encoding": "gzip"},
        {"Connection": "close"},
        {"Expect": "100-continue"},
        {"Content_Length": 300_000},
    ],
)
def test_what_is_out_of_the_ordinary_goes_the_other_way(site, straight, more):
    body = BODIES["one"]
    sent = (
        body if more.get("Content_Length", 0) != 300_000 else body[:-1] + b" " * (300_000 - len(body)) + b"]"
    )
    if "Transfer_Encoding" in more:
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    with line_to(site) as line:
        line.sendall(post(b"", **({"Content_Length": len(body)} | more)) + sent)
        assert answer_on(line).startswith((b"HTTP/1.1 200", b"HTTP/1.1 415", b"HTTP/1.1 100"))
    assert straight == []


@pytest.mark.parametrize("lines", ["", "Host: x\r\nHost: y\r\n"], ids=["none", "two"])
def test_a_request_that_names_no_one_host_is_taken_on_neither_way(site, straight, lines):
    body = BODIES["one"]
    whole = post(body).replace(b"Host: x\r\n", lines.encode())
    answers = []
    for _ in range(2):
        with line_to(site) as line:
            line.sendall(whole)
            answers.append(answer_on(line))
        site.app.straight = None
    assert answers[0] == answers[1] and answers[0].startswith(b"HTTP/1.1 400 ")
    assert straight == [] and not site.alerts()


@pytest.mark.parametrize("first", [True, False], ids=["known first", "known last"])
def test_of_two_keys_the_same_one_counts_on_both_ways(site, straight, first):
    keys = [key_of("prometheus"), "nobodys"]
    lines = [f"Authorization: Bearer {key}\r\n" for key in (keys if first else reversed(keys))]
    whole = post(BODIES["one"], "/api/v2/alerts").replace(
        b"Host: x\r\n", f"Host: x\r\n{''.join(lines)}".encode()
    )
    answers = []
    for _ in range(2):
        with line_to(site) as line:
            line.sendall(whole)
            answers.append(answer_on(line))
        site.app.straight = None
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 200 " if first else b"HTTP/1.1 401 ")


def test_a_key_of_another_kind_and_one_that_nobody_knows_are_refused_as_ever(site, straight):
    for key, status in (("pagerduty", b"403"), ("nobody", b"401")):
        with line_to(site) as line:
            line.sendall(post(BODIES["one"], f"/in/alertmanager/{key_of(key)}/api/v2/alerts"))
            assert answer_on(line).split()[1] == status
    assert straight == []


def test_a_key_that_was_taken_away_opens_nothing_any_more(site, straight):
    site.engine.store.write(lambda tx: tx.delete_record("integration", "prometheus"))
    with line_to(site) as line:
        line.sendall(post(BODIES["one"]))
        assert answer_on(line).split()[1] == b"401"
    assert site.alerts() == {}


def test_requests_one_behind_the_other_are_answered_in_their_order(site, straight):
    other = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    with line_to(site) as line:
        line.sendall(post(BODIES["one"]) + post(BODIES["no list"]) + other + post(BODIES["one"]))
        line.settimeout(5)
        data = b""
        while data.count(b"HTTP/1.1 ") < 4:
            data += line.recv(65536)
    assert re.findall(rb"HTTP/1.1 (\d+)", data) == [b"200", b"400", b"200", b"200"]


@pytest.fixture
def parsed(monkeypatch) -> list[bytes]:
    """What was given to the parser."""
    seen: list[bytes] = []
    parse = protocol.BoundedProtocol._parse

    def noted(self, data):
        seen.append(data)
        parse(self, data)

    monkeypatch.setattr(protocol.BoundedProtocol, "_parse", noted)
    return seen


@pytest.mark.parametrize("what", BODIES)
def test_a_head_that_was_seen_before_is_not_parsed_again_and_its_body_is(site, straight, parsed, what):
    body = BODIES[what] if what != "over 64 kB" else BODIES["many"]  # several pieces are always parsed
    with line_to(site) as line:
        line.sendall(post(body))
        first = answer_on(line)
        for _ in range(2):
            line.sendall(post(body))
            assert answer_on(line) == first
        with line_to(site) as other:
            other.sendall(post(body))
            assert answer_on(other) == first
    assert straight == [len(body)] * 4
    assert len(parsed) == 1 or what == "many", "one was parsed, three were known"
    requests = site.ways.requests("prometheus")
    assert {(one.status, one.body, one.headers) for one in requests[:2]} == {
        (requests[0].status, requests[0].body, requests[0].headers)
    }


def test_a_known_head_with_a_key_that_was_taken_away_opens_nothing(site, straight, parsed):
    with line_to(site) as line:
        for _ in range(2):
            line.sendall(post(BODIES["one"]))
            assert answer_on(line).startswith(b"HTTP/1.1 200")
        before = site.alerts()
        site.engine.store.write(lambda tx: tx.delete_record("integration", "prometheus"))
        line.sendall(post(BODIES["one"]))
        assert answer_on(line).split()[1] == b"401"
    assert len(parsed) == 1 and site.alerts() == before


@pytest.mark.parametrize("seed", range(6))
def test_however_the_bytes_arrive_each_request_gets_its_own_answer(site, straight, seed):
    chance = random.Random(seed)
    kinds = {
        b"200": [post(BODIES[what]) for what in ("one", "none", "many")],
        b"400": [post(BODIES[what]) for what in ("no JSON", "no list", "not UTF-8")],
        b"401": [post(BODIES["one"], f"/in/alertmanager/{key_of('nobody')}/api/v2/alerts")],
        b"404": [b"GET /nothing-here HTTP/1.1\r\nHost: x\r\n\r\n"],
    }
    expected, rounds = [], []
    for _ in range(12):
        status = chance.choice((b"200", b"200", b"200", b"400", b"401", b"404"))
        expected.append(status)
        rounds.append(chance.choice(kinds[status]))
    # some alone, some behind each other, cut anywhere or nowhere
    with line_to(site) as line:
        data, waiting = b"", 0
        line.settimeout(10)
        while rounds or waiting:
            together = b"".join(rounds.pop(0) for _ in range(min(len(rounds), chance.choice((1, 1, 2, 3)))))
            cuts = (
                sorted(chance.sample(range(len(together)), chance.choice((0, 0, 1, 2)))) if together else []
            )
            for begin, end in zip([0, *cuts], [*cuts, len(together)], strict=True):
                line.sendall(together[begin:end])
                time.sleep(0.005 if cuts else 0)
            waiting = len(expected) - len(rounds)
            while data.count(b"HTTP/1.1 ") < waiting:
                data += line.recv(65536)
            waiting = 0
    assert re.findall(rb"HTTP/1.1 (\d+)", data) == expected


def test_a_body_in_pieces_is_put_together(site, straight):
    body = BODIES["many"]
    with line_to(site) as line:
        whole = post(body)
        for begin in range(0, len(whole), 700):
            line.sendall(whole[begin : begin + 700])
            time.sleep(0.002)
        assert answer_on(line).startswith(b"HTTP/1.1 200")
    assert straight == [len(body)] and len(site.alerts()) == 150


def test_a_body_that_does_not_arrive_in_time_is_refused_and_its_owner_sees_it(site, straight, monkeypatch):
    monkeypatch.setattr(protocol, "READ_SECONDS", 0.2)
    with line_to(site) as line:
        line.sendall(post(BODIES["one"])[:-5])
        said = answer_on(line)
        assert said.startswith(b"HTTP/1.1 408") and b"connection: close" in said
        assert line.recv(10) == b""
    assert [one.status for one in site.ways.requests("prometheus")].count(408) == 1


def test_what_arrives_after_a_refusal_is_not_taken_after_all(site, straight, monkeypatch):
    monkeypatch.setattr(protocol, "READ_SECONDS", 0.2)
    busy = threading.Event()
    with line_to(site) as line:
        line.sendall(post(BODIES["one"])[:-5])
        site.engine.store.submit(lambda tx: busy.wait(1))  # the refusal waits to be kept
        time.sleep(0.4)
        line.sendall(post(BODIES["one"])[-5:])
        time.sleep(0.1)
        busy.set()
        assert answer_on(line).startswith(b"HTTP/1.1 408")
        with contextlib.suppress(OSError):
            assert line.recv(100) == b""
    assert straight == [] and site.alerts() == {}


def test_a_sender_that_hangs_up_costs_nothing(site, straight):
    for _ in range(5):
        with line_to(site) as line:
            line.sendall(post(BODIES["one"])[:-5])
        with line_to(site) as line:
            line.sendall(post(BODIES["one"]))
    with line_to(site) as line:
        line.sendall(post(BODIES["one"]))
        assert answer_on(line).startswith(b"HTTP/1.1 200")
    gate = site.app.straight._gate
    assert (gate.requests, gate.bytes) == (0, 0)


def test_when_the_gate_is_full_it_says_when_to_come_again(site, straight):
    site.app.straight._gate.max_requests = 0
    with line_to(site) as line:
        line.sendall(post(BODIES["one"]))
        said = answer_on(line)
    assert said.startswith(b"HTTP/1.1 503") and b"retry-after: 5" in said


def test_one_of_several_that_came_together_fails_alone(site, straight, monkeypatch):
    take_in, gate = site.engine.take_in, threading.Event()

    def sometimes(unit, integration, alerts, changes=(), **more):
        if any("poison" in one.summary for one in alerts):
            raise Unusable("this one cannot be kept", "$")
        return take_in(unit, integration, alerts, changes, **more)

    monkeypatch.setattr(site.engine, "take_in", sometimes)
    site.engine.store.submit(lambda tx: gate.wait(5))  # what comes meanwhile is gathered
    names = ["a", "poison", "b", "c"]
    lines = [line_to(site) for _ in names]
    for line, name in zip(lines, names, strict=True):
        line.sendall(post(json.dumps([alert(name)]).encode()))
    gate.set()
    assert [answer_on(line).split()[1] for line in lines] == [b"200", b"400", b"200", b"200"]
    for line in lines:
        line.close()
    assert len(site.alerts()) == 3


def test_what_comes_while_the_store_is_busy_travels_together_and_of_each_alert_one_thing_at_a_time(
    site, straight, monkeypatch
):
    take_in, gate, taken = site.engine.take_in, threading.Event(), []

    def noted(unit, integration, alerts, changes=(), **more):
        taken.append([one.summary.partition(" ")[0] for one in alerts])
        return take_in(unit, integration, alerts, changes, **more)

    monkeypatch.setattr(site.engine, "take_in", noted)
    site.engine.store.submit(lambda tx: gate.wait(5))
    names = ["a", "b", "a", "c", "d"]
    lines = [line_to(site) for _ in names]
    for number, (line, name) in enumerate(zip(lines, names, strict=True), 1):
        line.sendall(post(json.dumps([alert(name)]).encode()))
        until(lambda number=number: len(straight) == number)
        time.sleep(0.02)  # each in a turn of the loop of its own
    gate.set()
    assert all(answer_on(line).startswith(b"HTTP/1.1 200") for line in lines)
    for line in lines:
        line.close()
    assert taken == [["a", "b"], ["a", "c", "d"]]
    assert len(site.alerts()) == 4


def test_what_comes_while_its_unit_of_work_runs_is_taken_by_it(site, straight, monkeypatch):
    take_in, began, goes_on, units = site.engine.take_in, threading.Event(), threading.Event(), []

    def slow(unit, integration, alerts, changes=(), **more):
        units.append(unit)
        began.set()
        assert goes_on.wait(5)
        return take_in(unit, integration, alerts, changes, **more)

    monkeypatch.setattr(site.engine, "take_in", slow)
    with line_to(site) as first, line_to(site) as second:
        first.sendall(post(json.dumps([alert("first")]).encode()))
        assert began.wait(5)
        second.sendall(post(json.dumps([alert("second")]).encode()))
        until(lambda: len(site.app.straight._waits[0].posts) == 2)
        goes_on.set()
        assert [answer_on(line).split()[1] for line in (first, second)] == [b"200", b"200"]
    assert len(units) == 2 and units[0] is units[1]
    assert len(site.alerts()) == 2


def test_what_travels_together_is_all_there_when_the_unit_of_work_is_done_again():
    together = Together(["a"])
    tried = []
    for some in together.rounds():
        tried.append(some)
        if len(tried) == 1:
            assert together.add(["b", "c"])
    assert tried == [["a"], ["b", "c"]]
    assert not together.add(["too late"])
    assert list(together.rounds()) == [["a", "b", "c"]]


def test_what_the_store_could_not_begin_is_refused_at_once_and_what_comes_after_is_taken(site, straight):
    """A lock that somebody else holds, a full disk: the unit of work fails before it begins, and takes nobody along."""
    store = site.engine.store
    store.write(lambda tx: tx.session.connection.execute("PRAGMA busy_timeout = 50").fetchall() and None)
    answers = {}
    with store.engine().begin(), line_to(site) as line:
        line.sendall(post(json.dumps([alert("locked out")]).encode()))
        answers["locked out"] = answer_on(line).split()[1]
    for name in ("after", "and after that"):
        with line_to(site) as line:
            line.sendall(post(json.dumps([alert(name)]).encode()))
            answers[name] = answer_on(line).split()[1]
    assert answers == {"locked out": b"503", "after": b"200", "and after that": b"200"}
    assert site.app.straight._gate.requests == 0, "each has given its place back"
    assert len(site.alerts()) == 2


def test_a_body_that_ends_after_its_key_was_taken_away_is_refused(site, straight):
    whole = post(json.dumps([alert("slow")]).encode())
    with line_to(site) as slow, line_to(site) as other:
        slow.sendall(whole[:-5])
        time.sleep(0.1)  # its head is read, and its key was good
        site.engine.store.write(lambda tx: tx.delete_record("integration", "prometheus"))
        other.sendall(post(json.dumps([alert("other")]).encode()))
        assert answer_on(other).startswith(b"HTTP/1.1 401")
        slow.sendall(whole[-5:])
        assert answer_on(slow).startswith(b"HTTP/1.1 401")
    assert site.app.straight._gate.requests == 0 and site.alerts() == {}


def test_many_requests_that_come_together_ask_as_many_silences_as_each_would_alone(site, straight):
    """Expressions that are hard to match: a hundred requests must not share the steps that are meant for one."""
    now = site.clock.now()
    hard = [".*a.*a.*Z.*"] * 13 + [".*a.*a.*b.*"]
    silences = [
        Silence(f"s{n:02}", [Matcher("instance", text, True, True)], now - 1, now + HOUR, "anna", "planned")
        for n, text in enumerate(hard)
    ]
    site.engine.put_records([RecordRow("silence", one.id, "", encode(one), now) for one in silences])
    gate = threading.Event()
    site.engine.store.submit(lambda tx: gate.wait(9))
    lines = [line_to(site) for _ in range(90)]
    for n, line in enumerate(lines):
        said = alert(f"n{n}")
        said["labels"]["instance"] = "a" * 20 + f"{n:03}" + "b" * 23
        line.sendall(post(json.dumps([said]).encode()))
    until(lambda: len(straight) == len(lines))
    gate.set()
    for line in lines:
        assert answer_on(line).startswith(b"HTTP/1.1 200")
        line.close()
    assert {row.state for row in site.engine.store.read(lambda r: r.alerts())} == {"silenced"}


def test_an_error_that_nobody_foresaw_is_told_logged_and_holds_up_nobody(site, straight, monkeypatch, capsys):
    monkeypatch.setattr(site.engine, "take_in", lambda *anything: 1 / 0)
    with line_to(site) as line:
        line.sendall(post(BODIES["one"]))
        said = answer_on(line)
    assert said.startswith(b"HTTP/1.1 500") and b"Something is wrong in Tocsin itself" in said
    monkeypatch.undo()
    with line_to(site) as line:
        line.sendall(post(BODIES["one"]))
        assert answer_on(line).startswith(b"HTTP/1.1 200")
