"""Who may do what: one table, one function. Commands ask it with the state at hand; pages ask it to show only what works.

A stakeholder who was paged for an incident, or holds a role on it, counts as a responder there: whoever is woken at
the end of the chain must be able to say "I have it".
"""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.identity.principals import About, Decision, Principal
from tocsin.identity.tokens import granted

EVERYBODY = "any signed-in person"
RESPONDER = "any responder"
COMMANDER = "the commander or acting commander"
MAJOR = "the assigned commander (P1 and P2), any responder below"
SECONDED = "the commander, with a second person who agrees"
HAND_OVER = "the commander, whoever has the commander's turn, or any responder while nobody is assigned"
WATCH = "an owner, or the commander on rotation"
OWNER = "an owner of this installation"
INTEGRATION = "an integration with its key"
SYSTEM = "Tocsin itself"

# who may                verbs (a trailing * stands for anything)                          scope of a token
TABLE: tuple[tuple[str, str, str], ...] = (
    (EVERYBODY, "view subscribe verify export", "read"),
    (EVERYBODY, "report", "respond"),
    (EVERYBODY, "own_profile own_contacts own_leave own_tokens own_sessions", "configure"),
    (RESPONDER, "declare open acknowledge decline confirm_severity raise_severity join page notify", "respond"),
    (RESPONDER, "note update decision correct milestone impact attach detach set_type split link rename", "respond"),
    (RESPONDER, "assign_role hand_over take_role drop_role affect services watch war_room", "respond"),
    (RESPONDER, "task task_* add_task assign_task done_task drop_task hand_over_task finish_task", "respond"),
    (RESPONDER, "step step_* check check_* validate recovery_* satisfy reopen reassess propose_severity", "respond"),
    (RESPONDER, "measure service_state attach_report ask answer_request draft approve send message_* cause cause_* investigate tool tool_* evidence evidence_*", "respond"),
    (RESPONDER, "post_mortem post_mortem_* action action_* policy_review meeting stand_up schedule_meeting", "respond"),
    (RESPONDER, "override override_* swap test_contact test_integration drill maintenance", "respond"),
    (RESPONDER, "silence silence_* unsilence", "silence"),
    (COMMANDER, "lower_severity merge false_alarm resolve close waive pause_clock resume_clock restrict", "respond"),
    (MAJOR, "rollback divert", "respond"),
    (SECONDED, "waive_protected", "respond"),
    (HAND_OVER, "hand_over_command", "respond"),
    (WATCH, "silence_p1", "silence"),
    (OWNER, "configure configure_* policy_apply policy_adopt schedules services_edit integrations", "configure"),
    (OWNER, "people people_* contacts leave tokens sessions redact unrestrict seal release_held", "admin"),
    (INTEGRATION, "intake alert change heartbeat reply", "intake"),
    (SYSTEM, "auto_* lapse miss escalate deliver expire attach detach open page notify propose_severity reopen war_room view", "respond"),
)  # fmt: skip

LINK_VERBS = frozenset({"view", "acknowledge", "decline"})
"""All that the link in a page allows."""


def _indexed(table: Iterable[tuple[str, str, str]]) -> dict[str, list[tuple[str, str]]]:
    index: dict[str, list[tuple[str, str]]] = {}
    for who, verbs, scope in table:
        for verb in verbs.split():
            index.setdefault(verb, []).append((who, scope))
    return index


_INDEX = _indexed(TABLE)
_FAMILIES = sorted((verb for verb in _INDEX if verb.endswith("*")), key=len, reverse=True)


def who_may(verb: str) -> tuple[tuple[str, str], ...]:
    """(who, scope) for each row of the table that names ``verb``; empty for a verb that nobody may."""
    rows = _INDEX.get(verb)
    if rows is None:
        family = next(
            (name for name in _FAMILIES if verb.startswith(name[:-1]) and len(verb) >= len(name)), None
        )
        rows = _INDEX[family] if family else []
    return tuple(rows)


def authorize(principal: Principal, verb: str, about: About | None = None) -> Decision:
    """May ``principal`` do ``verb``? ``about`` describes the incident (or nothing in particular).

    Asked before anything is changed, and again inside the transaction that changes it.
    """
    about = about or About()
    rows = who_may(verb)
    if not rows:
        return Decision(False, f"there is no verb {verb!r}", "nobody")
    shown = verb.replace("_", " ")
    people = " or ".join(who for who, _ in rows if who not in (SYSTEM, INTEGRATION)) or rows[0][0]
    if principal.kind == "system" or principal.role == "system":
        return _only(
            rows, SYSTEM, people, shown, "Tocsin does this by itself", "Tocsin leaves this to people"
        )
    if principal.kind == "integration" or principal.role == "integration":
        return _only(
            rows,
            INTEGRATION,
            people,
            shown,
            "the integration's key allows it",
            "an integration's key allows alerts only",
        )
    refused = _narrowed_out(principal, verb, rows, people) or _hidden(principal, about)
    if refused is not None:
        return refused
    decisions = [_person(principal, shown, who, about) for who, _ in rows if who not in (SYSTEM, INTEGRATION)]
    if not decisions:
        return Decision(False, f"{shown} is not for people", people)
    return next((decision for decision in decisions if decision.allowed), decisions[0])


