"""What can be read of action items and of the policy: lists that one may see, what came back although it was mended."""

from __future__ import annotations

import msgspec

from tocsin.engine.acting import ActionBook, PolicyBook
from tocsin.engine.kinds import KINDS
from tocsin.engine.work import Work, find_other, read_incident, read_state
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.incidents import actions, policies
from tocsin.incidents.actions import ActionItem
from tocsin.incidents.duties import Standing, standing
from tocsin.incidents.incident import Incident
from tocsin.incidents.policies import PolicyRecord
from tocsin.kernel.errors import FromTheFuture, NotFound
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import DocumentRow, Reader

ORDER = ("open", "done", "verified", "dropped")
"""status of an item, what needs somebody first"""
MOST = 1000


class Item(msgspec.Struct):
    """An item as it stands. ``clocks``: what it owes, the earliest first. ``verifiers``: ids of those who may verify it.

    ``recurred``: numbers of incidents that came after it was closed and look like the one it was to prevent.
    """

    item: ActionItem
    clocks: list[Standing]
    verifiers: list[str]
    recurred: list[str] = []


def items(
    work: Work,
    principal: Principal,
    *,
    incident: str = "",
    open: bool | None = None,
    recurrences: bool = False,
) -> list[Item]:
    """The items that the principal may see, what falls due first at the head of each status."""
    seer = None if principal.role == "owner" else principal.id
    found = []
    for row in work.tx.streams("action", principal=seer, open=open, limit=MOST):
        try:
            state: ActionItem = read_state(work.tx, row, KINDS[ActionItem])
        except FromTheFuture:
            continue  # said by the banner: a newer version wrote it
        if not incident or state.incident == incident:
            found.append(_shown(work, state, principal if recurrences else None))
    return sorted(
        found, key=lambda one: (ORDER.index(one.item.status), one.clocks[0].duty.due if one.clocks else 0)
    )


def item(work: Work, principal: Principal, reference: str) -> Item:
    """One item; raises :class:`NotFound` for one that the principal may not see."""
    row = find_other(work.tx, "action", reference, actions.SERIES)
    state: ActionItem = read_state(work.tx, row, KINDS[ActionItem])
    if not authorize(principal, "view", About(state.restricted, frozenset(state.members))).allowed:
        raise NotFound(
            f"there is no action {reference[:40]}"
        )  # word for word what is said of one that does not exist
    return _shown(work, state, principal)


def _shown(work: Work, state: ActionItem, seer: Principal | None) -> Item:
    book = ActionBook(work, state)
    clocks = sorted((standing(duty, work.now) for duty in book.owed()), key=lambda clock: clock.duty.due)
    named = [person for person in book.owner(book.policy.actions.verified_by) if person != state.owner]
    return Item(state, clocks, named, recurrences(work.tx, state, seer) if seer else [])


def recurrences(reader: Reader, state: ActionItem, principal: Principal) -> list[str]:
    """Incidents since the item was verified that hit the same services in the same way: the lesson did not hold."""
    if state.status != "verified" or not state.incident:
        return []
    row = reader.stream(Stream("incident", state.incident))
    if row is None:
        return []
    first = read_incident(reader, row)
    seer = None if principal.role == "owner" else principal.id
    found = []
    for other in reader.streams("incident", principal=seer, limit=MOST):
        if other.opened_at <= state.closed_at or other.drill or other.stream.id == first.id:
            continue
        if _alike(first, read_incident(reader, other)):
            found.append(f"{other.series}-{other.number}")
    return found


def _alike(first: Incident, later: Incident) -> bool:
    if later.status in ("merged", "false_alarm"):
        return False
    if first.group_key and first.group_key == later.group_key:
        return True
    same = bool(set(first.services) & set(later.services))
    return same and first.kind == later.kind and first.rule == later.rule and first.subtype == later.subtype


class InForce(msgspec.Struct):
    """The policy in force. ``review``: the clock of its next review, None where it has none yet."""

    document: DocumentRow
    record: PolicyRecord | None
    review: Standing | None
    owners: list[str]
    versions: list[DocumentRow]


def policy_in_force(work: Work) -> InForce:
    """Raises :class:`NotFound` where no policy is in force."""
    document = work.tx.document("policy", "policy")
    if document is None:
        raise NotFound("no policy is in force yet; start the server once")
    versions = work.tx.document_versions("policy", "policy")
    row = work.tx.stream(Stream("policy", policies.STREAM))
    if row is None:
        return InForce(document, None, None, [], versions)
    record: PolicyRecord = read_state(work.tx, row, KINDS[PolicyRecord])
    book = PolicyBook(work, record)
    owed = book.owed()
    owners = book.owner(book.policy.governance.owner)
    return InForce(document, record, standing(owed[0], work.now) if owed else None, owners, versions)
