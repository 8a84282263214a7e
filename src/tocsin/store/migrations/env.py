"""What Alembic runs: migrates on the connection it is handed, inside that connection's transaction."""

from __future__ import annotations

from alembic import context

from tocsin.store.revisions import TABLE
from tocsin.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=TABLE,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
