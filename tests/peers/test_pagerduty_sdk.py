"""PagerDuty's own client library, pointed at a running Tocsin."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pagerduty
import pytest
from child_processes import TocsinProcess
from prepared import key_of, prepare

pytestmark = pytest.mark.real


def test_the_official_sdk_triggers_acknowledges_resolves_and_tells_of_changes(
    tmp_path: Path, start_tocsin: Callable[..., TocsinProcess]
) -> None:
    prepare(tmp_path / "tocsin", {"events": "pagerduty"})
    server = start_tocsin()
    client = pagerduty.EventsApiV2Client(key_of("events"))
    client._url = server.url  # the public setter insists on https, which a loopback test has none of
    key = client.trigger(
        "checkout errors at 12 %", "probe-1", severity="error", custom_details={"percent": 12}
    )
    assert client.trigger("checkout errors at 13 %", "probe-1", dedup_key=key, severity="error") == key
    client.acknowledge(key)
    client.resolve(key)
    links = [{"href": "https://ci.example/7", "text": "the build"}]
    at = "2026-03-03T10:00:00.000+0000"
    client.submit(
        "deployed 7", source="ci", custom_details={"service": "checkout"}, links=links, timestamp=at
    )
    client.send_change_event({"summary": "deployed 8"}, links=links)

    stranger = pagerduty.EventsApiV2Client("nobody")
    stranger._url = server.url
    with pytest.raises(pagerduty.Error):
        stranger.trigger("x", "y")
