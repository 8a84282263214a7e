"""Whatever arrives at whichever address is alerts or a sentence that says what is wrong; never anything else."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from any_json import JSON
from tocsin.alerts.episodes import advance
from tocsin.alerts.shape import MAX_DETAILS, MAX_KEY, MAX_LABELS, MAX_SUMMARY, Parsed, one_line
from tocsin.intake import alertmanager_api, cloudwatch, generic, grafana, pagerduty
from tocsin.intake.sources import SOURCES, TEST_SUMMARY
from tocsin.kernel.clock import parse_instant
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Unusable

NOW = parse_instant("2026-03-02T09:00:00Z")
SAMPLES = Path(os.environ.get("TOCSIN_SAMPLES", Path(__file__).parents[3] / "shared")) / "payloads"


def read(source, body):
    """Parses, and takes the alerts into rows as the engine does; None where the body was refused."""
    try:
        parsed = source.parse(body, NOW, {})
    except Unusable as error:
        assert error.sentence
        return None
    assert isinstance(parsed, Parsed)
    for alert in parsed.alerts:
        assert alert.action in ("trigger", "acknowledge", "resolve")
        assert len(alert.summary) <= MAX_SUMMARY
        assert alert.summary == one_line(alert.summary), "what could pass for a line of the page"
        assert len(alert.dedup_key) <= MAX_KEY
        assert len(alert.dedup_key.encode()) <= 1000
        assert len(alert.labels) <= MAX_LABELS
        assert alert.severity in ("critical", "error", "warning", "info", "")
        assert all(link.href.startswith(("http://", "https://")) for link in alert.links)
        assert len(encode(alert.details)) <= MAX_DETAILS
        assert min(alert.started_at, alert.source_at, alert.ends_at) >= 0
        advance(None, alert, NOW, integration="i")
    return parsed


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
@given(value=JSON)
def test_any_json(source, value):
    read(source, json.dumps(value).encode())


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes(source, body):
    read(source, body)


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 100_000,
        b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        b'{"summary":"\\ud800"}',
        b'{"summary":"a\\u0000b"}',
        b'{"summary":"\xff"}',
        b'{"summary":"x","id":1e400}',
        b'\xef\xbb\xbf{"summary":"x"}',
        b'{"summary":"x","id":1,"id":2}',
    ],
    ids=["nothing", "deep list", "deep object", "surrogate", "NUL", "no UTF-8", "infinity", "BOM", "twice"],
)
def test_bodies_that_hurt_other_programs(source, body):
    read(source, body)


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
@given(data=st.data())
def test_a_good_body_with_one_thing_changed(source, data):
    sample = source.sample(NOW, "KEY")
    if not sample:
        return
    value = json.loads(sample)
    holder = value
    while True:
        if not holder or not isinstance(holder, dict | list):
            return
        at = data.draw(
            st.sampled_from(sorted(holder)) if isinstance(holder, dict) else st.integers(0, len(holder) - 1)
        )
        if not isinstance(holder[at], dict | list) or data.draw(st.booleans()):
            holder[at] = data.draw(JSON)
            break
        holder = holder[at]
    read(source, json.dumps(value).encode())


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_what_an_integration_sends_itself_is_one_trigger_that_says_it_is_a_test(source):
    parsed = read(source, source.sample(NOW, "KEY"))
    if source.kind == "heartbeat":
        assert parsed.alerts == []
        return
    (alert,) = parsed.alerts
    assert alert.action == "trigger"
    assert TEST_SUMMARY in alert.summary
    assert not parsed.refused


@pytest.mark.parametrize("source", SOURCES.values(), ids=list(SOURCES))
def test_the_snippet_has_address_and_key(source):
    snippet = source.snippet("https://tocsin.example.com", "KEY")
    assert "tocsin.example.com" in snippet
    assert "KEY" in snippet


def test_a_key_that_no_index_takes_is_shortened_and_stays_the_same():
    body = json.dumps({"summary": "x", "id": "é" * 5000}).encode()
    first, again = (generic.parse(body).alerts[0].dedup_key for _ in range(2))
    assert first == again
    assert len(first) <= MAX_KEY
    other = json.dumps({"summary": "x", "id": "é" * 5001}).encode()
    assert generic.parse(other).alerts[0].dedup_key != first


def test_what_is_cut_is_said():
    body = json.dumps({"summary": "x" * 5000, "blob": "y" * MAX_DETAILS, "kept": 1}).encode()
    parsed = generic.parse(body)
    assert parsed.alerts[0].summary.endswith("…")
    assert parsed.alerts[0].details["kept"] == 1
    assert "blob" in parsed.alerts[0].details["left_out"]
    assert any("the summary had 5000 characters" in note for note in parsed.notes)


def sample(name):
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"no sample data at {path.parent}")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "source", "action", "severity", "words"),
    [
        ("alertmanager/v3.json", "alertmanager", "trigger", "critical", "Connect fail"),
        ("alertmanager/goalert_smoke.json", "alertmanager", "trigger", "", "My alert summary"),
        ("grafana/v12_test_alert.json", "grafana", "trigger", "", "TEST"),
        ("grafana-legacy/alerting.json", "grafana", "trigger", "", "CPU alert"),
        ("grafana-legacy/v6_tags.json", "grafana", "trigger", "warning", "Battery Voltage"),
        ("grafana-legacy/ok.json", "grafana", "resolve", "", "CPU alert"),
        ("pingdom/http_down.json", "pingdom", "trigger", "critical", "503"),
        ("aws-sns/cloudwatch_alarm.json", "cloudwatch", "trigger", "", "bucket bytes size exceeded"),
        ("sentry/legacy_plugin.json", "generic", "trigger", "error", "example Python exception"),
        ("riemann/alert.json", "generic", "resolve", "", "This is a description"),
    ],
)
def test_bodies_of_real_senders(name, source, action, severity, words):
    (alert,) = read(SOURCES[source], sample(name)).alerts
    assert (alert.action, alert.severity) == (action, severity)
    assert words in alert.summary
    assert not alert.ends_at


def test_every_sample_is_alerts_or_a_sentence_at_every_address():
    files = sorted(SAMPLES.glob("*/*.json"))
    if not files:
        pytest.skip(f"no sample data at {SAMPLES}")
    for path in files:
        for source in SOURCES.values():
            read(source, path.read_bytes())


def test_grafanas_ok_finds_the_rule_that_alerted():
    keys = {
        read(SOURCES["grafana"], sample(f"grafana-legacy/{name}.json")).alerts[0].dedup_key
        for name in ("alerting", "ok")
    }
    assert len(keys) == 1


def subscription(url):
    return json.dumps({"Type": "SubscriptionConfirmation", "TopicArn": "arn:x", "SubscribeURL": url}).encode()


def test_the_address_of_a_subscription_of_amazon_is_for_owners_and_whole():
    url = "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&Token=" + "2336" * 100
    parsed = cloudwatch.parse(subscription(url))
    assert url in parsed.private[0]
    assert url not in parsed.notes[0]
    assert cloudwatch.confirmation_url(subscription(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-west-1.amazonaws.com/",
        "https://sns.evil.example/",
        "https://sns.x.amazonaws.com.evil.example/",
        "https://sns.eu-west-1.amazonaws.com@evil.example/",
        "https://sns.eu-west-1.amazonaws.com:22/",
        "https://[",
        None,
    ],
)
def test_a_subscription_that_leads_elsewhere_is_left_alone(url):
    assert cloudwatch.confirmation_url(subscription(url)) == ""
    assert "not Amazon's" in cloudwatch.parse(subscription(url)).notes[0]


def test_the_two_prometheus_ways_give_an_alert_the_same_key():
    labels = {"alertname": "A", "job": "x"}
    by_api = alertmanager_api.parse_alerts(json.dumps([{"labels": labels}]).encode(), NOW).alerts[0]
    by_webhook = read(SOURCES["alertmanager"], json.dumps({"alerts": [{"labels": labels}]}).encode()).alerts[
        0
    ]
    assert by_api.dedup_key == by_webhook.dedup_key


def test_a_change_event_keeps_what_it_says():
    body = {
        "routing_key": "R",
        "payload": {"summary": "Deploy 7", "timestamp": "2020-07-17T08:42:58.315+0000", "source": "ci", "custom_details": {"service": "shop"}},
        "links": [{"href": "https://ci.example/7", "text": "Build"}, {"href": "ftp://x"}],
    }  # fmt: skip
    notes = []
    key, change = pagerduty.parse_change(json.dumps(body).encode(), notes)
    assert (key, change.summary, change.service, change.at) == (
        "R",
        "Deploy 7",
        "shop",
        parse_instant("2020-07-17T08:42:58.315Z"),
    )
    assert [link.text for link in change.links] == ["Build"]
    assert "ftp" in notes[0]
    assert pagerduty.accepted(None) == {"status": "success", "message": "Change event processed"}
    assert pagerduty.accepted("k") == {"status": "success", "message": "Event processed", "dedup_key": "k"}


def alarm(state, **more):
    return json.dumps({"AlarmName": "cpu", "AlarmArn": "arn:1", "NewStateValue": state, **more}).encode()


def test_each_contributor_of_an_alarm_on_many_series_is_an_alert_of_its_own():
    keys = [cloudwatch.parse(alarm(*one)).alerts[0].dedup_key for one in (("ALARM",), ("OK",))]
    assert keys == ["arn:1", "arn:1"]
    first, second = (
        cloudwatch.parse(alarm("ALARM", AlarmContributorId=one)).alerts[0].dedup_key for one in "ab"
    )
    assert first != second
    within = cloudwatch.parse(alarm("OK", AlarmContributor={"ContributorId": "a"})).alerts[0]
    assert (within.action, within.dedup_key) == ("resolve", first)


def test_of_an_alarm_that_computes_the_first_metric_is_named():
    metric = {
        "Namespace": "AWS/ELB",
        "MetricName": "Errors",
        "Dimensions": [{"name": "LoadBalancer", "value": "web"}],
    }
    computed = {
        "Metrics": [{"Id": "e1", "Expression": "m1/m2"}, {"Id": "m1", "MetricStat": {"Metric": metric}}]
    }
    labels = cloudwatch.parse(alarm("ALARM", Trigger=computed)).alerts[0].labels
    assert (labels["namespace"], labels["metric"], labels["dimension_LoadBalancer"]) == (
        "AWS/ELB",
        "Errors",
        "web",
    )


def test_grafana_rules_that_are_not_saved_yet_are_told_apart_by_their_names():
    one, other = (
        grafana.parse(json.dumps({"state": "alerting", "ruleId": 0, "ruleName": name}).encode()).alerts[0]
        for name in ("one", "other")
    )
    assert one.dedup_key != other.dedup_key
