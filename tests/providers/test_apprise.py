"""Apprise: one address of a public service, and nothing that names a host, a file or several places."""

import pytest

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message
from tocsin.providers.apprise import SCHEMES, AppriseChannel, scheme_of

apprise = pytest.importorskip("apprise")
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")

TELEGRAM = "tgram://123456789:abcdefg_hijklmnop-qrstuvwxyz12345/12315544"


@pytest.fixture
def channel(monkeypatch):
    channel = AppriseChannel()
    channel.sent = []
    monkeypatch.setattr(
        apprise.Apprise, "notify", lambda self, **said: channel.sent.append((self, said)) or True
    )
    return channel


def message(to):
    return Message("k1", to, "P1 INC-7: payments down", "text", "short", 0)


def test_one_address_of_a_public_service_is_used(channel):
    assert channel.deliver(message(TELEGRAM)).outcome == "accepted"
    assert channel.sent[0][1] == {"title": "P1 INC-7: payments down", "body": "text"}


@pytest.mark.parametrize(
    "address",
    [
        f"{TELEGRAM},json://127.0.0.1/x",
        f"{TELEGRAM} json://127.0.0.1/x",
        f"{TELEGRAM}\tjson://127.0.0.1/x",
        f"{TELEGRAM};json://127.0.0.1/x",
        "json://169.254.169.254/latest",
        "gotify://127.0.0.1/token",
        "ntfy://127.0.0.1/topic",
        "matrix://user:word@127.0.0.1/room",
        "zulip://bot@inside.lan/token",
        "mailtos://user:word@inside.lan",
        "file:///etc/passwd",
        "exec://ls",
        "syslog://",
        "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js?template=/etc/passwd",
        "fcm://project/device?keyfile=/etc/passwd",
        "tgram",
        "",
    ],
)
def test_hosts_files_options_and_several_addresses_are_refused_for_good(channel, address):
    with pytest.raises(DeliveryFailed) as refused:
        channel.deliver(message(address))
    assert refused.value.permanent
    assert channel.sent == []


def test_no_service_of_the_list_takes_a_host_out_of_its_address():
    known = {}
    for service in apprise.Apprise().details()["schemas"]:
        for name in (*(service["protocols"] or ()), *(service["secure_protocols"] or ())):
            known[name] = service["details"]["templates"]
    assert set(known) >= SCHEMES
    assert [name for name in SCHEMES if any("{host}" in template for template in known[name])] == []


def test_the_refusal_names_what_there_is():
    with pytest.raises(DeliveryFailed, match="tgram"):
        scheme_of("gotify://x/y")
