"""Escalation policies: whom the names in the policy's chain mean for one team.

The policy says *when* each target is paged (``on_call`` at once, ``secondary`` after two minutes …); an escalation
policy says *who* a target is, as a reference, and may replace the steps for a severity altogether.

References: ``person:anna``, ``schedule:payments``, ``schedule:payments#secondary``, ``team:payments`` (all of it),
``org:cto`` (whoever holds that place in the company), ``service:checkout`` (the on-call person of its team).
"""

from __future__ import annotations

import msgspec

TARGETS = (
    "on_call", "secondary", "engineering_lead", "engineering_manager", "cto", "ceo", "architect", "public_relations",
    "incident_commander", "secondary_commander", "technical_lead",
)  # fmt: skip
"""Target names that mean something without an escalation policy."""

REFERENCE_KINDS = ("person", "schedule", "team", "org", "service")


class EscalationStep(msgspec.Struct, frozen=True):
    """Page ``targets`` (names or references) ``after`` microseconds; ``business``: counted in business time."""

    after: int
    targets: tuple[str, ...]
    business: bool = False


class EscalationPolicy(msgspec.Struct, frozen=True):
    """For one team: ``targets`` maps target names to references; ``steps`` maps a severity id to its own chain."""

    id: str
    name: str
    team: str = ""
    targets: dict[str, str] = {}
    steps: dict[str, tuple[EscalationStep, ...]] = {}

    def steps_for(self, severity: str) -> tuple[EscalationStep, ...]:
        """The chain that replaces the policy's for ``severity``, earliest first; empty: the policy's own holds."""
        return tuple(sorted(self.steps.get(severity, ()), key=lambda step: step.after))


class Reference(msgspec.Struct, frozen=True):
    """A parsed reference; ``position`` is ``primary`` or ``secondary`` and means something for schedules alone."""

    kind: str
    id: str
    position: str = "primary"


def parse_reference(text: str) -> Reference | None:
    """``schedule:payments#secondary`` → its parts; None where ``text`` is no reference (a target's name, say)."""
    kind, colon, rest = text.partition(":")
    if not colon or kind not in REFERENCE_KINDS or not rest:
        return None
    name, _, position = rest.partition("#")
    if not name or position not in ("", "primary", "secondary") or (position and kind != "schedule"):
        return None
    return Reference(kind, name, position or "primary")
