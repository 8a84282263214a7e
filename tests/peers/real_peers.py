"""The real programs Tocsin has to get on with, each on the loopback, each with settings that make it quick."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from child_processes import LOOPBACK, Child, free_port, get, wait_until


def program(*names: str) -> str:
    """The path of the first of ``names`` on this machine; skips the test where there is none."""
    for name in names:
        if path := shutil.which(name):
            return path
    pytest.skip(f"{names[0]} is not on this machine; make setup installs it where it may")


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """A small HTTP server in a thread; yields its URL."""
    server = ThreadingHTTPServer((LOOPBACK, 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Fault:
    """A metric for Prometheus to scrape: one series for each fault that was switched on, 1 while it lasts."""

    url: str = ""
    _standing: dict[tuple[tuple[str, str], ...], int] = field(default_factory=dict)

    def begin(self, **labels: str) -> None:
        """From the next scrape on, the fault with these labels is there."""
        self._standing[tuple(sorted(labels.items()))] = 1

    def end(self, **labels: str) -> None:
        """From the next scrape on it is over."""
        self._standing[tuple(sorted(labels.items()))] = 0

    def exposition(self) -> str:
        """What a scrape reads, in Prometheus's text format."""
        lines = ["# TYPE test_fault gauge"]
        for labels, value in sorted(self._standing.copy().items()):
            inner = ",".join(f"{name}={json.dumps(text)}" for name, text in labels)
            lines.append(f"test_fault{{{inner}}} {value}")
        return "\n".join(lines) + "\n"


@contextmanager
def fault_metric() -> Iterator[Fault]:
    """Serves a :class:`Fault` under ``/metrics``."""
    fault = Fault()

    class Metrics(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = fault.exposition().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing: four scrapes a second would bury the test's own words."""

    with _serving(Metrics) as url:
        fault.url = url
        yield fault


@dataclass(frozen=True)
class Received:
    """One request that a :class:`Hooks` server got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Hooks:
    """Everything posted to it, in order. ``status`` is what it answers with from now on."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    status: int = 200

    def wait_for(self, count: int, seconds: float = 20.0) -> list[Received]:
        """Waits until at least ``count`` requests have come."""
        wait_until(lambda: len(self.received) >= count, f"{count} requests at {self.url}", seconds)
        return list(self.received)


@contextmanager
def hook_collector() -> Iterator[Hooks]:
    """A server that takes whatever is posted to any of its addresses."""
    hooks = Hooks()

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            hooks.received.append(Received(self.path, headers, body))
            self.send_response(hooks.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing; the requests themselves are kept."""

    with _serving(Collector) as url:
        hooks.url = url
        yield hooks


@dataclass
class Prometheus:
    """A running Prometheus: ``url``, and the ``fault`` whose standing series fire the alert ``TestFault``."""

    url: str
    fault: Fault
    child: Child

    def alerts(self) -> list[dict[str, Any]]:
        """Its active alerts as its own API tells them."""
        body = get(f"{self.url}/api/v1/alerts")[1]
        return list(json.loads(body)["data"]["alerts"])


@contextmanager
def prometheus(folder: Path, alertmanagers: Sequence[str], *, key: str = "") -> Iterator[Prometheus]:
    """Scrapes and evaluates four times a second and sends to ``alertmanagers`` (base URLs, a path prefix included).

    ``key``: sent as a bearer token. Alerts take every label of the fault, besides ``alertname="TestFault"``.
    """
    binary = program("prometheus")
    folder.mkdir(parents=True, exist_ok=True)
    with fault_metric() as fault:
        rule = {
            "alert": "TestFault",
            "expr": "test_fault == 1",
            "annotations": {"summary": "the test's fault on {{ $labels.instance_name }} is on"},
        }
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "test", "rules": [rule]}]}))
        scrape = {"job_name": "fault", "static_configs": [{"targets": [urlsplit(fault.url).netloc]}]}
        config = {
            "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [scrape],
            "alerting": {"alertmanagers": [_alertmanager(url, key) for url in alertmanagers]},
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        address = f"{LOOPBACK}:{free_port()}"
        flags = [
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--rules.alert.resend-delay=1s",
            "--log.level=warn",
        ]
        with _running("prometheus", [binary, *flags], folder, f"http://{address}/-/ready") as child:
            yield Prometheus(f"http://{address}", fault, child)


def _alertmanager(url: str, key: str) -> dict[str, Any]:
    parts = urlsplit(url)
    entry: dict[str, Any] = {"scheme": parts.scheme, "static_configs": [{"targets": [parts.netloc]}]}
    if parts.path.strip("/"):
        entry["path_prefix"] = parts.path
    if key:
        entry["authorization"] = {"credentials": key}
    return entry


@dataclass
class Alertmanager:
    """A running Alertmanager."""

    url: str
    child: Child


@contextmanager
def alertmanager(
    folder: Path, webhook: str, *, key: str = "", group_by: Sequence[str] = ()
) -> Iterator[Alertmanager]:
    """Sends every group to ``webhook`` at once, again each second when it changed, with resolved ones.

    ``key``: sent as a bearer token. ``group_by``: labels; none puts all alerts in one group.
    """
    binary = program("prometheus-alertmanager", "alertmanager")
    folder.mkdir(parents=True, exist_ok=True)
    hook: dict[str, Any] = {"url": webhook, "send_resolved": True}
    if key:
        hook["http_config"] = {"authorization": {"credentials": key}}
    route: dict[str, Any] = {
        "receiver": "hook",
        "group_wait": "100ms",
        "group_interval": "1s",
        "repeat_interval": "1h",
    }
    if group_by:
        route["group_by"] = list(group_by)
    config = {"route": route, "receivers": [{"name": "hook", "webhook_configs": [hook]}]}
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(config))
    address = f"{LOOPBACK}:{free_port()}"
    flags = [
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with _running("alertmanager", [binary, *flags], folder, f"http://{address}/-/ready") as child:
        yield Alertmanager(f"http://{address}", child)


@contextmanager
def _running(name: str, command: Sequence[str], folder: Path, ready: str) -> Iterator[Child]:
    child = Child(name, command, cwd=folder)
    try:
        child.wait_ready(ready)
        yield child
    finally:
        child.kill()


@dataclass
class MailServer:
    """What came by mail, in order. ``refuse`` maps addresses to the SMTP answer they get instead of a delivery."""

    host: str
    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[tuple[str, list[str]]] = field(default_factory=list)
    """(sender, recipients) of each mail as SMTP gave them"""
    refuse: dict[str, str] = field(default_factory=dict)

    def wait_for(self, count: int, seconds: float = 20.0) -> list[EmailMessage]:
        """Waits until at least ``count`` mails have come."""
        wait_until(lambda: len(self.mails) >= count, f"{count} mails at {self.host}:{self.port}", seconds)
        return list(self.mails)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, rcpt_options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        raw = content.encode() if isinstance(content, str) else content or b""
        self.envelopes.append((envelope.mail_from or "", list(envelope.rcpt_tos)))
        self.mails.append(BytesParser(_class=EmailMessage, policy=policy.default).parsebytes(raw))
        return "250 taken"


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A real SMTP server that keeps what it is given and passes nothing on."""
    server = MailServer(LOOPBACK, free_port())
    controller = Controller(server, hostname=LOOPBACK, port=server.port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
