"""The command line: thin verbs. ``tocsin serve`` starts everything; the responder's verbs talk to a server."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import httpx2
import uvicorn
from rich.console import Console
from rich.table import Table

from tocsin import __version__
from tocsin.app import DEMO_FACTOR, DEMO_KEY, Tocsin, build
from tocsin.cli_drill import drill
from tocsin.drill.library import sendings
from tocsin.kernel.clock import SECOND, to_iso
from tocsin.kernel.errors import TocsinError, UnusableMany
from tocsin.kernel.facts import from_stored, verify_chain
from tocsin.kernel.redact import mask
from tocsin.policy.load import default_policy_text, load_policy
from tocsin.settings import load_settings
from tocsin.web.server import build_app

TIMEOUT = 30
LABEL = f"Demonstration: nothing here is real, and its clock runs {DEMO_FACTOR} times as fast as yours."


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="tocsin")
def cli() -> None:
    """Tocsin: alerts come in, the right person is paged, the incident is run and resolved.

    \b
    Example:
      tocsin serve --demo
    """


def main() -> None:
    """The entry point: errors made on purpose are shown as their sentence, with exit code 2."""
    try:
        cli(standalone_mode=True)
    except UnusableMany as error:
        click.echo(mask(error.sentence), err=True)
        sys.exit(2)
    except TocsinError as error:
        click.echo(f"tocsin: {mask(error.sentence)}", err=True)
        sys.exit(2)


@cli.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on.")
@click.option("--data", help="Folder of the database and the keys.")
@click.option("--database-url", help="postgresql://… instead of SQLite.")
@click.option("--policy", help="Policy file that seeds an empty database.")
@click.option("--public-url", help="Address under which people reach Tocsin.")
@click.option("--demo", is_flag=True, default=None, help="A fictional organisation, no real channel.")
def serve(**flags: Any) -> None:
    """Web, API and engine in one process.

    \b
    Example:
      tocsin serve --data /var/lib/tocsin --public-url https://tocsin.example.com
    """
    if flags["demo"] and not flags["data"]:
        flags["data"] = "tocsin-demo-data"
    settings = load_settings(flags, os.environ)
    tocsin = build(settings)
    stop = threading.Event()
    try:
        app = build_app(
            tocsin.engine, phone=tocsin.phone if settings.demo else None, label=LABEL if settings.demo else "",
            trusted_proxies=[one.strip() for one in settings.trusted_proxies.split(",") if one.strip()], answers=tocsin.answers,
        )  # fmt: skip
        tocsin.loop.start()
        greet(tocsin)
        if settings.demo:
            threading.Thread(target=tell_story, args=(tocsin, stop), name="tocsin-story", daemon=True).start()
        # uvicorn raises the signal again once it has stopped: without a handler the store would not be closed
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,
            timeout_graceful_shutdown=3,
        )
    finally:
        stop.set()
        tocsin.close()


def greet(tocsin: Tocsin) -> None:
    """Says where to sign in, as whom, and how to send an alert."""
    notes, url = tocsin.notes, tocsin.settings.url
    click.echo(f"Tocsin {__version__} at {url}")
    if tocsin.settings.demo:
        from_ = notes.get("person", "chiara")
        click.echo(
            f"\nYou are the person on call. Sign in at {url}/sign-in\n  name      {from_}\n  password  checkout-is-burning"
        )
        click.echo(f"Then open {url}/phone: each message as it arrives; acknowledge there.")
    elif "sign_in" in notes:
        click.echo(f"\nFirst sign-in (once, within the hour): {notes['sign_in']}")
        click.echo(f"API token: {notes['token']}\nEvents v2 routing key: {notes['integration_key']}")
    if tocsin.settings.demo or "integration_key" in notes:
        click.echo("\nSend an alert:\n  " + alert_command(url, notes.get("integration_key", DEMO_KEY)))
    sys.stdout.flush()


def alert_command(url: str, key: str) -> str:
    """A command that sends an alert, to be pasted into a shell."""
    event = {
        "routing_key": key, "event_action": "trigger", "dedup_key": "search-slow",
        "payload": {"summary": "search is slow", "source": "probe-1", "severity": "warning", "component": "web"},
    }  # fmt: skip
    return f"curl -s {url}/v2/enqueue -d '{json.dumps(event)}'"


def tell_story(tocsin: Tocsin, stop: threading.Event) -> None:
    """The demonstration's story, as the scenario ``demo`` tells it: what its senders send, at the demonstration's pace."""
    told = 0
    for at, path, event in sendings("demo"):
        if stop.wait((at - told) / SECOND / DEMO_FACTOR):
            return
        told = at
        local = f"http://{tocsin.settings.host}:{tocsin.settings.port}{path}"
        answer = httpx2.post(local, json={"routing_key": DEMO_KEY, **event}, timeout=TIMEOUT)
        click.echo(f"story: {event['payload']['summary']} → {answer.status_code}")


class Server:
    """The server the responder's verbs talk to: ``TOCSIN_URL`` and ``TOCSIN_TOKEN``."""

    def __init__(self) -> None:
        self.url = os.environ.get("TOCSIN_URL", "http://127.0.0.1:8080").rstrip("/")
        self.token = os.environ.get("TOCSIN_TOKEN", "")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; ends the command with the server's sentence when it refuses."""
        if not self.token:
            raise click.ClickException("set TOCSIN_TOKEN to an API token (and TOCSIN_URL to the server)")
        try:
            answer = httpx2.request(
                method,
                self.url + path,
                json=body,
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=TIMEOUT,
            )
        except httpx2.HTTPError as error:
            raise click.ClickException(f"{self.url} does not answer: {mask(str(error))}") from None
        if answer.status_code >= 400:
            raise click.ClickException(
                answer.json().get("detail", f"the server answered {answer.status_code}")
            )
        return answer.json()


