"""Action items, a board and a page for each; and the policy in force, with its review."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine import overview
from tocsin.engine.acting import ActionBook, PolicyBook
from tocsin.engine.kinds import KINDS
from tocsin.engine.work import find_other, read_state
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About
from tocsin.incidents import actions, policies
from tocsin.incidents.actions import CATEGORIES, ActionItem
from tocsin.incidents.duties import Standing, standing
from tocsin.incidents.policies import PolicyRecord
from tocsin.incidents.wording import duty_label
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.kernel.facts import SYSTEM
from tocsin.kernel.ports import Reader
from tocsin.policy.model import Policy
from tocsin.web.base import Visit, Web, execute

SAID = {
    "action_report": "The status is recorded.", "action_change": "Changed, with your reason.",
    "action_done": "Said to be done; somebody else verifies it.", "action_verify": "Recorded.", "action_drop": "Dropped, with your reason.",
    "policy_review": "Reviewed; the next one counts from now.",
}  # fmt: skip
ORDER = ("open", "done", "verified", "dropped")
"""status of an item, what needs somebody first"""


class Item(msgspec.Struct):
    """An action item as a page shows it. ``clock``: what it owes next, None where nothing."""

    item: ActionItem
    clock: Standing | None
    label: str
    verifiers: list[str]
    """ids of those who may verify it"""


class ActionPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of action items and of the policy."""
        route = self.web.route
        return [
            route("/actions", self.board),
            route("/actions/{action}", self.item, form=True),
            route("/policy", self.policy, form=True),
        ]

    def board(self, visit: Visit) -> Response:
        """Every item that is not over, what falls due first at the head; those that are over on demand."""
        over = visit.query("over") == "yes"
        found = [one for one in items_of(visit) if over or one.item.open]
        return visit.page("actions.html", items=found, over=over)

    def item(self, visit: Visit) -> Response:
        """One item: how it stands, and what its owner and whoever verifies it can do."""
        reference, error = visit.part("action"), ""
        if visit.posting:
            try:
                verb = str(visit.form.get("verb", ""))
                if verb not in SAID or not verb.startswith("action_"):
                    raise NotFound("this page has no such form")
                execute(visit, verb, action=reference)
                return visit.go(visit.request.url.path, SAID[verb])
            except TocsinError as refused:
                error = refused.sentence
        found = _one(visit, reference)
        me = visit.principal
        return visit.page(
            "action.html", 409 if error else 200, error=error, one=found, item=found.item, categories=CATEGORIES,
            people=sorted((one for one in visit.directory.people.values() if one.active), key=lambda one: one.name.casefold()),
            writes=authorize(me, "action_report", _about(found.item)).allowed,
            verifies=found.item.status == "done" and me.person != found.item.owner and (me.role == "owner" or me.person in found.verifiers),
        )  # fmt: skip

    def policy(self, visit: Visit) -> Response:
        """The version in force, when it is to be looked at again, and its text."""
        error = ""
        if visit.posting:
            try:
                if visit.form.get("verb") != "policy_review":
                    raise NotFound("this page has no such form")
                execute(visit, "policy_review")
                return visit.go("/policy", SAID["policy_review"])
            except TocsinError as refused:
                error = refused.sentence
        record, clock, owners, terms = visit.engine.store.read(lambda r: _review(visit, r))
        text = visit.engine.store.read(lambda r: r.document("policy", "policy"))
        return visit.page(
            "policy.html", 409 if error else 200, error=error, record=record, clock=clock, owners=owners, terms=terms,
            text=bytes(text.body).decode() if text else "", reviews=visit.principal.person in owners or visit.principal.role == "owner",
        )  # fmt: skip


def items_of(visit: Visit, incident: str = "") -> list[Item]:
    """The items that the reader may see, of one incident or all: what falls due first at the head of each status."""

    def work(reader: Reader) -> list[Item]:
        rows = reader.streams("action", principal=overview.seer(visit.principal), limit=1000)
        states: list[ActionItem] = [read_state(reader, row, KINDS[ActionItem]) for row in rows]
        return [_shown(visit, reader, one) for one in states if not incident or one.incident == incident]

    found = visit.engine.store.read(work)
    return sorted(found, key=lambda one: (ORDER.index(one.item.status), one.clock.duty.due if one.clock else 0))  # fmt: skip


def _one(visit: Visit, reference: str) -> Item:
    def work(reader: Reader) -> Item:
        row = find_other(reader, "action", reference, actions.SERIES)
        item: ActionItem = read_state(reader, row, KINDS[ActionItem])
        if not authorize(visit.principal, "view", _about(item)).allowed:
            raise NotFound(f"there is no action item {reference[:40]}")
        return _shown(visit, reader, item)

    return visit.engine.store.read(work)


def _about(item: ActionItem) -> About:
    return About(item.restricted, frozenset(item.members))


def _shown(visit: Visit, reader: Any, item: ActionItem) -> Item:
    book = ActionBook(visit.engine.work(reader, SYSTEM), item)
    clocks = [standing(duty, visit.now) for duty in book.owed()]
    first = min(clocks, key=lambda clock: clock.duty.due, default=None)
    named = [person for person in book.owner(book.policy.actions.verified_by) if person != item.owner]
    return Item(item, first, duty_label(first.duty.rule) if first else "", named)


def _review(visit: Visit, reader: Any) -> tuple[PolicyRecord | None, Standing | None, list[str], Policy]:
    unit = visit.engine.work(reader, SYSTEM)
    terms = unit.current_policy()[0]
    try:
        row = find_other(reader, "policy", policies.STREAM, "POL")
    except NotFound:  # a database from before the policy was a stream
        return None, None, [], terms
    record: PolicyRecord = read_state(reader, row, KINDS[PolicyRecord])
    book = PolicyBook(unit, record)
    owed = book.owed()
    return record, standing(owed[0], visit.now) if owed else None, book.owner(terms.governance.owner), terms
