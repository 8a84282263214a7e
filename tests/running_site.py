"""A real server on a free loopback port, with the demonstration's organisation and its phone."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import msgspec
import pytest
import uvicorn
from argon2 import PasswordHasher

from tocsin.app import DEMO_KEY, DEMO_PASSWORD, DEMO_PERSON, Tocsin, build
from tocsin.drill.rooms import DrillRooms
from tocsin.identity import passwords
from tocsin.incidents.organisation import record_of
from tocsin.settings import Settings
from tocsin.web.protocol import BoundedProtocol
from tocsin.web.server import build_app

TLS = ssl.create_default_context()
"""shared: a client that makes its own reads all authorities of the machine first"""


class Site:
    """The running server: ``url``, its parts, and a few things that a person or a sender does."""

    def __init__(self, url: str, tocsin: Tocsin) -> None:
        self.url, self.tocsin, self.token = url, tocsin, tocsin.notes["token"]
        self.login, self.password, self.key = DEMO_PERSON, DEMO_PASSWORD, DEMO_KEY

    def api(self, method: str, path: str, **more) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        return httpx2.request(method, self.url + path, headers=headers, timeout=10, verify=TLS, **more)

    def alert(
        self, summary: str, key: str, action: str = "trigger", component: str = "payments"
    ) -> httpx2.Response:
        event = {"routing_key": self.key, "event_action": action, "dedup_key": key}
        event["payload"] = {
            "summary": summary,
            "source": "probe",
            "severity": "critical",
            "component": component,
        }
        return httpx2.post(self.url + "/v2/enqueue", json=event, timeout=10, verify=TLS)

    def wait_for(self, what, seconds: float = 10):
        """Polls until ``what()`` is true and answers it: deliveries happen on threads of their own."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := what():
                return found
            time.sleep(0.02)
        raise AssertionError("it did not happen in time")

    def page_for(self, person: str):
        return self.wait_for(
            lambda: next((m for m in self.tocsin.phone.messages if m.to == person and m.ack_url), None)
        )

    def make_owner(self, person: str = DEMO_PERSON) -> None:
        """Gives somebody the role that may do everything."""
        one = self.tocsin.engine.directory().people[person]
        row = record_of(msgspec.structs.replace(one, role="owner"), self.tocsin.engine.clock.now())
        self.tocsin.engine.put_records([row])

    def signed_in(self) -> tuple[httpx2.Client, str]:
        client = httpx2.Client(base_url=self.url, follow_redirects=True, timeout=10, verify=TLS)
        page = client.post("/sign-in", data={"login": self.login, "password": self.password})
        return client, re.search(r'name="csrf" value="([^"]+)"', page.text)[1]


@contextlib.contextmanager
def cheap_passwords() -> Iterator[None]:
    """Passwords hashed with little work and memory: what a real hash costs is none of these tests' business."""
    real = passwords._hasher
    passwords._hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    try:
        yield
    finally:
        passwords._hasher = real


@contextlib.contextmanager
def running(folder: Path, demo: bool = True) -> Iterator[Site]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with cheap_passwords():
        tocsin = build(Settings(data=str(folder), port=port, demo=demo))
    server = uvicorn.Server(
        uvicorn.Config(
            build_app(
                tocsin.engine,
                phone=tocsin.phone if demo else None,
                label="Demonstration" if demo else "",
                rooms=DrillRooms(),
            ),
            port=port,
            log_level="error",
            ws="none",
            lifespan="off",
            http=BoundedProtocol,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    tocsin.loop.start()
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield Site(f"http://127.0.0.1:{port}", tocsin)
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=10)
        tocsin.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(tmp_path) as one:
        yield one
