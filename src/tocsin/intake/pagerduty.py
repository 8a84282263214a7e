"""PagerDuty Events API v2: triggers, acknowledgements, resolutions and change events.

Source: https://developer.pagerduty.com/docs/events-api-v2/overview/ and its pages on alert and change events.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tocsin.alerts.shape import (
    MAX_KEY,
    MAX_NAME,
    MAX_SUMMARY,
    SEVERITIES,
    Alert,
    Change,
    Link,
    clip,
    fit_details,
    fit_labels,
    headline,
    one_line,
)
from tocsin.intake.limits import MAX_EVENT_BODY
from tocsin.intake.reading import SERVICE_LABELS, add_link, first_label, moment, text_of, url_of
from tocsin.kernel.codec import decode_foreign
from tocsin.kernel.errors import TocsinError, Unusable, UnusableMany
from tocsin.kernel.redact import shown

VIA = "pagerduty-events-v2"
ACTIONS = ("trigger", "acknowledge", "resolve")


def parse_enqueue(body: bytes, notes: list[str] | None = None, *, routing_key: str = "") -> tuple[str, Alert]:
    """(routing key, alert). Raises :class:`UnusableMany` with every fault found, or :class:`Unusable`.

    A trigger may come without a dedup key: the caller gives it a new one. The key is as it was sent, to be echoed; the
    caller makes it fit (:func:`~tocsin.alerts.shape.fit_key`). ``notes`` collects what was cut or left out. ``routing_key``
    counts where the body has none: clients older than the protocol's description send it in a header.
    """
    notes = [] if notes is None else notes
    event = _object(body)
    faults: list[Unusable] = []
    key = _text(event, "routing_key", "", faults, required=not routing_key) or routing_key
    action = _text(event, "event_action", "", faults, required=True)
    if action and action not in ACTIONS:
        faults.append(
            Unusable(
                f"'event_action' is {action[:40]!r}; use trigger, acknowledge or resolve", "event_action"
            )
        )
    dedup_key = _text(event, "dedup_key", "", faults)
    if len(dedup_key) > MAX_KEY:
        faults.append(Unusable(f"'dedup_key' is longer than {MAX_KEY} characters; shorten it", "dedup_key"))
    if action in ("acknowledge", "resolve") and not dedup_key:
        faults.append(Unusable(f"'dedup_key' is missing; {action} needs the key of the alert", "dedup_key"))
    alert = Alert(action, dedup_key, via=VIA)
    if action == "trigger":
        _payload(event.get("payload"), alert, faults, notes)
        alert.links = _links(event, faults, notes)
    if faults:
        raise UnusableMany(faults)
    return key, alert


def parse_change(body: bytes, notes: list[str] | None = None) -> tuple[str, Change]:
    """(routing key, change event); raises as :func:`parse_enqueue` does."""
    notes = [] if notes is None else notes
    event = _object(body)
    faults: list[Unusable] = []
    key = _text(event, "routing_key", "", faults, required=True)
    payload = event.get("payload")
    if not isinstance(payload, dict):
        faults.append(Unusable("'payload' is missing or not an object", "payload"))
        raise UnusableMany(faults)
    summary = _text(payload, "summary", "payload.", faults, required=True)
    source = _text(payload, "source", "payload.", faults)
    details = _details(payload)
    change = Change(
        headline(summary, "payload.summary", notes),
        clip(source, MAX_SUMMARY, "payload.source", notes),
        at=moment(payload.get("timestamp"), "payload.timestamp", notes),
        labels=fit_labels(details, notes),
        links=_links(event, faults, notes),
        details=fit_details(details, notes),
    )
    change.service = first_label(change.labels, SERVICE_LABELS)[:MAX_NAME]
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


def refused(error: TocsinError) -> dict[str, Any]:
    """The body of a 400, whatever was wrong: clients of the protocol know no other refusal."""
    faults: Sequence[TocsinError] = error.faults if isinstance(error, UnusableMany) else (error,)
    return {
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": [shown(fault.sentence, 500) for fault in faults],
    }


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_EVENT_BODY:
        raise Unusable(f"the event is larger than {MAX_EVENT_BODY // 1024} kB", "$")
    event = decode_foreign(body, what="the event")
    if not isinstance(event, dict):
        raise Unusable("the event is not a JSON object", "$")
    return event


def _text(
    holder: dict[str, Any], name: str, prefix: str, faults: list[Unusable], *, required: bool = False
) -> str:
    value = holder.get(name)
    if value is None or value == "" or (required and isinstance(value, str) and not one_line(value)):
        if required:
            faults.append(Unusable(f"'{prefix}{name}' is missing or blank", prefix + name))
        return ""
    if not isinstance(value, str):
        faults.append(Unusable(f"'{prefix}{name}' is not a string", prefix + name))
        return ""
    return value


def _details(payload: dict[str, Any]) -> dict[str, Any]:
    details = payload.get("custom_details")
    if details is None:
        return {}
    return details if isinstance(details, dict) else {"details": details}


def _payload(payload: Any, alert: Alert, faults: list[Unusable], notes: list[str]) -> None:
    if not isinstance(payload, dict):
        faults.append(Unusable("'payload' is missing or not an object", "payload"))
        return
    alert.summary = headline(
        _text(payload, "summary", "payload.", faults, required=True), "payload.summary", notes
    )
    source = _text(payload, "source", "payload.", faults, required=True)
    alert.source = clip(source, MAX_SUMMARY, "payload.source", notes)
    alert.severity = _text(payload, "severity", "payload.", faults, required=True)
    if alert.severity and alert.severity not in SEVERITIES:
        faults.append(
            Unusable(
                f"'payload.severity' is {alert.severity[:40]!r}; use critical, error, warning or info",
                "payload.severity",
            )
        )
    alert.started_at = alert.source_at = moment(payload.get("timestamp"), "payload.timestamp", notes)
    details = _details(payload)
    plain = {name: _text(payload, name, "payload.", faults) for name in ("component", "group", "class")}
    own = {**plain, "severity": alert.severity, "source": alert.source}
    own = {name: value for name, value in own.items() if value}
    alert.labels = fit_labels(
        {**own, **{name: value for name, value in details.items() if name not in own}}, notes
    )
    alert.details = fit_details(details, notes)
    alert.service = first_label(alert.labels, SERVICE_LABELS)[:MAX_NAME]
    alert.runbook_url = url_of(alert.labels.get("runbook_url") or alert.labels.get("runbook"))
    alert.dashboard_url = url_of(alert.labels.get("dashboard_url") or alert.labels.get("dashboard"))


def _links(event: dict[str, Any], faults: list[Unusable], notes: list[str]) -> list[Link]:
    """``links``, ``images`` and the client's address. What is no http(s) address is left out and noted."""
    found: list[Link] = []
    for field, address, text, other in (("links", "href", "text", ""), ("images", "src", "alt", "href")):
        listed = event.get(field)
        if listed is None:
            continue
        if not isinstance(listed, list):
            faults.append(Unusable(f"'{field}' is not a list", field))
            continue
        for index, link in enumerate(listed):
            if not isinstance(link, dict) or not isinstance(link.get(address), str):
                faults.append(
                    Unusable(f"'{field}[{index}].{address}' is missing or not a string", f"{field}[{index}]")
                )
            else:
                add_link(found, (other and link.get(other)) or link[address], text_of(link.get(text)), notes)
    if client_url := text_of(event.get("client_url")):
        add_link(found, client_url, text_of(event.get("client")) or "Client", notes)
    return found
