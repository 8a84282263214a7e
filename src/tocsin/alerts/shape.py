"""The one alert shape that every parser makes and everything behind it reads."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import encode

MAX_SUMMARY = 1024
MAX_KEY = 255
MAX_KEY_BYTES = 900
MAX_NAME = 256
MAX_LABELS = 128
MAX_LABEL_NAME = 256
MAX_LABEL_VALUE = 4096
MAX_LINKS = 50
MAX_URL = 2048
MAX_DETAILS = 64 * 1024

SEVERITIES = ("critical", "error", "warning", "info")

_WORDS = {
    "critical": "critical crit fatal emergency emerg disaster alert page p1 sev1 severe blocker",
    "error": "error err major high p2 sev2 failure failed alerting alarm down",
    "warning": "warning warn minor medium average moderate p3 sev3",
    "info": "info information informational notice low debug none p4 p5 sev4 sev5 ok normal",
}
_SEVERITY = {word: severity for severity, words in _WORDS.items() for word in words.split()}


class Link(msgspec.Struct, frozen=True):
    """A link the sender gave, with its text."""

    href: str
    text: str = ""


class Alert(msgspec.Struct):
    """One event of one alert. ``action``: trigger, acknowledge or resolve.

    ``severity`` is the sender's own word as :func:`normal_severity` reads it (critical, error, warning, info or empty):
    an input to rules and nothing more. ``service`` is a hint, known to the catalogue or not. ``started_at`` is when the
    trouble began and ``source_at`` when this very event happened, both by the source's clock and 0 where it said
    nothing; ``ends_at`` is when the alert expires unless it is sent again, 0 for never. ``via`` names the format. ``kept`` is
    what :func:`body_of` makes of it, where that is known already.
    """

    action: str
    dedup_key: str
    summary: str = ""
    severity: str = ""
    source: str = ""
    service: str = ""
    labels: dict[str, str] = {}
    links: list[Link] = []
    details: dict[str, Any] = {}
    runbook_url: str = ""
    dashboard_url: str = ""
    started_at: Instant = 0
    source_at: Instant = 0
    ends_at: Instant = 0
    via: str = ""
    kept: bytes = b""


class Change(msgspec.Struct):
    """A deployment or a change of configuration; ``at`` by the source's clock, 0 where it said nothing.

    ``key`` is the sender's id of the change, empty where it gave none.
    """

    summary: str
    source: str = ""
    service: str = ""
    at: Instant = 0
    links: list[Link] = []
    labels: dict[str, str] = {}
    details: dict[str, Any] = {}
    key: str = ""


class Parsed(msgspec.Struct):
    """What a body held.

    ``notes`` say what was cut, guessed or left out. ``refused`` has a sentence for each item that could not be used
    while others could: those others are taken, and the sender is answered 400 with these sentences. ``private`` is what only
    an owner of this installation may read, such as an address that confirms a subscription.
    """

    alerts: list[Alert] = []
    changes: list[Change] = []
    notes: list[str] = []
    refused: list[str] = []
    private: list[str] = []


class AlertBody(msgspec.Struct, omit_defaults=True):
    """What an alert's row keeps as JSON beside its columns."""

    labels: dict[str, str] = {}
    links: list[Link] = []
    details: dict[str, Any] = {}
    source: str = ""
    runbook_url: str = ""
    dashboard_url: str = ""
    via: str = ""
    fired: list[Instant] = []
    """when earlier episodes began, the oldest first; what comes and goes is told by it"""
    acknowledged: Instant = 0
    """when its sender acknowledged this episode; 0 where it did not"""


def body_of(alert: Alert, fired: list[Instant] | None = None, acknowledged: Instant = 0) -> bytes:
    """The JSON that the row keeps of ``alert``; :class:`AlertBody` reads it."""
    if alert.kept and not fired and not acknowledged:
        return alert.kept
    return encode(
        AlertBody(
            alert.labels,
            alert.links,
            alert.details,
            alert.source,
            alert.runbook_url,
            alert.dashboard_url,
            alert.via,
            fired or [],
            acknowledged,
        )
    )


def normal_severity(word: object) -> str:
    """The sender's word as one of the four; empty where it is none of the words that senders use."""
    return _SEVERITY.get(word.strip().lower(), "") if isinstance(word, str) else ""


def clip(text: str, limit: int, what: str = "", notes: list[str] | None = None) -> str:
    """``text`` in at most ``limit`` characters. What was cut ends in ``…`` and is said in ``notes``."""
    if len(text) <= limit:
        return text
    if notes is not None:
        notes.append(f"{what or 'a text'} had {len(text)} characters and was cut to {limit}")
    return text[: limit - 1] + "…"


_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""control characters, and those that turn the direction of what follows"""


def one_line(text: str) -> str:
    """``text`` as one line: what is broken into several could pass for lines of the page that shows it."""
    line = " ".join(text.split())
    return line if line.isprintable() else " ".join(_STEERING.sub("", line).split())


def headline(text: str, what: str, notes: list[str]) -> str:
    """The one line that says what is wrong, as long as a summary may be."""
    return clip(one_line(text), MAX_SUMMARY, what, notes)


def fit_key(key: str) -> str:
    """A dedup key that an index takes: a long one keeps its beginning and gets a digest of the whole."""
    if len(key) <= MAX_KEY and len(key.encode()) <= MAX_KEY_BYTES:
        return key
    return f"{key[:150]}…{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def fit_labels(pairs: Mapping[str, Any], notes: list[str] | None = None) -> dict[str, str]:
    """Labels as text within the limits: numbers and truth values are written out, what is nested is left out."""
    labels: dict[str, str] = {}
    for name, value in pairs.items():
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, str):
            text = value
        elif isinstance(value, int | float):
            text = str(value)
        else:
            continue
        if len(labels) == MAX_LABELS:
            if notes is not None:
                notes.append(
                    f"there were more than {MAX_LABELS} labels; those after {name!r:.60} were left out"
                )
            break
        labels[clip(str(name), MAX_LABEL_NAME, "the name of a label", notes)] = clip(
            text, MAX_LABEL_VALUE, f"the label {name!s:.60}", notes
        )
    return labels


def fit_details(details: dict[str, Any], notes: list[str] | None = None) -> dict[str, Any]:
    """Details of at most 64 KiB of JSON; larger ones keep the small fields and say which were left out."""
    size = len(encode(details))
    if size <= MAX_DETAILS:
        return details
    kept: dict[str, Any] = {}
    left: list[str] = []
    room = MAX_DETAILS - 1024
    for name, value in details.items():
        cost = len(encode(value)) + len(name.encode()) + 4
        if cost <= room:
            kept[name] = value
            room -= cost
        else:
            left.append(name[:60])
    said = f"the details had {size} bytes; left out: {', '.join(left[:10])}"
    if notes is not None:
        notes.append(said)
    kept["left_out"] = said
    return kept
