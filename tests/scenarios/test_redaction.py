"""Somebody pasted a password into an incident. It goes, and the record still proves itself."""

from contextlib import closing

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.engine.sealing import check_export, check_stream, export
from tocsin.engine.work import find_row, read_incident
from tocsin.incidents.folding import refold
from tocsin.kernel.clock import DAY, MINUTE, SECOND
from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Forbidden, NotFound, Refused
from tocsin.kernel.ports import RecordRow, RequestRow
from tocsin.store.sqlite import driver

SECRET = "hunter2-correct-horse"
OWNER = "anna"


def row(world, name="INC-1"):
    return world.store.read(lambda r: find_row(r, name))


def facts(world, name="INC-1"):
    return world.store.read(lambda r: r.facts(row(world, name).stream))


def fact_with(world, text, name="INC-1"):
    return next(fact for fact in facts(world, name) if fact.body and text.encode() in fact.body)


def everything_kept(world):
    """All that the store holds of the incident: facts, the stored view, its list row and search."""
    found = row(world)
    return b"".join(
        [
            *(fact.body or b"" for fact in facts(world)),
            bytes(found.snapshot),
            found.title.encode(),
            found.search.encode(),
        ]
    )


@pytest.fixture
def incident(tmp_path):
    world = World(tmp_path)
    world.do(
        "bilal", c.Declare(f"login {SECRET} fails", "P3", summary="the job cannot sign in", services=["api"])
    )
    world.do("bilal", c.PostUpdate("INC-1", f"tried {SECRET}, no luck"))
    world.do("bilal", c.AddNote("INC-1", f"the password is {SECRET}"))
    yield world
    world.store.close()


def test_what_was_pasted_goes_from_record_view_list_search_and_file(incident, tmp_path):
    for fact in [fact for fact in facts(incident) if SECRET.encode() in (fact.body or b"")]:
        incident.do(OWNER, c.Redact("INC-1", fact.id, "a password"))
    assert SECRET.encode() not in everything_kept(incident)
    assert row(incident).title == "[redacted]"
    incident.store.close()
    left = [
        file.name for file in tmp_path.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()
    ]
    assert left == [], "nor does the file keep it in pages it no longer uses"


def test_the_chain_the_export_and_the_fold_hold_afterwards(incident):
    incident.do(OWNER, c.Redact("INC-1", str(fact_with(incident, "the password is").version), "a password"))
    found = row(incident)
    assert incident.store.read(lambda r: check_stream(r, found, b"k" * 32)).flaw == ""
    assert incident.store.read(lambda r: read_incident(r, found)) == refold(found.stream.id, facts(incident))
    data = incident.store.read(lambda r: export(r, found, b"k" * 32, incident.clock.now()))
    assert check_export(data, "export").flaw == ""
    assert SECRET.encode() not in data[data.index(b"the password") :] if b"the password" in data else True


def test_a_text_that_changed_without_a_redaction_is_still_a_flaw(incident):
    found, note = row(incident), fact_with(incident, "the password is")
    incident.store.write(lambda tx: tx.redact(found.stream, note.id, b'{"text":"we did nothing wrong"}'))
    flaw = incident.store.read(lambda r: check_stream(r, found, b"k" * 32)).flaw
    assert f"fact {note.version}" in flaw and "its body was changed" in flaw


def test_a_promise_that_was_kept_stays_kept_though_its_words_are_gone(incident):
    before = incident.store.read(lambda r: read_incident(r, row(incident)))
    incident.do(OWNER, c.Redact("INC-1", fact_with(incident, "tried").id, "a password"))
    after = incident.store.read(lambda r: read_incident(r, row(incident)))
    assert (after.last_update_at, after.severity, after.status) == (
        before.last_update_at,
        before.severity,
        before.status,
    )


def test_only_an_owner_may_and_says_why(incident):
    note = fact_with(incident, "the password is")
    with pytest.raises(Forbidden, match="owner"):
        incident.do("bilal", c.Redact("INC-1", note.id, "a password"))
    with pytest.raises(NotFound, match="has no fact"):
        incident.do(OWNER, c.Redact("INC-1", "4711", "a password"))
    incident.do(OWNER, c.Redact("INC-1", note.id, "a password"))
    with pytest.raises(Refused, match="holds no words that are left"):
        incident.do(OWNER, c.Redact("INC-1", note.id, "a password"))


def test_an_action_item_is_redacted_too(incident):
    incident.do("bilal", c.AddAction("INC-1", f"rotate {SECRET}", "bilal", "the old one is refused"))
    incident.do(OWNER, c.Redact("ACT-1", "1", "a password"))
    item = incident.store.read(lambda r: r.stream_by_number("ACT", 1))
    assert SECRET.encode() not in bytes(item.snapshot) + item.title.encode() + item.search.encode()
    assert item.title == "[redacted]"


# copies


