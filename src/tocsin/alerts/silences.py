"""Silences and maintenance windows: who asked for quiet, why, and until when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from tocsin.alerts.matchers import Matcher, all_match
from tocsin.kernel.clock import Instant, to_iso
from tocsin.kernel.errors import Unusable


class Silence(msgspec.Struct):
    """Alerts whose labels fit page nobody until ``ends_at``. ``integration`` empty: of every integration."""

    id: str
    matchers: list[Matcher]
    starts_at: Instant
    ends_at: Instant
    author: str
    reason: str
    integration: str = ""
    covers_p1: bool = False


class Maintenance(msgspec.Struct):
    """Planned work on services."""

    id: str
    services: list[str]
    starts_at: Instant
    ends_at: Instant
    author: str
    reason: str


class Quiet(msgspec.Struct, frozen=True):
    """Why nobody is paged, and until when."""

    reason: str
    until: Instant
    by: str


def check_silence(silence: Silence) -> Silence:
    """Raises :class:`Unusable` where author, reason, matchers or a sensible end are missing."""
    if not silence.author.strip() or not silence.reason.strip():
        raise Unusable("a silence needs an author and a reason; say who asks for it and why", "silence")
    if not silence.matchers or all(m.equal and not m.regex and not m.value for m in silence.matchers):
        raise Unusable("a silence needs a matcher that does not fit everything", "matchers")
    if silence.ends_at <= silence.starts_at:
        raise Unusable("a silence ends after it starts", "endsAt")
    return silence


def silenced_by(
    labels: Mapping[str, str], silences: Sequence[Silence], now: Instant, *, integration: str
) -> Quiet | None:
    """The silence that covers an alert now, or None."""
    for silence in silences:
        if (
            silence.integration in ("", integration)
            and silence.starts_at <= now < silence.ends_at
            and all_match(silence.matchers, labels)
        ):
            return Quiet(
                f"silenced by {silence.author} until {to_iso(silence.ends_at)}: {silence.reason}",
                silence.ends_at,
                silence.id,
            )
    return None


def maintenance_of(service: str, windows: Sequence[Maintenance], now: Instant) -> Quiet | None:
    """The maintenance window of a service now, or None."""
    for window in windows:
        if service in window.services and window.starts_at <= now < window.ends_at:
            return Quiet(
                f"maintenance by {window.author} until {to_iso(window.ends_at)}: {window.reason}",
                window.ends_at,
                window.id,
            )
    return None
