"""Everything else through Apprise (https://github.com/caronc/apprise), an extra: ``pip install tocsin[apprise]``.

Apprise opens its own connections, outside the guard. So only public services are used whose hosts it knows by itself: an
address names an account there and never a host. Options after ``?`` are refused, because some of them read files.
"""

from __future__ import annotations

import importlib
import re
from typing import Any

from tocsin.kernel.errors import DeliveryFailed, Unusable
from tocsin.kernel.ports import Message, Receipt

SCHEMES = frozenset({
    "46elks", "brevo", "bulksms", "clicksend", "d7sms", "dingtalk", "discord", "feishu", "flock", "gchat", "guilded", "httpsms", "ifttt",
    "kavenegar", "lark", "line", "msg91", "msgbird", "nexmo", "onesignal", "opsgenie", "pagertree", "pbul", "plivo", "pover",
    "prowl", "psafer", "pushed", "pushme", "pushy", "resend", "sendgrid", "seven", "signl4", "sinch", "slack", "splunk", "spush", "tgram",
    "threema", "twilio", "twist", "victorops", "voipms", "vonage", "webex", "wecombot", "whatsapp", "wxteams",
})  # fmt: skip
"""public services with hosts of their own"""
ADDRESS = re.compile(r"([a-z0-9]+)://[!-~]+", re.IGNORECASE)


def scheme_of(address: str) -> str:
    """The service that an address names; raises :class:`DeliveryFailed` for one that is not used from here."""
    match = ADDRESS.fullmatch(address)
    if match is None or "," in address or "?" in address or address.count("://") != 1:
        raise DeliveryFailed(
            "apprise: a contact is one address such as tgram://token/chat, without spaces, commas or options after ?",
            permanent=True,
        )
    scheme = match[1].lower()
    if scheme not in SCHEMES:
        raise DeliveryFailed(
            f"apprise: {scheme[:20]}:// is not used from here; for hosts of your own there are the ntfy and webhook contacts, and"
            f" of public services {', '.join(sorted(SCHEMES))}",
            permanent=True,
        )
    return scheme


class AppriseChannel:
    """``address`` is an Apprise URL such as ``tgram://token/chat``. Raises :class:`Unusable` where the extra is missing."""

    name = "apprise"
    wakes = False

    def __init__(self) -> None:
        try:
            self._apprise: Any = importlib.import_module("apprise")
        except ImportError:
            raise Unusable("Apprise is not installed; pip install 'tocsin[apprise]'", "apprise") from None

    def deliver(self, message: Message) -> Receipt:
        scheme = scheme_of(message.to)
        sender = self._apprise.Apprise()
        if not sender.add(message.to) or len(sender) != 1:
            raise DeliveryFailed(f"apprise: the {scheme}:// address cannot be read", permanent=True)
        if not sender.notify(title=message.title, body=message.text):
            raise DeliveryFailed(f"apprise: {scheme}:// did not take the message")
        return Receipt("accepted")
