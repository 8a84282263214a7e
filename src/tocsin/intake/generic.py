"""Any JSON: a mapping (:mod:`tocsin.intake.mapping`) says where an alert's fields are; a sensible one is built in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from tocsin.alerts.shape import (
    MAX_NAME,
    Alert,
    Parsed,
    fit_details,
    fit_key,
    fit_labels,
    headline,
    normal_severity,
    one_line,
)
from tocsin.intake.limits import MAX_ALERTS
from tocsin.intake.mapping import Compiled, compile_mapping
from tocsin.intake.reading import add_link, list_of, moment, taken, text_of, url_of
from tocsin.kernel.codec import decode_foreign
from tocsin.kernel.errors import Unusable

VIA = "generic"

DEFAULT_MAPPING = {
    "summary": "summary | title | message | subject | alert_name | alertname | rule_name | check_name | name | event | text | description",
    "dedup_key": "dedup_key | alias | fingerprint | incident_key | alert_id | incident_id | check_id | monitor_id | rule_id | id",
    "severity": "severity | priority | level | urgency",
    "source": "source | host | hostname | instance | server | node",
    "service": "service | service_name | component | app | application",
    "started_at": "started_at | starts_at | startsAt | timestamp | time | created_at",
    "resolve": "status | state | alert_status | current_state | event_action | action | type = resolved, resolve, ok, closed, close, "
    "recovered, recovery, up, normal, cleared, success, healthy",
    "acknowledge": "status | state | event_action | action = acknowledged, acknowledge, ack",
    "runbook_url": "runbook_url | runbook",
    "dashboard_url": "dashboard_url",
    "labels": "$ | labels | tags",
    "link.Source": "url | link | alert_url | html_url | external_url",
}
"""What is tried where an integration has no mapping of its own."""

_DEFAULT = compile_mapping(DEFAULT_MAPPING)


def parse(body: bytes, mapping: Mapping[str, str] | Compiled | None = None) -> Parsed:
    """The alerts of a JSON body. Raises :class:`~tocsin.kernel.errors.Unusable` where not one can be made.

    A body that is a list is a list of items. A mapping that is not usable raises
    :class:`~tocsin.kernel.errors.UnusableMany`; look at it with :func:`compile_mapping` when it is saved.
    """
    if isinstance(mapping, Compiled):
        rules = mapping
    else:
        rules = compile_mapping(mapping) if mapping else _DEFAULT
    whole = decode_foreign(body)
    parsed = Parsed()
    for where, item in _items(whole, rules):
        try:
            parsed.alerts.append(_alert(item, whole, where, rules, parsed.notes))
        except Unusable as fault:
            parsed.refused.append(f"{fault.where}: {fault.sentence}")
    if not parsed.alerts and not parsed.refused:
        parsed.notes.append("the list of items is empty; nothing to do")
    taken(parsed.notes, len(parsed.alerts), parsed.refused, "$")
    return parsed


def _items(whole: Any, rules: Compiled) -> list[tuple[str, Any]]:
    if rules.items is not None:
        found = next((value for value in rules.items.values(whole, whole) if isinstance(value, list)), None)
        if found is None:
            raise Unusable(
                "the body has no list where the mapping's 'items' points; correct the path", "mapping.items"
            )
    elif isinstance(whole, list):
        found = whole
    else:
        return [("$", whole)]
    if len(found) > MAX_ALERTS:
        raise Unusable(f"there are {len(found)} items in one body; send at most {MAX_ALERTS}", "$")
    return [(f"$[{index}]", item) for index, item in enumerate(found)]


def _alert(item: Any, whole: Any, where: str, rules: Compiled, notes: list[str]) -> Alert:
    if not isinstance(item, dict):
        raise Unusable("this is not a JSON object; send one with the alert's fields", where)

    def text(field: str) -> str:
        found = rules.texts.get(field)
        return found.text(item, whole) if found is not None else ""

    summary = text("summary")
    if not one_line(summary):
        raise Unusable(
            "no summary was found; send one as 'summary', or give this integration a mapping", where
        )
    acknowledge, resolve = (rules.conditions.get(name) for name in ("acknowledge", "resolve"))
    action = "trigger"
    if resolve is not None and resolve.holds(item, whole):
        action = "resolve"
    elif acknowledge is not None and acknowledge.holds(item, whole):
        action = "acknowledge"
    source = text("source")
    alert = Alert(action, fit_key(text("dedup_key") or _digest(summary, source)), via=VIA)
    alert.summary = headline(summary, "the summary", notes)
    alert.severity = normal_severity(text("severity"))
    alert.source, alert.service = source[:MAX_NAME], text("service")[:MAX_NAME]
    alert.started_at = moment(text("started_at"), f"{where}: started_at", notes)
    alert.source_at = moment(text("source_at"), f"{where}: source_at", notes)
    alert.runbook_url, alert.dashboard_url = url_of(text("runbook_url")), url_of(text("dashboard_url"))
    for name, found in rules.link.items():
        if address := found.text(item, whole):
            add_link(alert.links, address, name, notes)
    alert.labels = _labels(item, whole, rules, notes)
    alert.details = _details(item, whole, rules, notes)
    return alert


def _digest(summary: str, source: str) -> str:
    """A key for a sender that gives none: the same words about the same thing are the same alert."""
    return "text/" + hashlib.sha256(f"{summary}\x1f{source}".encode()).hexdigest()[:32]


def _labels(item: Any, whole: Any, rules: Compiled, notes: list[str]) -> dict[str, str]:
    """Labels from objects (their scalars), from lists of ``name:value`` or ``name=value`` texts, and one by one."""
    found: dict[str, Any] = {}
    for value in rules.labels.values(item, whole) if rules.labels is not None else []:
        if isinstance(value, dict):
            found.update({name: one for name, one in value.items() if one != ""})
        for tag in list_of(value):
            name, sign, rest = text_of(tag).replace("=", ":", 1).partition(":")
            if name:
                found[name] = rest if sign else "true"
    for name, expression in rules.label.items():
        if text := expression.text(item, whole):
            found[name] = text
    return fit_labels(found, notes)


def _details(item: dict[str, Any], whole: Any, rules: Compiled, notes: list[str]) -> dict[str, Any]:
    if rules.details is None:
        return fit_details(item, notes)
    value = next(iter(rules.details.values(item, whole)), None)
    if value is None:
        return {}
    return fit_details(value if isinstance(value, dict) else {"details": value}, notes)
