"""Events API v2: whatever arrives is an alert or a list of reasons."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.intake.pagerduty import parse_change, parse_enqueue, refused
from tocsin.kernel.clock import parse_instant
from tocsin.kernel.errors import Unusable, UnusableMany

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda kids: (
        st.lists(kids, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "routing_key",
                    "event_action",
                    "payload",
                    "summary",
                    "severity",
                    "links",
                    "timestamp",
                    "custom_details",
                    "x",
                ]
            ),
            kids,
            max_size=6,
        )
    ),
    max_leaves=12,
)
WHOLE = {
    "routing_key": "R",
    "event_action": "trigger",
    "payload": {"summary": "disk full", "source": "db-1", "severity": "critical"},
}


@given(JSON)
def test_any_json_is_an_event_or_refused_with_reasons(value):
    for parse in (parse_enqueue, parse_change):
        try:
            parse(json.dumps(value).encode())
        except Unusable as error:
            assert refused(error)["errors"]


def test_a_trigger_carries_everything_the_sender_said():
    event = WHOLE | {
        "dedup_key": "k",
        "links": [{"href": "https://g.example", "text": "graph"}],
        "client_url": "https://c.example",
    }
    event["payload"] = WHOLE["payload"] | {
        "timestamp": "2026-03-02T09:00:00Z",
        "component": "payments",
        "custom_details": {"error_rate_percent": 12, "nested": {"a": 1}},
    }
    key, alert = parse_enqueue(json.dumps(event).encode())
    assert (key, alert.dedup_key, alert.summary, alert.severity) == ("R", "k", "disk full", "critical")
    assert alert.source_at == parse_instant("2026-03-02T09:00:00Z")
    assert alert.labels["error_rate_percent"] == "12"
    assert [link.href for link in alert.links] == ["https://g.example", "https://c.example"]
    assert alert.details["nested"] == {"a": 1}


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"routing_key": ""}, "routing_key"),
        ({"event_action": "shout"}, "event_action"),
        ({"event_action": "resolve"}, "dedup_key"),
        ({"dedup_key": "k" * 256}, "dedup_key"),
        ({"payload": None}, "payload"),
        ({"payload": {"source": "x", "severity": "info"}}, "payload.summary"),
        ({"payload": WHOLE["payload"] | {"severity": "grave"}}, "payload.severity"),
        ({"links": [{"text": "no href"}]}, "links[0]"),
    ],
)
def test_each_fault_is_named_where_it_is(change, where):
    with pytest.raises(Unusable) as caught:
        parse_enqueue(json.dumps(WHOLE | change).encode())
    assert where in [fault.where for fault in caught.value.faults]


def test_a_key_in_the_header_counts_where_the_body_has_none():
    """Clients from before the protocol's description send it there."""
    event = {"event_action": "resolve", "dedup_key": "k"}
    key, _ = parse_enqueue(json.dumps(event).encode(), routing_key="R1")
    assert key == "R1"
    key, _ = parse_enqueue(json.dumps(event | {"routing_key": "R2"}).encode(), routing_key="R1")
    assert key == "R2"


def test_an_event_over_512_kb_is_refused():
    with pytest.raises(Unusable, match="512 kB"):
        parse_enqueue(b"x" * (512 * 1024 + 1))


@pytest.mark.parametrize("summary", ["", "   ", "\n\t", "\u202e", "\u0007"])
def test_a_summary_that_shows_nothing_is_none(summary):
    event = {
        "routing_key": "R",
        "event_action": "trigger",
        "payload": WHOLE["payload"] | {"summary": summary},
    }
    with pytest.raises(UnusableMany, match="summary"):
        parse_enqueue(json.dumps(event).encode())
