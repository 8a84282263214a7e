"""Somebody pasted a password into an incident. It goes, and the record still proves itself."""

import pytest
from test_what_happens_to_people import World

from tocsin.engine import commands as c
from tocsin.engine.sealing import check_export, check_stream, export
from tocsin.engine.work import find_row, read_incident
from tocsin.incidents.folding import refold
from tocsin.kernel.errors import Forbidden, NotFound, Refused

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
