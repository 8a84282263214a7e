"""E-mail over SMTP (RFC 5321, RFC 5322). A 250 means that the server took it, not that anybody read it.

Connections pass the guard as all others do. The server may stand inside: the operator names it, and no contact chooses it.
"""

from __future__ import annotations

import hashlib
import smtplib
import socket
import ssl
from email.headerregistry import Address
from email.message import EmailMessage

import msgspec

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message, Receipt
from tocsin.kernel.redact import mask
from tocsin.providers.egress import Guard


class SmtpConfig(msgspec.Struct, frozen=True):
    """``tls``: none, starttls or tls. Time-out in seconds."""

    host: str
    port: int = 25
    user: str = ""
    password: str = ""
    sender: str = "tocsin@localhost"
    tls: str = "none"
    timeout: int = 20
    ca_bundle: str = ""
    """file of certificates to trust instead of the system's"""

    def __repr__(self) -> str:
        return f"SmtpConfig({self.host}:{self.port}, {self.tls})"


class _Guarded(smtplib.SMTP):
    """Connects through the guard."""

    def __init__(self, guard: Guard, host: str, port: int, timeout: float) -> None:
        self._guard = guard
        super().__init__(host, port, timeout=timeout)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._guard.connect(host, port, timeout)


class _GuardedTls(smtplib.SMTP_SSL):
    """The same with TLS from the first byte."""

    def __init__(
        self, guard: Guard, host: str, port: int, timeout: float, context: ssl.SSLContext
    ) -> None:  # fmt: skip
        self._guard = guard
        super().__init__(host, port, timeout=timeout, context=context)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self.context.wrap_socket(self._guard.connect(host, port, timeout), server_hostname=host)


class SmtpChannel:
    """One connection for each message; Message-ID carries the idempotency key."""

    name = "email"
    wakes = False

    def __init__(self, config: SmtpConfig, guard: Guard | None = None) -> None:
        self._config = config
        self._guard = guard or Guard([config.host])

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
        context = ssl.create_default_context(cafile=config.ca_bundle or None)
        if config.tls == "tls":
            server: smtplib.SMTP = _GuardedTls(self._guard, config.host, config.port, config.timeout, context)
        else:
            server = _Guarded(self._guard, config.host, config.port, config.timeout)
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
