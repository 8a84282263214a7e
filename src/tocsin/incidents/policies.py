"""The policy as something that owes: who applied which version when, and the review that falls due."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tocsin.incidents.chasing import remember
from tocsin.incidents.duty import Duty
from tocsin.incidents.facts import Body, register
from tocsin.kernel.clock import Instant
from tocsin.policy.model import Policy

POLICY_FOLD = 1
STREAM = "policy"
"""there is one such stream; its id is its kind"""


@register
class PolicyApplied(Body):
    """A version is in force. ``forced``: the reason with which it was applied despite ``findings``."""

    type: ClassVar[str] = "policy_applied"
    hash: str
    number: int
    title: str
    by: str
    forced: str = ""
    findings: list[str] = []
    adopted: list[str] = []
    """open incidents that were moved to it"""
    changes: list[str] = []
    """what changes for people, in sentences"""


@register
class PolicyReviewed(Body):
    """Its owner looked at it and found it fit, or said what is to change."""

    type: ClassVar[str] = "policy_reviewed"
    note: str
    by: str


class PolicyRecord(msgspec.Struct):
    """``applied_at`` and ``reviewed_at`` are instants, 0 where not yet."""

    id: str
    version: int = 0
    hash: str = ""
    number: int = 0
    title: str = ""
    applied_at: Instant = 0
    applied_by: str = ""
    reviewed_at: Instant = 0
    restricted: bool = False
    reminded: list[str] = []
    missed: dict[str, Instant] = {}
    chased: dict[str, int] = {}
    escalated: list[str] = []


def fold(record: PolicyRecord, body: Body | None, at: Instant, version: int, principal: str) -> None:
    """Applies one fact, in place."""
    record.version = version
    match body:
        case PolicyApplied():
            record.hash, record.number, record.title = body.hash, body.number, body.title
            record.applied_at, record.applied_by = at, body.by
        case PolicyReviewed():
            record.reviewed_at = at
        case _:
            remember(record, body, at)


def duties(record: PolicyRecord, policy: Policy) -> list[Duty]:
    """The review: counted from when this version was applied here, or last reviewed."""
    if not record.applied_at:
        return []
    start = max(record.applied_at, record.reviewed_at)
    due = policy.calendar().add(start, policy.governance.review_every)
    key = f"policy_review:{start}"
    how = f"the policy “{policy.governance.title}” is reviewed"
    return [
        Duty(
            key,
            "policy_review",
            policy.governance.owner,
            start,
            due,
            how,
            missed_at=record.missed.get(key, 0),
        )
    ]
