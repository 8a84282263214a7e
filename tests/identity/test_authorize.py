"""Who may do what, and that nobody is ever stuck."""

from __future__ import annotations

import pytest

from tocsin.identity.authorize import TABLE, authorize, who_may
from tocsin.identity.principals import (
    SYSTEM_PRINCIPAL,
    About,
    Principal,
    integration_principal,
    person_principal,
)

OWNER = person_principal("olga", "owner")
ANNA = person_principal("anna", "responder")
BILAL = person_principal("bilal", "responder")
LENA = person_principal("lena", "stakeholder")
HOOK = integration_principal("01JHOOK")
OPEN = About(severity="P1", commander="anna", members=frozenset({"anna", "bilal"}))
LEADERLESS = About(severity="P1", members=frozenset({"bilal"}))


@pytest.mark.semantics(21)
@pytest.mark.parametrize(
    "verb",
    [
        "declare",
        "acknowledge",
        "decline",
        "confirm_severity",
        "raise_severity",
        "note",
        "update",
        "join",
        "page",
        "task_add",
        "milestone",
    ],
)
def test_any_responder_may_say_more_and_ask_for_more(verb: str) -> None:
    assert authorize(BILAL, verb, OPEN).allowed
    assert not authorize(LENA, verb, OPEN).allowed


@pytest.mark.semantics(21)
@pytest.mark.guide("ROL-6")
@pytest.mark.parametrize(
    "verb", ["lower_severity", "merge", "false_alarm", "resolve", "close", "waive", "pause_clock"]
)
def test_what_makes_things_smaller_is_the_commanders(verb: str) -> None:
    assert authorize(ANNA, verb, OPEN).allowed
    assert authorize(OWNER, verb, OPEN).allowed
    refused = authorize(BILAL, verb, OPEN)
    assert not refused.allowed and not refused.break_glass
    assert "ask anna" in refused.reason and refused.who_may == "the commander or acting commander"
    acting = About(severity="P1", acting_commander="bilal")
    assert authorize(BILAL, verb, acting).allowed
    assert not authorize(ANNA, verb, acting).allowed


def test_an_acting_commander_steps_back_once_one_is_assigned() -> None:
    both = About(severity="P1", commander="anna", acting_commander="bilal")
    assert not authorize(BILAL, "resolve", both).allowed


@pytest.mark.semantics(21)
@pytest.mark.guide("ROL-6")
def test_where_nobody_commands_a_responder_may_break_the_glass() -> None:
    refused = authorize(BILAL, "resolve", LEADERLESS)
    assert not refused.allowed and refused.break_glass and "reason" in refused.reason
    assert not authorize(LENA, "resolve", LEADERLESS).break_glass


@pytest.mark.semantics(21)
def test_rollback_in_a_p1_is_the_assigned_commanders_or_behind_glass() -> None:
    assert authorize(ANNA, "rollback", OPEN).allowed
    for principal in (BILAL, OWNER):
        refused = authorize(principal, "rollback", OPEN)
        assert not refused.allowed and refused.break_glass
    acting = About(severity="P2", acting_commander="bilal")
    assert not authorize(BILAL, "divert", acting).allowed
    assert authorize(BILAL, "divert", About(severity="P3", commander="anna")).allowed


@pytest.mark.semantics(21)
def test_waiving_what_protects_others_takes_two() -> None:
    assert "second person" in authorize(ANNA, "waive_protected", OPEN).reason
    alone = About(commander="anna", seconded_by="anna")
    assert not authorize(ANNA, "waive_protected", alone).allowed
    assert authorize(ANNA, "waive_protected", About(commander="anna", seconded_by="bilal")).allowed


def test_a_stakeholder_reads_reports_and_subscribes_and_answers_when_paged() -> None:
    for verb in ("view", "report", "subscribe"):
        assert authorize(LENA, verb, OPEN).allowed
    paged = About(severity="P1", members=frozenset({"person:lena"}))
    assert authorize(LENA, "acknowledge", paged).allowed
    assert not authorize(LENA, "configure", paged).allowed


@pytest.mark.semantics(23)
def test_a_restricted_incident_does_not_exist_for_others() -> None:
    secret = About(restricted=True, members=frozenset({"anna"}))
    refused = authorize(BILAL, "view", secret)
    assert not refused.allowed and refused.hidden and not refused.break_glass
    assert authorize(ANNA, "note", secret).allowed
    assert authorize(OWNER, "view", secret).allowed
    assert authorize(BILAL, "view", About(restricted=True, commander="bilal")).allowed


@pytest.mark.semantics(24)
def test_silencing_a_p1_needs_an_owner_or_the_commander_on_rotation() -> None:
    about = About(rotation_commander="anna")
    assert authorize(ANNA, "silence_p1", about).allowed
    assert authorize(OWNER, "silence_p1", about).allowed
    assert not authorize(BILAL, "silence_p1", about).allowed
    assert authorize(BILAL, "silence", about).allowed


def test_configuring_is_for_owners() -> None:
    for verb in ("configure", "redact", "policy_apply", "people", "tokens"):
        assert authorize(OWNER, verb).allowed
        assert not authorize(ANNA, verb, OPEN).allowed, (
            "command of an incident is no command of the installation"
        )


def test_a_token_does_only_what_its_scopes_say() -> None:
    reading = Principal("person:anna", "anna", "responder", frozenset({"read"}), "token")
    assert authorize(reading, "view", OPEN).allowed
    assert "lacks the scope respond" in authorize(reading, "acknowledge", OPEN).reason
    responding = Principal("person:anna", "anna", "responder", frozenset({"respond"}), "token")
    assert authorize(responding, "view", OPEN).allowed and authorize(responding, "resolve", OPEN).allowed
    admin = Principal("person:olga", "olga", "owner", frozenset({"admin"}), "token")
    assert authorize(admin, "people").allowed and authorize(admin, "resolve", OPEN).allowed
    assert not authorize(
        Principal("person:anna", "anna", "responder", frozenset({"admin"}), "token"), "people"
    ).allowed


@pytest.mark.semantics(16)
def test_the_link_in_a_page_sees_and_acknowledges_and_nothing_else() -> None:
    link = person_principal("anna", "responder", kind="link")
    assert [
        authorize(link, verb, OPEN).allowed for verb in ("view", "acknowledge", "decline", "resolve", "note")
    ] == [True, True, True, False, False]


def test_machines_have_their_own_verbs() -> None:
    assert authorize(HOOK, "alert").allowed
    for verb in ("acknowledge", "resolve", "view", "configure"):
        assert not authorize(HOOK, verb, OPEN).allowed
    assert authorize(SYSTEM_PRINCIPAL, "auto_resolve", OPEN).allowed
    for verb in ("resolve", "lower_severity", "confirm_severity", "waive"):
        assert not authorize(SYSTEM_PRINCIPAL, verb, OPEN).allowed
    assert not authorize(OWNER, "alert").allowed


def test_a_verb_that_is_not_in_the_table_is_nobodys() -> None:
    assert who_may("levitate") == ()
    assert authorize(OWNER, "levitate").reason == "there is no verb 'levitate'"


def test_every_refusal_says_who_may() -> None:
    for _, verbs, _ in TABLE:
        for verb in verbs.split():
            for principal in (OWNER, ANNA, LENA, HOOK, SYSTEM_PRINCIPAL):
                decision = authorize(principal, verb.replace("*", "x"), OPEN)
                assert decision.reason and (decision.allowed or decision.who_may)
