"""What arrives at the socket before anybody knows whose it is: slow bodies, callers that hang up, other hosts' names."""

import json
import logging
import socket
import time
from urllib.parse import urlsplit

import httpx2
import pytest
from people_at_the_door import Visitor, asks

from tocsin.kernel.errors import Busy
from tocsin.web import protocol

PATHS = ("/api/v1/incidents", "/sign-in", "/v2/enqueue", "/report/x", "/nowhere", "/healthz")


def line_to(site) -> socket.socket:
    parts = urlsplit(site.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=10)


def head(path: str, method: str = "POST", **more: object) -> bytes:
    fields = {"Host": "x", "Content-Type": "application/x-www-form-urlencoded"} | more
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode()


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_never_ends_does_not_hold_its_place(site, monkeypatch, path):
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)
    with line_to(site) as line:
        line.sendall(head(path, Content_Length=4000) + b"a=b")
        answer = b""
        while piece := line.recv(65536):
            answer += piece
    assert not answer or answer.startswith(b"HTTP/1.1 4"), answer[:60]


def test_a_body_in_time_is_read_and_the_connection_stays(site, monkeypatch):
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)
    with line_to(site) as line:
        for _ in range(2):
            line.sendall(head("/sign-in", Content_Length=7) + b"login=a")
            assert line.recv(65536).startswith(b"HTTP/1.1 401 ")
            time.sleep(0.4)


@pytest.mark.parametrize("path", PATHS)
def test_a_caller_that_hangs_up_within_its_body_is_no_fault_of_ours(site, path):
    seen: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(self.format(record))

    keep = Keep(logging.ERROR)
    logging.getLogger("uvicorn.error").addHandler(keep)
    try:
        bearer = asks(site, "anna")
        with line_to(site) as line:
            line.sendall(head(path, Content_Length=4000, Authorization=f"Bearer {site.token}") + b"a=b")
            time.sleep(0.2)
        time.sleep(0.2)
        assert bearer("GET", "/api/v1/state").status_code == 200
    finally:
        logging.getLogger("uvicorn.error").removeHandler(keep)
    assert seen == []


def test_who_asks_is_known_before_what_they_send_is_read(site):
    answer = httpx2.post(site.url + "/api/v1/incidents", content=b"[" * 2_000_000, timeout=10)
    assert answer.status_code == 401
    read = asks(site, "anna", "read")("POST", "/api/v1/incidents", content=b"[")
    assert read.status_code == 400


@pytest.mark.parametrize(
    "path", ["/incidents/", "/sign-in/?next=/oncall", "/api/v1/incidents/", "/healthz//"]
)
def test_a_slash_at_the_end_leads_on_within_this_host(site, path):
    for host in ("evil.example", "evil.example/x", ""):
        answer = httpx2.get(site.url + path, headers={"Host": host}, timeout=10)
        plain, _, query = path.partition("?")
        assert answer.status_code == 307
        assert answer.headers["location"] == plain.rstrip("/") + ("?" + query if query else "")


@pytest.mark.parametrize("path", ["//evil.example/", "/%5Cevil.example/", "/nowhere/", "/", "/static/"])
def test_a_slash_leads_nowhere_else(site, path):
    location = httpx2.get(site.url + path, timeout=10).headers.get("location", "")
    assert location in ("", "/sign-in?next=/"), location


def test_a_store_that_cannot_answer_is_told_as_such_to_who_is_signed_in(site, monkeypatch):
    visitor = Visitor(site, "anna")

    def away(*_: object) -> None:
        raise Busy("the database cannot be reached")

    monkeypatch.setattr(site.tocsin.engine.store, "read", away)
    for path in ("/", "/incidents", "/a/x", "/oncall"):
        answer = visitor.get(path)
        assert (answer.status_code, "cannot be reached" in answer.text) == (503, True), path
        assert answer.headers["retry-after"]


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_what_nobody_foresaw_is_answered_in_words_and_with_every_guard(site, monkeypatch, accept):
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a secret of the house")

    monkeypatch.setattr(site.tocsin.engine.store, "read", broken)
    cookie = {"Cookie": "tocsin_session=x", "Accept": accept}
    answer = httpx2.get(site.url + "/incidents", headers=cookie, timeout=10)
    assert answer.status_code == 500
    assert "doctor" in answer.text
    assert "secret of the house" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    if accept == "application/json":
        assert json.loads(answer.text)["status"] == 500
    else:
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


