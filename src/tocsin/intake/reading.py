"""What the parsers share: careful reading of what strangers send.

A parser answers with :class:`~tocsin.alerts.shape.Parsed` or raises :class:`~tocsin.kernel.errors.Unusable`; nothing else
leaves it, whatever the bytes were.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from tocsin.alerts.shape import MAX_LINKS, MAX_URL, Link, clip
from tocsin.kernel.clock import LATEST, SECOND, Instant, parse_instant
from tocsin.kernel.codec import decode_foreign
from tocsin.kernel.errors import Unusable
from tocsin.kernel.redact import shown

SERVICE_LABELS = ("service", "service_name", "service.name", "app", "application", "component")
"""Labels that name a service, the most telling first."""

SOURCE_LABELS = ("instance", "host", "hostname", "node", "pod", "source", "job", "namespace")
"""Labels that name the thing that is in trouble."""

_CLOCK = re.compile(r"\d[tT ]\d")
_ZONE = re.compile(r"(?:[zZ]|[+-]\d{2}(?::?\d{2})?)$")


def json_object(body: bytes, what: str = "the body", *, mends_nul: bool = False) -> dict[str, Any]:
    """The JSON object that ``body`` is; raises :class:`Unusable`. ``mends_nul``: see :func:`decode_foreign`."""
    value = decode_foreign(body, what=what, mends_nul=mends_nul)
    if not isinstance(value, dict):
        raise Unusable(f"{what} is not a JSON object; send one in braces", "$")
    return value


@lru_cache(maxsize=8192)
def any_instant(text: str) -> Instant:
    """RFC 3339 to an instant; times before 1970 (year 1 is Go's "not set") are 0. Raises :class:`Unusable`."""
    return max(0, parse_instant(text))


def instant(text: str) -> Instant:
    """The same, and what lies beyond 2100 ("never") is the last moment before it."""
    return min(any_instant(text), LATEST - 1)


def in_a_zone(text: str) -> str:
    """A time of day that names no zone is UTC's: Python's ``utcnow().isoformat()`` writes such."""
    return f"{text}Z" if _CLOCK.search(text) and not _ZONE.search(text) else text


def moment(value: Any, where: str, notes: list[str] | None = None) -> Instant:
    """A time in any form that senders use: RFC 3339 (UTC where no zone is said), seconds or milliseconds.

    What cannot be read, or lies beyond 2100, is 0 and said in ``notes``: an alert is not lost for its clock.
    """
    if value is None or value == "" or isinstance(value, bool):
        return 0
    found: Instant | None = None
    if isinstance(value, str):
        text = value.strip()
        if text.isascii() and text.isdigit() and len(text) <= 17:
            value = int(text)
        else:
            try:
                found = any_instant(in_a_zone(text[:64]))
            except Unusable:
                found = None
    if isinstance(value, int | float) and abs(value) < 10**15:
        seconds = value / 1000 if value > 100_000_000_000 else value
        found = int(seconds * SECOND) if 0 <= seconds * SECOND < LATEST else None
    if found is None or found >= LATEST:
        if notes is not None:
            notes.append(f"{where} is not a time that could be read; the time of arrival is used")
        return 0
    return found


def text_of(value: Any) -> str:
    """A scalar as text, anything else as nothing."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else ""


def first_text(holder: Mapping[str, Any], *names: str) -> str:
    """The first of these fields that has text."""
    for name in names:
        if found := text_of(holder.get(name)):
            return found
    return ""


def object_of(value: Any) -> dict[str, Any]:
    """``value`` where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def list_of(value: Any) -> list[Any]:
    """``value`` where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


_BLANK = re.compile("[\\x00-\\x20]")
"""a blank or a control character"""


def url_of(value: Any) -> str:
    """An http(s) address of at most 2,048 characters, else empty: pages link to nothing else that strangers send."""
    text = value.strip() if isinstance(value, str) else ""
    plain = text.lower().startswith(("http://", "https://")) and len(text) <= MAX_URL
    return text if plain and not _BLANK.search(text) else ""


def add_link(links: list[Link], value: Any, text: str, notes: list[str] | None = None) -> None:
    """Adds an address once; one that is no http(s) address is left out and said in ``notes``."""
    href = url_of(value)
    if href and len(links) < MAX_LINKS:
        if all(link.href != href for link in links):
            links.append(Link(href, clip(text, 200)))
    elif value and notes is not None:
        notes.append(f"a link was left out: {shown(str(value), 80)!r} is no http or https address")


def first_label(labels: Mapping[str, str], names: Sequence[str]) -> str:
    """The first of these labels that is set."""
    for name in names:
        if found := labels.get(name):
            return found
    return ""


def taken(notes: list[str], count: int, refused: list[str], where: str) -> None:
    """Raises :class:`Unusable` when items were refused and not one could be used."""
    if refused and not count:
        raise Unusable("; ".join(refused[:10]), where)
    if refused:
        notes.append(f"{count} of {count + len(refused)} could be used")
