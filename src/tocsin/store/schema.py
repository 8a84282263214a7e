"""The tables, as SQLAlchemy Core. Databases are made by the migrations alone; a test holds both to the same shape.

Instants are 64-bit integers (UTC microseconds). Text that is a key sorts by its bytes in both databases. The index of
words behind full-text search differs between them and lives in its migration.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _key(name: str, primary_key: bool = False) -> sa.Column[str]:
    return sa.Column(name, KEY, nullable=False, primary_key=primary_key)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _bytes(name: str, nullable: bool = False) -> sa.Column[bytes]:
    return sa.Column(name, sa.LargeBinary(), nullable=nullable)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


facts = sa.Table(
    "facts",
    metadata,
    sa.Column("position", SERIAL, sa.Identity(), primary_key=True),
    _key("kind"),
    _key("stream"),
    _number("version"),
    _key("id"),
    _bytes("header"),
    _bytes("body", nullable=True),
    _bytes("hash"),
    sa.UniqueConstraint("kind", "stream", "version", name="facts_version"),
    sqlite_autoincrement=True,
)

streams = sa.Table(
    "streams",
    metadata,
    sa.Column("serial", SERIAL, sa.Identity(), primary_key=True),
    _key("kind"),
    _key("id"),
    _key("series"),
    _number("number"),
    _number("version"),
    _bytes("head"),
    _number("fold"),
    _bytes("snapshot"),
    _key("status"),
    _key("severity"),
    _text("title"),
    _flag("open"),
    _flag("restricted"),
    _flag("drill"),
    _text("members"),
    _number("opened_at"),
    _number("updated_at"),
    _text("search"),
    sa.Column("words", sa.Text(), nullable=False, server_default=""),
    sa.UniqueConstraint("kind", "id", name="streams_id"),
)
sa.Index("streams_opened", streams.c.kind, streams.c.opened_at, streams.c.id)
sa.Index(
    "streams_number",
    streams.c.series,
    streams.c.number,
    unique=True,
    sqlite_where=streams.c.number > 0,
    postgresql_where=streams.c.number > 0,
)

counters = sa.Table("counters", metadata, _key("name", primary_key=True), _number("value"))

alerts = sa.Table(
    "alerts",
    metadata,
    _key("integration", primary_key=True),
    _key("dedup_key", primary_key=True),
    _number("episode"),
    _key("status"),
    _key("state"),
    _key("severity"),
    _text("summary"),
    _text("service"),
    _key("incident"),
    _key("group_key"),
    _text("reason"),
    _number("started_at"),
    _number("received_at"),
    _number("last_at"),
    _number("source_at"),
    _number("ends_at"),
    _number("cleared_at"),
    _number("repeats"),
    _bytes("body"),
    _flag("restricted"),
    # when its end is looked at next: repeats move ends_at and leave this, and its index, where it is. 0: by the next look
    sa.Column("look_at", sa.BigInteger(), nullable=False, server_default="0"),
)
_of_incident = alerts.c.incident != ""
_firing = alerts.c.status == "firing"
sa.Index("alerts_incident", alerts.c.incident, sqlite_where=_of_incident, postgresql_where=_of_incident)
sa.Index(
    "alerts_firing",
    alerts.c.integration,
    alerts.c.dedup_key,
    sqlite_where=_firing,
    postgresql_where=_firing,
)
sa.Index("alerts_ending", alerts.c.look_at, sqlite_where=_firing, postgresql_where=_firing)

alert_groups = sa.Table(
    "alert_groups",
    metadata,
    _key("group_key", primary_key=True),
    _key("incident"),
    _number("opened_at"),
    _number("joined_at"),
    sqlite_with_rowid=False,
)
sa.Index("alert_groups_incident", alert_groups.c.incident)

changes = sa.Table(
    "changes",
    metadata,
    _key("id", primary_key=True),
    _key("integration"),
    _key("service"),
    _number("at"),
    _number("received_at"),
    _text("summary"),
    _bytes("body"),
)
sa.Index("changes_at", changes.c.at)

requests = sa.Table(
    "requests",
    metadata,
    _key("id", primary_key=True),
    _key("integration"),
    _number("received_at"),
    _number("status"),
    _text("reason"),
    _bytes("body"),
    _text("headers"),
)
sa.Index("requests_received", requests.c.integration, requests.c.received_at, requests.c.id)

timers = sa.Table(
    "timers",
    metadata,
    _key("kind", primary_key=True),
    _key("key", primary_key=True),
    _number("due_at"),
    _number("lease_until"),
    _key("lease_token"),
    sqlite_with_rowid=False,
)
sa.Index("timers_due", timers.c.due_at)
_held = timers.c.lease_until > 0
sa.Index("timers_lease", timers.c.lease_until, timers.c.due_at, sqlite_where=_held, postgresql_where=_held)

outbox = sa.Table(
    "outbox",
    metadata,
    _key("id", primary_key=True),
    _key("key"),
    _key("effect"),
    _key("channel"),
    _key("recipient"),
    _text("address"),
    _key("scope"),
    _key("tag"),
    _number("urgency"),
    _number("not_before"),
    _number("created_at"),
    _bytes("payload"),
    _key("state"),
    _number("attempts"),
    _number("lease_until"),
    _key("lease_token"),
    _text("last_error"),
    _number("finished_at"),
    sa.Column("due_at", sa.BigInteger(), nullable=False, server_default="0"),
    sa.UniqueConstraint("key", name="outbox_key"),
)
_pending = sa.and_(outbox.c.finished_at == 0, outbox.c.state.in_(("waiting", "leased", "held")))
sa.Index(
    "outbox_due",
    outbox.c.lease_until,
    outbox.c.not_before,
    sqlite_where=_pending,
    postgresql_where=_pending,
)
_failed = sa.and_(outbox.c.state == "failed", outbox.c.due_at > 0)
sa.Index("outbox_failed", outbox.c.scope, sqlite_where=_failed, postgresql_where=_failed)
sa.Index("outbox_scope", outbox.c.scope)

records = sa.Table(
    "records",
    metadata,
    _key("kind", primary_key=True),
    _key("id", primary_key=True),
    _key("lookup"),
    _bytes("body"),
    _number("updated_at"),
    _number("expires_at"),
)
sa.Index("records_lookup", records.c.kind, records.c.lookup)

meta = sa.Table("meta", metadata, _key("name", primary_key=True), _bytes("value"))

documents = sa.Table(
    "documents",
    metadata,
    _key("kind", primary_key=True),
    _key("name", primary_key=True),
    sa.Column("version", sa.BigInteger(), primary_key=True, autoincrement=False),
    _key("hash"),
    _bytes("body"),
    _number("created_at"),
    _text("created_by"),
    _text("reason"),
    _flag("current"),
)
sa.Index("documents_hash", documents.c.hash)
sa.Index(
    "documents_current",
    documents.c.kind,
    documents.c.name,
    unique=True,
    sqlite_where=sa.text("current"),
    postgresql_where=sa.text("current"),
)

answers = sa.Table(
    "answers",
    metadata,
    _key("principal", primary_key=True),
    _key("key", primary_key=True),
    _bytes("digest"),
    _bytes("answer"),
    _number("created_at"),
)
sa.Index("answers_created", answers.c.created_at)
