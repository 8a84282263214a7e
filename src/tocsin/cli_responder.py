"""The responder's verbs, against a server: ``TOCSIN_URL`` and ``TOCSIN_TOKEN``. Tables for people, ``--json`` for programs."""

from __future__ import annotations

import json
import os
import sys
import urllib.parse
from collections.abc import Callable
from typing import Any

import click
import httpx2
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tocsin.incidents.wording import duty_label, post_label
from tocsin.kernel.redact import mask
from tocsin.settings import OF_THE_CLIENT, load_settings

TIMEOUT = 30
PIPED_WIDTH = 2000
"""columns where no terminal says how many it has"""


ENVIRONMENT = "\n\n".join(
    ["Environment:", *(f"{name}: {meaning.replace('`', '').replace('*', '')}." for name, meaning in OF_THE_CLIENT.items())]
)  # fmt: skip
"""the end of the help of each command that asks a server"""


class Server:
    """The server the responder's verbs talk to: ``TOCSIN_URL`` and ``TOCSIN_TOKEN``.

    Without the first the one that the settings name, as beside a service and its variables; raises :class:`Unusable` where
    these cannot be read. Every error names the address that was asked.
    """

    def __init__(self) -> None:
        self.url = (os.environ.get("TOCSIN_URL") or load_settings({}, os.environ).url).rstrip("/")
        self.token = os.environ.get("TOCSIN_TOKEN", "")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's JSON; ends the command with the server's sentence when it refuses."""
        text = self.text(method, path, body)
        try:
            return json.loads(text)
        except ValueError:
            raise self._fault("what answers there is not Tocsin; set TOCSIN_URL to its address") from None

    def text(self, method: str, path: str, body: Any = None) -> str:
        """The answer as it came; ends the command with the server's sentence when it refuses."""
        if not self.token:
            raise self._fault("set TOCSIN_TOKEN to an API token of this server, or TOCSIN_URL to another")
        try:
            answer = httpx2.request(
                method,
                self.url + path,
                json=body,
                headers={"Authorization": f"Bearer {self.token}"},
                timeout=TIMEOUT,
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise self._fault(f"it does not answer: {error}; set TOCSIN_URL where it is another") from None
        if answer.status_code >= 400:
            raise self._fault(_refusal(answer))
        return answer.text

    def _fault(self, sentence: str) -> click.ClickException:
        return click.ClickException(mask(f"{self.url}: {sentence}"))


def _refusal(answer: httpx2.Response) -> str:
    """The sentence of a problem document, or the bare status where the answer is none (a proxy's page, say)."""
    try:
        told = answer.json()
    except ValueError:
        told = None
    detail = told.get("detail") if isinstance(told, dict) else None
    return str(detail or f"the server answered {answer.status_code}")


def show(value: Any, as_json: bool, table: Callable[[Any], Table | str]) -> None:
    """Prints JSON for programs or a table for people."""
    if as_json:
        click.echo(json.dumps(value, indent=2, ensure_ascii=False))
    else:
        write(table(value))


def write(shown: Table | str) -> None:
    """Prints a table or a line. Nothing is cut: a terminal wraps, a pipe or a file gets lines as long as they are."""
    if isinstance(shown, str):
        click.echo(shown)
        return
    for column in shown.columns:
        column.overflow = "fold"
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    Console(width=width, file=sys.stdout, markup=True).print(shown)


def when(instant: str | None) -> str:
    """An instant of the API for a table: to the second."""
    return f"{instant[:10]} {instant[11:19]}Z" if instant else ""


def stands(answer: dict[str, Any]) -> str:
    """How an incident stands after a command, in words."""
    return f"{answer['number']} is {answer['severity']} and {answer['status'].replace('_', ' ')}"


def declared(answer: dict[str, Any]) -> str:
    """What declaring did."""
    return f"{answer['number']} is declared as {answer['severity']}: {answer['status'].replace('_', ' ')}"


def add(table: Table, *cells: str) -> None:
    """A row; what comes from a server is shown as it is, never read as markup."""
    table.add_row(*(escape(cell) for cell in cells))


as_json = click.option("--json", "as_json", is_flag=True, help="JSON for programs.")


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Ended ones too.")
@as_json
def list_incidents(everything: bool, as_json: bool) -> None:
    """Open incidents, newest first.

    \b
    Example:
      tocsin list --json
    """

    def table(value: Any) -> Table | str:
        if not value["incidents"]:
            return "There is no incident that you may see." if everything else "No incident is open."
        made = Table("Incident", "Severity", "Status", "Since", "Title")
        for row in value["incidents"]:
            add(made, row["name"], row["severity"], row["status"], when(row["opened_at"]), row["title"])
        return made

    show(Server().ask("GET", "/api/v1/incidents" + ("" if everything else "?open=true")), as_json, table)


@click.command()
@click.argument("title")
@click.option("--severity", default="", help="P1 to P4; proposed from the facts when left out.")
@click.option("--service", "services", multiple=True, help="Service affected.")
@click.option("--drill", is_flag=True, help="An exercise: people are paged, and every message says so.")
@as_json
def declare(title: str, severity: str, services: tuple[str, ...], drill: bool, as_json: bool) -> None:
    """Declare an incident.

    \b
    Example:
      tocsin declare "checkout is down" --severity P1 --service checkout
      tocsin declare "the primary database is gone" --severity P1 --drill
    """
    wanted = {"title": title, "severity": severity, "services": list(services), "drill": drill}
    show(Server().ask("POST", "/api/v1/incidents", wanted), as_json, declared)


def send(
    incident: str, verb: str, body: dict[str, Any], as_json: bool, said: Callable[[dict[str, Any]], str] = stands
) -> None:  # fmt: skip
    """Sends a command about an incident and prints what happened."""
    path = f"/api/v1/incidents/{urllib.parse.quote(incident, safe='')}/commands/{verb}"
    show(Server().ask("POST", path, body), as_json, said)


@click.command()
@click.argument("incident")
@as_json
def ack(incident: str, as_json: bool) -> None:
    """Acknowledge: "I have it".

    \b
    Example:
      tocsin ack INC-7
    """

    def said(answer: dict[str, Any]) -> str:
        message = str(answer.get("message", ""))
        return (
            f"{message}; {stands(answer)}"
            if message.endswith("already")
            else f"You have it: {stands(answer)}"
        )

    send(incident, "acknowledge", {}, as_json, said)


@click.command()
@click.argument("incident")
@click.argument("text")
@as_json
def update(incident: str, text: str, as_json: bool) -> None:
    """Post an update.

    \b
    Example:
      tocsin update INC-7 "rolled back, errors are falling"
    """
    send(incident, "update", {"text": text}, as_json, lambda one: f"Posted: {stands(one)}")


@click.command()
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

    def said(answer: dict[str, Any]) -> str:
        return f"{person} is {role.replace('_', ' ')} of {answer['number']}"

    send(incident, "assign_role", {"role": role, "person": person}, as_json, said)


@click.command()
@click.argument("incident")
@click.option("--reason", default="", help="What resolved it.")
@click.option(
    "--override", default="", help="The commander's reason to go on although a check of recovery is missing."
)
@as_json
def resolve(incident: str, reason: str, override: str, as_json: bool) -> None:
    """Resolve an incident, once its recovery is validated (tocsin do INC-7 validate kind=functional outcome=passed).

    \b
    Example:
      tocsin resolve INC-7 --reason "rolled back"
    """
    send(incident, "move", {"to": "resolve", "reason": reason, "override": override}, as_json)


@click.command()
@click.argument("incident")
@as_json
def timeline(incident: str, as_json: bool) -> None:
    """What happened, in order.

    \b
    Example:
      tocsin timeline INC-7
    """

    def table(value: Any) -> Table:
        made = Table("No.", "At", "What", "Who")
        for one in value["timeline"]:
            add(made, str(one["version"]), when(one["at"]), one["text"], one["who"])
        return made

    show(
        Server().ask("GET", f"/api/v1/incidents/{urllib.parse.quote(incident, safe='')}/timeline"),
        as_json,
        table,
    )


def _quoted(text: str) -> str:
    return urllib.parse.quote(text, safe="")


@click.command()
@click.argument("incident")
@click.argument("text")
@as_json
def note(incident: str, text: str, as_json: bool) -> None:
    """Add a note to the timeline.

    \b
    Example:
      tocsin note INC-7 "the replica lags by two minutes"
    """
    send(incident, "note", {"text": text}, as_json, lambda one: f"Noted on the timeline of {one['number']}")


@click.command()
@click.argument("incident")
@click.argument("fact")
@click.option("--reason", required=True, help="Why; it stands on the timeline.")
@as_json
def redact(incident: str, fact: str, reason: str, as_json: bool) -> None:
    """Take the words out of one fact: a password that was pasted, somebody's data. For owners.

    FACT is the number that `tocsin timeline` shows, or the fact's id. Copies of the words go with it: in other facts, in
    messages that are kept or wait, in alerts. Times, people and severities stay, and so does the proof that nothing else
    was changed. What has left cannot be called back. INCIDENT may be an action item (ACT-3) too.

    \b
    Example:
      tocsin redact INC-7 12 --reason "a password was pasted"
    """
    send(
        incident,
        "redact",
        {"fact": fact, "reason": reason},
        as_json,
        lambda one: f"{one['number']}: {one['message']}",
    )


@click.command()
@click.argument("incident")
@click.argument("severity")
@click.option("--reason", default="", help="Why; needed for lowering.")
@as_json
def severity(incident: str, severity: str, reason: str, as_json: bool) -> None:
    """Raise, lower or confirm the severity.

    \b
    Example:
      tocsin severity INC-7 P1 --reason "nobody can pay"
    """
    send(incident, "severity", {"severity": severity, "reason": reason}, as_json)


@click.command()
@click.argument("incident")
@click.argument("targets", nargs=-1, required=True)
@click.option("--reason", default="", help="Why.")
@as_json
def page(incident: str, targets: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Page a person, a role or a team at once.

    \b
    Example:
      tocsin page INC-7 architect --reason "who knows the old schema?"
    """
    named = ", ".join(targets)
    send(
        incident,
        "page",
        {"targets": list(targets), "reason": reason},
        as_json,
        lambda one: f"{named}: paged for {one['number']}",
    )


@click.command()
@click.argument("incident")
@click.argument("text")
@click.option("--owner", default="", help="Who does it.")
@as_json
def task(incident: str, text: str, owner: str, as_json: bool) -> None:
    """Add a task.

    \b
    Example:
      tocsin task INC-7 "fail over to the replica" --owner dmitri
    """
    send(
        incident,
        "task_add",
        {"text": text, "owner": owner},
        as_json,
        lambda one: f"Added to the tasks of {one['number']}",
    )


@click.command()
@click.argument("incident")
@click.argument("into")
@click.option("--reason", default="", help="Why they are one.")
@as_json
def merge(incident: str, into: str, reason: str, as_json: bool) -> None:
    """Merge an incident into another.

    \b
    Example:
      tocsin merge INC-8 INC-7 --reason "same cause"
    """
    send(
        incident,
        "merge",
        {"into": into, "reason": reason},
        as_json,
        lambda one: f"{incident} goes on as {stands(one)}",
    )


MOVES = ("investigate", "identify", "monitor", "resolve", "close", "reopen", "false_alarm")
"""what people say where the verb is *move*"""


@click.command("do")
@click.argument("incident")
@click.argument("verb")
@click.argument("fields", nargs=-1)
@as_json
def do(incident: str, verb: str, fields: tuple[str, ...], as_json: bool) -> None:
    """Any other verb of the API, with its fields as NAME=VALUE. A status may stand for the move to it.

    \b
    Example:
      tocsin do INC-7 protocol step=mitigate how="rolled back"
      tocsin do INC-7 false_alarm reason="a test that nobody announced"
    """
    body = pairs(fields)
    if verb in MOVES:
        verb, body = "move", {"to": verb} | body
    send(incident, verb, body, as_json)


def pairs(fields: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE as the fields of a command: true and false are such, [a] and {a} are JSON, all else is text."""
    body: dict[str, Any] = {}
    for field in fields:
        name, equals, value = field.partition("=")
        if not equals:
            raise click.UsageError(f"{field!r} is no field; write NAME=VALUE")
        body[name] = value
        if value in ("true", "false"):
            body[name] = value == "true"
        elif value[:1] in ("[", "{"):
            try:
                body[name] = json.loads(value)
            except ValueError:
                raise click.UsageError(f"{name} looks like JSON and is none: {value[:60]}") from None
    return body


@click.command()
@click.argument("incident", required=False)
@as_json
def duties(incident: str | None, as_json: bool) -> None:
    """What is owed for INCIDENT, by whom, by when, and how it stands; without one, what you owe in all that are open.

    \b
    Example:
      tocsin duties
      tocsin duties INC-7
    """

    def table(value: Any) -> Table | str:
        if not value["duties"]:
            return f"Nothing is owed for {incident}." if incident else "You owe nothing."
        made = Table(*([] if incident else ["Incident"]), "Owed", "By", "Due", "State")
        for one in value["duties"]:
            add(
                made,
                *([] if incident else [one["incident"]]),
                duty_label(one["rule"], one["id"]),
                post_label(one["owner"]),
                when(one["due"]),
                one["state"].replace("_", " "),
            )
        return made

    path = f"/api/v1/incidents/{_quoted(incident)}/duties" if incident else "/api/v1/duties"
    show(Server().ask("GET", path), as_json, table)


@click.command()
@click.option("--at", default="", help="An instant such as 2026-03-03T02:00:00Z; now when left out.")
@as_json
def oncall(at: str, as_json: bool) -> None:
    """Who is on call.

    \b
    Example:
      tocsin oncall --at 2026-12-24T20:00:00Z
    """

    def table(value: Any) -> Table | str:
        if not value["on_call"]:
            return "Nobody is on call: there is no schedule."
        made = Table("Schedule", "Position", "Person", "Until")
        for one in value["on_call"]:
            if one["position"] == "primary" or one["person"]:
                add(made, one["name"], one["position"], one["person"] or "nobody", when(one["until"]))
        return made

    show(Server().ask("GET", "/api/v1/oncall" + (f"?at={_quoted(at)}" if at else "")), as_json, table)


@click.command()
@click.argument("incident")
def export(incident: str) -> None:
    """Print an incident with all its facts, head and seals; ``tocsin verify`` checks it offline.

    \b
    Example:
      tocsin export INC-7 > INC-7.jsonl
    """
    click.echo(Server().text("GET", f"/api/v1/incidents/{_quoted(incident)}/export"), nl=False)


COMMANDS = (
    list_incidents,
    declare,
    ack,
    update,
    role,
    resolve,
    timeline,
    redact,
    note,
    severity,
    page,
    task,
    merge,
    do,
    duties,
    oncall,
    export,
)
