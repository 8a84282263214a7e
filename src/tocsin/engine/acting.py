"""Action items and the policy's review: the commands on them, and what is chased when they are late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tocsin.engine import commands as c
from tocsin.engine.access import Answer, load, text_of
from tocsin.engine.chasing import Chasing, miss_late, next_moment
from tocsin.engine.work import Kind, Reaction, Work
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.incidents import actions, policies
from tocsin.incidents import facts as f
from tocsin.incidents.actions import ActionItem
from tocsin.incidents.duties import Duty
from tocsin.incidents.escalation import one_up
from tocsin.incidents.incident import Incident
from tocsin.incidents.policies import PolicyRecord
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable
from tocsin.kernel.ports import OutboxRow
from tocsin.notify.rules import plan
from tocsin.policy.model import Chase


def add(work: Work, principal: Principal, command: c.AddAction) -> Answer:
    """An item of an incident: one owner, a day within its category's time, and criteria by which it is seen to work."""
    incident = load(work, principal, command.incident, "action_add")
    _, digest = work.current_policy()
    if command.category not in actions.CATEGORIES:
        raise Unusable(
            f"{command.category[:40]!r} is no category; use {', '.join(actions.CATEGORIES)}", "category"
        )
    due = _day(work, command.category, command.due)
    owner = _person(work, command.owner)
    item = work.begin(
        ActionItem(work.new_id()),
        actions.ActionOpened(
            work.tx.next_number(actions.SERIES), text_of(command.text, "text")[:2000], command.category, owner, due,
            text_of(command.criteria, "criteria")[:2000], digest, incident.id, incident.name, incident.restricted,
            list(dict.fromkeys([*incident.members, owner])) if incident.restricted else [owner],
        ),
    )  # fmt: skip
    said = f"{item.name} is yours by its day: {item.text}. It is done when {item.criteria}"
    work.record(
        item, f.Told("owner", [owner], f"action:{item.id}", f"an action item of {incident.name}", said, True)
    )
    return answer(item)


def report(work: Work, principal: Principal, command: c.ReportAction) -> Answer:
    """How it stands."""
    item = _load(work, principal, command.action, "action_report")
    _open(item, "report on")
    work.record(item, actions.ActionReported(text_of(command.text, "text")[:5000]))
    return answer(item)


def change(work: Work, principal: Principal, command: c.ChangeAction) -> Answer:
    """Another owner, day or category; the day stays within the category's time, and the reason is kept."""
    item = _load(work, principal, command.action, "action_change")
    _open(item, "change")
    if command.category and command.category not in actions.CATEGORIES:
        raise Unusable(
            f"{command.category[:40]!r} is no category; use {', '.join(actions.CATEGORIES)}", "category"
        )
    owner = _person(work, command.owner) if command.owner else ""
    category = command.category or item.category
    due = _day(work, category, command.due, item.opened_at) if command.due or command.category else 0
    if not (owner or due or command.category):
        raise Unusable("name another owner, day or category", "owner")
    work.record(
        item, actions.ActionChanged(text_of(command.reason, "reason")[:2000], owner, due, command.category)
    )
    if owner:
        said = f"{item.name} is yours now: {item.text}"
        work.record(
            item, f.Told("owner", [owner], f"action:{item.id}:{work.now}", command.reason[:200], said, True)
        )
    return answer(item)


def done(work: Work, principal: Principal, command: c.FinishAction) -> Answer:
    """Says that it is done; somebody else verifies it."""
    item = _load(work, principal, command.action, "action_done")
    if item.status != "open":
        raise Refused(f"{item.name} is {item.status}; only an open item can be done", ["report_action"])
    work.record(item, actions.ActionDone(command.note[:5000]))
    return answer(item)


def verify(work: Work, principal: Principal, command: c.VerifyAction) -> Answer:
    """Looks whether the criteria are met: by whom the policy names, never by the item's owner alone."""
    item = _load(work, principal, command.action, "action_verify")
    if item.status != "done":
        raise Refused(f"{item.name} is {item.status}; an item is verified once it is said to be done")
    if principal.person == item.owner:
        raise Forbidden("whoever did it does not verify it: ask somebody else")
    named = _verifiers(work, item)
    if principal.role != "owner" and principal.person not in named:
        names = ", ".join(work.directory.name(person) for person in named) or "an owner of this installation"
        raise Forbidden(f"verifying {item.name} is for {names}")
    how = text_of(command.how, "how")[:5000]
    work.record(item, actions.ActionVerified(command.passed, how, principal.person))
    if not command.passed:
        said = f"{item.name} is open again: {how}"
        work.record(
            item, f.Told("owner", [item.owner], f"returned:{item.id}:{work.now}", "not verified", said, True)
        )
    return answer(item)


