"""Alertmanager's API v2: what is posted, how it is keyed, what is shown; and its webhook."""

import json

import pytest

from tocsin.alerts.episodes import advance
from tocsin.alerts.matchers import Matcher
from tocsin.alerts.silences import Silence
from tocsin.intake import alertmanager_api as api
from tocsin.intake import alertmanager_views as views
from tocsin.intake import alertmanager_webhook as webhook
from tocsin.intake.prometheus import fingerprint
from tocsin.kernel.clock import HOUR, MINUTE, parse_instant, to_iso
from tocsin.kernel.errors import Unusable
from tocsin.kernel.randomness import SeededRandomness

NOW = parse_instant("2026-03-02T09:00:00Z")


def post(*alerts):
    return api.parse_alerts(json.dumps(alerts).encode(), NOW)


# answers of a running Alertmanager 0.25.0 to GET /api/v2/alerts
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"alertname": "A"}, "d2c6efc389df0927"),
        ({"severity": "critical", "alertname": "TestAlert", "instance": "foobar"}, "a6458d47e654d394"),
        ({"z": "ö ß 日本", "a": "1"}, "bd7272a560920be6"),
        ({"a": "3"}, "d3bf7181937b43e3"),
    ],
)
def test_fingerprints_are_alertmanagers(labels, expected):
    assert fingerprint(labels) == expected
    assert post({"labels": {**labels, "empty": ""}}).alerts[0].dedup_key == expected


@pytest.mark.parametrize(
    ("times", "action", "ends_at"),
    [
        ({}, "trigger", NOW + 5 * MINUTE),
        ({"endsAt": "0001-01-01T00:00:00Z"}, "trigger", NOW + 5 * MINUTE),
        ({"startsAt": "0001-01-01T00:00:00Z", "endsAt": ""}, "trigger", NOW + 5 * MINUTE),
        ({"endsAt": to_iso(NOW + 4 * MINUTE)}, "trigger", NOW + 4 * MINUTE),
        ({"startsAt": to_iso(NOW - HOUR), "endsAt": to_iso(NOW)}, "resolve", 0),
        ({"endsAt": "2026-03-02T09:30:00.123456789+01:00"}, "resolve", 0),
    ],
)
@pytest.mark.semantics(3)
def test_an_end_in_the_past_resolves_and_a_missing_one_is_five_minutes_off(times, action, ends_at):
    alert = post({"labels": {"a": "1"}, **times}).alerts[0]
    assert (alert.action, alert.ends_at) == (action, ends_at)
    assert (alert.source_at > 0) == (action == "resolve")


def test_an_alert_carries_what_its_annotations_say():
    alert = post(
        {
            "labels": {"alertname": "Slow", "severity": "page", "instance": "db1", "service": "db"},
            "annotations": {"summary": "db1 is slow", "runbook_url": "https://run.example/slow", "dashboard": "javascript:alert(1)"},
            "generatorURL": "https://prom.example/graph",
            "startsAt": to_iso(NOW - MINUTE),
        }
    ).alerts[0]  # fmt: skip
    assert (alert.summary, alert.severity, alert.source, alert.service) == (
        "db1 is slow",
        "critical",
        "db1",
        "db",
    )
    assert (alert.runbook_url, alert.dashboard_url) == ("https://run.example/slow", "")
    assert [link.href for link in alert.links] == ["https://prom.example/graph"]
    assert alert.started_at == NOW - MINUTE


@pytest.mark.parametrize(
    "bad",
    [
        {"labels": {}},
        {"labels": {"a": ""}},
        {"labels": {"": "x"}},
        {"labels": {"a": "1"}, "startsAt": "soon"},
        {"labels": {"a": 1}},
        {"labels": {"a": "\x00"}},
        {"labels": {"a": "1"}, "annotations": []},
        {"labels": {"a": "1"}, "annotations": {"summary": "a\x00b"}},
        {"labels": {"a": "1"}, "startsAt": 7},
        {"startsAt": None},
        "a",
        {"labels": {"a": "1"}, "startsAt": to_iso(NOW), "endsAt": to_iso(NOW - MINUTE)},
    ],
)
def test_the_valid_are_taken_beside_the_invalid_which_are_named(bad):
    parsed = post({"labels": {"a": "1"}}, bad, {"labels": {"b": "2"}})
    assert len(parsed.alerts) == 2
    assert parsed.refused[0].startswith("$[1]")


