"""Integrations and routes: keys made, shown again under seal, rotated; where alerts go."""

from __future__ import annotations

from tocsin.alerts.matchers import parse_matcher
from tocsin.alerts.routing import Route
from tocsin.engine import changes as c
from tocsin.engine import heartbeats
from tocsin.engine.admin_desk import Answer, Desk, known, name_of, text_of
from tocsin.engine.receiving import Integration
from tocsin.identity.tokens import key_hash
from tocsin.identity.vault import seal
from tocsin.intake.mapping import compile_mapping
from tocsin.intake.sources import SOURCES
from tocsin.kernel.clock import DAY, SECOND
from tocsin.kernel.errors import Unusable
from tocsin.kernel.randomness import dedup_key
from tocsin.oncall.relative import parse_duration

LONGEST = 366 * DAY
"""of an interval and of a grace"""


def add_integration(desk: Desk, change: c.AddIntegration) -> Answer:
    desk.allow("integrations")
    if change.source not in SOURCES:
        raise Unusable(f"there is no source {change.source[:40]!r}; there are {', '.join(SOURCES)}", "source")
    integration = Integration(
        desk.new_id(), name_of(change.name), change.source, change.service, change.escalation_policy, _labels(change.group_by),
        change.may_silence, dict(change.mapping), "", change.team, _interval(change.source, change.interval), desk.now,
        _grace(change.grace),
    )  # fmt: skip
    _check(desk, integration)
    return _store_with_new_key(desk, integration)


def _store_with_new_key(desk: Desk, integration: Integration) -> Answer:
    """32 letters and digits, as senders of the PagerDuty kind expect of a routing key."""
    key = dedup_key(desk.randomness)
    integration.sealed_key = seal(desk.secret, key, f"integration/{integration.id}", desk.randomness)
    _store(desk, integration, key_hash(key, desk.secret))
    return {"id": integration.id, "name": integration.name, "secret": key}


def _store(desk: Desk, integration: Integration, lookup: str) -> None:
    desk.keep("integration", integration.id, lookup, integration)


def change_integration(desk: Desk, change: c.ChangeIntegration) -> Answer:
    desk.allow("integrations")
    integration = desk.stored("integration", change.integration, Integration)
    for name in ("service", "escalation_policy", "team", "may_silence", "mapping"):
        value = getattr(change, name)
        if value is not None:
            setattr(integration, name, value)
    if change.name is not None:
        integration.name = name_of(change.name)
    if change.group_by is not None:
        integration.group_by = _labels(change.group_by)
    if change.interval is not None:
        integration.interval = _interval(integration.source, change.interval)
    if change.grace is not None:
        integration.grace = _grace(change.grace)
    _check(desk, integration)
    row = desk.tx.record("integration", integration.id)
    _store(desk, integration, row.lookup if row else "")
    heartbeats.rearm(desk.tx, integration, desk.now)
    return {"id": integration.id, "name": integration.name}


def rotate_key(desk: Desk, change: c.RotateKey) -> Answer:
    desk.allow("integrations")
    return _store_with_new_key(desk, desk.stored("integration", change.integration, Integration))


def remove_integration(desk: Desk, change: c.RemoveIntegration) -> Answer:
    desk.allow("integrations")
    desk.remove("integration", change.integration)
    heartbeats.forget(desk.tx, change.integration)
    return {"id": change.integration}


def add_route(desk: Desk, change: c.AddRoute) -> Answer:
    desk.allow("integrations")
    known([change.integration], {row.id for row in desk.tx.records("integration")}, "integration")
    known([change.service], desk.directory.services, "service")
    known([change.escalation_policy], desk.directory.escalation_policies, "escalation policy")
    matchers = [parse_matcher(text) for text in change.matchers if text.strip()]
    route = Route(
        desk.new_id(), name_of(change.name), matchers, change.integration, change.service, change.escalation_policy,
        _labels(change.group_by),
    )  # fmt: skip
    desk.keep("route", route.id, "", route)
    return {"id": route.id, "name": route.name}


def remove_route(desk: Desk, change: c.RemoveRoute) -> Answer:
    desk.allow("integrations")
    desk.remove("route", change.route)
    return {"id": change.route}


def _check(desk: Desk, integration: Integration) -> None:
    if integration.mapping and SOURCES[integration.source].maps:
        compile_mapping(
            integration.mapping
        )  # it says what is wrong with it now, rather than to the sender later
    known([integration.service], desk.directory.services, "service")
    known([integration.team], desk.directory.teams, "team")
    known([integration.escalation_policy], desk.directory.escalation_policies, "escalation policy")


def _labels(names: list[str]) -> list[str]:
    return list(dict.fromkeys(text_of(name, "group_by", 256) for name in names if name.strip()))


def _interval(source: str, text: str) -> int:
    """How often a heartbeat comes, or the longest another sender is ever quiet; empty there: its silence is no alert."""
    if source != "heartbeat" and text.strip() in ("", "0"):
        return 0
    if not text.strip():
        raise Unusable("say how often this heartbeat comes, such as 5 min or 1 day", "interval")
    interval = parse_duration(text)
    if interval < 10 * SECOND or interval > LONGEST:
        raise Unusable("an interval is 10 seconds to 366 days", "interval")
    return interval


def _grace(text: str) -> int:
    """How much later than its interval a beat may be; empty: nothing."""
    if text.strip() in ("", "0"):
        return 0
    grace = parse_duration(text)
    if grace > LONGEST:
        raise Unusable("a grace is 366 days at most", "grace")
    return grace
