"""Rows and facts for the tests of stores."""

from __future__ import annotations

from tocsin.kernel.clock import ManualClock
from tocsin.kernel.codec import canonical
from tocsin.kernel.facts import GENESIS, Actor, Draft, Fact, Stream, chain
from tocsin.kernel.ports import AlertRow, ChangeRow, DocumentRow, OutboxRow, RecordRow, RequestRow, StreamRow
from tocsin.kernel.randomness import SystemRandomness, ulid

NOW = ManualClock().now()
INCIDENT = Stream("incident", "01J0000000000000000000000A")


def another_stream() -> Stream:
    """One that no other test has."""
    return Stream("incident", ulid(SystemRandomness(), NOW))


def facts_after(
    version: int, head: bytes, count: int = 1, stream: Stream = INCIDENT, text: str = "x"
) -> list[Fact]:
    return chain(
        stream,
        [Draft("note_added", canonical({"text": f"{text} {n}"}), NOW) for n in range(count)],
        version=version,
        previous=head,
        actor=Actor("person:anna", "web"),
        command_id="c1",
        now=NOW,
        ids=[ulid(SystemRandomness(), NOW) for _ in range(count)],
    )


def append(tx, count: int = 1, stream: Stream = INCIDENT, **row) -> list[Fact]:
    """Appends to the stream as it stands, with its head."""
    head = tx.stream(stream)
    facts = facts_after(head.version if head else 0, head.head if head else GENESIS, count, stream)
    tx.append(facts)
    tx.put_stream(a_stream(stream, facts[-1].version, facts[-1].hash, **row))
    return facts


def a_stream(stream: Stream = INCIDENT, version: int = 1, head: bytes = b"h" * 32, **row) -> StreamRow:
    return StreamRow(stream, row.pop("series", ""), row.pop("number", 0), version, head, 1, b"{}", **row)


def an_alert(key: str = "k", **row) -> AlertRow:
    values = {
        "integration": "prometheus", "dedup_key": key, "episode": 1, "status": "firing", "state": "attached",
        "severity": "P2", "summary": "disk is full", "service": "api", "incident": INCIDENT.id, "group_key": "g",
        "reason": "rule 1", "started_at": NOW, "received_at": NOW, "last_at": NOW, "source_at": 0, "ends_at": 0,
        "cleared_at": 0, "repeats": 0, "body": b"{}",
    }  # fmt: skip
    return AlertRow(**{**values, **row})


def an_effect(id: str = "o1", **row) -> OutboxRow:
    values = {
        "id": id, "key": f"key of {id}", "effect": "page", "channel": "ntfy", "recipient": "person:anna",
        "address": "topic", "scope": str(INCIDENT), "tag": "page1", "urgency": 1, "not_before": NOW,
        "created_at": NOW, "payload": b"{}",
    }  # fmt: skip
    return OutboxRow(**{**values, **row})


def a_record(id: str = "anna", **row) -> RecordRow:
    return RecordRow(
        **{"kind": "person", "id": id, "lookup": f"{id}@example.org", "body": b"{}", "updated_at": NOW, **row}
    )


def a_request(id: str, **row) -> RequestRow:
    return RequestRow(
        **{"id": id, "integration": "i", "received_at": NOW, "status": 202, "reason": "", "body": b"", **row}
    )


def a_change(id: str, **row) -> ChangeRow:
    values = {"integration": "github", "service": "api", "at": NOW, "received_at": NOW, "summary": "deploy"}
    return ChangeRow(**{"id": id, "body": b"{}", **values, **row})


def a_document(version: int, **row) -> DocumentRow:
    values = {"kind": "policy", "name": "default", "hash": f"hash{version}", "body": b"x", "created_at": NOW}
    return DocumentRow(
        **{"version": version, "created_by": "person:anna", "reason": "", "current": True, **values, **row}
    )
