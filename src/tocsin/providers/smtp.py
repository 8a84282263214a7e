"""E-mail over SMTP (RFC 5321, RFC 5322). A 250 means that the server took it, not that anybody read it."""

from __future__ import annotations

import hashlib
import smtplib
import ssl
from email.headerregistry import Address
from email.message import EmailMessage

import msgspec

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message, Receipt
from tocsin.kernel.redact import mask


class SmtpConfig(msgspec.Struct, frozen=True):
    """``tls``: none, starttls or tls. Time-out in seconds."""

    host: str
    port: int = 25
    user: str = ""
    password: str = ""
    sender: str = "tocsin@localhost"
    tls: str = "none"
    timeout: int = 20

    def __repr__(self) -> str:
        return f"SmtpConfig({self.host}:{self.port}, {self.tls})"


class SmtpChannel:
    """One connection for each message; Message-ID carries the idempotency key."""

    name = "email"
    wakes = False

    def __init__(self, config: SmtpConfig) -> None:
        self._config = config

    def deliver(self, message: Message) -> Receipt:
        letter = self._letter(message)
        try:
            with self._connect() as server:
                server.send_message(letter)
        except smtplib.SMTPRecipientsRefused as error:
            code, text = next(iter(error.recipients.values()))
            raise DeliveryFailed(
                f"the mail server refused the recipient: {code} {mask(_said(text))}", permanent=code >= 500
            ) from None
        except smtplib.SMTPResponseException as error:
            permanent = error.smtp_code >= 500 and not isinstance(error, smtplib.SMTPAuthenticationError)
            raise DeliveryFailed(
                f"the mail server said {error.smtp_code} {mask(_said(error.smtp_error))}", permanent=permanent
            ) from None
        except (OSError, smtplib.SMTPException) as error:
            raise DeliveryFailed(
                f"the mail server {self._config.host}:{self._config.port} could not be used: {mask(str(error))}"
            ) from None
        return Receipt("accepted", str(letter["Message-ID"]))

    def _connect(self) -> smtplib.SMTP:
        config = self._config
        context = ssl.create_default_context()
        if config.tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                config.host, config.port, timeout=config.timeout, context=context
            )
        else:
            server = smtplib.SMTP(config.host, config.port, timeout=config.timeout)
        if config.tls == "starttls":
            server.starttls(context=context)
        if config.user:
            server.login(config.user, config.password)
        return server

    def _letter(self, message: Message) -> EmailMessage:
        letter = EmailMessage()
        try:
            letter["To"] = Address(addr_spec=message.to)
            letter["From"] = Address("Tocsin", addr_spec=self._config.sender)
        except (ValueError, IndexError):
            raise DeliveryFailed(f"{message.to[:80]!r} is not a mail address", permanent=True) from None
        letter["Subject"] = " ".join(message.title.split())[:200]
        domain = self._config.sender.rpartition("@")[2]
        letter["Message-ID"] = f"<{hashlib.sha256(message.key.encode()).hexdigest()[:40]}@{domain}>"
        letter["Auto-Submitted"] = "auto-generated"
        if message.thread:
            letter["References"] = f"<{message.thread}@{domain}>"
        letter.set_content(message.text)
        if message.html:
            letter.add_alternative(message.html, subtype="html")
        return letter


def _said(text: bytes | str) -> str:
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
