"""The report form: anybody who is signed in, or holds a link with a key, can say that something is wrong.

A report declares an incident whose severity is proposed from the facts. It makes its author no responder there.
"""

from __future__ import annotations

import msgspec

from tocsin.alerts.shape import one_line
from tocsin.engine import changes as c
from tocsin.engine.admin_desk import Answer, Desk, name_of, text_of
from tocsin.identity.tokens import key_hash
from tocsin.identity.vault import seal
from tocsin.incidents import facts as f
from tocsin.kernel.clock import Instant
from tocsin.kernel.errors import Unusable
from tocsin.kernel.randomness import token
from tocsin.policy.severity import kind_of, propose

HOW = ("user_report", "ticket", "social_media", "direct_contact")


class ReportKey(msgspec.Struct):
    """A link to the report form for people without an account."""

    id: str
    name: str
    sealed: str
    created: Instant = 0


def add_report_key(desk: Desk, change: c.AddReportKey) -> Answer:
    desk.allow("integrations")
    id, secret = desk.new_id(), token(desk.randomness)
    key = ReportKey(
        id, name_of(change.name), seal(desk.secret, secret, f"report/{id}", desk.randomness), desk.now
    )
    desk.keep("report_key", id, key_hash(secret, desk.secret), key)
    return {"id": id, "name": key.name, "secret": secret, "url": f"{desk.public_url}/report/{secret}"}


def remove_report_key(desk: Desk, change: c.RemoveReportKey) -> Answer:
    desk.allow("integrations")
    desk.remove("report_key", change.key)
    return {"id": change.key}


def report(desk: Desk, change: c.Report) -> Answer:
    """Declares; the answer names the number, the severity proposed and why."""
    by_key = desk.principal.id.startswith("report:")
    if not by_key:
        desk.allow("report")
    if change.detected_how not in HOW:
        raise Unusable(
            f"{change.detected_how[:40]!r} is no way to notice; use {', '.join(HOW)}", "detected_how"
        )
    title = text_of(one_line(change.title), "title", 300)
    if not title:
        raise Unusable("say in a sentence what is wrong", "title")
    summary = text_of(change.summary, "summary", 5000)
    service = desk.directory.service(change.service) if change.service else None
    if change.service and service is None:
        raise Unusable(f"there is no service {change.service[:60]!r}", "service")
    work = desk.work("report" if by_key else "web")
    policy, policy_hash = work.current_policy()
    facts = {"summary": f"{title} {summary}", "service": service.id if service else ""}
    proposal = propose(policy, facts)
    kind = kind_of(policy, facts, proposal)
    who = text_of(change.who, "who", 200)
    incident = work.create(
        f.Declared(
            number=work.tx.next_number("INC"), series="INC", title=title, severity=proposal.severity,
            severity_state="proposed", reason=proposal.said, policy=policy_hash, rule=proposal.rule or "",
            kind=kind.name, restricted=kind.restricted, summary="\n".join(filter(None, [summary, f"Reported for: {who}" if who else ""])),
            by=desk.principal.person or desk.principal.id, detected_how=change.detected_how,
            detected_by=who or desk.principal.person or desk.principal.id, services=[service.id] if service else [],
            calendar=desk.directory.calendar_of(service.id) if service else "",
        )
    )  # fmt: skip
    if kind.restricted and desk.principal.person:
        work.record(incident, f.MembersAdded([desk.principal.person], "reported it"))
    work.flush()
    paged = dict.fromkeys(person for run in incident.runs.values() for person in run.paged)
    return {
        "id": incident.id, "number": incident.name, "severity": incident.severity, "reason": incident.severity_reason,
        "paged": [desk.directory.name(person) for person in paged],
    }  # fmt: skip
