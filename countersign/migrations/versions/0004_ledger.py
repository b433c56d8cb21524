"""The ledger: append-only double entry, its rules held by the database; filled from the trails that there are."""

from __future__ import annotations

from itertools import groupby

import sqlalchemy as sa
from alembic import op

from countersign.domain.audit import AuditEntry
from countersign.domain.ledger import POSTED, ledger_of

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ACCOUNTS = (
    "appropriation", "reserved", "committed", "treasury", "instructed", "disbursed", "recovered", "reported",
    "accepted", "recoverable", "claimed",
)  # fmt: skip

CHECK_TRANSACTION = """
CREATE FUNCTION check_ledger_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Whether its entries sum to zero is checked with each of them.
    IF NOT EXISTS (
        SELECT FROM ledger_entry
        WHERE initiative_id = NEW.initiative_id AND sequence = NEW.sequence AND number = NEW.number
    ) THEN
        RAISE EXCEPTION 'transaction %.% of % has no entries', NEW.sequence, NEW.number, NEW.initiative_id
            USING ERRCODE = 'check_violation';
    END IF;

    IF NOT EXISTS (
        SELECT FROM initiative i
        JOIN agreement a ON (a.id, a.version) = (i.agreement_id, i.agreement_version),
            jsonb_array_elements(a.body -> 'directorate') AS side
        WHERE i.id = NEW.initiative_id AND side ->> 'id' = NEW.directorate
            AND NEW.unit IN (side ->> 'currency', 'GPUh')
    ) THEN
        RAISE EXCEPTION '% is no unit of %', NEW.unit, NEW.directorate USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""

CHECK_ENTRY = """
CREATE FUNCTION check_ledger_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    posted ledger_transaction;
    wrong record;
BEGIN
    IF (SELECT sum(minor) <> 0 FROM ledger_entry
        WHERE initiative_id = NEW.initiative_id AND sequence = NEW.sequence AND number = NEW.number) THEN
        RAISE EXCEPTION 'transaction %.% of % does not balance', NEW.sequence, NEW.number, NEW.initiative_id
            USING ERRCODE = 'check_violation';
    END IF;

    IF NEW.account NOT IN ('reserved', 'committed', 'instructed', 'disbursed', 'recovered') THEN
        RETURN NULL;
    END IF;

    -- Whoever else writes the ledger of this initiative waits until this is committed, and then sees it. With a
    -- snapshot from before the wait it would not, and two payments could both take what is left.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'the ledger is written at the isolation level read committed'
            USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    PERFORM 1 FROM initiative WHERE id = NEW.initiative_id FOR NO KEY UPDATE;
    SELECT * INTO STRICT posted FROM ledger_transaction
    WHERE initiative_id = NEW.initiative_id AND sequence = NEW.sequence AND number = NEW.number;

    -- At every instant of the side's account, not only at its end.
    SELECT * INTO wrong FROM (
        SELECT t.sequence, t.number,
            sum(e.minor) FILTER (WHERE e.account = 'reserved') OVER running AS reserved,
            sum(e.minor) FILTER (WHERE e.account = 'committed') OVER running AS committed,
            sum(e.minor) FILTER (WHERE e.account = 'instructed') OVER running AS instructed,
            sum(e.minor) FILTER (WHERE e.account = 'disbursed') OVER running AS disbursed,
            sum(e.minor) FILTER (WHERE e.account = 'recovered') OVER running AS recovered
        FROM ledger_transaction t JOIN ledger_entry e USING (initiative_id, sequence, number)
        WHERE t.initiative_id = posted.initiative_id AND t.directorate = posted.directorate
            AND t.unit = posted.unit
        WINDOW running AS (ORDER BY t.sequence, t.number)
    ) AS b
    WHERE coalesce(b.reserved, 0) < 0 OR coalesce(b.committed, 0) < 0
        OR coalesce(b.instructed, 0) < 0 OR coalesce(b.disbursed, 0) < 0
        OR coalesce(b.instructed, 0) + coalesce(b.disbursed, 0) > coalesce(b.committed, 0)
        OR coalesce(b.disbursed, 0) + coalesce(b.recovered, 0) < 0
    ORDER BY b.sequence, b.number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transaction %.% of %: % of % would stand at reserved %, committed %, instructed %, '
            'disbursed %, recovered %', wrong.sequence, wrong.number, posted.initiative_id, posted.unit,
            posted.directorate, coalesce(wrong.reserved, 0), coalesce(wrong.committed, 0),
            coalesce(wrong.instructed, 0), coalesce(wrong.disbursed, 0), coalesce(wrong.recovered, 0)
            USING ERRCODE = 'check_violation', HINT = 'No more is let go and disbursed than is committed.';
    END IF;
    RETURN NULL;
