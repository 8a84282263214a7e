"""The SQLite store keeps the contract, and what is its own: the writer thread, its groups, its lock."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading

import pytest
import rows
from contract import StoreContract

from tocsin.kernel.errors import Busy, FromTheFuture, Refused, Unusable
from tocsin.store import open_store
from tocsin.store.sqlite import SqliteStore, driver


class TestSqlite(StoreContract):
    @pytest.fixture
    def store(self, sqlite_store):
        return sqlite_store

    @pytest.fixture
    def address(self, sqlite_folder):
        return str(sqlite_folder)

    @pytest.fixture
    def empty_stores(self, tmp_path):
        store = SqliteStore(tmp_path / "copy")
        yield [store]
        store.close()


def gated(store):
    """Holds the writer up, so that what is submitted meanwhile shares the next commit; returns what lets it go on."""
    gate, reached = threading.Event(), threading.Event()
    store.submit(lambda tx: (reached.set(), gate.wait(10)))
    reached.wait(10)
    return gate.set


def test_a_commit_that_fails_fails_all_its_works_and_the_store_goes_on(sqlite_store):
    connection = sqlite_store._connection
    connection.execute("PRAGMA foreign_keys = ON")

    def make(tx):
        run = tx.session.connection.execute
        run("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        run("CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")

    sqlite_store.write(make)
    go_on = gated(sqlite_store)
    innocent = sqlite_store.submit(lambda tx: tx.put_meta("a", b"1"))
    # a deferred constraint is looked at by COMMIT itself
    guilty = sqlite_store.submit(
        lambda tx: tx.session.connection.execute("INSERT INTO child VALUES (1)").rowcount
    )
    go_on()
    for future in (innocent, guilty):
        with pytest.raises(Busy, match="nothing of this was kept"):
            future.result(10)
    assert sqlite_store.read(lambda tx: tx.meta("a")) is None
    sqlite_store.write(lambda tx: tx.put_meta("a", b"2"))
    assert sqlite_store.read(lambda tx: tx.meta("a")) == b"2"


def test_a_full_disk_loses_nothing_that_was_acknowledged(sqlite_store):
    def limit(pages):
        sqlite_store.write(
            lambda tx: tx.session.connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        )

    pages = sqlite_store.write(lambda tx: tx.session.connection.execute("PRAGMA page_count").fetchone()[0])
    limit(pages + 20)
    go_on = gated(sqlite_store)
    futures = {
        name: sqlite_store.submit(lambda tx, name=name, size=size: tx.put_meta(name, bytes(size)))
        for name, size in (("small", 10), ("giant", 1_000_000), ("next", 10))
    }
    go_on()
    with pytest.raises(Busy, match="full"):
        futures["giant"].result(10)
    acknowledged = {name for name, future in futures.items() if future.exception(10) is None}
    assert set(sqlite_store.read(lambda tx: tx.metas(""))) == acknowledged
    limit(1_000_000)
    sqlite_store.write(lambda tx: tx.put_meta("giant", bytes(1_000_000)))


def test_works_that_wait_share_a_commit(sqlite_store):
    go_on = gated(sqlite_store)
    calls = []
    sqlite_store.subscribe(lambda: calls.append(1))
    futures = [sqlite_store.submit(lambda tx, n=n: tx.put_meta(f"{n}", b"1")) for n in range(20)]
    go_on()
    for future in futures:
        future.result(10)
    sqlite_store.close()
    assert len(calls) < 5


def test_a_queue_that_is_full_is_busy_and_keeps_what_it_took(sqlite_store):
    go_on = gated(sqlite_store)
    taken = []
    with pytest.raises(Busy, match="wait"):
        for _ in range(10_001):
            taken.append(sqlite_store.submit(lambda tx: None))
    go_on()
    for future in taken:
        future.result(30)


def test_closing_finishes_what_waits(sqlite_folder):
    store = SqliteStore(sqlite_folder)
    futures = [store.submit(lambda tx, n=n: tx.put_meta(f"{n}", b"1")) for n in range(50)]
    store.close()
    assert all(future.done() and future.exception() is None for future in futures)


def test_a_work_that_was_cancelled_does_not_run(sqlite_store):
    go_on = gated(sqlite_store)
    future = sqlite_store.submit(lambda tx: tx.put_meta("a", b"1"))
    assert future.cancel()
    go_on()
    sqlite_store.write(lambda tx: None)
    assert sqlite_store.read(lambda tx: tx.meta("a")) is None


def test_a_listener_that_raises_is_reported_and_the_others_still_hear(sqlite_store, monkeypatch):
    reported, heard = [], []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_type))
    sqlite_store.subscribe(lambda: 1 // 0)
    sqlite_store.subscribe(lambda: heard.append(1))
    sqlite_store.write(lambda tx: tx.put_meta("a", b"1"))
    sqlite_store.close()
    assert (reported, heard) == ([ZeroDivisionError], [1])


def test_a_data_folder_has_one_process(sqlite_store, sqlite_folder):
    with pytest.raises(Refused, match="in use by another Tocsin process"):
        SqliteStore(sqlite_folder)
    script = "import sys; from tocsin.store import open_store; open_store(sys.argv[1])"
    other = subprocess.run([sys.executable, "-c", script, sqlite_folder], capture_output=True, text=True)
    assert "in use by another Tocsin process" in other.stderr


def test_a_second_process_may_read(sqlite_store, sqlite_folder):
    sqlite_store.write(rows.append)
    reader = SqliteStore(sqlite_folder, read_only=True)
    assert reader.read(lambda tx: tx.last_position()) == 1
    with pytest.raises(Refused, match="reading only"):
        reader.write(lambda tx: None)
    reader.close()


def test_a_redacted_body_is_not_left_in_the_file(sqlite_folder):
    store = SqliteStore(sqlite_folder)
    facts = rows.facts_after(0, bytes(32), text="hunter2 " * 1000)
    store.write(lambda tx: tx.append(facts))
    store.write(lambda tx: tx.redact(rows.INCIDENT, facts[0].id))
    store.close()
    assert facts[0].id.encode() in (sqlite_folder / "tocsin.db").read_bytes()
    assert b"hunter2" not in (sqlite_folder / "tocsin.db").read_bytes()


@pytest.mark.parametrize("name", ["data.db", "data.sqlite3"])
def test_a_file_may_be_named(tmp_path, name):
    store = open_store(f"sqlite:///{tmp_path / name}")
    store.migrate()
    assert store.path == tmp_path / name
    store.close()


def test_somebody_elses_database_is_left_alone(tmp_path):
    path = tmp_path / "tocsin.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE invoices (id INTEGER)")
    connection.close()
    with pytest.raises(Unusable, match="invoices"):
        open_store(str(tmp_path))
    path.write_bytes(b"this is a text file, long enough to be taken for something else" * 50)
    with pytest.raises(Unusable, match="not a database of Tocsin"):
        open_store(str(tmp_path))


def test_a_newer_versions_database_is_left_alone(sqlite_folder):
    with sqlite3.connect(sqlite_folder / "tocsin.db") as connection:
        connection.execute("UPDATE tocsin_revision SET version_num = '9999'")
    connection.close()
    with pytest.raises(FromTheFuture, match="9999"):
        open_store(str(sqlite_folder))


def test_an_unknown_kind_of_address_is_refused():
    with pytest.raises(Unusable, match="mysql"):
        open_store("mysql://localhost/x")


def test_a_damaged_file_is_found(sqlite_folder):
    store = SqliteStore(sqlite_folder)
    store.write(lambda tx: tx.put_alerts([rows.an_alert(f"{n}", body=bytes(500)) for n in range(300)]))
    store.close()
    path = sqlite_folder / "tocsin.db"
    content = bytearray(path.read_bytes())
    content[-8192:-7000] = b"\xff" * 1192
    path.write_bytes(content)
    store = SqliteStore(sqlite_folder)
    assert any("damaged" in fault for fault in store.check())
    store.close()


def test_the_writer_waits_for_the_disk(sqlite_store):
    settings = sqlite_store.write(
        lambda tx: [
            tx.session.connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous")
        ]
    )
    assert settings == ["wal", 2]
    assert driver.sqlite_version_info >= (3, 35)
