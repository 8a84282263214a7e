"""PagerDuty Events API v2: triggers, acknowledgements, resolutions and change events.

Source: https://developer.pagerduty.com/docs/events-api-v2/overview/ and its pages on alert and change events.
"""

from __future__ import annotations

from typing import Any

from tocsin.alerts.shape import MAX_KEY, MAX_SUMMARY, Alert, Change, Link
from tocsin.kernel.clock import parse_instant
from tocsin.kernel.codec import decode_foreign
from tocsin.kernel.errors import Unusable, UnusableMany

MAX_BODY = 512 * 1024
SEVERITIES = ("critical", "error", "warning", "info")
ACTIONS = ("trigger", "acknowledge", "resolve")


def parse_enqueue(body: bytes) -> tuple[str, Alert]:
    """(routing key, alert). Raises :class:`UnusableMany` with every fault found, or :class:`Unusable`."""
    event = _object(body)
    faults: list[Unusable] = []
    key = _text(event, "routing_key", "", faults, required=True)
    action = _text(event, "event_action", "", faults, required=True)
    if action and action not in ACTIONS:
        faults.append(
            Unusable(
                f"'event_action' is {action[:40]!r}; use trigger, acknowledge or resolve", "event_action"
            )
        )
    dedup_key = _text(event, "dedup_key", "", faults)
    if len(dedup_key) > MAX_KEY:
        faults.append(Unusable(f"'dedup_key' is longer than {MAX_KEY} characters", "dedup_key"))
    if action in ("acknowledge", "resolve") and not dedup_key:
        faults.append(Unusable(f"'dedup_key' is missing; {action} needs the key of the alert", "dedup_key"))
    alert = Alert(action, dedup_key, via="pagerduty-events-v2")
    payload = event.get("payload")
    if action == "trigger":
        _payload(payload, alert, faults)
        _links(event, alert, faults)
    if faults:
        raise UnusableMany(faults)
    return key, alert


def parse_change(body: bytes) -> tuple[str, Change]:
    """(routing key, change event)."""
    event = _object(body)
    faults: list[Unusable] = []
    key = _text(event, "routing_key", "", faults, required=True)
    payload = event.get("payload")
    if not isinstance(payload, dict):
        faults.append(Unusable("'payload' is missing or not an object", "payload"))
        raise UnusableMany(faults)
    change = Change(
        _text(payload, "summary", "payload.", faults, required=True)[:MAX_SUMMARY],
        _text(payload, "source", "payload.", faults),
    )
    change.at = _time(payload, "timestamp", faults)
    change.details = _details(payload, faults)
    holder = Alert("trigger", "")
    _links(event, holder, faults)
    change.links = holder.links
    change.service = (
        str(change.details.get("service", ""))[:200]
        if isinstance(change.details.get("service", ""), str)
        else ""
    )
    if faults:
        raise UnusableMany(faults)
    return key, change


def accepted(dedup_key: str | None) -> dict[str, Any]:
    """The body of a 202; change events answer without a key."""
    answer: dict[str, Any] = {
        "status": "success",
        "message": "Event processed" if dedup_key is not None else "Change event processed",
    }
    if dedup_key is not None:
        answer["dedup_key"] = dedup_key
    return answer


def refused(error: Unusable) -> dict[str, Any]:
    """The body of a 400."""
    faults = error.faults if isinstance(error, UnusableMany) else (error,)
    return {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": [fault.sentence for fault in faults],
    }


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BODY:
        raise Unusable(f"the event is larger than {MAX_BODY // 1024} kB", "$")
    event = decode_foreign(body, what="the event")
    if not isinstance(event, dict):
        raise Unusable("the event is not a JSON object", "$")
    return event


def _text(
    holder: dict[str, Any], name: str, prefix: str, faults: list[Unusable], *, required: bool = False
) -> str:
    value = holder.get(name)
    if value is None or value == "":
        if required:
            faults.append(Unusable(f"'{prefix}{name}' is missing or blank", prefix + name))
        return ""
    if not isinstance(value, str):
        faults.append(Unusable(f"'{prefix}{name}' is not a string", prefix + name))
        return ""
    return value


def _time(holder: dict[str, Any], name: str, faults: list[Unusable]) -> int:
    value = holder.get(name)
    if value is None or value == "":
        return 0
    try:
        if not isinstance(value, str):
            raise Unusable("it is not a string")
        if value[-1:] not in "zZ" and "+" not in value and value.count("-") < 3:
            value += "Z"  # senders leave the zone out; the protocol's examples are in UTC
        return max(0, parse_instant(value))
    except Unusable as error:
        faults.append(
            Unusable(f"'payload.{name}' is not an ISO 8601 time: {error.sentence}", f"payload.{name}")
        )
        return 0


def _details(payload: dict[str, Any], faults: list[Unusable]) -> dict[str, Any]:
    details = payload.get("custom_details")
    if details is None:
        return {}
    return details if isinstance(details, dict) else {"details": details}


def _payload(payload: Any, alert: Alert, faults: list[Unusable]) -> None:
    if not isinstance(payload, dict):
        faults.append(Unusable("'payload' is missing or not an object", "payload"))
        return
    alert.summary = _text(payload, "summary", "payload.", faults, required=True)[:MAX_SUMMARY]
    alert.source = _text(payload, "source", "payload.", faults, required=True)[:MAX_SUMMARY]
    alert.severity = _text(payload, "severity", "payload.", faults, required=True)
    if alert.severity and alert.severity not in SEVERITIES:
        faults.append(
            Unusable(
                f"'payload.severity' is {alert.severity[:40]!r}; use critical, error, warning or info",
                "payload.severity",
            )
        )
    alert.started_at = alert.source_at = _time(payload, "timestamp", faults)
    alert.details = _details(payload, faults)
    for name in ("component", "group", "class"):
        if value := _text(payload, name, "payload.", faults):
            alert.labels[name] = value[:1024]
    for name, value in alert.details.items():
        if isinstance(value, str | int | bool) and len(alert.labels) < 64:
            alert.labels[str(name)[:128]] = (
                str(value).lower()[:1024] if isinstance(value, bool) else str(value)[:1024]
            )
    alert.labels["source"] = alert.source
    alert.service = alert.labels.get("service", "") or alert.labels.get("component", "")
    alert.runbook_url = alert.labels.get("runbook_url", "") or alert.labels.get("runbook", "")
    alert.dashboard_url = alert.labels.get("dashboard_url", "")


def _links(event: dict[str, Any], alert: Alert, faults: list[Unusable]) -> None:
    links = event.get("links")
    if isinstance(links, list):
        for index, link in enumerate(links):
            if not isinstance(link, dict) or not isinstance(link.get("href"), str):
                faults.append(
                    Unusable(f"'links[{index}].href' is missing or not a string", f"links[{index}]")
                )
            else:
                alert.links.append(Link(link["href"], str(link.get("text") or "")))
    elif links is not None:
        faults.append(Unusable("'links' is not a list", "links"))
    url = event.get("client_url")
    if isinstance(url, str) and url:
        alert.links.append(Link(url, str(event.get("client") or "")))
