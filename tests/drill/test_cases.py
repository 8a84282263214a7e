"""An owner's own cases: strict with file and line, and a failure says what was found."""

import pytest

from tocsin.drill.cases import load_cases
from tocsin.drill.cases_run import run_cases
from tocsin.kernel.errors import UnusableMany
from tocsin.policy.load import default_policy_text

PEOPLE = "organisation: demo\n"


def faults(text, filename="cases.yaml"):
    with pytest.raises(UnusableMany) as caught:
        load_cases(text, filename)
    return [f"{fault.where}: {fault.sentence}" for fault in caught.value.faults]


def outcomes(text, policy=None):
    return [(one.ok, one.found) for one in run_cases(load_cases(text, "cases.yaml", policy))]


def only(text, policy=None):
    found = outcomes(text, policy)
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no case"),
        ("sevrities: []\n", "cases.yaml:1: a file of cases has no sevrities (did you mean severities?)"),
        ("severities:\n  - {given: {summary: x}}\n", "cases.yaml:2: a case of severities needs expect"),
        ("severities:\n  - {given: {sumary: x}, expect: P1}\n", "there is no fact 'sumary' (did you mean summary?)"),
        ("severities:\n  - {given: {latency_ms: fast}, expect: P1}\n", "latency_ms must be a whole number"),
        ("severities:\n  - {given: {summary: x}, expect: P5}\n", "expect must be one of"),
        ("severities:\n  - {given: {summary: x}, expect: P1, rule: payment down}\n", "did you mean payments down?"),
        ("due:\n  - {severity: P1, opened: soon, respond: 15m}\n", "cases.yaml:2: 'soon'"),
        ("due:\n  - {severity: P1, opened: monday 10:00}\n", "a case of due needs one of"),
        ("due:\n  - {severity: P1, opened: monday 10:00, draft: 72h}\n", "give resolved"),
        ("due:\n  - {severity: P3, opened: monday 10:00, respond: 4h, calendar: ofice}\n", "did you mean office?"),
        ("due:\n  - {severity: P3, opened: monday 10:00, respond: 4h, type: dta}\n", "did you mean data?"),
        ("paged:\n  - {severity: P1, opened: monday 10:00, pages: {anna: 0m}}\n", "give the file an organisation"),
        (PEOPLE + "paged:\n  - {severity: P1, opened: monday 10:00, pages: {ana: 0m}}\n", "did you mean anna?"),
        (PEOPLE + "paged:\n  - {severity: P1, opened: monday 10:00, pages: {anna: soon}}\n", "'soon' is not a duration"),
        (PEOPLE + "paged:\n  - {severity: P1, service: paymnts, opened: monday 10:00, pages: {anna: 0m}}\n", "there is no service paymnts (did you mean payments?)"),
        (PEOPLE + "paged:\n  - {opened: monday 10:00, pages: {anna: 0m}}\n", "needs either severity"),
        (PEOPLE + "paged:\n  - {severity: P1, opened: monday 10:00}\n", "needs pages, tells or never"),
        ("organisation: nowhere.yaml\nseverities:\n  - {given: {summary: x}, expect: P2}\n", "cases.yaml:1: there is no file nowhere.yaml"),
        ("organisation: {people: {zoe: {nam: Zoe}}}\nseverities:\n  - {given: {summary: x}, expect: P2}\n", "person zoe has no nam"),
        ("drills: [databse-failover]\n", "did you mean database-failover?"),
        ("zone: Mars/Olympus\nseverities: []\n", "cases.yaml:1:"),
        ("week: monday\nseverities: []\n", "write week like 2026-03-02"),
        ("severities: [\n", "this is not valid YAML"),
    ],
)  # fmt: skip
def test_a_fault_names_its_line_and_what_to_do(text, said):
    assert any(said in one for one in faults(text)), faults(text)


def test_all_faults_are_said_together():
    text = "severities:\n  - {given: {sumary: x}, expect: P1}\ndue:\n  - {severity: P9, opened: monday 10:00, respond: 4h}\n"
    assert [one.split(":")[1] for one in faults(text)] == ["2", "4"]


def test_a_policy_that_cannot_be_used_is_said_with_its_own_lines(tmp_path):
    (tmp_path / "policy.yaml").write_text(
        default_policy_text().replace("acknowledge: 5m", "acknowlege: 5m", 1)
    )
    text = "policy: policy.yaml\nseverities:\n  - {given: {summary: x}, expect: P2}\n"
    said = faults(text, str(tmp_path / "cases.yaml"))
    assert any("policy.yaml:" in one and "did you mean 'acknowledge'?" in one for one in said)
    assert "cannot be read" in faults("policy: gone.yaml\nseverities: []\n")[0]