def test_a_label_that_is_null_is_not_there_as_in_alertmanager():
    parsed = post({"labels": {"a": "1", "b": None}}, {"labels": {"c": "2"}, "annotations": {"summary": None}})
    assert not parsed.refused
    assert [one.labels for one in parsed.alerts] == [{"a": "1"}, {"c": "2"}]
    assert parsed.alerts[0].dedup_key == fingerprint({"a": "1"})


def test_what_is_wrong_with_one_of_many_is_said_with_its_place():
    parsed = post({"labels": {"a": "1"}}, {"labels": {"team": None, "b": {"c": 1}}})
    assert parsed.refused == ["$[1].labels.b: 'b' in labels is not text; put its value in quotes"]


def test_a_time_without_a_zone_is_utc():
    parsed = post({"labels": {"a": "1"}, "startsAt": "2026-03-02T08:00:00.25"})
    assert parsed.alerts[0].started_at == parse_instant("2026-03-02T08:00:00.25Z")


def test_an_end_in_the_past_ends_what_fires_whenever_it_began():
    """Without a beginning it names none, so it is no end of an earlier firing."""
    row = advance(None, post({"labels": {"a": "1"}}).alerts[0], NOW, integration="i").row
    over = {"labels": {"a": "1"}, "endsAt": to_iso(NOW - MINUTE)}
    assert advance(row, post(over).alerts[0], NOW, integration="i").event == "cleared"


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"[{}]", "$[0]"),
        (b'[{"labels":{"a":1}}]', "$[0].labels"),
        (b'[{"labels":{"a":"1"},"annotations":[]}]', "$[0].annotations"),
        (b'[{"labels":{"a":"\\u0000"}}]', "$[0].labels.a"),
        (b'[{"labels":{"a":"\xff"}}]', "$[0]"),
        (b'[{"labels":' + b"[" * 200 + b"]" * 200 + b"}]", "$[0]"),
    ],
)
def test_an_alert_that_cannot_be_read_says_where(body, where):
    parsed = api.parse_alerts(body, NOW)
    assert not parsed.alerts and parsed.refused[0].startswith(where)


def test_half_of_a_surrogate_pair_is_named():
    with pytest.raises(Unusable, match="surrogate"):
        api.parse_alerts(b'[{"labels":{"a":"\\ud800"}}]', NOW)


@pytest.mark.parametrize("body", [b"{}", b"x", b"", b'[{"labels":{"a":"1"}}', b"[" * 5000])
def test_a_body_that_is_no_list_of_alerts_says_so(body):
    with pytest.raises(Unusable) as caught:
        api.parse_alerts(body, NOW)
    assert caught.value.where in ("$", "$[0]")
    assert isinstance(json.loads(api.error_body(caught.value.sentence)), str)


def row_of(labels, **columns):
    alert = post(
        {"labels": labels, "annotations": {"summary": "s"}, "generatorURL": "https://p.example"}
    ).alerts[0]
    row = advance(None, alert, NOW, integration="i").row
    for name, value in columns.items():
        setattr(row, name, value)
    return row


def silence(**more):
    whole = {
        "id": "s",
        "matchers": [Matcher("a", "1")],
        "starts_at": NOW,
        "ends_at": NOW + HOUR,
        "author": "anna",
        "reason": "move",
    }
    return Silence(**{**whole, **more})


