"""Indexes for the search over the whole audit trail."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_audit_entry_at_position", "audit_entry", ["at", "position"], unique=False)
    op.create_index(
        "ix_audit_entry_actor_at_position", "audit_entry", ["actor", "at", "position"], unique=False
    )
    op.create_index(
        "ix_audit_entry_action_at_position", "audit_entry", ["action", "at", "position"], unique=False
    )


def downgrade() -> None:
    op.drop_index("ix_audit_entry_action_at_position", table_name="audit_entry")
    op.drop_index("ix_audit_entry_actor_at_position", table_name="audit_entry")
    op.drop_index("ix_audit_entry_at_position", table_name="audit_entry")
