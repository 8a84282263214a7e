"""when the end of an alert is looked at, apart from when it ends; fewer indexes

Each repeat of an alert moves its end. An index that moved with it was most of what a repeat cost; one of when the end is
looked at next stays where it is until then. Ids of messages sort by when they were made, so that another index for that is
not needed; and of timers only those that somebody holds are looked for by their lease.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_FIRING = sa.text("status = 'firing'")
_HELD = sa.text("lease_until > 0")
_NEVER = 2**62


def upgrade() -> None:
    op.add_column("alerts", sa.Column("look_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(f"UPDATE alerts SET look_at = CASE WHEN ends_at > 0 THEN ends_at ELSE {_NEVER} END")
    op.drop_index("alerts_ending", "alerts")
    op.create_index(
        "alerts_ending", "alerts", ["look_at"], unique=False, sqlite_where=_FIRING, postgresql_where=_FIRING
    )
    op.drop_index("outbox_created", "outbox")
    op.drop_index("timers_lease", "timers")
    op.create_index(
        "timers_lease", "timers", ["lease_until", "due_at"], unique=False, sqlite_where=_HELD, postgresql_where=_HELD
    )  # fmt: skip
