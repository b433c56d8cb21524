"""The files that were handed to banks, and the banks' statements that came back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "payment_file",
        sa.Column("message_id", sa.String(35), nullable=False),
        sa.Column("directorate", sa.String(40), nullable=False),
        sa.Column("content_hash", sa.String(71), nullable=False),
        sa.Column("outbox", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("staged", sa.String(80), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_payment_file")),
        comment="One file for a bank: by its message id, with the outbox that it goes into; its content stays there.",
    )
    op.add_column("payment_instruction", sa.Column("message_id", sa.String(35)))
    op.create_foreign_key(
        op.f("fk_payment_instruction_message_id_payment_file"),
        "payment_instruction",
        "payment_file",
        ["message_id"],
        ["message_id"],
    )
    op.create_table(
        "bank_statement",
        sa.Column("directorate", sa.String(40), nullable=False),
        sa.Column("content_hash", sa.String(71), nullable=False),
        sa.Column("imported_by", sa.String(300), nullable=False),
        sa.Column("key", sa.String(128), nullable=False),
        sa.Column("begun_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("result", postgresql.JSONB()),
        sa.PrimaryKeyConstraint("imported_by", "key", name=op.f("pk_bank_statement")),
        comment="Each import of a bank's statement: who, when, which content, and what came of each line.",
    )
    op.create_index(
        "ix_bank_statement_directorate_content_hash", "bank_statement", ["directorate", "content_hash"]
    )


def downgrade() -> None:
    op.drop_table("bank_statement")
    op.drop_constraint(
        op.f("fk_payment_instruction_message_id_payment_file"), "payment_instruction", type_="foreignkey"
    )
    op.drop_column("payment_instruction", "message_id")
    op.drop_table("payment_file")
