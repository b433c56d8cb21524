"""The tables. Columns are what is searched by; ``body`` is the domain's own model as JSON.

Migrations make them; ``alembic check`` holds the two together.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    TableClause,
    Text,
    UniqueConstraint,
    Uuid,
    column,
    func,
    table,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import UserDefinedType

from countersign.domain.ledger import Account


class TransactionId(UserDefinedType[int]):
    """PostgreSQL's ``xid8``: which transaction wrote a row."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "XID8"


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_INSTANT = DateTime(timezone=True)


def _of_initiative() -> Column[object]:
    return Column("initiative_id", Uuid(as_uuid=False), ForeignKey("initiative.id"), nullable=False)


agreement = Table(
    "agreement",
    metadata,
    Column("id", String(60), nullable=False),
    Column("version", Integer, nullable=False),
    Column("content_hash", String(71), nullable=False),
    Column("body", JSONB, nullable=False),
    PrimaryKeyConstraint("id", "version"),
)

document = Table(
    "document",
    metadata,
    Column("content_hash", String(71), primary_key=True),
    Column("body", JSONB, nullable=False),
    Column("created_at", _INSTANT, nullable=False, server_default=func.now()),
    Column("redacted_at", _INSTANT),
    comment="Content by its hash: proposals, reports, what matters put before the directorates.",
)

