"""One contract for every channel, against servers that check what the vendor checks."""

import base64
import socket
import threading
from urllib.parse import unquote_plus

import pytest
from wire import Hook, Ntfy, PagerDuty, Slack, Twilio

from tocsin.kernel.clock import ManualClock
from tocsin.kernel.errors import DeliveryFailed, Unusable
from tocsin.kernel.ports import Message
from tocsin.providers.egress import Egress, EgressConfig
from tocsin.providers.ntfy import NtfyChannel
from tocsin.providers.pagerduty_out import PagerDutyChannel
from tocsin.providers.slack import SlackChannel
from tocsin.providers.twilio import SmsChannel, TwilioConfig, VoiceChannel
from tocsin.providers.webhook import WebhookChannel, signing_key

LOCAL = Egress(EgressConfig(allow=("127.0.0.1",), timeout=5))


@pytest.fixture(autouse=True, scope="module")
def _closed():
    yield
    LOCAL.close()


def twilio(vendor, channel):
    config = TwilioConfig(
        vendor.account, vendor.token, vendor.number, "https://t.example/in/reply/{kind}/KEY", vendor.url
    )
    return channel(LOCAL, config)


@pytest.mark.parametrize(
    ("userinfo", "said"),
    [("u:p%40w@", "u:p@w"), ("token@", "token:"), ("", None)],
)
def test_an_address_that_names_whom_it_belongs_to_is_asked_in_their_name(userinfo, said):
    vendor = Hook()
    try:
        url = vendor.url.replace("http://", f"http://{userinfo}") + "/hook"
        WebhookChannel(LOCAL, ManualClock(), vendor.secret).deliver(message(url))
        sent = vendor.requests[-1].headers.get("authorization")
        assert sent == (said and f"Basic {base64.b64encode(said.encode()).decode()}")
    finally:
        vendor.close()


def test_what_a_provider_says_itself_takes_the_place_of_what_is_always_said():
    sent = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            line = server.accept()[0]
            with line:
                sent.append(line.recv(65536))
                line.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        own = {"user-agent": "other", "authorization": "Bearer t"}
        LOCAL.send("x", "POST", f"http://u:p@127.0.0.1:{server.getsockname()[1]}/", headers=own)
        thread.join()
    lines = [line.lower() for line in sent[0].split(b"\r\n")]
    assert [line for line in lines if line.startswith((b"user-agent", b"authorization"))] == [
        b"user-agent: other",
        b"authorization: bearer t",
    ]


KINDS = {
    "ntfy": (Ntfy, "on-call_anna", lambda v: NtfyChannel(LOCAL, v.url, v.token)),
    "webhook": (Hook, None, lambda v: WebhookChannel(LOCAL, ManualClock(), v.secret)),
    "slack": (Slack, "C024BE91L", lambda v: SlackChannel(LOCAL, v.token, v.url)),
    "sms": (Twilio, "+49 151 12345678", lambda v: twilio(v, SmsChannel)),
    "voice": (Twilio, "+4915112345678", lambda v: twilio(v, VoiceChannel)),
    "pagerduty": (PagerDuty, "R" * 32, lambda v: PagerDutyChannel(LOCAL, v.url)),
}


@pytest.fixture(params=sorted(KINDS))
def wired(request):
    vendor_class, address, make = KINDS[request.param]
    vendor = vendor_class()
    yield request.param, vendor, make(vendor), address or vendor.url + "/hook"
    vendor.close()


def message(
    to,
    *,
    urgency=0,
    kind="page",
    text="payments down\n\nSince 10:00 UTC",
    title="P1 INC-1: payments down <&>",
):
    return Message(
        "fact:page:anna:phone", to, title, text, "P1 INC-1 ACK: https://t.example/a/tok", urgency, kind,
        "https://t.example/a/tok" if kind == "page" else "", "https://t.example/incidents/INC-1", thread="01INC", id="01ROW",
    )  # fmt: skip


@pytest.mark.semantics(15)
def test_the_vendor_takes_a_page_and_a_notice(wired):
    _, vendor, channel, address = wired
    assert channel.deliver(message(address)).outcome in ("accepted", "delivered")
    assert channel.deliver(message(address, urgency=2, kind="notice")).outcome in ("accepted", "delivered")
    assert len(vendor.requests) == 2


@pytest.mark.semantics(15)
def test_a_test_carries_its_code_whatever_the_channel_shows_of_a_message(wired):
    kind, vendor, channel, address = wired
    said = "Tocsin can reach Anna by this. The code is 076878: write it on your page to confirm."
    channel.deliver(Message("test:1", address, "Test page from Tocsin", said, said, 0, "test", id="01ROW"))
    sent = vendor.requests[0]
    if kind == "voice":
        assert sent.form["Twiml"].count("The code is 0 7 6 8 7 8:") == 2, "heard digit by digit, and twice"
    else:
        assert "076878" in unquote_plus(sent.body.decode())


