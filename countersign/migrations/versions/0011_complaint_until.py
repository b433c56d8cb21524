"""Until when a complaint about a refusal, or a termination, may come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# What was refused before this may be complained of as long as ever; of what was terminated before it nobody complains.
OF_REFUSALS = """
UPDATE initiative SET complaint_until = stage_since + interval '30 days'
WHERE stage IN ('ineligible', 'not_approved') AND NOT EXISTS (
    SELECT FROM matter WHERE initiative_id = initiative.id AND kind = 'complaint'
        AND (body ->> 'opened_at')::timestamptz >= stage_since
)
"""


def upgrade() -> None:
    op.add_column("initiative", sa.Column("complaint_until", sa.DateTime(timezone=True)))
    op.execute(OF_REFUSALS)


def downgrade() -> None:
    op.drop_column("initiative", "complaint_until")
