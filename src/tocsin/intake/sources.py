"""Every way in: its name in the address, how it is read, what to paste at the sender, and a body to test with."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tocsin.alerts.shape import Parsed
from tocsin.intake import (
    alertmanager_api,
    alertmanager_webhook,
    cloudwatch,
    generic,
    grafana,
    pagerduty,
    pingdom,
)
from tocsin.intake.limits import MAX_BATCH_BODY, MAX_BODY, MAX_EVENT_BODY
from tocsin.kernel.clock import MINUTE, Instant, to_iso
from tocsin.kernel.codec import encode

Parse = Callable[[bytes, Instant, dict[str, str]], Parsed]
"""(body, time of receipt, the integration's mapping) → what it holds; raises :class:`~tocsin.kernel.errors.Unusable`."""


class Source(msgspec.Struct, frozen=True):
    """One way in.

    ``kind``: ``webhook`` (``POST /in/NAME/KEY``), ``pagerduty``, ``alertmanager`` (their own addresses) or ``heartbeat``.
    ``snippet(url, key)``: text to paste at the sender; ``url`` is the public address without a slash at its end.
    ``sample(now, key)``: a body that opens a harmless test alert. ``limit``: bytes a body may have. ``page``: its page in
    ``docs/integrations``. ``maps``: whether it reads a mapping.
    """

    name: str
    title: str
    kind: str
    parse: Parse
    snippet: Callable[[str, str], str]
    sample: Callable[[Instant, str], bytes]
    limit: int = MAX_BODY
    page: str = ""
    maps: bool = False


TEST_SUMMARY = "Test of this integration; nothing is wrong"


def address(source: str, url: str, key: str) -> str:
    """Where a webhook of ``source`` posts to."""
    return f"{url}/in/{source}/{key}"


def _pagerduty(body: bytes, now: Instant, mapping: dict[str, str]) -> Parsed:
    parsed = Parsed()
    parsed.alerts.append(pagerduty.parse_enqueue(body, parsed.notes)[1])
    return parsed


def _pagerduty_snippet(url: str, key: str) -> str:
    return f"""\
# any PagerDuty Events v2 client: point it at this server and use this key
curl -X POST {url}/v2/enqueue -H 'Content-Type: application/json' -d '{{
  "routing_key": "{key}",
  "event_action": "trigger",
  "dedup_key": "disk-db1",
  "payload": {{"summary": "Disk almost full on db1", "source": "db1", "severity": "error"}}
}}'
"""


def _pagerduty_sample(now: Instant, key: str) -> bytes:
    payload = {"summary": TEST_SUMMARY, "source": "tocsin", "severity": "info", "timestamp": to_iso(now)}
    return encode(
        {"routing_key": key, "event_action": "trigger", "dedup_key": "tocsin-test", "payload": payload}
    )


def _api_snippet(url: str, key: str) -> str:
    scheme, _, rest = url.partition("://")
    host, _, path = rest.partition("/")
    prefix = f"/{path}" if path else ""
    return f"""\
# prometheus.yml
alerting:
  alertmanagers:
    - scheme: {scheme}
      path_prefix: {prefix}/in/alertmanager/{key}
      static_configs:
        - targets: ["{host}"]

# amtool
amtool --alertmanager.url={url}/in/alertmanager/{key} alert
"""


def _api_sample(now: Instant, key: str) -> bytes:
    labels = {"alertname": "TocsinTest", "severity": "info"}
    return encode([{"labels": labels, "annotations": {"summary": TEST_SUMMARY}, "startsAt": to_iso(now), "endsAt": to_iso(now + 5 * MINUTE)}])  # fmt: skip


def _webhook_snippet(url: str, key: str) -> str:
    return f"""\
# alertmanager.yml
receivers:
  - name: tocsin
    webhook_configs:
      - url: {address("alertmanager", url, key)}
        send_resolved: true
        max_alerts: 0
"""


def _notification(now: Instant, key: str) -> bytes:
    alert = {
        "status": "firing",
        "labels": {"alertname": "TocsinTest", "severity": "info"},
        "annotations": {"summary": TEST_SUMMARY},
        "startsAt": to_iso(now),
        "endsAt": "0001-01-01T00:00:00Z",
    }
    return encode({"version": "4", "status": "firing", "receiver": "tocsin", "alerts": [alert]})


def _grafana_snippet(url: str, key: str) -> str:
    return f"""\
# Grafana: Alerting, Contact points, Add contact point
#   Integration:  Webhook
#   URL:          {address("grafana", url, key)}
#   HTTP method:  POST
# or provisioned, in provisioning/alerting/tocsin.yaml
apiVersion: 1
contactPoints:
  - name: tocsin
    receivers:
      - uid: tocsin
        type: webhook
        settings: {{url: "{address("grafana", url, key)}", httpMethod: POST}}
"""


def _generic_snippet(url: str, key: str) -> str:
    return f"""\
curl -X POST {address("generic", url, key)} -H 'Content-Type: application/json' -d '{{
  "summary": "Disk almost full on db1",
  "dedup_key": "disk-db1",
  "severity": "error",
  "service": "database",
  "status": "firing"
}}'
# when it is over: the same dedup_key with "status": "resolved"
"""


def _generic_sample(now: Instant, key: str) -> bytes:
    return encode(
        {"summary": TEST_SUMMARY, "dedup_key": "tocsin-test", "severity": "info", "started_at": to_iso(now)}
    )


def _cloudwatch_snippet(url: str, key: str) -> str:
    return f"""\
aws sns subscribe --topic-arn TOPIC --protocol https --notification-endpoint {address("cloudwatch", url, key)}
# then open the confirmation address shown among the last requests of this integration,
# and name the topic in the alarm's actions: --alarm-actions TOPIC --ok-actions TOPIC
"""


def _cloudwatch_sample(now: Instant, key: str) -> bytes:
    alarm = {"AlarmName": "TocsinTest", "NewStateValue": "ALARM", "AlarmDescription": TEST_SUMMARY, "StateChangeTime": to_iso(now)}  # fmt: skip
    return encode({"Type": "Notification", "Message": encode(alarm).decode()})


def _pingdom_snippet(url: str, key: str) -> str:
    return f"""\
# Pingdom: Integrations, Add integration
#   Type:  Webhook
#   URL:   {address("pingdom", url, key)}
# then choose it under "Connect integrations" of each check
"""


def _pingdom_sample(now: Instant, key: str) -> bytes:
    return encode({"check_id": 1, "check_name": TEST_SUMMARY, "current_state": "DOWN", "importance_level": "LOW", "state_changed_timestamp": now // 1_000_000})  # fmt: skip


def _heartbeat_snippet(url: str, key: str) -> str:
    return f"""\
# at the end of a cron job
0 3 * * * /usr/local/bin/backup && curl -fsS -m 10 --retry 5 {address("heartbeat", url, key)}
"""


SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        Source("pagerduty", "PagerDuty Events API v2", "pagerduty", _pagerduty, _pagerduty_snippet, _pagerduty_sample, MAX_EVENT_BODY, "pagerduty"),
        Source("prometheus", "Prometheus and amtool (Alertmanager API v2)", "alertmanager", lambda body, now, mapping: alertmanager_api.parse_alerts(body, now), _api_snippet, _api_sample, MAX_BATCH_BODY, "prometheus"),
        Source("alertmanager", "Alertmanager webhook", "webhook", lambda body, now, mapping: alertmanager_webhook.parse(body), _webhook_snippet, _notification, MAX_BATCH_BODY, "alertmanager"),
        Source("grafana", "Grafana", "webhook", lambda body, now, mapping: grafana.parse(body), _grafana_snippet, _notification, MAX_BATCH_BODY, "grafana"),
        Source("generic", "Any JSON, with a mapping", "webhook", lambda body, now, mapping: generic.parse(body, mapping), _generic_snippet, _generic_sample, MAX_BODY, "generic", True),
        Source("cloudwatch", "Amazon CloudWatch through SNS", "webhook", lambda body, now, mapping: cloudwatch.parse(body), _cloudwatch_snippet, _cloudwatch_sample, MAX_BODY, "cloudwatch"),
        Source("pingdom", "Pingdom", "webhook", lambda body, now, mapping: pingdom.parse(body), _pingdom_snippet, _pingdom_sample, MAX_BODY, "pingdom"),
        Source("heartbeat", "Heartbeat", "heartbeat", lambda body, now, mapping: Parsed(), _heartbeat_snippet, lambda now, key: b"", MAX_BODY, "heartbeat"),
    )
}  # fmt: skip
"""By the name in the address."""
