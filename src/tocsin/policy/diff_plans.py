"""What changes about recovery and continuity: who gets a plan, its steps, what begins it, and who hears how it goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from tocsin.policy import behaviour
from tocsin.policy.behaviour import Begins, Hears, PlanPart
from tocsin.policy.model import SEVERITIES, Policy
from tocsin.policy.saying import compared, every, listed, target, which, words

Plan = Mapping[str, tuple[PlanPart, ...]]
"""type of incident → the steps of a plan for it"""
Steps = Mapping[str, tuple[PlanPart, frozenset[str]]]
"""id of a step → the step, and the types of incident that it is for"""


def recovery(old: Policy, new: Policy) -> Iterator[str]:
    """Which incidents get the plan of recovery, and what it asks."""
    before, now = behaviour.recovery(old), behaviour.recovery(new)
    known = [kind for kind in new.types if kind in old.types]
    for severity in SEVERITIES:
        had, gets = ([kind for kind in known if (severity, kind) in plans] for plans in (before, now))
        more, less = (
            [kind for kind in one if kind not in other] for one, other in ((gets, had), (had, gets))
        )
        if more:
            yield f"{which(severity, known if gets == known else more, known)} gets a plan of recovery"
        if less:
            yield f"{which(severity, less if gets else known, known)} gets no plan of recovery any more"
    both = {kind: severity for severity, kind in now if (severity, kind) in before and kind in known}
    yield from _steps(
        "recovery",
        {kind: before[severity, kind] for kind, severity in both.items()},
        {kind: now[severity, kind] for kind, severity in both.items()},
        old,
        new,
    )


def continuity(old: Policy, new: Policy) -> Iterator[str]:
    """The plans that keep the business going, and who hears of them."""
    before, now = behaviour.continuity(old), behaviour.continuity(new)
    for name in dict.fromkeys((*before, *now)):
        one, other = before.get(name), now.get(name)
        if one is None:
            yield f"there is a plan of continuity for {_called(name, new)}"
        elif other is None:
            yield f"there is no plan of continuity for {_called(name, old)} any more"
        else:
            yield from _begins(f"the plan of continuity for {_called(name, new)}", one, other)
            yield from _steps(
                f"continuity for {_called(name, new)}",
                {kind: steps for kind, steps in one.steps.items() if kind in other.steps},
                {kind: steps for kind, steps in other.steps.items() if kind in one.steps},
                old,
                new,
            )
    heard, hears = behaviour.hearing(old), behaviour.hearing(new)
    for audience in dict.fromkeys((*heard, *hears)):
        first, second = heard.get(audience), hears.get(audience)
        if second is None:
            yield f"while a plan of continuity runs, {words(audience)} are owed no word of it any more"
        elif first is None:
            yield (
                f"while a plan of continuity runs, {words(audience)} hear of {second.about} through {target(second.through, new, old)}, "
                f"within {second.within.said}, then {every(second.every)}"
            )
        else:
            yield from _hears(words(audience), first, second, old, new)


def _called(name: str, policy: Policy) -> str:
    return policy.continuity.plans[name].name if policy.continuity else name


def _begins(plan: str, one: Begins, other: Begins) -> Iterator[str]:
    yield from compared(f"{plan} begins for", one.severities, other.severities)
    yield from compared(
        f"{plan} begins when these components are hit:", one.components, other.components, words
    )
    yield from compared(f"{plan} begins when these services are hit:", one.services, other.services)
    yield from compared(f"{plan} begins for incidents of the kinds", one.subtypes, other.subtypes, words)


def _hears(audience: str, one: Hears, other: Hears, old: Policy, new: Policy) -> Iterator[str]:
    during = f"while a plan of continuity runs, {audience}"
    if one.about != other.about:
        yield f"{during} hear of {other.about} instead of {one.about}"
    if one.through != other.through:
        yield f"{during} hear through {target(other.through, new, old)} instead of {target(one.through, old, new)}"
    if one.within != other.within:
        yield f"{during} hear for the first time within {other.within.said} instead of {one.within.said}"
    if one.every != other.every:
        yield f"{during} hear {every(other.every)} instead of {every(one.every)}"
    yield from compared(f"{during} have heard by", one.met_by, other.met_by, words)


# steps


def _steps(whose: str, before: Plan, now: Plan, old: Policy, new: Policy) -> Iterator[str]:
    """What changes in the steps of one plan, for the types that get it here and there."""
    first, second = _by_id(before), _by_id(now)
    renamed = {
        gone: added
        for gone in first
        for added in second
        if gone not in second and added not in first and _same_but_id(first[gone], second[added])
    }
    for gone, added in renamed.items():
        yield f"the step {gone} of {whose} is recorded as {added}"
    for name in dict.fromkeys((*first, *second)):
        if name in renamed or name in renamed.values():
            continue
        if name not in second:
            step, kinds = first[name]
            yield f"{whose} no longer asks: {step.text}{_for(kinds, now)}"
        elif name not in first:
            step, kinds = second[name]
            yield f"{whose} asks too: {step.text} ({target(step.owner, new, old)}){_for(kinds, now)}"
        else:
            yield from _step(whose, first[name], second[name], now, old, new)
    if any(_order(before[kind], now[kind], renamed) for kind in now):
        yield f"the steps of {whose} come in another order"


def _step(
    whose: str,
    before: tuple[PlanPart, frozenset[str]],
    now: tuple[PlanPart, frozenset[str]],
    known: Plan,
    old: Policy,
    new: Policy,
) -> Iterator[str]:
    (one, kinds), (other, others) = before, now
    if one.text != other.text:
        yield f"{whose} asks: {other.text}; until now: {one.text}"
    if one.owner != other.owner:
        yield f"{whose}: {target(other.owner, new, old)} owes “{other.text}” instead of {target(one.owner, old, new)}"
    if one.part != other.part:
        yield f"{whose}: “{other.text}” belongs to {words(other.part)} instead of {words(one.part)}"
    if others - kinds:
        yield f"{whose} asks: {other.text}{_for(others - kinds, known)} too"
    if kinds - others:
        yield f"{whose} no longer asks: {other.text}{_for(kinds - others, known)}"


def _by_id(plan: Plan) -> Steps:
    found: dict[str, tuple[PlanPart, frozenset[str]]] = {}
    for kind, steps in plan.items():
        for step in steps:
            kinds = found[step.id][1] if step.id in found else frozenset()
            found[step.id] = (step, kinds | {kind})
    return found


def _same_but_id(one: tuple[PlanPart, frozenset[str]], other: tuple[PlanPart, frozenset[str]]) -> bool:
    (before, kinds), (now, others) = one, other
    return (before.part, before.owner, before.text, kinds) == (now.part, now.owner, now.text, others)


def _order(before: tuple[PlanPart, ...], now: tuple[PlanPart, ...], renamed: Mapping[str, str]) -> bool:
    """Whether steps that stand in both, in the same phase, stand in another order."""
    parts = {step.id: step.part for step in now}
    kept = [name for step in before if parts.get(name := renamed.get(step.id, step.id)) == step.part]
    return kept != [step.id for step in now if step.id in kept]


def _for(kinds: frozenset[str], known: Plan) -> str:
    if len(kinds) == len(known):
        return ""
    return f", for {listed([words(kind) for kind in sorted(kinds)])} incidents"
