"""What people read, by which contact, and when it is tried again."""

import pytest

from tocsin.catalogue.people import Contact, NotificationRule, Person
from tocsin.kernel.clock import HOUR, MINUTE, SECOND, parse_instant
from tocsin.kernel.randomness import SeededRandomness
from tocsin.notify.backoff import next_attempt
from tocsin.notify.rules import next_contact, plan
from tocsin.notify.texts import Notice, PageContext, notices, page, when

MAIL, PUSH, SMS = (
    Contact("m", "email", "a@x.example"),
    Contact("p", "ntfy", "topic"),
    Contact("s", "sms", "+4912345"),
)


@pytest.mark.semantics(15)
def test_a_page_starts_with_what_wakes_and_own_rules_only_add():
    person = Person(
        "a",
        "Anna",
        contacts=(MAIL, PUSH, SMS),
        rules=(NotificationRule(("P1",), 2 * MINUTE, "s"), NotificationRule(("P1",), 0, "m")),
    )
    assert [(one.contact.id, one.after) for one in plan(person, "P1", "page")] == [
        ("p", 0),
        ("m", 0),
        ("s", 2 * MINUTE),
    ]
    assert [one.contact.id for one in plan(person, "P3", "nudge")] == ["m"]


@pytest.mark.semantics(15)
def test_mail_alone_is_used_when_there_is_nothing_else():
    assert [one.contact.id for one in plan(Person("a", "Anna", contacts=(MAIL,)), "P1", "page")] == ["m"]
    assert plan(Person("a", "Anna"), "P1", "page") == []


def test_the_next_contact_after_a_failure_is_the_next_that_wakes():
    person = Person("a", "Anna", contacts=(MAIL, PUSH, SMS))
    assert next_contact(person, ["p"]).id == "s"
    assert next_contact(person, ["p", "s"]).id == "m"
    assert next_contact(person, ["p", "s", "m"]) is None


@pytest.mark.semantics(17)
def test_a_page_says_what_broke_since_when_why_and_what_changed():
    context = PageContext(
        "INC-7",
        "P1",
        "https://t.example/incidents/INC-7",
        "payments down",
        parse_instant("2026-01-05T02:12:00Z"),
        "nobody can pay",
        ["Payments"],
        "checkout 2026.1 deployed",
        runbook_url="https://r.example",
    )
    words = page([context], zone="Europe/Berlin", ack_url="https://t.example/a/x")
    for part in (
        "payments down",
        "03:12 CET (02:12 UTC)",
        "nobody can pay",
        "checkout 2026.1 deployed",
        "https://r.example",
        "https://t.example/a/x",
    ):
        assert part in words.text
    assert len(words.short) <= 160


@pytest.mark.semantics(23)
def test_the_page_of_a_restricted_incident_carries_number_severity_and_link_only():
    context = PageContext(
        "INC-7",
        "P1",
        "https://t.example/incidents/INC-7",
        "leaked key of acme",
        reason="breach",
        restricted=True,
    )
    words = page([context], zone="UTC", ack_url="")
    assert "acme" not in words.title + words.text + words.short + words.html
    assert "breach" not in words.text


def test_what_a_sender_wrote_cannot_become_markup():
    assert (
        "<script>"
        not in page([PageContext("INC-7", "P1", "https://t", "<script>")], zone="UTC", ack_url="").html
    )


def test_utc_is_said_once():
    assert when(parse_instant("2026-07-05T02:12:00Z"), "UTC") == "02:12 UTC"


def test_retries_back_off_respect_the_provider_and_end():
    randomness = SeededRandomness(1)
    pauses = [next_attempt(n, 0, 0, 0, randomness) for n in range(1, 9)]
    assert SECOND < pauses[0] < 3 * SECOND
    assert max(pauses) <= 36 * SECOND
    assert next_attempt(1, 0, 0, 0, randomness, retry_after=120) == 120 * SECOND
    assert next_attempt(50, 0, 2 * HOUR, 0, randomness) is None


def context(number="INC-7", severity="P1", **more):
    return PageContext(
        number, severity, f"https://t.example/incidents/{number}", more.pop("title", "payments down"), **more
    )


def test_several_duties_of_one_incident_are_one_title_with_marks_between_them():
    told = Notice(context(), "mitigate is due soon: by 22:26\nassess is overdue: by 22:21", "several", True)
    words = notices([told], zone="UTC")
    assert words.title == "2 duties: mitigate is due soon; assess is overdue — P1 INC-7: payments down"
    assert "mitigate is due soon: by 22:26\nassess is overdue: by 22:21\n" in words.text
    assert "\n" not in words.title + words.short


@pytest.mark.semantics(13)
def test_notices_of_several_incidents_are_one_message_the_worst_first_and_each_thing_once():
    told = [
        Notice(context("INC-8", "P3", title="slow"), "it cleared", "all alerts cleared"),
        Notice(context("INC-10", "P2", title="ten"), "resolved", "done"),
        Notice(context("INC-9", "P2", title="nine"), "resolved", "done"),
        Notice(context("INC-9", "P2", title="nine"), "resolved", "done"),
        Notice(context("INC-11", "P4", title="eleven")),
    ]
    words = notices(told, zone="UTC")
    assert words.title == "4 incidents: P2 INC-9 resolved; P2 INC-10 resolved; P3 INC-8 it cleared and 1 more"
    assert words.text.count("INC-9: nine") == 1
    assert "P4 INC-11: eleven" in words.text


def test_two_things_said_of_one_incident_stand_in_one_title():
    told = [Notice(context(), "it cleared", "all clear"), Notice(context(), "resolved", "rolled back")]
    words = notices(told, zone="UTC")
    assert words.title == "it cleared; resolved — P1 INC-7: payments down"
    assert "all clear; rolled back" in words.text


def test_a_drill_is_marked_in_every_form_of_its_messages():
    one = context("DRILL-3", drill=True)
    for words in (
        page([one], zone="UTC", ack_url="https://t.example/a/x"),
        notices([Notice(one, "resolved")], zone="UTC"),
    ):
        assert all(text.startswith("DRILL") for text in (words.title, words.text, words.short))
        assert "DRILL" in words.html


@pytest.mark.semantics(23)
def test_a_notice_of_a_restricted_incident_says_nothing_of_it():
    words = notices(
        [Notice(context(title="leak", restricted=True), "it was Bob", "Bob of accounting")], zone="UTC"
    )
    assert words.title == "news — P1 INC-7 (restricted)"
    assert "Bob" not in words.text + words.html and "leak" not in words.text


def test_a_zone_that_cannot_be_read_is_utc():
    at = parse_instant("2026-07-05T02:12:00Z")
    assert when(at, "Mars/Olympus") == when(at, "") == when(at, "../etc/passwd") == "02:12 UTC"
