"""What a new policy changes for people: in sentences, and nothing exactly when both behave the same."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from typing import Any

import pytest
from observed import observed

from tocsin.kernel.errors import Unusable, UnusableMany
from tocsin.policy.calendar import Duration
from tocsin.policy.diff import Difference, diff
from tocsin.policy.load import Document, default_policy, default_policy_text, load_policy
from tocsin.policy.model import Policy

TEXT = default_policy_text()
DATA = Document(TEXT, "default.yaml").data
POLICY = default_policy()


def changed(*changes: tuple[str, str]) -> Policy:
    text = TEXT
    for right, wrong in changes:
        assert right in text, f"the default policy has changed, choose another place than {right!r}"
        text = text.replace(right, wrong, 1)
    return load_policy(text)


def difference(*changes: tuple[str, str]) -> Difference:
    return diff(POLICY, changed(*changes))


def sentences(*changes: tuple[str, str]) -> list[str]:
    return [change.sentence for change in difference(*changes).behaviour]


PAYMENTS = "        - all:\n            - {fact: service, matches: '(payment|billing|checkout)'}\n            - {fact: state, equals: down}\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ((("{after: 2m, targets: [on_call, secondary]}", "{after: 3m, targets: [on_call, secondary]}"),),
         "P1: the secondary on-call engineer is paged after 3 minutes instead of after 2 minutes"),
        ((("{after: 15m, targets: [cto]}\n        - ", ""),), "P1: the CTO is no longer paged (before: after 15 minutes)"),
        ((("    hours: business                             #", "    hours: always                             #"),),
         "P3 is chased day and night instead of in business hours"),
        ((("      repeat_every: 10m    ", "      repeat_every: 20m    "),), "P1: everybody is paged again every 20 minutes instead of every 10 minutes"),
        ((("    respond: 15m ", "    respond: 10m "),), "P1 is to be responded to within 10 minutes instead of 15 minutes"),
        ((("acknowledge_while_proposed: 5m", "acknowledge_while_proposed: 3m"),),
         "P2 is to be acknowledged within 3 minutes instead of 5 minutes while it is only proposed"),
        ((("      targets: [cto, ceo]\n", "      targets: [cto]\n"),), "P1: the CEO is no longer told"),
        ((("      friday: [\"09:00-17:00\"]\n", ""),), "the default calendar no longer works on Fridays"),
        ((("holidays: []", 'holidays: ["2026-12-25"]'),), "the default calendar is free on 2026-12-25"),
        (((PAYMENTS, ""),), "the rule 'payments down' (P1) no longer matches, for example, service matching (payment|billing|checkout) and state is down"),
        ((("{fact: latency_ms, above: 5000}", "{fact: latency_ms, above: 9000}"),),
         "the rule 'API latency above 5 s' (P2) no longer matches, for example, latency_ms above 5000"),
        ((("    chase_every: 5m", "    chase_every: 10m"),), "an update of P1, P2 and P3 is chased every 10 minutes instead of every 5 minutes once it is late"),
        ((("above_percent_of_users: 10", "above_percent_of_users: 25"),), "customers are mailed above 25 % of users instead of 10 %"),
        ((("watch_after_resolved: 2h", "watch_after_resolved: 4h"),), "what a person resolved is watched for 4 hours instead of 2 hours"),
        ((("investors: {approves: ceo", "investors: {approves: cto"),), "the CTO approves what goes out over investors, instead of the CEO"),
        ((("        Impact: {{ impact }}\n", ""),), "the first notice to internal, leadership, partners, investors and media no longer says 'Impact: {{ impact }}'"),
        ((("post_mortem: optional", "post_mortem: required"),), "a P3 owes a post-mortem; until now, it could have one"),
        ((("    self_resolves: false\n", "    self_resolves: true\n"),), "security incidents may end by themselves"),
        ((("  publication: 2 weeks", "  publication: 3 weeks"),), "the post-mortem is published 3 weeks after the end instead of 2 weeks"),
        ((("review_every: 1 quarter", "review_every: 1 month"),), "the policy is reviewed after 1 month instead of 1 quarter"),
        ((("    severities: [P1, P2]\n    steps:", "    severities: [P1]\n    steps:"),), "P2: no commander is paged any more"),
    ],
)  # fmt: skip
def test_a_change_is_said_as_what_it_means_for_people(
    changes: tuple[tuple[str, str], ...], said: str
) -> None:
    assert said in sentences(*changes)


def test_a_change_of_working_time_shows_what_it_means_by_an_example() -> None:
    said = sentences(('      friday: ["09:00-17:00"]\n', ""))
    assert said[0] == "the default calendar no longer works on Fridays"
    assert said[1].startswith("for example, a P3 opened Thursday 14:00 is to be answered by Monday 10:00")
    assert said[1].endswith("instead of Friday 10:00")


def test_changes_are_grouped_and_the_most_urgent_come_first() -> None:
    found = difference(
        ("    chase_every: 5m", "    chase_every: 10m"), ("    respond: 15m ", "    respond: 10m "),
        ("{after: 20m, targets: [ceo]}", "{after: 25m, targets: [ceo]}"),
    )  # fmt: skip
    assert [change.about for change in found.behaviour] == ["Clocks", "Paging", "Chasing"]


@pytest.mark.parametrize(
    "changes",
    [
        (("governance:  ", "# a word before\ngovernance:  "),),
        (("resolve: 4h\n", "resolve: 240m\n"), ("respond: 1h\n", "respond: 60m\n"), ("review_every: 1 quarter", "review_every: 3 months")),
        (("    name: Critical\n", ""), ("    acknowledge: 5m\n", "    acknowledge: 5m\n    name: Critical\n")),
        (("holidays: []", 'holidays: ["2026-12-26"]'),),  # a Saturday
        (('monday: ["09:00-17:00"]', 'monday: ["09:00-12:30", "12:30-17:00"]'),),
        (("    zone: UTC ", "    zone: Etc/UTC "),),
        (("{fact: state, equals: degraded}", "{any: [{fact: state, one_of: [DEGRADED]}]}"),),
        (("targets: [cto, ceo]", "targets: [ceo, cto]"),),
        (("      interrupts: false   ", "      interrupts: true    "),),  # a notice of a P3 never does
        (("partners: {name: Partners, severities: [P1, P2]", "partners: {name: Partners, severities: [P2, P1]"),),
        (("positions:\n", "positions:\n  gardener: gardener\n"),),
    ],
)  # fmt: skip
def test_what_is_only_written_otherwise_changes_nothing(changes: tuple[tuple[str, str], ...]) -> None:
    assert difference(*changes).behaviour == ()


def test_an_anchor_is_what_it_stands_for() -> None:
    written_out = load_policy(json.dumps(DATA))
    found = diff(POLICY, written_out)
    assert (found.behaviour, found.words, found.idle) == ((), (), False)


def test_what_only_people_read_stands_apart() -> None:
    found = difference(
        ("title: Incident response policy", "title: How we answer"), ("reason: nobody can pay", "reason: no money comes in"),
        ("name: payments down", "name: payments gone"), ("on_call: on-call engineer", "on_call: engineer on duty"),
    )  # fmt: skip
    assert found.same
    assert [change.sentence for change in found.words] == [
        "governance title reads 'How we answer' instead of 'Incident response policy'",
        "positions on_call reads 'engineer on duty' instead of 'on-call engineer'",
        "the rule 'payments down' is called 'payments gone'",
        "the reason of the rule 'payments gone' reads 'no money comes in' instead of 'nobody can pay'",
    ]


def test_a_rule_that_never_fires_may_come_and_go() -> None:
    never = "  - name: never\n    severity: P1\n    when: {all: [{fact: state, equals: down}, {fact: state, equals: degraded}]}\n"
    found = difference(("rules:\n", f"rules:\n{never}"))
    assert found.same
    assert [change.sentence for change in found.words] == ["the rule 'never', which never fires, is new"]


def test_files_that_differ_without_effect_say_so() -> None:
    assert difference(("holidays: []", 'holidays: ["2026-12-26"]')).idle
    assert not diff(POLICY, POLICY).idle


# random changes: the behavioural part is empty exactly when nothing is seen to behave otherwise


def leaves(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(node, dict):
        return [found for key, value in node.items() for found in leaves(value, (*path, key))]
    if isinstance(node, list) and any(isinstance(one, dict | list) for one in node):
        return [found for index, value in enumerate(node) for found in leaves(value, (*path, index))]
    return [path]


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        data = data[step]
    return data


ENUMS = (
    ("always", "business"), ("at_once", "proposed", "by_hand"), ("required", "optional", "none"), ("resolved", "closed"),
    ("opened", "confirmed"), ("interval", "response"), ("full", "own_task"), ("P1", "P2", "P3", "P4"), ("down", "degraded"),
)  # fmt: skip
SAME = {"m": 60, "h": 3600, "d": 86400}


def spelled_otherwise(text: str, pick: random.Random) -> str:
    length = Duration.parse(text)
    if length.kind == "elapsed":
        return f"{length.amount // 1_000_000}s"
    if length.kind == "business":
        return f"{length.amount // 60_000_000}m business"
    if length.kind == "months":
        return f"{length.amount} months"
    return text


def another(text: str, pick: random.Random) -> str:
    length = Duration.parse(text)
    more = Duration(length.kind, max(1, length.amount * pick.choice([2, 3])) if length.amount else 60_000_000)
    return str(more)


def mutate(data: Any, pick: random.Random) -> None:
    path = pick.choice(leaves(data))
    parent, key = at(data, path[:-1]), path[-1]
    value = parent[key]
    if isinstance(value, bool):
        parent[key] = not value
    elif isinstance(value, int | float):
        parent[key] = value + pick.choice([1, 2])
    elif isinstance(value, list):
        pick.choice([pick.shuffle, lambda one: one and one.pop(pick.randrange(len(one)))])(value)
    elif isinstance(value, str):
        enum = next((one for one in ENUMS if value in one), None)
        try:
            Duration.parse(value)
        except Unusable:
            if enum is not None:
                parent[key] = pick.choice(enum)
            elif path[0] in (
                "governance",
                "blanks",
                "templates",
                "types",
                "roles",
                "channels",
                "positions",
            ) or key in ("meaning", "reason", "name"):
                parent[key] = value + pick.choice([" ", " indeed"])
            elif isinstance(parent, dict) and pick.random() < 0.5:
                del parent[key]
        else:
            parent[key] = pick.choice([spelled_otherwise, another])(value, pick)


def take_out(data: Any, pick: random.Random) -> None:
    """A whole part goes: a rule, a chase, a notice, a party, an approval, a wording of its own."""
    places = [
        (data["rules"], pick.randrange(len(data["rules"]))), (data["chasing"], pick.choice(list(data["chasing"]))),
        (data["severities"]["P3"], pick.choice(["notice", "stand_ups"])), (data["severities"]["P2"], "notice"),
        (data["outside"]["parties"], pick.choice(list(data["outside"]["parties"]))), (data["outside"]["approval"], pick.choice(list(data["outside"]["approval"]))),
        (data["templates"]["first_notice"]["audiences"], "customers"), (data["paging"]["commander"], "repeat_every"),
        (data["severities"]["P1"]["escalation"]["steps"], pick.randrange(6)),
    ]  # fmt: skip
    parent, key = pick.choice(places)
    del parent[key]


def put_in(data: Any, pick: random.Random) -> None:
    """A whole part comes, with an effect or without."""
    chase = pick.choice(
        [
            {"chase_every": "5m"},
            {"remind_before": ["2 business days"]},
            {"remind_before": ["2m"]},
            {"remind_at_percent": [80]},
        ]
    )
    places = [
        (data["chasing"], pick.choice(["acknowledge", "stand_up", "message"]), {**data["chasing"]["default"], **chase}),
        (data["chasing"]["respond"], "remind_before", [pick.choice(["5m", "30m", "2h", "9 business days"])]),
        (data["calendars"], "other", pick.choice([data["calendars"]["office"], {"zone": "Asia/Tokyo", "hours": {"monday": ["10:00-11:00"]}}])),
        (data["calendars"]["office"]["hours"], pick.choice(["saturday", "friday"]), pick.choice([[], ["09:00-13:00", "13:00-17:00"], ["10:00-12:00"]])),
        (data["calendars"]["office"], "holidays", [pick.choice(["2026-03-06", "2026-12-26", "2026-12-24"])]),
        (data["positions"], "gardener", "gardener"), (data["blanks"], "weather", {"meaning": "m", "inside": "i", "outside": "o"}),
        (data["outside"]["parties"]["media"], "types", pick.choice([[], list(data["types"]), ["data"]])),
        (data["severities"]["P4"], "notice", {"targets": ["on_call"], "interrupts": pick.choice([True, False])}),
        (data["templates"]["progress_update"]["audiences"], "media", data["templates"]["progress_update"][pick.choice(["everybody"])]),
        (data["types"]["integration"], "members", ["cto"]),
    ]  # fmt: skip
    parent, key, value = pick.choice(places)
    parent[key] = copy.deepcopy(value)


def reform(data: Any, pick: random.Random) -> None:
    """Keys in another order, and rules in another form."""
    for name in ("severities", "positions", "blanks", "chasing", "calendars", "roles"):
        items = list(data[name].items())
        pick.shuffle(items)
        data[name] = dict(items)
    for rule in data["rules"]:
        rule["when"] = wrapped(rule["when"], pick)


def wrapped(condition: Any, pick: random.Random) -> Any:
    for join in ("any", "all"):
        if join in condition:
            parts = [wrapped(part, pick) for part in condition[join]]
            pick.shuffle(parts)
            cut = pick.randint(1, len(parts))
            return {join: [*parts[:cut], {join: parts[cut:]}] if parts[cut:] else parts}
    if "not" in condition:
        return {"not": wrapped(condition["not"], pick)}
    return {"not": {"not": condition}} if pick.random() < 0.2 else condition


SEEN = observed(POLICY)


def check_one(seed: int) -> bool | None:
    pick = random.Random(seed)
    data = copy.deepcopy(DATA)
    if pick.random() < 0.4:
        reform(data, pick)
    for _ in range(pick.choice([0, 1, 1, 1, 2])):
        with contextlib.suppress(KeyError, IndexError):  # an earlier change took that part out
            pick.choice([mutate, mutate, take_out, put_in])(data, pick)
    try:
        policy = load_policy(json.dumps(data), "mutated.yaml")
    except UnusableMany:
        return None
    found, seen = diff(POLICY, policy), observed(policy)
    different = [name for name in SEEN if SEEN[name] != seen[name]]
    assert found.same == (not different), (seed, different, found.behaviour, changes_of(DATA, data))
    return found.same


def changes_of(old: Any, new: Any) -> list[Any]:
    paths = {*leaves(old), *leaves(new)}

    def value(data: Any, path: tuple[Any, ...]) -> Any:
        try:
            return at(data, path)
        except (KeyError, IndexError, TypeError):
            return "(nothing)"

    return [
        (path, value(old, path), value(new, path))
        for path in sorted(paths, key=str)
        if value(old, path) != value(new, path)
    ][:6]


@pytest.mark.parametrize("block", range(4))
def test_the_difference_is_empty_exactly_when_nothing_behaves_otherwise(block: int) -> None:
    answers = [check_one(block * 1_000 + seed) for seed in range(12)]
    assert {True, False} <= set(answers)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(20))
def test_the_difference_is_empty_exactly_when_nothing_behaves_otherwise_at_length(block: int) -> None:
    answers = [check_one(100_000 + block * 1_000 + seed) for seed in range(40)]
    assert {True, False} <= set(answers)
