"""Reports that their applicants are still writing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "report_draft",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=71), nullable=False),
        sa.Column("body", postgresql.JSONB(), nullable=False),
        sa.Column("written_by", sa.String(length=300), nullable=False),
        sa.Column("written_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_report_draft_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", "number", name=op.f("pk_report_draft")),
        comment="What applicants are still writing: theirs alone, and no part of the record until it is submitted.",
    )


def downgrade() -> None:
    op.drop_table("report_draft")