initiative = Table(
    "initiative",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("reference", String(40), nullable=False, unique=True),
    Column("agreement_id", String(60), nullable=False),
    Column("agreement_version", Integer, nullable=False),
    Column("applicant", String(300), nullable=False),
    Column("people", ARRAY(String(300)), nullable=False),
    Column("area", String(40), nullable=False),
    Column("kind", String(40), nullable=False),
    Column("lead_directorate", String(40), nullable=False),
    Column("title", JSONB, nullable=False),
    Column("stage", String(40), nullable=False),
    Column("stage_since", _INSTANT, nullable=False),
    Column("stage_deadline", _INSTANT),
    Column("stage_reason", Text),
    Column("complaint_until", _INSTANT),
    Column("version", Integer, nullable=False),
    Column("content_hash", String(71), ForeignKey("document.content_hash"), nullable=False),
    Column("submitted_at", _INSTANT, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("waits_for", ARRAY(String(40)), nullable=False),
    Column("next_deadline", _INSTANT),
    ForeignKeyConstraint(["agreement_id", "agreement_version"], ["agreement.id", "agreement.version"]),
    Index("ix_initiative_stage_id", "stage", "id"),
    Index("ix_initiative_waits_for", "waits_for", postgresql_using="gin"),
    Index("ix_initiative_applicant_id", "applicant", "id"),
)

initiative_person = Table(
    "initiative_person",
    metadata,
    Column("person", String(300), primary_key=True),
    Column("initiative_id", Uuid(as_uuid=False), ForeignKey("initiative.id"), primary_key=True),
    comment="Who has a part in which initiative besides its applicant; triggers write it when its people change.",
)

initiative_text = Table(
    "initiative_text",
    metadata,
    Column("initiative_id", Uuid(as_uuid=False), ForeignKey("initiative.id"), primary_key=True),
    Column("trigrams", ARRAY(Text), nullable=False),
    Index("ix_initiative_text_trigrams", "trigrams", postgresql_using="gin"),
    comment="All runs of three letters in the title and the reference; triggers write it when a title changes.",
)

proposal_version = Table(
    "proposal_version",
    metadata,
    _of_initiative(),
    Column("number", Integer, nullable=False),
    Column("content_hash", String(71), ForeignKey("document.content_hash"), nullable=False),
    Column("submitted_at", _INSTANT, nullable=False),
    Column("submitted_by", String(300), nullable=False),
    Column("changed", JSONB, nullable=False),
    PrimaryKeyConstraint("initiative_id", "number"),
)

matter = Table(
    "matter",
    metadata,
    _of_initiative(),
    Column("number", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("content_hash", String(71), ForeignKey("document.content_hash"), nullable=False),
    Column("outcome", String(40)),
    Column("body", JSONB, nullable=False),
    PrimaryKeyConstraint("initiative_id", "number"),
)

condition = Table(
    "condition",
    metadata,
    _of_initiative(),
    Column("number", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    PrimaryKeyConstraint("initiative_id", "number"),
)

tranche = Table(
    "tranche",
    metadata,
    _of_initiative(),
    Column("number", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    PrimaryKeyConstraint("initiative_id", "number"),
)


def _seen(name: str, *columns: str) -> TableClause:
    return table(
        name, column("initiative_id", Uuid(as_uuid=False)), *map(column, columns), column("body", JSONB)
    )


matter_seen = _seen("matter_seen", "number", "kind", "content_hash", "outcome")
"""A view: matters as the database's reader may see them; in it ``sealed`` are sides whose position is withheld."""

tranche_seen = _seen("tranche_seen", "number")
"""A view: tranches as the database's reader may see them."""

report = Table(
    "report",
    metadata,
    _of_initiative(),
    Column("number", Integer, nullable=False),
    Column("due_at", _INSTANT, nullable=False),
    Column("state", String(40), nullable=False),
    Column("body", JSONB, nullable=False),
    PrimaryKeyConstraint("initiative_id", "number"),
)

report_draft = Table(
    "report_draft",
    metadata,
    _of_initiative(),
    Column("number", Integer, nullable=False),
    Column("content_hash", String(71), nullable=False),
    Column("body", JSONB, nullable=False),
    Column("written_by", String(300), nullable=False),
    Column("written_at", _INSTANT, nullable=False),
    PrimaryKeyConstraint("initiative_id", "number"),
    comment="What applicants are still writing: theirs alone, and no part of the record until it is submitted.",
)

attachment = Table(
    "attachment",
    metadata,
    Column("content_hash", String(71), primary_key=True),
    Column("media_type", String(100), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created_at", _INSTANT, nullable=False, server_default=func.now()),
    Column("erased_at", _INSTANT),
    CheckConstraint("size > 0", name="not_empty"),
    comment="Content by its hash, which is kept elsewhere; what was erased there stays named here.",
)

attachment_upload = Table(
    "attachment_upload",
    metadata,
    Column("content_hash", String(71), ForeignKey("attachment.content_hash"), nullable=False),
    Column("person", String(300), nullable=False),
    Column("at", _INSTANT, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("content_hash", "person"),
    Index("ix_attachment_upload_person", "person"),
    comment="Who brought which content, and so had it: a hash alone proves nothing.",
)

initiative_attachment = Table(
    "initiative_attachment",
    metadata,
    Column("initiative_id", Uuid(as_uuid=False), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("place", Integer, nullable=False),
    Column("content_hash", String(71), ForeignKey("attachment.content_hash"), nullable=False),
    Column("name", Text),
    Column("kind", String(40)),
    PrimaryKeyConstraint("initiative_id", "sequence", "place"),
    ForeignKeyConstraint(
        ["initiative_id", "sequence"],
        ["audit_entry.initiative_id", "audit_entry.sequence"],
        name="fk_initiative_attachment_audit_entry",
    ),
    Index("ix_initiative_attachment_content_hash", "content_hash"),
    comment="What an initiative names, by the entry that put it on record, and whose submitter had it.",
)

payment_instruction = Table(
    "payment_instruction",
    metadata,
    Column("end_to_end_id", String(35), primary_key=True),
    _of_initiative(),
    Column("tranche", Integer, nullable=False),
    Column("directorate", String(40), nullable=False),
    Column("minor", BigInteger, nullable=False),
    Column("unit", String(4), nullable=False),
    Column("instructed_at", _INSTANT, nullable=False),
    Column("message_id", String(35), ForeignKey("payment_file.message_id")),
    comment="What a side's own worker handed to its bank; the key is what keeps a retry from paying twice.",
)

payment_file = Table(
    "payment_file",
    metadata,
    Column("message_id", String(35), primary_key=True),
    Column("directorate", String(40), nullable=False),
    Column("content_hash", String(71), nullable=False),
    Column("outbox", Uuid(as_uuid=False), nullable=False),
    Column("staged", String(80), nullable=False),
    Column("created_at", _INSTANT, nullable=False),
    Column("delivered_at", _INSTANT),
    comment="One file for a bank: by its message id, with the outbox that it goes into; its content stays there.",
)

bank_statement = Table(
    "bank_statement",
    metadata,
    Column("directorate", String(40), nullable=False),
    Column("content_hash", String(71), nullable=False),
    Column("imported_by", String(300), nullable=False),
    Column("key", String(128), nullable=False),
    Column("begun_at", _INSTANT, nullable=False),
    Column("ended_at", _INSTANT),
    Column("result", JSONB),
    PrimaryKeyConstraint("imported_by", "key"),
    Index("ix_bank_statement_directorate_content_hash", "directorate", "content_hash"),
    comment="Each import of a bank's statement: who, when, which content, and what came of each line.",
)

waiting = Table(
    "waiting",
    metadata,
    _of_initiative(),
    Column("position", Integer, nullable=False),
    Column("task", String(40), nullable=False),
    Column("number", Integer, nullable=False),
    Column("directorate", String(40)),
    Column("office", String(40)),
    Column("since", _INSTANT, nullable=False),
    Column("deadline", _INSTANT),
    Column("matter_kind", String(40)),
    Column("reminded", Integer),
    Column("not_by", ARRAY(String(300)), nullable=False),
    PrimaryKeyConstraint("initiative_id", "position"),
    Index("ix_waiting_directorate_office_deadline", "directorate", "office", "deadline"),
    Index(
        "ix_waiting_of_applicants",
        *("deadline", "since", "initiative_id"),
        postgresql_where=text("directorate IS NULL"),
    ),
)

waiting_seen = table("waiting_seen", *(column(one.name, one.type) for one in waiting.columns))
"""A view: what is waited for as the database's reader may see it; of another side neither offices nor people."""

mandate = Table(
    "mandate",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("directorate", String(40), nullable=False),
    Column("delegator", String(300), nullable=False),
    Column("delegate", String(300), nullable=False),
    Column("valid_from", _INSTANT, nullable=False),
    Column("valid_to", _INSTANT, nullable=False),
    Column("revoked_at", _INSTANT),
    Column("body", JSONB, nullable=False),
    Index("ix_mandate_delegate_delegator", "delegate", "delegator"),
    Index("ix_mandate_directorate_valid_to", "directorate", "valid_to"),
    comment="Who may sign for whom; its own trail is kept per directorate among the audit entries.",
)

audit_entry = Table(
    "audit_entry",
    metadata,
    Column("position", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("initiative_id", Uuid(as_uuid=False), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("action", String(60), nullable=False),
    Column("actor", String(300), nullable=False),
    Column("on_behalf_of", String(300)),
    Column("at", String(27), nullable=False, comment="RFC 3339 as hashed; the order is that of sequence"),
    Column("subject", String(71)),
    Column("message", String(128)),
    Column("body", JSONB, nullable=False),
    Column("previous", String(71), nullable=False),
    Column("hash", String(71), nullable=False),
    PrimaryKeyConstraint("initiative_id", "sequence"),
    # What auditors search the whole programme by: every order in which a page of theirs is read.
    Index("ix_audit_entry_at_position", "at", "position"),
    Index("ix_audit_entry_actor_at_position", "actor", "at", "position"),
    Index("ix_audit_entry_action_at_position", "action", "at", "position"),
    # Each sign-in once, whichever process of the API sees it first.
    Index(
        "ix_audit_entry_sign_in",
        *("initiative_id", "message"),
        unique=True,
        postgresql_where=text("action IN ('auditor.signed_in', 'operator.signed_in')"),
    ),
    comment="The audit trail. A trigger refuses update, delete, truncate and an entry that does not continue.",
)

log_leaf = Table(
    "log_leaf",
    metadata,
    Column("index", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, ForeignKey("audit_entry.position"), nullable=False, unique=True),
    comment="Which entry of a trail is which leaf of the log; the leaf is the entry's hash.",
)

log_tile = Table(
    "log_tile",
    metadata,
    Column("level", Integer, nullable=False),
    Column("index", BigInteger, nullable=False),
    Column("hashes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("level", "index"),
    CheckConstraint("length(hashes) % 32 = 0 AND length(hashes) BETWEEN 32 AND 8192", name="hashes"),
    comment="Hashes of whole subtrees of the log, 256 beside each other, at every eighth level (C2SP tlog-tiles).",
)

log_checkpoint = Table(
    "log_checkpoint",
    metadata,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("origin", String(200), nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("made_at", _INSTANT, nullable=False),
    comment="What the log was at a time, for every side to sign.",
)

log_signature = Table(
    "log_signature",
    metadata,
    Column("size", BigInteger, ForeignKey("log_checkpoint.size"), nullable=False),
    Column("directorate", String(40), nullable=False),
    Column("line", Text, nullable=False),
    Column("signed_at", _INSTANT, nullable=False),
    PrimaryKeyConstraint("size", "directorate"),
    comment="A side's signature of a checkpoint: the log still began with what that side had signed before.",
)

ledger_transaction = Table(
    "ledger_transaction",
    metadata,
    _of_initiative(),
    Column("sequence", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("at", _INSTANT, nullable=False),
    Column("directorate", String(40), nullable=False),
    Column("unit", String(4), nullable=False),
    Column("code", String(40), nullable=False),
    PrimaryKeyConstraint("initiative_id", "sequence", "number"),
    ForeignKeyConstraint(
        ["initiative_id", "sequence"],
        ["audit_entry.initiative_id", "audit_entry.sequence"],
        name="fk_ledger_transaction_audit_entry",
    ),
    comment="The ledger: what an audit entry means for one side's money. Triggers refuse changes and broken rules.",
)

ledger_entry = Table(
    "ledger_entry",
    metadata,
    Column("initiative_id", Uuid(as_uuid=False), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("account", String(40), nullable=False),
    Column("minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("initiative_id", "sequence", "number", "account"),
    ForeignKeyConstraint(
        ["initiative_id", "sequence", "number"],
        ["ledger_transaction.initiative_id", "ledger_transaction.sequence", "ledger_transaction.number"],
        name="fk_ledger_entry_ledger_transaction",
    ),
    Index(
        "ix_ledger_entry_appropriation",
        *("initiative_id", "sequence", "number"),
        postgresql_where=text("account = 'appropriation'"),
    ),
    CheckConstraint("minor <> 0", name="moves_something"),
    CheckConstraint(f"account IN ({', '.join(repr(one.value) for one in Account)})", name="account"),
    comment="The lines of the ledger's transactions: debits positive, credits negative, zero in sum.",
)

ledger_balance = table(
    "ledger_balance",
    column("initiative_id", Uuid(as_uuid=False)),
    *map(column, ("directorate", "unit", "account", "minor")),
)
"""A view: the balance of every account."""

ledger_statement = table(
    "ledger_statement",
    *map(column, ("agreement_id", "area", "year", "directorate", "unit", "account", "minor")),
)
"""A view: what was entered on the accounts of all initiatives of an area in a calendar year (UTC)."""

budget = Table(
    "budget",
    metadata,
    Column("agreement_id", String(60), nullable=False),
    Column("directorate", String(40), nullable=False),
    Column("unit", String(4), nullable=False),
    Column("area", String(40), nullable=False),
    Column("year", Integer, nullable=False),
    Column("minor", BigInteger, nullable=False),
    PrimaryKeyConstraint("agreement_id", "directorate", "unit", "area", "year"),
    CheckConstraint("minor >= 0", name="not_negative"),
    comment="What a side gives in a year at most; area '' is all of them, year 0 any without one of its own.",
)

budget_use = table(
    "budget_use",
    column("initiative_id", Uuid(as_uuid=False)),
    *map(column, ("agreement_id", "area", "directorate", "unit", "year", "minor")),
)
"""A view: what each initiative takes up of its sides' budgets, and of which year."""

deferral = Table(
    "deferral",
    metadata,
    Column("initiative_id", Uuid(as_uuid=False), ForeignKey("initiative.id"), primary_key=True),
    Column("agreement_id", String(60), nullable=False),
    Column("position", BigInteger, Identity(always=False), nullable=False),
    Column("budgets", ARRAY(Text), nullable=False),
    comment="Who waits for money, in the order in which they came to wait, and for which; '{}' for none any more.",
)

event = Table(
    "event",
    metadata,
    Column("position", BigInteger, Identity(always=True), primary_key=True),
    _of_initiative(),
    Column("sequence", BigInteger, nullable=False),
    Column("type", String(60), nullable=False),
    Column("at", _INSTANT, nullable=False),
    Column("data", JSONB, nullable=False),
    Column("transaction", TransactionId, nullable=False, server_default=text("pg_current_xact_id()")),
    UniqueConstraint("initiative_id", "sequence"),
    Index("ix_event_transaction_position", "transaction", "position"),
    comment="The outbox: what subscribers are told, written with the fact itself.",
)

claim = Table(
    "claim",
    metadata,
    Column("caller", String(300), nullable=False),
    Column("key", String(128), nullable=False),
    Column("fingerprint", String(71), nullable=False),
    Column("initiative_id", Uuid(as_uuid=False), nullable=False),
    Column("reference", String(40), nullable=False),
    Column("created_at", _INSTANT, nullable=False, server_default=func.now()),
    PrimaryKeyConstraint("caller", "key"),
    comment="One initiative per caller and Idempotency-Key, whoever of two processes comes first.",
)

reference_counter = Table(
    "reference_counter",
    metadata,
    Column("prefix", String(8), nullable=False),
    Column("year", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    PrimaryKeyConstraint("prefix", "year"),
)

refusal = Table(
    "refusal",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _INSTANT, nullable=False, server_default=func.now()),
    Column("request_id", String(64), nullable=False),
    Column("method", String(10), nullable=False),
    Column("path", String(500), nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", String(40), nullable=False),
    Column("detail", Text, nullable=False),
    Column("person", String(300)),
    comment="Requests refused before they reached an initiative; those that reached one are in its trail.",
)

session = Table(
    "session",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("issuer", Text, nullable=False),
    Column("subject", String(200), nullable=False),
    Column("sid", String(200)),
    Column("person", String(300), nullable=False),
    Column("identity", JSONB, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", _INSTANT, nullable=False, server_default=func.now()),
    Column("seen_at", _INSTANT, nullable=False, server_default=func.now()),
    Column("idle_until", _INSTANT, nullable=False, index=True),
    Column("access_until", _INSTANT, nullable=False),
    Column("expires_at", _INSTANT, nullable=False, index=True),
    Column("refreshing_until", _INSTANT),
    Index("ix_session_issuer_subject", "issuer", "subject"),
    Index("ix_session_issuer_sid", "issuer", "sid"),
    comment="Who is signed in with a browser: by the hash of what it was given, with the issuer's tokens sealed.",
)

once = Table(
    "once",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("expires_at", _INSTANT, nullable=False, index=True),
    comment="What counts the first time it comes: sign-ins that were begun, and what issuers say of ended ones.",
)

workflow_history = Table(
    "workflow_history",
    metadata,
    Column("run_id", Uuid(as_uuid=False), primary_key=True),
    Column("initiative_id", Uuid(as_uuid=False), nullable=False),
    Column("continued_from", Uuid(as_uuid=False)),
    Column("continued_to", Uuid(as_uuid=False)),
    Column("status", String(40), nullable=False),
    Column("started_at", _INSTANT, nullable=False),
    Column("closed_at", _INSTANT, nullable=False),
    Column("events", Integer, nullable=False),
    Column("builds", ARRAY(Text), nullable=False),
    Column("content_hash", String(71), nullable=False),
    Column("sealed_hash", String(71), nullable=False),
    Column("content", LargeBinary),
    Column("erased_at", _INSTANT),
    CheckConstraint("(content IS NULL) = (erased_at IS NOT NULL)", name="kept_or_erased"),
    Index("ix_workflow_history_initiative_id_started_at", "initiative_id", "started_at"),
    comment="The archive: the workflow history of every run that has ended, compressed and sealed.",
)
