"""What is wrong with a policy that can be read: promises that contradict each other, steps and rules without effect.

This looks at the policy alone; whether people, contacts and schedules can keep it is another question
(:mod:`tocsin.notify.coverage`, :mod:`tocsin.notify.policy_people`). Each file beside this one knows one part of the policy.
"""

from __future__ import annotations

from tocsin.policy import check_guide, check_paging, check_plans, check_rules, check_words
from tocsin.policy.finding import ERROR, WARNING, Finding, Places, Week
from tocsin.policy.model import Policy

__all__ = ["ERROR", "WARNING", "Finding", "Places", "check"]

CHECKS = (
    *check_paging.CHECKS, *check_guide.CHECKS, *check_words.CHECKS, *check_plans.CHECKS, *check_rules.CHECKS,
)  # fmt: skip


def check(policy: Policy) -> list[Finding]:
    """Every finding, errors first."""
    week = Week(policy)
    found = [finding for one in CHECKS for finding in one(policy, week)]
    return sorted(found, key=lambda finding: finding.severity != ERROR)
