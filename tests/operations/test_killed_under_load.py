"""SIGKILL under load: what was answered with a 2xx is not gone, every page goes out, and repeats carry the same id."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "providers"))

from wire import Hook

from tocsin.app import build
from tocsin.engine.placing import Integration
from tocsin.identity.tokens import key_hash
from tocsin.incidents.organisation import load_organisation, to_records
from tocsin.kernel.codec import encode
from tocsin.kernel.facts import verify_chain
from tocsin.kernel.ports import RecordRow
from tocsin.policy.load import default_policy_text
from tocsin.settings import Settings

KEY = "k" * 32

ORGANISATION = """
organisation: Killed
default_team: ops
people:
  anna:
    name: Anna
    login: anna
    role: owner
    contacts: [{kind: webhook, address: "HOOK", tested: true}]
teams:
  ops: {name: Operations, members: [anna], schedule: ops}
schedules:
  ops:
    name: Operations
    rotations: [{members: [anna], every: 1 week, start: monday -4 weeks 09:00}]
"""


class Server:
    """``tocsin serve`` that is killed and started again on the same data."""

    def __init__(self, folder, port, database=""):
        self.folder, self.port = folder, port
        self.environment = os.environ | {
            "TOCSIN_WEBHOOK_SECRET": Hook.secret, "TOCSIN_EGRESS_ALLOW": "127.0.0.1", "TOCSIN_DATA": str(folder / "data"),
            "TOCSIN_PORT": str(port), **({"TOCSIN_DATABASE_URL": database} if database else {}),
        }  # fmt: skip
        self.process = None

    def start(self):
        log = (self.folder / "log").open("ab")
        command = [sys.executable, "-m", "tocsin.cli", "serve"]
        self.process = subprocess.Popen(
            command, stdout=log, stderr=log, env=self.environment, cwd=self.folder
        )
        log.close()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=1):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Sender(threading.Thread):
    """Sends alerts, each with a key of its own, and remembers those that were answered with a 202."""

    def __init__(self, port, name):
        super().__init__(daemon=True)
        self.port, self.prefix, self.taken, self.stopping = port, name, [], False

    def run(self):
        number = 0
        while not self.stopping:
            number += 1
            key = f"{self.prefix}-{number}"
            event = {
                "routing_key": KEY, "event_action": "trigger", "dedup_key": key,
                "payload": {"summary": f"{key} fails", "source": key, "severity": "critical"},
            }  # fmt: skip
            request = urllib.request.Request(
                f"http://127.0.0.1:{self.port}/v2/enqueue", json.dumps(event).encode()
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    if answer.status == 202:
                        self.taken.append(key)
            except OSError:
                time.sleep(0.05)
            time.sleep(0.03)


def prepare(folder, hook, database):
    policy = folder / "policy.yaml"
    text = default_policy_text().replace(
        "page_each_person_at_most_every: 60s", "page_each_person_at_most_every: 0s"
    )
    policy.write_text(text)
    tocsin = build(Settings(data=str(folder / "data"), policy=str(policy), database_url=database))
    now = tocsin.engine.clock.now()
    rows = to_records(load_organisation(ORGANISATION.replace("HOOK", hook), "killed.yaml", now=now), now)
    integration = Integration("i1", "load", "pagerduty")
    rows.append(RecordRow("integration", "i1", key_hash(KEY, tocsin.engine.secret), encode(integration), now))
    tocsin.engine.put_records(rows)
    tocsin.close()


def torment(tmp_path, times, database=""):
    """Kills the server ``times`` times under load and looks at what is left."""
    hook = Hook()
    prepare(tmp_path, hook.url, database)
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(tmp_path, port, database)
    senders = [Sender(port, f"s{number}") for number in range(3)]
    try:
        server.start()
        for sender in senders:
            sender.start()
        for round in range(times):
            time.sleep(0.5 + 0.13 * (round % 5))
            server.kill()
            server.start()
        time.sleep(0.5)
        for sender in senders:
            sender.stopping = True
        for sender in senders:
            sender.join(10)
        taken = {key for sender in senders for key in sender.taken}
        assert len(taken) > 10 * times, "the load was no load"
        paged = wait_for(hook, taken)
    finally:
        server.kill()
        hook.close()
    missing = taken - paged
    assert not missing, f"{len(missing)} of {len(taken)} alerts were never paged: {sorted(missing)[:5]}"
    tocsin = build(Settings(data=str(tmp_path / "data"), database_url=database))
    try:
        rows = tocsin.store.read(lambda r: r.alerts(integration="i1", limit=100_000))
        assert taken <= {row.dedup_key for row in rows}, "an alert that was answered is gone"
        for stream in tocsin.store.read(lambda r: r.streams("incident", limit=100_000)):
            facts = tocsin.store.read(lambda r, stream=stream: r.facts(stream.stream))
            assert verify_chain(facts, stream.stream) is None
    finally:
        tocsin.close()
    bodies = {}
    for request in hook.requests:
        listed = tuple(one["number"] for one in request.json["data"].get("incidents", []))
        bodies.setdefault(request.headers["webhook-id"], set()).add((request.json["type"], listed[:1]))
    assert all(len(said) == 1 for said in bodies.values()), (
        "one id stands for one message, whatever was sent again"
    )


def wait_for(hook, taken, seconds=90):
    """The keys that pages named, once all of ``taken`` are among them or time is up."""
    end = time.monotonic() + seconds
    while True:
        paged = {
            one["title"].removesuffix(" fails")
            for body in list(hook.taken.values())
            for one in body["data"].get("incidents", [])
        }
        if taken <= paged or time.monotonic() > end:
            return paged
        time.sleep(0.2)


@pytest.mark.real
def test_five_kills_on_sqlite(tmp_path):
    torment(tmp_path, 5)


@pytest.mark.real
@pytest.mark.postgres
def test_five_kills_on_postgresql(tmp_path, postgres_url):
    torment(tmp_path, 5, postgres_url)


@pytest.mark.soak
def test_twenty_five_kills_on_sqlite(tmp_path):
    torment(tmp_path, 25)


@pytest.mark.soak
def test_twenty_five_kills_on_postgresql(tmp_path, postgres_url):
    torment(tmp_path, 25, postgres_url)
