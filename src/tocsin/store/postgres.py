"""The PostgreSQL store: many processes, one database.

Works run at REPEATABLE READ: a unit of work decides on one view, and where another one changed a row it writes in the
meantime, PostgreSQL refuses it and it is run again. Positions of facts are given under an advisory lock that is held to
the end of the transaction, so that they become visible in their order. Human numbers come from a connection beside the
transaction: they may have gaps, and two people who declare at once do not wait for each other.

A server that goes away shows as :class:`Busy`; connections come back by themselves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from tocsin.kernel.clock import MILLISECOND, SECOND, Instant
from tocsin.kernel.errors import Busy, Conflict, TocsinError, Unusable
from tocsin.kernel.ports import Reader, Transaction
from tocsin.kernel.randomness import SystemRandomness, jitter, token
from tocsin.kernel.redact import mask
from tocsin.store import revisions
from tocsin.store.kept import Kept
from tocsin.store.listeners import Listeners
from tocsin.store.sql import Params, Row, Statement, check_text, sql, surrogate, too_large
from tocsin.store.transaction import SqlReader, SqlTransaction
from tocsin.store.turnstile import Turnstile
from tocsin.store.wakening import listen, notify

try:
    import psycopg
    import psycopg_pool
except ImportError:
    if not TYPE_CHECKING:
        psycopg = psycopg_pool = None  # the extra is not installed: PostgresStore says so

T = TypeVar("T")

NOTHING: dict[str, Any] = {}
ATTEMPTS = 20
"""how often a unit of work is run when others keep changing what it writes"""
ALONE_AFTER = 2
"""so often overtaken, it runs alone in its process"""
RECONNECTS = 2
"""how often it is run again because its connection was lost before the commit"""
QUEUE_LIMIT = 10_000
WORKERS = 8
POOL_SIZE = 20
POOL_SECONDS = 5.0
"""how long to wait for a connection before saying Busy"""
APPEND_LOCK = 0x746F6331
"""the advisory lock under which positions are given"""

_LOCK = sql("SELECT pg_advisory_xact_lock(:lock)")
_NEXT_NUMBER = (
    "INSERT INTO counters (name, value) VALUES (%s, 1)"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
)
_NOW = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_SETTINGS = {
    "fsync": "a power cut can lose what was acknowledged, or damage the database",
    "full_page_writes": "a power cut can damage the database",
    "synchronous_commit": "a crash of the server can lose what was acknowledged",
}


class Overtaken(Conflict):
    """Another transaction was first: the unit of work is run again on what it left.

    ``key`` is the unique key that exists already, where it was one.
    """

    key: str = ""


class Lost(Busy):
    """The connection went away before the commit: nothing was kept."""


def meaning(error: Exception) -> TocsinError | None:
    """The error of our own tree that a driver's error means; None where it is a fault of our own."""
    errors = psycopg.errors
    if isinstance(error, errors.SerializationFailure | errors.DeadlockDetected | errors.UniqueViolation):
        overtaken = Overtaken(f"somebody else wrote it first ({_first_line(error)}): read again and retry")
        if isinstance(error, errors.UniqueViolation):
            overtaken.key = error.diag.message_detail or ""
        return overtaken
    if isinstance(error, UnicodeEncodeError):
        return surrogate(error)
    if isinstance(error, errors.NumericValueOutOfRange):
        return too_large()
    if isinstance(error, psycopg.DataError | errors.ProgramLimitExceeded):
        return Unusable(f"the database cannot hold this value: {_first_line(error)}. Send another one.", "$")
    if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError | errors.ReadOnlySqlTransaction):
        return Lost(f"the database is not available ({_first_line(error)}); nothing of this was kept")
    return None