def _only(rows: Iterable[tuple[str, str]], who: str, people: str, shown: str, yes: str, no: str) -> Decision:
    if any(row == who for row, _ in rows):
        return Decision(True, yes, who)
    return Decision(False, f"{no}: {shown} is for {people}", people)


def _narrowed_out(
    principal: Principal, verb: str, rows: Iterable[tuple[str, str]], people: str
) -> Decision | None:
    """The refusal that the door itself brings: a page's link, a token without the scope."""
    if principal.kind == "link" and verb not in LINK_VERBS:
        return Decision(
            False, "the link in a page can see and acknowledge only: sign in for the rest", people
        )
    needed = {scope for _, scope in rows}
    if principal.scopes and not needed & granted(principal.scopes):
        return Decision(False, f"this token lacks the scope {' or '.join(sorted(needed))}", people)
    return None


def _hidden(principal: Principal, about: About) -> Decision | None:
    """Restricted incidents exist for their members and for owners alone."""
    if not about.restricted or principal.role == "owner" or is_member(principal, about):
        return None
    return Decision(False, "there is no such incident, or you may not see it", "its members", hidden=True)


def is_member(principal: Principal, about: About) -> bool:
    """Whether the person was paged for the incident, holds a role on it, or was added to it."""
    named = {principal.id, principal.person} - {""}
    return bool(named & (about.members | ({about.commander, about.acting_commander} - {""})))


def _is(principal: Principal, person: str) -> bool:
    return bool(person) and person in (principal.person, principal.id)


def _person(principal: Principal, shown: str, who: str, about: About) -> Decision:
    """The answer of one row of the table for a person."""
    if who == EVERYBODY:
        return Decision(True, "open to everybody who is signed in", who)
    if principal.role == "owner" and who not in (SECONDED, MAJOR):
        return Decision(True, "owners of this installation may", who)
    if who == OWNER:
        return Decision(False, f"{shown} is for {OWNER}", who)
    if who == WATCH:
        if _is(principal, about.rotation_commander):
            return Decision(True, "you are the commander on rotation", who)
        return Decision(False, f"{shown} is for {WATCH}", who)
    responder = principal.role in ("owner", "responder") or is_member(principal, about)
    if who == RESPONDER:
        reason = (
            "responders may"
            if principal.role != "stakeholder"
            else "you were paged for it or hold a role on it"
        )
        return (
            Decision(True, reason, who) if responder else Decision(False, f"{shown} is for {RESPONDER}", who)
        )
    if who == MAJOR:
        return _major(principal, shown, about, responder)
    if who == HAND_OVER:
        return _hand_over(principal, shown, about, responder)
    return _command(principal, shown, who, about, responder)


def _hand_over(principal: Principal, shown: str, about: About, responder: bool) -> Decision:
    if not responder:
        return Decision(False, f"{shown} is for responders", HAND_OVER)
    if not about.commander:
        return Decision(True, "nobody is assigned yet", HAND_OVER)
    if _is(principal, about.commander):
        return Decision(True, "you are the assigned commander", HAND_OVER)
    if _is(principal, about.rotation_commander):
        return Decision(True, "you are the commander on rotation", HAND_OVER)
    return Decision(
        False,
        f"{shown} is for {about.commander}, who commands: ask them, or break the glass with a reason",
        HAND_OVER,
        break_glass=True,
    )


def _major(principal: Principal, shown: str, about: About, responder: bool) -> Decision:
    if not responder:
        return Decision(False, f"{shown} is for responders", MAJOR)
    if about.severity not in ("P1", "P2", ""):
        return Decision(True, f"any responder may at {about.severity}", MAJOR)
    if _is(principal, about.commander):
        return Decision(True, "you are the assigned commander", MAJOR)
    asked = f"ask {about.commander}" if about.commander else "nobody is assigned yet"
    return Decision(
        False,
        f"{shown} is for the assigned commander: {asked}, or break the glass with a reason",
        MAJOR,
        break_glass=True,
    )


def _command(principal: Principal, shown: str, who: str, about: About, responder: bool) -> Decision:
    """Commander verbs; where nobody commands, a responder may break the glass: nobody is ever stuck."""
    in_charge = _is(principal, about.commander) or (
        not about.commander and _is(principal, about.acting_commander)
    )
    if in_charge or principal.role == "owner":
        if who == SECONDED and (not about.seconded_by or _is(principal, about.seconded_by)):
            return Decision(False, f"{shown} needs a second person who agrees", who)
        return Decision(True, "you are in command" if in_charge else "owners of this installation may", who)
    if about.commander or about.acting_commander:
        holder = about.commander or about.acting_commander
        return Decision(False, f"{shown} is for {COMMANDER}: ask {holder}, or have the role handed over", who)
    if not responder:
        return Decision(False, f"{shown} is for {COMMANDER}", who)
    if who == SECONDED:
        return Decision(
            False, f"{shown} is for {SECONDED}: acknowledge first, then ask somebody to agree", who
        )
    return Decision(
        False,
        f"{shown} is for {COMMANDER}, and nobody commands yet: acknowledge first, or break the glass with a reason",
        who,
        break_glass=True,
    )
