"""A real HTTP server over a clock that moves a millisecond with each call, with an integration of every kind: for tests of the ways in."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.applications import Starlette

from tocsin.engine.engine import Engine
from tocsin.engine.receiving import Integration
from tocsin.engine.ways_in import WaysIn
from tocsin.identity.tokens import key_hash
from tocsin.identity.vault import seal
from tocsin.incidents.organisation import demo_organisation, to_records
from tocsin.intake.gate import Gate
from tocsin.intake.sources import SOURCES
from tocsin.kernel.clock import MILLISECOND, MINUTE, ManualClock
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import RecordRow, Store
from tocsin.kernel.randomness import SeededRandomness
from tocsin.policy.load import default_policy_text
from tocsin.providers.console import ConsoleChannel
from tocsin.store.sqlite import SqliteStore
from tocsin.web.base import Web
from tocsin.web.intake import Intake
from tocsin.web.protocol import BoundedProtocol
from tocsin.web.server import build_app

TUESDAY = "2026-03-03T10:00:00Z"
SECRET = b"s" * 32


def key_of(name: str) -> str:
    """The key of the integration ``name`` in these tests."""
    return f"{name}-key-".ljust(32, "0")


class DoorSite:
    """``integrations`` are named as their source, one of each kind; ``quiet`` is a Prometheus that may not silence."""

    def __init__(self, store: Store) -> None:
        self.clock = ManualClock(TUESDAY)
        self.store = store
        self.phone = ConsoleChannel()
        self.engine = Engine(
            self.store,
            self.clock,
            SeededRandomness(7),
            {"console": self.phone},
            secret=SECRET,
            public_url="https://t.example",
        )
        self.engine.seed_policy(default_policy_text())
        now = self.clock.now()
        self.engine.put_records(to_records(demo_organisation(now), now))
        self.url, self.app = "", Starlette()
        for name in SOURCES:
            self.add(name, name, may_silence=True, interval=5 * MINUTE if name == "heartbeat" else 0)
        self.add("quiet", "prometheus")
        self.ways = WaysIn(self.engine)

    def add(self, name: str, source: str, **more: Any) -> Integration:
        """An integration; its key is ``key_of(name)``."""
        sealed = seal(SECRET, key_of(name), f"integration/{name}", self.engine.randomness)
        integration = Integration(name, f"The {name}", source, sealed_key=sealed, **more)
        self.put(integration)
        return integration

    def put(self, integration: Integration) -> None:
        """Writes it as it stands."""
        lookup = key_hash(key_of(integration.id), SECRET)
        row = RecordRow("integration", integration.id, lookup, encode(integration), self.clock.now())
        self.engine.put_records([row])

    def call(self, method: str, path: str, **more: Any) -> httpx2.Response:
        self.clock.advance(MILLISECOND)
        return httpx2.request(method, self.url + path, timeout=20, **more)

    def post(self, path: str, **more: Any) -> httpx2.Response:
        return self.call("POST", path, **more)

    def send(self, name: str, **more: Any) -> httpx2.Response:
        """Posts to the webhook of that integration."""
        return self.post(f"/in/{name}/{key_of(name)}", **more)

    def api(self, method: str, path: str, name: str = "prometheus", **more: Any) -> httpx2.Response:
        """Calls Alertmanager's API with the key in the path."""
        return self.call(method, f"/in/alertmanager/{key_of(name)}/api/v2{path}", **more)

    def alerts(self) -> dict[str, str]:
        """dedup key → status of every alert."""
        return {row.dedup_key: row.status for row in self.store.read(lambda r: r.alerts())}

    def run(self, duration: int) -> None:
        """Moves through every due moment up to ``duration`` from now."""
        end = self.clock.now() + duration
        while self.engine.step():
            pass
        while (due := self.engine.next_due()) is not None and due <= end:
            self.clock.move_to(max(due, self.clock.now()))
            self.engine.step()
        self.clock.move_to(end)


@contextmanager
def door_site(folder: Path, *, gate: Gate | None = None, store: Store | None = None) -> Iterator[DoorSite]:
    """The running server, on SQLite in ``folder`` unless there is a store. With a ``gate`` of its own it is intake alone."""
    if store is None:
        store = SqliteStore(folder)
        store.migrate()
    site = DoorSite(store)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    app = Starlette(routes=Intake(Web(site.engine), gate).routes()) if gate else build_app(site.engine)
    server = uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="critical", ws="none", lifespan="off", http=BoundedProtocol)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    site.url, site.app = f"http://127.0.0.1:{port}", app
    try:
        yield site
    finally:
        server.should_exit = True
        server.force_exit = True
        thread.join(timeout=10)
        site.store.close()
