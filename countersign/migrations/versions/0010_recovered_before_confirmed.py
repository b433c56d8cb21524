"""Money comes back of what the bank has booked, too, though no officer has confirmed all of that part yet."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CONFIRMED = "coalesce(b.disbursed, 0) + coalesce(b.recovered, 0) < 0"
TOLD = "coalesce(b.instructed, 0) + coalesce(b.disbursed, 0) + coalesce(b.recovered, 0) < 0"


def _replace(before: str, after: str) -> None:
    # The rest of the function is that of 0004: only this rule of it changes.
    op.execute(f"""
DO $$
DECLARE
    whole text := pg_get_functiondef('check_ledger_entry()'::regprocedure);
BEGIN
    IF strpos(whole, 'OR {before}') = 0 THEN
        RAISE EXCEPTION 'check_ledger_entry is not as it was made';
    END IF;
    EXECUTE replace(whole, 'OR {before}', 'OR {after}');
END $$
""")


def upgrade() -> None:
    _replace(CONFIRMED, TOLD)


def downgrade() -> None:
    _replace(TOLD, CONFIRMED)
