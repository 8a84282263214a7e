"""rows of every kind"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

KEY = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _alert_groups()
    _alerts()
    _answers()
    _changes()
    _counters()
    _documents()
    _facts()
    _meta()
    _outbox()
    _records()
    _requests()
    _streams()
    _timers()


def _alert_groups() -> None:
    op.create_table(
        "alert_groups",
        sa.Column("group_key", KEY, nullable=False),
        sa.Column("incident", KEY, nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("joined_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_key"),
        sqlite_with_rowid=False,
    )
    op.create_index("alert_groups_incident", "alert_groups", ["incident"], unique=False)


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("integration", KEY, nullable=False),
        sa.Column("dedup_key", KEY, nullable=False),
        sa.Column("episode", sa.BigInteger(), nullable=False),
        sa.Column("status", KEY, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("severity", KEY, nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("incident", KEY, nullable=False),
        sa.Column("group_key", KEY, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("source_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("cleared_at", sa.BigInteger(), nullable=False),
        sa.Column("repeats", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("integration", "dedup_key"),
    )
    op.create_index(
        "alerts_ending",
        "alerts",
        ["ends_at"],
        unique=False,
        sqlite_where=sa.text("status = 'firing' AND ends_at > 0"),
        postgresql_where=sa.text("status = 'firing' AND ends_at > 0"),
    )
    op.create_index(
        "alerts_firing",
        "alerts",
        ["integration", "dedup_key"],
        unique=False,
        sqlite_where=sa.text("status = 'firing'"),
        postgresql_where=sa.text("status = 'firing'"),
    )
    op.create_index(
        "alerts_incident",
        "alerts",
        ["incident"],
        unique=False,
        sqlite_where=sa.text("incident != ''"),
        postgresql_where=sa.text("incident != ''"),
    )


def _answers() -> None:
    op.create_table(
        "answers",
        sa.Column("principal", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("principal", "key"),
    )
    op.create_index("answers_created", "answers", ["created_at"], unique=False)


def _changes() -> None:
    op.create_table(
        "changes",
        sa.Column("id", KEY, nullable=False),
        sa.Column("integration", KEY, nullable=False),
        sa.Column("service", KEY, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("changes_at", "changes", ["at"], unique=False)


def _counters() -> None:
    op.create_table(
        "counters",
        sa.Column("name", KEY, nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _documents() -> None:
    op.create_table(
        "documents",
        sa.Column("kind", KEY, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", "version"),
    )
    op.create_index(
        "documents_current",
        "documents",
        ["kind", "name"],
        unique=True,
        sqlite_where=sa.text("current"),
        postgresql_where=sa.text("current"),
    )
    op.create_index("documents_hash", "documents", ["hash"], unique=False)


def _facts() -> None:
    op.create_table(
        "facts",
        sa.Column("position", SERIAL, sa.Identity(always=False), nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("stream", KEY, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("header", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position"),
        sa.UniqueConstraint("kind", "stream", "version", name="facts_version"),
        sqlite_autoincrement=True,
    )


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("name", KEY, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("effect", KEY, nullable=False),
        sa.Column("channel", KEY, nullable=False),
        sa.Column("recipient", KEY, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("scope", KEY, nullable=False),
        sa.Column("tag", KEY, nullable=False),
        sa.Column("urgency", sa.BigInteger(), nullable=False),
        sa.Column("not_before", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("lease_token", KEY, nullable=False),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("key", name="outbox_key"),
    )
    op.create_index("outbox_created", "outbox", ["created_at"], unique=False)
    op.create_index(
        "outbox_pending",
        "outbox",
        ["urgency", "not_before"],
        unique=False,
        sqlite_where=sa.text("finished_at = 0 AND state IN ('waiting', 'leased', 'held')"),
        postgresql_where=sa.text("finished_at = 0 AND state IN ('waiting', 'leased', 'held')"),
    )
    op.create_index("outbox_scope", "outbox", ["scope"], unique=False)


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("kind", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("lookup", KEY, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "id"),
    )
    op.create_index("records_lookup", "records", ["kind", "lookup"], unique=False)


def _requests() -> None:
    op.create_table(
        "requests",
        sa.Column("id", KEY, nullable=False),
        sa.Column("integration", KEY, nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("requests_received", "requests", ["integration", "received_at", "id"], unique=False)


def _streams() -> None:
    op.create_table(
        "streams",
        sa.Column("serial", SERIAL, sa.Identity(always=False), nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("series", KEY, nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("fold", sa.BigInteger(), nullable=False),
        sa.Column("snapshot", sa.LargeBinary(), nullable=False),
        sa.Column("status", KEY, nullable=False),
        sa.Column("severity", KEY, nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False),
        sa.Column("restricted", sa.Boolean(), nullable=False),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("members", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("serial"),
        sa.UniqueConstraint("kind", "id", name="streams_id"),
    )
    op.create_index(
        "streams_number",
        "streams",
        ["series", "number"],
        unique=True,
        sqlite_where=sa.text("number > 0"),
        postgresql_where=sa.text("number > 0"),
    )
    op.create_index("streams_opened", "streams", ["kind", "opened_at", "id"], unique=False)


def _timers() -> None:
    op.create_table(
        "timers",
        sa.Column("kind", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.Column("lease_token", KEY, nullable=False),
        sa.PrimaryKeyConstraint("kind", "key"),
        sqlite_with_rowid=False,
    )
    op.create_index("timers_due", "timers", ["due_at"], unique=False)
    op.create_index("timers_lease", "timers", ["lease_until", "due_at"], unique=False)
