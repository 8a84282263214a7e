"""when the end of an alert is looked at, apart from when it ends

Each repeat of an alert moves its end. An index that moved with it was most of what a repeat cost; one of when the end is
looked at next stays where it is until then.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_FIRING = sa.text("status = 'firing'")
_NEVER = 2**62


def upgrade() -> None:
    op.add_column("alerts", sa.Column("look_at", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute(f"UPDATE alerts SET look_at = CASE WHEN ends_at > 0 THEN ends_at ELSE {_NEVER} END")
    op.drop_index("alerts_ending", "alerts")
    op.create_index(
        "alerts_ending", "alerts", ["look_at"], unique=False, sqlite_where=_FIRING, postgresql_where=_FIRING
    )
