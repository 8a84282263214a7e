"""What every part of the policy is made of: the base model and the kinds of value that fields hold."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tocsin.policy.calendar import Duration


class Terms(BaseModel):
    """A part of the policy. Unknown keys are faults, ``"5"`` is no number, and nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        populate_by_name=True,
        str_strip_whitespace=True,
        validate_default=True,
    )


def one_of(what: str, names: tuple[str, ...]) -> AfterValidator:
    """Says that a text must be one of ``names``, and which one was probably meant."""

    def check(name: str) -> str:
        if name not in names:
            close = get_close_matches(name, names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"use one of {', '.join(names)}"
            raise ValueError(f"there is no {what} {name!r}: {hint}")
        return name

    return AfterValidator(check)


Text = Annotated[str, Field(min_length=1)]
Percent = Annotated[float, Field(ge=0, le=100)]


def _positive(duration: Duration) -> Duration:
    if duration.amount <= 0:
        raise ValueError("the duration is 0: give it some length")
    return duration


def _elapsed(duration: Duration) -> Duration:
    if not duration.is_elapsed:
        raise ValueError(
            f"{duration.text} has no fixed length: an elapsed time such as 5m or 24h is needed here"
        )
    return duration


Allowed = Annotated[Duration, AfterValidator(_positive)]
"""A duration of some length: a promise, a period."""
Elapsed = Annotated[Duration, AfterValidator(_elapsed)]
"""An elapsed duration, ``0m`` among them."""
ElapsedSome = Annotated[Elapsed, AfterValidator(_positive)]


def _wall_time(text: str) -> str:
    shape = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text, re.ASCII)
    if shape is None:
        raise ValueError(f"{text!r} is not a time of day: write it like 09:30")
    return text


WallTime = Annotated[str, AfterValidator(_wall_time)]
"""``09:30`` on the clocks of the calendar's zone."""


def _identifier(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", text, re.ASCII):
        raise ValueError(f"{text!r} is not a name: use small letters, digits and _, a letter first")
    return text


Name = Annotated[str, AfterValidator(_identifier)]
