"""Duties, posts and moments in words, and how the timeline folds what the machine says to itself."""

import ast
from pathlib import Path

import pytest

from tocsin.incidents import actions, duties, policies, promises
from tocsin.incidents import facts as f
from tocsin.incidents.timeline import entries, for_people, line
from tocsin.incidents.wording import LABELS, asked_for, duty_label, moment, post_label
from tocsin.kernel.clock import HOUR, MINUTE, parse_instant
from tocsin.kernel.facts import SYSTEM, Actor, Fact, Stream

NINE = parse_instant("2026-03-02T09:00:00Z")
NAMES = {"anna": "Anna Berg", "bo": "Bo Lund"}


def test_every_duty_that_the_code_owes_has_a_name():
    rules = set()
    for module in (promises, duties, actions, policies):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("owe", "Duty", "duty"):
                rules |= {one.value for one in node.args[:2] if isinstance(one, ast.Constant)}
    assert {"acknowledge", "stand_up", "action", "policy_review"} <= rules
    assert rules - set(LABELS) == set()


@pytest.mark.parametrize(
    ("rule", "key", "words"),
    [
        ("post_mortem", "post_mortem:draft:17", "Post-mortem: draft"),
        ("message", "message:partners:17", "Message to partners"),
        ("stand_up", f"stand_up:{NINE + 3 * HOUR}", "Stand-up at 13:00"),
        ("stand_up", f"stand_up:{NINE + 24 * HOUR}", "Stand-up at Tue 3 Mar 10:00"),
        ("update", f"update:{NINE}#2", "Update"),
        ("war_room", "war_room:17", "Open the war room"),
        ("something_new", "something_new:17", "Something new"),
    ],
)
def test_a_duty_is_called_by_what_it_is(rule, key, words):
    assert duty_label(rule, key, zone="Europe/Berlin", near=NINE) == words


@pytest.mark.parametrize(
    ("verb", "fields", "words"),
    [
        ("move", {"to": "resolve"}, "resolve it"),
        ("severity", {"severity": "P3"}, "set the severity to P3"),
        ("waive", {"duty": f"message:investors:{NINE}"}, "waive the message to investors"),
        ("assign_role", {"role": "incident_commander", "person": "bo"}, "make Bo Lund incident commander"),
        ("pause_clock", {"until": NINE}, "pause the clocks"),
    ],
)
def test_what_is_asked_for_stands_in_words_on_the_timeline_too(verb, fields, words):
    assert asked_for(verb, fields, NAMES) == words
    requested = line(told(1, f.Requested("R1", verb, fields, "anna", "it is quiet")), NAMES)
    assert requested.text == f"Anna Berg asks to {words}: it is quiet"


def test_the_impact_is_told_by_the_names_of_its_fields():
    impact = line(told(1, f.ImpactSet({"users_affected_percent": 40, "who": "whoever pays by card"})), NAMES)
    assert impact.text == "impact: users affected, in %: 40; who notices, and what: whoever pays by card"


def test_posts_have_names_and_times_are_the_readers():
    assert post_label("on_call") == "on-call engineer"
    assert post_label("ceo") == "CEO"
    assert post_label("security", {"security": "security team"}) == "security team"
    assert moment(NINE, "Europe/Berlin", NINE) == "10:00"
    assert moment(NINE, "UTC", NINE + 48 * HOUR) == "Mon 2 Mar 09:00 UTC"


def told(number, body, actor=SYSTEM):
    """A stored fact, a minute after the one before."""
    at, draft = NINE + number * MINUTE, f.draft(body, NINE)
    return Fact(
        Stream("incident", "I1"), number, f"F{number}", draft.type, draft.type_version, at, at, actor, "", "internal", b"",
        draft.body, b"",
    )  # fmt: skip


def test_what_became_of_a_page_stands_beneath_it_and_a_failure_is_not_folded_away():
    facts = [
        told(1, f.RunStarted("R1", "responders", "", "P1", "nobody can pay")),
        told(2, f.Paged("R1", 0, 0, ["anna", "bo"], ["on_call", "secondary"], "on call: Anna has the turn in the rotation")),
        told(3, f.Delivery("M1", "anna", "ntfy", "c1", "delivered", run="R1")),
        told(4, f.Delivery("M2", "bo", "sms", "c2", "failed", "no credit", run="R1")),
        told(5, f.DutyReminded("update:1@80%", "update", NINE + HOUR, ["anna"])),
        told(6, f.NoteAdded("looking"), Actor("person:anna", "web")),
    ]  # fmt: skip
    found = entries(facts, NAMES, "Europe/Berlin")
    assert [one.line.type for one in found] == ["note_added", "duty_reminded", "paged", "run_started"]
    assert [one.line.type for one in found if for_people(one)] == ["note_added", "paged"]
    page = found[2]
    assert page.line.short == "paged Anna Berg, Bo Lund (on-call engineer, secondary on-call engineer)"
    assert page.line.why == "on call: Anna has the turn in the rotation"
    assert [one.text for one in page.failed] == ["sms could not reach Bo Lund (no credit)"]


def test_no_sentence_shows_a_time_as_machines_write_it():
    due = NINE + 3 * HOUR
    missed = line(
        told(1, f.DutyMissed("update:1", "update", due, "communication_lead")), NAMES, "Europe/Berlin"
    )
    assert missed.text == "MISSED: update, due 13:00, owed by communication lead"
    reminded = line(told(1, f.DutyReminded("update:1@80%", "update", due, ["anna"])), NAMES)
    assert reminded.text == "reminded Anna Berg: update is due 12:00 UTC"