@pytest.mark.guide("SEV-6")
@pytest.mark.semantics(5)
def test_a_severity_case_fails_with_what_was_proposed_and_why():
    given = "severities:\n  - {given: {summary: payments down}, expect: "
    assert only(given + "P1}\n") == (True, "")
    assert only(given + "P2}\n") == (False, "it is P1 by 'payments down'")
    assert only(given + "P1, rule: full outage}\n") == (False, "it is P1 by 'payments down'")
    assert only(given + "P1, also: [late e-mail]}\n") == (
        False,
        "'late e-mail' did not fire too; nothing else did",
    )
    nothing = "severities:\n  - {given: {summary: odd}, expect: P2, rule: "
    assert only(nothing + "none}\n") == (True, "")
    assert only(nothing + "full outage}\n") == (False, "it is P2 (no rule matched)")


@pytest.mark.semantics(26)
def test_a_due_time_fails_with_the_one_that_was_found():
    case = "due:\n  - {severity: P3, opened: friday 16:30, respond: "
    assert only(case + "monday 12:30}\n") == (True, "")
    assert only(case + "2026-03-09 12:30}\n") == (True, "")
    assert only(case + "68h}\n") == (True, "")
    assert only(case + "monday 12:00}\n") == (
        False, "respond is due Monday 2026-03-09 12:30, expected Monday 2026-03-09 12:00",
    )  # fmt: skip


def test_weekdays_belong_to_the_week_and_the_zone_of_the_file():
    case = "zone: Europe/Berlin\nweek: 2026-10-19\ndue:\n  - {severity: P1, opened: sunday 01:30, resolve: "
    assert only(case + "sunday 04:30}\n") == (True, "")  # that night has an hour more
    found = only(case + "sunday 06:30}\n")
    assert found == (False, "resolve is due Sunday 2026-10-25 04:30, expected Sunday 2026-10-25 06:30")


@pytest.mark.semantics(28, 29)
def test_what_is_not_owed_is_said():
    case = "due:\n  - {severity: P3, opened: monday 10:00, resolved: monday 12:00, draft: 72h"
    assert only(case + "}\n") == (False, "no draft is owed")
    assert only(case + ", type: data}\n") == (True, "")


@pytest.mark.guide("COM-3")
@pytest.mark.semantics(12)
def test_who_is_paged_is_what_the_engine_does():
    case = PEOPLE + "paged:\n  - {severity: P1, service: payments, opened: saturday 03:00, pages: "
    assert only(case + "{chiara: 0m, greta: 2m}}\n") == (True, "")
    assert only(case + "{chiara: 1m, farid: 0m}}\n") == (
        False, "chiara is paged at 0m, expected 1m; farid is not paged within 60m",
    )  # fmt: skip
    assert only(case + "{chiara: 0m}, within: 2m, only: true}\n") == (
        False, "paged too: jonas at 0m, greta at 2m",
    )  # fmt: skip


@pytest.mark.semantics(13)
def test_who_is_told_and_who_is_left_alone():
    alert = (
        PEOPLE
        + "paged:\n  - {alert: {summary: payments down, service: payments}, opened: saturday 03:00, within: 10m, "
    )
    assert only(alert + "tells: {kavya: 5m, lena: 5m}}\n") == (True, "")
    assert only(alert + "tells: {kavya: 0m}}\n") == (False, "kavya is told at 5m, expected 0m")
    assert only(alert + "never: [chiara]}\n") == (False, "chiara is paged at 0m")
    assert only(alert + "never: [lena]}\n") == (True, "")


def test_people_may_be_changed_in_place():
    text = "organisation: {teams: {payments: {engineering_lead: bilal}}}\n" + (
        "paged:\n  - {severity: P1, service: payments, opened: saturday 03:00, pages: {bilal: 5m}}\n"
    )
    assert only(text) == (True, "")


def test_a_drill_is_run_against_the_policy_of_the_file(tmp_path):
    slow = tmp_path / "slow.yaml"
    slow.write_text(
        default_policy_text().replace(
            "{after: 2m, targets: [on_call, secondary]}", "{after: 4m, targets: [on_call, secondary]}"
        )
    )
    text = "drills: [demo]\n"
    assert only(text) == (True, "")
    ok, found = only(text, slow)
    assert not ok
    assert "Greta Lind is paged in INC-2" in found and "only at" in found


def test_a_drill_may_stand_beside_the_file(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "title: own\nsteps:\n  - {at: 0 s, alert: {summary: payments down, service: payments}}\nexpect:\n  - {not_paged: chiara}\n"
    )
    cases = load_cases("drills: [own.yaml]\n", str(tmp_path / "cases.yaml"))
    (outcome,) = run_cases(cases)
    assert (outcome.name, outcome.ok) == ("drill own: own", False)
    assert outcome.found.startswith("Chiara Conti is not paged: at 0 s")
    assert "own.yaml:5" in outcome.found
