"""The PostgreSQL store keeps the contract, and what is its own: many processes, a server that goes away."""

from __future__ import annotations

import threading

import pytest
import rows
from contract import StoreContract

from tocsin.kernel.clock import SECOND, SystemClock
from tocsin.kernel.errors import Busy, FromTheFuture, Unusable
from tocsin.store import open_store, revisions
from tocsin.store.postgres import PostgresStore
from tocsin.store.sqlite import SqliteStore

pytestmark = pytest.mark.postgres


class TestPostgres(StoreContract):
    @pytest.fixture
    def store(self, postgres_store):
        return postgres_store

    @pytest.fixture
    def address(self, postgres_url):
        return postgres_url

    @pytest.fixture
    def empty_stores(self, tmp_path, postgres_cluster):
        url = postgres_cluster.create_database("template0")
        stores = [PostgresStore(url), SqliteStore(tmp_path / "copy")]
        yield stores
        for store in stores:
            store.close()
        postgres_cluster.drop_database(url)


@pytest.fixture
def second_process(postgres_store, postgres_url):
    """Another process's store, as good as: it shares nothing with the first but the database."""
    store = PostgresStore(postgres_url)
    yield store
    store.close()


def test_a_backup_of_sqlite_moves_into_postgresql(sqlite_store, postgres_store, tmp_path):
    contract = StoreContract()
    contract.fill(sqlite_store)
    sqlite_store.backup(str(tmp_path))
    postgres_store.restore(str(tmp_path))
    contract.check_copy(sqlite_store, postgres_store)


def test_another_process_is_woken_by_a_commit(postgres_store, second_process):
    woken = threading.Event()
    second_process.subscribe(woken.set)
    assert woken.wait(5)
    started = SystemClock().now()
    for n in range(5):
        woken.clear()
        postgres_store.write(lambda tx, n=n: tx.put_meta("a", b"%d" % n))
        assert woken.wait(5)
    # the look each second alone would take that many seconds
    assert SystemClock().now() - started < 3 * SECOND


def test_two_processes_that_append_to_one_stream_both_get_through(postgres_store, second_process):
    threads = [
        threading.Thread(target=lambda s=store: [s.write(rows.append) for _ in range(10)])
        for store in (postgres_store, second_process)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [fact.version for fact in postgres_store.read(lambda tx: tx.facts(rows.INCIDENT))] == list(
        range(1, 21)
    )


def test_an_alert_that_two_processes_update_at_once_loses_neither(postgres_store, second_process):
    barrier = threading.Barrier(2, timeout=10)
    runs = []

    def repeat(store, waits):
        def work(tx):
            alert = tx.alerts_by_key("prometheus", ["a"]).get("a") or rows.an_alert("a")
            runs.append(1)
            if waits:
                waits.pop()
                barrier.wait()
            alert.repeats += 1
            tx.put_alerts([alert])

        store.write(work)

    threads = [threading.Thread(target=repeat, args=(s, [1])) for s in (postgres_store, second_process)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert postgres_store.read(lambda tx: tx.alerts_by_key("prometheus", ["a"]))["a"].repeats == 2
    assert len(runs) == 3


def test_a_work_that_is_run_again_keeps_its_number(postgres_store, second_process):
    postgres_store.write(rows.append)
    numbers = []

    def work(tx):
        numbers.append(tx.next_number("INC"))
        head = tx.stream(rows.INCIDENT)
        if len(numbers) == 1:
            second_process.write(rows.append)
        tx.append(rows.facts_after(head.version, head.head))

    postgres_store.write(work)
    assert numbers == [1, 1]


def test_the_store_outlives_lost_connections(postgres_store, postgres_cluster, postgres_url):
    postgres_store.write(lambda tx: tx.put_meta("a", b"1"))
    name = postgres_url.rpartition("/")[2]
    postgres_cluster.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    postgres_store.write(lambda tx: tx.put_meta("a", b"2"))
    postgres_cluster.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    assert postgres_store.read(lambda tx: tx.meta("a")) == b"2"
    assert abs(postgres_store.now() - SystemClock().now()) < 60 * SECOND


def test_a_server_that_is_away_is_busy_and_found_again(
    postgres_store, postgres_cluster, postgres_url, monkeypatch
):
    monkeypatch.setattr(postgres_store._pool, "timeout", 0.5)
    name = postgres_url.rpartition("/")[2]
    postgres_cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres_cluster.execute(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    for use in (
        lambda: postgres_store.write(lambda tx: tx.put_meta("a", b"1")),
        lambda: postgres_store.submit(lambda tx: tx.put_meta("a", b"1")).result(),
        lambda: postgres_store.read(lambda tx: tx.meta("a")),
        lambda: postgres_store.now(),
    ):
        with pytest.raises(Busy):
            use()
    assert any("reached" in fault for fault in postgres_store.check())
    postgres_cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    monkeypatch.undo()
    postgres_store.write(lambda tx: tx.put_meta("a", b"1"))
    assert postgres_store.check() == [fault for fault in postgres_store.check() if "power cut" in fault]


def test_somebody_elses_database_is_left_alone(postgres_cluster):
    url = postgres_cluster.create_database("template0")
    import psycopg

    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE invoices (id int)")
    with pytest.raises(Unusable, match="invoices"):
        open_store(url)
    postgres_cluster.drop_database(url)


def test_a_newer_versions_database_is_left_alone(postgres_url):
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE tocsin_revision SET version_num = '9999'")
    with pytest.raises(FromTheFuture, match="9999"):
        open_store(postgres_url)


def test_an_address_without_a_server_is_busy_and_its_password_stays_secret(postgres_cluster):
    with pytest.raises(Busy, match="cannot be reached") as caught:
        open_store("postgresql://anna:hunter2@127.0.0.1:1/x")
    assert "hunter2" not in caught.value.sentence


def test_processes_that_start_together_migrate_once(postgres_cluster):
    url = postgres_cluster.create_database("template0")
    stores = [PostgresStore(url) for _ in range(3)]
    steps = []
    threads = [threading.Thread(target=lambda s=store: steps.append(s.migrate())) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(len(step) for step in steps) == [0, 0, len(revisions.KNOWN)]
    for store in stores:
        store.close()
    postgres_cluster.drop_database(url)
