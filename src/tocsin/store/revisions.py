"""Which schema a database has, and whether this version of Tocsin may use it. Imports neither SQLAlchemy nor Alembic."""

from __future__ import annotations

from collections.abc import Collection

from tocsin.kernel.errors import FromTheFuture, Unusable

TABLE = "tocsin_revision"
"""holds the revision; a database with tables but without this one is somebody else's"""

KNOWN = ("0001", "0002", "0003", "0004", "0005")
"""every revision of ``migrations/versions``, oldest first; a test compares"""

HEAD = KNOWN[-1]

HELD = (
    "The store is held: it was restored from a backup, and its timers and messages wait so that nobody is paged twice. "
    "Release it when this is the copy that shall page."
)


def refuse_strangers(tables: Collection[str], revision: str | None, place: str) -> None:
    """Raises :class:`Unusable` for somebody else's database and :class:`FromTheFuture` for a newer Tocsin's."""
    if tables and TABLE not in tables:
        names = ", ".join(sorted(tables)[:5])
        raise Unusable(
            f"the database {place} holds tables of something else ({names}). Give Tocsin a database of its own.",
            place,
        )
    if revision is not None and revision not in KNOWN:
        raise FromTheFuture(
            f"the database {place} has schema {revision}, which this version of Tocsin (up to {HEAD}) does not know. "
            "Start the newer version, or restore a backup made before its upgrade."
        )


def faults(revision: str | None, place: str) -> list[str]:
    """What is wrong with the schema, a sentence each."""
    if revision is None:
        return [f"The database {place} is empty: run tocsin migrate (tocsin serve does it by itself)."]
    if revision != HEAD:
        return [f"The database {place} has schema {revision}, this version wants {HEAD}: run tocsin migrate."]
    return []
