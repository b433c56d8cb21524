"""What each side gives in a year, held by the database, and who waits for some of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

USE = """
CREATE VIEW budget_use AS
SELECT i.agreement_id, i.area, i.id AS initiative_id, t.directorate, t.unit,
    -- A commitment counts against the year in which it was reserved, whenever it is paid or given back.
    extract(year FROM max(t.at) FILTER (WHERE t.code = 'commitment_reserved') AT TIME ZONE 'UTC')::int AS year,
    (-sum(e.minor))::bigint AS minor
FROM ledger_entry e
    JOIN ledger_transaction t USING (initiative_id, sequence, number)
    JOIN initiative i ON i.id = e.initiative_id
WHERE e.account = 'appropriation'
GROUP BY i.agreement_id, i.area, i.id, t.directorate, t.unit
HAVING sum(e.minor) <> 0
"""

LACKING = """
CREATE FUNCTION budget_lacking(
    wanting uuid, of_agreement text, in_area text, in_year int, of_side text, of_unit text, wanted bigint
)
RETURNS TABLE (area text, ceiling bigint, taken bigint, ahead bigint) LANGUAGE plpgsql AS $$
DECLARE
    held budget;
BEGIN
    FOR held IN
        SELECT DISTINCT ON (b.area) b.* FROM budget b
        WHERE b.agreement_id = of_agreement AND b.directorate = of_side AND b.unit = of_unit
            AND b.area IN ('', in_area) AND b.year IN (0, in_year)
        ORDER BY b.area, b.year DESC
    LOOP
        -- Whoever else takes from this budget waits until this is committed, and then sees it.
        PERFORM 1 FROM budget b
        WHERE (b.agreement_id, b.directorate, b.unit, b.area, b.year)
            = (held.agreement_id, held.directorate, held.unit, held.area, held.year)
        FOR NO KEY UPDATE;

        SELECT coalesce(sum(u.minor), 0) INTO taken FROM budget_use u
        WHERE u.agreement_id = of_agreement AND u.directorate = of_side AND u.unit = of_unit AND u.year = in_year
            AND (held.area = '' OR u.area = held.area) AND u.initiative_id <> wanting;

        SELECT count(*) INTO ahead FROM deferral d
        WHERE d.agreement_id = of_agreement AND d.initiative_id <> wanting
            AND of_side || '/' || of_unit || '/' || held.area = ANY (d.budgets)
            AND d.position < coalesce(
                (SELECT own.position FROM deferral own WHERE own.initiative_id = wanting), d.position + 1
            );

        IF taken + wanted > held.minor OR ahead > 0 THEN
            area := held.area;
            ceiling := held.minor;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$
"""

CHECK = """
CREATE FUNCTION check_budget() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted ledger_transaction;
    taking budget_use;
    lacking record;
BEGIN
    -- With a snapshot from before the wait two initiatives could both take the last of a budget.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the ledger is written at the isolation level read committed'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    SELECT * INTO STRICT posted FROM ledger_transaction
    WHERE initiative_id = NEW.initiative_id AND sequence = NEW.sequence AND number = NEW.number;
    SELECT * INTO taking FROM budget_use
    WHERE initiative_id = posted.initiative_id AND directorate = posted.directorate AND unit = posted.unit;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO lacking FROM budget_lacking(
        taking.initiative_id, taking.agreement_id, taking.area, taking.year, taking.directorate, taking.unit,
        taking.minor
    );
    IF FOUND THEN
        RAISE EXCEPTION '% minor units of % are more than the budget of % in % leaves: % of % are taken, % wait before',
            taking.minor, taking.unit, taking.directorate, taking.year, lacking.taken, lacking.ceiling, lacking.ahead
            USING ERRCODE = 'CS001';
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    # What an earlier migration of the same transaction posted is checked now: no table changes while that waits.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.create_table(
        "budget",
        sa.Column("agreement_id", sa.String(length=60), nullable=False),
        sa.Column("directorate", sa.String(length=40), nullable=False),
        sa.Column("unit", sa.String(length=4), nullable=False),
        sa.Column("area", sa.String(length=40), nullable=False),
        sa.Column("year", sa.Integer(), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "agreement_id", "directorate", "unit", "area", "year", name=op.f("pk_budget")
        ),
        sa.CheckConstraint("minor >= 0", name=op.f("ck_budget_not_negative")),
        comment="What a side gives in a year at most; area '' is all of them, year 0 any without one of its own.",
    )
    op.create_table(
        "deferral",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("agreement_id", sa.String(length=60), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("budgets", sa.ARRAY(sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_deferral_initiative_id_initiative")
        ),
        sa.PrimaryKeyConstraint("initiative_id", name=op.f("pk_deferral")),
        comment="Who waits for money, in the order in which they came to wait, and for which; '{}' for none any more.",
    )
    op.create_index("ix_ledger_entry_appropriation", "ledger_entry", ["initiative_id", "sequence", "number"],
                    postgresql_where=sa.text("account = 'appropriation'"))  # fmt: skip
    op.execute(USE)
    op.execute(LACKING)
    op.execute(CHECK)
    op.execute(
        "CREATE CONSTRAINT TRIGGER ledger_entry_within_budget AFTER INSERT ON ledger_entry "
        "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "WHEN (NEW.account = 'appropriation' AND NEW.minor < 0) EXECUTE FUNCTION check_budget()"
    )
    op.execute("ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER ledger_entry_within_budget")


def downgrade() -> None:
    op.execute("DROP TRIGGER ledger_entry_within_budget ON ledger_entry")
    op.execute("DROP FUNCTION check_budget")
    op.execute("DROP FUNCTION budget_lacking")
    op.execute("DROP VIEW budget_use")
    op.drop_index("ix_ledger_entry_appropriation", "ledger_entry")
    op.drop_table("deferral")
    op.drop_table("budget")
