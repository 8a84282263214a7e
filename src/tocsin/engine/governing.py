"""The policy in force: the first version, applying another after it was looked at, and moving open incidents to it.

A version is kept for ever under the hash of its text. Open incidents keep the one they were opened under unless it is
adopted for them too; each then says what changed about what it owes.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.engine.access import about
from tocsin.engine.acting import PolicyBook
from tocsin.engine.chasing import miss_late
from tocsin.engine.work import Work
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import Principal
from tocsin.incidents import facts as f
from tocsin.incidents import policies
from tocsin.incidents.chasing import is_interval
from tocsin.incidents.duties import duties, label
from tocsin.incidents.incident import Incident
from tocsin.incidents.policies import PolicyRecord
from tocsin.kernel.clock import Instant, to_iso
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import DocumentRow
from tocsin.policy.load import load_policy, policy_hash
from tocsin.policy.model import Policy

MOST_OPEN = 10_000


class Adoption(msgspec.Struct, frozen=True):
    """What a version would change about one open incident, duty by duty, in sentences."""

    incident: str
    changes: list[str]


class Preview(msgspec.Struct):
    """What applying a text would mean. ``findings``: what is wrong with it, errors first; ``changes``: what it changes
    for people; ``adoptions``: what would change about open incidents if they were moved too.
    """

    hash: str
    number: int
    before: str
    same: bool
    findings: list[str] = []
    changes: list[str] = []
    words: list[str] = []
    adoptions: list[Adoption] = []


def seed(work: Work, text: str, who: str) -> str:
    """Puts the first policy in force where there is none; answers the hash of the one in force."""
    current = work.tx.document("policy", "policy")
    if current is None:
        digest = policy_hash(text)
        work.tx.put_document(
            DocumentRow("policy", "policy", 1, digest, text.encode(), work.now, who, "first start", True)
        )
        number, applied, by = 1, digest, who
    else:
        number, applied, by = current.version, current.hash, current.created_by
    if work.tx.stream(Stream("policy", policies.STREAM)) is None:
        title = work.policy_named(applied).governance.title
        work.begin(PolicyRecord(policies.STREAM), policies.PolicyApplied(applied, number, title, by))
        work.flush()
    return applied


def look(
    work: Work, text: str, filename: str = "policy.yaml", principal: Principal | None = None
) -> tuple[Policy, Preview]:
    """Reads a text and says what it would change about open incidents that ``principal`` may see (None: about all).

    Raises :class:`UnusableMany` for one with faults.
    """
    policy = load_policy(text, filename)
    current = work.tx.document("policy", "policy")
    if current is None:
        raise NotFound("no policy is in force yet; start the server once")
    digest = policy_hash(text)
    preview = Preview(digest, current.version + 1, current.hash, digest == current.hash)
    for incident in _open(work):
        if principal is not None and not authorize(principal, "view", about(work, incident)).allowed:
            continue
        changes = differences(incident, work.policy(incident), policy)
        if changes:
            preview.adoptions.append(Adoption(incident.name, changes))
    return policy, preview


def apply(
    work: Work, principal: Principal, text: str, preview: Preview, *, adopt: bool = False, force: str = ""
) -> list[str]:
    """Puts ``text`` in force as ``preview`` showed it; answers the incidents that were moved to it.

    Raises :class:`Refused` where it has findings and no reason to apply it all the same, or where another version was
    applied since it was looked at.
    """
    for verb in ("policy_apply", *(("policy_adopt",) if adopt else ())):
        decision = authorize(principal, verb)
        if not decision.allowed:
            raise Forbidden(f"{decision.reason}.")
    current = work.tx.document("policy", "policy")
    if current is None or current.hash != preview.before:
        raise Refused("another version was applied meanwhile; look at the difference again")
    if preview.findings and not force.strip():
        raise Refused(
            f"the policy has {len(preview.findings)} finding{'s' * (len(preview.findings) != 1)}; mend it, or force it with a reason: "
            + "; ".join(preview.findings[:3])
        )
    if policy_hash(text) != preview.hash:
        raise Unusable("this is not the text that was looked at", "text")
    record = work.load_other(PolicyRecord, policies.STREAM)
    miss_late(work, record, PolicyBook(work, record))
    moved: list[str] = []
    if not preview.same:
        work.tx.put_document(
            DocumentRow(
                "policy", "policy", current.version + 1, preview.hash, text.encode(), work.now, principal.person or principal.id,
                force or "applied", True,
            )
        )  # fmt: skip
    policy = work.policy_named(preview.hash)
    if adopt:
        for incident in _open(work):
            if incident.policy != preview.hash:
                changes = differences(incident, work.policy(incident), policy)
                work.record(incident, f.PolicyAdopted(incident.policy, preview.hash, changes))
                moved.append(incident.name)
    work.record(
        record,
        policies.PolicyApplied(
            preview.hash, current.version + (not preview.same), policy.governance.title, principal.person or principal.id, force,
            preview.findings if force else [], moved, preview.changes[:200],
        ),
    )  # fmt: skip
    work.flush()
    return moved


def differences(incident: Incident, before: Policy, after: Policy) -> list[str]:
    """What each open duty of the incident becomes under another policy, in sentences; empty where nothing changes."""

    def standing(policy: Policy) -> dict[str, tuple[str, Instant]]:
        return {
            one.id: (label(one), one.due)
            for one in duties(incident, policy)
            if not one.met_at and not one.waived and not is_interval(one)
        }

    old, new = standing(before), standing(after)
    found = []
    for key in dict.fromkeys([*old, *new]):
        if key not in new:
            found.append(f"{old[key][0]} is owed no more")
        elif key not in old:
            found.append(f"{new[key][0]} is owed by {to_iso(new[key][1])}")
        elif old[key][1] != new[key][1]:
            found.append(f"{new[key][0]}: due {to_iso(new[key][1])} instead of {to_iso(old[key][1])}")
    return found


def _open(work: Work) -> Iterable[Incident]:
    rows = work.tx.streams("incident", open=True, limit=MOST_OPEN)
    return [work.load(row.stream.id) for row in rows]
