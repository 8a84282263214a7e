"""What changes about severity rules: which fire, for what, and what they propose. How they are written does not count."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from tocsin.policy.behaviour import decides, said_type, together
from tocsin.policy.cells import difference, equivalent, possible, sample
from tocsin.policy.model import Policy, Rule
from tocsin.policy.saying import words
from tocsin.policy.severity import UNRULED


def rules(old: Policy, new: Policy) -> Iterator[str]:
    """Rules are compared by name first; one that has only got another name is no change of behaviour."""
    pairs, gone, added = matched(old, new)
    for before, now in pairs:
        if before.severity != now.severity:
            yield f"the rule {now.name!r} proposes {now.severity} instead of {before.severity}"
        if not equivalent(before.when, now.when):
            yield from _reach(before, now)
        one, other = said_type(old, before), said_type(new, now)
        if one != other:
            instead = f" instead of {words(one)}" if one and other else ""
            yield (
                f"the rule {now.name!r} makes it an incident of type {words(other)}{instead}"
                if other
                else f"the rule {now.name!r} no longer makes it an incident of type {words(one)}"
            )
    yield from _first(old, new, pairs)
    for rule in gone:
        yield (
            f"the rule {rule.name!r} ({rule.severity}) is gone: what no other rule recognises ({sample(rule.when)}, for example) is a "
            f"{UNRULED} that no rule explains"
        )
    for rule in added:
        kind = said_type(new, rule)
        also = f" of type {words(kind)}" if kind else ""
        yield f"the rule {rule.name!r} is new: it proposes {rule.severity}{also}, for example for {sample(rule.when)}"


def _first(old: Policy, new: Policy, pairs: list[tuple[Rule, Rule]]) -> Iterator[str]:
    """Rules of one severity that say different types: where both fire, the first in the file decides."""
    typed = [pair for pair in pairs if said_type(old, pair[0]) and said_type(new, pair[1])]
    for (before, now), (beside, other) in combinations(typed, 2):
        if now.type == other.type or now.severity != other.severity or before.severity != beside.severity:
            continue
        was, is_now = decides(old, before) < decides(old, beside), decides(new, now) < decides(new, other)
        if was != is_now and together(now, other):
            first, second = (now, other) if is_now else (other, now)
            yield f"where the rules {first.name!r} and {second.name!r} both match, the first of them says the type"


def _reach(before: Rule, now: Rule) -> Iterator[str]:
    narrower, wider = difference(before.when, now.when), difference(now.when, before.when)
    rule = f"the rule {now.name!r} ({now.severity})"
    if narrower:
        yield f"{rule} no longer matches, for example, {narrower}"
    if wider:
        yield f"{rule} matches, for example, {wider} too"
    if not narrower and not wider:
        yield f"{rule} asks something else"


def matched(old: Policy, new: Policy) -> tuple[list[tuple[Rule, Rule]], list[Rule], list[Rule]]:
    """(pairs of old and new, old ones that are gone, new ones); rules that can never fire are left out."""
    before = {rule.name: rule for rule in old.rules if possible(rule.when)}
    now = {rule.name: rule for rule in new.rules if possible(rule.when)}
    pairs = [(before[name], now[name]) for name in before if name in now]
    gone = [rule for name, rule in before.items() if name not in now]
    added = [rule for name, rule in now.items() if name not in before]
    for rule in list(gone):
        same = next(
            (one for one in added if one.severity == rule.severity and equivalent(one.when, rule.when)), None
        )
        if same is not None:
            pairs.append((rule, same))
            gone.remove(rule)
            added.remove(same)
    return pairs, gone, added