def all_that_is_kept(world, tmp_path):
    """Table and column of everything in the database that holds the secret."""
    found = set()
    with closing(driver.connect(tmp_path / "tocsin.db")) as base:
        for (table,) in base.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            rows = base.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in rows.description]
            for row in rows:
                for name, value in zip(names, row, strict=True):
                    text = value if isinstance(value, bytes) else str(value).encode()
                    if SECRET.encode() in text:
                        found.add((table, name))
    return found


@pytest.fixture
def world(tmp_path):
    one = World(tmp_path)
    yield one
    one.store.close()


def test_what_the_machine_copied_goes_with_it_and_what_waits_says_it_no_more(world, tmp_path):
    world.alert()
    world.run(SECOND)
    world.do("jonas", c.Acknowledge("INC-1"))
    world.do("jonas", c.SetSeverity("INC-1", "P2", f"only those who sign in with {SECRET}"))
    assert ("outbox", "payload") in all_that_is_kept(world, tmp_path)
    world.do(OWNER, c.Redact("INC-1", fact_with(world, "only those").id, "a password"))
    world.run(MINUTE)
    assert all_that_is_kept(world, tmp_path) == set()
    assert any("lowered from P1 to P2" in one.text for one in world.phone.messages)
    assert not any(SECRET in one.text for one in world.phone.messages)
    assert world.store.read(lambda r: check_stream(r, row(world), b"k" * 32)).flaw == ""
    assert world.store.read(lambda r: read_incident(r, row(world))) == refold(
        row(world).stream.id, facts(world)
    )


def test_an_alerts_words_go_from_its_row_the_merged_incident_and_the_request_that_brought_it(world, tmp_path):
    integration = RecordRow("integration", "i1", "", encode(world.integration), world.clock.now())
    world.engine.put_records([integration])
    request = RequestRow(
        "r1", "i1", world.clock.now(), 202, "1 alert", f'{{"summary":"payments down for {SECRET}"}}'.encode()
    )
    world.store.write(lambda tx: tx.put_request(request))
    world.alert(f"payments down for {SECRET}")
    world.do("anna", c.Declare("nobody can pay", "P1", services=["payments"]))
    world.do("anna", c.Merge("INC-1", "INC-2", "one cause"))
    world.run(SECOND)
    for _ in range(4):
        left = [fact for fact in facts(world) if SECRET.encode() in (fact.body or b"")]
        if left:
            world.do(OWNER, c.Redact("INC-1", left[0].id, "a customer's number"))
    assert all_that_is_kept(world, tmp_path) == set()
    for name in ("INC-1", "INC-2"):
        assert world.store.read(lambda r, name=name: check_stream(r, row(world, name), b"k" * 32)).flaw == ""


def test_what_an_action_items_nudges_repeat_goes_with_it(world, tmp_path):
    world.do("bilal", c.Declare("login fails", "P3", services=["api"]))
    world.do("bilal", c.AddAction("INC-1", f"rotate {SECRET}", "bilal", "the old one is refused"))
    world.run(12 * DAY)
    assert {name for name, _ in all_that_is_kept(world, tmp_path)} >= {"facts", "outbox", "streams"}
    world.do(OWNER, c.Redact("ACT-1", "1", "a password"))
    assert all_that_is_kept(world, tmp_path) == set()


def test_every_text_of_the_impact_of_reports_and_of_requests_can_go(world, tmp_path):
    world.do("bilal", c.Declare("login fails", "P2", services=["api"]))
    world.do("bilal", c.Impact("INC-1", {"who": f"the owner of {SECRET}", "users_affected_percent": 40}))
    world.do("bilal", c.AttachReport("INC-1", f"{SECRET} is refused", "ticket", f"whoever has {SECRET}"))
    world.do("bilal", c.Measure("INC-1", "throughput", "3", "per s", f"the graph of {SECRET}"))
    asked = {"to": "resolve", "reason": "it is over", "override": f"seen with {SECRET}"}
    world.do("bilal", c.Ask("INC-1", "move", asked, "it is over"))
    for fact in facts(world):
        if SECRET.encode() in fact.body:
            world.do(OWNER, c.Redact("INC-1", fact.id, "a password"))
    assert all_that_is_kept(world, tmp_path) == set()
    incident = world.incident()
    assert (incident.impact["users_affected_percent"], incident.reports) == (40, 1)
    assert incident.measurements[0].value == "3"


@pytest.mark.semantics(9)
def test_a_split_gives_back_the_severity_although_the_reason_of_the_raise_is_gone(world):
    world.do("anna", c.Declare("reports are slow", "P3", services=["payments"]))
    world.do("anna", c.Declare("everything is down", "P1", services=["api"]))
    world.do("anna", c.Merge("INC-2", "INC-1", "one cause"))
    raised = next(fact for fact in facts(world) if fact.type == "severity_changed")
    world.do(OWNER, c.Redact("INC-1", raised.id, "a customer's name"))
    world.do("anna", c.Split("INC-1", source="INC-2", reason="two causes"))
    assert world.incident().severity == "P3"
