"""A commitment that an amendment begins counts against a budget year, too."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

USE = """
CREATE OR REPLACE VIEW budget_use AS
SELECT i.agreement_id, i.area, i.id AS initiative_id, t.directorate, t.unit,
    -- A commitment counts against the year in which it was reserved, whenever it is paid, increased or given back. One
    -- in a unit that an amendment began with was never reserved: it counts against the year of that amendment.
    extract(year FROM {at} AT TIME ZONE 'UTC')::int AS year,
    (-sum(e.minor))::bigint AS minor
FROM ledger_entry e
    JOIN ledger_transaction t USING (initiative_id, sequence, number)
    JOIN initiative i ON i.id = e.initiative_id
WHERE e.account = 'appropriation'
GROUP BY i.agreement_id, i.area, i.id, t.directorate, t.unit
HAVING sum(e.minor) <> 0
"""

RESERVED = "max(t.at) FILTER (WHERE t.code = 'commitment_reserved')"
BEGUN = f"coalesce({RESERVED}, min(t.at) FILTER (WHERE t.code = 'commitment_increased'))"


def upgrade() -> None:
    op.execute(USE.format(at=BEGUN))


def downgrade() -> None:
    op.execute(USE.format(at=RESERVED))