OFFERS = [
    {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"},
    {"Connection": "keep-alive, Upgrade", "Upgrade": "websocket"},
]  # fmt: skip


@pytest.mark.parametrize("offer", OFFERS, ids=["h2c", "websocket"])
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "body later"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_a_request_that_offers_another_protocol_is_read_with_its_body(site, offer, apart, chunked):
    event = {"routing_key": site.key, "event_action": "trigger", "dedup_key": "offered"}
    event["payload"] = {"summary": "disk full", "source": "db1", "severity": "error"}
    body = json.dumps(event).encode()
    size = {"Transfer-Encoding": "chunked"} if chunked else {"Content-Length": len(body)}
    if chunked:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with line_to(site) as line:
        for _ in range(2):
            first = head("/v2/enqueue", **offer, **size)
            line.sendall(first if apart else first + body)
            if apart:
                time.sleep(0.1)
                line.sendall(body)
            answer = line.recv(65536)
            assert answer.startswith(b"HTTP/1.1 202 "), answer
            assert b'"offered"' in answer
        line.sendall(head("/healthz", "GET", **offer) + head("/readyz", "GET", **offer))
        answer = b""
        while b"ready" not in answer:
            answer += line.recv(65536)
        assert answer.count(b"HTTP/1.1 200 ") == 2


def test_thousands_of_offers_in_one_piece_and_a_connect_are_no_trouble(site):
    with line_to(site) as line:
        line.sendall(head("/healthz", "GET", **OFFERS[0]) * 500)
        answer = b""
        while answer.count(b"HTTP/1.1 200 ") < 500:
            answer += line.recv(65536)
    with line_to(site) as line:
        line.sendall(
            b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        )
        assert b" 200 " not in line.recv(65536)
    assert httpx2.get(site.url + "/healthz", timeout=10).status_code == 200


def test_the_head_of_an_offer_is_bounded_as_any_other(site):
    with line_to(site) as line:
        line.sendall(
            head("/healthz", "GET", **OFFERS[0], **{f"X-{number}": "a" * 1000 for number in range(70)})
        )
        assert line.recv(65536).startswith(b"HTTP/1.1 431 ")


HOSTS = {
    "GET /healthz HTTP/1.1": 400,
    "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a": 400,
    "GET /healthz HTTP/1.1\r\nHost: a\r\nhost: b": 400,
    "GET /healthz HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: h2c": 400,
    "GET /healthz HTTP/1.1\r\nHost:": 200,
    "GET /healthz HTTP/1.1\r\nHost:\r\nConnection: Upgrade\r\nUpgrade: h2c": 200,
    "GET /healthz HTTP/1.1\r\nHost: a": 200,
    "GET /healthz HTTP/1.0": 200,
    "GET /healthz HTTP/1.0\r\nHost: a": 200,
    "GET /healthz HTTP/1.0\r\nHost: a\r\nHost: b": 400,
}


@pytest.mark.parametrize("said", HOSTS)
def test_a_request_names_one_host(site, said):
    with line_to(site) as line:
        line.sendall(said.encode() + b"\r\n\r\n")
        answer = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 %d " % HOSTS[said]), answer
    if HOSTS[said] == 400:
        assert answer.endswith(b"names its host, in one Host header")
        assert b"\r\nconnection: close\r\n" in answer and b"\r\nx-content-type-options: nosniff\r\n" in answer
