"""Conditions compared by what they mean: certain where something is claimed, checked against random facts."""

from __future__ import annotations

import json
import random

import pytest

from tocsin.policy.cells import difference, equivalent, implies, pattern_key, possible
from tocsin.policy.conditions import Condition, Fact, holds
from tocsin.policy.load import default_policy


def read(condition: dict) -> Condition:
    return Condition.model_validate_json(json.dumps(condition))


DOWN = {"fact": "state", "equals": "down"}
DEGRADED = {"fact": "state", "equals": "degraded"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"any": [DOWN, DEGRADED]}, {"any": [DEGRADED, {"any": [DOWN]}]}),
        ({"any": [DOWN, DEGRADED]}, {"fact": "state", "one_of": ["Degraded", "down"]}),
        ({"all": [DOWN, {"any": [DOWN, DEGRADED]}]}, DOWN),
        ({"any": [{"all": [DOWN, {"fact": "tenants", "above": 1}]}, {"all": [DOWN, {"not": {"fact": "tenants", "above": 1}}]}]}, DOWN),
        ({"not": {"not": DOWN}}, DOWN),
        ({"not": {"any": [DOWN, DEGRADED]}}, {"all": [{"not": DEGRADED}, {"not": DOWN}]}),
        ({"fact": "tenants", "above": 1}, {"fact": "tenants", "at_least": 2}),
        ({"fact": "latency_ms", "above": 5000}, {"fact": "latency_ms", "above": 5000.0}),
        ({"fact": "security", "equals": True}, {"fact": "security", "equals": "true"}),
        ({"fact": "summary", "matches": "(a|b) down"}, {"fact": "summary", "matches": "(?:b|A) down"}),
        ({"fact": "summary", "matches": "down"}, {"fact": "summary", "matches": ".*down"}),
    ],
)  # fmt: skip
def test_what_asks_the_same_in_another_form_is_the_same(one: dict, other: dict) -> None:
    assert equivalent(read(one), read(other))
    assert difference(read(one), read(other)) == ""


def test_one_is_not_true_whatever_python_says() -> None:
    one, true = ({"fact": "label.flag", "equals": value} for value in (1, True))
    assert not equivalent(read(one), read(true))
    assert not implies(read(one), read(true))
    assert implies(read(one), read(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"fact": "latency_ms", "above": 9000}, {"fact": "latency_ms", "above": 5000}),
        ({"fact": "tenants", "equals": 3}, {"fact": "tenants", "at_least": 3}),
        ({"all": [DOWN, {"fact": "tenants", "above": 1}]}, {"any": [DEGRADED, DOWN]}),
        ({"fact": "label.env", "equals": "production"}, {"fact": "label.env", "matches": "^prod"}),
        ({"fact": "summary", "matches": "disk"}, {"any": [{"fact": "summary", "matches": "disk"}, DOWN]}),
    ],
)
def test_the_narrower_implies_the_wider_and_not_the_other_way_round(one: dict, other: dict) -> None:
    assert implies(read(one), read(other))
    assert not implies(read(other), read(one))
    assert difference(read(other), read(one))


@pytest.mark.parametrize(
    "condition",
    [
        {"all": [DOWN, DEGRADED]},
        {"all": [DOWN, {"not": DOWN}]},
        {"all": [{"fact": "tenants", "above": 5}, {"fact": "tenants", "below": 3}]},
        {"all": [{"fact": "tenants", "above": 1}, {"fact": "tenants", "below": 2}]},
        {"all": [{"fact": "label.env", "equals": "test"}, {"fact": "label.env", "matches": "prod"}]},
    ],
)
def test_what_excludes_itself_never_holds(condition: dict) -> None:
    assert not possible(read(condition))


def test_not_above_is_not_at_most_because_nothing_may_be_known() -> None:
    assert not implies(
        read({"not": {"fact": "latency_ms", "above": 10}}), read({"fact": "latency_ms", "below": 11})
    )


def test_patterns_that_only_a_reader_could_compare_are_not_claimed() -> None:
    assert not implies(
        read({"fact": "summary", "matches": "payments down"}), read({"fact": "summary", "matches": "down"})
    )
    assert pattern_key("ab") != pattern_key("abc")


def test_a_difference_is_shown_by_facts() -> None:
    wide, narrow = read({"any": [DOWN, {"fact": "tenants", "above": 4}]}), read(DOWN)
    assert difference(wide, narrow) == "tenants above 4"


FACTS: dict[str, list[Fact]] = {
    "state": ["down", "Degraded", "up"],
    "tenants": [0, 1, 2, 3, 7],
    "label.rate": ["1", "2.5", "3 %", "many", "production"],
    "summary": ["disk full", "payments down", "disk down"],
}


def some_condition(pick: random.Random, depth: int) -> dict:
    if depth and pick.random() < 0.6:
        form = pick.choice(["all", "any", "not"])
        if form == "not":
            return {"not": some_condition(pick, depth - 1)}
        return {form: [some_condition(pick, depth - 1) for _ in range(pick.randint(1, 3))]}
    return pick.choice(
        [
            DOWN, DEGRADED, {"fact": "state", "one_of": ["down", "up"]},
            {"fact": "tenants", pick.choice(["above", "at_least", "below", "equals"]): pick.randint(0, 4)},
            {"fact": "label.rate", pick.choice(["above", "at_least", "below"]): pick.choice([1, 2, 2.5, 3])},
            {"fact": "label.rate", "equals": pick.choice(["many", 3, "3 %"])}, {"fact": "label.rate", "matches": "prod|many"},
            {"fact": "summary", "matches": pick.choice(["disk", "down"])},
        ]
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_what_is_claimed_is_true_of_whatever_facts_there_are(seed: int) -> None:
    """An implication holds for all facts; one that is denied has facts that deny it, shown by brute force over few values."""
    pick = random.Random(seed)
    one, other = read(some_condition(pick, 2)), read(some_condition(pick, 2))
    worlds = [
        {fact: value for fact, value in zip(FACTS, values, strict=True) if value is not None}
        for values in _product([[None, *values] for values in FACTS.values()])
    ]
    for first, second in ((one, other), (other, one)):
        claimed = implies(first, second)
        true = all(holds(second, world) for world in worlds if holds(first, world))
        assert true or not claimed, (first, second)
        if true and not claimed:  # only facts that are not among these few may deny it
            assert difference(first, second)
    assert possible(one) or not any(holds(one, world) for world in worlds)


def _product(values: list[list]) -> list[tuple]:
    from itertools import product

    return list(product(*values))


def test_no_rule_of_the_default_policy_implies_another() -> None:
    rules = default_policy().rules
    assert [(a.name, b.name) for a in rules for b in rules if a is not b and implies(a.when, b.when)] == []
