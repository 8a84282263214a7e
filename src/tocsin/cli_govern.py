"""Afterwards, against a server: action items, figures, and applying a policy after its difference was seen."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from tocsin.cli_policy import policy, read_text
from tocsin.cli_responder import ENVIRONMENT, Server, add, as_json, pairs, show, when
from tocsin.incidents.wording import duty_label
from tocsin.kernel.clock import DAY, SystemClock, to_iso

MOST_SHOWN = 20


def _seconds(value: int | None) -> str:
    """A length for a table."""
    if value is None:
        return ""
    hours, rest = divmod(value, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}"


@click.command()
@click.option("--all", "everything", is_flag=True, help="Those that are over too.")
@as_json
def actions(everything: bool, as_json: bool) -> None:
    """Action items: who owes what by when, and what came back although it was mended.

    \b
    Example:
      tocsin actions
    """
    found = Server().ask("GET", "/api/v1/actions" + ("" if everything else "?open=true"))

    def table(value: dict[str, Any]) -> Table | str:
        if not value["actions"]:
            return "no action items" if everything else "no open action items"
        shown = Table("item", "status", "owner", "due", "what", "from", "came back as")
        for one in value["actions"]:
            add(
                shown, one["number"], one["status"], one["owner"], when(one["due"]), one["text"], one["incident"], ", ".join(one["recurred"])
            )  # fmt: skip
        return shown

    show(found, as_json, table)


@click.command()
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True, help="How many changes.")
@as_json
def journal(limit: int, as_json: bool) -> None:
    """Who changed which schedule, team, route or person, the newest first; for owners.

    \b
    Example:
      tocsin journal --limit 20
    """
    found = Server().ask("GET", f"/api/v1/journal?limit={limit}")

    def table(value: dict[str, Any]) -> Table | str:
        if not value["entries"]:
            return "nothing was changed yet"
        shown = Table("when", "who", "did", "what", "changed")
        for one in value["entries"]:
            what = one["name"] or one["about"]
            add(
                shown,
                when(one["at"]),
                one["by"],
                one["verb"].replace("_", " "),
                what,
                "\n".join(one["changed"]),
            )
        return shown

    show(found, as_json, table)


@click.command()
@click.argument("item")
@click.argument("verb", type=click.Choice(["report", "change", "done", "verify", "drop"]))
@click.argument("fields", nargs=-1, metavar="[NAME=VALUE]...")
@as_json
def action(item: str, verb: str, fields: tuple[str, ...], as_json: bool) -> None:
    """Move an action item: report text=…, done note=…, verify how=… passed=false, change reason=… owner=… due=…, drop reason=….

    \b
    Example:
      tocsin action ACT-3 report text="half done, waiting for the vendor"
      tocsin action ACT-3 verify how="the alarm came after 40 s"
    """
    done = Server().ask("POST", f"/api/v1/actions/{item}/commands/action_{verb}", pairs(fields))
    show(done, as_json, lambda value: f"{value['number']} is {value['status']}")


@click.command()
@click.option("--days", type=click.IntRange(1, 3650), default=90, show_default=True, help="How far back.")
@as_json
def figures(days: int, as_json: bool) -> None:
    """How promises were kept, by severity, and what each type of incident is judged by.

    \b
    Example:
      tocsin figures --days 30
    """
    start = to_iso(SystemClock().now() - days * DAY)
    found = Server().ask("GET", f"/api/v1/figures?from={start}")

    def table(value: dict[str, Any]) -> Table | str:
        shown = Table(
            "severity",
            "promise",
            "met",
            "missed",
            "waived",
            "running",
            "kept",
            "late in the middle",
            "late at worst",
        )
        for one in value["attainment"]:
            share = "" if one["met_permille"] is None else f"{one['met_permille'] / 10:g} %"
            add(
                shown, one["severity"], one["rule"], str(one["met"]), str(one["missed"]), str(one["waived"]), str(one["running"]), share,
                _seconds(one["median_late_seconds"]), _seconds(one["worst_late_seconds"]),
            )  # fmt: skip
        for kind, one in value["types"].items():
            said = f"{one['value']} {one['unit']}" if one["value"] else one["missing"]
            add(shown, "", f"{kind}: {one['metric'].replace('_', ' ')}", said)
        return shown if value["incidents"] else f"no incidents in {days} days"

    show(found, as_json, table)


@click.command()
@click.argument("incident")
@as_json
def score(incident: str, as_json: bool) -> None:
    """How each promise of an incident was kept, and its primary metric.

    \b
    Example:
      tocsin score INC-7
    """
    found = Server().ask("GET", f"/api/v1/incidents/{incident}/score")

    def table(value: dict[str, Any]) -> Table:
        shown = Table("promise", "at", "due", "kept", "late")
        for one in value["duties"]:
            late = _seconds(one["late_seconds"]) if one["late_seconds"] else ""
            add(
                shown,
                duty_label(one["rule"], one["id"]),
                one["severity"],
                when(one["due"]),
                one["state"],
                late,
            )
        return shown

    show(found, as_json, table)


@policy.command("apply", epilog=ENVIRONMENT)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--adopt", is_flag=True, help="Move open incidents to it too; each duty's change is shown first."
)
@click.option("--force", is_flag=True, help="Apply it despite findings; needs --reason.")
@click.option("--reason", default="", help="Why it is applied despite findings.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def policy_apply(file: Path, adopt: bool, force: bool, reason: str, yes: bool) -> None:
    """Put FILE in force on a running server, after showing what it changes: 0 applied, 1 findings or declined, 2 unusable.

    \b
    Example:
      tocsin policy apply policy.yaml
      tocsin policy apply policy.yaml --adopt --force --reason "we answer slower in August"
    """
    if force and not reason.strip():
        raise click.UsageError("--force needs --reason")
    text, server = read_text(file, "policy"), Server()
    try:
        seen = server.ask("POST", "/api/v1/policy/preview", {"text": text})
    except click.ClickException as error:
        raise _unusable(error, file) from None
    if seen["same"]:
        click.echo("this version is in force already")
    _show("What changes for people", seen["changes"] or ([] if seen["same"] else ["nothing"]))
    _show("Words that people read", seen["words"])
    for one in seen["adoptions"] if adopt else ():
        _show(f"{one['incident']} would change", one["changes"])
    _show("What is wrong with it", [_in_file(one, file) for one in seen["findings"]])
    if seen["findings"] and not force:
        click.echo("not applied: mend it, or give --force --reason TEXT", err=True)
        sys.exit(1)
    if seen["same"] and not adopt:
        return
    if not yes and not click.confirm(f"Put version {seen['version']} in force?", default=False):
        click.echo("not applied", err=True)
        sys.exit(1)
    body = {"text": text, "before": seen["before"], "adopt": adopt, "force": reason if force else ""}
    done = server.ask("PUT", "/api/v1/policy", body)
    moved = f"; moved: {', '.join(done['adopted'])}" if done["adopted"] else ""
    click.echo(f"version {done['version']} is in force{moved}")


class UnusableText(click.ClickException):
    """A policy that the server cannot read."""

    exit_code = 2


def _in_file(sentence: str, file: Path) -> str:
    """A server knows the text alone, and names its lines ``policy.yaml:58``."""
    return re.sub(r"(?m)(^|(?<= ))policy\.yaml(?=:\d)", lambda _: str(file), sentence)


def _unusable(error: click.ClickException, file: Path) -> click.ClickException:
    """What the server says of a text that cannot be used, in the name of its file; other refusals as they are."""
    said = _in_file(error.message, file)
    return error if said == error.message else UnusableText(said)


def _show(head: str, sentences: list[str]) -> None:
    if sentences:
        click.echo(f"{head}:")
        for one in sentences[:MOST_SHOWN]:
            click.echo(f"  {one}")
        if len(sentences) > MOST_SHOWN:
            click.echo(f"  and {len(sentences) - MOST_SHOWN} more")


@policy.command("review", epilog=ENVIRONMENT)
@click.argument("note")
@as_json
def policy_review(note: str, as_json: bool) -> None:
    """Record that the policy was reviewed, with what was found; the next review counts from now.

    \b
    Example:
      tocsin policy review "the rhythm of P2 goes to 45 minutes"
    """
    done = Server().ask("POST", "/api/v1/policy/commands/policy_review", {"note": note})
    show(done, as_json, lambda value: f"{value['number']} is {value['status']}")


COMMANDS = (actions, action, figures, journal, score)