END $$
"""

BALANCE = """
CREATE VIEW ledger_balance AS
SELECT t.initiative_id, t.directorate, t.unit, e.account, sum(e.minor)::bigint AS minor
FROM ledger_transaction t JOIN ledger_entry e USING (initiative_id, sequence, number)
GROUP BY t.initiative_id, t.directorate, t.unit, e.account
"""

STATEMENT = """
CREATE VIEW ledger_statement AS
SELECT i.agreement_id, i.area, extract(year FROM t.at AT TIME ZONE 'UTC')::int AS year, t.directorate, t.unit,
    e.account, sum(e.minor)::bigint AS minor
FROM ledger_transaction t JOIN ledger_entry e USING (initiative_id, sequence, number)
    JOIN initiative i ON i.id = t.initiative_id
GROUP BY i.agreement_id, i.area, extract(year FROM t.at AT TIME ZONE 'UTC'), t.directorate, t.unit, e.account
"""


TRAILS = """
SELECT initiative_id::text AS initiative, sequence, action, actor, on_behalf_of, at, subject, message, body, previous,
    hash
FROM audit_entry
WHERE action = ANY (:posted) AND EXISTS (SELECT FROM initiative WHERE id = initiative_id)
ORDER BY initiative_id, sequence
"""


def upgrade() -> None:
    op.create_table(
        "ledger_transaction",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("directorate", sa.String(length=40), nullable=False),
        sa.Column("unit", sa.String(length=4), nullable=False),
        sa.Column("code", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["initiative_id"], ["initiative.id"], name=op.f("fk_ledger_transaction_initiative_id_initiative")
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id", "sequence"],
            ["audit_entry.initiative_id", "audit_entry.sequence"],
            name=op.f("fk_ledger_transaction_audit_entry"),
        ),
        sa.PrimaryKeyConstraint("initiative_id", "sequence", "number", name=op.f("pk_ledger_transaction")),
        comment="The ledger: what an audit entry means for one side's money. Triggers refuse changes and broken rules.",
    )
    op.create_table(
        "ledger_entry",
        sa.Column("initiative_id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("account", sa.String(length=40), nullable=False),
        sa.Column("minor", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("minor <> 0", name=op.f("ck_ledger_entry_moves_something")),
        sa.CheckConstraint(
            f"account IN ({', '.join(map(repr, ACCOUNTS))})", name=op.f("ck_ledger_entry_account")
        ),
        sa.ForeignKeyConstraint(
            ["initiative_id", "sequence", "number"],
            ["ledger_transaction.initiative_id", "ledger_transaction.sequence", "ledger_transaction.number"],
            name=op.f("fk_ledger_entry_ledger_transaction"),
        ),
        sa.PrimaryKeyConstraint(
            "initiative_id", "sequence", "number", "account", name=op.f("pk_ledger_entry")
        ),
        comment="The lines of the ledger's transactions: debits positive, credits negative, zero in sum.",
    )
    op.execute(CHECK_TRANSACTION)
    op.execute(CHECK_ENTRY)
    for table in ("ledger_transaction", "ledger_entry"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {table}_holds AFTER INSERT ON {table} "
            f"DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_{table}()"
        )
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only")
        op.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_holds")
    op.execute(BALANCE)
    op.execute(STATEMENT)
    _post(op.get_bind())


def _post(connection: sa.Connection) -> None:
    """The ledger of what is on record already, or a payment that is under way would have no commitment in it."""
    found = connection.execute(sa.text(TRAILS), {"posted": list(POSTED)}).mappings()
    entries = [AuditEntry.model_validate(dict(row)) for row in found]
    for _, trail in groupby(entries, key=lambda one: one.initiative):
        for posted in ledger_of(trail):
            key = {"initiative_id": posted.initiative, "sequence": posted.sequence, "number": posted.number}
            values = posted.model_dump(include={"at", "directorate", "unit", "code"})
            connection.execute(TRANSACTION.insert(), key | values)
            connection.execute(
                ENTRY.insert(),
                [key | {"account": one.account.value, "minor": one.minor} for one in posted.entries],
            )


TRANSACTION = sa.table(
    "ledger_transaction",
    sa.column("initiative_id", sa.Uuid(as_uuid=False)),
    *map(sa.column, ("sequence", "number", "at", "directorate", "unit", "code")),
)
ENTRY = sa.table(
    "ledger_entry",
    sa.column("initiative_id", sa.Uuid(as_uuid=False)),
    *map(sa.column, ("sequence", "number", "account", "minor")),
)


def downgrade() -> None:
    op.execute("DROP VIEW ledger_statement")
    op.execute("DROP VIEW ledger_balance")
    op.drop_table("ledger_entry")
    op.drop_table("ledger_transaction")
    op.execute("DROP FUNCTION check_ledger_entry")
    op.execute("DROP FUNCTION check_ledger_transaction")
