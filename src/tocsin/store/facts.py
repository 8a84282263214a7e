"""Facts, streams and numbers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from types import SimpleNamespace
from typing import Any

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import Fact, Stream, from_stored
from tocsin.kernel.ports import ALL_FACTS, StreamRow
from tocsin.store.sql import Row, Session, Statement, check_key, one_of, sql, upsert, words_of

_FACTS = sql(
    "SELECT header, body, hash, position FROM facts"
    " WHERE kind = :kind AND stream = :stream AND version > :after ORDER BY version LIMIT :limit"
)
_FACTS_SINCE = sql(
    "SELECT header, body, hash, position FROM facts WHERE position > :position ORDER BY position LIMIT :limit"
)
_LAST_POSITION = sql("SELECT coalesce(max(position), 0) FROM facts")
_APPEND = sql(
    "INSERT INTO facts (kind, stream, version, id, header, body, hash)"
    " VALUES (:kind, :stream, :version, :id, :header, :body, :hash)"
)
_REDACT = sql("UPDATE facts SET body = :body WHERE kind = :kind AND stream = :stream AND id = :id")

_LIST = [name for name in StreamRow.__struct_fields__ if name != "stream"]
_COLUMNS = ["kind", "id", *_LIST]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM streams"
_STREAM = sql(f"{_SELECT} WHERE kind = :kind AND id = :id")
_BY_NUMBER = sql(f"{_SELECT} WHERE series = :series AND number = :number AND number > 0")
_LAST_FACT = sql("SELECT position, hash FROM facts ORDER BY position DESC LIMIT 1")
_HASH = sql("SELECT hash FROM facts WHERE position = :position")
# every fact after a position, told apart here: asked for one kind, the planner walks through all facts of it
_CHANGED = sql("SELECT kind, stream, hash FROM facts WHERE position > :after ORDER BY position LIMIT :limit")
_HEADS = sql("SELECT kind, id, version, head FROM streams")
_HEADS_NAMED = "SELECT id, version, head FROM streams WHERE kind = :kind"
_HEADS_OF = sql("SELECT kind, id, version, head FROM streams WHERE kind = :kind")
_PUT = upsert("streams", [*_COLUMNS, "words"], ["kind", "id"])


def _moved(columns: Sequence[str]) -> Statement:
    """Writes ``columns`` of streams that are there."""
    return sql(
        f"WITH moved (kind, id, {', '.join(columns)}) AS (VALUES (:kind, :id, {', '.join(f':{name}' for name in columns)}))"
        f" UPDATE streams SET {', '.join(f'{name} = moved.{name}' for name in columns)} FROM moved"
        " WHERE streams.kind = moved.kind AND streams.id = moved.id",
        f"UPDATE streams SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE kind = :kind AND id = :id",
    )


_MOVE = _moved([name for name in [*_LIST, "words"] if name != "snapshot"])
_MOVE_HEAD = _moved(["version", "head", "updated_at"])
_FLAGS = [2 + _LIST.index(name) for name in ("open", "restricted", "drill")]

# members are parted by blanks; replace() compares exactly in both databases, where LIKE ignores case in SQLite
_VISIBLE = "(NOT restricted OR replace(' ' || members || ' ', :principal, '') <> ' ' || members || ' ')"
_MATCH_SQLITE = "serial IN (SELECT rowid FROM stream_words WHERE stream_words MATCH :match)"
_MATCH_POSTGRES = "array_to_tsvector(string_to_array(words, ' ')) @@ CAST(:match AS tsquery)"


def _stream_row(row: Row) -> StreamRow:
    values = list(row)
    for index in _FLAGS:
        values[index] = bool(values[index])
    return StreamRow(Stream(values[0], values[1]), *values[2:])


class _Appended:
    """A fact as the parameters of its row."""

    __slots__ = ("body", "hash", "header", "id", "kind", "stream", "version")

    def __init__(self, fact: Fact) -> None:
        self.kind, self.stream, self.version, self.id = (
            fact.stream.kind,
            fact.stream.id,
            fact.version,
            fact.id,
        )
        self.header, self.body, self.hash = fact.header, fact.body, fact.hash


class FactReading:
    """What can be read of facts and streams."""

    session: Session

    def facts(self, stream: Stream, after: int = 0, limit: int = ALL_FACTS) -> list[Fact]:
        params = {"kind": stream.kind, "stream": stream.id, "after": after, "limit": limit}
        return [from_stored(*row) for row in self.session.rows(_FACTS, params)]

    def facts_since(self, position: int, limit: int = 500) -> list[Fact]:
        rows = self.session.rows(_FACTS_SINCE, {"position": position, "limit": limit})
        return [from_stored(*row) for row in rows]

    def last_position(self) -> int:
        return int(self.session.rows(_LAST_POSITION)[0][0])

    def stream(self, stream: Stream) -> StreamRow | None:
        row = self.session.row(_STREAM, {"kind": stream.kind, "id": stream.id})
        return _stream_row(row) if row else None

    def stream_by_number(self, series: str, number: int) -> StreamRow | None:
        row = self.session.row(_BY_NUMBER, {"series": series, "number": number})
        return _stream_row(row) if row else None

    def streams(
        self,
        kind: str,
        *,
        open: bool | None = None,
        principal: str | None = None,
        severity: str = "",
        status: str = "",
        search: str = "",
        drill: bool | None = None,
        before: tuple[Instant, str] | None = None,
        limit: int = 100,
    ) -> list[StreamRow]:
        where = ["kind = :kind"]
        params: dict[str, Any] = {"kind": kind, "limit": limit}
        if open is not None:
            where.append("open" if open else "NOT open")
        if drill is not None:
            where.append("drill" if drill else "NOT drill")
        if principal is not None:
            # no principal has a blank in its name, so one that has is a member of nothing
            where.append(_VISIBLE if principal and " " not in principal else "NOT restricted")
            params["principal"] = f" {principal} "
        for name, value in (("severity", severity), ("status", status)):
            if value:
                where.append(f"{name} = :{name}")
                params[name] = value
        if before is not None:
            where.append("(opened_at, id) < (:before_at, :before_id)")
            params["before_at"], params["before_id"] = before
        words = words_of(search)
        if words:
            where.append(_MATCH_SQLITE if self.session.dialect == "sqlite" else _MATCH_POSTGRES)
            params["match"] = _match(self.session.dialect, words)
        elif search.strip():
            return []
        text = f"{_SELECT} WHERE {' AND '.join(where)} ORDER BY opened_at DESC, id DESC LIMIT :limit"
        return [_stream_row(row) for row in self.session.rows(sql(text), params)]

    def last_fact(self) -> tuple[int, bytes]:
        row = self.session.row(_LAST_FACT)
        return (row[0], bytes(row[1])) if row else (0, b"")

    def fact_hash(self, position: int) -> bytes | None:
        row = self.session.row(_HASH, {"position": position})
        return bytes(row[0]) if row else None

    def changed_streams(self, kind: str, after: int, limit: int) -> dict[str, bytes] | None:
        rows = self.session.rows(_CHANGED, {"after": after, "limit": limit + 1})
        return None if len(rows) > limit else {row[1]: bytes(row[2]) for row in rows if row[0] == kind}

    def heads_of(self, kind: str, ids: Collection[str]) -> dict[str, tuple[int, bytes]]:
        if not ids:
            return {}
        condition, params = one_of("id", "ids", sorted(ids))
        rows = self.session.rows(sql(f"{_HEADS_NAMED} AND {condition}"), {"kind": kind, **params})
        return {row[0]: (row[1], bytes(row[2])) for row in rows}

    def heads(self, kind: str | None = None) -> dict[str, tuple[int, bytes]]:
        rows = self.session.rows(_HEADS) if kind is None else self.session.rows(_HEADS_OF, {"kind": kind})
        return {f"{row[0]}/{row[1]}": (row[2], row[3]) for row in rows}


class FactWriting(FactReading):
    """Appending facts, and the heads of streams."""

    def next_number(self, series: str) -> int:
        check_key("the series", series)
        return self.session.next_number(series)

    def append(self, facts: Sequence[Fact]) -> None:
        if not facts:
            return
        self.session.lock_positions()
        self.session.later(_APPEND, [_Appended(fact) for fact in facts], [fact.id for fact in facts])

    def put_stream(self, row: StreamRow, *, behind: bool = False) -> None:
        check_key("the stream", row.stream.kind, row.stream.id)
        params = msgspec.structs.asdict(row)
        params["kind"], params["id"] = row.stream.kind, row.stream.id
        params["words"] = " ".join(dict.fromkeys(words_of(row.search)))
        self.session.later(_MOVE if behind else _PUT, [SimpleNamespace(**params)], [row.stream])

    def move_head(self, stream: Stream, version: int, head: bytes, now: Instant) -> None:
        moved = SimpleNamespace(kind=stream.kind, id=stream.id, version=version, head=head, updated_at=now)
        self.session.later(_MOVE_HEAD, [moved], [stream])

    def redact(self, stream: Stream, fact_id: str, stand_in: bytes | None = None) -> bool:
        # the view and the list row, which held the same words, are written over in the same unit of work
        self.session.forget()
        params = {"kind": stream.kind, "stream": stream.id, "id": fact_id, "body": stand_in}
        return self.session.run(_REDACT, params) > 0


def _match(dialect: str, words: Sequence[str]) -> str:
    """The query of either full-text engine: every word, as the beginning of one. Words are letters and digits only."""
    if dialect == "sqlite":
        return " ".join(f'"{word}"*' for word in words[:32])
    return " & ".join(f"'{word}':*" for word in words[:32])
