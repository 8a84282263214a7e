"""Pages handed to PagerDuty's Events API v2, so that Tocsin can stand in front of a pager that is there already.

https://developer.pagerduty.com/docs/send-alert-event
"""

from __future__ import annotations

import re

import msgspec

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message, Receipt
from tocsin.providers.egress import Egress, judge

KEY = re.compile(r"^[A-Za-z0-9]{32}$")
SEVERITIES = {0: "critical", 1: "error", 2: "warning", 3: "info"}


class PagerDutyChannel:
    """``address`` is a routing key of 32 letters and digits; the dedup key is the incident's, so that repeats join."""

    name = "pagerduty"
    wakes = True

    def __init__(self, egress: Egress, base_url: str = "https://events.pagerduty.com") -> None:
        self._egress, self._base = egress, base_url.rstrip("/")

    def deliver(self, message: Message) -> Receipt:
        if not KEY.match(message.to):
            raise DeliveryFailed(
                "pagerduty: the contact is no routing key of 32 letters and digits", permanent=True
            )
        body: dict[str, object] = {
            "routing_key": message.to, "event_action": message.action, "dedup_key": (message.thread or message.key)[:255],
        }  # fmt: skip
        if message.action == "trigger":
            body["payload"] = {
                "summary": message.title[:1024], "source": "tocsin", "severity": SEVERITIES.get(message.urgency, "info"),
                "custom_details": {"text": message.text[:8000], "acknowledge": message.ack_url},
            }  # fmt: skip
            body["client"] = "Tocsin"
            links = [(message.ack_url, "Acknowledge in Tocsin"), (message.page_url, "Open in Tocsin")]
            body["links"] = [{"href": url, "text": text} for url, text in links if url]
        answer = self._egress.send(
            "pagerduty",
            "POST",
            f"{self._base}/v2/enqueue",
            headers={"Content-Type": "application/json"},
            content=msgspec.json.encode(body),
        )
        told = answer.json()
        said = (
            "; ".join(map(str, told.get("errors") or [told.get("message", "")]))
            if isinstance(told, dict)
            else ""
        )
        judge("pagerduty", answer, said)
        return Receipt("accepted", str(told.get("dedup_key", ""))[:100] if isinstance(told, dict) else "")
