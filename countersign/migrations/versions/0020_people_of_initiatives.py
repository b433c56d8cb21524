"""Whose initiatives these are is read from rows of their own, and documents are asked for by the initiative.

An index of arrays can't answer by itself: for a partner in half of ten thousand initiatives each read fetched five
thousand rows first, an inbox four times; and each step that moved an initiative put everybody in it into that index
anew. A document was looked for in all that the reader has a part in, up to two seconds long; whoever asks for one knows
which initiative it is of.

A person's id has up to 300 characters. With more than 64 of them, nobody's interest could be put on record.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

API: Final = "countersign_api"
AUDITOR: Final = "countersign_auditor"
POLICY: Final = "countersign_api_select"

KEEP: Final = """
CREATE FUNCTION keep_people() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Of a new row there is no OLD, and so nobody who has gone.
    DELETE FROM public.initiative_person
    WHERE initiative_id = OLD.id AND person = ANY (OLD.people) AND person <> ALL (NEW.people);
    INSERT INTO public.initiative_person (person, initiative_id) SELECT unnest(NEW.people), NEW.id ON CONFLICT DO NOTHING;
    RETURN NULL;
END $$
"""

# Both answer for the reader of the request only, and find names in pg_catalog first. An array of a subquery is gathered
# in half the time of an aggregate; whoever is in there twice is looked up once.
OWN_INITIATIVES: Final = """
CREATE OR REPLACE FUNCTION own_initiatives() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    -- What an applicant takes part in.
    SELECT ARRAY(
        SELECT i.id FROM public.initiative i
        WHERE public.reader('role') = 'applicant' AND i.applicant = public.reader('person')
        UNION ALL
        SELECT p.initiative_id FROM public.initiative_person p
        WHERE public.reader('role') = 'applicant' AND p.person = public.reader('contact')
    )
$$
"""

PART_OF_READER: Final = """
CREATE OR REPLACE FUNCTION part_of_reader() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    -- As applicant, in the consortium, or by an interest that was declared.
    SELECT ARRAY(
        SELECT i.id FROM public.initiative i WHERE i.applicant = public.reader('person')
        UNION ALL
        SELECT p.initiative_id FROM public.initiative_person p
        WHERE p.person IN (public.reader('person'), public.reader('contact'))
    )
$$
"""

DOCUMENT_OF: Final = """
CREATE FUNCTION document_of(about uuid, wanted text) RETURNS SETOF document LANGUAGE sql STABLE SECURITY DEFINER ROWS 1
SET search_path = pg_catalog, pg_temp AS $$
    -- For an applicant what the record of an initiative of theirs names: a proposal or report, what is before the
    -- directorates, what the trail says was decided, drawn up, certified or claimed.
    SELECT d.* FROM public.document d WHERE d.content_hash = wanted AND (public.sees_programme() OR (EXISTS (
        SELECT FROM public.initiative i WHERE i.id = about AND public.reader('role') = 'applicant'
        AND (i.applicant = public.reader('person') OR public.reader('contact') = ANY (i.people))
    ) AND (EXISTS (
        SELECT FROM public.proposal_version v WHERE v.initiative_id = about AND v.content_hash = wanted
    ) OR EXISTS (
        SELECT FROM public.matter m
        WHERE m.initiative_id = about AND wanted IN (m.content_hash, m.body ->> 'decision')
    ) OR EXISTS (
        SELECT FROM public.audit_entry e WHERE e.initiative_id = about
        AND (e.subject = wanted OR strpos(e.body::text, '"' || wanted || '"') > 0)
    ))))
$$
"""

# As 0019 and 0012 have them.
OWN_BEFORE: Final = """
CREATE OR REPLACE FUNCTION own_initiatives() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(i.id), '{}') FROM public.initiative i
    WHERE public.reader('role') = 'applicant' AND (
        i.applicant = public.reader('person') OR i.people @> ARRAY[public.reader('contact')]::varchar[]
    )
