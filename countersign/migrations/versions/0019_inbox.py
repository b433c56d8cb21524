"""What a reader has a part in is looked up by its indexes, whoever reads.

An inbox asks it of everybody: what waits for applicants, and what does not wait for those of a directorate who have a
part in it. Row security lets no index be used for what is asked of ``people``, so each inbox looked through all that
waits for any applicant: 36 ms for a partner in ten thousand initiatives, and 10 ms for an office.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

API: Final = "countersign_api"

# As own_initiatives() it answers for the reader of the request only, and finds names in pg_catalog first.
PART_OF_READER: Final = """
CREATE FUNCTION part_of_reader() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    -- As applicant, in the consortium, or by an interest that was declared.
    SELECT coalesce(array_agg(i.id), '{}') FROM public.initiative i
    WHERE i.applicant = public.reader('person')
        OR i.people @> ARRAY[public.reader('contact')]::varchar[]
        OR i.people @> ARRAY[public.reader('person')]::varchar[]
$$
"""


def upgrade() -> None:
    op.execute(PART_OF_READER)
    op.execute("REVOKE ALL ON FUNCTION part_of_reader() FROM PUBLIC")
    op.execute(f"GRANT EXECUTE ON FUNCTION part_of_reader() TO {API}")


def downgrade() -> None:
    op.execute("DROP FUNCTION part_of_reader()")