def drop(work: Work, principal: Principal, command: c.DropAction) -> Answer:
    """Drops it, with a reason; the owner of the item cannot alone."""
    item = _load(work, principal, command.action, "action_drop")
    _open(item, "drop")
    if (
        principal.person == item.owner
        and principal.role != "owner"
        and principal.person not in _verifiers(work, item)
    ):
        raise Forbidden("whoever owes it does not drop it: ask whoever verifies it")
    work.record(item, actions.ActionDropped(text_of(command.reason, "reason")[:2000]))
    return answer(item)


def review(work: Work, principal: Principal, command: c.ReviewPolicy) -> Answer:
    """The policy's owner looked at it; the next review counts from now."""
    record = work.load_other(PolicyRecord, policies.STREAM)
    owners = PolicyBook(work, record).owner(work.current_policy()[0].governance.owner)
    if principal.person not in owners and principal.role != "owner":
        names = ", ".join(work.directory.name(person) for person in owners) or "an owner of this installation"
        raise Forbidden(f"the review of the policy is for {names}")
    miss_late(work, record, PolicyBook(work, record))
    work.record(record, policies.PolicyReviewed(text_of(command.note, "note")[:5000], principal.person))
    return {
        "id": record.id,
        "number": "policy",
        "status": "reviewed",
        "severity": "",
        "version": record.version,
    }


def answer(item: ActionItem) -> Answer:
    """What every command on an item answers."""
    return {
        "id": item.id,
        "number": item.name,
        "status": item.status,
        "severity": "",
        "version": item.version,
    }


def _load(work: Work, principal: Principal, reference: str, verb: str) -> ActionItem:
    item = work.load_other(ActionItem, reference, actions.SERIES)
    seen = About(item.restricted, frozenset(item.members))
    if not authorize(principal, "view", seen).allowed:
        raise NotFound(
            f"there is no action {reference[:40]}"
        )  # word for word what is said of one that does not exist
    decision = authorize(principal, verb, seen)
    if not decision.allowed:
        raise Forbidden(f"{decision.reason}.")
    miss_late(work, item, ActionBook(work, item))
    return item


def _open(item: ActionItem, verb: str) -> None:
    if not item.open:
        raise Refused(f"{item.name} is {item.status}; there is nothing to {verb} any more")


def _person(work: Work, name: str) -> str:
    found = work.directory.people.get(name) or work.directory.person_by_login(name)
    if found is None or not found.active:
        raise Unusable(f"there is no active person {name[:60]!r}; one responsible person is needed", "owner")
    return found.id


def _day(work: Work, category: str, wanted: int, since: int = 0) -> int:
    """The day an item is due; the category's last one where none is named. Raises :class:`Unusable` for a later one."""
    policy, _ = work.current_policy()
    terms = policy.actions.category(category)
    latest = policy.calendar().add(since or work.now, terms.within)
    if not wanted:
        return latest
    if wanted <= work.now:
        raise Unusable("the due day lies in the past", "due")
    if wanted > latest:
        raise Unusable(
            f"{terms.name.lower()} items are done within {terms.within.said}; name an earlier day or another category", "due"
        )  # fmt: skip
    return wanted


def _verifiers(work: Work, item: ActionItem) -> list[str]:
    book = ActionBook(work, item)
    return [person for person in book.owner(book.policy.actions.verified_by) if person != item.owner]


# what is chased


class ActionBook:
    """What an action item owes: chased in business hours, by the policy in force when it was agreed."""

    def __init__(self, work: Work, item: ActionItem) -> None:
        self.work, self.item = work, item
        self.policy = work.policy_named(item.policy)
        self.calendar = self.policy.calendar()
        self.business, self.digest = True, False

    def owed(self) -> list[Duty]:
        if not self.item.open:
            return []
        return [duty for duty in actions.duties(self.item, self.policy) if not duty.met_at]

    def terms(self, rule: str) -> Chase:
        return self.policy.chase(rule)

    def owner(self, role: str) -> list[str]:
        return list(self.work.directory.resolve(role, self.work.now, service=self._service()).people)

    def escalate_to(self, terms: Chase) -> str:
        return terms.escalate_to or "engineering_manager"

    def target(self, wanted: str, owing: list[str]) -> list[str]:
        asked = "engineering_manager" if wanted in self.policy.roles else wanted
        return list(one_up(asked, self.work.directory, self.work.now, owing, service=self._service()))

    def _service(self) -> str:
        if not self.item.incident:
            return ""
        incident: Incident = self.work.load(self.item.incident)
        return incident.services[0] if incident.services else ""


