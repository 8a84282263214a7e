"""What a new policy changes for people: in sentences, and nothing exactly when both behave the same."""

from __future__ import annotations

import contextlib
import copy
import json
import random
from typing import Any

import pytest
from observed import observed
from pydantic import ValidationError

from tocsin.kernel.errors import Unusable
from tocsin.policy.calendar import Duration
from tocsin.policy.diff import Difference, diff
from tocsin.policy.load import Document, default_policy, default_policy_text, load_policy
from tocsin.policy.model import Policy
from tocsin.policy.plans import PHASES, STRANDS
from tocsin.policy.references import references

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


WATCHED = "    - {id: watch_closely, phase: service_recovery, owner: on_call, text: enhanced monitoring while services recover}   # [REC-4]\n"
PAYMENTS = "        - all:\n            - {fact: service, matches: '(payment|billing|checkout)'}\n            - {fact: state, equals: down}\n"


VALIDATION_CHASED, CONTINUITY_CHASED = (
    (f"  {name}:\n    remind_at_percent: [80]\n    chase_every: 1h\n", f"  {name}:\n    remind_at_percent: [80]\n    chase_every: 2h\n")
    for name in ("validation", "continuity")
)  # fmt: skip


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
        ((("    type: security                              # so", "    # so"),), "the rule 'security breach with exposure of data' no longer makes it an incident of type security"),
        ((("  - name: slow reports\n", "  - name: slow reports\n    type: performance\n"),), "the rule 'slow reports' makes it an incident of type performance"),
        ((("within: 4h, major_only: true", "within: 4h"),), "the media are told of every such incident, major or not"),
        ((("investors: {name: Investors,", "investors: {name: Investors, major_only: true,"),), "the investors are told of major incidents alone"),
        ((("    above_percent_of_users: 50\n", "    above_percent_of_users: 30\n"),), "an incident is major above 30 % of users instead of 50 %"),
        ((("    subtypes: [data_breach, complete_outage]", "    subtypes: [data_breach]"),),
         "whatever the share, an incident is major that is data breach instead of complete outage and data breach"),
        ((("  verified_by: engineering_manager", "  verified_by: cto"),), "a finished action is verified by the CTO instead of the engineering manager"),
        ((("  verified_within: 1 week", "  verified_within: 2 weeks"),), "a finished action is verified within 2 weeks instead of 1 week"),
        ((("status_every: 1 week}", "status_every: 2d}"),), "immediate actions report every 48 hours"),
        ((VALIDATION_CHASED,), "the validation of a recovery of P1, P2 and P3 is chased every 2 hours instead of every hour once it is late"),
        ((CONTINUITY_CHASED,), "word on a plan of continuity of P1, P2 and P3 is chased every 2 hours instead of every hour once it is late"),
        ((("    escalate_to: cto\n  policy_review", "    escalate_to: ceo\n  policy_review"),),
         "the verification of an action goes after 1 week to the CEO instead of after 1 week to the CTO when it stays late"),
    ],
)  # fmt: skip
def test_a_change_is_said_as_what_it_means_for_people(
    changes: tuple[tuple[str, str], ...], said: str
) -> None:
    assert said in sentences(*changes)


