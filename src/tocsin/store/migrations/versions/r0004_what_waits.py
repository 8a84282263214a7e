"""what waits in the outbox, by when it is due

Most of what is pending waits for a moment in the future. By this index the next one is one seek, and what is due is
found without walking through what is not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_PENDING = sa.text("finished_at = 0 AND state IN ('waiting', 'leased', 'held')")


def upgrade() -> None:
    op.drop_index("outbox_pending", "outbox")
    op.create_index(
        "outbox_due", "outbox", ["lease_until", "not_before"], unique=False, sqlite_where=_PENDING, postgresql_where=_PENDING
    )  # fmt: skip
