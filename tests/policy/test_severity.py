"""A severity is proposed from facts, with the rule that fired named."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tocsin.kernel.errors import Unusable
from tocsin.policy.check import check
from tocsin.policy.conditions import Condition, Fact, facts_asked, holds, pattern
from tocsin.policy.load import default_policy, default_policy_text, load_policy
from tocsin.policy.severity import NO_RULE, kind_of, propose

POLICY = default_policy()


@pytest.mark.guide("SEV-6")
@pytest.mark.parametrize(
    ("summary", "severity", "rule"),
    [
        ("Full outage of the platform", "P1", "full outage"),
        ("entire platform is unreachable", "P1", "full outage"),
        ("database unreachable", "P1", "database unreachable"),
        ("cannot connect to postgres primary", "P1", "database unreachable"),
        ("customer data leaked on a forum", "P1", "security breach with exposure of data"),
        ("suspected data breach", "P1", "security breach with exposure of data"),
        ("payments down", "P1", "payments down"),
        ("Payment service is down", "P1", "payments down"),
        ("customers cannot pay", "P1", "payments down"),
        ("authentication down", "P1", "authentication down"),
        ("Login not working", "P1", "authentication down"),
        ("nobody can sign in", "P1", "authentication down"),
        ("unauthorised access to an admin account", "P2", "security incident, not yet assessed"),
        ("DDoS against the edge", "P2", "security incident, not yet assessed"),
        ("API latency 7 s", "P2", "API latency above 5 s"),
        ("checkout errors at 12 %", "P2", "error rate above 10 %"),
        ("tenant acme: database unreachable", "P2", "one tenant's database"),
        ("third-party integration failing", "P2", "third-party integration failing"),
        ("performance degraded", "P2", "performance degraded"),
        ("one feature is broken: bulk edit", "P3", "one feature broken"),
        ("cosmetic fault in the footer", "P3", "cosmetic fault"),
        ("slow reports", "P3", "slow reports"),
        ("e-mails are delayed", "P3", "late e-mail"),
        ("minor fault in the calendar integration", "P3", "minor integration fault"),
        ("documentation is out of date", "P4", "documentation"),
        ("small request: rename a column", "P4", "small request"),
        ("edge case with leap days", "P4", "edge case"),
        ("query tuning", "P4", "tuning or cosmetic improvement"),
        ("cosmetic improvement of the sidebar", "P4", "tuning or cosmetic improvement"),
    ],
)
def test_what_people_write_is_recognised(summary: str, severity: str, rule: str) -> None:
    proposal = propose(POLICY, {"summary": summary})
    assert (proposal.severity, proposal.rule) == (severity, rule)
    assert proposal.reason


@pytest.mark.guide("SEV-6")
@pytest.mark.parametrize(
    ("facts", "severity", "rule"),
    [
        ({"subtype": "complete_outage"}, "P1", "full outage"),
        ({"users_affected_percent": 95}, "P1", "full outage"),
        ({"component": "Database", "state": "down"}, "P1", "database unreachable"),
        ({"service": "orders-db", "state": "down"}, "P1", "database unreachable"),
        ({"component": "Database", "state": "down", "tenants": 1}, "P2", "one tenant's database"),
        ({"service": "payments", "state": "down"}, "P1", "payments down"),
        ({"service": "auth-api", "state": "down"}, "P1", "authentication down"),
        ({"service": "author-search", "state": "degraded"}, "P2", "performance degraded"),
        ({"security": True, "data_exposed": True}, "P1", "security breach with exposure of data"),
        ({"security": True}, "P2", "security incident, not yet assessed"),
        ({"type": "security"}, "P2", "security incident, not yet assessed"),
        ({"latency_ms": 5001}, "P2", "API latency above 5 s"),
        ({"error_rate_percent": 11}, "P2", "error rate above 10 %"),
        ({"summary": "checkout is odd", "label.error_rate_percent": "12"}, "P2", "error rate above 10 %"),
        ({"type": "integration", "state": "down"}, "P2", "third-party integration failing"),
    ],
)  # fmt: skip
def test_measured_facts_are_recognised(facts: dict[str, Fact], severity: str, rule: str) -> None:
    proposal = propose(POLICY, facts)
    assert (proposal.severity, proposal.rule) == (severity, rule)


@pytest.mark.guide("SEV-6")
@pytest.mark.parametrize(
    "facts", [{"latency_ms": 5000}, {"error_rate_percent": 10}, {"error_rate_percent": 3}]
)
def test_a_figure_must_be_above_its_limit(facts: dict[str, Fact]) -> None:
    assert propose(POLICY, facts).rule == ""


@pytest.mark.semantics(5)
def test_where_no_rule_fires_it_is_a_p2_with_that_as_the_reason() -> None:
    proposal = propose(POLICY, {"summary": "disk is filling up on web-1"})
    assert (proposal.severity, proposal.rule, proposal.reason) == ("P2", "", NO_RULE)


@pytest.mark.semantics(5)
@pytest.mark.parametrize("word", ["critical", "error", "warning", "info", ""])
def test_the_senders_own_word_is_never_the_severity(word: str) -> None:
    assert propose(POLICY, {"summary": "disk is filling up", "sender_severity": word}).severity == "P2"


@pytest.mark.semantics(5)
def test_the_most_severe_rule_wins_and_the_others_are_listed() -> None:
    proposal = propose(POLICY, {"summary": "payments down", "error_rate_percent": 40, "state": "degraded"})
    assert (proposal.severity, proposal.rule) == ("P1", "payments down")
    assert proposal.others == (("error rate above 10 %", "P2"), ("performance degraded", "P2"))


def test_good_news_raises_no_alarm() -> None:
    assert propose(POLICY, {"summary": "payments are up again"}).rule == ""


# conditions


@pytest.mark.parametrize(
    ("condition", "facts", "answer"),
    [
        ({"fact": "state", "equals": "down"}, {"state": "DOWN"}, True),
        ({"fact": "state", "equals": "down"}, {}, False),
        ({"fact": "security", "equals": True}, {"security": "true"}, True),
        ({"fact": "security", "equals": False}, {"security": False}, True),
        ({"fact": "security", "equals": True}, {"security": 1}, False),
        ({"fact": "label.env", "one_of": ["prod", "live"]}, {"label.env": "Prod"}, True),
        ({"fact": "label.env", "one_of": ["prod", "live"]}, {"label.env": "test"}, False),
        ({"fact": "label.shard", "equals": 7}, {"label.shard": "7"}, True),
        ({"fact": "summary", "matches": "disk.{0,9}full"}, {"summary": "Disk is FULL"}, True),
        ({"fact": "summary", "matches": "end$"}, {"summary": "x" * 1000 + "end"}, False),
        ({"fact": "summary", "matches": "end$"}, {"summary": "x" * 997 + "end and more"}, True),
        ({"fact": "latency_ms", "at_least": 5}, {"latency_ms": 5}, True),
        ({"fact": "latency_ms", "below": 5}, {"latency_ms": 4}, True),
        ({"fact": "label.rate", "above": 10}, {"label.rate": "12.5 %"}, True),
        ({"fact": "label.rate", "above": 10}, {"label.rate": "many"}, False),
        ({"fact": "label.flag", "above": 0}, {"label.flag": True}, False),
        ({"not": {"fact": "state", "equals": "down"}}, {}, True),
        ({"all": [{"fact": "state", "equals": "down"}, {"fact": "tenants", "above": 1}]}, {"state": "down", "tenants": 2}, True),
        ({"all": [{"fact": "state", "equals": "down"}, {"fact": "tenants", "above": 1}]}, {"state": "down"}, False),
        ({"any": [{"fact": "state", "equals": "down"}, {"fact": "tenants", "above": 1}]}, {"tenants": 2}, True),
    ],
)  # fmt: skip
def test_a_condition_answers(condition: dict, facts: dict[str, Fact], answer: bool) -> None:
    read = Condition.model_validate_json(json.dumps(condition))
    assert holds(read, facts) is answer


def test_a_rule_says_what_it_asks_about() -> None:
    rule = next(rule for rule in POLICY.rules if rule.name == "one tenant's database")
    assert facts_asked(rule.when) == {"component", "service", "summary", "tenants", "label.tenant"}


@pytest.mark.parametrize(
    "text", ["(a*)*b", "(a|aa)+b", ".*x.*y.*z", "(?=a)", r"(a)\1", "(", "a{1,9}{1,9}", "(a?){50}"]
)
def test_a_pattern_that_could_run_for_ever_is_refused(text: str) -> None:
    with pytest.raises(Unusable):
        pattern(text)


def test_no_rule_takes_long_over_a_hostile_summary() -> None:
    hostile = ("payments database tenant error latency e-mail " * 30)[:1000]
    began = time.perf_counter()
    propose(POLICY, {"summary": hostile, "service": "a-" * 500})
    assert time.perf_counter() - began < 0.5


def test_the_type_is_the_one_that_is_named_else_the_rules_else_the_first() -> None:
    def kind(**facts: Fact) -> tuple[str, bool]:
        found = kind_of(POLICY, facts, propose(POLICY, facts))
        return found.name, found.restricted

    leak = "customer data leaked on a forum"
    assert kind(summary=leak) == ("security", True)
    assert kind(summary=leak, type="data") == ("data", False), "whoever says so is believed"
    assert kind(summary=leak, type="nonsense") == ("security", True)
    assert kind(summary="payments down: ransomware on the gateway") == ("security", True), (
        "not the first rule alone"
    )
    assert kind(summary="odd", security=True) == ("security", True)
    assert kind(summary="odd") == ("availability", False)
    found = kind_of(POLICY, {"type": "security", "subtype": "ddos"}, propose(POLICY, {"summary": "x"}))
    assert found.subtype == "ddos"


def test_a_type_that_the_policy_does_not_have_is_a_fault_of_the_rule() -> None:
    text = default_policy_text().replace("    type: security\n", "    type: secrecy\n")
    with pytest.raises(Unusable, match="there is no type 'secrecy'"):
        load_policy(text, "policy.yaml")


def test_the_rules_that_the_documentation_offers_make_quiet_alerts_quiet_and_no_outage_milder():
    page = (Path(__file__).parents[2] / "docs/policy.md").read_text()
    offered = (
        page.partition("#### What your senders' severities mean")[2]
        .partition("```yaml\n")[2]
        .partition("```")[0]
    )
    text = default_policy_text()
    end = text.index("\n# ----", text.index("  - name: tuning or cosmetic improvement"))
    policy = load_policy(text[:end] + offered + text[end:])
    plain = {"summary": "Watchdog", "sender_severity": "", "label.severity": "none"}
    assert propose(load_policy(text), plain).severity == "P2", "what is unknown errs on the loud side"
    assert propose(policy, plain).severity == "P4"
    assert propose(policy, {"summary": "disk fills", "sender_severity": "info"}).severity == "P4"
    assert propose(policy, {"summary": "disk fills", "sender_severity": "warning"}).severity == "P3"
    assert propose(policy, {"summary": "disk fills", "sender_severity": "critical"}).severity == "P2"
    assert (
        propose(policy, {"summary": "the database is unreachable", "sender_severity": "info"}).severity
        == "P1"
    )
    assert [one for one in check(policy) if one.severity == "error"] == []
