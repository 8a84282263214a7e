"""From POST to page: latency at a steady rate, and how long a storm takes until its last page is out. Beside Alertmanager.

Every alert is a group of its own. The limit of one page a minute for each person is off, as Alertmanager has none.
"""

from __future__ import annotations

import http.client
import json
import re
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers import PEERS, Peer, Receiver


def post(connection: http.client.HTTPConnection, path: str, name: str) -> None:
    """One alert in a body of its own."""
    body = json.dumps(
        [{"labels": {"alertname": name, "instance": name}, "annotations": {"summary": f"{name} fails"}}]
    )
    connection.request("POST", f"{path}/api/v2/alerts", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status


def first_pages(receiver: Receiver, wanted: set[str]) -> dict[str, float]:
    """Name of the alert → when the first message that names it came."""
    found: dict[str, float] = {}
    for at, body in list(receiver.came):
        for name in re.findall(rb"\bx\d{5}\b", body):
            if name.decode() in wanted:
                found.setdefault(name.decode(), at)
    return found


def wait_for_pages(receiver: Receiver, wanted: set[str], seconds: float) -> dict[str, float]:
    """Waits until every alert was told of; raises where one is missing at the end."""
    end = time.monotonic() + seconds
    while len(found := first_pages(receiver, wanted)) < len(wanted):
        if time.monotonic() > end:
            raise TimeoutError(f"{len(wanted) - len(found)} of {len(wanted)} pages did not come")
        time.sleep(0.2)
    return found


def steady(peer: Peer, receiver: Receiver, rate: int, seconds: float, first: int) -> list[float]:
    """Latencies in seconds, sorted."""
    parts = urlsplit(peer.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    sent: dict[str, float] = {}
    begin = time.perf_counter()
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, begin + number / rate - time.perf_counter()))
        name = f"x{first + number:05}"
        sent[name] = time.perf_counter()
        post(connection, parts.path, name)
    connection.close()
    came = wait_for_pages(receiver, set(sent), 60)
    return sorted(came[name] - at for name, at in sent.items())


def storm(peer: Peer, receiver: Receiver, count: int, first: int) -> float:
    """Seconds from the first POST to the last page, sent over 8 connections."""
    parts = urlsplit(peer.url)
    names = [f"x{first + number:05}" for number in range(count)]

    def send(mine: list[str]) -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        for name in mine:
            post(connection, parts.path, name)
        connection.close()

    begin = time.perf_counter()
    senders = [threading.Thread(target=send, args=(names[n::8],)) for n in range(8)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    came = wait_for_pages(receiver, set(names), 180)
    return max(came.values()) - begin


def measure(rate: int = 50, seconds: float = 10, count: int = 1000) -> list[dict[str, object]]:
    """Latency and storm, a row for each peer, with the ratio in Tocsin's."""
    rows: list[dict[str, object]] = []
    for make in PEERS:
        with tempfile.TemporaryDirectory() as folder:
            receiver = Receiver()
            try:
                with make(Path(folder) / "peer", receiver.url, "alertname") as peer:
                    steady(peer, receiver, 10, 1, 90_000)  # what is read once is read before
                    latencies = steady(peer, receiver, rate, seconds, 10_000)
                    receiver.came.clear()
                    last = storm(peer, receiver, count, 50_000)
            finally:
                receiver.close()
        rows.append(
            {
                "server": make.name, "p50 ms": round(latencies[len(latencies) // 2] * 1e3, 1),
                "p99 ms": round(latencies[int(len(latencies) * 0.99)] * 1e3, 1), f"storm of {count}, s": round(last, 2),
            }
        )  # fmt: skip
    ours, theirs = rows
    rows.append(
        {"server": "ratio"}
        | {key: round(float(str(ours[key])) / float(str(theirs[key])), 2) for key in ours if key != "server"}
    )
    return rows
