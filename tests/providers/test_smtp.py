"""Mail through a real SMTP server on loopback."""

import socket

import msgspec
import pytest
from aiosmtpd.controller import Controller

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message
from tocsin.providers.egress import Guard
from tocsin.providers.smtp import SmtpChannel, SmtpConfig


class Box:
    """Keeps letters; refuses ``gone@`` for good and ``full@`` for now."""

    def __init__(self):
        self.letters = []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 no such user"
        if address.startswith("full@"):
            return "452 mailbox full"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.letters.append(envelope.content.decode())
        return "250 OK"


@pytest.fixture
def box():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(Box(), hostname="127.0.0.1", port=port)
    controller.start()
    yield controller.handler, SmtpChannel(SmtpConfig("127.0.0.1", port, sender="tocsin@t.example"))
    controller.stop()


def letter(to="anna@x.example", title="P1 INC-7: payments down", key="k1"):
    return Message(key, to, title, "text", "short", 0, html="<p>html</p>")


def test_a_letter_carries_the_idempotency_key_and_both_forms(box):
    handler, channel = box
    first, again = channel.deliver(letter()), channel.deliver(letter())
    assert first.outcome == "accepted", "a 250 is not delivery"
    assert first.reference == again.reference
    assert "Auto-Submitted: auto-generated" in handler.letters[0]
    assert "multipart/alternative" in handler.letters[0]


@pytest.mark.parametrize(
    ("to", "permanent"),
    [
        ("gone@x.example", True),
        ("full@x.example", False),
        ("no address", True),
        ("a@x.example\r\nBcc: b@x.example", True),
    ],
)
def test_a_refusal_says_whether_trying_again_helps(box, to, permanent):
    with pytest.raises(DeliveryFailed) as caught:
        box[1].deliver(letter(to))
    assert caught.value.permanent is permanent
    assert box[0].letters == []


def test_a_title_cannot_add_a_header(box):
    box[1].deliver(letter(title="down\r\nBcc: b@x.example"))
    assert "\nBcc:" not in box[0].letters[0]


def test_a_server_that_is_not_there_is_worth_retrying():
    with pytest.raises(DeliveryFailed) as caught:
        SmtpChannel(SmtpConfig("127.0.0.1", 9, timeout=2)).deliver(letter())
    assert not caught.value.permanent


def test_a_connection_goes_only_where_the_guard_lets_it(box):
    handler, channel = box
    config = channel._config
    with pytest.raises(DeliveryFailed, match="inside the network"):
        SmtpChannel(config, Guard()).deliver(letter())
    assert handler.letters == []
    SmtpChannel(config, Guard(["127.0.0.0/8"])).deliver(letter())
    assert len(handler.letters) == 1


def test_a_name_that_has_no_address_is_worth_retrying():
    with pytest.raises(DeliveryFailed, match="cannot be resolved") as caught:
        SmtpChannel(SmtpConfig("relay.invalid", 25, timeout=2)).deliver(letter())
    assert not caught.value.permanent


@pytest.mark.parametrize("tls", ["tls", "starttls"])
def test_a_server_without_the_tls_that_is_asked_for_is_not_used(box, tls):
    handler, channel = box
    config = msgspec.structs.replace(channel._config, tls=tls, timeout=2)
    with pytest.raises(DeliveryFailed):
        SmtpChannel(config).deliver(letter())
    assert handler.letters == []
