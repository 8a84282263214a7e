"""What people read in a message: times in their own zone and in UTC, what broke, since when, why it is this severe."""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from tocsin.kernel.clock import Instant, to_datetime

SMS_LENGTH = 160
SUMMARY_LENGTH = 300
"""characters of what somebody wrote who declared or reported it"""
FULL = 10
"""incidents that a page tells in full; of the others, the milder ones, it gives a line each"""
NAMED = 3
"""incidents that a title names"""
DRILL = "DRILL"
"""how every message of a drill begins"""


class PageContext(msgspec.Struct):
    """What a message may say of one incident. Of a ``restricted`` one: number, severity and link only.

    ``dashboards``: addresses, the alert's own first; ``dashboard_url`` is the first of them.
    """

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
    dashboards: list[str] = []
    drill: bool = False
    fires: str = ""
    """what fires now, where the alert that gave the title is over"""
    summary: str = ""
    """what somebody wrote who declared or reported it, at most :data:`SUMMARY_LENGTH` characters"""

    @property
    def order(self) -> tuple[str, Instant, int, str]:
        """By which several are listed: the most severe first, then the oldest."""
        return self.severity, self.since, len(self.number), self.number

    @property
    def head(self) -> str:
        """Severity, number and title; of a restricted incident without the title. What fires now stands before a title that is over."""
        if self.restricted:
            return f"{self.severity} {self.number} (restricted)"
        named = f"{self.fires} (opened as: {self.title})" if self.fires else self.title
        return f"{self.severity} {self.number}: {named}"


class Notice(msgspec.Struct):
    """Something that people are told of one incident: what is said (lines of several duties), and why they hear of it."""

    context: PageContext
    said: str = ""
    reason: str = ""
    duties: bool = False
    """it reminds of what is owed"""

    @property
    def lines(self) -> list[str]:
        """What is said, line by line; nothing of a restricted incident."""
        return [] if self.context.restricted else [one for one in self.said.split("\n") if one]

    @property
    def brief(self) -> str:
        """What is said in short: of each line what comes before its colon, once, ``;`` between them."""
        if self.context.restricted:
            return "news" if self.said else ""
        lines = self.lines
        if len(lines) < 2:
            return "".join(lines)
        said = "; ".join(dict.fromkeys(one.partition(":")[0] for one in lines))
        return f"{len(lines)} duties: {said}" if self.duties else said


class Words(msgspec.Struct):
    """A finished text: ``short`` is one line for SMS and speech."""

    title: str
    text: str
    short: str
    html: str = ""


@lru_cache(maxsize=1024)
def when(instant: Instant, zone: str) -> str:
    """``03:12 CET (02:12 UTC)``; UTC alone where the zone is UTC, or where nobody knows it."""
    local, utc = to_datetime(instant, _zone(zone)), to_datetime(instant)
    if local.utcoffset() == utc.utcoffset():
        return f"{utc:%H:%M} UTC"
    return f"{local:%H:%M %Z} ({utc:%H:%M} UTC)"


def _zone(name: str) -> tzinfo:
    """A zone that cannot be read must not hold up a page."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return UTC


def page(
    contexts: Sequence[PageContext], *, zone: str, ack_url: str, also: Sequence[Notice] = ()
) -> Words:  # fmt: skip
    """A page for one incident, or one that lists all that is unacknowledged, the most severe first. ``also``: notices on the way."""
    first = contexts[0]
    title = first.head if len(contexts) == 1 else f"{first.head} and {len(contexts) - 1} more"
    blocks = [_block(context, zone) for context in contexts[:FULL]]
    if len(contexts) > FULL:
        blocks.append("\n".join(context.head for context in contexts[FULL:]))
    if also:
        blocks.append("\n".join(["Besides:", *(_line(one) for one in also)]))
    return _words(first, title, blocks, ack_url)


def notices(told: Sequence[Notice], *, zone: str) -> Words:
    """What one person is told, in one message; nobody is asked to acknowledge."""
    together = _by_incident(told)
    first = together[0]
    if len(together) == 1:
        title = _line(first)
    else:
        named = "; ".join(_named(one) for one in together[:NAMED])
        more = f" and {len(together) - NAMED} more" if len(together) > NAMED else ""
        title = f"{len(together)} incidents: {named}{more}"
    blocks = [
        "\n".join([*one.lines, *([] if one.context.restricted or not one.reason else [one.reason]), _block(one.context, zone)])
        for one in together
    ]  # fmt: skip
    return _words(first.context, title, blocks, "")


def _by_incident(told: Sequence[Notice]) -> list[Notice]:
    """One notice an incident: what is said of it, each thing once, the most severe incident first."""
    together: dict[str, Notice] = {}
    for one in sorted(told, key=lambda one: one.context.order):
        known = together.get(one.context.number)
        if known is None:
            together[one.context.number] = Notice(one.context, one.said, one.reason, one.duties)
            continue
        known.duties = known.duties and one.duties
        known.said = "\n".join(dict.fromkeys([*known.said.split("\n"), *one.said.split("\n")])).strip("\n")
        if one.reason not in known.reason:
            known.reason = "; ".join(reason for reason in (known.reason, one.reason) if reason)
    return list(together.values())


def _line(told: Notice) -> str:
    return f"{told.brief} — {told.context.head}" if told.brief else told.context.head


def _named(told: Notice) -> str:
    """One of several incidents in a title."""
    if not told.brief:
        return told.context.head
    return f"{told.context.severity} {told.context.number} {told.brief.partition(':')[0]}"


def _words(first: PageContext, title: str, blocks: list[str], ack_url: str) -> Words:
    if first.drill:
        title = f"{DRILL} {title}"
        blocks = [f"{DRILL}. This is an exercise.", *blocks]
    text = "\n\n".join(blocks) + (f"\n\nAcknowledge: {ack_url}" if ack_url else "")
    short = _fit(title, f" ACK: {ack_url}" if ack_url else f" {first.url}")
    return Words(title, text, short, _html(title, blocks, ack_url, first.url))


def _block(context: PageContext, zone: str) -> str:
    if context.restricted:
        return f"{context.head}\n{context.url}"
    lines = [
        context.head,
        f"Since {when(context.since, zone)}"
        + (f" on {', '.join(context.services)}" if context.services else ""),
        context.summary,
        f"Why {context.severity}: {context.reason}" if context.reason else "",
        f"Nearest change: {context.change}" if context.change else "",
        f"Runbook: {context.runbook_url}" if context.runbook_url else "",
        *(f"Dashboard: {url}" for url in context.dashboards or [context.dashboard_url] if url),
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
