"""``python -m bench [NAME …] [--short] [--json FILE]``: runs measurements and prints a table for each."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import duties, intake, memory, oncall, paging, proof, timers

Rows = list[dict[str, object]]
BENCHES: dict[str, tuple[str, Callable[[], Rows], Callable[[], Rows]]] = {
    "intake": ("Durable intake beside Alertmanager", intake.measure, lambda: intake.measure(2, 1)),
    "paging": (
        "POST to page beside Alertmanager, 50 alerts a second",
        paging.measure,
        lambda: paging.measure(50, 4),
    ),
    "storm": (
        "A storm of 1,000 groups beside Alertmanager",
        paging.measure_storms,
        lambda: paging.measure_storms(300, 1),
    ),
    "memory": ("Memory beside Alertmanager", memory.measure, lambda: memory.measure(20_000)),
    "timers": ("Lateness of timers", timers.measure, lambda: timers.measure((1_000,))),
    "oncall": ("Who is on call", oncall.measure, lambda: oncall.measure(2_000)),
    "duties": ("What 10,000 open incidents owe", duties.measure, lambda: duties.measure(1_000)),
    "proof": ("The proof that pages reach somebody", proof.measure, lambda: proof.measure(50, 13)),
}


def main() -> None:
    """Runs what is asked for, all of it where nothing is named."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--short", action="store_true", help="smaller and faster, less exact")
    parser.add_argument("--json", type=Path, help="also write the rows to this file")
    asked = parser.parse_args()
    unknown = [name for name in asked.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no measurement {unknown[0]}; there are {', '.join(BENCHES)}")
    results: dict[str, Rows] = {}
    for name in asked.names or BENCHES:
        title, full, short = BENCHES[name]
        results[name] = (short if asked.short else full)()
        show(title, results[name])
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=2))


def show(title: str, rows: Rows) -> None:
    """One table."""
    table = Table(*rows[0], title=title)
    for row in rows:
        table.add_row(*(str(value) for value in row.values()))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
