"""Scenario files: strict, with file and line; and what a drill says when an expectation does not hold."""

import pytest
from click.testing import CliRunner

from tocsin.cli_drill import drill
from tocsin.drill import load_scenario, run
from tocsin.kernel.clock import MINUTE, SECOND
from tocsin.kernel.errors import UnusableMany

HEAD = "title: a test\n"
ALERT = "  - {at: 0 s, alert: {summary: payments down, service: payments, key: pay}}\n"


def faults(text):
    with pytest.raises(UnusableMany) as caught:
        load_scenario(text, "drill.yaml")
    return [f"{fault.where}: {fault.sentence}" for fault in caught.value.faults]


def play(steps, expect, blank, head=HEAD):
    text = f"{head}steps:\n{steps}expect:\n{expect}"
    return run(load_scenario(text, "drill.yaml"), blank=blank)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("steps: []\nexpect: []\n", "drill.yaml:1: a scenario needs title"),
        (HEAD + "stepps: []\nsteps: []\nexpect: []\n", "drill.yaml:2: a scenario has no stepps (did you mean steps?)"),
        (HEAD + "steps:\n  - {at: 1 m, allert: {summary: x}}\nexpect: []\n", "drill.yaml:3: there is no step allert (did you mean alert?)"),
        (HEAD + "steps:\n  - {at: 1 m, acknowledge: INC-1}\nexpect: []\n", "a command needs by: PERSON"),
        (HEAD + "steps:\n  - {at: 1 m, by: chiarra, acknowledge: INC-1}\nexpect: []\n", "there is no person chiarra (did you mean chiara?)"),
        (HEAD + "steps:\n  - {at: 1 m, by: chiara, severity: {severity: P1, reson: x}}\nexpect: []\n", "severity has no reson (did you mean reason?)"),
        (HEAD + "steps:\n  - {at: soon, alert: {summary: x}}\nexpect: []\n", "drill.yaml:3: 'soon' is not a duration"),
        (HEAD + "steps:\n  - {alert: {summary: x}}\nexpect: []\n", "a step needs at"),
        (HEAD + "steps:\n  - {at: 0 s, alert: {summary: x, service: paymnts}}\nexpect: []\n", "there is no service paymnts (did you mean payments?)"),
        (HEAD + "steps:\n  - {at: 0 s, alert: {source: pagerduty, body: {event_action: trigger}}}\nexpect: []\n", "pagerduty would refuse this: "),
        (HEAD + "steps: []\nexpect:\n  - {payged: chiara}\n", "did you mean paged?"),
        (HEAD + "steps: []\nexpect:\n  - {missed: acknowlege}\n", "did you mean acknowledge?"),
        (HEAD + "start: monday 09:00\nsteps: []\nexpect: []\n", "drill.yaml:2: 'monday 09:00' is no date and time"),
        (HEAD + "zone: Mars/Olympus\nsteps: []\nexpect: []\n", "drill.yaml:2:"),
        (HEAD + "ends: 1 min\nsteps:\n  - {at: 5 min, alert: {summary: x}}\nexpect: []\n", "the drill ends before its last step"),
        (HEAD + "organisation: {people: {zoe: {nam: Zoe}}}\nsteps: []\nexpect: []\n", "person zoe has no nam (did you mean name?)"),
        (HEAD + "steps: [\n", "this is not valid YAML"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_and_what_to_do(text, said):
    assert any(said in one for one in faults(text)), faults(text)


def test_all_faults_are_said_together():
    text = HEAD + "steps:\n  - {at: 0 s, allert: {}}\n  - {at: x, resolve: k}\nexpect:\n  - {foo: 1}\n"
    assert [one.split(":")[1] for one in faults(text)] == ["3", "4", "6"]


@pytest.mark.parametrize(
    ("expectation", "found"),
    [
        ("{paged: greta, by: 1 min}", "only at 2 min"),
        ("{paged: greta, not_before: 3 min, by: 5 min}", "already at 2 min"),
        ("{paged: chiara, via: sms}", "not paged at all"),
        ("{not_paged: greta}", "at 2 min"),
        ("{told: hugo}", "not told at all"),
        ("{met: acknowledge}", "missed"),
        ("{missed: resolve}", "no miss is recorded"),
        ("{severity: P2}", "it is P1"),
        ("{status: resolved}", "it is investigating"),
        ("{status: resolved, incident: INC-9}", "there is no INC-9; there are INC-1"),
        ("{commander: jonas}", "it is nobody"),
        ("{message: unicorns}", "no message says that"),
        ("{no_message: payments}", "at 0 s"),
        ("{timeline: unicorns}", "no line says that"),
        ("{acknowledged_by: chiara}", "nobody has it"),
        ("{incidents: 2}", "there are 1"),
    ],
)
def test_an_expectation_that_does_not_hold_says_what_happened_instead(expectation, found, migrated_file):
    result = play(ALERT, f"  - {expectation}\n", migrated_file, HEAD + "ends: 6 min\n")
    assert not result.met
    assert found in result.verdicts[0].found
    assert result.verdicts[0].where == "drill.yaml:6"


def test_a_refused_command_fails_the_drill_unless_it_was_expected(migrated_file):
    steps = ALERT + "  - {at: 1 min, by: lena, note: {text: hello}}\n"
    assert not play(steps, "  - {severity: P1}\n", migrated_file).met
    expected = steps.replace("note: {text: hello}", "note: {text: hello}, refused: any responder")
    assert play(expected, "  - {severity: P1}\n", migrated_file).met


def test_times_of_a_command_count_from_its_step(migrated_file):
    steps = ALERT + "  - {at: 9 min, by: chiara, note: {text: it began here, at: -4 min}}\n"
    result = play(steps, "  - {timeline: it began here}\n", migrated_file)
    assert result.met


@pytest.mark.semantics(18)
def test_who_is_deactivated_or_away_is_not_paged(migrated_file):
    steps = "  - {at: 0 s, deactivate: chiara}\n  - {at: 1 s, leave: {person: jonas, for: 2 h}}\n"
    steps += ALERT.replace("0 s", "2 s")
    expect = "  - {not_paged: chiara}\n  - {not_paged: jonas}\n  - {paged: greta, by: 2 s}\n  - {incidents: 1, at: 30 min}\n"
    assert play(steps, expect, migrated_file).met


def test_a_page_that_a_dead_provider_refused_arrives_when_it_is_back_and_once(migrated_file):
    down = [
        f"  - {{at: 0 s, provider_down: {{channel: {name}, for: 90 s}}}}\n" for name in ("console", "sms")
    ]
    steps = "".join(down) + ALERT.replace("0 s", "1 s")
    result = play(steps, "  - {paged: chiara, not_before: 90 s, by: 2 min}\n", migrated_file)
    assert result.met
    arrived = [
        e for e in result.events if e.kind == "message" and e.person == "chiara" and e.at < 118 * SECOND
    ]
    assert len(arrived) == 1


@pytest.mark.semantics(19)
def test_a_killed_process_loses_nothing_that_was_acknowledged(migrated_file):
    steps = ALERT + "  - {at: 1 min, kill: {for: 30 min}}\n"
    expect = "  - {paged: greta, not_before: 31 min, by: 32 min}\n  - {missed: acknowledge, by: 32 min}\n"
    result = play(steps, expect, migrated_file)
    assert [one.found for one in result.verdicts if not one.ok] == []


def test_a_drill_ends_where_it_says_and_jumps_there(migrated_file):
    assert play(ALERT, "  - {severity: P1}\n", migrated_file, HEAD + "ends: 3 min\n").ended == 3 * MINUTE


def test_the_command_lists_and_runs_and_its_exit_code_is_the_verdict(tmp_path):
    runner = CliRunner()
    listed = runner.invoke(drill, ["list"])
    assert listed.exit_code == 0
    assert any(line.split()[0] == "demo" for line in listed.output.splitlines())
    good = tmp_path / "good.yaml"
    good.write_text(f"{HEAD}steps:\n{ALERT}expect:\n  - {{paged: chiara, by: 0 s}}\n")
    bad = tmp_path / "bad.yaml"
    bad.write_text(f"{HEAD}steps:\n{ALERT}expect:\n  - {{not_paged: chiara}}\n")
    assert runner.invoke(drill, ["run", str(good)]).exit_code == 0
    answer = runner.invoke(drill, ["run", str(bad), "--json"])
    assert answer.exit_code == 1
    assert '"met": false' in answer.output


def test_a_drill_plays_against_the_policy_it_is_given(tmp_path):
    from tocsin.policy.load import default_policy_text

    quick = default_policy_text().replace(
        "{after: 2m, targets: [on_call, secondary]}", "{after: 1m, targets: [on_call, secondary]}"
    )
    assert quick != default_policy_text()
    scenario = load_scenario(
        f"{HEAD}ends: 3 min\nsteps:\n{ALERT}expect:\n  - {{paged: greta, by: 1 min}}\n", "drill.yaml"
    )
    assert run(scenario, policy=quick).met
    assert not run(scenario).met
