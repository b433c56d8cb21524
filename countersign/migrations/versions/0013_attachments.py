"""Attachments: what is kept, who brought it, and which initiatives name it (ADR 0018)."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

API: Final = "countersign_api"
WORKER: Final = "countersign_worker"
KEEPER: Final = "countersign_keeper"

NAMED_IN: Final = """
CREATE FUNCTION attachments_in(body jsonb) RETURNS TABLE (place integer, content_hash text, name text, kind text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- What a proposal's documents and a report's costs name, in their order.
    SELECT one.place::integer, one.value ->> 'sha256', one.value ->> 'name', one.value ->> 'kind'
    FROM jsonb_path_query_array(body, '$.documents[*]') AS found,
        jsonb_array_elements(found) WITH ORDINALITY AS one (value, place)
    UNION ALL
    SELECT one.place::integer, one.value ->> 'evidence', NULL, NULL
    FROM jsonb_path_query_array(body, '$.costs[*]') AS found,
        jsonb_array_elements(found) WITH ORDINALITY AS one (value, place)
    WHERE one.value ->> 'evidence' IS NOT NULL
$$
"""

LINK: Final = """
CREATE FUNCTION link_attachments(here uuid, at_sequence bigint, by_person text, subject text) RETURNS void
LANGUAGE sql SET search_path = pg_catalog, public, pg_temp AS $$
    -- Naming a hash is no proof of having the content. Whoever submits has brought it, or it was the initiative's before.
    INSERT INTO initiative_attachment (initiative_id, sequence, place, content_hash, name, kind)
    SELECT here, at_sequence, named.place, named.content_hash, named.name, named.kind
    FROM document d, attachments_in(d.body) AS named JOIN attachment a ON a.content_hash = named.content_hash
    WHERE d.content_hash = subject AND (
        EXISTS (SELECT FROM attachment_upload u WHERE u.content_hash = named.content_hash AND u.person = by_person)
        OR EXISTS (
            SELECT FROM initiative_attachment l WHERE l.initiative_id = here AND l.content_hash = named.content_hash
        )
    )
    ON CONFLICT DO NOTHING
$$
"""

ON_ENTRY: Final = """
CREATE FUNCTION entry_links_attachments() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM link_attachments(NEW.initiative_id, NEW.sequence, NEW.actor, NEW.subject);
    RETURN NULL;
END $$
"""

SUBMITTING: Final = (
    "'initiative.submitted', 'proposal.corrected', 'proposal.revised', 'amendment.asked', 'report.submitted'"
)
"""The entries whose subject is something that an applicant submits."""

TRIGGER: Final = f"""
CREATE TRIGGER audit_entry_links_attachments AFTER INSERT ON audit_entry FOR EACH ROW
WHEN (NEW.subject IS NOT NULL AND NEW.action IN ({SUBMITTING})) EXECUTE FUNCTION entry_links_attachments()
"""

KEEP: Final = f"""
CREATE FUNCTION keep_attachment(brought text, type text, bytes bigint) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
-- All that the API does here: an applicant brings content. With rights of its own it could say who brought what.
DECLARE brought_by constant text := reader('person');
BEGIN
    IF reader('role') IS DISTINCT FROM 'applicant' OR brought_by IS NULL THEN
        RAISE EXCEPTION 'attachments are brought by applicants' USING ERRCODE = 'insufficient_privilege';
    END IF;
    -- The row is locked either way, so that whoever erases the content at this moment waits, or is waited for.
    INSERT INTO attachment AS a (content_hash, media_type, size) VALUES (brought, type, bytes)
    ON CONFLICT (content_hash) DO UPDATE SET erased_at = NULL;
    INSERT INTO attachment_upload (content_hash, person) VALUES (brought, brought_by) ON CONFLICT DO NOTHING;
    -- What they named before they brought it.
    PERFORM link_attachments(e.initiative_id, e.sequence, e.actor, e.subject)
    FROM audit_entry e JOIN document d ON d.content_hash = e.subject
    WHERE e.actor = brought_by AND e.action IN ({SUBMITTING})
        AND brought IN (SELECT named.content_hash FROM attachments_in(d.body) AS named);
END $$
"""  # noqa: S608

LOOSE: Final = """
CREATE FUNCTION loose_attachments() RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    -- Bytes that the reader brought and that nothing names yet.
    SELECT coalesce(sum(a.size), 0)::bigint FROM attachment_upload u JOIN attachment a USING (content_hash)
    WHERE u.person = reader('person') AND a.erased_at IS NULL AND NOT EXISTS (
        SELECT FROM initiative_attachment l WHERE l.content_hash = u.content_hash
    )
$$
"""

SEEN: Final = "(SELECT sees_programme()) OR initiative_id = ANY ((SELECT own_initiatives())::uuid[])"
OWN: Final = "(SELECT reader('role')) = 'applicant' AND person = (SELECT reader('person'))"
# Both with the policies of the tables that they ask: what the reader brought, and what their initiatives name.
OF_READER: Final = """
    EXISTS (SELECT FROM initiative_attachment l WHERE l.content_hash = attachment.content_hash)
    OR EXISTS (SELECT FROM attachment_upload u WHERE u.content_hash = attachment.content_hash)
"""

GRANTS: Final = {
    "attachment": {API: "SELECT", WORKER: "SELECT", KEEPER: "SELECT, UPDATE (erased_at)"},
    "attachment_upload": {API: "SELECT", WORKER: "SELECT", KEEPER: "SELECT"},
    "initiative_attachment": {API: "SELECT", WORKER: "SELECT", KEEPER: "SELECT"},
}

POLICIES: Final = {"attachment": OF_READER, "attachment_upload": OWN, "initiative_attachment": SEEN}


def upgrade() -> None:
    instant = sa.DateTime(timezone=True)
    op.create_table(
        "attachment",
        sa.Column("content_hash", sa.String(71), primary_key=True),
        sa.Column("media_type", sa.String(100), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("created_at", instant, nullable=False, server_default=sa.func.now()),
        sa.Column("erased_at", instant),
        sa.CheckConstraint("size > 0", name="ck_attachment_not_empty"),
        comment="Content by its hash, which is kept elsewhere; what was erased there stays named here.",
    )
    op.create_table(
        "attachment_upload",
        sa.Column("content_hash", sa.String(71), sa.ForeignKey("attachment.content_hash"), nullable=False),
        sa.Column("person", sa.String(300), nullable=False),
        sa.Column("at", instant, nullable=False, server_default=sa.func.now()),
        sa.PrimaryKeyConstraint("content_hash", "person"),
        comment="Who brought which content, and so had it: a hash alone proves nothing.",
    )
    op.create_index("ix_attachment_upload_person", "attachment_upload", ["person"])
    op.create_table(
        "initiative_attachment",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("place", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.String(71), sa.ForeignKey("attachment.content_hash"), nullable=False),
        sa.Column("name", sa.Text),
        sa.Column("kind", sa.String(40)),
        sa.PrimaryKeyConstraint("initiative_id", "sequence", "place"),
        sa.ForeignKeyConstraint(
            ["initiative_id", "sequence"],
            ["audit_entry.initiative_id", "audit_entry.sequence"],
            name="fk_initiative_attachment_audit_entry",
        ),
        comment="What an initiative names, by the entry that put it on record, and whose submitter had it.",
    )
    op.create_index("ix_initiative_attachment_content_hash", "initiative_attachment", ["content_hash"])
    for made in (NAMED_IN, LINK, ON_ENTRY, KEEP, LOOSE, TRIGGER):
        op.execute(made)
    op.execute(
        "REVOKE ALL ON FUNCTION link_attachments(uuid, bigint, text, text), entry_links_attachments(), "
        "keep_attachment(text, text, bigint), loose_attachments() FROM PUBLIC"
    )
    op.execute(f"GRANT EXECUTE ON FUNCTION keep_attachment(text, text, bigint), loose_attachments() TO {API}")
    for table, granted in GRANTS.items():
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        for role, rights in granted.items():
            op.execute(f"GRANT {rights} ON {table} TO {role}")
            if role != API:
                op.execute(f"CREATE POLICY {role} ON {table} TO {role} USING (true) WITH CHECK (true)")
        op.execute(f"CREATE POLICY {API}_select ON {table} FOR SELECT TO {API} USING ({POLICIES[table]})")


def downgrade() -> None:
    op.execute("DROP TRIGGER audit_entry_links_attachments ON audit_entry")
    for table in POLICIES:
        op.execute(f"DROP POLICY {API}_select ON {table}")
    for signature in (
        "loose_attachments()",
        "keep_attachment(text, text, bigint)",
        "entry_links_attachments()",
        "link_attachments(uuid, bigint, text, text)",
        "attachments_in(jsonb)",
    ):
        op.execute(f"DROP FUNCTION {signature}")
    for table in ("initiative_attachment", "attachment_upload", "attachment"):
        op.drop_table(table)
