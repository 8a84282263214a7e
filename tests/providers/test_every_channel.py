"""Every channel that stands in the code is known to people, built from settings, and has its page."""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import pytest
from test_channels_at_the_wire import KINDS as AT_THE_WIRE
from wire import Hook

import tocsin.providers
from tocsin.app import channels_of
from tocsin.catalogue.people import INTERRUPTING_KINDS, PROVIDERS
from tocsin.kernel.clock import ManualClock, SystemClock
from tocsin.kernel.ports import Message
from tocsin.providers.console import ConsoleChannel
from tocsin.providers.egress import Egress, EgressConfig
from tocsin.providers.webhook import WebhookChannel
from tocsin.settings import Settings

PAGES = Path(__file__).parents[2] / "docs" / "integrations"
OWN_SUITES = {"email": "test_smtp.py", "apprise": "test_apprise.py"}
"""channels that speak no HTTP of ours"""
EVERYTHING = Settings(
    public_url="https://tocsin.example.com", smtp_host="mail.example.com", ntfy_server="https://ntfy.example.com",
    webhook_secret="whsec_" + "a" * 43 + "=", slack_token="xoxb-none", twilio_account="AC1", twilio_token="none",
    twilio_from="+15005550006", pagerduty_out=True, apprise=True,
)  # fmt: skip


def channels():
    """Channel → its class, for each class in :mod:`tocsin.providers` that delivers."""
    found = {}
    for module in pkgutil.iter_modules(tocsin.providers.__path__, "tocsin.providers."):
        for _, cls in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if cls.__module__ == module.name and hasattr(cls, "deliver"):
                name = getattr(cls, "name", "") or inspect.signature(cls).parameters["name"].default
                found[name] = cls
    return found


CHANNELS = channels()


def page_of(channel):
    """The page that the table of ways out names for a channel."""
    table = (PAGES / "README.md").read_text("utf-8")
    row = next((line for line in table.splitlines() if line.startswith("|") and f"| `{channel}`" in line), "")
    link = re.search(r"\(([\w-]+\.md)\)", row)
    assert link, f"docs/integrations/README.md has no row for the channel `{channel}` that links to its page"
    return PAGES / link[1]


@pytest.mark.parametrize("channel", sorted(CHANNELS))
def test_a_page_says_how_to_set_it_up_what_happens_when_it_fails_and_how_to_test_it(channel):
    text = page_of(channel).read_text("utf-8")
    for part in ("```", "## What arrives", "## When it fails", "## Test it"):
        assert part in text, f"{page_of(channel).name} says nothing under {part}"


@pytest.mark.parametrize("channel", sorted(CHANNELS))
def test_people_can_have_it_as_a_contact_and_it_wakes_them_where_it_says_so(channel):
    assert channel in PROVIDERS
    assert CHANNELS[channel].wakes == (channel in INTERRUPTING_KINDS)


def test_settings_build_every_channel_but_the_demonstrations():
    built = channels_of(EVERYTHING, ConsoleChannel(), ManualClock(), b"k" * 32)
    assert {name: type(one) for name, one in built.items()} == {
        name: cls for name, cls in CHANNELS.items() if name != "console"
    }


def test_the_receiver_of_a_web_hook_verifies_it_as_its_page_shows():
    found = {}
    exec(re.search(r"```python\n(.*?)```", (PAGES / "webhook.md").read_text("utf-8"), re.DOTALL)[1], found)
    vendor, egress = Hook(), Egress(EgressConfig(allow=("127.0.0.1",)))
    try:
        sent = Message("key", vendor.url, "P1 INC-1", "text", "short", 0, id="01ROW")
        WebhookChannel(egress, SystemClock(), vendor.secret).deliver(sent)
        WebhookChannel(egress, ManualClock(), vendor.secret).deliver(sent)
        now, long_ago = vendor.requests
        assert found["verified"](vendor.secret, now.headers, now.body)
        assert not found["verified"](vendor.secret, now.headers, now.body + b" ")
        assert not found["verified"](vendor.secret, long_ago.headers, long_ago.body)
    finally:
        egress.close()
        vendor.close()


@pytest.mark.parametrize("channel", sorted(set(CHANNELS) - {"console"}))  # the twin of all others
def test_it_is_held_to_the_contract_of_channels_or_has_a_suite_of_its_own(channel):
    assert channel in AT_THE_WIRE or (Path(__file__).parent / OWN_SUITES[channel]).is_file()
