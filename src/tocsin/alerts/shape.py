"""The one alert shape that every parser makes and everything behind it reads."""

from __future__ import annotations

from typing import Any

import msgspec

from tocsin.kernel.clock import Instant

MAX_SUMMARY = 1024
MAX_KEY = 255


class Link(msgspec.Struct, frozen=True):
    """A link the sender gave, with its text."""

    href: str
    text: str = ""


class Alert(msgspec.Struct):
    """One event of one alert. ``action``: trigger, acknowledge or resolve.

    ``severity`` is the sender's own word (critical, error, warning, info or empty), an input to rules and nothing more.
    ``started_at`` and ``source_at`` are by the source's clock, 0 where it said nothing; ``ends_at`` is when it expires
    unless it is sent again, 0 for never.
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


class Change(msgspec.Struct):
    """A deployment or a change of configuration; ``at`` by the source's clock, 0 where it said nothing."""

    summary: str
    source: str = ""
    service: str = ""
    at: Instant = 0
    links: list[Link] = []
    labels: dict[str, str] = {}
    details: dict[str, Any] = {}


class Parsed(msgspec.Struct):
    """What a body held."""

    alerts: list[Alert] = []
    changes: list[Change] = []
    notes: list[str] = []
