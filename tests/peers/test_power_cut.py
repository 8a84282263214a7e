"""A server that is killed in the middle of its work has lost nothing that it answered for."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest
from child_processes import TocsinProcess

pytestmark = pytest.mark.real


def test_an_alert_that_was_answered_survives_a_power_cut(start_tocsin: Callable[..., TocsinProcess]) -> None:
    server = start_tocsin()
    bearer = {"Authorization": f"Bearer {server.token}"}
    event = {
        "routing_key": server.integration_key,
        "event_action": "trigger",
        "dedup_key": "db-1",
        "payload": {"summary": "db-1 does not answer", "source": "probe", "severity": "critical"},
    }
    answer = httpx2.post(f"{server.url}/v2/enqueue", json=event, trust_env=False)
    assert (answer.status_code, answer.json()["dedup_key"]) == (202, "db-1")

    server.kill()
    server.restart()

    listed = httpx2.get(f"{server.url}/api/v1/incidents", headers=bearer, trust_env=False).json()["incidents"]
    assert [incident["title"] for incident in listed] == ["db-1 does not answer"]