def test_alerts_are_shown_in_the_shape_of_the_api():
    shown = views.gettable_alerts([row_of({"a": "1"})], NOW, [], views.Query())
    assert shown == [
        {
            "annotations": {"summary": "s"},
            "endsAt": "2026-03-02T09:05:00.000Z",
            "fingerprint": fingerprint({"a": "1"}),
            "receivers": [{"name": "tocsin"}],
            "startsAt": "2026-03-02T09:00:00.000Z",
            "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
            "updatedAt": "2026-03-02T09:00:00.000Z",
            "labels": {"a": "1"},
            "generatorURL": "https://p.example",
        }
    ]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ([], "123"),
        ([("filter", 'a="1"')], "1"),
        ([("filter", 'a=~"1|2"'), ("filter", "a!=1")], "2"),
        ([("silenced", "false")], "23"),
        ([("active", "false")], "1"),
        ([("active", ""), ("silenced", "")], "123"),
        ([("receiver", "toc.*")], "123"),
        ([("receiver", "toc")], ""),
        ([("unknown", "x")], "123"),
    ],
)
def test_a_query_filters(query, names):
    rows = [row_of({"a": name}) for name in "123"] + [row_of({"a": "4"}, status="resolved")]
    rows[0].state = "silenced"
    shown = views.gettable_alerts(rows, NOW, [silence()], views.parse_query(query))
    assert sorted(one["labels"]["a"] for one in shown) == list(names)


@pytest.mark.parametrize(
    "pair", [("filter", "xx"), ("receiver", "("), ("receiver_matchers", "="), ("filter", 'a=~"(a+)+"')]
)
def test_a_query_that_cannot_be_read_is_refused(pair):
    with pytest.raises(Unusable):
        views.parse_query([pair])


def test_groups_hold_the_alerts_that_were_routed_together():
    rows = [
        row_of({"a": "1", "b": "x"}, group_key='["r","a=1"]'),
        row_of({"a": "1", "b": "y"}, group_key='["r","a=1"]'),
        row_of({"a": "2"}, group_key='["r","a=2"]'),
    ]
    groups = views.gettable_groups(rows, NOW, [], views.Query())
    assert [(group["labels"], len(group["alerts"])) for group in groups] == [({"a": "1"}, 2), ({"a": "2"}, 1)]
    assert set(groups[0]) == {"alerts", "labels", "receiver", "routeLabels"}
    for row in rows[:2]:
        row.state = "silenced"
    muted = views.gettable_groups(rows, NOW, [silence()], views.parse_query([("muted", "false")]))
    assert [group["labels"] for group in muted] == [{"a": "2"}]


POSTED = {
    "matchers": [{"name": "a", "value": "1", "isRegex": False}],
    "startsAt": "2026-03-02T08:00:00Z",
    "endsAt": "2026-03-02T10:00:00Z",
    "createdBy": "anna",
    "comment": "move",
}


def post_silence(**more):
    return api.parse_silence(json.dumps({**POSTED, **more}).encode(), NOW, integration="i", new_id="new")


@pytest.mark.semantics(24)
@pytest.mark.parametrize(
    "change",
    [
        {"createdBy": ""},
        {"comment": None},
        {"endsAt": None},
        {"endsAt": "2026-03-02T08:30:00Z"},
        {"matchers": []},
        {"matchers": [{"name": "a", "value": "", "isRegex": False}]},
        {"matchers": [{"name": "a", "value": "(a+)+", "isRegex": True}]},
        {"id": 7},
        {"annotations": []},
    ],
)
def test_a_silence_without_author_reason_end_or_matcher_is_refused(change):
    with pytest.raises(Unusable):
        post_silence(**change)


def test_a_posted_silence_is_shown_again_as_it_was_posted():
    kept = post_silence().silence
    shown = views.gettable_silence(kept, NOW)
    assert (kept.integration, kept.starts_at, shown["status"]) == ("i", NOW, {"state": "active"})
    assert shown["matchers"] == [{"name": "a", "value": "1", "isRegex": False, "isEqual": True}]
    assert (shown["createdBy"], shown["comment"], shown["endsAt"]) == (
        "anna",
        "move",
        "2026-03-02T10:00:00.000Z",
    )