EVIDENCE = "{id: keep_evidence, phase: stop_damage, owner: technical_lead, text: preserve evidence before it is gone}"
RESTORE = "{id: restore_data, phase: data_recovery, owner: technical_lead, types: [data], text: restore from the newest clean backup}"
PARTNERS = "    partners: {name: Partners, about: the state of integrations and the alternatives, through: communication_lead, within: 2h, every: 8h, met_by: [partners]}\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ((("  severities: [P1, P2]\n  types: [security, data]", "  severities: [P1, P2, P3]\n  types: [security, data]"),), ["a P3 gets a plan of recovery"]),
        ((("  types: [security, data] ", "  types: [security] "),), ["a P3 of type data gets no plan of recovery any more", "a P4 of type data gets no plan of recovery any more"]),
        (((f"    - {EVIDENCE}\n", ""),), ["recovery no longer asks: preserve evidence before it is gone"]),
        ((("    - {id: rollback_ready", "    - {id: call_vendor, phase: service_recovery, owner: cto, types: [integration], text: call the vendor}\n    - {id: rollback_ready"),),
         ["recovery asks too: call the vendor (the CTO), for integration incidents"]),
        (((EVIDENCE, EVIDENCE.replace("technical_lead", "security")),), ["recovery: the security team owes “preserve evidence before it is gone” instead of the technical lead"]),
        (((EVIDENCE, EVIDENCE.replace("stop_damage", "restore_basics")),), ["recovery: “preserve evidence before it is gone” belongs to restore basics instead of stop damage"]),
        (((EVIDENCE, EVIDENCE.replace("before it is gone", "first")),), ["recovery asks: preserve evidence first; until now: preserve evidence before it is gone"]),
        (((EVIDENCE, EVIDENCE.replace("keep_evidence", "evidence")),), ["the step keep_evidence of recovery is recorded as evidence"]),
        (((RESTORE, RESTORE.replace("[data]", "[data, security]")),), ["recovery asks: restore from the newest clean backup, for security incidents too"]),
        (((f"    - {EVIDENCE}\n", ""), ("    - {id: isolate,", f"    - {EVIDENCE}\n    - {{id: isolate,")), ["the steps of recovery come in another order"]),
        ((("      components: [authentication]\n", "      components: [authentication]\n      severities: [P1]\n"),),
         ["the plan of continuity for Authentication begins for P1 instead of P1 and P2"]),
        ((("      components: [database, file_storage]", "      components: [database]"),),
         ["the plan of continuity for Access to data begins when these components are hit: database instead of database and file storage"]),
        ((("      services: [payments, billing, checkout]", "      services: [payments]"),),
         ["the plan of continuity for Payments begins when these services are hit: payments instead of billing, checkout and payments"]),
        ((("      subtypes: [payment_gateway]\n", ""),), ["the plan of continuity for Payments begins for incidents of the kinds nothing instead of payment gateway"]),
        ((("        - {id: reconcile, strand: reconciliation", "        - {id: reconcile, strand: manual"),),
         ["continuity for Payments: “what was recorded by hand is reconciled” belongs to manual instead of reconciliation"]),
        ((("    data_access:                                # [BCP-3]\n", "    data_access:\n      severities: []\n"),), ["there is no plan of continuity for Access to data any more"]),
        (((PARTNERS, ""),), ["while a plan of continuity runs, partners are owed no word of it any more"]),
        (((PARTNERS, PARTNERS.replace("within: 2h, every: 8h", "within: 1h, every: 6h")),),
         ["while a plan of continuity runs, partners hear for the first time within 1 hour instead of 2 hours",
          "while a plan of continuity runs, partners hear every 6 hours instead of every 8 hours"]),
        (((PARTNERS, PARTNERS.replace("communication_lead", "ceo").replace("[partners]", "[partners, social_media]")),),
         ["while a plan of continuity runs, partners hear through the CEO instead of the communication lead",
          "while a plan of continuity runs, partners have heard by partners and social media instead of partners"]),
    ],
)  # fmt: skip
def test_a_change_of_a_plan_is_said_and_nothing_else(
    changes: tuple[tuple[str, str], ...], said: list[str]
) -> None:
    assert sentences(*changes) == said


def test_a_plan_and_an_audience_that_are_new_are_said_with_what_they_ask() -> None:
    search = "    search: {name: Search, services: [orders], steps: [{id: by_hand, strand: manual, owner: support, text: look it up by hand}]}\n"
    board = "    board: {name: Board, about: the state, through: ceo, within: 1h, every: 4h, met_by: [stakeholders]}\n"
    assert sentences(("  hearing:   ", f"{search}  hearing:   "), (PARTNERS, PARTNERS + board)) == [
        "there is a plan of continuity for Search",
        "while a plan of continuity runs, board hear of the state through the CEO, within 1 hour, then every 4 hours",
    ]


