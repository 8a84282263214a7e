"""From POST to page: latency at a steady rate, and how long a storm takes until its last page is out. Beside Alertmanager.

Every alert is a group of its own. The limit of one page a minute for each person is off, as Alertmanager has none.
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from bench.peers import PEERS, Peer, Receiver


def post(connection: http.client.HTTPConnection, path: str, names: Sequence[str]) -> None:
    """Alerts in one body, each of a group of its own."""
    body = json.dumps(
        [
            {"labels": {"alertname": name, "instance": name}, "annotations": {"summary": f"{name} fails"}}
            for name in names
        ]
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
        post(connection, parts.path, [name])
    connection.close()
    came = wait_for_pages(receiver, set(sent), 60)
    return sorted(came[name] - at for name, at in sent.items())


def storm(peer: Peer, receiver: Receiver, count: int, size: int, connections: int) -> float:
    """Seconds from the first POST to the last page. ``size``: alerts in a body."""
    parts = urlsplit(peer.url)
    names = [f"x{number:05}" for number in range(50_000, 50_000 + count)]
    bodies = [names[at : at + size] for at in range(0, count, size)]

    def send(mine: list[list[str]]) -> None:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        for body in mine:
            post(connection, parts.path, body)
        connection.close()

    begin = time.perf_counter()
    senders = [threading.Thread(target=send, args=(bodies[n::connections],)) for n in range(connections)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    came = wait_for_pages(receiver, set(names), 180)
    return max(came.values()) - begin


@contextmanager
def running(make: Callable[[Path, str, str], Peer]) -> Iterator[tuple[Peer, Receiver]]:
    """A peer that has sent some pages already: what is read once is read before."""
    with tempfile.TemporaryDirectory() as folder:
        receiver = Receiver()
        try:
            with make(Path(folder) / "peer", receiver.url, "alertname") as peer:
                steady(peer, receiver, 10, 1, 90_000)
                yield peer, receiver
        finally:
            receiver.close()


def measure(rate: int = 50, seconds: float = 10) -> list[dict[str, object]]:
    """From POST to page at a steady rate: a row for each peer, and one with the ratio."""
    rows: list[dict[str, object]] = []
    for make in PEERS:
        with running(make) as (peer, receiver):
            latencies = steady(peer, receiver, rate, seconds, 10_000)
        p50, p99 = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
        rows.append({"server": make.name, "p50 ms": round(p50 * 1e3, 1), "p99 ms": round(p99 * 1e3, 1)})
    ours, theirs = rows
    rows.append(
        {"server": "ratio"}
        | {key: round(float(str(ours[key])) / float(str(theirs[key])), 2) for key in ours if key != "server"}
    )
    return rows


STORMS = (
    ("Prometheus since 3.4, bodies of 256", 256, 1),
    ("Prometheus before, bodies of 64", 64, 1),
    ("several such, bodies of 64", 64, 8),
    ("single alerts", 1, 8),
)
"""who sends, alerts in a body, connections"""


def measure_storms(count: int = 1000, times: int = 9) -> list[dict[str, object]]:
    """The middle of ``times`` storms of each form; those of the peers take turns, because the machine is not always as fast."""
    rows: list[dict[str, object]] = []
    for sender, size, connections in STORMS:
        took: dict[str, list[float]] = {make.name: [] for make in PEERS}
        for _ in range(times):
            for make in PEERS:
                with running(make) as (peer, receiver):
                    receiver.came.clear()
                    took[make.name].append(storm(peer, receiver, count, size, connections))
        ours, theirs = (statistics.median(took[make.name]) for make in PEERS)
        rows.append(
            {
                "sender": sender, "connections": connections, "Tocsin, last page s": round(ours, 2),
                "Alertmanager, last page s": round(theirs, 2), "ratio": round(ours / theirs, 2),
            }
        )  # fmt: skip
    return rows
