"""Push through ntfy (https://docs.ntfy.sh/publish/), its own server or the public one: publishing as JSON."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import msgspec

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message, Receipt
from tocsin.providers.egress import Egress, judge

TOPIC = re.compile(r"^[-_A-Za-z0-9]{1,64}$")
PRIORITIES = {0: 5, 1: 4, 2: 3, 3: 2}
"""urgency → ntfy's priority; 5 breaks through *do not disturb*"""


class NtfyChannel:
    """``address`` is a topic on ``server``, or the whole URL of a topic elsewhere (where the token is not sent)."""

    name = "ntfy"
    wakes = True

    def __init__(self, egress: Egress, server: str = "https://ntfy.sh", token: str = "") -> None:
        self._egress, self._server, self._token = egress, server.rstrip("/"), token

    def deliver(self, message: Message) -> Receipt:
        server, topic = self._place(message.to)
        page = message.kind == "page"
        body: dict[str, object] = {
            "topic": topic, "title": message.title[:250], "message": message.text.encode()[:4000].decode("utf-8", "ignore"),
            "priority": 5 if page and message.urgency <= 1 else PRIORITIES.get(message.urgency, 3),
            "tags": ["rotating_light" if page else "information_source"], "actions": self._actions(message),
        }  # fmt: skip
        if message.page_url:
            body["click"] = message.page_url
        body["sequence_id"] = _sequence(
            message.key
        )  # ntfy 2.16: a repeat replaces the notification instead of ringing again
        headers = {"Content-Type": "application/json"}
        if self._token and server == self._server:
            headers["Authorization"] = f"Bearer {self._token}"
        answer = self._egress.send("ntfy", "POST", server, headers=headers, content=msgspec.json.encode(body))
        judge(
            "ntfy",
            answer,
            str((answer.json() or {}).get("error", "")) if isinstance(answer.json(), dict) else "",
        )
        told = answer.json()
        return Receipt("accepted", str(told.get("id", ""))[:100] if isinstance(told, dict) else "")

    def _actions(self, message: Message) -> list[dict[str, object]]:
        """At most three buttons; the first acknowledges with one tap, without opening anything."""
        actions: list[dict[str, object]] = []
        if message.ack_url:
            actions.append(
                {
                    "action": "http",
                    "label": "Acknowledge",
                    "url": message.ack_url,
                    "method": "POST",
                    "clear": True,
                }
            )
        if message.page_url:
            actions.append({"action": "view", "label": "Open", "url": message.page_url})
        return actions

    def _place(self, address: str) -> tuple[str, str]:
        server, topic = self._server, address
        if "://" in address:
            parts = urlsplit(address)
            server, topic = f"{parts.scheme}://{parts.netloc}", parts.path.strip("/")
        if not TOPIC.match(topic):
            raise DeliveryFailed(
                f"ntfy: {topic[:80]!r} is no topic; use 1 to 64 letters, digits, - and _", permanent=True
            )
        return server, topic


def _sequence(key: str) -> str:
    """The idempotency key in the letters that ntfy takes, so that a repeat replaces the first notification."""
    return re.sub(r"[^-_A-Za-z0-9]", "-", key)[-64:]
