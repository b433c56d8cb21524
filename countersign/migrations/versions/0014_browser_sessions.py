"""Browser sessions, and what may come once only (ADR 0017)."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

API: Final = "countersign_api"

# Whoever asks for a session names it: by the digest of a cookie, or as the issuer that ends it does. What is over may
# be thrown away by anybody. A query that says too little finds nobody else's.
NAMED: Final = """
    digest = (SELECT reader('session'))
    OR (issuer = (SELECT reader('issuer')) AND (sid = (SELECT reader('sid')) OR subject = (SELECT reader('subject'))))
"""
OVER: Final = "expires_at <= now() OR idle_until <= now()"
OWN: Final = "digest = (SELECT reader('session'))"

POLICIES: Final[tuple[tuple[str, str, str | None, str | None], ...]] = (
    ("session", "SELECT", f"{NAMED} OR {OVER}", None),
    ("session", "INSERT", None, OWN),
    ("session", "UPDATE", OWN, OWN),
    ("session", "DELETE", f"{NAMED} OR {OVER}", None),
    ("once", "INSERT", None, "true"),
    ("once", "SELECT", "expires_at <= now()", None),
    ("once", "DELETE", "expires_at <= now()", None),
)

GRANTS: Final = {
    "session": (
        "SELECT",
        "INSERT",
        "UPDATE (identity, sealed, seen_at, idle_until, access_until, refreshing_until)",
        "DELETE",
    ),
    "once": ("SELECT (expires_at)", "INSERT", "DELETE"),
}


def upgrade() -> None:
    op.create_table(
        "session",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("issuer", sa.Text(), nullable=False),
        sa.Column("subject", sa.String(length=200), nullable=False),
        sa.Column("sid", sa.String(length=200), nullable=True),
        sa.Column("person", sa.String(length=300), nullable=False),
        sa.Column("identity", postgresql.JSONB(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("idle_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("access_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("refreshing_until", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_session")),
        comment="Who is signed in with a browser: by the hash of what it was given, with the issuer's tokens sealed.",
    )
    op.create_index("ix_session_issuer_subject", "session", ["issuer", "subject"])
    op.create_index("ix_session_issuer_sid", "session", ["issuer", "sid"])
    op.create_index(op.f("ix_session_expires_at"), "session", ["expires_at"])
    op.create_index(op.f("ix_session_idle_until"), "session", ["idle_until"])
    op.create_table(
        "once",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_once")),
        comment="What counts the first time it comes: sign-ins that were begun, and what issuers say of ended ones.",
    )
    op.create_index(op.f("ix_once_expires_at"), "once", ["expires_at"])
    for table, rights in GRANTS.items():
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC")
        op.execute(f"GRANT {', '.join(rights)} ON {table} TO {API}")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    for table, command, using, check in POLICIES:
        op.execute(
            f"CREATE POLICY {API}_{command.lower()} ON {table} FOR {command} TO {API}"
            + (f" USING ({using})" if using is not None else "")
            + (f" WITH CHECK ({check})" if check is not None else "")
        )


def downgrade() -> None:
    op.drop_table("once")
    op.drop_table("session")
