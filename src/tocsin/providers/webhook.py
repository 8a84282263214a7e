"""Outgoing web hooks, signed as Standard Webhooks asks (https://www.standardwebhooks.com): id, timestamp, v1 signature."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from tocsin.kernel.clock import SECOND, Clock
from tocsin.kernel.errors import DeliveryFailed, Unusable
from tocsin.kernel.ports import Message, Receipt
from tocsin.providers.egress import Egress, judge


def signing_key(secret: str) -> bytes:
    """The bytes of a ``whsec_…`` secret (24 to 64 of them); raises :class:`Unusable`."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not 24 <= len(key) <= 64:
        raise Unusable("the webhook secret must be whsec_ and 24 to 64 bytes in base64", "webhook_secret")
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """The ``v1`` signature over id, timestamp (seconds) and body."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class WebhookChannel:
    """``address`` is a URL. The id of a message stays the same for each attempt; receivers drop repeats by it."""

    name = "webhook"
    wakes = False

    def __init__(self, egress: Egress, clock: Clock, secret: str) -> None:
        self._egress, self._clock, self._key = egress, clock, signing_key(secret)

    def deliver(self, message: Message) -> Receipt:
        now = self._clock.now() // SECOND
        body = msgspec.json.encode(
            {
                "type": f"{message.kind}.sent", "timestamp": now,
                "data": {
                    "title": message.title, "text": message.text, "urgency": message.urgency, "acknowledge_url": message.ack_url,
                    "url": message.page_url, **message.data,
                },
            }
        )  # fmt: skip
        message_id = "msg_" + hashlib.sha256(message.key.encode()).hexdigest()[:40]
        headers = {
            "Content-Type": "application/json", "webhook-id": message_id, "webhook-timestamp": str(now),
            "webhook-signature": signature(self._key, message_id, now, body), "Idempotency-Key": message_id,
        }  # fmt: skip
        if not message.to.startswith(("https://", "http://")):
            raise DeliveryFailed("webhook: its address must begin with https://", permanent=True)
        answer = self._egress.send("webhook", "POST", message.to, headers=headers, content=body)
        judge("webhook", answer)
        return Receipt("accepted", message_id)
