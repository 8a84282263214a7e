"""Severity rules: those that contradict each other, never decide or never fire."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.policy.cells import equivalent, implies, possible
from tocsin.policy.finding import ERROR, WARNING, Check, Finding, Week
from tocsin.policy.model import SEVERITIES, Policy, Rule


def rules(policy: Policy, week: Week) -> Iterator[Finding]:
    """Each rule beside every other; a rule that can never fire is no contradiction to anything."""
    fires = [possible(rule.when) for rule in policy.rules]
    for index, rule in enumerate(policy.rules):
        if not fires[index]:
            yield Finding(
                "rule_never_fires", ERROR, f"rules.{index}.when",
                f"the rule {rule.name!r} can never fire, because what it asks for excludes itself: take out one of its questions",
            )  # fmt: skip
            continue
        for at, other in enumerate(policy.rules):
            if at == index or not fires[at] or not implies(rule.when, other.when):
                continue
            same = equivalent(rule.when, other.when)
            if same and at > index:
                continue  # said once, at the later of the two
            if same or _wins(other, at, rule, index):
                yield _idle(rule, index, other, at, same=same)
                break


def _wins(one: Rule, at: int, other: Rule, other_at: int) -> bool:
    return (SEVERITIES.index(one.severity), at) < (SEVERITIES.index(other.severity), other_at)


def _idle(rule: Rule, index: int, other: Rule, at: int, *, same: bool) -> Finding:
    if same and rule.severity != other.severity:
        return Finding(
            "rules_contradict", ERROR, f"rules.{index}",
            f"the rules {other.name!r} ({other.severity}) and {rule.name!r} ({rule.severity}) ask the same and answer "
            "differently: keep one of them",
            f"rules.{at}",
        )  # fmt: skip
    return Finding(
        "rule_shadowed", WARNING, f"rules.{index}",
        f"the rule {rule.name!r} ({rule.severity}) never decides, because {other.name!r} ({other.severity}) always fires with it: "
        "narrow one of them, or take this one out",
        f"rules.{at}",
    )  # fmt: skip


def proposed(policy: Policy, week: Week) -> Iterator[Finding]:
    """The most severe is proposed by some rule: a machine could not raise the alarm otherwise."""
    if not any(rule.severity == SEVERITIES[0] for rule in policy.rules):
        yield Finding(
            "never_proposed", WARNING, "rules",
            f"no rule proposes {SEVERITIES[0]}, so no alert ever is one by itself: say which facts mean it",
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (rules, proposed)
