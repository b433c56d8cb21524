"""When a document's people were redacted; nothing else of a document ever changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

WITHOUT_PEOPLE = """
CREATE FUNCTION without_people(body jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(body -> 'partners') WHEN 'array' THEN jsonb_set(body, '{partners}', (
        SELECT coalesce(jsonb_agg(
            CASE jsonb_typeof(one) WHEN 'object' THEN one - 'contact' - 'participants' ELSE one END ORDER BY place
        ), '[]')
        FROM jsonb_array_elements(body -> 'partners') WITH ORDINALITY AS partner (one, place)
    )) ELSE body END
$$
"""

ONLY_REDACTED = """
CREATE FUNCTION refuse_unless_redacted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Redacted once; and whole again only when the very same content is submitted anew, which its hash bears out.
    IF (NEW.redacted_at IS NULL) = (OLD.redacted_at IS NULL)
        OR (NEW.content_hash, NEW.created_at) IS DISTINCT FROM (OLD.content_hash, OLD.created_at)
        OR without_people(NEW.body) IS DISTINCT FROM without_people(OLD.body)
    THEN
        RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""


def _append_only(operations: str) -> None:
    op.execute(
        f"CREATE TRIGGER document_append_only BEFORE {operations} ON document "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute("ALTER TABLE document ENABLE ALWAYS TRIGGER document_append_only")


def upgrade() -> None:
    op.add_column("document", sa.Column("redacted_at", sa.DateTime(timezone=True)))
    op.execute("DROP TRIGGER document_append_only ON document")
    _append_only("DELETE OR TRUNCATE")
    op.execute(WITHOUT_PEOPLE)
    op.execute(ONLY_REDACTED)
    op.execute(
        "CREATE TRIGGER document_only_redacted BEFORE UPDATE ON document "
        "FOR EACH ROW EXECUTE FUNCTION refuse_unless_redacted()"
    )
    op.execute("ALTER TABLE document ENABLE ALWAYS TRIGGER document_only_redacted")


def downgrade() -> None:
    op.execute("DROP TRIGGER document_only_redacted ON document")
    op.execute("DROP FUNCTION refuse_unless_redacted")
    op.execute("DROP FUNCTION without_people")
    op.execute("DROP TRIGGER document_append_only ON document")
    _append_only("UPDATE OR DELETE OR TRUNCATE")
    op.drop_column("document", "redacted_at")
