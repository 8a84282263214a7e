"""The scenarios that come with Tocsin, and finding one by its name or file."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from tocsin.catalogue.reading import did_you_mean
from tocsin.drill.scenario import Scenario, load_scenario
from tocsin.kernel.errors import NotFound, Unusable


@lru_cache(maxsize=1)
def names() -> tuple[str, ...]:
    """Names of the scenarios in the library, in alphabetical order."""
    folder = files("tocsin") / "drills"
    return tuple(
        sorted(one.name.removesuffix(".yaml") for one in folder.iterdir() if one.name.endswith(".yaml"))
    )


def text_of(name: str) -> str:
    """The text of a scenario of the library; raises :class:`NotFound` with the nearest name."""
    if name not in names():
        raise NotFound(
            f"there is no scenario {name}{did_you_mean(name, names())}; `tocsin drill list` shows them, or give a file"
        )
    return (files("tocsin") / "drills" / f"{name}.yaml").read_text(encoding="utf-8")


def find(name_or_file: str) -> Scenario:
    """A scenario by the name it has in the library, or from a file. Raises with a sentence that says what to do."""
    if name_or_file in names():
        return load_scenario(text_of(name_or_file), f"{name_or_file}.yaml", name_or_file)
    path = Path(name_or_file)
    if not path.is_file():
        text_of(name_or_file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Unusable(f"the scenario {path} cannot be read: {error}", str(path)) from None
    return load_scenario(text, str(path))


def sendings(name: str) -> list[tuple[int, str, dict[str, Any]]]:
    """What senders send in a scenario of the library, for a server that plays it in earnest (the demonstration).

    (microseconds since the start, address, body without its routing key) of each alert and change in the Events v2 form.
    """
    addresses = {"alert": "/v2/enqueue", "change": "/v2/change/enqueue"}
    return [
        (step.at, addresses[step.what], step.values["body"])
        for step in find(name).steps
        if step.what in addresses and step.values.get("source") == "pagerduty"
    ]