def test_which_type_counts_where_two_rules_match_is_the_firsts() -> None:
    one, other = "  - name: documentation\n", "  - name: edge case\n"
    typed = ((one, f"{one}    type: performance\n"), (other, f"{other}    type: data\n"))
    before = changed(*typed)
    start, end = TEXT.index(one), TEXT.index("  - name: tuning")
    passage = TEXT[start:end]
    parts = ["  - name" + part for part in passage.split("  - name") if part]
    now = changed((passage, "".join(reversed(parts))), *typed)
    assert [change.sentence for change in diff(before, now).behaviour] == [
        "where the rules 'edge case' and 'documentation' both match, the first of them says the type"
    ]


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
        (("    - {id: isolate,", "    - {id: isolate, types: [availability, performance, security, data, integration],"),),
        (("      components: [database, file_storage]", "      components: [File Storage, Database]"),),
        (("      services: [payments, billing, checkout]", "      services: [Checkout, Billing, Payments]"),),
        ((WATCHED, ""), ("    - {id: isolate,", f"{WATCHED}    - {{id: isolate,")),  # phases have their own order
        (("    above_percent_of_users: 50\n", "    above_percent_of_users: 50.5\n"),),  # shares are whole per cents
        (("  - name: one feature broken\n", "  - name: one feature broken\n    type: availability\n"),),  # the type that is taken anyway
        (("    remind_before: [1d]\n    chase_every: 2 business days\n    escalate_after: 1 week\n    escalate_to: cto\n", "    remind_before: [1d, 2 weeks]\n    chase_every: 2 business days\n    escalate_after: 1 week\n    escalate_to: cto\n"),),
        (("status_every: 1 week}", "status_every: 2 weeks}"),),  # an action is due before
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
        ("      name: Access to data\n", "      name: Data\n"), ("stakeholders: {name: Stakeholders", "stakeholders: {name: All who care"),
    )  # fmt: skip
    assert found.same
    assert [change.sentence for change in found.words] == [
        "governance title reads 'How we answer' instead of 'Incident response policy'",
        "positions on_call reads 'engineer on duty' instead of 'on-call engineer'",
        "continuity plans data_access reads 'Data' instead of 'Access to data'",
        "continuity hearing stakeholders reads 'All who care' instead of 'Stakeholders'",
        "the rule 'payments down' is called 'payments gone'",
        "the reason of the rule 'payments gone' reads 'no money comes in' instead of 'nobody can pay'",
    ]


