"""Durable intake: alerts a second and p99, Tocsin beside Alertmanager, in alternating rounds of one run.

The alerts are those of a running installation: 5,000 series in 20 groups, most of them sent again and again. Tocsin has
them on disk before it answers; Alertmanager keeps them in memory.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from pathlib import Path

from bench.memory import fill
from bench.peers import GROUPS, PEERS, Peer

SCRIPT = """
local size, series, groups = {size}, {series}, {groups}
local bodies, at, count = {{}}, 0, math.max(1, math.floor(series / size))
function init(args)
  math.randomseed(tonumber(tostring({{}}):sub(8), 16) or os.time())
  for b = 0, count - 1 do
    local alerts = {{}}
    for a = 0, size - 1 do
      local n = (b * size + a) % series
      alerts[#alerts + 1] = string.format('{{"labels":{{"alertname":"Alert%d","instance":"host-%d:9100","job":"node","severity":"warning"}},"annotations":{{"summary":"host-%d is slow"}},"generatorURL":"http://prometheus.example/graph?g0.expr=up"}}', n % groups, n, n)
    end
    bodies[b] = "[" .. table.concat(alerts, ",") .. "]"
  end
  at = math.random(0, count - 1)
end
function request()
  at = (at + 1) % count
  return wrk.format("POST", "{path}/api/v2/alerts", {{["Content-Type"] = "application/json"}}, bodies[at])
end
"""
SERIES = 5000
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


def load(peer: Peer, size: int, connections: int, seconds: float, script: Path) -> tuple[float, float, int]:
    """(alerts a second, p99 in seconds, answers that were no success) of one round of wrk."""
    base, _, path = peer.url.partition("://")[2].partition("/")
    script.write_text(SCRIPT.format(size=size, series=SERIES, groups=GROUPS, path=f"/{path}" if path else ""))
    command = [
        "wrk", "-t", str(min(2, connections)), "-c", str(connections), "-d", f"{max(1, round(seconds))}s", "--latency", "-s", str(script),
        f"http://{base}",
    ]  # fmt: skip
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 60).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", said)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    assert p99 is not None, said
    return rate * size, float(p99[1]) * UNITS[p99[2]], int(failed[1]) if failed else 0


def measure(seconds: float = 4, rounds: int = 3) -> list[dict[str, object]]:
    """One row for each body size and number of connections."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        peers = [make(Path(folder) / make.name) for make in PEERS]
        script = Path(folder) / "post.lua"
        try:
            for peer in peers:
                fill(peer, SERIES)  # every series is there before anything is measured
            for size in (1, 10, 100):
                for connections in (1, 8, 32):
                    seen: dict[str, list[tuple[float, float, int]]] = {peer.name: [] for peer in peers}
                    for _ in range(rounds):
                        for peer in peers:
                            seen[peer.name].append(load(peer, size, connections, seconds, script))
                    rows.append(_row(size, connections, seen))
        finally:
            for peer in peers:
                peer.stop()
    return rows


def _row(size: int, connections: int, seen: dict[str, list[tuple[float, float, int]]]) -> dict[str, object]:
    ours, theirs = seen["Tocsin"], seen["Alertmanager"]

    def middle(rounds: list[tuple[float, float, int]], which: int) -> float:
        return statistics.median(one[which] for one in rounds)

    return {
        "alerts in a body": size, "connections": connections, "Tocsin alerts/s": round(middle(ours, 0)),
        "Alertmanager alerts/s": round(middle(theirs, 0)), "ratio": round(middle(ours, 0) / middle(theirs, 0), 2),
        "Tocsin p99 ms": round(middle(ours, 1) * 1e3, 1), "Alertmanager p99 ms": round(middle(theirs, 1) * 1e3, 1),
        "p99 ratio": round(middle(ours, 1) / middle(theirs, 1), 2), "refused": sum(one[2] for one in ours),
    }  # fmt: skip
