"""Databases of every earlier version become this one's, with what is in them."""

from __future__ import annotations

import gzip

import msgspec
import pytest
import rows
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import FromTheFuture
from tocsin.store import revisions
from tocsin.store.migrating import configuration, migrate
from tocsin.store.postgres import PostgresStore
from tocsin.store.schema import metadata
from tocsin.store.sqlite import SqliteStore


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_store(request, tmp_path):
    """A store without a schema."""
    if request.param == "sqlite":
        store = SqliteStore(tmp_path / "empty")
        yield store
        store.close()
    else:
        cluster = request.getfixturevalue("postgres_cluster")
        url = cluster.create_database("template0")
        store = PostgresStore(url)
        yield store
        store.close()
        cluster.drop_database(url)


def test_the_revisions_that_are_known_are_those_that_exist():
    script = ScriptDirectory.from_config(configuration())
    assert tuple(reversed([step.revision for step in script.walk_revisions()])) == revisions.KNOWN
    assert script.get_current_head() == revisions.HEAD


def test_an_empty_database_says_what_to_do(empty_store):
    assert any("run tocsin migrate" in fault for fault in empty_store.check())
    assert [step[:4] for step in empty_store.migrate()] == list(revisions.KNOWN)
    assert empty_store.migrate() == []


def test_migrated_tables_are_those_of_the_schema(store):
    def ours(obj, name, kind, reflected, other):
        return not (name or "").startswith(("stream_words", revisions.TABLE))

    engine = store.engine()
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": ours, "compare_type": True, "version_table": revisions.TABLE}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


OLD_MESSAGE = {
    "id": "o1", "key": "k1", "effect": "page", "channel": "ntfy", "recipient": "anna", "address": "topic", "scope": "incident/i1",
    "tag": "run", "urgency": 0, "not_before": 1_000, "created_at": 1_000, "payload": b"{}", "state": "waiting", "attempts": 0,
    "lease_until": 0, "lease_token": "", "last_error": "", "finished_at": 0,
}  # fmt: skip


def test_messages_of_an_earlier_version_leave_and_what_it_still_writes_beside_this_one_does_too(empty_store):
    migrate(empty_store, "0002")
    engine = empty_store.engine()
    outbox = metadata.tables["outbox"]
    with engine.begin() as connection:
        connection.execute(outbox.insert().values(OLD_MESSAGE))
    empty_store.migrate()
    with engine.begin() as connection:
        connection.execute(outbox.insert().values({**OLD_MESSAGE, "id": "o2", "key": "k2"}))
    engine.dispose()
    leased = empty_store.write(lambda tx: tx.lease_outbox(2_000, 9_000, "t", 9))
    assert [row.id for row in leased] == ["o1", "o2"]
    empty_store.write(lambda tx: [tx.retry_outbox(row.id, "t", 5_000, "away") for row in leased])
    assert empty_store.read(lambda tx: tx.oldest_waiting(6_000)) == (None, 5_000)


def test_alerts_of_an_earlier_version_end_and_what_it_still_writes_beside_this_one_does_too(empty_store):
    migrate(empty_store, "0004")
    engine = empty_store.engine()
    with engine.begin() as connection:
        for key, ends_at in (("ends", 2_000), ("never", 0)):
            write_as_before(connection, key, ends_at)
    empty_store.migrate()
    assert empty_store.read(lambda tx: tx.next_end()) == 2_000
    with engine.begin() as connection:
        write_as_before(connection, "beside", 3_000)
    engine.dispose()
    empty_store.write(lambda tx: tx.look_later(1_000))
    assert empty_store.read(lambda tx: [row.dedup_key for row in tx.alerts_ending(3_000)]) == [
        "ends",
        "beside",
    ]
    assert empty_store.read(lambda tx: tx.next_end()) == 2_000


def write_as_before(connection, key, ends_at):
    """A firing alert, as versions wrote it that knew no time at which its end is looked at."""
    columns = msgspec.structs.asdict(rows.an_alert(key, ends_at=ends_at))
    names = ", ".join(columns)
    places = ", ".join(f":{name}" for name in columns)
    connection.execute(sa.text(f"INSERT INTO alerts ({names}) VALUES ({places})"), columns)


OLD_STREAM = {
    "kind": "incident", "id": "i1", "series": "INC", "number": 1, "version": 1, "head": b"h", "fold": 1,
    "snapshot": b"{}", "status": "", "severity": "", "title": "Größe", "open": True, "restricted": False,
    "drill": False, "members": "", "opened_at": 1, "updated_at": 1, "search": "Größe: pool exhausted",
}  # fmt: skip


def test_a_database_of_the_first_revision_is_upgraded_with_its_data(empty_store):
    assert [step[:4] for step in migrate(empty_store, "0001")] == ["0001"]
    engine = empty_store.engine()
    with engine.begin() as connection:
        table = metadata.tables["streams"]
        connection.execute(table.insert().values(OLD_STREAM))
    engine.dispose()
    assert any("this version wants" in fault for fault in empty_store.check())
    assert [step[:4] for step in empty_store.migrate()] == list(revisions.KNOWN[1:])
    found = empty_store.read(lambda tx: tx.streams("incident", search="größe pool"))
    assert [(row.stream.id, row.title) for row in found] == [("i1", "Größe")]
    empty_store.write(lambda tx: rows.append(tx, search="another pool"))
    assert len(empty_store.read(lambda tx: tx.streams("incident", search="pool"))) == 2


def first_revisions_backup(store, path):
    """A backup as the first revision wrote it: without the words of streams."""
    store.backup(str(path))
    lines, words = [], None
    for line in map(decode, gzip.decompress(path.read_bytes()).splitlines()):
        if isinstance(line, dict):
            line = {**line, "revision": "0001"} if "format" in line else line
            words = line["columns"].index("words") if line.get("table") == "streams" else None
            if words is not None:
                line["columns"].remove("words")
        elif words is not None:
            del line[words]
        lines.append(encode(line))
    path.write_bytes(gzip.compress(b"\n".join(lines)))


@pytest.mark.parametrize("migrated_before", [False, True])
def test_a_backup_of_an_older_version_is_upgraded_while_it_is_restored(
    sqlite_store, empty_store, tmp_path, migrated_before
):
    sqlite_store.write(lambda tx: rows.append(tx, search="pool exhausted"))
    path = tmp_path / "old.jsonl.gz"
    first_revisions_backup(sqlite_store, path)
    if migrated_before:
        empty_store.migrate()
    empty_store.restore(str(path))
    assert len(empty_store.read(lambda tx: tx.streams("incident", search="exhausted"))) == 1
    assert revisions.HELD in empty_store.check()


def test_a_backup_of_a_newer_version_is_refused(sqlite_store, tmp_path):
    header = {"format": "tocsin-backup", "version": 1, "revision": "9999", "dialect": "sqlite"}
    path = tmp_path / "new.jsonl.gz"
    path.write_bytes(gzip.compress(encode(header) + b"\n"))
    with pytest.raises(FromTheFuture, match="newer version"):
        sqlite_store.restore(str(path))
