"""Proposing a severity from facts. Senders' own words are facts like others, never the severity itself."""

from __future__ import annotations

import msgspec

from tocsin.policy.conditions import Facts, holds
from tocsin.policy.model import SEVERITIES, Policy

NO_RULE = "no rule matched"
"""The reason when nothing fires; the severity is then :data:`UNRULED`, and it is acknowledged as fast as a P1."""

UNRULED = "P2"


class Proposal(msgspec.Struct, frozen=True):
    """A severity with the rule it comes from (empty when none fired), why, and the other rules that fired too."""

    severity: str
    rule: str
    reason: str
    others: tuple[tuple[str, str], ...] = ()
    """(rule, severity), the most severe first"""

    @property
    def said(self) -> str:
        """The reason, and which other rules fired too."""
        also = ", ".join(f"{rule} ({severity})" for rule, severity in self.others)
        return f"{self.reason}; also: {also}" if also else self.reason


def propose(policy: Policy, facts: Facts) -> Proposal:
    """The most severe rule that holds wins, the first in the file among equals; the others are listed.

    ``facts``: see :data:`tocsin.policy.conditions.FACTS`, and ``label.NAME``. A fact that is unknown is left out.
    """
    fired = [rule for rule in policy.rules if holds(rule.when, facts)]
    if not fired:
        return Proposal(UNRULED, "", NO_RULE)
    fired.sort(key=lambda rule: SEVERITIES.index(rule.severity))  # stable: the order of the file among equals
    first, *rest = fired
    return Proposal(
        first.severity,
        first.name,
        first.reason or first.name,
        tuple((rule.name, rule.severity) for rule in rest),
    )
