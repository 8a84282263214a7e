"""Contacts that wake, rules that speak, and a reader that guesses nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.catalogue.people import (
    Contact,
    NotificationRule,
    Person,
    contact_by_id,
    interrupting_contacts,
    is_wakeable,
    rules_for,
    with_org_role,
)
from tocsin.catalogue.reading import read_document
from tocsin.kernel.errors import UnusableMany

MAIL = Contact("mail", "email", "anna@fernhill.example", tested_at=1)
SMS = Contact("sms", "sms", "+49301234567")
PUSH = Contact("push", "ntfy", "anna-topic", tested_at=1)


@pytest.mark.semantics(15)
def test_mail_alone_wakes_nobody_and_a_tested_channel_comes_first() -> None:
    assert interrupting_contacts(Person("anna", "Anna", contacts=(MAIL, SMS, PUSH))) == (PUSH, SMS)
    assert is_wakeable(Person("anna", "Anna", contacts=(MAIL, PUSH)))
    assert not is_wakeable(Person("anna", "Anna", contacts=(MAIL, SMS))), "the number was never tested"


def test_rules_speak_for_their_severities_and_earliest_first() -> None:
    late, early = NotificationRule(("P1",), 5, "sms"), NotificationRule(("*",), 0, "push")
    anna = Person("anna", "Anna", contacts=(SMS, PUSH), rules=(late, early))
    assert rules_for(anna, "P1") == (early, late)
    assert rules_for(anna, "P3") == (early,)
    assert contact_by_id(anna, "sms") == SMS and contact_by_id(anna, "fax") is None


def test_org_roles_find_their_holders() -> None:
    kavya = Person("kavya", "Kavya", org_roles=("cto",))
    assert with_org_role([kavya, Person("anna", "Anna")], "cto") == (kavya,)


def test_text_stays_what_was_written_and_lines_are_known() -> None:
    root = read_document("time: 09:00\nno: no\nlist:\n  - 0x10\n", "f.yaml")
    fields = root.mapping()
    assert (fields["time"].text(), fields["no"].text(), fields["list"].items()[0].where) == (
        "09:00",
        "no",
        "f.yaml:4",
    )
    assert root.plain() == {"time": "09:00", "no": False, "list": ["0x10"]}


def test_faults_are_collected_with_a_hint() -> None:
    root = read_document("memebrs: [a]\ncount: many\nactive: perhaps\ncount: 3\n", "f.yaml")
    fields = root.mapping(("members", "count", "active"), "a team")
    fields["count"].integer(0, 1, 4, "count")
    fields["active"].boolean(True, "active")
    assert [f"{fault.where}: {fault.sentence}" for fault in root.faults] == [
        "f.yaml:1: a team has no memebrs (did you mean members?)",
        "f.yaml:4: count is written twice: keep one",
        "f.yaml:2: count must be a whole number from 1 to 4, not many",
        "f.yaml:3: active must be true or false, not perhaps",
    ]


def test_what_is_no_yaml_says_where() -> None:
    with pytest.raises(UnusableMany, match=r"f\.yaml:3: this is not valid YAML"):
        read_document("a: b\nc: [d\n", "f.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 3000,
        "&a [*a]",
        "a: &x {b: *x}",
        "\x00",
        "? [1, 2]\n: x",
        "--- 1\n--- 2",
        "!!python/object:os.system x",
    ],
)
def test_hostile_documents_end_in_a_fault_or_in_data(text: str) -> None:
    try:
        read_document(text, "f.yaml").plain()
    except UnusableMany as error:
        assert error.sentence


def test_aliases_are_refused_because_they_multiply() -> None:
    with pytest.raises(UnusableMany, match=r"f\.yaml:2: .*write the value out"):
        read_document("a: &a [x]\nb: [*a, *a]\n", "f.yaml")


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_a_sentence(text: str) -> None:
    try:
        read_document(text, "f.yaml").plain()
    except UnusableMany as error:
        assert error.faults
