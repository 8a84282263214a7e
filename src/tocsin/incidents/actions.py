"""Action items: what an incident taught, as something one person does by a day, reports on, and somebody else verifies.

An item closes by its verification alone; *done* is a claim.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from tocsin.incidents.chasing import remember
from tocsin.incidents.duty import Duty
from tocsin.incidents.facts import Body, register
from tocsin.kernel.clock import Instant
from tocsin.policy.model import Policy

CATEGORIES = ("immediate", "short_term", "long_term")
ACTION_FOLD = 2
SERIES = "ACT"


@register
class ActionOpened(Body):
    """``criteria``: by what it is seen that it worked. ``incident`` is an id, ``incident_name`` its number."""

    type: ClassVar[str] = "action_opened"
    number: int
    text: str
    category: str
    owner: str
    due: Instant
    criteria: str
    policy: str
    incident: str = ""
    incident_name: str = ""
    restricted: bool = False
    members: list[str] = []


@register
class ActionReported(Body):
    """How it stands."""

    type: ClassVar[str] = "action_reported"
    text: str


@register
class ActionChanged(Body):
    """Another owner, another day or another category, with the reason; what is empty stays."""

    type: ClassVar[str] = "action_changed"
    reason: str
    owner: str = ""
    due: Instant = 0
    category: str = ""


@register
class ActionDone(Body):
    """Its owner says that it is done."""

    type: ClassVar[str] = "action_done"
    note: str = ""


@register
class ActionVerified(Body):
    """Somebody else looked: ``passed`` closes it, otherwise it is open again."""

    type: ClassVar[str] = "action_verified"
    passed: bool
    how: str
    by: str


@register
class ActionDropped(Body):
    type: ClassVar[str] = "action_dropped"
    reason: str


@register
class ActionRestricted(Body):
    """Its incident is seen by its members alone from now on, and so is the item."""

    type: ClassVar[str] = "action_restricted"
    members: list[str] = []


class ActionItem(msgspec.Struct):
    """Everything known of one item. ``status``: open, done, verified, dropped. Times are instants, 0 where not yet."""

    id: str
    number: int = 0
    version: int = 0
    text: str = ""
    category: str = "immediate"
    owner: str = ""
    due: Instant = 0
    criteria: str = ""
    policy: str = ""
    incident: str = ""
    incident_name: str = ""
    restricted: bool = False
    members: list[str] = []
    opened_at: Instant = 0
    status: str = "open"
    reported_at: Instant = 0
    report: str = ""
    done_at: Instant = 0
    note: str = ""
    closed_at: Instant = 0
    verified_by: str = ""
    how: str = ""
    moved: int = 0
    """how often its day was moved"""
    reminded: list[str] = []
    missed: dict[str, Instant] = {}
    chased: dict[str, int] = {}
    escalated: list[str] = []

    @property
    def name(self) -> str:
        """The human number: ``ACT-7``."""
        return f"{SERIES}-{self.number}"

    @property
    def open(self) -> bool:
        return self.status in ("open", "done")


def fold(item: ActionItem, body: Body | None, at: Instant, version: int, principal: str) -> None:
    """Applies one fact to the item, in place."""
    item.version = version
    match body:
        case ActionOpened():
            for name in (
                "number",
                "text",
                "category",
                "owner",
                "due",
                "criteria",
                "policy",
                "incident",
                "incident_name",
                "restricted",
            ):
                setattr(item, name, getattr(body, name))
            item.members = list(body.members)
            item.opened_at = at
        case ActionReported():
            item.report, item.reported_at = body.text, at
        case ActionChanged():
            item.moved += bool(body.due and body.due != item.due)
            item.owner, item.due = body.owner or item.owner, body.due or item.due
            item.category = body.category or item.category
            if body.owner and body.owner not in item.members:
                item.members.append(body.owner)
        case ActionDone():
            item.status, item.done_at, item.note = "done", at, body.note
        case ActionVerified():
            item.how, item.verified_by = body.how, body.by
            if body.passed:
                item.status, item.closed_at = "verified", at
            else:
                item.status, item.done_at, item.reported_at = "open", 0, at
        case ActionRestricted():
            item.restricted = True
            item.members.extend(person for person in body.members if person not in item.members)
        case ActionDropped():
            item.status, item.closed_at, item.how = "dropped", at, body.reason
        case _:
            remember(item, body, at)


def duties(item: ActionItem, policy: Policy) -> list[Duty]:
    """What an item owes: to be done by its day, a status in between, and its verification once it is said to be done."""
    calendar, owner = policy.calendar(), f"person:{item.owner}"
    category = policy.actions.category(item.category)

    def duty(rule: str, whose: str, start: Instant, due: Instant, how: str, met: Instant = 0) -> Duty:
        key = f"{rule}:{start if rule != 'action' else due}"
        ended = item.closed_at if item.status == "dropped" else 0
        return Duty(key, rule, whose, start, due, how, met or ended, missed_at=item.missed.get(key, 0))

    found = [
        duty(
            "action",
            owner,
            item.opened_at,
            item.due,
            f"{item.name} is done: {item.text}",
            item.done_at or item.closed_at,
        )
    ]
    if item.status == "open":
        since = max(item.opened_at, item.reported_at)
        due = calendar.add(since, category.status_every)
        if due < item.due:
            found.append(
                duty(
                    "action_status", owner, since, due, f"the status of {item.name} is reported: {item.text}"
                )
            )
    if item.done_at:
        due = calendar.add(item.done_at, policy.actions.verified_within)
        how = f"{item.name} is verified: {item.criteria}"
        found.append(
            duty("action_verification", policy.actions.verified_by, item.done_at, due, how, item.closed_at)
        )
    return found
