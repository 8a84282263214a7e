"""Running the migrations: Alembic, driven from here, in one transaction. Imported only when there is something to do."""

from __future__ import annotations

from typing import Any, Protocol

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from tocsin.store import revisions

_LOCK = 0x746F6373
"""the advisory lock under which PostgreSQL's processes migrate one after another"""


class HasEngine(Protocol):
    dialect: str

    def engine(self) -> Any: ...


def configuration(connection: Any = None) -> Config:
    """Alembic's configuration without a file, pointing at the package's own folder."""
    config = Config()
    config.set_main_option("script_location", "tocsin.store:migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def migrate(store: HasEngine, target: str = revisions.HEAD) -> list[str]:
    """Upgrades to ``target``, all steps or none; says which were taken, such as ``0002 full-text search``."""
    engine = store.engine()
    try:
        with engine.begin() as connection:
            return upgrade(connection, target)
    finally:
        engine.dispose()


def upgrade(connection: Any, target: str) -> list[str]:
    """Upgrades inside the transaction of ``connection``."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    before = current(connection)
    config = configuration(connection)
    command.upgrade(config, target)
    after = current(connection)
    script = ScriptDirectory.from_config(config)
    steps = [step for step in script.iterate_revisions(after, before) if step is not None]
    return [f"{step.revision} {step.doc}" for step in reversed(steps)]


def current(connection: Any) -> str | None:
    """The revision of the database behind ``connection``; None where it is empty."""
    context = MigrationContext.configure(connection, opts={"version_table": revisions.TABLE})
    revision: str | None = context.get_current_revision()
    return revision
