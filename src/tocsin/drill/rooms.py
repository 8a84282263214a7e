"""Drills for the web application: the scenarios of the library under the policy in force, as plain data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

from tocsin.drill.library import find, names, text_of
from tocsin.drill.report import as_json
from tocsin.drill.runner import run


@cache
def _titles() -> tuple[tuple[str, str], ...]:
    """The library never changes while a process runs, and reading all of it takes a second."""
    return tuple((name, find(name).title) for name in names())


class DrillRooms:
    """One drill at a time is enough: each takes a second or two of one core."""

    def names(self) -> Sequence[tuple[str, str]]:
        return _titles()

    def play(self, name: str, policy: str) -> dict[str, Any]:
        text_of(name)  # only the library's: a name is no path here
        result = run(find(name), policy=policy)
        report: dict[str, Any] = json.loads(as_json(result))
        report["story"] = find(name).story
        return report
