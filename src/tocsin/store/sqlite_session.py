"""A connection to SQLite inside a transaction: how statements are run, and how rows of one unit of work wait for each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

from tocsin.kernel.codec import encode
from tocsin.kernel.errors import Busy, Conflict, Unusable
from tocsin.store.kept import Kept
from tocsin.store.sql import Params, Row, Statement, check_text, nul, sql, surrogate, too_large, upsert

try:
    import pysqlite3 as driver
except ImportError:  # no wheel for this platform: the interpreter's own
    import sqlite3 as driver

NOTHING: dict[str, Any] = {}
AT_ONCE, FEW = 256, 16
"""rows of one statement; fewer go in powers of two, and the last few together, so that there are few texts of each statement"""

_NUMBER = sql("SELECT value FROM counters WHERE name = :name")
_COUNT_ON = upsert("counters", ["name", "value"], ["name"])


class Mark(NamedTuple):
    """How far a series of numbers has come, as the parameters of its row."""

    name: str
    value: int


class SqliteSession:
    """A connection inside a transaction; see :class:`tocsin.store.sql.Session`."""

    dialect = "sqlite"

    def __init__(
        self,
        connection: Any,
        marks: dict[str, int] | None = None,
        kept: Kept | None = None,
        *,
        gathers: bool = False,
    ) -> None:
        """``gathers``: whoever runs the unit of work ends it with :meth:`write_all`, so that rows may wait for each other."""
        self.connection, self.kept, self._gathers = connection, kept, gathers
        self._waiting: dict[str, list[tuple[Statement, dict[Any, tuple[Any, ...]]]]] = {}
        """table → what will be written there, in its order"""
        self.due = False
        self.marks: dict[str, int] = {} if marks is None else marks
        self.failed: BaseException | None = None
        """the first error of this unit of work: a statement may have been half done, so nothing of it may be kept"""

    def rows(self, statement: Statement, params: Params = NOTHING) -> list[Row]:
        return self._execute(statement, params).fetchall()  # type: ignore[no-any-return]

    returning = rows

    def row(self, statement: Statement, params: Params = NOTHING) -> Row | None:
        return self._execute(statement, params).fetchone()  # type: ignore[no-any-return]

    def run(self, statement: Statement, params: Params = NOTHING) -> int:
        return int(self._execute(statement, params).rowcount)

    def many(self, statement: Statement, rows: Sequence[Any]) -> None:
        # rows travel together: for each statement, and each row of executemany, this thread would let the interpreter go and wait
        # for the one that listens to give it back, which takes longer than the row
        if self._waiting:
            self._write_before(statement)
        values = list(map(statement.values_of, rows))
        for row in values:
            check_text(row)
        self._many(statement, values)

    def _many(self, statement: Statement, rows: Sequence[tuple[Any, ...]]) -> None:
        at = 0
        try:
            while at < len(rows):
                left = len(rows) - at
                count = left if left <= FEW else min(AT_ONCE, 1 << left.bit_length() - 1)
                some = rows[at] if count == 1 else tuple(chain.from_iterable(rows[at : at + count]))
                self.connection.execute(statement.of_many(count), some)
                at += count
        except (driver.Error, UnicodeEncodeError, OverflowError) as error:
            raise self._meant(error) from error

    def later(self, statement: Statement, rows: Sequence[Any], keys: Sequence[Any]) -> None:
        if not self._gathers:
            self.many(statement, rows)
            return
        values = list(map(statement.values_of, rows))
        for row in values:
            check_text(row)
        batches = self._waiting.setdefault(statement.table, [])
        if not batches or batches[-1][0] is not statement:
            batches.append((statement, {}))
        batches[-1][1].update(zip(keys, values, strict=True))

    def write_all(self) -> None:
        """Writes what waits."""
        while self._waiting:
            self._write_table(next(iter(self._waiting)))

    def _write_before(self, statement: Statement) -> None:
        """Writes what waits for a table that ``statement`` speaks of."""
        for table in statement.tables & self._waiting.keys():
            self._write_table(table)

    def _write_table(self, table: str) -> None:
        for statement, rows in self._waiting.pop(table):
            self._many(statement, list(rows.values()))

    def _execute(self, statement: Statement, params: Params) -> Any:
        if self._waiting:
            self._write_before(statement)
        return self._run(statement, params)

    def _run(self, statement: Statement, params: Params) -> Any:
        check_text(params.values())
        try:
            if statement.lists:
                params = {**params, **{name: _json(params[name]) for name in statement.lists}}
            return self.connection.execute(statement.sqlite, params)
        except (driver.Error, UnicodeEncodeError, OverflowError) as error:
            raise self._meant(error) from error

    def _meant(self, error: Exception) -> Exception:
        """The error of our own tree that ``error`` means, or itself."""
        meant: Exception = error
        if isinstance(error, driver.IntegrityError):
            meant = Conflict(f"somebody else wrote it first ({error}): read again and retry")
        elif isinstance(error, UnicodeEncodeError):
            meant = surrogate(error)
        elif isinstance(error, OverflowError):
            meant = too_large()
        elif isinstance(error, driver.DataError):
            meant = Unusable(f"the database cannot hold this value: {error}. Send a smaller one.", "$")
        elif isinstance(error, driver.OperationalError):
            meant = unwritable(error)
        self.failed = self.failed or meant
        return meant

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query, one after another."""
        self.write_all()
        yield from self.connection.execute(text)

    def next_number(self, series: str) -> int:
        name = f"number:{series}"
        if name not in self.marks:
            row = self.row(_NUMBER, {"name": name})
            self.marks[name] = int(row[0]) if row else 0
        self.marks[name] += 1
        self.later(_COUNT_ON, [Mark(name, self.marks[name])], [name])
        return self.marks[name]

    def lock_positions(self) -> None:
        """Nothing to do: the one writer gives positions in the order of commits."""

    def forget(self) -> None:
        self.write_all()
        # for as long as this process lives: redactions are rare, and the unit of work has more to write over
        self.connection.execute("PRAGMA secure_delete = ON").fetchall()
        if driver.sqlite_version_info >= (3, 42):
            self.connection.execute(
                "INSERT INTO stream_words (stream_words, rank) VALUES ('secure-delete', 1)"
            )


def unwritable(error: BaseException) -> Busy:
    """What a full or failing disk means to whoever waits: nothing was kept, try again later."""
    return Busy(f"the database could not write ({error}); nothing of this was kept. Check the disk.")


def _json(values: Sequence[Any]) -> str:
    try:
        text = encode(list(values)).decode()
    except UnicodeEncodeError as error:
        raise surrogate(error) from None
    if "\\u0000" in text:
        for value in values:
            if "\x00" in value:
                raise nul(value)
    return text