class PolicyBook:
    """What the policy owes: its review."""

    def __init__(self, work: Work, record: PolicyRecord) -> None:
        self.work, self.record = work, record
        self.policy, _ = work.current_policy()
        self.calendar = self.policy.calendar()
        self.business, self.digest = True, False

    def owed(self) -> list[Duty]:
        return policies.duties(self.record, self.policy)

    def terms(self, rule: str) -> Chase:
        return self.policy.chase(rule)

    def owner(self, role: str) -> list[str]:
        return list(self.work.directory.resolve(role, self.work.now).people)

    def escalate_to(self, terms: Chase) -> str:
        return terms.escalate_to or "ceo"

    def target(self, wanted: str, owing: list[str]) -> list[str]:
        return list(one_up(wanted, self.work.directory, self.work.now, owing))


def tick_action(work: Work, key: str) -> None:
    """Does what is due about one item."""
    _tick(work, work.load_other(ActionItem, key, actions.SERIES), ActionBook)


def tick_policy(work: Work, key: str) -> None:
    """Does what is due about the policy."""
    _tick(work, work.load_other(PolicyRecord, key), PolicyBook)


def _tick(work: Work, state: Any, make: Any) -> None:
    chasing = Chasing(work, state, make(work, state))
    chasing.look()
    chasing.tell()
    work.flush()
    work.rearm(state)


def notice(work: Work, state: Any, body: f.Told, fact_id: str) -> None:
    """A quiet message about an item or the policy, within business hours where it would interrupt."""
    if isinstance(state, ActionItem):
        kind, title, address = "action", f"{state.name}: {state.text[:120]}", f"/actions/{state.name}"
    else:
        kind, title, address = "policy", "the incident policy", "/policy"
    calendar = work.current_policy()[0].calendar()
    for person_id in body.people:
        person = work.directory.people.get(person_id)
        if person is None or not person.active:
            continue
        for attempt in plan(person, "P4", "nudge"):
            contact = attempt.contact
            start = calendar.in_hours(work.now) if contact.interrupts else work.now
            subject = {
                "title": title,
                "text": body.text,
                "path": address,
                "restricted": bool(state.restricted),
            }
            work.send(
                OutboxRow(
                    id=work.new_id(), key=f"{fact_id}:notice:{person_id}:{contact.id}", effect="notice", channel=contact.kind,
                    recipient=person_id, address=contact.address, scope=f"{kind}/{state.id}", tag=f"notice:{body.kind}", urgency=3,
                    not_before=start, created_at=work.now, payload=encode({"subject": subject, "contact": contact.id, "kind": "notice"}),
                )
            )  # fmt: skip


def action_row(item: ActionItem) -> dict[str, Any]:
    """The columns of an item's list row."""
    members = dict.fromkeys([*item.members, item.owner])
    return {
        "series": actions.SERIES, "number": item.number, "status": item.status, "title": item.text, "open": item.open,
        "members": " ".join(f"person:{person}" for person in members), "opened_at": item.opened_at,
        "search": f"{item.name} {item.text} {item.criteria} {item.incident_name}",
    }  # fmt: skip


def policy_row(record: PolicyRecord) -> dict[str, Any]:
    """The columns of the policy's list row."""
    return {
        "series": "POL",
        "number": 1,
        "status": "in force",
        "title": record.title,
        "opened_at": record.applied_at,
    }


_TELLS: dict[type[f.Body], tuple[Reaction, ...]] = {f.Told: (notice,)}  # type: ignore[dict-item]

ACTION = Kind(
    "action", ActionItem, actions.ACTION_FOLD, actions.fold, action_row,
    lambda work, item: next_moment(item, ActionBook(work, item)), _TELLS,
)  # fmt: skip
POLICY = Kind(
    "policy", PolicyRecord, policies.POLICY_FOLD, policies.fold, policy_row,
    lambda work, record: next_moment(record, PolicyBook(work, record)), _TELLS,
)  # fmt: skip

HANDLERS: dict[type[c.Command], Callable[[Work, Principal, Any], Answer]] = {
    c.AddAction: add, c.ReportAction: report, c.ChangeAction: change, c.FinishAction: done, c.VerifyAction: verify,
    c.DropAction: drop, c.ReviewPolicy: review,
}  # fmt: skip
"""command → what takes it"""
