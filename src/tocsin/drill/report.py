"""The report of a drill: a table for people, JSON for programs. The same result gives the same bytes."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import msgspec

from tocsin.drill.runner import Owed, Result
from tocsin.incidents.wording import post_label
from tocsin.kernel.clock import HOUR, MINUTE, SECOND, humanize, to_datetime, to_iso
from tocsin.oncall.walltime import zone_of

WIDTH = 118


def clock_text(since_start: int) -> str:
    """``0:07:30`` or ``26:00:00``: hours, minutes and seconds since the start."""
    sign = "-" if since_start < 0 else ""
    value = abs(since_start)
    return f"{sign}{value // HOUR}:{value // MINUTE % 60:02}:{value // SECOND % 60:02}"


def table(result: Result) -> str:
    """What happened in order of time, what was owed, and the verdict on each expectation."""
    start = to_datetime(result.start, zone_of(result.zone))
    lines = [f"Drill {result.scenario}: {result.title}"]
    lines.append(
        f"starts {start:%A %Y-%m-%d %H:%M} {result.zone} ({to_iso(result.start)}), lasts {humanize(result.ended)}"
    )
    lines += ["", f"{'since start':>11}  {'incident':<8}  what happened"]
    for event in result.events:
        mark = "» " if event.kind == "drill" else ""
        lines += _row(clock_text(event.at), event.incident, mark + event.text)
    lines += ["", f"{'due':>11}  {'incident':<8}  owed"]
    for owed in result.owed:
        lines += _row(clock_text(owed.due), owed.incident, _owed(owed))
    lines += ["", "Incidents"]
    for one in result.incidents:
        holder = f"; held by {one['holder']}" if one["holder"] else "; nobody holds it"
        lines.append(f"  {one['number']}  {one['severity']}  {one['status']}  {one['title']}{holder}")
    lines += ["", "Expected"]
    for verdict in result.verdicts:
        sign = "met   " if verdict.ok else "NOT MET"
        lines += textwrap.wrap(
            f"  {sign:<8} {verdict.text} — {verdict.found}" + ("" if verdict.ok else f" ({verdict.where})"),
            WIDTH, subsequent_indent=" " * 11,
        )  # fmt: skip
    failed = sum(1 for verdict in result.verdicts if not verdict.ok)
    total = len(result.verdicts)
    lines += ["", f"{total - failed} of {total} expectations met" + ("" if failed else ": as it should be")]
    return "\n".join(lines) + "\n"


def _row(at: str, incident: str, text: str) -> list[str]:
    head = f"{at:>11}  {incident if len(incident) <= 8 else 'several':<8}  "
    return textwrap.wrap(
        " ".join(text.split()), WIDTH, initial_indent=head, subsequent_indent=" " * len(head)
    ) or [head]


def _owed(owed: Owed) -> str:
    what = f"{owed.label} ({post_label(owed.owner)})"
    match owed.state:
        case "moot":
            return f"{what}: ended with the incident"
        case "met":
            return f"{what}: met at {clock_text(owed.met_at or 0)}"
        case "met_late":
            return f"{what}: MISSED, met late at {clock_text(owed.met_at or 0)}"
        case "missed":
            return f"{what}: MISSED"
        case "waived":
            return f"{what}: waived"
    return f"{what}: still running at the end"


def as_json(result: Result) -> str:
    """The result for programs. Times are microseconds since the start; ``start`` is RFC 3339."""
    value: dict[str, Any] = {
        "scenario": result.scenario,
        "title": result.title,
        "start": to_iso(result.start),
        "zone": result.zone,
        "lasts": result.ended,
        "met": result.met,
        "expectations": [msgspec.to_builtins(one) for one in result.verdicts],
        "events": [msgspec.to_builtins(one) for one in result.events],
        "owed": [msgspec.to_builtins(one) for one in result.owed],
        "incidents": result.incidents,
    }
    return json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
