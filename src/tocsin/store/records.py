"""Records, documents, requests, named values, remembered answers, and retention."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.kernel.ports import DocumentRow, RecordRow, RequestRow
from tocsin.store.sql import Row, Session, check_key, one_of, sql, upsert

_RECORD_COLUMNS = list(RecordRow.__struct_fields__)
_RECORDS = f"SELECT {', '.join(_RECORD_COLUMNS)} FROM records WHERE kind = :kind"
_RECORD = sql(f"{_RECORDS} AND id = :id")
_RECORD_BY = sql(f"{_RECORDS} AND lookup = :lookup ORDER BY id LIMIT 1")
_ALL_RECORDS = sql(f"{_RECORDS} ORDER BY id")
_PUT_RECORD = upsert("records", _RECORD_COLUMNS, ["kind", "id"])
_DELETE_RECORD = sql("DELETE FROM records WHERE kind = :kind AND id = :id")
_COUNTER = sql("SELECT value FROM counters WHERE name = :name")
_COUNT = sql(
    "INSERT INTO counters (name, value) VALUES (:name, 1)"
    " ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
)

_META = sql("SELECT value FROM meta WHERE name = :name")
_METAS = sql("SELECT name, value FROM meta WHERE substr(name, 1, :length) = :prefix ORDER BY name")
_PUT_META = upsert("meta", ["name", "value"], ["name"])
_DELETE_META = sql("DELETE FROM meta WHERE name = :name")

_DOCUMENT_COLUMNS = list(DocumentRow.__struct_fields__)
assert _DOCUMENT_COLUMNS[-1] == "current"
_DOCUMENTS = f"SELECT {', '.join(_DOCUMENT_COLUMNS)} FROM documents"
_DOCUMENT = sql(f"{_DOCUMENTS} WHERE kind = :kind AND name = :name AND current")
_BY_HASH = sql(f"{_DOCUMENTS} WHERE hash = :hash ORDER BY created_at DESC, version DESC LIMIT 1")
_VERSIONS = sql(f"{_DOCUMENTS} WHERE kind = :kind AND name = :name ORDER BY version")
_RETIRE = sql("UPDATE documents SET current = :no WHERE kind = :kind AND name = :name AND current")
_PUT_DOCUMENT = sql(
    f"INSERT INTO documents ({', '.join(_DOCUMENT_COLUMNS)})"
    f" VALUES ({', '.join(':' + name for name in _DOCUMENT_COLUMNS)})"
)

_REQUEST_COLUMNS = list(RequestRow.__struct_fields__)
_REQUESTS = sql(
    f"SELECT {', '.join(_REQUEST_COLUMNS)} FROM requests WHERE integration = :integration"
    " ORDER BY received_at DESC, id DESC LIMIT :limit"
)
_PUT_REQUEST = upsert("requests", _REQUEST_COLUMNS, ["id"])
_COUNT_REQUESTS = sql("SELECT count(*) FROM requests WHERE integration = :integration")
_TRIM_REQUESTS = sql(
    "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE integration = :integration"
    " ORDER BY received_at DESC, id DESC LIMIT 1000 OFFSET :keep)"
)
_SLACK = 16
"""requests kept beyond the ring's size, so that not every one pays for trimming"""

_REMEMBERED = sql("SELECT digest, answer FROM answers WHERE principal = :principal AND key = :key")
_REMEMBER = sql(
    "INSERT INTO answers (principal, key, digest, answer, created_at)"
    " VALUES (:principal, :key, :digest, :answer, :now)"
)

_FORGET = (
    sql("DELETE FROM answers WHERE created_at < :keys"),
    sql("DELETE FROM requests WHERE received_at < :requests"),
    sql("DELETE FROM alerts WHERE status <> 'firing' AND last_at < :alerts"),
    sql("DELETE FROM alert_groups WHERE joined_at < :alerts"),
    sql("DELETE FROM changes WHERE received_at < :alerts"),
    sql("DELETE FROM outbox WHERE finished_at > 0 AND finished_at < :outbox"),
)
_FORGET_RECORDS = sql("DELETE FROM records WHERE expires_at > 0 AND expires_at <= :now")


def _document(row: Row) -> DocumentRow:
    *values, current = row
    return DocumentRow(*values, current=bool(current))  # type: ignore[misc]


class _Named(msgspec.Struct):
    """A named value as the parameters of its row."""

    name: str
    value: bytes