$$
"""

PART_BEFORE: Final = """
CREATE OR REPLACE FUNCTION part_of_reader() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(i.id), '{}') FROM public.initiative i
    WHERE i.applicant = public.reader('person')
        OR i.people @> ARRAY[public.reader('contact')]::varchar[]
        OR i.people @> ARRAY[public.reader('person')]::varchar[]
$$
"""

NAMES_DOCUMENT: Final = """
CREATE FUNCTION names_document(wanted text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM public.proposal_version v
        WHERE v.initiative_id = ANY (public.own_initiatives()) AND v.content_hash = wanted
    ) OR EXISTS (
        SELECT FROM public.matter m
        WHERE m.initiative_id = ANY (public.own_initiatives()) AND wanted IN (m.content_hash, m.body ->> 'decision')
    ) OR EXISTS (
        SELECT FROM public.audit_entry e WHERE e.initiative_id = ANY (public.own_initiatives())
        AND (e.subject = wanted OR strpos(e.body::text, '"' || wanted || '"') > 0)
    )
$$
"""


def upgrade() -> None:
    op.drop_index("ix_initiative_people", "initiative")
    op.alter_column("initiative", "people", type_=ARRAY(sa.String(300)), existing_nullable=False)
    op.create_table(
        "initiative_person",
        sa.Column("person", sa.String(300), nullable=False),
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_initiative_person_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("person", "initiative_id", name=op.f("pk_initiative_person")),
        comment="Who has a part in which initiative besides its applicant; triggers write it when its people change.",
    )
    op.execute("ALTER TABLE initiative_person ENABLE ROW LEVEL SECURITY")
    op.execute("REVOKE ALL ON initiative_person FROM PUBLIC")
    # Who reads what rests on it, so it is verified.
    op.execute(f"GRANT SELECT ON initiative_person TO {AUDITOR}")
    op.execute(f"CREATE POLICY {AUDITOR} ON initiative_person FOR SELECT TO {AUDITOR} USING (true)")
    op.execute("INSERT INTO initiative_person SELECT DISTINCT unnest(people), id FROM initiative")
    # What was known of the values of people is gone with the type.
    op.execute("ANALYZE initiative, initiative_person")
    op.execute(KEEP)
    op.execute(
        "CREATE TRIGGER initiative_people_new AFTER INSERT ON initiative FOR EACH ROW EXECUTE FUNCTION keep_people()"
    )
    op.execute(
        "CREATE TRIGGER initiative_people_changed AFTER UPDATE ON initiative FOR EACH ROW "
        "WHEN (OLD.people IS DISTINCT FROM NEW.people) EXECUTE FUNCTION keep_people()"
    )
    for made in (OWN_INITIATIVES, PART_OF_READER, DOCUMENT_OF):
        op.execute(made)
    op.execute("REVOKE ALL ON FUNCTION keep_people(), document_of(uuid, text) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION document_of(uuid, text) TO {API}")
    op.execute(f"ALTER POLICY {POLICY} ON document USING ((SELECT sees_programme()))")
    op.execute("DROP FUNCTION names_document(text)")


def downgrade() -> None:
    op.execute(NAMES_DOCUMENT)
    op.execute("REVOKE ALL ON FUNCTION names_document(text) FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION names_document(text) TO {API}")
    op.execute(
        f"ALTER POLICY {POLICY} ON document USING ((SELECT sees_programme()) OR names_document(content_hash))"
    )
    op.execute("DROP FUNCTION document_of(uuid, text)")
    for made in (OWN_BEFORE, PART_BEFORE):
        op.execute(made)
    for name in ("initiative_people_changed", "initiative_people_new"):
        op.execute(f"DROP TRIGGER {name} ON initiative")
    op.execute("DROP FUNCTION keep_people()")
    op.drop_table("initiative_person")
    # An id of over 64 characters stands in the way, and is not to be cut.
    op.alter_column("initiative", "people", type_=ARRAY(sa.String(64)), existing_nullable=False)
    op.create_index("ix_initiative_people", "initiative", ["people"], postgresql_using="gin")
