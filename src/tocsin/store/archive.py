"""Backups: one portable file for both databases, so that a restore also moves from SQLite to PostgreSQL and back.

The file is gzipped text, one JSON value a line: what it is (format, schema revision), then for each table its columns
followed by its rows, then how many rows there were. Bytes are base64. It is read from one snapshot while the store is
in use. A restore needs an empty store, brings it to the backup's schema, loads, upgrades, and leaves it held: a copy
must not page the world again. All of that is one transaction.
"""

from __future__ import annotations

import gzip
import os
import zlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa

from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import FromTheFuture, Refused, Unusable
from tocsin.kernel.ports import Store, chunks
from tocsin.store import revisions
from tocsin.store.migrating import current, upgrade
from tocsin.store.schema import metadata
from tocsin.store.transaction import SqlTransaction

FORMAT = "tocsin-backup"
VERSION = 1
FILE_NAME = "tocsin-backup.jsonl.gz"
_OWN = {"streams": {"serial"}}
"""columns that each database numbers by itself"""

T = TypeVar("T")


class Archived(Store, Protocol):
    """What a store offers beyond its port for this."""

    def engine(self) -> Any: ...
    def session_on(self, connection: Any) -> Any: ...


def backup(store: Archived, target: str) -> None:
    """Writes the store to the file ``target``, or to ``tocsin-backup.jsonl.gz`` in the folder ``target``.

    An earlier backup of that name is replaced once the new one is whole. Raises :class:`Refused` where the schema is
    not this version's, :class:`Unusable` where the file cannot be written.
    """
    path = Path(target)
    if path.is_dir():
        path = path / FILE_NAME
    unfinished = path.with_name(path.name + ".part")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as raw:
            with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=5, mtime=0) as out:
                store.read(lambda reader: _write(store.dialect, reader, out))
            raw.flush()
            os.fsync(raw.fileno())
        unfinished.replace(path)
    except OSError as error:
        raise Unusable(f"the backup cannot be written to {path}: {error.strerror}.", str(path)) from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write(dialect: str, reader: Any, out: Any) -> None:
    session = reader.session
    revision = next(session.stream(f"SELECT version_num FROM {revisions.TABLE}"), (None,))[0]
    if revision != revisions.HEAD:
        raise Refused(f"the store has schema {revision}, not {revisions.HEAD}: run tocsin migrate first.")
    _line(out, {"format": FORMAT, "version": VERSION, "revision": revision, "dialect": dialect})
    rows: dict[str, int] = {}
    for table in metadata.sorted_tables:
        columns = [column for column in table.columns if column.name not in _OWN.get(table.name, ())]
        names = [str(column.name) for column in columns]
        flags = [index for index, column in enumerate(columns) if isinstance(column.type, sa.Boolean)]
        binary = [index for index, column in enumerate(columns) if isinstance(column.type, sa.LargeBinary)]
        _line(out, {"table": str(table.name), "columns": names, "bytes": binary, "flags": flags})
        key = ", ".join(column.name for column in table.primary_key)
        count = 0
        for row in session.stream(f"SELECT {', '.join(names)} FROM {table.name} ORDER BY {key}"):
            values = list(row)
            for index in flags:
                values[index] = bool(values[index])
            _line(out, values)
            count += 1
        rows[str(table.name)] = count
    _line(out, {"end": rows})


def _line(out: Any, value: Any) -> None:
    out.write(encode(value))
    out.write(b"\n")


def restore(store: Archived, source: str) -> None:
    """Fills an empty store from the backup ``source`` and leaves it held.

    Raises :class:`Refused` where the store is not empty, :class:`FromTheFuture` for a newer version's backup and
    :class:`Unusable` for what is no backup, or not a whole one; the store then is as it was.
    """
    path = Path(source)
    if path.is_dir():
        path = path / FILE_NAME
    engine = store.engine()
    try:
        with gzip.open(path, "rb") as file, engine.begin() as connection:
            lines = (decode(line) for line in file)
            _prepare(connection, _header(next(lines, None), path))
            _load(connection, lines, path)
            if connection.dialect.name == "postgresql":
                _continue_numbering(connection)
            upgrade(connection, revisions.HEAD)
            SqlTransaction(store.session_on(connection.connection.driver_connection)).hold_all()
    except FileNotFoundError:
        raise Unusable(f"there is no backup at {path}.", str(path)) from None
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise Unusable(f"{path} is not a whole backup of Tocsin's: {error}.", str(path)) from error
    finally:
        engine.dispose()


def _header(header: Any, path: Path) -> str:
    """The schema revision that the backup has."""
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise Unusable(f"{path} is not a backup of Tocsin's.", str(path))
    if header.get("version") != VERSION or header.get("revision") not in revisions.KNOWN:
        raise FromTheFuture(
            f"the backup {path} was made by a newer version of Tocsin (schema {header.get('revision')}). "
            "Restore it with that version."
        )
    return str(header["revision"])


def _prepare(connection: Any, revision: str) -> None:
    """Brings an empty database to ``revision``; refuses one that holds anything."""
    present = set(sa.inspect(connection).get_table_names())
    full = [
        table.name
        for table in metadata.sorted_tables
        if table.name in present
        and connection.exec_driver_sql(f"SELECT 1 FROM {table.name} LIMIT 1").first() is not None
    ]
    if full:
        raise Refused(
            f"the store is not empty (it has {', '.join(full[:4])}). "
            "Restore into a new data folder or database, before the first start."
        )
    if current(connection) not in (None, revision):
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("DROP TABLE IF EXISTS stream_words")
        metadata.drop_all(connection)
        connection.exec_driver_sql(f"DROP TABLE {revisions.TABLE}")
    upgrade(connection, revision)


def _load(connection: Any, lines: Iterator[Any], path: Path) -> None:
    """Inserts the rows table by table; checks the counts that the last line tells."""
    counts: dict[str, int] = {}
    line = next(lines, None)
    while isinstance(line, dict) and "table" in line:
        heading, line = line, None
        rows: list[Any] = []

        def rows_of_table(lines: Iterator[Any] = lines, rest: list[Any] = rows) -> Iterator[Any]:
            for value in lines:
                if isinstance(value, dict):
                    rest.append(value)
                    return
                yield value

        counts[heading["table"]] = _insert(connection, heading, rows_of_table())
        line = rows[0] if rows else None
    if not isinstance(line, dict) or line.get("end") != counts:
        raise Unusable(f"the backup {path} ends early: it is not whole.", str(path))


def _insert(connection: Any, heading: dict[str, Any], rows: Iterator[Any]) -> int:
    table = metadata.tables.get(heading["table"])
    columns = heading["columns"]
    if table is None or not set(columns) <= set(table.columns.keys()):
        raise Unusable(f"the backup has a table that is not Tocsin's: {heading['table']}")
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    statement = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({', '.join([mark] * len(columns))})"
    count = 0
    for batch in chunks(rows, 500):
        for values in batch:
            for index in heading["bytes"]:
                if values[index] is not None:
                    values[index] = b64decode(values[index])
        connection.exec_driver_sql(statement, [tuple(values) for values in batch])
        count += len(batch)
    return count


def _continue_numbering(connection: Any) -> None:
    connection.exec_driver_sql(
        "SELECT setval(pg_get_serial_sequence('facts', 'position'), (SELECT max(position) FROM facts))"
    )