class RecordReading:
    """What can be read of records, documents, requests and named values."""

    session: Session

    def record(self, kind: str, id: str) -> RecordRow | None:
        row = self.session.row(_RECORD, {"kind": kind, "id": id})
        return RecordRow(*row) if row else None

    def record_by(self, kind: str, lookup: str) -> RecordRow | None:
        row = self.session.row(_RECORD_BY, {"kind": kind, "lookup": lookup})
        return RecordRow(*row) if row else None

    def records(self, kind: str) -> list[RecordRow]:
        return [RecordRow(*row) for row in self.session.rows(_ALL_RECORDS, {"kind": kind})]

    def newest_records(self, kind: str, limit: int, before: str = "") -> list[RecordRow]:
        older = " AND id < :before" if before else ""
        text = f"{_RECORDS}{older} ORDER BY id DESC LIMIT :limit"
        params = {"kind": kind, "limit": limit} | ({"before": before} if before else {})
        return [RecordRow(*row) for row in self.session.rows(sql(text), params)]

    def mark(self, name: str) -> int:
        marks = self.session.marks
        if name not in marks:
            row = self.session.row(_COUNTER, {"name": f"mark:{name}"})
            marks[name] = int(row[0]) if row else 0
        return marks[name]

    def meta(self, name: str) -> bytes | None:
        row = self.session.row(_META, {"name": name})
        return row[0] if row else None

    def metas_named(self, names: Collection[str]) -> dict[str, bytes]:
        if not names:
            return {}
        condition, params = one_of("name", "names", sorted(names))
        return dict(self.session.rows(sql(f"SELECT name, value FROM meta WHERE {condition}"), params))  # type: ignore[arg-type]

    def metas(self, prefix: str) -> dict[str, bytes]:
        return dict(self.session.rows(_METAS, {"prefix": prefix, "length": len(prefix)}))  # type: ignore[arg-type]

    def document(self, kind: str, name: str) -> DocumentRow | None:
        row = self.session.row(_DOCUMENT, {"kind": kind, "name": name})
        return _document(row) if row else None

    def document_by_hash(self, hash: str) -> DocumentRow | None:
        row = self.session.row(_BY_HASH, {"hash": hash})
        return _document(row) if row else None

    def document_versions(self, kind: str, name: str) -> list[DocumentRow]:
        return [_document(row) for row in self.session.rows(_VERSIONS, {"kind": kind, "name": name})]

    def requests(self, integration: str, limit: int = 50) -> list[RequestRow]:
        """Newest first."""
        rows = self.session.rows(_REQUESTS, {"integration": integration, "limit": limit})
        return [RequestRow(*row) for row in rows]


class RecordWriting(RecordReading):
    """Writing records, documents, requests and named values."""

    def put_record(self, row: RecordRow) -> None:
        self.put_records([row])

    def put_records(self, rows: Sequence[RecordRow]) -> None:
        for row in rows:
            check_key("the record", row.kind, row.id, row.lookup)
        if rows:
            self.session.many(_PUT_RECORD, rows)
        # what ends by itself (sessions, links) is nothing that caches hold
        if not all(row.expires_at for row in rows):
            self._count("records")

    def delete_record(self, kind: str, id: str) -> bool:
        deleted = self.session.run(_DELETE_RECORD, {"kind": kind, "id": id}) > 0
        if deleted:
            self._count("records")
        return deleted

    def _count(self, name: str) -> None:
        self.session.marks.pop(name, None)
        self.session.returning(_COUNT, {"name": f"mark:{name}"})

    def put_meta(self, name: str, value: bytes | None) -> None:
        check_key("the name", name)
        if value is None:
            self.session.run(_DELETE_META, {"name": name})
        else:
            self.session.run(_PUT_META, {"name": name, "value": value})

    def put_metas(self, values: Mapping[str, bytes]) -> None:
        check_key("the name", *values)
        if values:
            self.session.many(_PUT_META, [_Named(name, value) for name, value in values.items()])

    def put_document(self, row: DocumentRow) -> None:
        check_key("the document", row.kind, row.name, row.hash)
        if row.current:
            self.session.run(_RETIRE, {"kind": row.kind, "name": row.name, "no": False})
        self.session.run(_PUT_DOCUMENT, msgspec.structs.asdict(row))
        self._count("documents")

    def put_request(self, row: RequestRow, keep: int = 50) -> None:
        check_key("the request", row.id, row.integration)
        self.session.run(_PUT_REQUEST, msgspec.structs.asdict(row))
        count = self.session.rows(_COUNT_REQUESTS, {"integration": row.integration})[0][0]
        if count > keep + _SLACK:
            self.session.run(_TRIM_REQUESTS, {"integration": row.integration, "keep": keep})

    def remembered(self, principal: str, key: str) -> tuple[bytes, bytes] | None:
        row = self.session.row(_REMEMBERED, {"principal": principal, "key": key})
        return (row[0], row[1]) if row else None

    def remember(self, principal: str, key: str, digest: bytes, answer: bytes, now: Instant) -> None:
        """Raises :class:`~tocsin.kernel.errors.Conflict` where the key has an answer already."""
        check_key("the idempotency key", principal, key)
        params = {"principal": principal, "key": key, "digest": digest, "answer": answer, "now": now}
        self.session.run(_REMEMBER, params)

    def forget_before(
        self, now: Instant, *, keys: Instant, requests: Instant, alerts: Instant, outbox: Instant
    ) -> int:
        """Changes and stale groups go with ``alerts``; firing alerts stay. Records go once they have expired by ``now``."""
        params = {"now": now, "keys": keys, "requests": requests, "alerts": alerts, "outbox": outbox}
        gone = sum(self.session.run(statement, params) for statement in _FORGET)
        if self.session.kept is not None:
            self.session.kept.clear()
        expired = self.session.run(_FORGET_RECORDS, params)
        if expired:
            self._count("records")
        return gone + expired
