"""The checker: what can be read and still cannot be kept."""

from __future__ import annotations

import pytest

from tocsin.policy.check import Finding, check
from tocsin.policy.load import default_policy_text, load_policy

TEXT = default_policy_text()


def findings(right: str, wrong: str) -> list[Finding]:
    assert right in TEXT, "the default policy has changed: choose another place"
    return check(load_policy(TEXT.replace(right, wrong, 1)))


def rule(name: str, severity: str, condition: str) -> str:
    return f"  - name: {name}\n    severity: {severity}\n    when: {condition}\n"


FIRST = "  - name: full outage\n"
LAST = "  - name: tuning or cosmetic improvement\n"
SLOW = "{fact: label.speed, equals: slow}"

CASES = {
    "acknowledge_after_respond": ("acknowledge: 30m", "acknowledge: 90m", "error", "severities.P2.acknowledge"),
    "respond_after_resolve": ("respond: 15m ", "respond: 5h  ", "error", "severities.P1.respond"),
    "more_severe_but_slower": ("    update: 15m ", "    update: 3h  ", "warning", "severities.P1.update"),
    "goes_quiet": ("      repeat_every: 30m\n", "", "error", "severities.P2.escalation"),
    "nobody_at_once": (
        "{after: 0m, targets: [on_call]}", "{after: 1m, targets: [on_call]}", "warning", "severities.P1.escalation.steps.0",
    ),
    "asleep": ("      repeat_every: 30m\n", "      repeat_every: 30m\n      hours: business\n", "error", "severities.P2.escalation.hours"),
    "delays_not_increasing": (
        "{after: 5m, targets: [engineering_lead]}", "{after: 2m, targets: [engineering_lead]}", "error",
        "severities.P1.escalation.steps.2",
    ),
    "step_without_effect": (
        "{after: 2m, targets: [on_call, secondary]}", "{after: 2m, targets: [on_call]}", "warning",
        "severities.P1.escalation.steps.1",
    ),
    "post_mortem_order": ("  draft: 72h", "  draft: 24h", "error", "post_mortem.root_cause"),
    "one_primary_channel": ("    primary: true\n", "", "error", "channels"),
    "rules_contradict": (LAST, rule("one", "P2", SLOW) + rule("other", "P4", SLOW) + LAST, "error", "rules.20"),
    "rule_shadowed": (
        FIRST, rule("wide", "P1", f"{{any: [{SLOW}, {{fact: tenants, above: 9}}]}}") + rule("narrow", "P3", SLOW) + FIRST,
        "warning", "rules.1",
    ),
}  # fmt: skip


@pytest.mark.guide("GOV-1")
@pytest.mark.parametrize("name", CASES)
def test_a_fault_of_sense_is_found(name: str) -> None:
    right, wrong, severity, where = CASES[name]
    found = [finding for finding in findings(right, wrong) if finding.rule == name]
    assert [(finding.severity, finding.where) for finding in found] == [(severity, where)]
    assert ":" in found[0].sentence  # what is wrong: what to do


def test_a_severity_without_steps_pages_nobody() -> None:
    right = "      steps:\n        - {after: 0m, targets: [on_call], quiet: true}\n"
    assert [finding.rule for finding in findings(right, "      steps: []\n")] == ["no_steps"]


def test_a_blank_that_nothing_fills_is_found_in_every_wording() -> None:
    text = TEXT.replace(
        "blanks:\n", "blanks:\n  weather: {meaning: the weather, inside: fine, outside: fine}\n", 1
    )
    text = text.replace("Impact: {{ impact }}", "Impact: {{ impact }} {{ weather }}")
    found = check(load_policy(text))
    assert [(finding.rule, finding.where) for finding in found] == [
        ("blank_nothing_fills", "templates.first_notice.everybody")
    ]


def test_two_rules_that_say_the_same_are_one_too_many() -> None:
    found = findings(LAST, rule("one", "P4", SLOW) + rule("other", "P4", SLOW) + LAST)
    assert [(finding.rule, finding.where) for finding in found] == [("rule_shadowed", "rules.20")]


def test_errors_come_before_warnings() -> None:
    text = TEXT.replace("acknowledge: 30m", "acknowledge: 90m", 1).replace(
        "    update: 15m ", "    update: 3h  ", 1
    )
    assert [finding.severity for finding in check(load_policy(text))] == ["error", "warning"]


def test_a_step_in_business_time_is_compared_by_when_it_comes() -> None:
    """Two business hours are never over before two hours, though over a weekend they take longer."""
    right = "{after: 2h business, targets: [engineering_manager]}"
    assert findings(right, "{after: 3h business, targets: [engineering_manager]}") == []
