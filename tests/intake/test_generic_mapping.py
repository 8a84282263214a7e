"""A mapping says where any JSON keeps what an alert needs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.intake import generic
from tocsin.intake.mapping import compile_mapping, condition, expression, read_mapping, write_mapping
from tocsin.kernel.clock import parse_instant
from tocsin.kernel.errors import Unusable, UnusableMany

BODY = {
    "host": "db1",
    "alerts": [
        {
            "name": "disk",
            "keys": ["k1"],
            "state": "Firing",
            "sev": "HIGH",
            "at": 1767225600,
            "tags": ["env:prod", "hot"],
        },
        {
            "name": "cpu",
            "keys": ["k2"],
            "state": "Fine",
            "at": "2026-01-01T00:00:00",
            "u": "https://g.example",
        },
    ],
}
MAPPING = {
    "items": "alerts",
    "summary": "{{ name }} on {{ ^.host }}",
    "dedup_key": "/keys/0",
    "severity": "sev | 'warning'",
    "source": "^.host",
    "service": "'database'",
    "started_at": "at",
    "resolve": "state = fine, 'all clear'",
    "labels": "tags",
    "labels.host": "^.host",
    "link.Graph": "u",
    "details": "keys",
}


def test_every_field_comes_from_where_the_mapping_says():
    disk, cpu = generic.parse(json.dumps(BODY).encode(), MAPPING).alerts
    assert (disk.action, disk.summary, disk.dedup_key, disk.severity) == (
        "trigger",
        "disk on db1",
        "k1",
        "error",
    )
    assert (disk.source, disk.service, disk.labels) == (
        "db1",
        "database",
        {"env": "prod", "hot": "true", "host": "db1"},
    )
    assert (disk.started_at, cpu.started_at) == (parse_instant("2026-01-01T00:00:00Z"),) * 2
    assert (cpu.action, cpu.severity, [link.text for link in cpu.links]) == ("resolve", "warning", ["Graph"])
    assert disk.details == {"details": ["k1"]}


def test_without_a_mapping_usual_names_are_found():
    body = {
        "title": "Disk full",
        "alert_id": 7,
        "priority": "P1",
        "host": "db1",
        "status": "RESOLVED",
        "url": "https://x.example",
    }
    (alert,) = generic.parse(json.dumps(body).encode()).alerts
    assert (alert.action, alert.summary, alert.dedup_key, alert.severity, alert.source) == (
        "resolve",
        "Disk full",
        "7",
        "critical",
        "db1",
    )
    assert alert.labels["alert_id"] == "7"


def test_without_a_key_the_same_words_are_the_same_alert():
    first, other = (
        generic.parse(json.dumps({"summary": text, "host": "a"}).encode()).alerts[0] for text in ("x", "y")
    )
    again = generic.parse(json.dumps({"host": "a", "summary": "x", "time": 5}).encode()).alerts[0]
    assert first.dedup_key == again.dedup_key != other.dedup_key


def test_items_that_cannot_be_used_are_named_beside_those_that_can():
    parsed = generic.parse(b'[{"summary":"a"},{},7]')
    assert (len(parsed.alerts), [one.split(":")[0] for one in parsed.refused]) == (1, ["$[1]", "$[2]"])


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("sumary", "a"),
        ("summary", ""),
        ("summary", "a..b"),
        ("summary", "a["),
        ("summary", "a |"),
        ("summary", "'a"),
        ("summary", "'a' b"),
        ("summary", "{{ a"),
        ("summary", "{{ }}"),
        ("summary", "a" * 600),
        ("summary", ".".join("a" * 30)),
        ("resolve", "state ="),
        ("resolve", "= x"),
        ("resolve", "s >= 3"),
        ("resolve", "s < = 3"),
        ("resolve", "s > 3"),
        ("resolve", "s =~ ok"),
        ("resolve", "s !~ ok"),
        ("labels.", "a"),
    ],
)
def test_each_fault_of_a_mapping_is_named_with_its_field(field, text):
    with pytest.raises(UnusableMany) as caught:
        compile_mapping({"summary": "a", field: text})
    assert [fault.where for fault in caught.value.faults] == [f"mapping.{field}"]


def test_a_mapping_needs_a_summary():
    with pytest.raises(UnusableMany, match="summary"):
        compile_mapping({"severity": "s"})


def test_a_mapping_whose_items_are_no_list_says_so():
    with pytest.raises(Unusable, match="items"):
        generic.parse(b'{"alerts": {}}', {"summary": "s", "items": "alerts"})


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("up", {"up": True}, True),
        ("up", {"up": False}, False),
        ("up", {}, False),
        ("s = OK", {"s": "ok"}, True),
        ("s != ok", {"s": "down"}, True),
        ("s != ok", {}, False),
        ("a | s == ok", {"s": "ok"}, True),
        ("s = 'a, b'", {"s": "A, B"}, True),
    ],
)
def test_conditions(text, value, holds):
    assert condition(text, "x").holds(value, value) is holds


@given(st.text(alphabet="ab.[]{}|'\"/0 $^=,", max_size=20), st.recursive(st.text(max_size=2), lambda kids: st.lists(kids) | st.dictionaries(st.sampled_from("ab0"), kids), max_leaves=5))  # fmt: skip
def test_any_expression_is_usable_or_refused_and_any_usable_one_gives_text(text, value):
    for read in (expression, condition):
        try:
            found = read(text, "x")
        except Unusable:
            continue
        if read is expression:
            assert isinstance(found.text(value, value), str)
        else:
            assert isinstance(found.holds(value, value), bool)


def test_a_mapping_is_read_as_people_write_it():
    text = """
    # where a check of ours has its fields
    summary      {{ name }} on {{ ^.host }}
    dedup_key /keys/0
    link.Run book\turl
    resolve  state = ok, fine
    """
    assert read_mapping(text) == {
        "summary": "{{ name }} on {{ ^.host }}", "dedup_key": "/keys/0", "link.Run book": "url", "resolve": "state = ok, fine",
    }  # fmt: skip
    with pytest.raises(UnusableMany) as refused:
        read_mapping("summary name\nresolve\nsummary title")
    assert "line 2" in str(refused.value) and "line 3" in str(refused.value)
    assert read_mapping("") == {} and write_mapping({}) == ""
    kept = {"summary": "{{ a }}  {{ b }}", "resolve": "x = 'a  b',  'c'"}
    assert read_mapping(write_mapping(kept)) == kept, "blanks inside may be part of a text"


@given(
    st.dictionaries(
        st.sampled_from(["summary", "dedup_key", "labels.team", "link.Run book", "resolve"]),
        st.lists(st.from_regex(r"[!-~]{1,8}", fullmatch=True), min_size=1, max_size=4).map(" ".join),
    )
)
def test_a_mapping_that_was_written_down_reads_as_it_was(mapping):
    assert read_mapping(write_mapping(mapping)) == mapping