def test_no_setting_of_plans_and_of_what_is_chased_of_them_can_change_unsaid() -> None:
    idle = []
    for path in leaves(DATA):
        key, value = path[-1], at(DATA, path)
        if path[0] not in ("recovery", "continuity", "chasing", "actions") or isinstance(value, list):
            continue
        enum = next((one for one in ENUMS if value in one), None)
        if key in WHO:
            other = "architect"
        elif enum is not None:
            other = next(one for one in enum if one != value)
        elif key in ("id", "text", "about", "name", "purpose"):
            other = f"{value}_otherwise"
        else:
            other = another(value, random.Random(0))
        data = copy.deepcopy(DATA)
        at(data, path[:-1])[key] = other
        if diff(POLICY, Policy.model_validate_json(json.dumps(data), strict=True)).idle:
            idle.append(path)
    # a status that falls due no earlier than the action itself is never owed
    assert idle == [("actions", "immediate", "status_every")]


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
    PHASES, STRANDS, ("availability", "performance", "security", "data", "integration"),
)  # fmt: skip
WHO = ("owner", "through", "approves", "sends", "verified_by", "escalate_to", "digest_to", "standby")
NAMES = (
    "technical_lead",
    "communication_lead",
    "incident_commander",
    "security",
    "cto",
    "engineering_manager",
)
READ = ("governance", "blanks", "templates", "types", "roles", "channels", "positions")


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
        more = {
            "severities": "P3",
            "types": "data",
            "met_by": "update",
            "subtypes": "loss",
            "components": "database",
        }
        ways = [pick.shuffle, lambda one: one and one.pop(pick.randrange(len(one)))]
        pick.choice([*ways, lambda one: one.append(more[key])] if key in more else ways)(value)
    elif isinstance(value, str):
        enum = next((one for one in ENUMS if value in one), None)
        try:
            Duration.parse(value)
        except Unusable:
            if enum is not None and key not in WHO:
                parent[key] = pick.choice(enum)
            elif key in WHO:
                parent[key] = pick.choice(NAMES)
            elif key == "id":
                parent[key] = f"{value}_otherwise"
            elif path[0] in READ or key in ("meaning", "reason", "name", "text", "about"):
                parent[key] = value + pick.choice([" ", " indeed"])
            elif isinstance(parent, dict) and pick.random() < 0.5:
                del parent[key]
        else:
            parent[key] = pick.choice([spelled_otherwise, another])(value, pick)


def take_out(data: Any, pick: random.Random) -> None:
    """A whole part goes: a rule or its type, a chase, a notice, a party, an approval, a wording of its own, a plan, a step."""
    plan = pick.choice(list(data["continuity"]["plans"].values()))
    outside, hearing = data["outside"], data["continuity"]["hearing"]
    places = [
        (data["rules"], pick.randrange(len(data["rules"]))), (data["chasing"], pick.choice(list(data["chasing"]))),
        (data["severities"]["P3"], pick.choice(["notice", "stand_ups"])), (data["severities"]["P2"], "notice"),
        (outside["parties"], pick.choice(list(outside["parties"]))), (outside["approval"], pick.choice(list(outside["approval"]))),
        (data["templates"]["first_notice"]["audiences"], "customers"), (data["paging"]["commander"], "repeat_every"),
        (data["severities"]["P1"]["escalation"]["steps"], pick.randrange(6)),
    ]  # fmt: skip
    plans = [
        (data, pick.choice(["recovery", "continuity"])), (data["recovery"]["steps"], pick.randrange(len(data["recovery"]["steps"]))),
        (pick.choice(data["recovery"]["steps"]), "types"), (data["recovery"], "types"), (pick.choice(data["rules"]), "type"),
        (data["continuity"]["plans"], pick.choice(list(data["continuity"]["plans"]))), (plan, pick.choice(["components", "services", "subtypes"])),
        (plan["steps"], pick.randrange(len(plan["steps"]))), (hearing, pick.choice(list(hearing))), (outside, "major"),
        (outside["parties"]["media"], pick.choice(["major_only", "within"])), (data["actions"], pick.choice(["verified_by", "verified_within"])),
    ]  # fmt: skip
    parent, key = pick.choice(pick.choice([places, plans]))
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
    parent, key, value = pick.choice(pick.choice([places, planned(data, pick)]))
    parent[key] = copy.deepcopy(value)


