"""Messages as the policy words them: templates with blanks, and what stands in a blank that nothing fills."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import field_validator

from tocsin.policy.terms import Terms, Text, one_of

INSIDE, OUTSIDE = ("internal", "leadership"), ("customers", "partners", "investors", "media")
AUDIENCES = INSIDE + OUTSIDE
Audience = Annotated[str, one_of("audience", AUDIENCES)]


class Blank(Terms):
    """A blank of the templates. Fallbacks say honestly that it is not known yet, inside and outside, or to one audience.

    ``outside_always``: what outsiders read whatever the record says (a role, not a name).
    """

    meaning: Text
    inside: Text
    outside: Text
    audiences: Mapping[Audience, Text] = {}
    outside_always: Text | None = None

    def fallback(self, audience: str) -> str:
        """What ``audience`` reads where the record has nothing."""
        return self.audiences.get(audience) or (self.inside if audience in INSIDE else self.outside)


FILLED_BLANKS: frozenset[str] = frozenset({
    "id", "severity", "severity_name", "title", "started", "time", "impact", "services", "status", "next_update",
    "commander", "status_page", "update_every", "progress", "actions_taken", "next_steps", "eta", "resolved",
    "duration", "root_cause", "summary", "preventive_measures", "post_mortem_place", "post_mortem_date", "workaround",
})  # fmt: skip
"""The blanks that can be filled from the record of an incident; any other shows its fallback for ever."""

BLANK = re.compile(r"\{\{\s*([A-Za-z0-9_.-]*)\s*\}\}")


def blanks_in(text: str) -> tuple[str, ...]:
    """The names of the blanks of a template, each once, in order."""
    return tuple(dict.fromkeys(BLANK.findall(text)))


class Wording(Terms):
    """A message: its ``subject`` and its ``text``, with blanks written ``{{ name }}``."""

    subject: Text
    text: Text

    @property
    def blanks(self) -> tuple[str, ...]:
        return blanks_in(f"{self.subject}\n{self.text}")

    @field_validator("subject", "text")
    @classmethod
    def _closed(cls, value: str) -> str:
        rest = BLANK.sub("", value)
        if "{{" in rest or "}}" in rest:
            raise ValueError("a blank is not closed: write it like {{ name }}")
        return value


class Template(Terms):
    """The wording for everybody, and another for those audiences that need one."""

    everybody: Wording
    audiences: Mapping[Audience, Wording] = {}

    def wording(self, audience: str) -> Wording:
        """What is sent to ``audience``."""
        return self.audiences.get(audience, self.everybody)


class Templates(Terms):
    first_notice: Template
    progress_update: Template
    resolution_notice: Template
