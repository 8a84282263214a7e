"""Faults of the engine that drills and simulations found, each told as a small drill, so that they stay mended."""

import pytest

from tocsin.drill import load_scenario, run


def play(text, blank):
    return run(load_scenario("title: found by a simulation\n" + text, "found.yaml"), blank=blank)


def flaws(result):
    return [f"{one.text}: {one.found}" for one in result.verdicts if not one.ok]


@pytest.mark.semantics(18)
def test_a_step_that_finds_somebody_present_leaves_those_on_leave_alone(migrated_file):
    result = play(
        """
ends: 4 min
steps:
  - {at: 0 s, leave: {person: greta, for: 8 h}}
  - {at: 1 s, alert: {summary: payments down, service: payments, key: pay}}
expect:
  - {paged: chiara, by: 1 s}
  - {timeline: "secondary: on leave, and somebody else can be paged", by: 130 s}
  - {not_paged: greta}
""",
        migrated_file,
    )
    assert flaws(result) == []


@pytest.mark.semantics(6, 18)
def test_a_lapsed_acknowledgement_pages_its_holder_and_not_a_secondary_on_leave(migrated_file):
    result = play(
        """
ends: 16 min
steps:
  - {at: 0 s, alert: {summary: payments down, service: payments, key: pay}}
  - {at: 1 min, by: chiara, acknowledge: INC-1}
  - {at: 2 min, leave: {person: greta, for: 8 h}}
expect:
  - {timeline: the acknowledgement of Chiara Conti lapsed}
  - {timeline: "paged Chiara Conti: the acknowledgement lapsed"}
""",
        migrated_file,
    )
    assert flaws(result) == []


@pytest.mark.semantics(13)
def test_a_change_of_shift_before_business_hours_does_not_ring_for_a_p3(migrated_file):
    result = play(
        """
start: 2026-03-08T12:00:00Z
ends: 21 h 30 min
steps:
  - {at: 0 s, alert: {summary: slow reports, service: reports, key: slow}}
expect:
  - {timeline: shift change, by: 20 h}
  - {not_paged: chiara, before: 21 h}
  - {paged: chiara, by: 21 h}
""",
        migrated_file,
    )
    assert flaws(result) == []


@pytest.mark.semantics(8)
def test_an_update_after_a_gap_does_not_hide_that_it_was_late(migrated_file):
    """The process was away when the update fell due, and the update is posted before the engine's first step."""
    from pathlib import Path

    from tocsin.alerts.shape import Alert
    from tocsin.drill.stage import Stage, scratch_folder
    from tocsin.engine import commands as c
    from tocsin.incidents.organisation import demo_organisation
    from tocsin.kernel.clock import HOUR, parse_instant
    from tocsin.policy.load import default_policy_text

    with scratch_folder() as folder:
        stage = Stage(
            Path(folder), organisation=demo_organisation, policy=default_policy_text(),
            start=parse_instant("2026-03-03T10:00:00Z"), blank=migrated_file,
        )  # fmt: skip
        stage.receive([Alert("trigger", "pay", "payments down", service="payments")])
        stage.settle()
        stage.execute("chiara", c.Acknowledge("INC-1"))
        stage.kill(HOUR)
        stage.execute("chiara", c.PostUpdate("INC-1", "we are back"))
        facts = stage.store.read(lambda r: r.facts_since(0))
        missed = [fact for fact in facts if fact.type == "duty_missed" and b"update" in (fact.body or b"")]
        stage.close()
    assert len(missed) == 3, "each interval of the silence, as if it had been looked at in time"
