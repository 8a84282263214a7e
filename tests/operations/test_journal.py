"""What the journal keeps of a change: what is different now, as people read it, and nothing that should not be read."""

from tocsin.engine.journal import (
    LONGEST_VALUE,
    MOST_LINES,
    Entry,
    Written,
    difference,
    entries,
    entry_of,
    row_of,
)
from tocsin.kernel.clock import HOUR, MINUTE, parse_instant
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import RecordRow

NOW = parse_instant("2026-03-02T09:00:00Z")


def changed(before, after, kind="team"):
    bodies = [None if one is None else encode(one) for one in (before, after)]
    return difference(Written(kind, "x", *bodies))


def test_a_field_that_is_long_shows_both_what_it_was_and_what_it_is():
    people = [f"person-{n}" for n in range(60)]
    (line,) = changed({"id": "x", "members": people}, {"id": "x", "members": people[1:]})
    assert line.startswith("members: person-0, person-1") and "… → person-1, person-2" in line
    assert len(line) < 3 * LONGEST_VALUE


def test_durations_and_times_are_read_by_people():
    after = {"interval": 90 * MINUTE, "start": NOW, "steps": [{"after": 2 * HOUR, "targets": ["a", "b"]}]}
    said = changed(None, after, "integration")
    assert said == [
        "interval: 1 h 30 min",
        "start: 2026-03-02T09:00:00Z",
        "steps[1].after: 2 h",
        "steps[1].targets: a, b",
    ]


def test_numbers_and_addresses_and_why_somebody_is_away_stay_out():
    person = {
        "id": "x",
        "name": "Bo",
        "contacts": [{"id": "4915112345678", "kind": "sms", "address": "+4915112345678", "label": "+49151"}],
    }
    told = changed(person | {"contacts": []}, person, "person") + changed(
        None, {"person": "bo", "reason": "surgery"}, "leave"
    )
    told += changed({"contacts": [{"number": "+491"}]}, {"contacts": [{"number": "+492"}]}, "service")
    text = " ".join(told)
    assert (
        "contacts: nothing → sms" in told and "person: bo" in told and "contacts[1].number: changed" in told
    )
    assert "151" not in text and "surgery" not in text and "+49" not in text


def test_many_lines_end_with_how_many_there_were():
    after = {f"field{n}": "x" for n in range(MOST_LINES + 9)}
    entry = entry_of(
        [Written("team", "x", None, encode(after))],
        at=NOW,
        by="person:anna",
        door="session",
        verb="put_team",
        answer={},
    )
    assert len(entry.lines) == MOST_LINES + 1 and entry.lines[-1] == "and 9 more"


def test_what_changed_nothing_and_a_code_that_was_wrong_are_no_changes():
    same = encode({"id": "x", "name": "Web"})
    written = [Written("team", "x", same, same)]
    assert entry_of(written, at=NOW, by="a", door="session", verb="put_team", answer={}) is None
    wrong = {"id": "phone", "confirmed": False}
    assert entry_of([], at=NOW, by="a", door="session", verb="confirm_contact", answer=wrong) is None


def test_one_entry_that_cannot_be_read_hides_no_other():
    good = row_of(Entry(NOW, "person:anna", "session", "put_team", "team web", "Web", ["name: Web"]), "b")
    bad = RecordRow("journal", "a", "", b"\xff", NOW)

    class Reader:
        def newest_records(self, kind, limit, before):
            return [good, bad]

    first, second = entries(Reader())
    assert (first.name, first.id) == ("Web", "b")
    assert second.verb == "cannot be read by this version"
