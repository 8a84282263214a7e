"""Pingdom's webhook. Source: https://www.pingdom.com/resources/webhooks/."""

from __future__ import annotations

from tocsin.alerts.shape import MAX_NAME, Alert, Parsed, fit_details, fit_key, fit_labels, headline
from tocsin.intake.reading import add_link, first_text, json_object, list_of, moment, object_of, text_of
from tocsin.kernel.errors import Unusable

VIA = "pingdom"
_UP = ("UP", "SUCCESS")
_SEVERITY = {"HIGH": "critical", "LOW": "warning"}


def parse(body: bytes) -> Parsed:
    """One change of a check's state; raises :class:`Unusable`."""
    sent = json_object(body)
    check, state = text_of(sent.get("check_id")), text_of(sent.get("current_state")).upper()
    if not check:
        raise Unusable("'check_id' is missing; send Pingdom's own webhook body", "$.check_id")
    if not state:
        raise Unusable("'current_state' is missing; send Pingdom's own webhook body", "$.current_state")
    parsed = Parsed()
    name = first_text(sent, "check_name", "description") or f"check {check}"
    words = object_of(sent.get("check_params"))
    alert = Alert("resolve" if state in _UP else "trigger", fit_key(f"check/{check}"), via=VIA)
    reason = first_text(sent, "long_description", "description")
    alert.summary = headline(
        f"{name} is {state}" + (f": {reason}" if reason else ""), "the summary", parsed.notes
    )
    alert.severity = _SEVERITY.get(text_of(sent.get("importance_level")).upper(), "error")
    alert.source = first_text(words, "hostname", "full_url")[:MAX_NAME]
    changed = moment(sent.get("state_changed_timestamp"), "$.state_changed_timestamp", parsed.notes)
    alert.source_at = changed
    alert.started_at = 0 if alert.action == "resolve" else changed
    tags = {f"tag_{tag}": "true" for one in list_of(sent.get("tags")) if (tag := text_of(one))}
    alert.labels = fit_labels(
        {"alertname": name, "check_id": check, "check_type": text_of(sent.get("check_type")), **tags},
        parsed.notes,
    )
    if address := text_of(words.get("full_url")):
        add_link(alert.links, address, "What is checked", parsed.notes)
    alert.details = fit_details(sent, parsed.notes)
    parsed.alerts.append(alert)
    return parsed
