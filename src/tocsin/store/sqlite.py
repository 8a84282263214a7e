"""The SQLite store: one writer thread, group commit, readers beside it.

Works wait in a queue. The writer takes all that wait (up to some milliseconds of work), runs each in a savepoint of one
transaction and commits once: many works share one fsync, and one that fails does not undo its neighbours. Futures are
answered after the commit, never before. WAL with ``synchronous=FULL``: what was answered survives a power cut.

Everything that writes or checkpoints does so on the writer's connection. SQLite 3.7.0 to 3.51.2 has a fault (rare
corruption when two connections write or checkpoint together, https://www.sqlite.org/wal.html, "the WAL-reset bug") that
this avoids; ``check`` names it all the same.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tocsin.kernel.clock import MILLISECOND, Instant, SystemClock
from tocsin.kernel.errors import Busy, Refused, TocsinError, Unusable
from tocsin.kernel.ports import Reader, Transaction
from tocsin.store import revisions
from tocsin.store.kept import Kept
from tocsin.store.listeners import Listeners
from tocsin.store.sqlite_session import SqliteSession, driver, unwritable
from tocsin.store.transaction import SqlReader, SqlTransaction

T = TypeVar("T")

QUEUE_LIMIT = 10_000
"""works that may wait; beyond, senders are told to come back later"""
GROUP_LIMIT = 512
"""works that share a commit at most"""
GROUP_TIME = 8 * MILLISECOND
"""how long a group may go on taking works before it commits"""
CHECKPOINT_CHANGES = 40_000
CHECKPOINT_COMMITS = 2_000
CACHE_KIB = 8_000
"""of pages, for the writer; what is not there is in the cache of the operating system"""
ALERTS_KEPT = 8_192
"""alerts that are remembered as they were last written: senders repeat what fires again and again"""
IDLE_SECONDS = 1.0
IDLE_READERS = 16


class _Work:
    """A unit of work that waits for the writer."""

    __slots__ = ("future", "run")

    def __init__(self, run: Callable[[Transaction], Any]) -> None:
        self.run = run
        self.future: Future[Any] = Future()


class _Outcome:
    """Catches what a work raises, to hand it to whoever waits for it: the writer thread itself goes on."""

    __slots__ = ("error", "value")

    def __init__(self) -> None:
        self.value: Any = None
        self.error: BaseException | None = None

    def __enter__(self) -> _Outcome:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self.error = error
        return True


class SqliteStore:
    """A store in one file. ``where`` is the data folder (the file is ``tocsin.db`` in it) or a file.

    With ``read_only`` the process that has it open goes on and this one only reads (backups, checks); nothing is locked.
    Raises :class:`Refused` where another process has the store open and :class:`Unusable` where the file is not
    Tocsin's own.
    """

    serial = True
    dialect = "sqlite"

    def __init__(self, where: str | Path, *, read_only: bool = False) -> None:
        self.path = database_file(where)
        self.read_only = read_only
        self._lock: int | None = None
        if not read_only:
            make_folder(self.path.parent)
            self._lock = lock_file(self.path)
        elif not self.path.exists():
            raise Unusable(f"there is no database at {self.path}. Check the data folder.", str(self.path))
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._clock = SystemClock()
        self._listeners, self._due_listeners = Listeners(), Listeners()
        self._due = False
        self._marks: dict[str, int] = {}
        """read once: nobody else writes"""
        self._kept = Kept(ALERTS_KEPT)
        self._readers: deque[Any] = deque()
        self._closed = False
        self._closing = threading.Lock()
        self._writer: threading.Thread | None = None
        try:
            if not read_only:
                make_file(self.path)
            self._connection = self._connect(writing=not read_only)
            revisions.refuse_strangers(self._tables(), self._revision(), str(self.path))
        except BaseException:
            self._unlock()
            raise
        if read_only:
            self._readers.append(self._connection)
        else:
            self._writer = threading.Thread(target=self._write_loop, name="tocsin-store-writer", daemon=True)
            self._writer.start()

    # -- reading and writing

    def write(self, work: Callable[[Transaction], T]) -> T:
        return self.submit(work).result()

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Raises :class:`Busy` where the queue is full or the store closed."""
        if self._writer is threading.current_thread():
            raise RuntimeError("a unit of work cannot wait for another one: use the transaction it was given")
        if self.read_only:
            raise Refused(f"{self.path} was opened for reading only")
        if self._queue.qsize() >= QUEUE_LIMIT:
            raise Busy(f"{QUEUE_LIMIT} writes wait for the disk already. Try again in a few seconds.")
        waiting = _Work(work)
        with self._closing:
            if self._closed:
                raise Busy(f"the store {self.path} is closed")
            self._queue.put(waiting)
        return waiting.future

    def read(self, work: Callable[[Reader], T]) -> T:
        if self._closed:
            raise Busy(f"the store {self.path} is closed")
        try:
            connection = self._readers.pop()
        except IndexError:
            connection = self._connect(writing=False)
        try:
            connection.execute("BEGIN")
            try:
                return work(SqlReader(SqliteSession(connection)))
            finally:
                connection.rollback()
        finally:
            if len(self._readers) < IDLE_READERS and not self._closed:
                self._readers.append(connection)
            else:
                connection.close()

    def subscribe(self, listener: Callable[[], None], *, due_only: bool = False) -> Callable[[], None]:
        return (self._due_listeners if due_only else self._listeners).add(listener)

    def now(self) -> Instant | None:
        """None: one process, one clock."""
        return None

    def close(self) -> None:
        """Finishes what waits, then closes. May be called twice."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        if self._writer is not None:
            self._writer.join()
        while self._readers:
            self._readers.pop().close()
        self._unlock()

    # -- the writer thread

    def _write_loop(self) -> None:
        connection = self._connection
        changes = commits = 0
        while True:
            try:
                first = self._queue.get(timeout=IDLE_SECONDS if commits else None)
            except queue.Empty:
                checkpoint(connection)
                changes = commits = 0
                continue
            if first is None:
                break
            before = connection.total_changes
            goes_on = self._commit_group(connection, first)
            changed = connection.total_changes - before
            if changed:
                changes, commits = changes + changed, commits + 1
                self._listeners.call()
                if self._due:
                    self._due = False
                    self._due_listeners.call()
            if not goes_on:
                break
            if changes >= CHECKPOINT_CHANGES or commits >= CHECKPOINT_COMMITS:
                checkpoint(connection)
                changes = commits = 0
        checkpoint(connection, "TRUNCATE")
        connection.close()

    def _commit_group(self, connection: Any, first: _Work) -> bool:
        """Runs and commits ``first`` and whatever waits behind it; False where the store closes after it."""
        done: list[tuple[Future[Any], _Outcome]] = []
        work: _Work | None = first
        goes_on = True
        commit = _Outcome()
        fresh = True
        with commit:
            connection.execute("BEGIN IMMEDIATE")
        until = self._clock.now() + GROUP_TIME
        while work is not None:
            if work.future.set_running_or_notify_cancel():
                outcome = _Outcome()
                done.append((work.future, outcome))
                if commit.error is None:
                    self._run_one(connection, work, outcome, fresh)
                    fresh = fresh and outcome.error is not None
                    if not connection.in_transaction:
                        # a full disk makes SQLite roll the whole group back by itself
                        commit.error = outcome.error or Busy("the database gave the transaction up")
            if len(done) >= GROUP_LIMIT or self._clock.now() > until:
                break
            try:
                work = self._queue.get_nowait()
            except queue.Empty:
                break
            goes_on = work is not None
        if commit.error is None:
            with commit:
                connection.execute("COMMIT")
        self._answer(connection, done, commit.error)
        return goes_on

    def _run_one(self, connection: Any, work: _Work, outcome: _Outcome, fresh: bool) -> None:
        """Runs a unit of work; what one that fails has written is undone. ``fresh``: nothing else was written before it, so that
        it needs no savepoint.
        """
        session = SqliteSession(connection, self._marks, self._kept, gathers=True)
        with outcome:
            if not fresh:
                connection.execute("SAVEPOINT work")
            outcome.value = work.run(SqlTransaction(session))
            session.write_all()
            self._due = self._due or session.due
            if session.failed is not None:
                raise session.failed
            if not fresh:
                connection.execute("RELEASE work")
        if outcome.error is None:
            return
        self._forget()
        if not connection.in_transaction:
            return
        undo = _Outcome()
        with undo:
            if fresh:
                connection.rollback()
                connection.execute("BEGIN IMMEDIATE")
            else:
                connection.execute("ROLLBACK TO work")
                connection.execute("RELEASE work")
        if undo.error is not None and connection.in_transaction:
            # the group cannot be told apart from the work that failed: none of it may be kept
            connection.rollback()

    def _forget(self) -> None:
        """What is remembered of the database may not be there any more."""
        self._marks.clear()
        self._kept.clear()

    def _answer(
        self, connection: Any, done: list[tuple[Future[Any], _Outcome]], failure: BaseException | None
    ) -> None:
        if failure is None:
            for future, outcome in done:
                if outcome.error is None:
                    future.set_result(outcome.value)
                else:
                    future.set_exception(outcome.error)
            return
        self._forget()
        if connection.in_transaction:
            connection.rollback()
        for future, outcome in done:
            answer = outcome.error
            if answer is None:
                answer = failure if isinstance(failure, TocsinError) else unwritable(failure)
                answer.__cause__ = failure if answer is not failure else None
            future.set_exception(answer)

    # -- operations

    def migrate(self) -> list[str]:
        """Brings the schema up to this version's; says which steps were taken."""
        if self._revision() == revisions.HEAD:
            return []
        from tocsin.store.migrating import migrate  # SQLAlchemy is slow to import, and most starts do without

        return migrate(self)

    def check(self) -> list[str]:
        faults = revisions.faults(self.read(lambda _: self._revision()), str(self.path))
        if not faults:
            faults += [f"{self.path} is damaged: {line}. Restore a backup." for line in self._integrity()]
        if not faults and self.read(lambda tx: tx.meta("held")) is not None:
            faults.append(revisions.HELD)
        version = driver.sqlite_version_info
        if (3, 7, 0) <= version < (3, 51, 3):
            faults.append(
                f"SQLite {driver.sqlite_version} has the WAL-reset fault (rare corruption when two connections write "
                "together; Tocsin writes with one only). Install the pysqlite3 wheel or Python with SQLite 3.51.3."
            )
        if self._writer is not None and not self._writer.is_alive():
            faults.append("The writer thread has stopped. Restart Tocsin.")
        return faults

    def backup(self, target: str) -> None:
        """Writes a consistent copy to ``target`` while the store is in use; see :mod:`tocsin.store.archive`."""
        from tocsin.store.archive import backup  # SQLAlchemy is slow to import, and most starts do without

        backup(self, target)

    def restore(self, source: str) -> None:
        """Fills this store, which must be empty, from a backup of either database; it starts held."""
        from tocsin.store.archive import restore  # SQLAlchemy is slow to import, and most starts do without

        restore(self, source)

    def engine(self) -> Any:
        """A SQLAlchemy engine for migrations and archives, whose every transaction is ``BEGIN IMMEDIATE``."""
        import sqlalchemy as sa  # SQLAlchemy is slow to import, and most starts do without
        from sqlalchemy.pool import NullPool

        engine = sa.create_engine(
            "sqlite://", module=driver, creator=lambda: self._connect(writing=True), poolclass=NullPool
        )

        @sa.event.listens_for(engine, "begin")
        def begin(connection: Any) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            self._forget()  # the writer waits until this transaction is over

        return engine

    def session_on(self, connection: Any) -> SqliteSession:
        """A session on a connection of :meth:`engine`."""
        return SqliteSession(connection)

    def _integrity(self) -> list[str]:
        connection = self._connect(writing=False)
        try:
            lines = [row[0] for row in connection.execute("PRAGMA integrity_check(5)")]
        except driver.DatabaseError as error:
            lines = [str(error)]
        finally:
            connection.close()
        return [] if lines == ["ok"] else lines

    def _tables(self) -> list[str]:
        try:
            return [
                row[0]
                for row in self._connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
                )
            ]
        except driver.DatabaseError as error:
            raise Unusable(
                f"{self.path} is not a database of Tocsin's ({error}). Give it another path.", str(self.path)
            ) from error

    def _revision(self) -> str | None:
        connection = self._connect(writing=False)
        try:
            row = connection.execute(f"SELECT version_num FROM {revisions.TABLE}").fetchone()
        except driver.OperationalError as error:
            if "no such table" not in str(error):
                raise
            return None
        finally:
            connection.close()
        return row[0] if row else None

    def _connect(self, *, writing: bool) -> Any:
        try:
            connection = driver.connect(
                str(self.path),
                isolation_level=None,
                check_same_thread=False,
                cached_statements=512,
                timeout=30,
            )
        except driver.OperationalError as error:
            raise Unusable(
                f"the database {self.path} cannot be opened: {error}. Check the path and who may write there.",
                str(self.path),
            ) from error
        pragmas = [
            f"cache_size = -{CACHE_KIB if writing else CACHE_KIB // 2}",
            "temp_store = MEMORY",
            "wal_autocheckpoint = 0",
        ]
        if writing:
            pragmas += [
                "synchronous = FULL",
                "fullfsync = ON",
                "journal_size_limit = 67108864",
                "secure_delete = FAST",
            ]
        else:
            pragmas += ["query_only = ON"]
        try:
            if writing:
                connection.execute("PRAGMA journal_mode = WAL").fetchall()
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}").fetchall()
        except driver.DatabaseError as error:
            connection.close()
            raise Unusable(
                f"{self.path} is not a database of Tocsin's ({error}). Give it another path.", str(self.path)
            ) from error
        return connection

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def database_file(where: str | Path) -> Path:
    """``tocsin.db`` in a folder, or ``where`` itself where it is a file or is named like one."""
    path = Path(where)
    if path.is_dir() or (not path.exists() and path.suffix not in (".db", ".sqlite", ".sqlite3")):
        return path / "tocsin.db"
    return path


