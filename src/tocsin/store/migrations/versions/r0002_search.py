"""full-text search over streams

The words of ``search`` are found by Tocsin and kept in ``words``, so that both databases search for the same ones:
SQLite through FTS5 over that column, PostgreSQL through an index of its words as a tsvector.
"""

from __future__ import annotations

import re

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_WORD = re.compile(r"[^\W_]+")

_SQLITE = (
    "CREATE VIRTUAL TABLE stream_words USING fts5(words, content='streams', content_rowid='serial',"
    " tokenize='unicode61 remove_diacritics 0', prefix='2 3')",
    "CREATE TRIGGER stream_words_insert AFTER INSERT ON streams BEGIN"
    " INSERT INTO stream_words (rowid, words) VALUES (new.serial, new.words); END",
    "CREATE TRIGGER stream_words_delete AFTER DELETE ON streams BEGIN"
    " INSERT INTO stream_words (stream_words, rowid, words) VALUES ('delete', old.serial, old.words); END",
    "CREATE TRIGGER stream_words_update AFTER UPDATE OF words ON streams WHEN old.words IS NOT new.words BEGIN"
    " INSERT INTO stream_words (stream_words, rowid, words) VALUES ('delete', old.serial, old.words);"
    " INSERT INTO stream_words (rowid, words) VALUES (new.serial, new.words); END",
    "INSERT INTO stream_words (stream_words) VALUES ('rebuild')",
)
_POSTGRES = (
    "CREATE INDEX stream_words ON streams USING gin (array_to_tsvector(string_to_array(words, ' ')))",
)


def upgrade() -> None:
    op.add_column("streams", sa.Column("words", sa.Text(), nullable=False, server_default=""))
    connection = op.get_bind()
    streams = sa.table("streams", sa.column("serial"), sa.column("search"), sa.column("words"))
    rows = connection.execute(sa.select(streams.c.serial, streams.c.search)).all()
    for serial, search in rows:
        words = " ".join(dict.fromkeys(word[:60] for word in _WORD.findall(search[:100_000].casefold())))
        connection.execute(streams.update().where(streams.c.serial == serial).values(words=words))
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRES:
        op.execute(sa.text(statement.replace(":", r"\:")))
