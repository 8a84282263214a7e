"""Teams: who belongs to one, who leads it, which schedule answers for it."""

from __future__ import annotations

import msgspec


class Team(msgspec.Struct, frozen=True):
    """A team that owns services.

    ``members``, ``engineering_lead`` and ``engineering_manager`` are person ids; ``schedule`` and
    ``escalation_policy`` are ids or empty; ``calendar`` names the policy's business calendar, empty for the default.
    """

    id: str
    name: str
    members: tuple[str, ...] = ()
    schedule: str = ""
    engineering_lead: str = ""
    engineering_manager: str = ""
    calendar: str = ""
    escalation_policy: str = ""
