"""Prometheus, Alertmanager and amtool as Debian ships them, against Tocsin: a rule fires, somebody gets mail, the rule clears."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from child_processes import TocsinProcess, get, wait_until
from prepared import ON_CALL, key_of, prepare
from real_peers import Alertmanager, MailServer, Prometheus, program

pytestmark = pytest.mark.real

INTEGRATIONS = {"prometheus": "prometheus", "alertmanager": "alertmanager"}


@pytest.fixture
def server(
    tmp_path: Path, mail_server: MailServer, start_tocsin: Callable[..., TocsinProcess]
) -> TocsinProcess:
    """A Tocsin that sends real mail to the person on call."""
    prepare(tmp_path / "tocsin", INTEGRATIONS, may_silence=True)
    settings = {"TOCSIN_SMTP_HOST": mail_server.host, "TOCSIN_SMTP_PORT": str(mail_server.port)}
    return start_tocsin(settings=settings)


def alerts(server: TocsinProcess, name: str) -> list[dict[str, Any]]:
    """The firing alerts of an integration, as the API shows them."""
    status, body = get(f"{server.url}/in/alertmanager/{key_of(name)}/api/v2/alerts")
    assert status == 200, body
    return list(json.loads(body))


def paged(mail_server: MailServer, words: str) -> None:
    """Waits for a mail to the person on call that has these words."""

    def found() -> bool:
        return any(
            words in f"{mail['Subject']} {mail.get_body(('plain',)).get_content()}" and ON_CALL in mail["To"]
            for mail in list(mail_server.mails)
        )

    try:
        wait_until(found, f"a mail to {ON_CALL} with {words!r}", 25)
    except AssertionError as error:
        raise AssertionError(
            f"{error}; there came {[mail['Subject'] for mail in mail_server.mails]}"
        ) from None


@pytest.mark.parametrize("form", ["path", "header"])
def test_a_rule_of_prometheus_pages_by_mail_and_its_end_is_told(
    server: TocsinProcess, mail_server: MailServer, start_prometheus: Callable[..., Prometheus], form: str
) -> None:
    key = key_of("prometheus")
    where = (
        {"url": f"{server.url}/in/alertmanager/{key}"} if form == "path" else {"url": server.url, "key": key}
    )
    prometheus = start_prometheus([where["url"]], key=where.get("key", ""))

    prometheus.fault.begin(instance_name="db-1", severity="critical")
    paged(mail_server, "the test's fault on db-1 is on")
    (shown,) = alerts(server, "prometheus")
    assert shown["labels"]["instance_name"] == "db-1"

    prometheus.fault.end(instance_name="db-1", severity="critical")
    wait_until(lambda: alerts(server, "prometheus") == [], "Tocsin hears that it is over")
    paged(mail_server, "it cleared")


def test_alertmanagers_webhook_pages_by_mail_and_its_end_is_told(
    server: TocsinProcess,
    mail_server: MailServer,
    start_alertmanager: Callable[..., Alertmanager],
    start_prometheus: Callable[..., Prometheus],
) -> None:
    manager = start_alertmanager(f"{server.url}/in/alertmanager", key=key_of("alertmanager"))
    prometheus = start_prometheus([manager.url])

    prometheus.fault.begin(instance_name="web-3", severity="warning")
    paged(mail_server, "the test's fault on web-3 is on")

    prometheus.fault.end(instance_name="web-3", severity="warning")
    wait_until(lambda: alerts(server, "alertmanager") == [], "Tocsin hears that it is over")
    paged(mail_server, "it cleared")


def amtool(server: TocsinProcess, *words: str) -> str:
    """What amtool writes; it must succeed."""
    url = f"{server.url}/in/alertmanager/{key_of('prometheus')}"
    done = subprocess.run(
        [program("amtool"), f"--alertmanager.url={url}", *words], capture_output=True, text=True, timeout=20
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_amtool_adds_shows_silences_and_expires(server: TocsinProcess, mail_server: MailServer) -> None:
    amtool(
        server, "alert", "add", "DiskFull", "instance=db-1", "--annotation=summary=the disk of db-1 is full"
    )
    paged(mail_server, "the disk of db-1 is full")
    (shown,) = json.loads(amtool(server, "alert", "query", "-o", "json", "alertname=DiskFull"))
    assert (shown["labels"]["instance"], shown["status"]["state"]) == ("db-1", "active")
    assert json.loads(amtool(server, "alert", "query", "-o", "json", "alertname=Other")) == []

    id = amtool(
        server, "silence", "add", "--author=anna", "--comment=the disk is being changed", "--duration=1h", "alertname=~Disk.*"
    ).strip()  # fmt: skip
    (silence,) = json.loads(amtool(server, "silence", "query", "-o", "json"))
    assert (silence["id"], silence["createdBy"], silence["status"]["state"]) == (id, "anna", "active")
    amtool(
        server, "alert", "add", "DiskFull", "instance=db-2", "--annotation=summary=the disk of db-2 is full"
    )
    (shown,) = json.loads(amtool(server, "alert", "query", "-o", "json"))
    assert shown["labels"]["instance"] == "db-1", "what has paged before is not taken back"
    (hidden,) = json.loads(amtool(server, "alert", "query", "-o", "json", "--silenced"))
    assert (hidden["labels"]["instance"], hidden["status"]["silencedBy"]) == ("db-2", [id])

    changed = amtool(server, "silence", "update", "--comment=it takes longer", "--duration=2h", id)
    assert "it takes longer" in changed
    assert amtool(server, "silence", "query", "-q").split() == [id]
    amtool(server, "silence", "expire", id)
    assert amtool(server, "silence", "query", "-q").split() == []
    assert amtool(server, "silence", "query", "-q", "--expired").split() == [id]

    def active() -> bool:
        return len(json.loads(amtool(server, "alert", "query", "-o", "json"))) == 2

    wait_until(active, "what still fires at the end of the silence pages", 10)

    assert "receiver: tocsin" in amtool(server, "config", "show")
    amtool(server, "cluster", "show")
    status, _ = get(f"{server.url}/-/ready")
    assert status == 200


def test_a_key_of_somebody_else_is_refused(server: TocsinProcess) -> None:
    answer = httpx2.post(f"{server.url}/in/alertmanager/nobody/api/v2/alerts", json=[], trust_env=False)
    assert answer.status_code == 401
