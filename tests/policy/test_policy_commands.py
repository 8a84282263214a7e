"""``tocsin policy`` as its users meet it: what it prints, and with which exit code it ends."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from tocsin.app import build
from tocsin.catalogue.people import Contact, Person
from tocsin.catalogue.services import Service
from tocsin.catalogue.teams import Team
from tocsin.cli import cli
from tocsin.incidents.directory import OrganisationSettings
from tocsin.incidents.organisation import record_of
from tocsin.kernel.errors import NotFound, Unusable, UnusableMany
from tocsin.oncall.rotations import Rotation
from tocsin.oncall.schedules import Schedule
from tocsin.policy.load import default_policy_text
from tocsin.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = default_policy_text()


def run(*arguments, fails=None):
    answer = CliRunner().invoke(cli, ["policy", *(str(one) for one in arguments)])
    if fails is not None:
        assert isinstance(answer.exception, fails), answer.output
        return str(answer.exception)
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes the default policy with some passages in other words; the working folder is empty otherwise."""
    monkeypatch.chdir(tmp_path)

    def write(name, *changes):
        text = TEXT
        for right, wrong in changes:
            assert right in text
            text = text.replace(right, wrong, 1)
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


# check


def test_a_clean_policy_without_people_says_what_was_not_decided(written):
    answer = run("check", written("policy.yaml"))
    assert answer.exit_code == 0
    assert "policy.yaml: nothing found" in answer.output
    assert "no people were given: whether pages reach somebody was not decided" in answer.output


def test_findings_stand_with_both_lines_and_end_with_1(written):
    path = written("policy.yaml", ("acknowledge: 30m", "acknowledge: 90m"), ("  draft: 72h", "  draft: 24h"))
    answer = run("check", path)
    assert answer.exit_code == 1
    lines = path.read_text().splitlines()
    one, other = (lines.index(f"    {text}") + 1 for text in ("acknowledge: 90m", "respond: 1h"))
    found = next(line for line in answer.output.splitlines() if "[acknowledge_after_respond]" in line)
    assert f"policy.yaml:{one}: error: P2 has 90m to acknowledge but only 1h to respond" in found
    assert found.endswith(f"(see also line {other}) [acknowledge_after_respond]")
    assert "2 findings" in answer.output


