"""What every store promises. Each store's tests inherit :class:`StoreContract` and give it a ``store``."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rows
from contract_of_rows import OutboxContract, RecordContract, TimerContract
from contract_of_streams import AlertContract, FactContract, StreamContract
from rows import (
    INCIDENT,
    NOW,
    a_document,
    a_record,
    a_stream,
    an_alert,
    an_effect,
    another_stream,
    append,
)

from tocsin.kernel.clock import MINUTE
from tocsin.kernel.errors import Refused, Unusable
from tocsin.store import open_store

LATER = NOW + MINUTE


def nothing_but(text):
    """Every way of writing a text into the store."""
    return {
        "alert": lambda tx: tx.put_alerts([an_alert(summary=text)]),
        "alert key": lambda tx: tx.put_alerts([an_alert(text)]),
        "look-up of alerts": lambda tx: tx.alerts_by_key("prometheus", ["a", text]),
        "stream": lambda tx: tx.put_stream(a_stream(title=text)),
        "effect": lambda tx: tx.put_outbox([an_effect(address=text)]),
        "record": lambda tx: tx.put_record(a_record(lookup=text)),
        "meta": lambda tx: tx.meta(text),
        "timer": lambda tx: tx.set_timer("incident", text, NOW),
        "request": lambda tx: tx.put_request(rows.a_request("1", reason=text)),
    }


class InputContract:
    @pytest.mark.parametrize("text", ["a\x00b", "\ud800", "half \udfff here"])
    @pytest.mark.parametrize("way", sorted(nothing_but("")))
    def test_text_that_no_database_holds_is_refused(self, store, way, text):
        with pytest.raises(Unusable, match=r"NUL|surrogate"):
            store.write(nothing_but(text)[way])

    def test_a_key_too_long_for_an_index_is_refused(self, store):
        for way in ("alert key", "record", "timer"):
            with pytest.raises(Unusable, match="1000 bytes"):
                store.write(nothing_but("ü" * 501)[way])
            store.write(nothing_but("ü" * 500)[way])

    def test_long_texts_that_are_no_keys_are_kept(self, store):
        text = "long line 🔥 " * 300_000
        store.write(
            lambda tx: [tx.put_alerts([an_alert("a", summary=text)]), tx.put_stream(a_stream(search=text))]
        )
        assert store.read(lambda tx: tx.alerts_by_key("prometheus", ["a"]))["a"].summary == text

    def test_a_number_beyond_64_bits_is_refused(self, store):
        with pytest.raises(Unusable, match="64 bits"):
            store.write(lambda tx: tx.set_timer("incident", "a", 1 << 63))
        with pytest.raises(Unusable, match="64 bits"):
            store.write(lambda tx: tx.put_alerts([an_alert(started_at=1 << 70)]))


class UnitOfWorkContract:
    def test_a_work_that_fails_leaves_nothing(self, store):
        def work(tx):
            append(tx, 2)
            tx.put_alerts([an_alert()])
            tx.set_timer("incident", "a", NOW)
            tx.put_record(a_record())
            raise Refused("not today")

        with pytest.raises(Refused, match="not today"):
            store.write(work)
        assert store.read(
            lambda tx: (tx.facts(INCIDENT), tx.alerts(), tx.next_timer(), tx.mark("records"))
        ) == (
            [],
            [],
            None,
            0,
        )

    def test_works_that_fail_do_not_undo_their_neighbours(self, store):
        def work(n):
            def run(tx):
                tx.put_meta(f"n/{n:03d}", b"1")
                if n % 3 == 0:
                    raise Refused("every third")
                if n % 3 == 1:
                    tx.put_alerts([an_alert("a\x00")])
                return n

            return run

        futures = [store.submit(work(n)) for n in range(90)]
        errors = [future.exception(timeout=30) for future in futures]
        assert [type(error) for error in errors[:3]] == [Refused, Unusable, type(None)]
        assert sorted(store.read(lambda tx: tx.metas("n/"))) == [f"n/{n:03d}" for n in range(2, 90, 3)]

    def test_many_that_write_one_row_all_get_through(self, store):
        def count(tx):
            tx.put_meta("count", b"%d" % (int(tx.meta("count") or b"0") + 1))

        futures = [store.submit(count) for _ in range(150)]
        for future in futures:
            future.result(60)
        assert store.read(lambda tx: tx.meta("count")) == b"150"

    def test_a_work_cannot_wait_for_another_one(self, store):
        with pytest.raises(RuntimeError, match="cannot wait"):
            store.write(lambda tx: store.write(lambda tx: None))

    def test_a_reader_sees_one_moment(self, store):
        store.write(lambda tx: tx.put_meta("a", b"1"))

        def look_twice(tx):
            first = tx.meta("a")
            store.write(lambda tx: tx.put_meta("a", b"2"))
            return first, tx.meta("a")

        assert store.read(look_twice) == (b"1", b"1")
        assert store.read(lambda tx: tx.meta("a")) == b"2"

    def test_listeners_hear_of_writes_and_not_of_looking(self, store):
        heard = []
        stop = store.subscribe(lambda: heard.append(1))
        store.write(lambda tx: tx.put_meta("a", b"1"))
        assert heard
        stop()
        heard.clear()
        store.write(lambda tx: tx.put_meta("a", b"2"))
        assert not heard

    def test_a_closed_store_says_so(self, store):
        store.close()
        store.close()
        for use in (lambda: store.write(lambda tx: None), lambda: store.read(lambda tx: None)):
            with pytest.raises(Exception, match=r"closed|reached"):
                use()

    def test_a_healthy_store_has_no_faults(self, store):
        # the tests' own server saves on the disk, and some platforms bring an older SQLite
        known = ("power cut", "WAL-reset")
        assert [fault for fault in store.check() if not any(words in fault for words in known)] == []
        assert store.migrate() == []

    def test_every_acknowledged_write_survives_a_kill(self, store, address):
        store.close()
        child = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("writes_until_killed.py"), address],
            stdout=subprocess.PIPE,
        )
        acknowledged = [child.stdout.readline() for _ in range(300)]
        child.send_signal(signal.SIGKILL)
        acknowledged += child.stdout.readlines()
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL
        again = open_store(address)
        kept = again.read(lambda tx: tx.metas("acked/"))
        again.close()
        assert {f"acked/{line.decode().strip()}" for line in acknowledged if line.endswith(b"\n")} <= set(
            kept
        )


class BackupContract:
    def fill(self, store):
        def work(tx):
            append(tx, 3, series="INC", number=tx.next_number("INC"), search="database pool", restricted=True)
            append(tx, 1, another_stream())
            tx.redact(INCIDENT, tx.facts(INCIDENT)[1].id)
            tx.put_alerts([an_alert("a", body=bytes(range(256))), an_alert("b", restricted=True)])
            tx.put_group("g", INCIDENT.id, NOW, NOW)
            tx.set_timer("incident", "a", NOW)
            tx.put_outbox([an_effect("o1"), an_effect("o2")])
            tx.lease_outbox(NOW, LATER, "t", 1)
            tx.put_record(a_record("Ärger\n'\"\\"))
            tx.put_document(a_document(1))
            tx.put_changes([rows.a_change("c")])
            tx.put_request(rows.a_request("r"))
            tx.remember("p", "k", b"d", b"a", NOW)
            tx.put_meta("name", b"\x00")

        store.write(work)

    def view(self, tx):
        return {
            "facts": tx.facts_since(0),
            "streams": tx.streams("incident"),
            "found": [row.stream for row in tx.streams("incident", search="pool")],
            "alerts": tx.alerts(),
            "group": tx.group("g"),
            "records": tx.records("person"),
            "mark": tx.mark("records"),
            "documents": tx.document_versions("policy", "default"),
            "changes": tx.changes(),
            "requests": tx.requests("i"),
            "meta": tx.meta("name"),
            "timer": tx.timer("incident", "a").due_at,
            "effects": [(row.id, row.key, row.payload) for row in tx.outbox()],
        }

    def check_copy(self, store, copy):
        assert copy.read(self.view) == store.read(self.view)
        assert [row.state for row in copy.read(lambda tx: tx.outbox())] == ["held", "held"]
        assert copy.write(lambda tx: tx.lease_timers(LATER, LATER, "t", 9)) == []
        assert copy.write(lambda tx: tx.remembered("p", "k")) == (b"d", b"a")
        before = copy.read(lambda tx: tx.last_position())
        copy.write(lambda tx: append(tx, 1))
        assert copy.read(lambda tx: tx.last_position()) > before
        assert copy.write(lambda tx: tx.next_number("INC")) == 2
        assert copy.write(lambda tx: tx.release_held()) == 2

    def test_a_backup_is_restored_into_either_database_and_starts_held(self, store, empty_stores, tmp_path):
        self.fill(store)
        target = tmp_path / "copy.jsonl.gz"
        store.backup(str(target))
        assert target.stat().st_mode & 0o077 == 0
        for copy in empty_stores:
            copy.restore(str(target))
            self.check_copy(store, copy)

    def test_a_store_that_is_not_empty_is_not_restored_into(self, store, tmp_path):
        self.fill(store)
        store.backup(str(tmp_path))
        with pytest.raises(Refused, match="not empty"):
            store.restore(str(tmp_path))
        assert store.read(lambda tx: tx.meta("held")) is None

    @pytest.mark.parametrize("part", [0, 10, 200, -20])
    def test_half_a_backup_is_refused_and_leaves_the_store_empty(self, store, empty_stores, tmp_path, part):
        self.fill(store)
        store.backup(str(tmp_path))
        file = tmp_path / "tocsin-backup.jsonl.gz"
        file.write_bytes(file.read_bytes()[:part])
        for copy in empty_stores:
            with pytest.raises(Unusable, match="backup"):
                copy.restore(str(file))
            copy.migrate()
            assert copy.read(lambda tx: (tx.last_position(), tx.meta("held"))) == (0, None)

    def test_a_backup_is_of_one_moment_while_writing_goes_on(self, store, tmp_path, empty_stores):
        stop = threading.Event()

        def keep_writing():
            while not stop.is_set():
                store.write(lambda tx: append(tx, 5, another_stream()))

        with ThreadPoolExecutor(1) as pool:
            writing = pool.submit(keep_writing)
            store.backup(str(tmp_path))
            stop.set()
            writing.result()
        copy = empty_stores[0]
        copy.restore(str(tmp_path))
        heads = copy.read(lambda tx: tx.heads())
        facts = copy.read(lambda tx: tx.facts_since(0, limit=100_000))
        assert len(facts) == 5 * len(heads)


class StoreContract(
    FactContract,
    StreamContract,
    AlertContract,
    TimerContract,
    OutboxContract,
    RecordContract,
    InputContract,
    UnitOfWorkContract,
    BackupContract,
):
    """Everything together. A store's tests define the fixtures ``store``, ``address`` (what ``open_store`` takes) and
    ``empty_stores`` (others, without a schema, to restore into)."""
