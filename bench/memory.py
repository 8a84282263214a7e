"""Resident memory with 100,000 active alerts, beside Alertmanager."""

from __future__ import annotations

import http.client
import json
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers import GROUPS, PEERS, Peer


def fill(peer: Peer, count: int) -> None:
    """Sends ``count`` alerts in bodies of 500; each lives for hours."""
    parts = urlsplit(peer.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 6 * 3600))
    for begin in range(0, count, 500):
        alerts = [
            {
                "labels": {"alertname": f"Alert{n % GROUPS}", "instance": f"host-{n}:9100", "job": "node", "severity": "warning"},
                "annotations": {"summary": f"host-{n} is slow"}, "endsAt": end,
            }
            for n in range(begin, min(begin + 500, count))
        ]  # fmt: skip
        connection.request(
            "POST", f"{parts.path}/api/v2/alerts", json.dumps(alerts), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()


def measure(count: int = 100_000) -> list[dict[str, object]]:
    """A row for each peer: empty and full."""
    rows: list[dict[str, object]] = []
    for make in PEERS:
        with tempfile.TemporaryDirectory() as folder, make(Path(folder) / "peer") as peer:
            empty = peer.memory()
            fill(peer, count)
            most = 0
            for _ in range(16):  # what is done with them afterwards counts too
                time.sleep(0.5)
                most = max(most, peer.memory())
            rows.append(
                {
                    "server": make.name,
                    "empty MiB": empty >> 20,
                    f"with {count} alerts MiB": most >> 20,
                }
            )
    ours, theirs = rows
    rows.append(
        {"server": "ratio"}
        | {
            key: round(int(str(ours[key])) / max(1, int(str(theirs[key]))), 2)
            for key in ours
            if key != "server"
        }
    )
    return rows
