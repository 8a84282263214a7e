"""when a message was first due

Each retry moves ``not_before`` on; ``due_at`` stays, so that a message that is tried again and again shows how late it is.
Of one that failed for good it is 0 once nobody waits for it any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_FAILED = sa.text("state = 'failed' AND due_at > 0")


def upgrade() -> None:
    op.add_column("outbox", sa.Column("due_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_index(
        "outbox_failed", "outbox", ["scope"], unique=False, sqlite_where=_FAILED, postgresql_where=_FAILED
    )
