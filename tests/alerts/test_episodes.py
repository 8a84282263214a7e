"""The same alert sent any number of times is one alert; a trigger after a resolve is a new episode."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.alerts.episodes import advance
from tocsin.alerts.expressions import Budget, compiled
from tocsin.alerts.matchers import Matcher
from tocsin.alerts.routing import Route, route
from tocsin.alerts.shape import Alert
from tocsin.alerts.silences import Silence, check_silence, silenced_by
from tocsin.kernel.clock import MINUTE
from tocsin.kernel.errors import Unusable


def send(row, action="trigger", now=0, **more):
    return advance(row, Alert(action, "k", summary="disk full", **more), now, integration="i")


@pytest.mark.semantics(1)
@given(st.lists(st.sampled_from(["trigger", "resolve", "acknowledge"]), max_size=30))
def test_whatever_comes_there_is_one_row_and_an_episode_for_each_firing(actions):
    row, firing, episodes = None, False, 0
    for now, action in enumerate(actions):
        step = send(row, action, now)
        row = step.row or row
        if action == "trigger":
            episodes += not firing
            firing = True
        elif action == "resolve":
            firing = False  # one that nobody waited for is kept, and is no episode
        if row is not None:
            assert row.status == ("firing" if firing else "resolved")
            assert row.episode == episodes


def test_repeats_are_counted_and_a_worse_word_of_the_sender_is_noticed():
    row = send(None, severity="warning").row
    assert send(row, now=1, severity="warning").event == "repeated"
    assert send(row, now=2, severity="critical").event == "worsened"
    assert row.repeats == 2


def test_what_is_older_by_the_sources_own_time_changes_nothing():
    row = send(None, source_at=10).row
    assert send(row, "resolve", now=5, source_at=9).event == "stale"
    assert row.status == "firing"


@pytest.mark.semantics(4)
def test_what_fires_hears_a_trigger_that_its_source_dates_earlier():
    """Two senders may share a key, and the one that saw it first may tell it last: the worse is not hidden."""
    row = send(None, source_at=10, severity="warning").row
    assert send(row, now=11, source_at=7, severity="critical").event == "worsened"
    assert send(row, "resolve", now=12, source_at=9).event == "stale", "and is ended by nothing older"


def test_a_trigger_dated_before_an_end_is_stale_only_where_the_end_has_a_time_of_its_own():
    row = send(None, source_at=10).row
    send(row, "resolve", now=12, source_at=11)
    assert send(row, now=13, source_at=10).event == "stale", "delivered late"
    row = send(None, source_at=10).row
    send(row, "resolve", now=12)
    assert send(row, now=13, source_at=9).event == "refired", "in doubt it fires"


@pytest.mark.semantics(1)
def test_a_resolve_of_nothing_is_kept_and_pages_nobody():
    step = send(None, "resolve")
    assert (step.event, step.row.status) == ("late_resolve", "resolved")


def test_matchers_are_anchored_and_a_missing_label_is_empty():
    labels = {"team": "pay"}
    assert Matcher("team", "pa.", regex=True).matches(labels)
    assert not Matcher("team", "p", regex=True).matches(labels)
    assert not Matcher("text", "a.b", regex=True).matches({"text": "a\nb"}), (
        "a silence hides no more than there"
    )
    assert Matcher("zone", "", equal=True).matches(labels)
    assert Matcher("zone", "x", equal=False).matches(labels)


def test_a_silence_of_all_but_something_is_one():
    """As in Alertmanager, whose rule counts what must be there alone."""
    terms = {"id": "s", "starts_at": 0, "ends_at": MINUTE, "author": "anna", "reason": "move"}
    check_silence(Silence(matchers=[Matcher("severity", "critical", equal=False)], **terms))
    with pytest.raises(Unusable, match="covers everything"):
        check_silence(Silence(matchers=[Matcher("severity", ".*", regex=True)], **terms))


@pytest.mark.parametrize("expression", ["(a+)+", "(", "a" * 600])
def test_an_expression_that_could_take_for_ever_is_refused(expression):
    with pytest.raises(Unusable):
        compiled(expression)


@pytest.mark.semantics(24)
@pytest.mark.parametrize("broken", [{"author": " "}, {"reason": ""}, {"ends_at": 0}, {"matchers": []}])
def test_a_silence_needs_an_author_a_reason_a_matcher_and_an_end(broken):
    whole = {
        "id": "s",
        "matchers": [Matcher("team", "pay")],
        "starts_at": 0,
        "ends_at": MINUTE,
        "author": "anna",
        "reason": "move",
    }
    check_silence(Silence(**whole))
    with pytest.raises(Unusable):
        check_silence(Silence(**(whole | broken)))


def test_a_silence_covers_what_fits_while_it_lasts():
    silence = Silence("s", [Matcher("team", "pay")], 0, MINUTE, "anna", "move")
    assert "anna" in silenced_by({"team": "pay"}, [silence], 1, integration="i").reason
    assert silenced_by({"team": "web"}, [silence], 1, integration="i") is None
    assert silenced_by({"team": "pay"}, [silence], MINUTE, integration="i") is None


def test_the_first_route_that_fits_names_service_and_group():
    class Integration:
        id, service, escalation_policy, group_by = "i", "", "", []

    routes = [
        Route("r1", "pay", [Matcher("team", "pay")], service="payments", group_by=["zone"]),
        Route("r2", "rest"),
    ]
    first = route(Alert("trigger", "k", labels={"team": "pay", "zone": "eu"}), Integration(), routes, {})
    other = route(Alert("trigger", "k", labels={"team": "pay", "zone": "us"}), Integration(), routes, {})
    assert (first.service, first.route) == ("payments", "r1")
    assert first.group_key != other.group_key
    assert route(Alert("trigger", "k"), Integration(), routes, {}).route == "r2"


def test_a_batch_has_so_many_steps_for_expressions_and_then_asks_none():
    matcher = Matcher("a", "x*y*z", regex=True)
    labels = {"a": "x" * 100}
    budget = Budget(5_200)
    assert [matcher.matches(labels, budget) for _ in range(2)] == [False] * 2
    assert budget.spent
    hides = Silence("s", [Matcher("a", "x*.*", regex=True)], 0, 10, "anna", "why")
    assert silenced_by({"a": "x" * 60}, [hides], 1, integration="i", budget=Budget(100))
    assert silenced_by({"a": "x" * 60}, [hides], 1, integration="i", budget=budget) is None, (
        "in doubt it pages"
    )


def test_an_expression_that_costs_too_much_on_a_text_fits_nothing():
    assert Matcher("a", "x*x*y", regex=True).matches({"a": "x" * 100 + "y"})
    assert not Matcher("a", "x*x*y", regex=True).matches({"a": "x" * 1900 + "y"})
    assert not Matcher("a", "x*x*y", regex=True, equal=False).matches({"a": "x" * 1900})


def test_a_repeat_says_what_it_said_before_only_where_rules_could_think_otherwise():
    row = send(None, labels={"a": "1"}).row
    assert send(row, now=1, labels={"a": "1"}).same
    details = send(row, now=2, labels={"a": "1"}, details={"value": 7})
    assert (details.same, details.before) == (False, None)
    other = send(row, now=3, labels={"a": "2"})
    assert other.before.labels == {"a": "1"}


@pytest.mark.semantics(6)
def test_an_episode_is_acknowledged_by_its_sender_once():
    row = send(None).row
    assert send(row, "acknowledge", now=1).event == "acknowledged"
    assert send(row, now=2, details={"value": 1}).event == "repeated"
    assert send(row, "acknowledge", now=3).event == "acknowledged_again"
    send(row, "resolve", now=4)
    send(row, now=5)
    assert send(row, "acknowledge", now=6).event == "acknowledged"
