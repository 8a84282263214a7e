"""Whom a name means at an instant: people, teams, schedules, leave and escalation policies looked up together."""

from __future__ import annotations

import msgspec


class Resolved(msgspec.Struct, frozen=True):
    """Whom a target means: ``people`` (person ids), why, and who was left out with the reason.

    ``anyway``: everybody meant is on leave and is named all the same. ``people`` is empty where there is nobody.
    """

    target: str
    people: tuple[str, ...]
    reason: str
    skipped: tuple[tuple[str, str], ...] = ()
    anyway: bool = False
