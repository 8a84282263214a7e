"""The servers that are measured: Tocsin as a user starts it, and Debian's Alertmanager. Each in a folder of its own."""

from __future__ import annotations

import base64
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tocsin.alerts.matchers import Matcher
from tocsin.alerts.routing import Route
from tocsin.app import build
from tocsin.catalogue.people import Contact
from tocsin.engine.receiving import Integration
from tocsin.identity.tokens import key_hash
from tocsin.incidents.organisation import demo_organisation, record_of, to_records
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import RecordRow
from tocsin.policy.load import default_policy_text
from tocsin.settings import Settings

KEY = "bench-key-".ljust(32, "0")
WEBHOOK_SECRET = "whsec_" + base64.b64encode(b"a secret for the bench alone").decode()
GROUPS = 20


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, seconds: float = 30) -> None:
    """Waits until ``url`` answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer")


class Receiver:
    """Where pages go: remembers when each body came, with what it said."""

    def __init__(self) -> None:
        self.came: list[tuple[float, bytes]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                receiver.came.append((time.perf_counter(), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 1024

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Peer:
    """A process that takes alerts at ``url`` (without ``/api/v2/alerts``)."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def _start(self, command: list[str], ready: str, environment: dict[str, str] | None = None) -> None:
        log = (self.folder / "log").open("wb")
        self._process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=self.folder)
        wait_for(ready)

    def memory(self) -> int:
        """Resident bytes of the process."""
        assert self._process is not None
        with open(f"/proc/{self._process.pid}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))

    def stop(self) -> None:
        """Ends the process and removes its folder."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class TocsinPeer(Peer):
    """``tocsin serve`` on SQLite, synced to disk at each commit, with routing, deduplication and grouping switched on.

    ``receiver``: web hook of everybody's contact. ``people``: how many are on call, each for a service of their own; the limit
    of one page a minute for each person is set to nothing, as Alertmanager has none.
    """

    name = "Tocsin"

    def __init__(self, folder: Path, receiver: str = "", group_by: str = "alertname") -> None:
        super().__init__(folder)
        folder.mkdir(parents=True)
        policy = folder / "policy.yaml"
        policy.write_text(
            default_policy_text().replace(
                "page_each_person_at_most_every: 60s", "page_each_person_at_most_every: 0s"
            )
        )
        self._prepare(policy, receiver, group_by)
        environment = os.environ | {
            "TOCSIN_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "TOCSIN_EGRESS_ALLOW": "127.0.0.1",
        }
        command = [
            sys.executable,
            "-m",
            "tocsin.cli",
            "serve",
            "--data",
            str(folder / "data"),
            "--port",
            str(self.port),
        ]
        self._start(command, f"{self.url}/readyz", environment)
        self.url += f"/in/alertmanager/{KEY}"

    def _prepare(self, policy: Path, receiver: str, group_by: str) -> None:
        tocsin = build(Settings(data=str(self.folder / "data"), policy=str(policy)))
        engine, now = tocsin.engine, tocsin.engine.clock.now()
        organisation = demo_organisation(now)
        rows = to_records(organisation, now)
        if receiver:
            hook = (Contact("hook", "webhook", receiver),)
            for person in organisation.people:
                import msgspec

                rows.append(record_of(msgspec.structs.replace(person, contacts=hook), now))
        integration = Integration("bench", "bench", "prometheus")
        rows.append(RecordRow("integration", "bench", key_hash(KEY, engine.secret), encode(integration), now))
        for number in range(5):
            other = Route(
                f"r{number}",
                f"route {number}",
                [Matcher("team", f"team-{number}")],
                service="payments",
                group_by=["site"],
            )
            rows.append(RecordRow("route", other.id, "", encode(other), now))
        last = Route(
            "r9",
            "the rest",
            [Matcher("alertname", ".+", regex=True)],
            service="payments",
            group_by=[group_by],
        )
        rows.append(RecordRow("route", last.id, "", encode(last), now))
        engine.put_records(rows)
        tocsin.store.close()


class AlertmanagerPeer(Peer):
    """Debian's Alertmanager; it keeps alerts in memory alone."""

    name = "Alertmanager"

    def __init__(self, folder: Path, receiver: str = "", group_by: str = "alertname") -> None:
        super().__init__(folder)
        folder.mkdir(parents=True)
        hook = f"\n    webhook_configs: [{{url: '{receiver}', max_alerts: 0}}]" if receiver else ""
        (folder / "alertmanager.yml").write_text(
            f"route:\n  receiver: here\n  group_by: ['{group_by}']\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 4h\n"
            f"receivers:\n  - name: here{hook}\n"
        )
        command = [
            "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}", "--cluster.listen-address=", "--log.level=error",
        ]  # fmt: skip
        self._start(command, f"{self.url}/-/ready")


PEERS = (TocsinPeer, AlertmanagerPeer)
