"""What of a policy's names can be followed although parts of the file cannot be read.

A copy is mended until its structure holds: a key that was misspelt gets its name, what is missing or wrong comes from the
default policy, what nothing is known of goes. Names are then looked at in what stands in the file itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tocsin.policy.model import Policy
from tocsin.policy.references import Fault, Path, references

ROUNDS = 6
"""how often a copy is mended before it is given up: what is wrong inside shows once what is around it holds"""
DEFINING = ("positions", "types", "calendars", "blanks", "outside", "components", "subtypes")
"""parts that the rest of the file names: where one had to be mended, names that lead nowhere prove nothing"""


def path_of(detail: ErrorDetails) -> Path:
    """Where a fault of the structure is."""
    return tuple(step for step in detail["loc"] if step != "[key]")


def references_beside(data: Mapping[str, Any], errors: list[ErrorDetails], default: Any) -> Iterator[Fault]:
    """(path, sentence) for every name in ``data`` that leads nowhere, as far as can be said beside ``errors``."""
    copy = _Copy(data, default)
    for _ in range(ROUNDS):
        # what was misspelt first, so that it is not taken for missing
        for detail in sorted(errors, key=lambda one: one["type"] != "extra_forbidden"):
            copy.mend(detail, errors)
        try:
            policy = Policy.model_validate_json(json.dumps(copy.data), strict=True)
        except ValidationError as error:
            errors = error.errors(include_url=False)
            continue
        yield from copy.own(references(policy))
        return


class _Copy:
    """A copy of the file that is mended, and what was done to it."""

    def __init__(self, data: Mapping[str, Any], default: Any) -> None:
        self.data: Any = json.loads(json.dumps(data))
        self._default = default
        self._taken: list[Path] = []
        """what comes from the default"""
        self._gone: list[Path] = []
        self._renamed: list[tuple[Path, Path]] = []
        """(new, old)"""

    def mend(self, detail: ErrorDetails, errors: list[ErrorDetails]) -> None:
        """Does about one fault what is known to help."""
        path = path_of(detail)
        if detail["type"] == "missing_parts":
            context = detail.get("ctx") or {}
            for name in str(context["missing"]).split(", "):
                self._take((str(context["what"]), name))
        elif detail["type"] == "extra_forbidden":
            self._rename_or_drop(path, errors)
        elif detail["type"] != "missing" or not self._has(path):
            while path and not self._take(path) and not self._drop(path):
                path = path[:-1]

    def own(self, faults: Iterator[Fault]) -> Iterator[Fault]:
        """Those of the file itself, at the places where it has them."""
        if any(step in DEFINING for path in (*self._taken, *self._gone) for step in path[-2:]):
            return
        for path, sentence in faults:
            if any(path[: len(one)] == one for one in self._taken):
                continue
            for new, old in self._renamed:
                if path[: len(new)] == new:
                    path = (*old, *path[len(new) :])
            yield path, sentence

    def _rename_or_drop(self, path: Path, errors: list[ErrorDetails]) -> None:
        lacking = [
            str(path_of(one)[-1])
            for one in errors
            if one["type"] == "missing" and path_of(one)[:-1] == path[:-1]
        ]
        meant = get_close_matches(str(path[-1]), lacking, 1, 0.6)
        around = _at(self.data, path[:-1])
        if meant and isinstance(around, dict) and path[-1] in around and meant[0] not in around:
            around[meant[0]] = around.pop(path[-1])
            self._renamed.append(((*path[:-1], meant[0]), path))
        else:
            self._drop(path)

    def _take(self, path: Path) -> bool:
        """Takes a part from the default; False where it has none, or that part did not help."""
        around, found = _at(self.data, path[:-1]), _at(self._default, path)
        if found is None or path in self._taken or not _holds(around, path[-1]):
            return False
        around[path[-1]] = json.loads(json.dumps(found))
        self._taken.append(path)
        return True

    def _drop(self, path: Path) -> bool:
        around = _at(self.data, path[:-1])
        if not isinstance(around, dict) or path[-1] not in around:
            return False
        del around[path[-1]]
        self._gone.append(path)
        return True

    def _has(self, path: Path) -> bool:
        return _at(self.data, path) is not None


def _holds(around: Any, step: str | int) -> bool:
    """Whether something can be put at ``step``: any key of a mapping, a place that a list has."""
    return isinstance(around, dict) or (
        isinstance(around, list) and isinstance(step, int) and step < len(around)
    )


def _at(data: Any, path: Path) -> Any:
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        elif isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
        else:
            return None
    return data
