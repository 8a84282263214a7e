"""The store: SQLite in one file, or PostgreSQL for many processes, behind one port (:mod:`tocsin.kernel.ports`)."""

from __future__ import annotations

from tocsin.kernel.errors import Unusable
from tocsin.kernel.ports import Store

__all__ = ["open_store"]


def open_store(where: str) -> Store:
    """Opens ``postgresql://…``, ``sqlite:///FILE`` or a data folder; the schema is left as it is (see ``migrate``).

    Raises :class:`Unusable` for an address that is neither or a database that is not Tocsin's,
    :class:`~tocsin.kernel.errors.FromTheFuture` for one of a newer version,
    :class:`~tocsin.kernel.errors.Refused` for a data folder in use and :class:`~tocsin.kernel.errors.Busy` where the
    server cannot be reached.
    """
    # each with its driver: that of PostgreSQL need not be installed
    scheme, found, rest = where.partition("://")
    if not found:
        from tocsin.store.sqlite import SqliteStore

        return SqliteStore(where)
    if scheme == "sqlite":
        from tocsin.store.sqlite import SqliteStore

        return SqliteStore(rest.removeprefix("/"))
    if scheme in ("postgresql", "postgres"):
        from tocsin.store.postgres import PostgresStore

        return PostgresStore(where)
    raise Unusable(
        f"{scheme}:// is no database that Tocsin knows. Use postgresql://…, sqlite:///FILE or a data folder.",
        "database_url",
    )