class PostgresSession:
    """A connection inside a transaction; see :class:`tocsin.store.sql.Session`."""

    dialect = "postgresql"

    def __init__(self, connection: Any, next_number: Callable[[str], int] | None = None) -> None:
        self.connection = connection
        self.failed: TocsinError | None = None
        """the first error of this unit of work: PostgreSQL keeps nothing of a transaction after it"""
        self.wrote = self.due = False
        self.kept: Kept | None = None
        self.marks: dict[str, int] = {}
        self._cursor = connection.cursor(binary=True)
        self._next_number = next_number

    def rows(self, statement: Statement, params: Params = NOTHING) -> list[Row]:
        return self._execute(statement, params).fetchall()  # type: ignore[no-any-return]

    def row(self, statement: Statement, params: Params = NOTHING) -> Row | None:
        return self._execute(statement, params).fetchone()  # type: ignore[no-any-return]

    def run(self, statement: Statement, params: Params = NOTHING) -> int:
        count = int(self._execute(statement, params).rowcount)
        self.wrote = self.wrote or count > 0
        return count

    def returning(self, statement: Statement, params: Params = NOTHING) -> list[Row]:
        rows = self.rows(statement, params)
        self.wrote = self.wrote or bool(rows)
        return rows

    def many(self, statement: Statement, rows: Sequence[Any]) -> None:
        params = [{name: getattr(row, name) for name in statement.names} for row in rows]
        for values in params:
            check_text(values.values())
        with self._understood():
            self._cursor.executemany(statement.postgres, params)
        self.wrote = self.wrote or self._cursor.rowcount > 0

    def later(self, statement: Statement, rows: Sequence[Any], keys: Sequence[Any]) -> None:
        self.many(statement, rows)

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query, a thousand at a time."""
        with self._understood(), self.connection.cursor(name="tocsin_stream", binary=True) as cursor:
            cursor.itersize = 1000
            cursor.execute(text)
            yield from cursor

    def next_number(self, series: str) -> int:
        if self._next_number is None:
            raise RuntimeError("numbers are given in transactions only")
        return self._next_number(series)

    def lock_positions(self) -> None:
        self.rows(_LOCK, {"lock": APPEND_LOCK})

    def forget(self) -> None:
        """Nothing to do: VACUUM takes what was dropped; PostgreSQL offers no more."""

    def _execute(self, statement: Statement, params: Params) -> Any:
        check_text(params.values())
        for name in statement.lists:
            check_text(params[name])
        with self._understood():
            return self._cursor.execute(statement.postgres, params)

    @contextmanager
    def _understood(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, UnicodeEncodeError) as error:
            meant = meaning(error)
            if meant is None:
                raise
            self.failed = self.failed or meant
            raise meant from error


class _Beside:
    """One connection of its own outside all transactions, made when it is needed and again when it was lost."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._connection: Any = None
        self._lock = threading.Lock()

    def value(self, statement: str, params: Sequence[Any] = ()) -> Any:
        """The first value of the statement's first row; raises :class:`Busy` where the server is away."""
        with self._lock:
            for attempt in (1, 2):
                fresh = self._connection is None
                try:
                    if self._connection is None:
                        self._connection = psycopg.connect(self._conninfo, autocommit=True)
                        # the commit of the transaction that uses a number flushes the number as well
                        self._connection.execute("SET synchronous_commit = off")
                    row = self._connection.execute(statement, params).fetchone()
                except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                    self._drop()
                    if fresh or attempt == 2:
                        raise unreachable(error) from error
                else:
                    return row[0] if row else None
        raise AssertionError("unreachable")

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class PostgresStore:
    """A store in a PostgreSQL database of its own; ``url`` is ``postgresql://user@host/name`` or a libpq string.

    Raises :class:`Busy` where the server cannot be reached and :class:`Unusable` where the database is not Tocsin's own
    or the extra is not installed.
    """

    serial = False
    dialect = "postgresql"

    def __init__(self, url: str) -> None:
        if psycopg is None:
            raise Unusable(
                "PostgreSQL's driver is not installed; pip install 'tocsin[postgres]'", "database_url"
            )
        self.place = mask(url)
        self._conninfo = conninfo(url, self.place)
        refuse(self._conninfo, self.place)
        self._stop = threading.Event()
        self._listeners = Listeners()
        self._turnstile = Turnstile()
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._notify = threading.Event()
        self._instance = token(SystemRandomness(), 60)
        self._beside = _Beside(self._conninfo)
        self._notifier = _Beside(self._conninfo)
        self._room = threading.BoundedSemaphore(QUEUE_LIMIT)
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="tocsin-store-writer")
        self._pool = psycopg_pool.ConnectionPool(
            self._conninfo,
            min_size=1,
            max_size=POOL_SIZE,
            timeout=POOL_SECONDS,
            reconnect_timeout=POOL_SECONDS,
            configure=_configure,
            open=True,
        )

    # -- reading and writing

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Runs ``work`` again where it was overtaken. A :class:`Busy` during the commit itself leaves open whether it
        was kept, and says so."""
        randomness = SystemRandomness()
        drawn: dict[str, list[int]] = {}
        overtaken = lost = 0
        key = ""
        while True:
            try:
                with self._turnstile.passing(alone=overtaken >= ALONE_AFTER):
                    return self._once(work, drawn)
            except Overtaken as error:
                overtaken += 1
                # the same key twice: the work does not decide on what it reads, so running it again cannot help
                if overtaken >= ATTEMPTS or (error.key and error.key == key):
                    raise
                key = error.key
            except Lost:
                lost += 1
                if lost > RECONNECTS:
                    raise
                self._pool.check()
            pause = jitter(randomness, min(1 << (overtaken + lost), 100) * MILLISECOND, 80)
            self._stop.wait(pause / SECOND)

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Raises :class:`Busy` where too many wait already or the store is closed."""
        if not self._room.acquire(blocking=False):
            raise Busy(f"{QUEUE_LIMIT} writes wait for the database already. Try again in a few seconds.")
        try:
            future = self._workers.submit(self.write, work)
        except RuntimeError:
            self._room.release()
            raise Busy("the store is closed") from None
        future.add_done_callback(lambda _: self._room.release())
        return future

    def read(self, work: Callable[[Reader], T]) -> T:
        for attempt in range(RECONNECTS + 1):
            try:
                with self._transaction() as connection:
                    return work(SqlReader(PostgresSession(connection)))
            except Lost:
                if attempt == RECONNECTS:
                    raise
                self._pool.check()
        raise AssertionError("unreachable")

    def subscribe(self, listener: Callable[[], None], *, due_only: bool = False) -> Callable[[], None]:
        """Wakes after commits of this process and of others, and each second besides."""
        remove = self._listeners.add(listener)
        self._start_notifier()
        self._start(
            "tocsin-store-listener", listen, self._conninfo, self._instance, self._listeners, self._stop
        )
        return remove

    def now(self) -> Instant:
        return int(self._beside.value(_NOW))

    def close(self) -> None:
        """Finishes what waits, then closes. May be called twice."""
        self._workers.shutdown(wait=True)
        self._stop.set()
        self._notify.set()
        for thread in self._threads:
            thread.join(timeout=3)
        self._pool.close()
        self._beside.close()
        self._notifier.close()

    def _once(self, work: Callable[[Transaction], T], drawn: dict[str, list[int]]) -> T:
        used: dict[str, int] = {}

        def next_number(series: str) -> int:
            """A work that is run again gets the numbers it had."""
            numbers, index = drawn.setdefault(series, []), used.get(series, 0)
            if index == len(numbers):
                numbers.append(int(self._beside.value(_NEXT_NUMBER, (f"number:{series}",))))
            used[series] = index + 1
            return numbers[index]

        with self._transaction() as connection:
            session = PostgresSession(connection, next_number)
            try:
                value = work(SqlTransaction(session))
            except Exception as error:
                if session.failed is not None and session.failed is not error:
                    raise session.failed from error
                raise
            if session.failed is not None:
                raise session.failed
            self._commit(connection)
        if session.wrote:
            self._listeners.call()
            self._wake_others()
        return value

    def _commit(self, connection: Any) -> None:
        try:
            connection.commit()
        except psycopg.Error as error:
            meant = meaning(error)
            if isinstance(meant, Lost):
                raise Busy(
                    f"the database went away during a commit ({_first_line(error)}): it may have been kept or not"
                ) from error
            raise meant or error from error

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """A connection whose transaction is rolled back unless it was committed inside."""
        try:
            connection = self._pool.getconn()
        except psycopg.OperationalError as error:  # PoolTimeout and PoolClosed are of its kind
            raise unreachable(error) from error
        try:
            yield connection
        finally:
            if not connection.closed:
                with suppress(psycopg.OperationalError):  # lost just now: the pool makes another one
                    connection.rollback()
            self._pool.putconn(connection)

    def _wake_others(self) -> None:
        self._start_notifier()
        self._notify.set()

    def _start_notifier(self) -> None:
        self._start(
            "tocsin-store-notifier", notify, self._notifier.value, self._instance, self._notify, self._stop
        )

    def _start(self, name: str, target: Callable[..., None], *args: Any) -> None:
        """Starts a thread unless it runs already."""
        if any(thread.name == name for thread in self._threads):
            return
        with self._starting:
            if not any(thread.name == name for thread in self._threads):
                thread = threading.Thread(name=name, target=target, args=args, daemon=True)
                thread.start()
                self._threads.append(thread)

    # -- operations

    def migrate(self) -> list[str]:
        """Brings the schema up to this version's; says which steps were taken."""
        if revision_of(self._conninfo) == revisions.HEAD:
            return []
        from tocsin.store.migrating import migrate  # SQLAlchemy is slow to import, and most starts do without

        return migrate(self)

    def check(self) -> list[str]:
        try:
            with psycopg.connect(self._conninfo) as connection:
                faults = revisions.faults(_revision(connection), self.place)
                if not faults and connection.execute("SELECT 1 FROM meta WHERE name = 'held'").fetchone():
                    faults.append(revisions.HELD)
                encoding = _setting(connection, "server_encoding")
                if encoding != "UTF8":
                    faults.append(f"The database is encoded as {encoding}. Create it with ENCODING 'UTF8'.")
                if connection.info.server_version < 130000:
                    faults.append("Tocsin needs PostgreSQL 13 or later. Upgrade the server.")
                for name, danger in _SETTINGS.items():
                    if _setting(connection, name) == "off":
                        faults.append(f"PostgreSQL runs with {name} = off: {danger}. Set it to on.")
        except psycopg.OperationalError as error:
            return [unreachable(error).sentence]
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
        """A SQLAlchemy engine for migrations and archives."""
        import sqlalchemy as sa  # SQLAlchemy is slow to import, and most starts do without
        from sqlalchemy.pool import NullPool

        def connect() -> Any:
            try:
                return psycopg.connect(self._conninfo)
            except psycopg.OperationalError as error:
                raise unreachable(error) from error

        return sa.create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)

    def session_on(self, connection: Any) -> PostgresSession:
        """A session on a connection of :meth:`engine`."""
        return PostgresSession(connection)


