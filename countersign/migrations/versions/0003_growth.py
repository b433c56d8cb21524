"""Indexes for the search over the whole audit trail, for the text in initiatives and for applicants' inboxes.

The text is found by trigrams, as the extension pg_trgm would, which not every server has. They stand in a table of their
own: a row of ``initiative`` changes with every step, its title hardly ever.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TRIGRAMS = """
CREATE FUNCTION trigrams(said text) RETURNS text[] LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT coalesce(array_agg(DISTINCT substr(lower(said), i, 3)), '{}')
    FROM generate_series(1, length(lower(said)) - 2) AS i
$$
"""

KEEP = """
CREATE FUNCTION keep_text() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO initiative_text (initiative_id, trigrams)
    VALUES (NEW.id, trigrams(NEW.title::text || ' ' || NEW.reference))
    ON CONFLICT (initiative_id) DO UPDATE SET trigrams = excluded.trigrams;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_index("ix_audit_entry_at_position", "audit_entry", ["at", "position"], unique=False)
    op.create_index(
        "ix_audit_entry_actor_at_position", "audit_entry", ["actor", "at", "position"], unique=False
    )
    op.create_index(
        "ix_audit_entry_action_at_position", "audit_entry", ["action", "at", "position"], unique=False
    )
    op.create_index(
        "ix_waiting_of_applicants",
        "waiting",
        ["deadline", "since", "initiative_id"],
        unique=False,
        postgresql_where=sa.text("directorate IS NULL"),
    )
    op.create_table(
        "initiative_text",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("trigrams", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_initiative_text_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", name=op.f("pk_initiative_text")),
        comment="All runs of three letters in the title and the reference; triggers write it when a title changes.",
    )
    op.create_index(
        "ix_initiative_text_trigrams", "initiative_text", ["trigrams"], unique=False, postgresql_using="gin"
    )
    op.execute(TRIGRAMS)
    op.execute(KEEP)
    op.execute(
        "INSERT INTO initiative_text SELECT id, trigrams(title::text || ' ' || reference) FROM initiative"
    )
    op.execute(
        "CREATE TRIGGER initiative_text_new AFTER INSERT ON initiative "
        "FOR EACH ROW EXECUTE FUNCTION keep_text()"
    )
    op.execute(
        "CREATE TRIGGER initiative_text_changed AFTER UPDATE ON initiative FOR EACH ROW "
        "WHEN (OLD.title IS DISTINCT FROM NEW.title) EXECUTE FUNCTION keep_text()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER initiative_text_changed ON initiative")
    op.execute("DROP TRIGGER initiative_text_new ON initiative")
    op.execute("DROP FUNCTION keep_text")
    op.execute("DROP FUNCTION trigrams")
    op.drop_table("initiative_text")
    op.drop_index("ix_waiting_of_applicants", table_name="waiting")
    op.drop_index("ix_audit_entry_action_at_position", table_name="audit_entry")
    op.drop_index("ix_audit_entry_actor_at_position", table_name="audit_entry")
    op.drop_index("ix_audit_entry_at_position", table_name="audit_entry")
