"""The Merkle log over all trails, and its checkpoints (ADR 0019)."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

API: Final = "countersign_api"
WORKER: Final = "countersign_worker"

ONLY_GROWS: Final = """
CREATE FUNCTION refuse_unless_grown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A tile is filled from its beginning; what is in it stays.
    IF (NEW.level, NEW.index) IS DISTINCT FROM (OLD.level, OLD.index)
        OR substr(NEW.hashes, 1, length(OLD.hashes)) IS DISTINCT FROM OLD.hashes
    THEN
        RAISE EXCEPTION '% only grows: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""

AUDITOR: Final = "countersign_auditor"

# As in 0012: a group, no login, and of the whole server.
ROLE: Final = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{AUDITOR}') THEN
        CREATE ROLE {AUDITOR} NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role {AUDITOR} is missing, and % may not create it', current_user
            USING HINT = 'As a superuser: CREATE ROLE {AUDITOR} NOLOGIN. See docs/operations.md, "Roles of the database".';
END $$
"""

OPEN: Final = ("agreement", "budget")
AUDITED: Final = (
    *(
        "attachment",
        "attachment_upload",
        "audit_entry",
        "bank_statement",
        "condition",
        "deferral",
        "document",
        "event",
    ),
    *("initiative", "initiative_attachment", "ledger_entry", "ledger_transaction", "mandate", "matter"),
    *("payment_file", "payment_instruction", "proposal_version", "refusal", "report", "tranche", "waiting"),
)
"""What an audit office reads: all but what nobody has submitted yet, and who is signed in."""

GRANTS: Final = {
    "log_leaf": "SELECT, INSERT",
    "log_tile": "SELECT, INSERT, UPDATE (hashes)",
    "log_checkpoint": "SELECT, INSERT",
    "log_signature": "SELECT, INSERT",
}


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "log_leaf",
        sa.Column("index", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column(
            "position", sa.BigInteger, sa.ForeignKey("audit_entry.position"), nullable=False, unique=True
        ),
        comment="Which entry of a trail is which leaf of the log; the leaf is the entry's hash.",
    )
    op.create_table(
        "log_tile",
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("index", sa.BigInteger, nullable=False),
        sa.Column("hashes", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("level", "index"),
        sa.CheckConstraint(
            "length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192", name="ck_log_tile_hashes"
        ),
        comment="Hashes of whole subtrees of the log, 256 beside each other, at every eighth level (C2SP tlog-tiles).",
    )
    op.create_table(
        "log_checkpoint",
        sa.Column("size", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("origin", sa.String(200), nullable=False),
        sa.Column("root", sa.LargeBinary, nullable=False),
        sa.Column("made_at", instant, nullable=False),
        comment="What the log was at a time, for every side to sign.",
    )
    op.create_table(
        "log_signature",
        sa.Column("size", sa.BigInteger, sa.ForeignKey("log_checkpoint.size"), nullable=False),
        sa.Column("directorate", sa.String(40), nullable=False),
        sa.Column("line", sa.Text, nullable=False),
        sa.Column("signed_at", instant, nullable=False),
        sa.PrimaryKeyConstraint("size", "directorate"),
        comment="A side's signature of a checkpoint: the log still began with what that side had signed before.",
    )
    op.execute(ONLY_GROWS)
    op.execute(
        "CREATE TRIGGER log_tile_only_grows BEFORE UPDATE ON log_tile "
        "FOR EACH ROW EXECUTE FUNCTION refuse_unless_grown()"
    )
    op.execute("ALTER TABLE log_tile ENABLE ALWAYS TRIGGER log_tile_only_grows")
    op.execute(ROLE)
    op.execute(f"GRANT USAGE ON SCHEMA public TO {AUDITOR}")
    for table in (*OPEN, *AUDITED, *GRANTS):
        op.execute(f"GRANT SELECT ON {table} TO {AUDITOR}")
        if table not in OPEN:
            op.execute(f"CREATE POLICY {AUDITOR} ON {table} FOR SELECT TO {AUDITOR} USING (true)")
    for table, rights in GRANTS.items():
        changes = "DELETE OR TRUNCATE" if table == "log_tile" else "UPDATE OR DELETE OR TRUNCATE"
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE {changes} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC")
        op.execute(f"GRANT {rights} ON {table} TO {WORKER}")
        op.execute(f"GRANT SELECT ON {table} TO {API}")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {WORKER} ON {table} TO {WORKER} USING (true) WITH CHECK (true)")
        op.execute(
            f"CREATE POLICY {API}_select ON {table} FOR SELECT TO {API} "
            "USING ((SELECT reader('role')) = 'auditor')"
        )


def downgrade() -> None:
    for table in AUDITED:
        op.execute(f"DROP POLICY {AUDITOR} ON {table}")
    op.execute(f"REVOKE ALL ON {', '.join((*OPEN, *AUDITED))} FROM {AUDITOR}")
    op.execute(f"REVOKE USAGE ON SCHEMA public FROM {AUDITOR}")
    for table in ("log_signature", "log_checkpoint", "log_tile", "log_leaf"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_unless_grown")
