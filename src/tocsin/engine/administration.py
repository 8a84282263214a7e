"""Changes to live records: who may, what is checked, what is written; :func:`administer` is the way in.

Every change is one transaction that asks :func:`tocsin.identity.authorize.authorize` first; the handlers stand in files by
noun. Where people, schedules or services change, every open incident decides anew what it owes. A secret that is shown
once is in the answer under ``secret`` and never among the remembered answers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from tocsin.engine import admin_access as access
from tocsin.engine import admin_escalation as escalation
from tocsin.engine import admin_intake as intake
from tocsin.engine import admin_oncall as oncall
from tocsin.engine import admin_people as people
from tocsin.engine import admin_quiet as quiet
from tocsin.engine import changes as c
from tocsin.engine import journal, reporting
from tocsin.engine.admin_desk import Answer, Desk
from tocsin.identity.principals import Principal
from tocsin.incidents.directory import RECORD_TYPES
from tocsin.kernel.codec import canonical, decode, encode
from tocsin.kernel.errors import KeyReused
from tocsin.kernel.ports import Transaction

if TYPE_CHECKING:
    from tocsin.engine.engine import Engine

log = structlog.get_logger("tocsin.administration")

Handler = Callable[[Desk, Any], Answer]

HANDLERS: dict[type[c.Change], Handler] = {
    c.AddPerson: people.add_person, c.ChangePerson: people.change_person, c.AddContact: people.add_contact,
    c.RemoveContact: people.remove_contact, c.MoveContact: people.move_contact, c.TestContact: people.test_contact,
    c.ConfirmContact: people.confirm_contact, c.SetRules: people.set_rules,
    c.MakeSignInLink: access.make_sign_in_link, c.ChangePassword: access.change_password, c.RevokeSession: access.revoke_session,
    c.AddToken: access.add_token, c.RevokeToken: access.revoke_token, c.NewFeedToken: access.new_feed_token,
    c.AddOverride: oncall.add_override, c.RemoveOverride: oncall.remove_override, c.AddLeave: oncall.add_leave,
    c.RemoveLeave: oncall.remove_leave, c.PutSchedule: oncall.put_schedule, c.RemoveSchedule: oncall.remove_schedule,
    c.PutEscalationPolicy: escalation.put_escalation_policy, c.RemoveEscalationPolicy: escalation.remove_escalation_policy,
    c.PutTeam: oncall.put_team, c.RemoveTeam: oncall.remove_team, c.PutService: oncall.put_service,
    c.RemoveService: oncall.remove_service, c.PutOrganisation: oncall.put_organisation,
    c.AddIntegration: intake.add_integration, c.ChangeIntegration: intake.change_integration, c.RotateKey: intake.rotate_key,
    c.RemoveIntegration: intake.remove_integration, c.AddRoute: intake.add_route, c.RemoveRoute: intake.remove_route,
    c.AddSilence: quiet.add_silence, c.EndSilence: quiet.end_silence, c.AddMaintenance: quiet.add_maintenance,
    c.EndMaintenance: quiet.end_maintenance, c.AddReportKey: reporting.add_report_key, c.RemoveReportKey: reporting.remove_report_key, c.Report: reporting.report,
}  # fmt: skip

UNJOURNALED = frozenset({c.Report, c.TestContact})
"""what changes no record"""
PREPARE: dict[type[c.Change], Callable[[Any, Any, Any], str]] = {c.ChangePassword: access.prepare_password}
"""What is computed before the transaction begins."""


def administer(
    engine: Engine, principal: Principal, change: c.Change, *, idempotency_key: str = ""
) -> Answer:
    """Makes a change; the same key with the same request answers as before, without its secret.

    Raises :class:`Forbidden`, :class:`NotFound`, :class:`Refused`, :class:`Unusable`, :class:`KeyReused`.
    """
    digest = hashlib.sha256(
        change.verb.encode() + b"\n" + canonical(msgspec.to_builtins(_without_secrets(change)))
    ).digest()
    prepare = PREPARE.get(type(change))
    prepared = prepare(engine, principal, change) if prepare else ""

    def work(tx: Transaction) -> Answer:
        if idempotency_key:
            before = tx.remembered(principal.id, idempotency_key)
            if before is not None:
                if bytes(before[0]) != digest:
                    raise KeyReused(
                        "this Idempotency-Key was used for another request; use a new key for a new request"
                    )
                remembered: Answer = decode(before[1])
                return remembered
        desk = Desk(
            tx, principal, engine.clock.now(), engine.directory(tx), engine.randomness, engine.secret,
            engine.public_url, frozenset(engine.channels), engine.policy_of, prepared, set(), [],
        )  # fmt: skip
        answer = HANDLERS[type(change)](desk, change)
        if desk.touched & set(RECORD_TYPES):
            tx.wake_streams("incident", desk.now)
        if type(change) not in UNJOURNALED:
            entry = journal.entry_of(
                desk.written,
                at=desk.now,
                by=principal.id,
                door=principal.kind,
                verb=change.verb,
                answer=answer,
            )
            if entry is not None:
                tx.put_record(journal.row_of(entry, desk.new_id()))
        if idempotency_key:
            kept = {key: value for key, value in answer.items() if key not in ("secret", "url")}
            tx.remember(principal.id, idempotency_key, digest, encode(kept), desk.now)
        return answer

    answer = engine.store.write(work)
    log.info(
        "record changed", verb=change.verb, by=principal.id, door=principal.kind, id=answer.get("id", "")
    )
    return answer


def _without_secrets(change: c.Change) -> c.Change:
    """What idempotency compares: a password leaves no digest behind that guesses could be tested against."""
    if isinstance(change, c.ChangePassword):
        return c.ChangePassword(new="", current="")
    return change