def test_a_file_that_cannot_be_read_ends_with_2_and_all_its_faults(written):
    path = written(
        "policy.yaml",
        ("acknowledge: 30m", "acknowlege: 30m"),
        ("review_every: 1 quarter", "review: 1 quarter"),
    )
    answer = subprocess.run(
        [sys.executable, "-m", "tocsin.cli", "policy", "check", str(path)], capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert "did you mean 'acknowledge'?" in answer.stderr
    assert "lacks the key 'review_every'" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "cannot be read" in run("check", path.parent / "gone.yaml", fails=Unusable)


@pytest.mark.guide("SEV-5", "COM-3")
def test_the_demonstrations_people_prove_clean(written):
    answer = run(
        "check", written("policy.yaml"), "--organisation", "demo", "--weeks", "26", "--from", "2026-03-02"
    )
    assert answer.exit_code == 0, answer.output
    assert re.search(
        r"proved: for 26 weeks every page of P1, P2, P3 and P4 reaches somebody in time, for 9 services \([\d,]+ stretches",
        answer.output,
    )


MAIL_ONLY = """\
commander_schedule: s
default_team: t
people:
  ann: {name: Ann, email: ann@x.example, contacts: [{kind: email, address: ann@x.example, tested: true}], org_roles: [cto, communication_lead, customer_liaison, public_relations, security, product_manager]}
  bob: {name: Bob, email: bob@x.example, contacts: [{kind: email, address: bob@x.example, tested: true}], org_roles: [ceo]}
teams:
  t: {name: Team, members: [ann, bob], schedule: s, engineering_lead: ann, engineering_manager: bob}
services:
  shop: {name: Shop, team: t}
schedules:
  s: {rotations: [{members: [ann, bob], start: monday -4 weeks 09:00, every: 1 week}]}
"""


@pytest.mark.semantics(15)
def test_an_installation_with_mail_alone_is_shown_its_counterexample_first(written, tmp_path):
    people = tmp_path / "people.yaml"
    people.write_text(MAIL_ONLY)
    answer = run(
        "check", written("policy.yaml"), "--organisation", people, "--from", "2026-03-02", "--weeks", "2"
    )
    assert answer.exit_code == 1
    assert "people.yaml: error: a P1 will not wake Ann" in answer.output
    first = next(line for line in answer.output.splitlines() if line.startswith("NOT PROVED"))
    assert first.startswith(
        "NOT PROVED: P1 on an alert that names no service, opened 2026-03-02T00:00:00Z: nobody is reached who could respond within 5m. step 1"
    )
    shown = json.loads(
        run(
            "check",
            written("policy.yaml"),
            "--organisation",
            people,
            "--from",
            "2026-03-02",
            "--weeks",
            "2",
            "--json",
        ).output
    )
    assert shown["clean"] is False and shown["findings"] == []
    proof = shown["people"]["proof"]
    assert proof["proved"] is False and proof["weeks"] == 2
    counter = proof["counterexamples"][0]
    assert (counter["severity"], counter["opened"], counter["steps"][0]["people"]) == (
        "P1",
        "2026-03-02T00:00:00Z",
        ["bob"],
    )


def test_json_carries_lines_for_programs(written):
    path = written("policy.yaml", ("  draft: 72h", "  draft: 24h"))
    shown = json.loads(run("check", path, "--json").output)
    (finding,) = shown["findings"]
    lines = path.read_text().splitlines()
    assert "root_cause: 48h" in lines[finding["line"] - 1]
    assert "draft: 24h" in lines[finding["also_line"] - 1]
    assert shown["people"] is None


def installation(folder):
    """A data folder with people who have mail and a telephone each, and no server running."""
    tocsin = build(Settings(data=str(folder)))
    contacts = (Contact("m", "email", "m@x.example", tested_at=1), Contact("n", "ntfy", "topic", tested_at=1))
    roles = (
        "cto",
        "communication_lead",
        "customer_liaison",
        "public_relations",
        "security",
        "product_manager",
    )
    people = [
        Person("ann", "Ann", contacts=contacts, org_roles=roles), Person("bob", "Bob", contacts=contacts, org_roles=("ceo", "cto")),
        Person("cat", "Cat", contacts=contacts, org_roles=("ceo",)),
    ]  # fmt: skip
    rotation = Rotation("r", ("ann", "bob", "cat"), "2026-01-05T09:00", "UTC", 1, "weeks")
    records = [
        OrganisationSettings(commander_schedule="s", default_team="t"), *people, Schedule("s", "S", (rotation,), secondary_offset=1),
        Team("t", "T", ("ann", "bob"), "s", engineering_lead="ann", engineering_manager="bob"), Service("shop", "Shop", team="t"),
    ]  # fmt: skip
    tocsin.engine.put_records([record_of(one, 1) for one in records])
    tocsin.close()


def test_people_come_from_a_data_folder_and_only_its_own_channels_count(written, tmp_path, monkeypatch):
    installation(tmp_path / "data")
    before = {path: path.read_bytes() for path in (tmp_path / "data").iterdir() if path.suffix != ".db-shm"}
    monkeypatch.setenv("TOCSIN_SMTP_HOST", "mail.example")
    answer = run("check", "--data", tmp_path / "data", "--weeks", "1")
    assert answer.exit_code == 1
    assert "the policy in force" in answer.output or "NOT PROVED" in answer.output
    assert "a P1 will not wake Ann" in answer.output  # there is no push server here
    monkeypatch.setenv("TOCSIN_NTFY_SERVER", "https://ntfy.example")
    answer = run("check", "--data", tmp_path / "data", "--weeks", "1")
    assert answer.exit_code == 1  # everybody has the one push server alone
    assert "if the push server is down, nobody is reached who could respond" in answer.output
    after = {path: path.read_bytes() for path in before}
    assert after == before  # it was only read


def test_an_installation_that_is_not_there_is_said(written, tmp_path):
    assert "there is no database in" in run("check", "--data", tmp_path / "nowhere", fails=NotFound)
    assert not (tmp_path / "nowhere").exists()
    answer = CliRunner().invoke(cli, ["policy", "check", "--organisation", "demo", "--data", "x"])
    assert answer.exit_code == 2


# show, diff


def test_show_prints_the_default_or_a_file_that_can_be_used(written):
    assert run("show").output == TEXT
    path = written("policy.yaml", ("title: Incident", "title: An incident"))
    assert run("show", path).output == path.read_text()
    path.write_text("nothing: here\n")
    run("show", path, fails=UnusableMany)


def test_diff_says_what_changes_group_by_group_and_ends_with_1(written):
    new = written(
        "new.yaml", ("{after: 2m, targets: [on_call, secondary]}", "{after: 3m, targets: [on_call, secondary]}"), ("reason: nobody can pay", "reason: no money"),
    )  # fmt: skip
    answer = run("diff", "default", new)
    assert answer.exit_code == 1
    assert answer.output.splitlines() == [
        "Paging",
        "  P1: the on-call engineer is paged at once and after 3 minutes instead of at once and after 2 minutes",
        "  P1: the secondary on-call engineer is paged after 3 minutes instead of after 2 minutes",
        "",
        "Words alone",
        "  the reason of the rule 'payments down' reads 'no money' instead of 'nobody can pay'",
    ]
    shown = json.loads(run("diff", "default", new, "--json").output)
    assert shown["same"] is False and len(shown["behaviour"]) == 2 and shown["people"] is None


def test_diff_of_what_is_only_written_otherwise_ends_with_0(written):
    new = written("new.yaml", ("resolve: 4h\n", "resolve: 240m   # four hours\n"))
    answer = run("diff", "default", new)
    assert answer.exit_code == 0
    assert "nothing changes for people" in answer.output
    assert "only in how they are written" in answer.output
    assert run("diff", "default", "default").output == "nothing changes for people\n"


def test_diff_with_people_names_them_and_the_hours_of_the_week(written, tmp_path):
    demo = (ROOT / "src/tocsin/incidents/demo_organisation.yaml").read_text()
    hole = demo.replace(
        "        members: [bilal, chiara, greta]\n        start: monday -4 weeks 09:00\n        every: 1 week\n",
        "        members: [bilal, chiara, greta]\n        start: monday -4 weeks 09:00\n        every: 1 week\n"
        "        restrict:\n          - {days: [sun, mon, tue, wed, thu, fri]}\n          - {days: [sat], to: '02:00'}\n          - {days: [sat], from: '06:00'}\n",
    )
    assert hole != demo
    (tmp_path / "old.yaml").write_text(demo)
    (tmp_path / "new.yaml").write_text(hole)
    same = written("policy.yaml")
    people = (
        "--organisation",
        tmp_path / "old.yaml",
        "--organisation",
        tmp_path / "new.yaml",
        "--from",
        "2026-03-02",
    )
    answer = run("diff", same, same, *people)
    assert answer.exit_code == 1
    assert re.search(
        r"^  Saturdays 02:00–06:00: Checkout and Payments page nobody for P4 \(before: .*\)$",
        answer.output,
        re.MULTILINE,
    )
    assert run("diff", same, same, "--organisation", tmp_path / "old.yaml").exit_code == 0
    shown = json.loads(run("diff", same, same, *people, "--json").output)
    assert {one["when"] for one in shown["people"]} >= {"Saturdays 02:00–06:00"}


# test, guide


def test_the_example_of_the_documentation_passes():
    answer = run("test", ROOT / "docs/policy-tests-example.yaml")
    assert answer.exit_code == 0, answer.output
    *cases, summary = answer.output.splitlines()
    assert all(line.startswith("ok      ") for line in cases)
    assert summary == f"{len(cases)} of {len(cases)} cases as expected of the default policy"


def test_a_case_that_is_not_as_expected_says_what_was_found_and_where(written):
    slower = written("slower.yaml", ("    respond: 15m ", "    respond: 20m "))
    answer = run("test", ROOT / "docs/policy-tests-example.yaml", "--policy", slower)
    assert answer.exit_code == 1
    failed = [line for line in answer.output.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 1
    assert "respond is due Saturday 2026-03-07 03:20, expected Saturday 2026-03-07 03:15" in failed[0]
    assert re.search(r"\(.*policy-tests-example\.yaml:\d+\)$", failed[0])
    shown = json.loads(
        run("test", ROOT / "docs/policy-tests-example.yaml", "--policy", slower, "--json").output
    )
    assert shown["met"] is False
    assert sum(1 for one in shown["cases"] if not one["ok"]) == 1


def test_a_file_of_cases_that_cannot_be_used_ends_with_2(written, tmp_path):
    (tmp_path / "cases.yaml").write_text("severities:\n  - {given: {sumary: x}, expect: P1}\n")
    assert "cases.yaml:2: there is no fact 'sumary'" in run(
        "test", tmp_path / "cases.yaml", fails=UnusableMany
    )
    assert "cannot be read" in run("test", tmp_path / "gone.yaml", fails=Unusable)


@pytest.mark.guide("GOV-2")
def test_the_guide_is_of_the_file_else_of_the_policy_in_force_else_of_the_default(written, tmp_path):
    assert run("guide").output.startswith("# Incident response policy\n")
    path = written("own.yaml", ("title: Incident response policy", "title: Our way"))
    assert run("guide", path).output.startswith("# Our way\n")
    page = run("guide", path, "--html").output
    assert page.startswith("<!doctype html>") and "<title>Our way</title>" in page
    tocsin = build(Settings(data=str(tmp_path / "data"), policy=str(path)))
    tocsin.close()
    text = run("guide", "--data", tmp_path / "data").output
    assert text.startswith("# Our way\n")
    assert re.search(r"In force since \d{4}-\d\d-\d\d\.", text)
