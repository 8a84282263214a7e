"""The scenarios that come with Tocsin: each is played against the default policy, and each keeps its expectations."""

import subprocess
import sys

import pytest

from tocsin.drill import as_json, find, names, run, table
from tocsin.drill.library import sendings
from tocsin.incidents.organisation import demo_organisation
from tocsin.kernel.errors import NotFound


@pytest.fixture
def blank(migrated_file):
    return migrated_file


@pytest.mark.parametrize("name", names())
def test_a_scenario_of_the_library_keeps_its_expectations(name, blank):
    result = run(find(name), blank=blank)
    assert [f"{one.text}: {one.found}" for one in result.verdicts if not one.ok] == []
    assert len(result.verdicts) >= 5, "a drill that expects little proves little"


def test_the_library_has_the_kinds_of_outage_that_everybody_knows():
    assert "demo" in names() and len(names()) >= 13
    assert all(find(name).title and find(name).story for name in names())


def test_the_demonstration_plays_what_the_scenario_demo_says():
    sent = [(at // 1_000_000, path, body["payload"]["summary"]) for at, path, body in sendings("demo")]
    assert sent == [
        (10, "/v2/change/enqueue", "checkout 2026.11.3 deployed"),
        (50, "/v2/enqueue", "checkout errors at 12 %"),
        (450, "/v2/enqueue", "payments down"),
    ]


@pytest.mark.semantics(12)
def test_the_demonstrations_first_page_goes_unanswered_and_the_chain_climbs(blank):
    result = run(find("demo"), blank=blank)
    pages = [
        (event.at // 1_000_000, event.person)
        for event in result.events
        if event.kind == "message" and event.text.startswith("page") and "payments down" in event.text
    ]
    assert (450, "chiara") in pages and (570, "greta") in pages
    taken = next(event for event in result.events if event.type == "acknowledged")
    assert taken.at > 570 * 1_000_000, "nobody acknowledges before the secondary and the lead are paged"


def test_the_same_drill_gives_the_same_bytes_in_another_process(blank):
    here = as_json(run(find("region-loss"), blank=blank))
    program = "from tocsin.drill import *; print(as_json(run(find('region-loss'))), end='')"
    for hash_seed in ("1", "2"):
        other = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True,
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
        )  # fmt: skip
        assert other.stdout == here


def test_another_seed_changes_ids_and_jitter_but_not_who_is_paged(blank):
    one, two = (run(find("demo"), blank=blank, seed=seed) for seed in ("1", "2"))
    paged = [[(e.at, e.person) for e in result.events if e.kind == "message"] for result in (one, two)]
    assert sorted(paged[0]) == sorted(paged[1])
    assert one.met and two.met


def test_the_table_says_when_who_what_and_each_verdict(blank):
    text = table(run(find("demo"), blank=blank))
    assert "0:07:30  several   page by console to Chiara Conti: P1 INC-2: payments down and 1 more" in text
    assert "Acknowledge (on-call engineer): MISSED, met late" in text
    assert text.endswith("expectations met: as it should be\n")
    assert max(map(len, text.splitlines())) <= 118


def test_an_unknown_scenario_names_the_nearest():
    with pytest.raises(NotFound, match=r"database-failovr \(did you mean database-failover\?\)"):
        find("database-failovr")


def test_the_people_of_a_drill_are_the_demonstrations_until_it_changes_them():
    scenario = find("email-provider-down")
    changed = {one.id: one for one in scenario.organisation(scenario.start).people}
    demo = {one.id: one for one in demo_organisation(scenario.start).people}
    assert [contact.kind for contact in changed["hugo"].contacts] == ["email", "sms"]
    assert changed["hugo"].name == demo["hugo"].name
    assert changed["anna"] == demo["anna"]
