"""Proposing a severity and a type from facts. Senders' own words are facts like others, never the severity itself."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tocsin.policy.conditions import Facts, test_of
from tocsin.policy.model import SEVERITIES, Policy, Rule

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
    kind: str = ""
    """the type of the most severe rule that names one, empty where none does"""

    @property
    def said(self) -> str:
        """The reason, and which other rules fired too."""
        also = ", ".join(f"{rule} ({severity})" for rule, severity in self.others)
        return f"{self.reason}; also: {also}" if also else self.reason


class Kind(msgspec.Struct, frozen=True):
    """What sort of incident it is. ``restricted``: it opens visible to its members only. ``reason``: what says so."""

    name: str
    subtype: str = ""
    restricted: bool = False
    reason: str = ""


_TESTED: dict[int, tuple[Policy, list[tuple[Rule, Callable[[Facts], bool]]]]] = {}
"""by the identity of a policy, which is kept so that it stays its own"""
_MOST_TESTED = 32


def _tests(policy: Policy) -> list[tuple[Rule, Callable[[Facts], bool]]]:
    known = _TESTED.get(id(policy))
    if known is None:
        if len(_TESTED) >= _MOST_TESTED:
            _TESTED.clear()
        known = _TESTED[id(policy)] = policy, [(rule, test_of(rule.when)) for rule in policy.rules]
    return known[1]


def propose(policy: Policy, facts: Facts) -> Proposal:
    """The most severe rule that holds wins, the first in the file among equals; the others are listed.

    ``facts``: see :data:`tocsin.policy.conditions.FACTS`, and ``label.NAME``. A fact that is unknown is left out.
    """
    fired = [rule for rule, holds in _tests(policy) if holds(facts)]
    if not fired:
        return Proposal(UNRULED, "", NO_RULE)
    fired.sort(key=lambda rule: SEVERITIES.index(rule.severity))  # stable: the order of the file among equals
    first, *rest = fired
    return Proposal(
        first.severity,
        first.name,
        first.reason or first.name,
        tuple((rule.name, rule.severity) for rule in rest),
        next((rule.type for rule in fired if rule.type), ""),
    )


def kind_of(policy: Policy, facts: Facts, proposal: Proposal) -> Kind:
    """The type: the one the facts name, else security where they say it is that, else the rules', else the policy's first.

    ``proposal`` is what :func:`propose` answered for the same facts. A name that the policy does not have says nothing.
    """
    named = str(facts.get("type") or "")
    if policy.incident_type(named) is not None:
        wanted, reason = named, "it says so"
    elif facts.get("security") is True and policy.incident_type("security") is not None:
        wanted, reason = "security", "it says that it is a matter of security"
    elif policy.incident_type(proposal.kind) is not None:
        wanted, reason = proposal.kind, "a rule of the policy says so"
    else:
        wanted, reason = next(iter(policy.types)), "nothing says otherwise"
    terms, subtype = policy.types[wanted], str(facts.get("subtype") or "")
    return Kind(wanted, subtype if subtype in terms.subtypes else "", terms.restricted, reason)
