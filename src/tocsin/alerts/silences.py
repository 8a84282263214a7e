"""Silences and maintenance windows: who asked for quiet, why, and until when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from tocsin.alerts.expressions import Budget
from tocsin.alerts.matchers import Matcher, all_match, check_matchers
from tocsin.kernel.clock import Instant, check_instant, to_iso
from tocsin.kernel.errors import Unusable


class Silence(msgspec.Struct):
    """Alerts whose labels fit page nobody until ``ends_at``. ``integration`` empty: of every integration.

    ``covers_p1``: whether it hides a P1 too; who may say so is decided elsewhere. ``annotations`` are what API clients
    attach to it. All times are instants.
    """

    id: str
    matchers: list[Matcher]
    starts_at: Instant
    ends_at: Instant
    author: str
    reason: str
    integration: str = ""
    covers_p1: bool = False
    updated_at: Instant = 0
    annotations: dict[str, str] = {}


class Maintenance(msgspec.Struct):
    """Planned work on services: their alerts page nobody until ``ends_at``. ``covers_p1``: a P1 neither."""

    id: str
    services: list[str]
    starts_at: Instant
    ends_at: Instant
    author: str
    reason: str
    covers_p1: bool = False


class Quiet(msgspec.Struct, frozen=True):
    """Why nobody is paged, and until when."""

    reason: str
    until: Instant
    by: str


def check_silence(silence: Silence, now: Instant | None = None) -> Silence:
    """Raises :class:`Unusable` where author, reason, matchers or a sensible end are missing.

    One matcher at least must need a label to be there, or to differ from something, or the silence would cover everything.
    With ``now``, its end must lie ahead.
    """
    if not silence.author.strip() or not silence.reason.strip():
        raise Unusable("a silence needs an author and a reason; say who asks for it and why", "silence")
    check_matchers(silence.matchers)
    if all(matcher.equal and matcher.matches({}) for matcher in silence.matchers):
        raise Unusable(
            "a silence needs at least one matcher that does not fit an empty label, or it covers everything",
            "matchers",
        )
    _check_times(silence.starts_at, silence.ends_at, now, "a silence")
    return silence


def check_maintenance(window: Maintenance, now: Instant | None = None) -> Maintenance:
    """Raises :class:`Unusable` where services, author, reason or a sensible end are missing."""
    if not window.author.strip() or not window.reason.strip():
        raise Unusable(
            "a maintenance window needs an author and a reason; say who works and on what", "maintenance"
        )
    if not [service for service in window.services if service.strip()]:
        raise Unusable("a maintenance window needs the services that are worked on", "services")
    _check_times(window.starts_at, window.ends_at, now, "a maintenance window")
    return window


def _check_times(starts_at: Instant, ends_at: Instant, now: Instant | None, what: str) -> None:
    check_instant(starts_at, "startsAt")
    check_instant(ends_at, "endsAt")
    if ends_at <= starts_at:
        raise Unusable(f"{what} must end after it starts; give it a later end", "endsAt")
    if now is not None and ends_at <= now:
        raise Unusable(f"{what} must end in the future; {to_iso(ends_at)} is over", "endsAt")


def state_of(silence: Silence, now: Instant) -> str:
    """``pending``, ``active`` or ``expired``, in Alertmanager's words."""
    if now < silence.starts_at:
        return "pending"
    return "active" if now < silence.ends_at else "expired"


def silencing(
    labels: Mapping[str, str],
    silences: Iterable[Silence],
    now: Instant,
    *,
    integration: str,
    severity: str = "",
    budget: Budget | None = None,
) -> list[Silence]:
    """Every silence that covers an alert now. ``severity``: the incident's, where it is known; a P1 needs ``covers_p1``.

    ``budget``: steps that expressions may take; a silence that cannot be asked any more covers nothing.
    """
    return [
        silence
        for silence in silences
        if silence.integration in ("", integration)
        and silence.starts_at <= now < silence.ends_at
        and (severity != "P1" or silence.covers_p1)
        and all_match(silence.matchers, labels, budget)
    ]


def silenced_by(
    labels: Mapping[str, str],
    silences: Sequence[Silence],
    now: Instant,
    *,
    integration: str,
    severity: str = "",
    budget: Budget | None = None,
) -> Quiet | None:
    """The silence that covers an alert longest from now, or None; see :func:`silencing`."""
    covering = silencing(labels, silences, now, integration=integration, severity=severity, budget=budget)
    if not covering:
        return None
    longest = max(covering, key=lambda silence: silence.ends_at)
    return Quiet(
        f"silenced by {longest.author} until {to_iso(longest.ends_at)}: {longest.reason}",
        longest.ends_at,
        longest.id,
    )


def maintenance_of(
    service: str, windows: Sequence[Maintenance], now: Instant, *, severity: str = ""
) -> Quiet | None:
    """The maintenance window of a service now that ends last, or None; a P1 needs one that covers it."""
    covering = [
        window
        for window in windows
        if service in window.services
        and window.starts_at <= now < window.ends_at
        and (severity != "P1" or window.covers_p1)
    ]
    if not service or not covering:
        return None
    longest = max(covering, key=lambda window: window.ends_at)
    return Quiet(
        f"maintenance by {longest.author} until {to_iso(longest.ends_at)}: {longest.reason}",
        longest.ends_at,
        longest.id,
    )