def show(value: Any, as_json: bool, table: Callable[[Any], Table | str]) -> None:
    """Prints JSON for programs or a table for people."""
    if as_json:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        Console().print(table(value))


def said(answer: dict[str, Any]) -> str:
    """One line about an incident."""
    return f"{answer['number']}  {answer['severity']}  {answer['status']}"


as_json = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")


@cli.command("list")
@click.option("--all", "everything", is_flag=True, help="Ended ones too.")
@as_json
def list_incidents(everything: bool, as_json: bool) -> None:
    """Open incidents, newest first.

    \b
    Example:
      tocsin list --json
    """

    def table(value: Any) -> Table:
        made = Table("Incident", "Severity", "Status", "Since", "Title")
        for row in value["incidents"]:
            made.add_row(row["name"], row["severity"], row["status"], row["opened_at"], row["title"])
        return made

    show(Server().ask("GET", "/api/v1/incidents" + ("" if everything else "?open=true")), as_json, table)


@cli.command()
@click.argument("title")
@click.option("--severity", default="", help="P1 to P4; proposed from the facts when left out.")
@click.option("--service", "services", multiple=True, help="Service affected.")
@as_json
def declare(title: str, severity: str, services: tuple[str, ...], as_json: bool) -> None:
    """Declare an incident.

    \b
    Example:
      tocsin declare "checkout is down" --severity P1 --service checkout
    """
    show(
        Server().ask(
            "POST", "/api/v1/incidents", {"title": title, "severity": severity, "services": list(services)}
        ),
        as_json,
        said,
    )


def send(incident: str, verb: str, body: dict[str, Any], as_json: bool) -> None:
    """Sends a command about an incident and prints how it stands."""
    path = f"/api/v1/incidents/{urllib.parse.quote(incident, safe='')}/commands/{verb}"
    show(Server().ask("POST", path, body), as_json, said)


@cli.command()
@click.argument("incident")
@as_json
def ack(incident: str, as_json: bool) -> None:
    """Acknowledge: "I have it".

    \b
    Example:
      tocsin ack INC-7
    """
    send(incident, "acknowledge", {}, as_json)


@cli.command()
@click.argument("incident")
@click.argument("text")
@as_json
def update(incident: str, text: str, as_json: bool) -> None:
    """Post an update.

    \b
    Example:
      tocsin update INC-7 "rolled back, errors are falling"
    """
    send(incident, "update", {"text": text}, as_json)


@cli.command()
@click.argument("incident")
@click.argument("role")
@click.argument("person")
@as_json
def role(incident: str, role: str, person: str, as_json: bool) -> None:
    """Give or hand over a role.

    \b
    Example:
      tocsin role INC-7 incident_commander jonas
    """
    send(incident, "assign_role", {"role": role, "person": person}, as_json)


@cli.command()
@click.argument("incident")
@click.option("--reason", default="", help="What resolved it.")
@as_json
def resolve(incident: str, reason: str, as_json: bool) -> None:
    """Resolve an incident.

    \b
    Example:
      tocsin resolve INC-7 --reason "rolled back"
    """
    send(incident, "move", {"to": "resolve", "reason": reason}, as_json)


@cli.command()
@click.argument("incident")
@as_json
def timeline(incident: str, as_json: bool) -> None:
    """What happened, in order.

    \b
    Example:
      tocsin timeline INC-7
    """

    def table(value: Any) -> Table:
        made = Table("At", "What", "Who")
        for one in value["timeline"]:
            made.add_row(one["at"], one["text"], one["who"])
        return made

    show(
        Server().ask("GET", f"/api/v1/incidents/{urllib.parse.quote(incident, safe='')}/timeline"),
        as_json,
        table,
    )


@cli.group()
def policy() -> None:
    """Read and check the policy file."""


@policy.command("show")
def policy_show() -> None:
    """Print the default policy.

    \b
    Example:
      tocsin policy show > policy.yaml
    """
    click.echo(default_policy_text(), nl=False)


@policy.command("check")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=False)
def policy_check(file: Path | None) -> None:
    """Check a policy file: 0 clean, 2 unusable.

    \b
    Example:
      tocsin policy check policy.yaml
    """
    load_policy(
        file.read_text(encoding="utf-8") if file else default_policy_text(),
        str(file) if file else "the default policy",
    )
    click.echo(f"{file or 'the default policy'} is a policy that can be used")


@cli.command()
@click.argument("export", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def verify(export: Path) -> None:
    """Check an exported incident offline: every hash, in order.

    \b
    Example:
      tocsin verify INC-7.jsonl
    """
    facts = []
    for number, text in enumerate(export.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(text)
            body = row["body"].encode() if row["body"] is not None else None
            facts.append(from_stored(row["header"].encode(), body, bytes.fromhex(row["hash"]), number))
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise click.ClickException(f"{export}:{number}: this line is no exported fact: {error}") from None
    flaw = verify_chain(facts)
    if flaw is not None:
        raise click.ClickException(f"does not fit: {flaw}")
    click.echo(
        f"{len(facts)} facts, unbroken from the first to {to_iso(facts[-1].recorded_at) if facts else 'the last'}"
    )


cli.add_command(drill)

if __name__ == "__main__":
    main()
