"""The base of everything the policy holds: frozen, strict, and closed to keys it does not know."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Terms(BaseModel):
    """A part of the policy. Unknown keys are faults, ``"5"`` is no number, and nothing changes after loading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, populate_by_name=True, str_strip_whitespace=True,
        validate_default=True, use_attribute_docstrings=True, ignored_types=(),
    )  # fmt: skip
