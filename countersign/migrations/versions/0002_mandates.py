"""Mandates; and in what is waited for the kind of matter, which a mandate covers or not, and the last reminder."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mandate",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("directorate", sa.String(length=40), nullable=False),
        sa.Column("delegator", sa.String(length=300), nullable=False),
        sa.Column("delegate", sa.String(length=300), nullable=False),
        sa.Column("valid_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("valid_to", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mandate")),
        comment="Who may sign for whom; its own trail is kept per directorate among the audit entries.",
    )
    op.create_index("ix_mandate_delegate_delegator", "mandate", ["delegate", "delegator"], unique=False)
    op.create_index("ix_mandate_directorate_valid_to", "mandate", ["directorate", "valid_to"], unique=False)
    op.add_column("waiting", sa.Column("matter_kind", sa.String(length=40), nullable=True))
    op.add_column("waiting", sa.Column("reminded", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("waiting", "reminded")
    op.drop_column("waiting", "matter_kind")
    op.drop_index("ix_mandate_directorate_valid_to", table_name="mandate")
    op.drop_index("ix_mandate_delegate_delegator", table_name="mandate")
    op.drop_table("mandate")
