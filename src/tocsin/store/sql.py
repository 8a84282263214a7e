"""One SQL text for both databases, compiled once to what each driver reads, and the session that runs it.

Statements are written with ``:name`` parameters. Two forms differ between the databases and are spelled for both here:

- ``column = ANY(:names)`` takes a list (SQLite: ``json_each``; PostgreSQL: an array);
- ``{skip_locked}`` leaves out rows that another transaction is working on (SQLite has one writer: nothing to skip).

No statement asks the database what time it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any, Protocol

from tocsin.kernel.errors import Unusable
from tocsin.store.kept import Kept

Params = Mapping[str, Any]
Row = tuple[Any, ...]

KEY_LIMIT = 1000
"""Bytes an indexed text may have: PostgreSQL's B-tree takes about 2,700 for all columns of an entry together."""

_ANY = re.compile(r"= ANY\(:(\w+)\)")
_NAME = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_TABLE = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(\w+)", re.IGNORECASE)


class Statement:
    """One statement in both spellings; ``lists`` names the parameters that are lists."""

    __slots__ = ("_of_many", "_parts", "lists", "names", "postgres", "sqlite", "table", "tables")

    def __init__(self, text: str, postgres: str | None = None) -> None:
        self.names = tuple(dict.fromkeys(_NAME.findall(postgres or text)))
        self._parts: tuple[str, str, str, Callable[[Any], tuple[Any, ...]]] | None = None
        self._of_many: dict[int, str] = {}
        self.lists = tuple(_ANY.findall(text))
        tables = _TABLE.findall(text)
        self.table: str = tables[0] if tables else ""
        """the first that is named: of an insertion the one that it goes into"""
        self.tables = frozenset(tables)
        sqlite = _ANY.sub(r"IN (SELECT value FROM json_each(:\1))", text)
        self.sqlite = sqlite.replace("{skip_locked}", "")
        other = (postgres or text).replace("%", "%%").replace("{skip_locked}", "FOR UPDATE SKIP LOCKED")
        self.postgres = _NAME.sub(r"%(\1)s", other)

    @property
    def values_of(self) -> Callable[[Any], tuple[Any, ...]]:
        """The parameters of the row behind ``VALUES`` out of an object that has them as attributes, in their order."""
        return self._taken_apart()[3]

    def of_many(self, count: int) -> str:
        """The statement for SQLite with ``count`` rows behind ``VALUES``, its parameters question marks."""
        if count not in self._of_many:
            before, row, after, _ = self._taken_apart()
            self._of_many[count] = f"{before}{', '.join([row] * count)}{after}"
        return self._of_many[count]

    def _taken_apart(self) -> tuple[str, str, str, Callable[[Any], tuple[Any, ...]]]:
        if self._parts is None:
            before, values, rest = self.sqlite.partition("VALUES ")
            depth = end = 0
            for end, letter in enumerate(rest):  # noqa: B007  # where the row ends
                depth += {"(": 1, ")": -1}.get(letter, 0)
                if depth == 0:
                    break
            row = rest[: end + 1]
            assert values and row.startswith("("), f"no row of values in {self.sqlite}"
            self._parts = (
                before + values, _NAME.sub("?", row), rest[end + 1 :], attrgetter(*_NAME.findall(row))
            )  # fmt: skip
        return self._parts


@lru_cache(maxsize=512)
def sql(text: str, postgres: str | None = None) -> Statement:
    """The statement of ``text``; the same text gives the same statement. ``postgres`` is its own spelling where needed."""
    return Statement(text, postgres)


def upsert(table: str, columns: Sequence[str], key: Sequence[str]) -> Statement:
    """Insert a row, or overwrite the one that has its ``key``."""
    values = ", ".join(f":{column}" for column in columns)
    updates = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return sql(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values}) "
        f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {updates}"
    )


class Session(Protocol):
    """A connection inside a transaction.

    Every method raises :class:`Unusable` for text or numbers that no database can hold, and
    :class:`~tocsin.kernel.errors.Conflict` where a unique key exists already.
    """

    dialect: str
    due: bool
    """whether something was written that may fall due"""
    marks: dict[str, int]
    """marks that were read in this transaction"""
    kept: Kept | None
    """alerts as they were last written, where nobody else writes"""

    def rows(self, statement: Statement, params: Params = ...) -> list[Row]: ...
    def row(self, statement: Statement, params: Params = ...) -> Row | None: ...
    def run(self, statement: Statement, params: Params = ...) -> int:
        """Runs a statement that changes rows; says how many."""
        ...

    def returning(self, statement: Statement, params: Params = ...) -> list[Row]:
        """Runs a statement that changes rows and answers with them."""
        ...

    def many(self, statement: Statement, rows: Sequence[Any]) -> None:
        """Runs a statement for many rows, in their order: objects that have its parameters as attributes. For SQLite it has one
        row of them behind ``VALUES``.
        """
        ...

    def later(self, statement: Statement, rows: Sequence[Any], keys: Sequence[Any]) -> None:
        """Like :meth:`many`, but not before something else asks for the statement's table, or the unit of work ends: then what
        has gathered is written together. Of two rows with one of ``keys`` the later one is written alone, so that a statement
        has to write all that the one before it would have written.
        """
        ...

    def stream(self, text: str) -> Iterator[Row]:
        """The rows of a query without holding all of them at once."""
        ...

    def next_number(self, series: str) -> int: ...
    def lock_positions(self) -> None:
        """Makes the positions given from here to the end of the transaction follow all those given before."""
        ...

    def forget(self) -> None:
        """From here on what is dropped is overwritten, where the database would leave it in its file."""
        ...


def check_text(values: Iterable[Any]) -> None:
    """Refuses NUL characters, which SQLite would keep and PostgreSQL refuses."""
    for value in values:
        if type(value) is str and "\x00" in value:
            raise nul(value)


NAMED = 8
"""values that are named one by one: SQLite takes longer to open a list than to find a few rows"""


def one_of(column: str, name: str, values: Sequence[Any]) -> tuple[str, dict[str, Any]]:
    """The condition that a column has one of ``values``, and its parameters, which begin with ``name``."""
    if len(values) > NAMED:
        return f"{column} = ANY(:{name})", {name: list(values)}
    names = [f"{name}_{number}" for number in range(len(values))]
    return f"{column} IN ({', '.join(f':{one}' for one in names)})", dict(zip(names, values, strict=True))


def nul(value: str) -> Unusable:
    place = value.index("\x00")
    return Unusable(
        f"a text has a NUL character after {value[max(0, place - 30) : place]!r}. Remove it.", "$"
    )


def surrogate(error: UnicodeEncodeError) -> Unusable:
    before = error.object[max(0, error.start - 30) : error.start]
    return Unusable(f"a text has half a character (a lone surrogate) after {before!r}. Send UTF-8 text.", "$")


def too_large() -> Unusable:
    return Unusable("a number does not fit into 64 bits. Send a smaller one.", "$")


def check_key(name: str, *values: str) -> None:
    """Refuses a key that is longer than an index takes."""
    for value in values:
        if len(value) > KEY_LIMIT // 4 and len(value.encode("utf-8", "replace")) > KEY_LIMIT:
            raise Unusable(
                f"{name} is {len(value)} characters long ({value[:40]!r}…). Keep it under {KEY_LIMIT} bytes.",
                name,
            )


_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words of a text as search knows them: runs of letters and digits, lower case, at most 60 characters each.

    Both databases get the words that this function found, so that they find the same.
    """
    return [word[:60] for word in _WORD.findall(text[:100_000].casefold())]
