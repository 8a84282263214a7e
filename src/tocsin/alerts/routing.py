"""Routing: the first route that fits names service and escalation policy; its labels make the group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

from tocsin.alerts.matchers import Matcher, all_match
from tocsin.alerts.shape import Alert


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
    """Where an alert goes, and why."""

    route: str
    service: str
    escalation_policy: str
    group_key: str
    reason: str


def route(
    alert: Alert, integration: Defaults, routes: Sequence[Route], services: Mapping[str, Any]
) -> Routed:
    """The first route that fits, else the integration's defaults. Group key: the route and the values of its labels.

    Without labels to group by, alerts of one service make one group, and those of no service one for each alert.
    """
    for one in routes:
        if one.integration in ("", integration.id) and all_match(one.matchers, alert.labels):
            service = one.service or alert.service or integration.service
            policy = one.escalation_policy or integration.escalation_policy
            return Routed(
                one.id, service, policy, _group(one.id, one.group_by, alert, service), f"route {one.name}"
            )
    service = alert.service if alert.service in services or not integration.service else integration.service
    why = (
        "the alert names the service" if service and service == alert.service else "the integration's default"
    )
    return Routed(
        "",
        service,
        integration.escalation_policy,
        _group(f"default/{integration.id}", integration.group_by, alert, service),
        why,
    )


def _group(route_id: str, group_by: Sequence[str], alert: Alert, service: str) -> str:
    if group_by:
        values = [f"{name}={alert.labels.get(name, '')}" for name in group_by]
    else:
        values = [f"service={service}"] if service else [f"key={alert.dedup_key}"]
    return "\x1f".join([route_id, *values])
