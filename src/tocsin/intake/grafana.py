"""Grafana's webhooks: unified alerting (Alertmanager's shape with more), and legacy alerting before version 9.

Source: https://grafana.com/docs/grafana/latest/alerting/configure-notifications/manage-contact-points/integrations/webhook-notifier/
"""

from __future__ import annotations

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
)
from tocsin.intake.alertmanager_webhook import parse_notification
from tocsin.intake.reading import (
    SERVICE_LABELS,
    SOURCE_LABELS,
    add_link,
    first_label,
    first_text,
    json_object,
    list_of,
    object_of,
    text_of,
    url_of,
)
from tocsin.kernel.errors import Unusable

VIA = "grafana"
LEGACY = "grafana-legacy"


def parse(body: bytes) -> Parsed:
    """The alerts of one notification, of either kind; raises :class:`~tocsin.kernel.errors.Unusable`."""
    notification = json_object(body, "the notification", mends_nul=True)
    if "alerts" not in notification and ("ruleId" in notification or "evalMatches" in notification):
        return _legacy(notification)
    parsed = parse_notification(notification, via=VIA)
    sent = {
        text_of(one.get("fingerprint")): one
        for one in list_of(notification["alerts"])
        if isinstance(one, dict)
    }
    for alert in parsed.alerts:
        one = sent.get(alert.dedup_key, {})
        alert.dashboard_url = alert.dashboard_url or url_of(one.get("dashboardURL"))
        for name, text in (
            ("panelURL", "Panel"),
            ("dashboardURL", "Dashboard"),
            ("silenceURL", "Silence in Grafana"),
        ):
            if one.get(name):
                add_link(alert.links, one[name], text)
        if one.get("imageURL"):
            add_link(alert.links, one["imageURL"], "Image")
    return parsed


def _legacy(notification: dict[str, Any]) -> Parsed:
    """One rule, one alert: its key is the rule's id (and its organisation's), so that its ``ok`` finds it again."""
    state = text_of(notification.get("state")).lower()
    if state not in ("alerting", "ok", "no_data", "pending", "paused"):
        raise Unusable(f"'state' is {state[:40]!r}; use alerting, ok or no_data", "$.state")
    # a rule that is not saved yet, as one that is tried out, has the id 0
    numbered = text_of(notification.get("ruleId")) not in ("", "0")
    rule = first_text(notification, *(["ruleId"] if numbered else []), "ruleName", "title", "ruleId")
    if not rule:
        raise Unusable("'ruleId' and 'ruleName' are missing; one of them tells rules apart", "$.ruleId")
    parsed = Parsed()
    if state in ("pending", "paused"):
        parsed.notes.append(f"the rule is {state}; nothing to do")
        return parsed
    matches = [one for one in list_of(notification.get("evalMatches")) if isinstance(one, dict)]
    labels: dict[str, Any] = {}
    for match in matches[:1]:
        labels.update(object_of(match.get("tags")))
    labels.update(object_of(notification.get("tags")))
    labels["alertname"] = first_text(notification, "ruleName", "title") or rule
    text_labels = fit_labels({name: value for name, value in labels.items() if value != ""}, parsed.notes)
    organisation = text_of(notification.get("orgId"))
    alert = Alert(
        "resolve" if state == "ok" else "trigger", fit_key(f"rule/{organisation}/{rule}"), via=LEGACY
    )
    title = first_text(notification, "title", "ruleName", "message") or rule
    alert.summary = headline(title, "the title", parsed.notes)
    alert.labels = text_labels
    alert.severity = normal_severity(text_labels.get("severity", ""))
    alert.service = first_label(text_labels, SERVICE_LABELS)[:MAX_NAME]
    alert.source = first_label(text_labels, SOURCE_LABELS)[:MAX_NAME]
    alert.dashboard_url = url_of(notification.get("ruleUrl"))
    for name, text in (("ruleUrl", "Rule"), ("imageUrl", "Image")):
        if notification.get(name):
            add_link(alert.links, notification[name], text, parsed.notes)
    details: dict[str, Any] = {"state": state}
    if message := text_of(notification.get("message")):
        details["message"] = message
    if matches:
        details["matches"] = matches[:50]
    alert.details = fit_details(details, parsed.notes)
    parsed.alerts.append(alert)
    return parsed
