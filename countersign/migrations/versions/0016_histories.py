"""The archive of workflow histories (ADR 0020)."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

API: Final = "countersign_api"
WORKER: Final = "countersign_worker"
KEEPER: Final = "countersign_keeper"
AUDITOR: Final = "countersign_auditor"

ERASES_ONLY: Final = """
CREATE FUNCTION refuse_unless_erased() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- All that ever becomes of an archived history: its content goes, with its initiative's people, and nothing else.
    IF OLD.erased_at IS NOT NULL OR NEW.erased_at IS NULL OR NEW.content IS NOT NULL
        OR (to_jsonb(NEW) - 'content' - 'erased_at') IS DISTINCT FROM (to_jsonb(OLD) - 'content' - 'erased_at')
    THEN
        RAISE EXCEPTION '% is only erased: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""

TABLE: Final = "workflow_history"


def upgrade() -> None:
    instant, identifier = sa.DateTime(timezone=True), sa.Uuid(as_uuid=False)
    op.create_table(
        TABLE,
        sa.Column("run_id", identifier, primary_key=True),
        sa.Column("initiative_id", identifier, nullable=False),
        sa.Column("continued_from", identifier),
        sa.Column("continued_to", identifier),
        sa.Column("status", sa.String(40), nullable=False),
        sa.Column("started_at", instant, nullable=False),
        sa.Column("closed_at", instant, nullable=False),
        sa.Column("events", sa.Integer, nullable=False),
        sa.Column("builds", ARRAY(sa.Text), nullable=False),
        sa.Column("content_hash", sa.String(71), nullable=False),
        sa.Column("sealed_hash", sa.String(71), nullable=False),
        sa.Column("content", sa.LargeBinary),
        sa.Column("erased_at", instant),
        sa.CheckConstraint(
            "(content IS NULL) = (erased_at IS NOT NULL)", name="ck_workflow_history_kept_or_erased"
        ),
        comment="The archive: the workflow history of every run that has ended, compressed and sealed.",
    )
    op.create_index("ix_workflow_history_initiative_id_started_at", TABLE, ["initiative_id", "started_at"])
    # It is compressed before it is sealed, and what is sealed does not compress.
    op.execute(f"ALTER TABLE {TABLE} ALTER COLUMN content SET STORAGE EXTERNAL")
    op.execute(ERASES_ONLY)
    op.execute(
        f"CREATE TRIGGER {TABLE}_only_erased BEFORE UPDATE ON {TABLE} "
        "FOR EACH ROW EXECUTE FUNCTION refuse_unless_erased()"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_append_only BEFORE DELETE OR TRUNCATE ON {TABLE} "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for trigger in ("only_erased", "append_only"):
        op.execute(f"ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER {TABLE}_{trigger}")
    op.execute(f"REVOKE ALL ON {TABLE} FROM PUBLIC")
    op.execute(f"GRANT SELECT, INSERT ON {TABLE} TO {WORKER}")
    op.execute(f"GRANT SELECT ON {TABLE} TO {API}, {AUDITOR}")
    op.execute(
        f"GRANT SELECT (run_id, initiative_id, erased_at), UPDATE (content, erased_at) ON {TABLE} TO {KEEPER}"
    )
    op.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {WORKER} ON {TABLE} TO {WORKER} USING (true) WITH CHECK (true)")
    op.execute(f"CREATE POLICY {KEEPER} ON {TABLE} TO {KEEPER} USING (true) WITH CHECK (true)")
    op.execute(f"CREATE POLICY {AUDITOR} ON {TABLE} FOR SELECT TO {AUDITOR} USING (true)")
    op.execute(
        f"CREATE POLICY {API}_select ON {TABLE} FOR SELECT TO {API} USING ((SELECT reader('role')) = 'auditor')"
    )


def downgrade() -> None:
    op.drop_table(TABLE)
    op.execute("DROP FUNCTION refuse_unless_erased")
