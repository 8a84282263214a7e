"""Action items, a board and a page for each; and the policy in force, with its review."""

from __future__ import annotations

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine import boards
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About
from tocsin.incidents.actions import CATEGORIES, ActionItem
from tocsin.incidents.duties import Standing
from tocsin.incidents.wording import duty_label
from tocsin.kernel.errors import NotFound, TocsinError
from tocsin.web.base import Visit, Web, execute

SAID = {
    "action_report": "The status is recorded.", "action_change": "Changed, with your reason.",
    "action_done": "Said to be done; somebody else verifies it.", "action_verify": "Recorded.", "action_drop": "Dropped, with your reason.",
    "policy_review": "Reviewed; the next one counts from now.",
}  # fmt: skip


class Item(msgspec.Struct):
    """An action item as a page shows it. ``clock``: what it owes next, None where nothing."""

    item: ActionItem
    clock: Standing | None
    label: str
    verifiers: list[str]
    """ids of those who may verify it"""
    recurred: list[str]
    """numbers of incidents that came although it was verified"""


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
        return visit.page("actions.html", items=items_of(visit, open=None if over else True), over=over)

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
                error = visit.why(refused)
        found = _shown(visit.engine.action(visit.principal, reference))
        me = visit.principal
        return visit.page(
            "action.html", 409 if error else 200, error=error, one=found, item=found.item, categories=CATEGORIES,
            people=sorted((one for one in visit.directory.people.values() if one.active), key=lambda one: one.name.casefold()),
            writes=authorize(me, "action_report", About(found.item.restricted, frozenset(found.item.members))).allowed,
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
                error = visit.why(refused)
        found = visit.engine.policy_in_force()
        terms = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        return visit.page(
            "policy.html", 409 if error else 200, error=error, record=found.record, clock=found.review, owners=found.owners, terms=terms,
            text=bytes(found.document.body).decode(), versions=sorted(found.versions, key=lambda one: -one.version),
            in_force=found.document.version, reviews=visit.principal.person in found.owners or visit.principal.role == "owner",
            by=lambda who: "Tocsin" if who == "tocsin" else visit.directory.name(who),
        )  # fmt: skip


def items_of(visit: Visit, incident: str = "", open: bool | None = None) -> list[Item]:
    """The items that the reader may see, of one incident or all: what falls due first at the head of each status."""
    return [_shown(one) for one in visit.engine.actions(visit.principal, incident=incident, open=open)]


def _shown(one: boards.Item) -> Item:
    clock = one.clocks[0] if one.clocks else None
    return Item(one.item, clock, duty_label(clock.duty.rule) if clock else "", one.verifiers, one.recurred)
