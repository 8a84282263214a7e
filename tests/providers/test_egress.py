"""What may go out: nothing inside the network unless it is named, whatever the address is dressed up as."""

import pytest

from tocsin.kernel.errors import DeliveryFailed, Unusable
from tocsin.providers.egress import Egress, EgressConfig, Guard, Refusal


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.8", "172.16.1.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255",
        "::1", "::", "fe80::1", "fc00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
def test_an_address_inside_is_refused(address):
    with pytest.raises(Refusal, match="inside the network"):
        Guard().check("example.com", address)


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "64:ff9b::5db8:d822"]
)
def test_an_address_of_the_open_internet_is_not(address):
    Guard().check("example.com", address)


def test_what_the_operator_names_may_be_reached_and_nothing_beside_it():
    guard = Guard(["ntfy.lan", "10.1.0.0/16", "192.168.5.5", " "])
    guard.check("NTFY.lan.", "10.9.9.9")
    guard.check("x", "10.1.200.3")
    guard.check("x", "::ffff:10.1.200.3")
    guard.check("x", "192.168.5.5")
    for address in ("10.2.0.1", "192.168.5.6"):
        with pytest.raises(Refusal):
            guard.check("x", address)


def test_an_allow_list_that_cannot_be_read_stops_the_start():
    with pytest.raises(Unusable, match="neither a host nor a network"):
        Guard(["10.1.0.0/99"])


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9/x",
        "http://localhost:9/x",
        "http://2130706433:9/",
        "http://[::1]:9/",
        "http://0x7f.1:9/",
    ],
)
def test_no_spelling_of_the_loopback_gets_through(url):
    with pytest.raises(DeliveryFailed) as failed:
        Egress(EgressConfig(timeout=2)).send("webhook", "POST", url)
    assert failed.value.permanent
    assert "EGRESS_ALLOW" in failed.value.sentence


@pytest.mark.parametrize("url", ["file:///etc/passwd", "gopher://x", "http://", "notaurl"])
def test_what_is_no_web_address_fails_for_good(url):
    with pytest.raises(DeliveryFailed) as failed:
        Egress(EgressConfig(timeout=2)).send("webhook", "POST", url)
    assert failed.value.permanent


def test_an_address_without_its_scheme_is_said_in_words():
    for url in ("ntfy.sh", "127.0.0.1:9331"):
        with pytest.raises(DeliveryFailed, match="it does not begin with https://; write it like https://"):
            Egress().send("ntfy", "POST", url)
    with pytest.raises(DeliveryFailed, match="ftp:// is not spoken here"):
        Egress().send("ntfy", "POST", "ftp://ntfy.sh")


def test_an_address_is_looked_at_as_a_request_would_be_and_nothing_is_sent():
    Egress(EgressConfig(("127.0.0.1",))).look("ntfy", "http://127.0.0.1:9")
    with pytest.raises(DeliveryFailed, match="TOCSIN_EGRESS_ALLOW") as refused:
        Egress().look("ntfy", "http://127.0.0.1:9")
    assert refused.value.permanent
    with pytest.raises(DeliveryFailed, match="cannot be resolved") as unknown:
        Egress().look("ntfy", "https://no.such.host.invalid")
    assert not unknown.value.permanent
    Egress(EgressConfig(proxy="http://proxy.example:3128")).look(
        "ntfy", "https://only.the.proxy.knows.invalid"
    )
