"""Incidents of many alerts: their stored view may lie behind their facts, and nobody notices."""

import msgspec
import pytest
from test_what_happens_to_people import World

from tocsin.alerts.shape import Alert
from tocsin.engine import commands as c
from tocsin.engine import work
from tocsin.engine.work import read_incident
from tocsin.incidents.folding import refold
from tocsin.kernel.clock import MINUTE


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "SMALL", 2_000)
    monkeypatch.setattr(work, "BEHIND", 4)
    one = World(tmp_path)
    yield one
    one.store.close()


def row(world, number=1):
    return world.store.read(lambda r: r.stream_by_number("INC", number))


def fire(world, *keys, service="payments", action="trigger"):
    alerts = [Alert(action, key, f"{key} is down", "critical", service=service) for key in keys]
    return world.engine.receive(world.integration, alerts).result()


def stored_version(world, number=1):
    return msgspec.json.decode(row(world, number).snapshot)["version"]


def agrees(world, number=1):
    """That what is read is the fold of all facts."""
    found = row(world, number)
    read = world.store.read(lambda r: read_incident(r, found))
    folded = world.store.read(lambda r: refold(found.stream.id, r.facts(found.stream)))
    assert msgspec.json.encode(read) == msgspec.json.encode(folded)
    return read


def test_a_large_view_is_written_now_and_then_and_read_as_if_it_were_always(world):
    versions = set()
    for number in range(30):
        fire(world, f"k{number}")
        assert len(agrees(world).alerts) == number + 1
        versions.add((row(world).version, stored_version(world)))
    behind = [version - stored for version, stored in versions]
    assert 0 < max(behind) < 4
    world.do("chiara", c.Acknowledge("INC-1"))
    fire(world, *(f"k{number}" for number in range(30)), action="resolve")
    found = agrees(world)
    assert found.all_clear_at and not found.firing and found.holder == "chiara"


def test_one_batch_for_several_large_incidents_tells_each(world):
    services = ("payments", "api", "database")
    for service in services:
        fire(world, *(f"{service}{number}" for number in range(20)), service=service)
    now = [
        Alert("trigger", f"{service}-more", f"{service} is down", "critical", service=service)
        for service in services
    ] + [Alert("resolve", f"{service}3") for service in services]
    outcomes = world.engine.receive(world.integration, now).result()
    for number, _ in enumerate(services, 1):
        incident = agrees(world, number)
        assert (len(incident.alerts), len(incident.firing)) == (21, 20)
        assert incident.id in {outcome.incident for outcome in outcomes}


def test_a_redaction_writes_the_view_anew(world):
    fire(world, *(f"k{number}" for number in range(20)))
    world.do("chiara", c.Acknowledge("INC-1", "the password is hunter2"))
    world.do("chiara", c.AddNote("INC-1", "hunter2 again"))
    facts = world.store.read(lambda r: r.facts(row(world).stream))
    said = next(fact for fact in facts if b"hunter2 again" in (fact.body or b""))
    world.do("anna", c.Redact("INC-1", said.id, "a password"))
    assert stored_version(world) == row(world).version
    agrees(world)


def test_a_restricted_incident_hides_what_joins_it_later_too(world):
    fire(world, *(f"k{number}" for number in range(20)))
    world.do("chiara", c.Acknowledge("INC-1"))
    world.do("chiara", c.SetType("INC-1", "security", ""))
    fire(world, "late")
    assert agrees(world).restricted
    assert all(one.restricted for one in world.store.read(lambda r: r.alerts(integration="i1")))
    world.run(MINUTE)