def conninfo(url: str, place: str) -> str:
    """The libpq string of ``url`` with defaults that notice a dead server; what the URL says goes first."""
    defaults = {"connect_timeout": "5", "application_name": "tocsin", "client_encoding": "utf8"}
    defaults |= {"keepalives_idle": "30", "keepalives_interval": "5", "keepalives_count": "3"}
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        raise Unusable(
            f"{place} is not an address of PostgreSQL: {_first_line(error)}", "database_url"
        ) from error
    return psycopg.conninfo.make_conninfo("", **{**defaults, **given})


def refuse(conninfo: str, place: str) -> None:
    """Refuses a database that is somebody else's or a newer Tocsin's."""
    try:
        with psycopg.connect(conninfo) as connection:
            tables = [row[0] for row in connection.execute(_TABLES)]
            revisions.refuse_strangers(tables, _revision(connection), place)
    except psycopg.OperationalError as error:
        raise unreachable(error) from error


def revision_of(conninfo: str) -> str | None:
    """The schema's revision; None where there is no schema."""
    try:
        with psycopg.connect(conninfo) as connection:
            return _revision(connection)
    except psycopg.OperationalError as error:
        raise unreachable(error) from error


def _revision(connection: Any) -> str | None:
    if connection.execute("SELECT to_regclass(%s)", [revisions.TABLE]).fetchone()[0] is None:
        return None
    row = connection.execute(f"SELECT version_num FROM {revisions.TABLE}").fetchone()
    return row[0] if row else None


def _setting(connection: Any, name: str) -> str:
    return str(connection.execute("SELECT current_setting(%s)", [name]).fetchone()[0])


def _configure(connection: Any) -> None:
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ


def unreachable(error: BaseException) -> Busy:
    return Busy(f"the database cannot be reached: {_first_line(error)}. Check that PostgreSQL runs.")


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return mask(text.splitlines()[0])
