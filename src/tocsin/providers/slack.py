"""Slack messages through chat.postMessage (https://docs.slack.dev/reference/methods/chat.postMessage)."""

from __future__ import annotations

import re

import msgspec

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message, Receipt
from tocsin.providers.egress import Egress, judge

CONVERSATION = re.compile(r"^([CDGUW][A-Z0-9]{5,}|#?[a-z0-9_-]{1,80})$")
PASSING = frozenset({
    "ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org",
})  # fmt: skip
"""errors of an ``ok: false`` that are worth trying again; all others need somebody to mend them"""


class SlackChannel:
    """``address`` is a conversation (C…), a member (U…) or a channel's name. Needs a bot token with ``chat:write``."""

    name = "slack"
    wakes = False

    def __init__(self, egress: Egress, token: str, base_url: str = "https://slack.com/api") -> None:
        self._egress, self._token, self._base = egress, token, base_url.rstrip("/")

    def deliver(self, message: Message) -> Receipt:
        if not CONVERSATION.match(message.to):
            raise DeliveryFailed(
                f"slack: {message.to[:80]!r} is no conversation, member or channel", permanent=True
            )
        body = {
            "channel": message.to, "text": escape(message.title)[:3000], "blocks": blocks(message), "unfurl_links": False,
            "metadata": {"event_type": "tocsin_message", "event_payload": {"key": message.key}},
        }  # fmt: skip
        headers = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json; charset=utf-8",
        }
        url = f"{self._base}/chat.postMessage"
        answer = self._egress.send("slack", "POST", url, headers=headers, content=msgspec.json.encode(body))
        judge("slack", answer)
        told = answer.json()
        if not isinstance(told, dict) or told.get("ok") is not True:
            error = str(told.get("error", "no reason given")) if isinstance(told, dict) else "not JSON"
            raise DeliveryFailed(
                f"slack: {error[:100]}", permanent=isinstance(told, dict) and error not in PASSING
            )
        return Receipt("delivered", f"{told.get('channel', '')}/{told.get('ts', '')}"[:100])


def escape(text: str) -> str:
    """The three characters that Slack's text format takes for its own."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def blocks(message: Message) -> list[dict[str, object]]:
    """Title and text, and a button to acknowledge where there is something to acknowledge."""
    found: list[dict[str, object]] = [
        {"type": "section", "text": {"type": "mrkdwn", "text": f"*{escape(message.title)[:2900]}*"}},
        {"type": "section", "text": {"type": "plain_text", "text": message.text[:3000] or message.title}},
    ]
    buttons: list[dict[str, object]] = []
    for label, url, style in (("Acknowledge", message.ack_url, "primary"), ("Open", message.page_url, "")):
        if url:
            button: dict[str, object] = {
                "type": "button",
                "text": {"type": "plain_text", "text": label},
                "url": url,
            }
            buttons.append(button | ({"style": style} if style else {}))
    if buttons:
        found.append({"type": "actions", "elements": buttons})
    return found
