"""The peers themselves, without Tocsin: what a story about them later stands on."""

from __future__ import annotations

import smtplib
import sys
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import pytest
from child_processes import TocsinProcess, free_port, get, wait_until
from real_peers import Alertmanager, Hooks, MailServer, Prometheus

pytestmark = pytest.mark.real

STAND_IN = """
import http.server, sys
port = int(sys.argv[sys.argv.index("--port") + 1])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *args): pass
print(f"Tocsin on http://127.0.0.1:{port}/ (documentation: http://127.0.0.1:{port}/docs)")
print(f"Sign in as owner: http://127.0.0.1:{port}/welcome/3fX9_kQe72LmZp04TtVw.", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def test_a_fault_fires_in_prometheus_reaches_alertmanagers_webhook_and_clears(
    hooks: Hooks,
    start_alertmanager: Callable[..., Alertmanager],
    start_prometheus: Callable[..., Prometheus],
) -> None:
    manager = start_alertmanager(f"{hooks.url}/in/alertmanager", key="integration-key")
    prometheus = start_prometheus([manager.url])

    prometheus.fault.begin(instance_name="db-1", severity="critical")
    fired = hooks.wait_for(1)[0]
    assert fired.path == "/in/alertmanager"
    assert fired.headers["authorization"] == "Bearer integration-key"
    assert fired.json["status"] == "firing"
    assert fired.json["alerts"][0]["labels"]["instance_name"] == "db-1"

    prometheus.fault.end(instance_name="db-1", severity="critical")
    wait_until(lambda: hooks.received[-1].json["status"] == "resolved", "the webhook hears that it is over")


def test_prometheus_sends_straight_to_an_alertmanager_api_below_a_path(
    hooks: Hooks, start_prometheus: Callable[..., Prometheus]
) -> None:
    prometheus = start_prometheus([f"{hooks.url}/in/alertmanager/KEY"], key="token")
    prometheus.fault.begin(instance_name="api", severity="warning")
    sent = hooks.wait_for(1)[0]
    assert sent.path == "/in/alertmanager/KEY/api/v2/alerts"
    assert sent.headers["authorization"] == "Bearer token"
    assert [alert["labels"]["alertname"] for alert in sent.json] == ["TestFault"]


def test_the_mail_server_keeps_a_mail_and_refuses_an_address_it_was_told_to(mail_server: MailServer) -> None:
    mail_server.refuse["gone@example.org"] = "550 no such mailbox"
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = "Grüße", "tocsin@example.org", "anna@example.org"
    mail.set_content("acknowledge here")
    with smtplib.SMTP(mail_server.host, mail_server.port, timeout=5) as client:
        refused = client.send_message(mail, to_addrs=["anna@example.org", "gone@example.org"])
    assert refused["gone@example.org"][0] == 550
    assert mail_server.wait_for(1)[0]["Subject"] == "Grüße"
    assert mail_server.envelopes == [("tocsin@example.org", ["anna@example.org"])]


def test_a_server_process_is_awaited_its_link_is_found_and_it_restarts_in_place(tmp_path: Path) -> None:
    program = (sys.executable, "-c", STAND_IN)
    with TocsinProcess(tmp_path / "data", program=program) as server:
        assert server.sign_in_url == f"{server.url}/welcome/3fX9_kQe72LmZp04TtVw"
        server.kill()
        assert get(f"{server.url}/readyz") == (0, b"")
        server.restart()
        assert server.get("/readyz")[0] == 200
    assert get(f"{server.url}/readyz") == (0, b"")


def test_a_server_that_ends_before_it_is_ready_says_why(tmp_path: Path) -> None:
    program = (sys.executable, "-c", "import sys; sys.exit('the port is taken')")
    with pytest.raises(AssertionError, match=r"ended with 1 before .*\s+the port is taken"):
        TocsinProcess(tmp_path / "data", program=program, port=free_port()).start()