def planned(data: Any, pick: random.Random) -> list[tuple[Any, Any, Any]]:
    """What may come or change in plans, in what is chased of them, and in who is told of what is major."""
    plan = data["continuity"]["plans"][pick.choice(list(data["continuity"]["plans"]))]
    step, part = pick.choice(data["recovery"]["steps"]), pick.choice(plan["steps"])
    kinds = list(data["types"])
    own = {"name": "Search", "services": ["orders"], "steps": plan["steps"]}
    return [
        (data["chasing"][pick.choice(["validation", "continuity", "action_verification", "action_status", "action", "policy_review"])],
         "remind_before", [pick.choice(["30m", "1h", "4h", "8h", "1 week", "2 weeks", "60 weeks", "9 business days"])]),
        (data["chasing"]["validation"], "remind_at_percent", pick.choice([[30], [50], [30, 80], [50, 80], [80]])),
        (data["recovery"], "types", pick.choice([[], kinds, ["data", "security"], ["data"]])), (step, "types", pick.choice([[], kinds, ["security"]])),
        (data["recovery"], "severities", pick.choice([[], ["P1"], ["P2", "P1"], ["P1", "P2", "P3", "P4"]])),
        (part, "types", pick.choice([[], kinds, ["security"]])), (data["continuity"]["plans"], "search", own),
        (plan, "severities", pick.choice([[], ["P2", "P1"], ["P1"], ["P1", "P2", "P3"]])), (plan, "subtypes", pick.choice([[], ["loss"], ["payment_gateway"]])),
        (plan, "services", pick.choice([["Checkout", "PAYMENTS", "billing"], ["orders"]])), (plan, "components", pick.choice([["Database", "file_storage"], ["Authentication"]])),
        (data["continuity"]["hearing"], "regulators", {**data["continuity"]["hearing"]["customers"], "name": "Regulators"}),
        (pick.choice(data["rules"]), "type", pick.choice(kinds)), (data["outside"], "major", pick.choice([
            {"above_percent_of_users": 50.5, "subtypes": ["complete_outage", "data_breach"]}, {"above_percent_of_users": 51},
            {"above_percent_of_users": 50, "subtypes": ["data_breach"]},
        ])),
        (data["outside"]["parties"][pick.choice(list(data["outside"]["parties"]))], "major_only", pick.choice([True, False])),
        (data["actions"]["immediate"], "status_every", pick.choice(["1d", "2 weeks"])), (data["actions"], "verified_within", pick.choice(["1d", "5 business days"])),
    ]  # fmt: skip


def reform(data: Any, pick: random.Random) -> None:
    """Keys in another order, and rules in another form."""
    for part, names in (
        (data, ("severities", "positions", "blanks", "chasing", "calendars", "roles")),
        (data["continuity"], ("plans", "hearing")), (data["outside"], ("parties", "approval")),
    ):  # fmt: skip
        for name in names:
            items = list(part[name].items())
            pick.shuffle(items)
            part[name] = dict(items)
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
        policy = Policy.model_validate_json(json.dumps(data), strict=True)
    except ValidationError:
        return None
    if any(references(policy)):
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


def answers(seeds: range) -> set[bool | None]:
    return {check_one(seed) for seed in seeds}


def test_what_is_looked_at_is_there() -> None:
    """Nothing is equal only because nothing was seen."""
    seen = {name: list(value) for name, value in SEEN.items() if isinstance(value, list)}
    assert all(seen.values())
    assert {"authentication", "payments", "data_access"} == set(seen["plans"][4 * 5])
    assert any(isinstance(one, dict) and len(one) == 4 for one in seen["chased"])
    told = {one[0].split(":")[1] for those in seen["parties"] for one in those}
    assert told == {"investors", "partners", "media"}


@pytest.mark.parametrize("block", range(3))
def test_the_difference_is_empty_exactly_when_nothing_behaves_otherwise(block: int) -> None:
    assert {True, False} <= answers(range(block * 1_000, block * 1_000 + 10))


@pytest.mark.slow
@pytest.mark.parametrize("block", range(5))
def test_the_difference_is_empty_exactly_when_nothing_behaves_otherwise_at_length(block: int) -> None:
    assert {True, False} <= answers(range(100_000 + block * 1_000, 100_000 + block * 1_000 + 40))


@pytest.mark.soak
@pytest.mark.parametrize("block", range(100))
def test_the_difference_is_empty_exactly_when_nothing_behaves_otherwise_for_long(block: int) -> None:
    assert {True, False} <= answers(range(200_000 + block * 1_000, 200_000 + block * 1_000 + 100))