def test_a_silence_is_changed_in_place_only_while_its_past_stays_true():
    before = post_silence().silence
    later = NOW + MINUTE
    same = post_silence(id="s", startsAt=to_iso(NOW), endsAt="2026-03-02T12:00:00Z")
    settled = api.settle(same, before, later)
    assert (settled.kept.id, settled.ended) == (before.id, None)
    other = post_silence(
        id="s", startsAt=to_iso(NOW), matchers=[{"name": "b", "value": "1", "isRegex": False}]
    )
    settled = api.settle(other, before, later)
    assert (settled.kept.id, settled.ended.ends_at, settled.kept.starts_at) == ("new", later, later)


def test_silences_are_sorted_and_filtered():
    silences = [
        silence(id="over", starts_at=NOW - HOUR, ends_at=NOW - MINUTE),
        silence(id="waits", starts_at=NOW + MINUTE, matchers=[Matcher("b", "2")]),
        silence(id="long", ends_at=NOW + 2 * HOUR),
        silence(id="short"),
    ]

    def ids(*query):
        return [one["id"] for one in views.gettable_silences(silences, NOW, views.parse_query(query))]

    assert ids() == ["short", "long", "waits", "over"]
    assert ids(("expired", "false"), ("pending", "false")) == ["short", "long"]
    assert ids(("filter", 'b="2"')) == ["waits"]


def test_silence_ids_are_uuids():
    made = api.silence_id(SeededRandomness(1))
    assert api.is_silence_id(made)
    assert not api.is_silence_id("xx")


def test_deleting_a_silence_ends_it_once():
    over = api.ended(silence(), NOW + MINUTE)
    assert over.ends_at == NOW + MINUTE
    assert api.ended(over, NOW + 2 * MINUTE) is None


def notification(**more):
    alert = {
        "status": "firing",
        "labels": {"alertname": "A"},
        "startsAt": to_iso(NOW),
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": "abc",
        **more,
    }
    return webhook.parse(json.dumps({"version": "4", "alerts": [alert], "truncatedAlerts": 3}).encode())


@pytest.mark.semantics(3)
def test_alerts_of_the_webhook_never_expire():
    parsed = notification()
    assert (parsed.alerts[0].action, parsed.alerts[0].dedup_key, parsed.alerts[0].ends_at) == (
        "trigger",
        "abc",
        0,
    )
    assert "left 3 more alerts out" in parsed.notes[0]


def test_a_resolved_alert_of_the_webhook_resolves_at_its_end():
    alert = notification(status="resolved", endsAt=to_iso(NOW + MINUTE)).alerts[0]
    assert (alert.action, alert.source_at, alert.started_at) == ("resolve", NOW + MINUTE, NOW)


def test_without_a_fingerprint_the_labels_make_it():
    assert notification(fingerprint=None).alerts[0].dedup_key == fingerprint({"alertname": "A"})


@pytest.mark.parametrize("change", [{"labels": 1}, {"labels": {}}, {"status": "maybe"}])
def test_a_notification_of_which_nothing_can_be_used_is_refused(change):
    with pytest.raises(Unusable, match=r"\$\.alerts\[0\]"):
        notification(**change)


def test_status_and_receivers_have_what_clients_require():
    status = views.status("1.2.3", NOW)
    assert set(status) == {"cluster", "config", "uptime", "versionInfo"}
    assert set(status["versionInfo"]) == {
        "version",
        "revision",
        "branch",
        "buildUser",
        "buildDate",
        "goVersion",
    }
    assert views.receivers(views.Query()) == [{"name": "tocsin"}]


def test_a_body_with_a_mark_before_it_is_read():
    body = (
        b"\xef\xbb\xbf"
        + json.dumps([{"labels": {"alertname": "A"}, "annotations": {"summary": " \n"}}]).encode()
    )
    (alert,) = api.parse_alerts(body, NOW).alerts
    assert alert.summary == "A", "a summary that shows nothing is none"
    with pytest.raises(Unusable):
        api.parse_alerts(b"\xef\xbb\xbf" * 300_000 + b"[]", NOW)
