"""Routing: the first route that fits names service and escalation policy; its labels make the group. And flapping."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tocsin.alerts.expressions import Budget
from tocsin.alerts.matchers import Matcher, all_match
from tocsin.alerts.shape import Alert
from tocsin.kernel.clock import HOUR, MINUTE, Instant, humanize, to_iso
from tocsin.kernel.codec import decode, encode

MAX_GROUP_KEY = 500
EVERY_LABEL = "..."
"""In ``group_by``: every label counts, as in Alertmanager."""

FLAPPING_TIMES = 3
FLAPPING_WINDOW = HOUR
FLAPPING_HOLD = 2 * MINUTE


class Route(msgspec.Struct):
    """Alerts of ``integration`` (empty: any) whose labels fit. ``group_by``: labels whose values make one incident."""

    id: str
    name: str
    matchers: list[Matcher] = []
    integration: str = ""
    service: str = ""
    escalation_policy: str = ""
    group_by: list[str] = []


class Defaults(Protocol):
    """What an integration says where no route does."""

    id: str
    service: str
    escalation_policy: str
    group_by: list[str]


class Routed(msgspec.Struct, frozen=True):
    """Where an alert goes, and why. ``route`` is empty where none fitted."""

    route: str
    service: str
    escalation_policy: str
    group_key: str
    reason: str


def route(
    alert: Alert,
    integration: Defaults,
    routes: Sequence[Route],
    services: Mapping[str, Any],
    aliases: Mapping[str, str] | None = None,
    budget: Budget | None = None,
) -> Routed:
    """The first route that fits, else the integration's defaults.

    The service is the route's own; else the one the alert names, where ``services`` knows it (or ``aliases`` does, by
    lower-case name); else the integration's default; else the alert's word, known or not. The group key is the route and
    the values of its labels; without labels to group by, alerts of one service make one group and those of no service
    one for each alert.
    """
    named, known = _named(alert.service, services, aliases)
    chosen = next(
        (
            one
            for one in routes
            if one.integration in ("", integration.id) and all_match(one.matchers, alert.labels, budget)
        ),
        None,
    )
    if chosen is not None and chosen.service:
        service, why = chosen.service, f"route {chosen.name}"
    elif known:
        service, why = named, f"the alert names the service {named}"
    elif integration.service:
        service, why = integration.service, "the integration's own service"
        if named:
            why += f"; {named!r:.80} is not in the catalogue"
    elif named:
        service, why = named, f"the alert's word {named!r:.80}, which is not in the catalogue"
    else:
        service, why = "", "neither the alert nor the integration names a service"
    policy, group_by, place = integration.escalation_policy, integration.group_by, f"default/{integration.id}"
    if chosen is not None:
        policy, group_by, place = chosen.escalation_policy or policy, chosen.group_by, chosen.id
        if not chosen.service:
            why = f"route {chosen.name}; {why}"
    return Routed(
        chosen.id if chosen else "", service, policy, group_key(place, group_by, alert, service), why
    )


def _named(hint: str, services: Mapping[str, Any], aliases: Mapping[str, str] | None) -> tuple[str, bool]:
    if not hint or hint in services:
        return hint, bool(hint)
    found = (aliases or {}).get(hint.lower())
    if found is not None:
        return found, True
    return (hint.lower(), True) if hint.lower() in services else (hint, False)


def group_key(place: str, group_by: Sequence[str], alert: Alert, service: str) -> str:
    """A stable text for (route, values of its labels): JSON, with a digest in its place where it grows long."""
    if group_by:
        names = sorted(alert.labels) if EVERY_LABEL in group_by else group_by
        values = [f"{name}={alert.labels.get(name, '')}" for name in names]
    else:
        values = [f"service={service}"] if service else [f"key={alert.dedup_key}"]
    key = encode([place, *values])
    if len(key) > MAX_GROUP_KEY:
        key = encode([place[:200], f"sha256={hashlib.sha256(key).hexdigest()}"])
    return key.decode()


def apart(key: str, mark: str) -> str:
    """The key of a group of its own beside ``key``: what is restricted, or a test, never shares an incident with the rest."""
    place, *values = decode(key, list[str])
    return encode([f"{place} ({mark})", *values]).decode()


class Hold(msgspec.Struct, frozen=True):
    """Whether a page waits: ``until`` is 0 when it leaves at once."""

    until: Instant
    reason: str


def flapping(
    firings: Sequence[Instant],
    now: Instant,
    *,
    severity: str,
    paged: bool,
    times: int = FLAPPING_TIMES,
    window: int = FLAPPING_WINDOW,
    hold: int = FLAPPING_HOLD,
) -> Hold:
    """Whether the page for an alert that fires again at ``now`` waits ``hold``, because it comes and goes.

    ``firings``: when its earlier episodes began (instants). ``severity``: the incident's. ``paged``: whether somebody was
    paged for it already; a first page of P1 or P2 is never delayed. ``times``, ``window`` and ``hold`` (microseconds):
    flapping is more than ``times`` earlier firings within ``window``.
    """
    if severity in ("P1", "P2") and not paged:
        return Hold(0, f"a first page of {severity} is never held")
    recent = sum(1 for at in firings if now - window < at <= now)
    if recent <= times or hold <= 0:
        return Hold(0, f"it fired {recent} times in the last {humanize(window)}")
    return Hold(
        now + hold,
        f"it comes and goes: {recent} firings in the last {humanize(window)}; the page waits until {to_iso(now + hold)} "
        "and leaves if it still fires",
    )
