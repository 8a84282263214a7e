"""SMS and calls through Twilio (https://www.twilio.com/docs/messaging/api/message-resource, …/voice/api/call-resource).

What comes back (replies, key presses, delivery states) is believed only with Twilio's signature
(https://www.twilio.com/docs/usage/security#validating-requests).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from html import escape
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from tocsin.kernel.errors import DeliveryFailed, Unauthenticated
from tocsin.kernel.ports import Message, Receipt, Reply
from tocsin.providers.egress import Answer, Egress, judge

E164 = re.compile(r"^\+[1-9]\d{6,14}$")
ACKNOWLEDGE, DECLINE = "4", "6"
"""the keys to press: I have it; I cannot take it"""
FAILED = frozenset({"failed", "undelivered", "busy", "no-answer", "canceled"})


class TwilioConfig(msgspec.Struct, frozen=True):
    """``sender``: a number in E.164, or a messaging service (MG…) for SMS. ``replies``: base URL of the answers, with its key at the end filled in by kind."""

    account: str
    token: str
    sender: str
    replies: str = ""
    """``https://…/in/reply/{kind}/KEY``; empty: nothing comes back"""
    base_url: str = "https://api.twilio.com"

    def __repr__(self) -> str:
        return f"TwilioConfig({self.account}, {self.sender})"

    def back(self, kind: str, **query: str) -> str:
        """Where Twilio sends what comes back; empty where nothing does."""
        url = self.replies.replace("{kind}", kind)
        return f"{url}?{urlencode(query)}" if url and query else url


class _Twilio:
    def __init__(self, egress: Egress, config: TwilioConfig) -> None:
        self._egress, self._config = egress, config

    def _post(self, resource: str, form: list[tuple[str, str]]) -> Receipt:
        config = self._config
        url = f"{config.base_url.rstrip('/')}/2010-04-01/Accounts/{config.account}/{resource}.json"
        answer = self._egress.send("twilio", "POST", url, form=form, auth=(config.account, config.token))
        told = _object(answer)
        code, said = told.get("code"), told.get("message", "")
        judge("twilio", answer, f"{said} (code {code})" if code else str(said))
        return Receipt("accepted", str(told.get("sid", ""))[:100])


def _object(answer: Answer) -> dict[str, object]:
    told = answer.json()
    return told if isinstance(told, dict) else {}


def _number(address: str) -> str:
    number = re.sub(r"[ ()./-]", "", address)
    if not E164.match(number):
        raise DeliveryFailed(
            f"twilio: {address[:40]!r} is no number; write it as +4915112345678", permanent=True
        )
    return number


class SmsChannel(_Twilio):
    """``address`` is a number in E.164. Answering ACK acknowledges."""

    name = "sms"
    wakes = True

    def deliver(self, message: Message) -> Receipt:
        sender = self._config.sender
        text = message.short + (
            " Reply ACK to take it." if message.kind == "page" and self._config.replies else ""
        )
        form = [("To", _number(message.to)), ("Body", text[:1600])]
        form.append(("MessagingServiceSid" if sender.startswith("MG") else "From", sender))
        if self._config.replies:
            form.append(("StatusCallback", self._config.back("status", m=message.id)))
        return self._post("Messages", form)


class VoiceChannel(_Twilio):
    """``address`` is a number in E.164. The call reads the title and takes a key: 4 acknowledges, 6 passes it on."""

    name = "voice"
    wakes = True

    def deliver(self, message: Message) -> Receipt:
        form = [
            ("To", _number(message.to)),
            ("From", self._config.sender),
            ("Twiml", self._script(message)),
            ("Timeout", "40"),
        ]
        if self._config.replies:
            form.append(("StatusCallback", self._config.back("status", m=message.id)))
            form.append(("StatusCallbackEvent", "completed"))
        return self._post("Calls", form)

    def _script(self, message: Message) -> str:
        if message.kind == "test":  # a code is heard digit by digit, and twice
            said = escape(re.sub(r"(?<=\d)(?=\d)", " ", message.text[:400]))
            return f'<Response><Say>{said}</Say><Pause length="2"/><Say>{said}</Say></Response>'
        said = escape(message.title[:400])
        if message.kind != "page" or not self._config.replies:
            return f"<Response><Say>Tocsin. {said}</Say></Response>"
        action = escape(
            self._config.back("voice", t=message.ack_url.rpartition("/")[2], m=message.id), quote=True
        )
        offer = f"Press {ACKNOWLEDGE} to acknowledge, {DECLINE} if you cannot take it."
        return (
            f'<Response><Gather input="dtmf" numDigits="1" timeout="8" action="{action}" method="POST">'
            f'<Say>Tocsin. {said}. {offer}</Say><Pause length="2"/><Say>{said}. {offer}</Say></Gather>'
            "<Say>Nothing was pressed. The page goes on.</Say></Response>"
        )


def sign(token: str, url: str, form: Sequence[tuple[str, str]]) -> str:
    """Twilio's signature of a form: HMAC-SHA1 over the URL and the sorted fields, in base64."""
    text = url + "".join(name + value for name, value in sorted(set(form)))
    return base64.b64encode(hmac.new(token.encode(), text.encode(), hashlib.sha1).digest()).decode()


def as_signed(url: str) -> list[str]:
    """The forms of an address that Twilio may have signed: as it stands, without a port, and with its scheme's own.

    Source: ``RequestValidator`` in twilio-python, which tries them too.
    """
    parts = urlsplit(url)
    host = parts.netloc.removesuffix(f":{parts.port}") if parts.port else parts.netloc
    own = f"{host}:{443 if parts.scheme == 'https' else 80}"
    return list(
        dict.fromkeys([url, parts._replace(netloc=host).geturl(), parts._replace(netloc=own).geturl()])
    )


class TwilioReplies:
    """Reads what Twilio sends back."""

    def __init__(self, token: str) -> None:
        self._token = token

    def read(self, kind: str, url: str, form: Sequence[tuple[str, str]], signature: str) -> Reply:
        expected = [sign(self._token, one, form).encode() for one in as_signed(url)]
        if not any(hmac.compare_digest(one, signature.encode()) for one in expected):
            raise Unauthenticated(
                "the signature is not Twilio's: is TOCSIN_PUBLIC_URL the address that Twilio calls?"
            )
        fields = dict(form)
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        state = fields.get("MessageStatus") or fields.get("CallStatus") or ""
        code = fields.get("ErrorCode", "")
        return Reply(
            kind, sender=fields.get("To" if kind == "voice" else "From", ""), text=fields.get("Body", ""), digits=fields.get("Digits", ""),
            token=query.get("t", ""), message=query.get("m", ""),
            state="failed" if state in FAILED else "delivered" if state in ("delivered", "read") else "",
            detail=f"twilio: {state}" + (f", error {code}" if code else ""),
        )  # fmt: skip

    def say(self, kind: str, text: str) -> tuple[str, bytes]:
        verb = "Message" if kind == "sms" else "Say"
        inner = f"<{verb}>{escape(text)}</{verb}>" if text else ""
        return (
            "text/xml; charset=utf-8",
            f'<?xml version="1.0" encoding="UTF-8"?><Response>{inner}</Response>'.encode(),
        )
