"""What people read in a message: times in their own zone and in UTC, what broke, since when, why it is this severe."""

from __future__ import annotations

import html
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import msgspec

from tocsin.kernel.clock import Instant, to_datetime

SMS_LENGTH = 160


class PageContext(msgspec.Struct):
    """What a message may say of one incident. Of a ``restricted`` one: number, severity and link only."""

    number: str
    severity: str
    url: str
    title: str = ""
    since: Instant = 0
    reason: str = ""
    services: list[str] = []
    change: str = ""
    sender_url: str = ""
    runbook_url: str = ""
    dashboard_url: str = ""
    alerts: int = 0
    restricted: bool = False


class Words(msgspec.Struct):
    """A finished text: ``short`` is one line for SMS and speech."""

    title: str
    text: str
    short: str
    html: str = ""


def when(instant: Instant, zone: str) -> str:
    """``03:12 CET (02:12 UTC)``; the zone's own time alone where it is UTC."""
    local, utc = to_datetime(instant, ZoneInfo(zone)), to_datetime(instant)
    if local.utcoffset() == utc.utcoffset():
        return f"{utc:%H:%M} UTC"
    return f"{local:%H:%M %Z} ({utc:%H:%M} UTC)"


def page(contexts: Sequence[PageContext], *, zone: str, ack_url: str) -> Words:
    """A page for one incident, or one that lists all that is unacknowledged."""
    first = contexts[0]
    head = f"{first.severity} {first.number}" + (f": {first.title}" if not first.restricted else "")
    title = head if len(contexts) == 1 else f"{head} and {len(contexts) - 1} more"
    blocks = [_block(context, zone) for context in contexts]
    text = "\n\n".join(blocks) + (f"\n\nAcknowledge: {ack_url}" if ack_url else "")
    short = _fit(f"{title}", f" ACK: {ack_url}" if ack_url else f" {first.url}")
    return Words(title, text, short, _html(title, blocks, ack_url, first.url))


def notice(context: PageContext, said: str, reason: str, *, zone: str) -> Words:
    """A notice: nobody is asked to acknowledge."""
    head = f"{context.severity} {context.number}" + (f": {context.title}" if not context.restricted else "")
    title = f"{said} — {head}" if said else head
    blocks = [
        "\n".join(
            part for part in (said, reason if not context.restricted else "", _block(context, zone)) if part
        )
    ]
    return Words(title, blocks[0], _fit(title, f" {context.url}"), _html(title, blocks, "", context.url))


def _block(context: PageContext, zone: str) -> str:
    if context.restricted:
        return f"{context.severity} {context.number} (restricted)\n{context.url}"
    lines = [
        f"{context.severity} {context.number}: {context.title}",
        f"Since {when(context.since, zone)}"
        + (f" on {', '.join(context.services)}" if context.services else ""),
        f"Why {context.severity}: {context.reason}" if context.reason else "",
        f"Nearest change: {context.change}" if context.change else "",
        f"Runbook: {context.runbook_url}" if context.runbook_url else "",
        f"Dashboard: {context.dashboard_url}" if context.dashboard_url else "",
        f"Source: {context.sender_url}" if context.sender_url else "",
        f"Incident: {context.url}",
    ]
    return "\n".join(line for line in lines if line)


def _fit(head: str, tail: str) -> str:
    room = SMS_LENGTH - len(tail)
    return (head if len(head) <= room else head[: max(0, room - 1)] + "…") + tail


def _html(title: str, blocks: Sequence[str], ack_url: str, url: str) -> str:
    parts = [
        f"<h2>{html.escape(title)}</h2>",
        *(f"<pre style='font:inherit;white-space:pre-wrap'>{html.escape(block)}</pre>" for block in blocks),
    ]
    if ack_url:
        parts.append(f"<p><a href='{html.escape(ack_url)}' style='font-size:1.2em'>Acknowledge</a></p>")
    parts.append(f"<p><a href='{html.escape(url)}'>Open the incident</a></p>")
    return "\n".join(parts)
