"""The trails of who looked into the record: auditors and operators continue those of their own issuers."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

API: Final = "countersign_api"

SIGN_INS: Final = "'auditor.signed_in', 'operator.signed_in'"

OF_AUDITORS: Final = (
    "'auditor.signed_in', 'trail.exported', 'trail.export_ended', 'history.exported', 'dossier.exported', "
    "'attachment.downloaded'"
)

ACCESS_BOOK: Final = """
CREATE FUNCTION access_book() RETURNS uuid LANGUAGE sql STABLE PARALLEL SAFE AS $$
    -- The trail of the reader's issuer, as store/accesses.py names it; a test holds the two together.
    SELECT encode(substr(sha256(convert_to(
        'countersign access ' || split_part(public.reader('person'), '/', 1), 'UTF8'
    )), 1, 16), 'hex')::uuid
$$
"""

OWN_BOOK: Final = "initiative_id = (SELECT access_book())"
ROLE: Final = "(SELECT reader('role'))"

CONTINUED: Final = f"""{OWN_BOOK} AND actor = (SELECT reader('person')) AND (
    ({ROLE} = 'auditor' AND action IN ({OF_AUDITORS}))
    OR ({ROLE} = 'operator' AND action = 'operator.signed_in')
)"""


def upgrade() -> None:
    op.create_index(
        "ix_audit_entry_sign_in",
        "audit_entry",
        ["initiative_id", "message"],
        unique=True,
        postgresql_where=sa.text(f"action IN ({SIGN_INS})"),
    )
    op.execute(ACCESS_BOOK)
    # Auditors read every trail; operators see of their own as much as it takes to continue it.
    op.execute(
        f"CREATE POLICY {API}_select_access ON audit_entry FOR SELECT TO {API} "
        f"USING ({ROLE} = 'operator' AND {OWN_BOOK})"
    )
    op.execute(
        f"CREATE POLICY {API}_insert_access ON audit_entry FOR INSERT TO {API} WITH CHECK ({CONTINUED})"
    )


def downgrade() -> None:
    op.execute(f"DROP POLICY {API}_insert_access ON audit_entry")
    op.execute(f"DROP POLICY {API}_select_access ON audit_entry")
    op.execute("DROP FUNCTION access_book")
    op.drop_index("ix_audit_entry_sign_in", table_name="audit_entry")
