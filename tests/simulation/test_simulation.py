"""Some hundred random histories through the real engine; each invariant, and that the checker sees when one breaks."""

import re
from pathlib import Path

import pytest
import simulate
from invariants import Broken
from simulate import replay_command
from structlog.testing import capture_logs

from tocsin.drill.stage import Stage, scratch_folder
from tocsin.engine import acting, reactions, redacting, ticking, work
from tocsin.engine import commands as c
from tocsin.engine.commands import COMMANDS
from tocsin.engine.delivery import Composer
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.directory import Directory
from tocsin.kernel.clock import HOUR, MINUTE
from tocsin.learn import score
from tocsin.store.transaction import SqlTransaction

SEEDS = 200
CHUNK = 10
QUICK = 20
"""the seeds that are looked at while one works; the others run with everything"""


def broken_among(seeds):
    return {
        f"seed {seed}: {broken}\n{replay_command(seed)}"
        for seed in seeds
        if (broken := simulate.simulate(seed)[1])
    }


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(first, marks=() if first < QUICK else pytest.mark.slow)
        for first in range(0, SEEDS, CHUNK)
    ],
)
def test_every_invariant_holds_in_random_histories(first):
    assert broken_among(range(first, first + CHUNK)) == set()


@pytest.mark.slow
def test_they_hold_where_stored_views_lie_behind_their_facts(monkeypatch):
    monkeypatch.setattr(work, "SMALL", 0)
    monkeypatch.setattr(work, "BEHIND", 5)
    assert broken_among(range(20)) == set()


def test_every_command_is_played():
    played = set(re.findall(r"c\.([A-Z]\w+)\(", Path(simulate.__file__).read_text("utf-8")))
    assert {command.__name__ for command in COMMANDS.values()} - played == set()


def test_a_seed_replays_exactly():
    for seed in (3, 17):
        assert simulate.simulate(seed) == simulate.simulate(seed)


def test_the_process_dies_before_and_after_commits_and_what_was_answered_is_there():
    deaths = [line for seed in range(8) for line in simulate.simulate(seed)[0] if "the process" in line]
    assert any("will die before" in line for line in deaths)
    assert any("will die after" in line for line in deaths)
    assert sum("the process died" in line for line in deaths) > 8


def first_broken(seeds=40):
    """What the first of some histories says that breaks."""
    return next((said for seed in range(seeds) if (said := simulate.simulate(seed)[1])), "")


def test_a_timer_that_is_not_written_is_seen(monkeypatch):
    rearm = Work.rearm
    monkeypatch.setattr(
        Work, "rearm", lambda self, incident: None if self.now % 3 == 0 else rearm(self, incident)
    )
    assert "timer" in first_broken()


@pytest.mark.slow
def test_an_action_item_whose_promise_is_forgotten_is_seen(monkeypatch):
    monkeypatch.setattr(acting.ActionBook, "owed", lambda self: [])
    assert "what owes something has a timer: ACT-1" in first_broken(30)


def test_a_miss_that_is_not_recorded_is_seen(monkeypatch):
    monkeypatch.setattr(ticking, "chase", lambda *anything: None)
    said = first_broken()
    assert "what fell due is recorded" in said or "the engine comes to rest" in said


def test_an_escalation_that_ends_with_nobody_holding_it_is_seen(monkeypatch):
    monkeypatch.setitem(reactions.REACTIONS, f.AcknowledgementLapsed, ())
    assert "nobody is called" in first_broken(150)


def test_an_alert_that_is_not_on_disk_is_seen(monkeypatch):
    monkeypatch.setattr(SqlTransaction, "put_alerts", lambda self, rows: None)
    assert "no acknowledged alert is lost" in first_broken()


def test_an_alert_that_is_remembered_otherwise_than_it_is_stored_is_seen(monkeypatch):
    def only_remembered(self, rows):
        for row in rows:
            self.session.kept.give_back((row.integration, row.dedup_key), row)

    monkeypatch.setattr(SqlTransaction, "touch_alerts", only_remembered)
    assert "what is remembered is what is stored" in first_broken()


def test_a_page_for_somebody_on_leave_is_seen(monkeypatch):
    monkeypatch.setattr(Directory, "_present", lambda self, people, at, to_page=False: (tuple(people), ()))
    assert "nobody" in first_broken()


def test_a_message_sent_twice_under_one_key_is_seen(monkeypatch):
    deliver = Stage.deliver

    def twice(self, *message):
        deliver(self, *message)
        deliver(self, *message)

    monkeypatch.setattr(Stage, "deliver", twice)
    assert "nothing is sent twice" in first_broken()


@pytest.mark.slow
def test_a_message_for_somebody_who_was_deactivated_is_seen(monkeypatch):
    monkeypatch.setattr(reactions, "still_here", lambda work, people: list(dict.fromkeys(people)))
    monkeypatch.setattr(Composer, "moot", lambda self, row: "")
    assert "nobody who is deactivated gets a message" in first_broken(150)


def test_words_of_a_restricted_incident_that_leave_are_seen(monkeypatch):
    context = Composer.context

    def open_to_all(self, incident):
        shown = context(self, incident)
        shown.title, shown.restricted = incident.title, False
        return shown

    monkeypatch.setattr(Composer, "context", open_to_all)
    assert "a restricted incident says number" in first_broken(100)


@pytest.mark.slow
def test_words_that_a_redaction_leaves_somewhere_are_seen(monkeypatch):
    monkeypatch.setattr(Work, "_copies", lambda self, stream, words: [])
    monkeypatch.setattr(redacting, "_messages", lambda *anything: None)
    assert "what was redacted is gone" in first_broken(150)


def test_a_report_that_disagrees_with_the_clocks_is_seen(monkeypatch):
    monkeypatch.setattr(
        score, "_changes_nothing", lambda body: isinstance(body, (f.UpdatePosted, f.DutyMissed))
    )
    said = first_broken(60)
    assert "figures and clocks agree" in said or "is a miss in the report" in said


def test_a_miss_that_a_command_swallows_is_seen(monkeypatch):
    monkeypatch.setattr(Work, "_miss_what_restarts", lambda self, incident, body: None)
    with capture_logs(), scratch_folder() as folder:
        history = simulate.Simulation(1, Path(folder))
        history.attempt(c.Declare("payments down", "P1"))
        history.move(MINUTE)
        # the process is away when the update falls due, and somebody is quicker than its first step
        history.stage.kill(HOUR)
        history.checker.disturb()
        history.attempt(c.PostUpdate("INC-1", "we look into it"))
        with pytest.raises(Broken, match="no duty is dropped"):
            history.move(MINUTE)
        history.stage.close()
