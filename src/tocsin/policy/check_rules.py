"""Severity rules: those that contradict each other, never decide or never fire, and the types that they say."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.policy.cells import equivalent, implies, possible
from tocsin.policy.conditions import Condition, asked
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
            wins = _wins(other, at, rule, index)
            # where both say the same, that is said once, at the later of the two
            if at == index or not fires[at] or not (wins or at < index) or not implies(rule.when, other.when):
                continue
            same = equivalent(rule.when, other.when)
            if (same and at < index) or (wins and not same):
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


def types(policy: Policy, week: Week) -> Iterator[Finding]:
    """The type that a rule says can count, and what is for few is not opened to all."""
    for index, rule in enumerate(policy.rules):
        if rule.type:
            yield from _said_otherwise(policy, rule, index)
        yield from _in_the_open(policy, rule, index)


def _said_otherwise(policy: Policy, rule: Rule, index: int) -> Iterator[Finding]:
    if not possible(rule.when):
        return
    others = tuple(kind for kind in policy.types if kind != rule.type)
    said = ""
    if others and implies(rule.when, asked(fact="type", one_of=others)):
        said = "say another type"
    elif "security" in others and implies(rule.when, asked(fact="security", equals=True)):
        said = "say that it is a matter of security"
    if said:
        yield Finding(
            "type_never_counts", ERROR, f"rules.{index}.type",
            f"the rule {rule.name!r} makes it an incident of type {rule.type}, but fires only where the facts {said}, and they count first: "
            "take type out, or ask something else",
            f"rules.{index}.when",
        )  # fmt: skip


def _in_the_open(policy: Policy, rule: Rule, index: int) -> Iterator[Finding]:
    """A breach is recognised by facts that name no type: some rule must say it."""
    closed = {name for name, terms in policy.types.items() if terms.restricted}
    if not closed or rule.type in closed:
        return
    telling = {("data_exposed", "true")} | {
        ("subtype", one) for name in closed for one in policy.types[name].subtypes
    }
    for fact, value in sorted(_wanted(rule.when) & telling):
        question = asked(fact=fact, equals=True if fact == "data_exposed" else value)
        if not any(other.type in closed and implies(question, other.when) for other in policy.rules):
            kind = next(
                (name for name in sorted(closed) if value in policy.types[name].subtypes), sorted(closed)[0]
            )
            yield Finding(
                "opens_in_the_open", ERROR, f"rules.{index}",
                f"the rule {rule.name!r} asks for {fact}: {value}, but says no type, so everybody could read the incident: add "
                f"type: {kind}",
                f"types.{kind}.restricted",
            )  # fmt: skip
            return


def _wanted(condition: Condition) -> set[tuple[str, str]]:
    """(fact, value) that a condition asks for; what it excludes does not count."""
    found = {pair for part in (*(condition.all or ()), *(condition.any or ())) for pair in _wanted(part)}
    if condition.fact is not None:
        values = [*(condition.one_of or ()), *([] if condition.equals is None else [condition.equals])]
        found |= {(condition.fact, str(value).casefold()) for value in values}
    return found


CHECKS: tuple[Check, ...] = (rules, proposed, types)
