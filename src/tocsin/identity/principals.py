"""Who asks: a person through some door, an integration with its key, or Tocsin itself."""

from __future__ import annotations

import msgspec

KINDS = ("session", "token", "link", "chat", "integration", "system")
"""The door: signed in, API token, the link in a page, chat, an integration's key, Tocsin itself."""

ROLES = ("owner", "responder", "stakeholder", "integration", "system")


class Principal(msgspec.Struct, frozen=True):
    """Who asks.

    ``id`` is ``person:anna``, ``integration:01J…`` or ``tocsin``; ``person`` is a person id or empty. ``scopes`` limits
    what a token may do; empty means everything that its ``role`` may.
    """

    id: str
    person: str = ""
    role: str = "stakeholder"
    scopes: frozenset[str] = frozenset()
    kind: str = "session"


SYSTEM_PRINCIPAL = Principal("tocsin", role="system", kind="system")
"""Tocsin itself: timers, rules, deliveries."""


def person_principal(
    person: str, role: str, *, scopes: frozenset[str] = frozenset(), kind: str = "session"
) -> Principal:
    """The principal of a person."""
    return Principal(f"person:{person}", person, role, scopes, kind)


def integration_principal(integration: str) -> Principal:
    """The principal of an integration."""
    return Principal(f"integration:{integration}", role="integration", kind="integration")


class About(msgspec.Struct, frozen=True):
    """What is asked about, as far as it matters to who may.

    ``members`` (person ids or principals): role holders and people paged, and those the policy names for a restricted incident.
    ``commander``, ``acting_commander``, ``rotation_commander`` are person ids or empty; the last is whoever the
    commander rotation names now. ``seconded_by`` is the second person who agreed, where one is needed.
    """

    restricted: bool = False
    members: frozenset[str] = frozenset()
    commander: str = ""
    acting_commander: str = ""
    severity: str = ""
    rotation_commander: str = ""
    drill: bool = False
    seconded_by: str = ""


class Decision(msgspec.Struct, frozen=True):
    """May it be done, why, and who may.

    ``hidden``: answer as if the thing did not exist. ``break_glass``: it is refused as asked, but allowed with a stated
    reason, which goes on the timeline.
    """

    allowed: bool
    reason: str
    who_may: str = ""
    break_glass: bool = False
    hidden: bool = False
