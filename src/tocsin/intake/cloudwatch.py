"""Amazon CloudWatch alarms through SNS.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html and
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html. The alarm is JSON in a text within
the message. Signatures are not checked: the certificates they are checked with would have to be fetched from Amazon, and the
way in fetches nothing. The key in the address is what admits the sender.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tocsin.alerts.shape import MAX_NAME, Alert, Parsed, fit_details, fit_key, fit_labels, headline
from tocsin.intake.reading import first_text, json_object, list_of, moment, object_of, text_of, url_of
from tocsin.kernel.errors import Unusable

VIA = "cloudwatch"
_ACTIONS = {"ALARM": "trigger", "OK": "resolve", "INSUFFICIENT_DATA": ""}


def parse(body: bytes) -> Parsed:
    """One SNS message; raises :class:`Unusable`. The address that confirms a subscription is for owners, and kept whole."""
    message = json_object(body, "the SNS message")
    kind = text_of(message.get("Type"))
    parsed = Parsed()
    if kind in ("SubscriptionConfirmation", "UnsubscribeConfirmation"):
        address = _amazons(message.get("SubscribeURL")) if kind == "SubscriptionConfirmation" else ""
        parsed.notes.append(_confirmation(message, kind, address))
        parsed.private += [f"open to confirm: {address}"] if address else []
        return parsed
    if kind == "Notification":
        text = message.get("Message")
        if not isinstance(text, str):
            raise Unusable(
                "'Message' is missing or not text; leave raw message delivery off or send the alarm itself",
                "$.Message",
            )
        alarm = json_object(text.encode(), "the alarm in 'Message'")
    else:
        alarm = message  # raw message delivery sends the alarm alone
    _alarm(alarm, parsed)
    return parsed


def confirmation_url(body: bytes) -> str:
    """The address that confirms a subscription, only where it is Amazon's own; else empty. Raises :class:`Unusable`."""
    message = json_object(body, "the SNS message")
    if text_of(message.get("Type")) != "SubscriptionConfirmation":
        return ""
    return _amazons(message.get("SubscribeURL"))


def _amazons(value: Any) -> str:
    address = url_of(value)
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    own = host.startswith("sns.") and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))
    return address if parts.scheme == "https" and own and port in (None, 443) and not parts.username else ""


def _confirmation(message: dict[str, Any], kind: str, address: str) -> str:
    topic = text_of(message.get("TopicArn"))[:200]
    if kind == "UnsubscribeConfirmation":
        return f"SNS ended the subscription to {topic}; alarms of that topic no longer arrive"
    if not address:
        return f"SNS asks to confirm the subscription to {topic}, but its address is not Amazon's; it was left alone"
    return f"SNS asks to confirm the subscription to {topic}: an owner finds the address to open with this request"


def _metric(trigger: dict[str, Any]) -> dict[str, Any]:
    """What an alarm watches; of one that computes with several metrics the first."""
    if text_of(trigger.get("MetricName")):
        return trigger
    named = (
        object_of(object_of(one.get("MetricStat")).get("Metric"))
        for one in list_of(trigger.get("Metrics"))
        if isinstance(one, dict)
    )
    return next((one for one in named if text_of(one.get("MetricName"))), trigger)


def _contributor(alarm: dict[str, Any]) -> str:
    """One of the series of an alarm on many, each of which has a state of its own; empty for the alarm as a whole."""
    within = object_of(alarm.get("AlarmContributor"))
    return first_text(alarm, "AlarmContributorId") or first_text(
        within, "ContributorId", "AlarmContributorId"
    )


def _alarm(alarm: dict[str, Any], parsed: Parsed) -> None:
    name, state = text_of(alarm.get("AlarmName")), text_of(alarm.get("NewStateValue"))
    if not name or state not in _ACTIONS:
        raise Unusable(
            "'AlarmName' or 'NewStateValue' (ALARM, OK, INSUFFICIENT_DATA) is missing; send a CloudWatch alarm",
            "$.AlarmName",
        )
    if not _ACTIONS[state]:
        parsed.notes.append(f"the alarm {name[:200]} has not enough data; nothing to do")
        return
    region, account = text_of(alarm.get("Region")), text_of(alarm.get("AWSAccountId"))
    trigger = _metric(object_of(alarm.get("Trigger")))
    dimensions = {
        f"dimension_{first_text(one, 'name', 'Name')}": first_text(one, "value", "Value")
        for one in list_of(trigger.get("Dimensions"))
        if isinstance(one, dict)
    }
    key = text_of(alarm.get("AlarmArn")) or f"alarm/{account}/{region}/{name}"
    if contributor := _contributor(alarm):
        key = f"{key}/{contributor}"
    alert = Alert(_ACTIONS[state], fit_key(key), via=VIA)
    words = first_text(alarm, "AlarmDescription", "NewStateReason")
    alert.summary = headline(f"{name}: {words}" if words else name, "the summary", parsed.notes)
    alert.source_at = moment(alarm.get("StateChangeTime"), "$.StateChangeTime", parsed.notes)
    alert.started_at = alert.source_at if alert.action == "trigger" else 0
    alert.source = first_text(dimensions, *dimensions)[:MAX_NAME] or region
    labels = {
        "alertname": name, "region": region, "account": account, "namespace": text_of(trigger.get("Namespace")),
        "metric": text_of(trigger.get("MetricName")), **dimensions,
    }  # fmt: skip
    alert.labels = fit_labels({label: value for label, value in labels.items() if value}, parsed.notes)
    alert.details = fit_details(alarm, parsed.notes)
    parsed.alerts.append(alert)
