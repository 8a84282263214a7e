"""Lateness of timers that all fall due within one second: from due to claimed and committed. Beside the clock."""

from __future__ import annotations

import tempfile
import time

from tocsin.engine.engine import Engine
from tocsin.engine.loop import Loop
from tocsin.kernel.clock import SECOND, SystemClock
from tocsin.kernel.randomness import SystemRandomness
from tocsin.policy.load import default_policy_text
from tocsin.store import open_store


def lateness(count: int) -> list[float]:
    """Seconds of lateness of each timer, sorted."""
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(folder)
        store.migrate()
        clock = SystemClock()
        engine = Engine(store, clock, SystemRandomness(), {}, secret=b"b" * 32)
        engine.seed_policy(default_policy_text())
        late: list[float] = []
        due: dict[str, int] = {}

        def fire(unit, key: str) -> None:  # type: ignore[no-untyped-def]
            unit.tx.set_timer("bench", key, None)
            late.append((clock.now() - due[key]) / SECOND)

        engine.timers["bench"] = fire
        loop = Loop(engine)
        loop.start()
        start = clock.now() + 2 * SECOND
        due.update({f"t{n}": start + n * SECOND // count for n in range(count)})
        store.write(lambda tx: [tx.set_timer("bench", key, at) for key, at in due.items()])
        end = time.monotonic() + 120
        while len(late) < count and time.monotonic() < end:
            time.sleep(0.05)
        loop.stop()
        store.close()
        assert len(late) == count, f"{count - len(late)} timers did not fire"
        return sorted(late)


def measure(counts: tuple[int, ...] = (1_000, 10_000)) -> list[dict[str, object]]:
    """A row for each number of timers."""
    rows: list[dict[str, object]] = []
    for count in counts:
        late = lateness(count)
        rows.append(
            {
                "timers due in one second": count,
                "p50 s": round(late[len(late) // 2], 3),
                "p99 s": round(late[int(len(late) * 0.99)], 3),
            }
        )
    return rows
