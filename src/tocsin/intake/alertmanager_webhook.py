"""Alertmanager's webhook (version "4", and "3" before it), and the shape that Grafana's unified alerting shares with it.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config. These alerts never expire: Alertmanager
decides when an alert is over and says so.
"""

from __future__ import annotations

from typing import Any

from tocsin.alerts.shape import Alert, Parsed, fit_details, fit_key, fit_labels
from tocsin.intake.limits import MAX_ALERTS
from tocsin.intake.prometheus import describe, fingerprint, usable_labels
from tocsin.intake.reading import add_link, json_object, moment, object_of, taken, text_of
from tocsin.kernel.errors import Unusable

VIA = "alertmanager-webhook-v4"


def parse(body: bytes) -> Parsed:
    """The alerts of one notification. Raises :class:`~tocsin.kernel.errors.Unusable` where not one can be used."""
    # it does not send again what was refused: one alert with a NUL must not take the others with it
    return parse_notification(json_object(body, "the notification", mends_nul=True), via=VIA)


def parse_notification(notification: dict[str, Any], *, via: str) -> Parsed:
    """The alerts of a decoded notification; ``via`` names the format in the alerts."""
    listed = notification.get("alerts")
    if not isinstance(listed, list):
        raise Unusable(
            "'alerts' is missing or not a list; send Alertmanager's webhook body (version 4)", "$.alerts"
        )
    if len(listed) > MAX_ALERTS:
        raise Unusable(f"there are {len(listed)} alerts in one body; send at most {MAX_ALERTS}", "$.alerts")
    parsed = Parsed()
    for index, one in enumerate(listed):
        try:
            parsed.alerts.append(_alert(one, f"$.alerts[{index}]", notification, via, parsed.notes))
        except Unusable as fault:
            parsed.refused.append(f"{fault.where}: {fault.sentence}")
    cut = notification.get("truncatedAlerts")
    if isinstance(cut, int) and not isinstance(cut, bool) and cut > 0:
        parsed.notes.append(
            f"the sender left {cut} more alerts out of this body; raise max_alerts in its webhook_config"
        )
    taken(parsed.notes, len(parsed.alerts), parsed.refused, "$.alerts")
    return parsed


def _alert(one: Any, where: str, notification: dict[str, Any], via: str, notes: list[str]) -> Alert:
    if not isinstance(one, dict):
        raise Unusable("an alert is not an object; send it with status and labels", where)
    labels = one.get("labels")
    if labels is None:
        labels = notification.get("commonLabels")
    if not isinstance(labels, dict):
        raise Unusable("'labels' is missing or not an object of texts", f"{where}.labels")
    text_labels = usable_labels(labels, notes)
    if not text_labels:
        raise Unusable("at least one label with a value is required", f"{where}.labels")
    status = one.get("status") or notification.get("status") or "firing"
    if status not in ("firing", "resolved"):
        raise Unusable(f"'status' is {text_of(status)[:40]!r}; use firing or resolved", f"{where}.status")
    given = text_of(one.get("fingerprint"))
    resolved = status == "resolved"
    alert = Alert(
        "resolve" if resolved else "trigger",
        fit_key(given) if given else fingerprint(text_labels),
        labels=text_labels,
        via=via,
    )
    alert.started_at = moment(one.get("startsAt"), f"{where}.startsAt", notes)
    if resolved:
        alert.source_at = moment(one.get("endsAt"), f"{where}.endsAt", notes)
    annotations = object_of(one.get("annotations")) or object_of(notification.get("commonAnnotations"))
    describe(alert, fit_labels(annotations, notes), text_of(one.get("generatorURL")), notes)
    if external := text_of(notification.get("externalURL")):
        add_link(alert.links, external, "Alertmanager" if via == VIA else "Grafana")
    for name in ("receiver", "groupKey", "values", "valueString"):
        value = one.get(name, notification.get(name))
        if value not in (None, "", {}, []):
            alert.details[name] = value
    alert.details = fit_details(alert.details, notes)
    return alert
