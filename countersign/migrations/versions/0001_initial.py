"""The first schema: the record, the trail that cannot be changed, the outbox."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from countersign.store.tables import TransactionId

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$
"""

CONTINUES = """
CREATE FUNCTION continue_trail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    before text;
BEGIN
    IF NEW.sequence = 1 THEN
        before := 'sha256:' || repeat('0', 64);
    ELSE
        SELECT hash INTO before FROM audit_entry
        WHERE initiative_id = NEW.initiative_id AND sequence = NEW.sequence - 1;
    END IF;
    IF before IS DISTINCT FROM NEW.previous THEN
        RAISE EXCEPTION 'entry % of % does not continue the trail', NEW.sequence, NEW.initiative_id
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "agreement",
        sa.Column("id", sa.String(length=60), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=71), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_agreement")),
    )
    op.create_table(
        "audit_entry",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("actor", sa.String(length=300), nullable=False),
        sa.Column("on_behalf_of", sa.String(length=300), nullable=True),
        sa.Column(
            "at",
            sa.String(length=27),
            nullable=False,
            comment="RFC 3339 as hashed; the order is that of sequence",
        ),
        sa.Column("subject", sa.String(length=71), nullable=True),
        sa.Column("message", sa.String(length=128), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("previous", sa.String(length=71), nullable=False),
        sa.Column("hash", sa.String(length=71), nullable=False),
        sa.PrimaryKeyConstraint("initiative_id", "sequence", name=op.f("pk_audit_entry")),
        sa.UniqueConstraint("position", name=op.f("uq_audit_entry_position")),
        comment="The audit trail. A trigger refuses update, delete, truncate and an entry that does not continue.",
    )
    op.create_table(
        "claim",
        sa.Column("caller", sa.String(length=300), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("fingerprint", sa.String(length=71), nullable=False),
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("reference", sa.String(length=40), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("pk_claim")),
        comment="One initiative per caller and Idempotency-Key, whoever of two processes comes first.",
    )
    op.create_table(
        "document",
        sa.Column("content_hash", sa.String(length=71), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("content_hash", name=op.f("pk_document")),
        comment="Content by its hash: proposals, reports, what matters put before the directorates.",
    )
    op.create_table(
        "reference_counter",
        sa.Column("prefix", sa.String(length=8), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("prefix", "year", name=op.f("pk_reference_counter")),
    )
    op.create_table(
        "refusal",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=10), nullable=False),
        sa.Column("path", sa.String(length=500), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("person", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal")),
        comment="Requests refused before they reached an initiative; those that reached one are in its trail.",
    )
    op.create_table(
        "initiative",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("reference", sa.String(length=40), nullable=False),
        sa.Column("agreement_id", sa.String(length=60), nullable=False),
        sa.Column("agreement_version", sa.Integer(), nullable=False),
        sa.Column("applicant", sa.String(length=300), nullable=False),
        sa.Column("people", postgresql.ARRAY(sa.String(length=64)), nullable=False),
        sa.Column("area", sa.String(length=40), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("lead_directorate", sa.String(length=40), nullable=False),
        sa.Column("title", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("stage", sa.String(length=40), nullable=False),
        sa.Column("stage_since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage_deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stage_reason", sa.Text(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=71), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("waits_for", postgresql.ARRAY(sa.String(length=40)), nullable=False),
        sa.Column("next_deadline", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["agreement_id", "agreement_version"],
            ["agreement.id", "agreement.version"],
            name=op.f("fk_initiative_agreement_id_agreement"),
        ),
        sa.ForeignKeyConstraint(
            ["content_hash"], ["document.content_hash"], name=op.f("fk_initiative_content_hash_document")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_initiative")),
        sa.UniqueConstraint("reference", name=op.f("uq_initiative_reference")),
    )
    op.create_index("ix_initiative_applicant_id", "initiative", ["applicant", "id"], unique=False)
    op.create_index("ix_initiative_people", "initiative", ["people"], unique=False, postgresql_using="gin")
    op.create_index("ix_initiative_stage_id", "initiative", ["stage", "id"], unique=False)
    op.create_index(
        "ix_initiative_waits_for", "initiative", ["waits_for"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "condition",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_condition_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", "number", name=op.f("pk_condition")),
    )
    op.create_table(
        "event",
        sa.Column("position", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=60), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("data", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "transaction", TransactionId(), server_default=sa.text("pg_current_xact_id()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_event_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_event")),
        sa.UniqueConstraint("initiative_id", "sequence", name=op.f("uq_event_initiative_id_sequence")),
        comment="The outbox: what subscribers are told, written with the fact itself.",
    )
    op.create_index("ix_event_transaction_position", "event", ["transaction", "position"], unique=False)
    op.create_table(
        "matter",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("content_hash", sa.String(length=71), nullable=False),
        sa.Column("outcome", sa.String(length=40), nullable=True),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_hash"], ["document.content_hash"], name=op.f("fk_matter_content_hash_document")
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_matter_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", "number", name=op.f("pk_matter")),
    )
    op.create_table(
        "payment_instruction",
        sa.Column("end_to_end_id", sa.String(length=35), nullable=False),
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("tranche", sa.Integer(), nullable=False),
        sa.Column("directorate", sa.String(length=40), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.String(length=4), nullable=False),
        sa.Column("instructed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_payment_instruction_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("end_to_end_id", name=op.f("pk_payment_instruction")),
        comment="What a side's own worker handed to its bank; the key is what keeps a retry from paying twice.",
    )
    op.create_table(
        "proposal_version",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(length=71), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_by", sa.String(length=300), nullable=False),
        sa.Column("changed", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["content_hash"],
            ["document.content_hash"],
            name=op.f("fk_proposal_version_content_hash_document"),
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_proposal_version_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", "number", name=op.f("pk_proposal_version")),
    )
    op.create_table(
        "report",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(length=40), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_report_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", "number", name=op.f("pk_report")),
    )
    op.create_table(
        "tranche",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_tranche_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", "number", name=op.f("pk_tranche")),
    )
    op.create_table(
        "waiting",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("task", sa.String(length=40), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("directorate", sa.String(length=40), nullable=True),
        sa.Column("office", sa.String(length=40), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("not_by", postgresql.ARRAY(sa.String(length=300)), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_waiting_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", "position", name=op.f("pk_waiting")),
    )
    op.create_index(
        "ix_waiting_directorate_office_deadline",
        "waiting",
        ["directorate", "office", "deadline"],
        unique=False,
    )
    op.execute(APPEND_ONLY)
    for table in ("audit_entry", "document"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
    op.execute(CONTINUES)
    op.execute(
        "CREATE TRIGGER audit_entry_continues BEFORE INSERT ON audit_entry "
        "FOR EACH ROW EXECUTE FUNCTION continue_trail()"
    )
    op.execute("ALTER TABLE audit_entry ENABLE ALWAYS TRIGGER audit_entry_continues")


def downgrade() -> None:
    op.drop_index("ix_waiting_directorate_office_deadline", table_name="waiting")
    op.drop_table("waiting")
    op.drop_table("tranche")
    op.drop_table("report")
    op.drop_table("proposal_version")
    op.drop_table("payment_instruction")
    op.drop_table("matter")
    op.drop_index("ix_event_transaction_position", table_name="event")
    op.drop_table("event")
    op.drop_table("condition")
    op.drop_index("ix_initiative_waits_for", table_name="initiative", postgresql_using="gin")
    op.drop_index("ix_initiative_stage_id", table_name="initiative")
    op.drop_index("ix_initiative_people", table_name="initiative", postgresql_using="gin")
    op.drop_index("ix_initiative_applicant_id", table_name="initiative")
    op.drop_table("initiative")
    op.drop_table("refusal")
    op.drop_table("reference_counter")
    op.drop_table("document")
    op.drop_table("claim")
    op.drop_table("audit_entry")
    op.drop_table("agreement")
    op.execute("DROP FUNCTION refuse_change")
    op.execute("DROP FUNCTION continue_trail")