def make_folder(folder: Path) -> None:
    """Makes the data folder, for its owner's eyes alone, where it is not there; raises :class:`Unusable` where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise Unusable(
            f"{folder} cannot be made a data folder ({error.strerror}); choose another with --data or TOCSIN_DATA",
            "data",
        ) from None


def make_file(path: Path) -> None:
    """Makes the database, for its owner's eyes alone, where it is not there, whatever the folder lets others see.

    The files that SQLite puts beside it are made with its mode.
    """
    if path.exists():
        return
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    except OSError as error:
        raise Unusable(
            f"the database {path} cannot be made ({error.strerror}). Check the path and who may write there.",
            str(path),
        ) from None


def lock_file(path: Path) -> int:
    """Takes the lock that one process has for as long as it lives; raises :class:`Refused` with the holder's number, and
    :class:`Unusable` where nothing can be written beside ``path``."""
    import fcntl  # there is none on Windows, where the rest of this module can at least be read

    name = path.with_name(path.name + ".lock")
    try:
        handle = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unusable(
            f"{name} cannot be written ({error.strerror}): the data folder has to belong to who runs Tocsin",
            "data",
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 32).decode("ascii", "replace").strip()
        os.close(handle)
        raise Refused(
            f"the store {path} is in use by another Tocsin process{f' ({holder})' if holder else ''}. "
            "Stop that one first, or give this one a data folder of its own."
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, f"{os.getpid()}\n".encode())
    return handle


def checkpoint(connection: Any, mode: str = "PASSIVE") -> None:
    """Moves what the log holds into the file; a reader that stands in the way leaves it for the next time."""
    try:
        connection.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
    except driver.OperationalError:
        # the log keeps everything that was committed; a full disk shows at the next commit, to those who wait for it
        return