def test_a_page_of_the_ugliest_text_is_taken_too(wired):
    _, _, channel, address = wired
    ugly = "".join(chr(c) for c in (1, 9, 10, 0x202E, 0x1F525)) + "</Say><Hangup/>&\"'" + "x" * 20_000
    channel.deliver(message(address, text=ugly, title=ugly.replace("\x01", "")))


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_what_may_pass_is_tried_again_when_the_vendor_asks_for_it(wired, status):
    _, vendor, channel, address = wired
    vendor.script.append((status, {}, {"Retry-After": "17"}))
    with pytest.raises(DeliveryFailed) as failed:
        channel.deliver(message(address))
    assert (failed.value.permanent, failed.value.retry_after) == (False, 17)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 413])
def test_what_will_not_mend_is_permanent(wired, status):
    _, vendor, channel, address = wired
    vendor.script.append((status, {"message": "no", "error": "no"}, {"Location": "http://169.254.169.254/"}))
    with pytest.raises(DeliveryFailed) as failed:
        channel.deliver(message(address))
    assert failed.value.permanent
    assert len(vendor.requests) == 1, "a redirect is not followed"


def test_no_secret_is_in_what_people_read(wired):
    kind, vendor, channel, address = wired
    secret = getattr(vendor, "token", "") or getattr(vendor, "secret", "") or address
    vendor.script.append((400, {"message": f"bad {secret}", "error": f"bad {secret}"}, {}))
    with pytest.raises(DeliveryFailed) as failed:
        channel.deliver(message(address))
    assert secret not in repr(channel) + repr(vars(channel).get("_config"))
    if kind in ("slack", "twilio"):
        assert secret not in failed.value.sentence


def test_a_vendor_that_is_not_there_is_worth_another_try(wired):
    _, vendor, channel, address = wired
    vendor.close()
    try:
        with pytest.raises(DeliveryFailed) as failed:
            channel.deliver(message(address))
        assert not failed.value.permanent
    finally:
        vendor.close = lambda: None


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("ntfy", "has space"),
        ("slack", "no such"),
        ("sms", "0151 123"),
        ("voice", "+1"),
        ("pagerduty", "short"),
        ("webhook", "ftp://x"),
    ],
)
def test_an_address_that_cannot_be_right_fails_for_good_before_anything_is_sent(kind, address):
    vendor_class, _, make = KINDS[kind]
    vendor = vendor_class()
    try:
        with pytest.raises(DeliveryFailed) as failed:
            make(vendor).deliver(message(address))
        assert failed.value.permanent
        assert vendor.requests == []
    finally:
        vendor.close()


@pytest.mark.semantics(15)
def test_a_push_rings_through_do_not_disturb_and_acknowledges_with_one_tap():
    vendor = Ntfy()
    try:
        NtfyChannel(LOCAL, vendor.url, vendor.token).deliver(message("topic"))
        body = vendor.requests[0].json
        assert body["priority"] == 5
        assert body["actions"][0] | {"clear": True} == {
            "action": "http", "label": "Acknowledge", "url": "https://t.example/a/tok", "method": "POST", "clear": True,
        }  # fmt: skip
        assert body["sequence_id"] == "fact-page-anna-phone"
    finally:
        vendor.close()


def test_the_token_of_the_own_server_is_not_sent_elsewhere():
    vendor = Ntfy()
    try:
        channel = NtfyChannel(LOCAL, "https://ntfy.example", vendor.token)
        with pytest.raises(DeliveryFailed, match="401"):
            channel.deliver(message(f"{vendor.url}/topic"))
        assert "authorization" not in vendor.requests[0].headers
    finally:
        vendor.close()


def test_a_repeat_of_a_web_hook_has_the_same_id_and_is_dropped():
    vendor = Hook()
    try:
        channel = WebhookChannel(LOCAL, ManualClock(), vendor.secret)
        channel.deliver(message(vendor.url))
        channel.deliver(message(vendor.url))
        assert len(vendor.requests) == 2
        assert len(vendor.taken) == 1
    finally:
        vendor.close()


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "not base64!"])
def test_a_webhook_secret_that_is_too_weak_stops_the_start(secret):
    with pytest.raises(Unusable, match="24 to 64 bytes"):
        signing_key(secret)


def test_slack_says_no_with_a_200():
    vendor = Slack()
    try:
        channel = SlackChannel(LOCAL, vendor.token, vendor.url)
        with pytest.raises(DeliveryFailed, match="channel_not_found") as failed:
            channel.deliver(message("CGONE00"))
        assert failed.value.permanent
        vendor.script.append((200, {"ok": False, "error": "ratelimited"}, {}))
        with pytest.raises(DeliveryFailed) as failed:
            channel.deliver(message("C024BE91L"))
        assert not failed.value.permanent
    finally:
        vendor.close()


def test_a_number_that_cannot_be_reached_is_permanent_and_says_why():
    vendor = Twilio()
    try:
        with pytest.raises(DeliveryFailed, match="21211") as failed:
            twilio(vendor, SmsChannel).deliver(message("+15005550001"))
        assert failed.value.permanent
    finally:
        vendor.close()
