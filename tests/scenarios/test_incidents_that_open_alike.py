"""A storm: what the rules make of one incident is written for those that open alike, and nobody can tell the difference."""

import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.alerts.matchers import Matcher
from tocsin.alerts.routing import Route
from tocsin.alerts.shape import Alert, Change
from tocsin.alerts.silences import Silence
from tocsin.drill.stage import INTEGRATION, Stage
from tocsin.engine import alike
from tocsin.engine.work import Work, read_incident
from tocsin.incidents.organisation import demo_organisation
from tocsin.kernel.clock import HOUR, MINUTE, parse_instant
from tocsin.kernel.codec import encode
from tocsin.kernel.facts import SYSTEM
from tocsin.kernel.ports import RecordRow
from tocsin.policy.load import default_policy_text

STARTS = ("2026-03-03T10:00:00Z", "2026-03-08T03:00:00Z", "2026-03-06T16:55:00Z")
"""a working morning, a Sunday night, and minutes before a weekend"""
SERVICES = ("payments", "database", "checkout", "api", "", "inc-1")
SAYINGS = (
    "payments down",
    "slow reports",
    "INC-2 and INC-3 once more",
    "checkout errors at 12 %",
    'a "title" \\ 01J',
)
ROOMS = (
    "",
    "https://meet.example/{incident}",
    "https://meet.example/inc-1/{incident}",
    "room 4",
    "{incident}",
)

alerts = st.builds(
    lambda number, severity, service, words, kind: Alert(
        "trigger", f"k{number}", f"{words} {number}" if number % 2 else words, severity, service=service,
        labels={"group": str(number % 7)} | ({"type": kind} if kind else {}),
    ),
    st.integers(0, 30), st.sampled_from(("critical", "error", "warning", "info", "")), st.sampled_from(SERVICES),
    st.sampled_from(SAYINGS), st.sampled_from(("", "", "", "security", "performance")),
)  # fmt: skip


def stage(folder, start, room, policy=""):
    def organisation(now):
        one = demo_organisation(now)
        return msgspec.structs.replace(one, settings=msgspec.structs.replace(one.settings, war_room=room))

    one = Stage(
        folder, organisation=organisation, policy=policy or default_policy_text(), start=parse_instant(start)
    )
    apart = Route("apart", "each by its own group", [Matcher("group", ".+", regex=True)], group_by=["group"])
    one.engine.put_records([RecordRow("route", apart.id, "", encode(apart), one.clock.now())])
    one.receive([], [Change("a new release of payments", service="payments", at=one.clock.now())])
    return one


def everything(one):
    """Every row of the database, but for the words of the full-text index."""
    one.close()
    with sqlite3.connect(one.folder / "tocsin.db") as database:
        return [line for line in database.iterdump() if "sqlite_" not in line]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(alerts, min_size=1, max_size=14), min_size=1, max_size=3),
    st.sampled_from(STARTS),
    st.sampled_from(ROOMS),
)
def test_a_batch_leaves_the_same_bytes_as_if_each_incident_had_been_worked_out(batches, start, room):
    left = []
    for likeness in (alike.likeness, lambda declared, first: None):
        with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(alike, "likeness", likeness)
            one = stage(Path(folder), start, room)
            for batch in batches:
                one.receive(batch)
                one.run_to(one.now + 7 * MINUTE)
            one.run_to(one.now + HOUR)
            left.append(everything(one))
    assert left[0] == left[1]


def test_a_storm_asks_the_rules_once(tmp_path, monkeypatch):
    worked_out = []
    create = Work.create
    monkeypatch.setattr(
        Work, "create", lambda work, declared: worked_out.append(declared.title) or create(work, declared)
    )
    one = stage(tmp_path, STARTS[0], ROOMS[1])
    storm = [
        Alert(
            "trigger", f"k{n}", f"payments down {n}", "critical", service="payments", labels={"group": str(n)}
        )
        for n in range(50)
    ]
    one.receive(storm)
    assert worked_out == ["payments down 0"]
    rooms = one.engine.store.read(lambda r: [read_incident(r, row).war_room for row in r.streams("incident")])
    assert sorted(rooms) == sorted(f"https://meet.example/inc-{n}" for n in range(1, 51))
    one.close()


def test_what_is_named_like_the_incident_keeps_its_own_name(tmp_path):
    """The rules' reason says INC-1, which is also the number of the first of the storm."""
    policy = default_policy_text().replace("nobody can pay", "as in INC-1, nobody can pay")
    one = stage(tmp_path, STARTS[0], "", policy)
    one.receive(
        [
            Alert(
                "trigger", f"k{n}", "payments down", "critical", service="payments", labels={"group": str(n)}
            )
            for n in range(3)
        ]
    )
    reasons = one.engine.store.read(
        lambda r: [
            run.reason
            for row in r.streams("incident")
            for run in read_incident(r, row).runs.values()
            if run.kind == "responders"
        ]
    )
    assert len(reasons) == 3
    assert len(set(reasons)) == 1 and "as in INC-1," in reasons[0]
    one.close()


def test_a_change_that_comes_meanwhile_is_noted_by_what_opens_after_it(tmp_path):
    one = stage(tmp_path, STARTS[0], "")

    def fire(number):
        return Alert(
            "trigger", f"k{number}", "api down", "critical", service="api", labels={"group": str(number)}
        )

    def work(tx):
        unit = one.engine.work(tx, SYSTEM)
        one.engine.take_in(unit, INTEGRATION, [fire(1), fire(2)])
        release = Change("a release of the api", service="api", at=one.clock.now())
        one.engine.take_in(unit, INTEGRATION, [fire(3), fire(4)], [release])

    one.engine.submit(work).result()
    changes = one.engine.store.read(
        lambda r: {row.number: read_incident(r, row).change for row in r.streams("incident")}
    )
    assert [bool(changes[number]) for number in (1, 2, 3, 4)] == [False, False, True, True]
    one.close()


def test_looking_ahead_leaves_silences_their_share_of_the_steps(tmp_path):
    """A batch whose expressions take too long: what can be asked is asked alert by alert, routes and silences alike."""
    one, now = stage(tmp_path, STARTS[0], ""), parse_instant(STARTS[0])
    slow = "[a-z]*[a-z]*[b-y]*0"
    routes = [Route(f"r{n}", "slow", [Matcher("a", slow, regex=True)], group_by=["group"]) for n in range(3)]
    silence = Silence(
        id="s", matchers=[Matcher("b", "[a-z]*[a-z]*[a-z]*z", regex=True)], starts_at=now, ends_at=now + HOUR, reason="quiet", author="anna",
    )  # fmt: skip
    rows = [RecordRow("route", route.id, "", encode(route), now) for route in routes]
    one.engine.put_records([*rows, RecordRow("silence", "s", "", encode(silence), now)])
    labels = {"a": "q" * 46, "b": "z" * 46}
    batch = [
        Alert("trigger", f"k{n}", "slow", "warning", service="payments", labels=labels) for n in range(400)
    ]
    quiet = [outcome for outcome in one.receive(batch) if "silenced by anna" in outcome.reason]
    assert 200 < len(quiet) < 400
    one.close()
