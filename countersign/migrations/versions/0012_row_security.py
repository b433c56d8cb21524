"""Roles that own nothing, each with what its process needs; and row security under the API (ADR 0016)."""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

API: Final = "countersign_api"
WORKER: Final = "countersign_worker"
SIDE: Final = "countersign_side"
KEEPER: Final = "countersign_keeper"
ROLES: Final = (API, WORKER, SIDE, KEEPER)

# Groups, no logins. They belong to the whole server: another database of it may have made them, at this very moment.
ROLE: Final = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
        CREATE ROLE {role} NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role {role} is missing, and % may not create it', current_user
            USING HINT = 'As a superuser: CREATE ROLE {role} NOLOGIN. See docs/operations.md, "Roles of the database".';
END $$
"""

TEMPORARY: Final = """
DO $$ BEGIN
    IF (SELECT pg_has_role(datdba, 'USAGE') FROM pg_database WHERE datname = current_database()) THEN
        EXECUTE format('{verb} TEMPORARY ON DATABASE %I {whose} PUBLIC', current_database());
        REVOKE CREATE ON SCHEMA public FROM PUBLIC; -- as it is in what PostgreSQL 15 and later made
    END IF;
END $$
"""

# All that a role may do to a table; what is not here, it may not. A right with columns is to those only. Whoever locks
# a row or asks for what is there on a conflict needs more than the statement says at first sight.
GRANTS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "agreement": {
        API: ("SELECT", "INSERT"),
        WORKER: ("SELECT", "INSERT"),
        SIDE: ("SELECT", "INSERT"),
        KEEPER: ("SELECT",),
    },
    "document": {
        API: ("SELECT",),
        WORKER: ("SELECT", "INSERT"),
        KEEPER: ("SELECT", "UPDATE (body, redacted_at)"),
    },
    "initiative": {
        API: ("SELECT",),
        WORKER: ("SELECT", "INSERT", "UPDATE"),
        KEEPER: ("SELECT", "UPDATE (people, sequence)"),
    },
    "initiative_text": {WORKER: ("SELECT", "INSERT", "UPDATE (trigrams)")},
    "proposal_version": {API: ("SELECT",), WORKER: ("SELECT", "INSERT"), KEEPER: ("SELECT",)},
    "matter": {
        API: ("SELECT (initiative_id, number, kind, content_hash, outcome)",),
        WORKER: ("SELECT", "INSERT", "UPDATE (content_hash, outcome, body)"),
        KEEPER: ("SELECT (initiative_id, outcome)",),
    },
    "condition": {API: ("SELECT",), WORKER: ("SELECT", "INSERT", "UPDATE (body)", "DELETE")},
    "tranche": {
        API: ("SELECT (initiative_id, number)",),
        WORKER: ("SELECT", "INSERT", "UPDATE (body)", "DELETE"),
    },
    "report": {API: ("SELECT",), WORKER: ("SELECT", "INSERT", "UPDATE (due_at, state, body)", "DELETE")},
    "report_draft": {
        API: ("SELECT", "INSERT", "UPDATE (content_hash, body, written_by, written_at)", "DELETE"),
        KEEPER: ("SELECT (initiative_id)", "DELETE"),
    },
    "payment_instruction": {
        API: ("SELECT",),
        WORKER: ("SELECT", "INSERT"),
        SIDE: ("SELECT", "INSERT"),
    },
    "payment_file": {
        WORKER: ("SELECT", "INSERT", "UPDATE (delivered_at)"),
        SIDE: ("SELECT", "INSERT", "UPDATE (delivered_at)"),
    },
    "bank_statement": {API: ("SELECT", "INSERT", "UPDATE (ended_at, result)")},
    "waiting": {API: ("SELECT",), WORKER: ("SELECT", "INSERT", "UPDATE", "DELETE")},
    "mandate": {API: ("SELECT", "INSERT", "UPDATE (revoked_at, body)"), WORKER: ("SELECT",)},
    "audit_entry": {
        API: ("SELECT", "INSERT"),
        WORKER: ("SELECT", "INSERT"),
        KEEPER: ("SELECT", "INSERT"),
    },
    "ledger_transaction": {API: ("SELECT",), WORKER: ("SELECT", "INSERT")},
    "ledger_entry": {API: ("SELECT",), WORKER: ("SELECT", "INSERT")},
    "budget": {API: ("SELECT",), WORKER: ("SELECT", "INSERT", "UPDATE (minor)", "DELETE")},
    "deferral": {API: ("SELECT",), WORKER: ("SELECT", "INSERT", "UPDATE (budgets, position)")},
    "event": {API: ("SELECT",), WORKER: ("SELECT", "INSERT"), KEEPER: ("SELECT (position)", "INSERT")},
    "claim": {API: ("SELECT", "INSERT", "UPDATE (reference)")},
    "reference_counter": {API: ("SELECT", "INSERT", "UPDATE (last)")},
    "refusal": {API: ("INSERT",)},
    "matter_seen": {API: ("SELECT",)},
    "tranche_seen": {API: ("SELECT",)},
    "waiting_seen": {API: ("SELECT",)},
    "ledger_balance": {API: ("SELECT",)},
    "ledger_statement": {API: ("SELECT",)},
    "budget_use": {API: ("SELECT",), WORKER: ("SELECT",)},
}

VIEWS: Final = ("ledger_balance", "ledger_statement", "budget_use")
"""A view reads with its owner's rights unless it is told to read with those of whoever asks."""

SEEING: Final = ("matter_seen", "tranche_seen", "waiting_seen")
"""Views with their owner's rights: of what is every side's in one row, what the reader may see."""

OPEN: Final = frozenset({"agreement", "budget", "reference_counter", *VIEWS, *SEEING})
"""Without row security: what is nobody's own. Budgets are an agreement's, and staff's to read as a whole."""

READER: Final = """
CREATE FUNCTION reader(claim text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    -- Once it was set in a session it is '' and not null from then on.
    SELECT nullif(current_setting('countersign.reader', true), '')::jsonb ->> claim
$$
"""

SEES_PROGRAMME: Final = """
CREATE FUNCTION sees_programme() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT coalesce(public.reader('role') IN ('staff', 'auditor'), false)
$$
"""

# The next three look where the reader may not, to answer the one question that they are there for; each for the reader
# of the request only. They find names in pg_catalog before anything that somebody could put in front.
OWN_INITIATIVES: Final = """
CREATE FUNCTION own_initiatives() RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    -- What an applicant takes part in. As policies of initiative's own its indexes would not be used for it.
    SELECT coalesce(array_agg(i.id), '{}') FROM public.initiative i
    WHERE public.reader('role') = 'applicant' AND (
        i.applicant = public.reader('person') OR i.people @> ARRAY[public.reader('contact')]::varchar[]
    )
$$
"""

INITIATIVES_WITH: Final = """
CREATE FUNCTION initiatives_with(said text) RETURNS SETOF uuid LANGUAGE sql STABLE SECURITY DEFINER ROWS 100
SET search_path = pg_catalog, pg_temp AS $$
    -- The reader's initiatives with a text in them. Nothing that is not leakproof is asked of an index before row
    -- security has its say, so the table is closed and this is its only door.
    SELECT t.initiative_id FROM public.initiative_text t
    WHERE t.trigrams @> public.trigrams(said)
        AND (public.sees_programme() OR t.initiative_id = ANY (public.own_initiatives()))
$$
"""

NAMES_DOCUMENT: Final = """
CREATE FUNCTION names_document(wanted text) RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
    -- Whether anything in the record of an applicant's own initiatives names that document: a proposal or report of
    -- theirs, what is before the directorates, what the trail says was decided, drawn up, certified or claimed.
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

KEEP_DOCUMENT: Final = """
CREATE FUNCTION keep_document(hash text, content jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp AS $$
    -- (The triggers of the table name others in public; nobody but the owner makes anything there.)
    -- All that the API does to documents: a new one, or one that was redacted and comes again whole. With rights of its
    -- own to the table it could redact any.
    INSERT INTO public.document AS d (content_hash, body) VALUES (hash, content)
    ON CONFLICT (content_hash) DO UPDATE SET body = excluded.body, redacted_at = NULL WHERE d.redacted_at IS NOT NULL
$$
"""

SEES_ALL: Final = """
CREATE FUNCTION sees_all() RETURNS boolean LANGUAGE sql STABLE AS $$
    -- Auditors; and whoever row security does not hold for, as the owner.
    SELECT NOT row_security_active('public.initiative') OR coalesce(public.reader('role') = 'auditor', false)
$$
"""

SIDE_OF_READER: Final = """
CREATE FUNCTION side_of_reader() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN public.reader('role') = 'staff' THEN public.reader('directorate') END
$$
"""

# The sealed rule once more (domain/matter.py has it for the application; a test holds the two together).
SEEN_MATTER: Final = """
CREATE FUNCTION seen_matter(body jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    SELECT CASE WHEN public.sees_all() THEN body ELSE body || jsonb_build_object(
        -- A side's chain, who signed in it, who was reminded or told of whose silence: that side's for good.
        'chains', (
            SELECT jsonb_object_agg(key, CASE WHEN key = own THEN value ELSE '[]' END) FROM jsonb_each(body -> 'chains')
        ),
        'counted', (
            SELECT coalesce(jsonb_agg(one ORDER BY place), '[]')
            FROM jsonb_array_elements(body -> 'counted') WITH ORDINALITY AS counted (one, place)
            WHERE one ->> 'directorate' = own
        ),
        'escalated', (
            SELECT coalesce(jsonb_object_agg(key, value) FILTER (WHERE key = own), '{}')
            FROM jsonb_each(body -> 'escalated')
        ),
        'reminded', (
            SELECT coalesce(jsonb_object_agg(key, value) FILTER (WHERE key = own), '{}')
            FROM jsonb_each(body -> 'reminded')
        ),
        -- Its position is sealed until all are in, or a deadline has passed; and so is the signed one, which says it.
        'positions', (
            SELECT coalesce(jsonb_object_agg(key, value) FILTER (WHERE released OR key = own), '{}')
            FROM jsonb_each(body -> 'positions')
        ),
        'countersigned', (
            SELECT coalesce(jsonb_object_agg(key, CASE WHEN released OR key = own THEN value ELSE '""' END), '{}')
            FROM jsonb_each(body -> 'countersigned')
        ),
        'sealed', (
            SELECT coalesce(jsonb_agg(key) FILTER (WHERE NOT released AND key IS DISTINCT FROM own), '[]')
            FROM jsonb_object_keys(body -> 'positions') AS key
        )
    ) END FROM (SELECT
        public.side_of_reader() AS own,
        NOT EXISTS (SELECT FROM jsonb_object_keys(body -> 'chains') AS side WHERE NOT body -> 'positions' ? side)
            OR EXISTS (SELECT FROM jsonb_each_text(body -> 'deadlines') WHERE value::timestamptz < now()) AS released
    ) AS rule
$$
"""

SEEN_TRANCHE: Final = """
CREATE FUNCTION seen_tranche(body jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$
    -- Who holds a side's payment, and why, is that side's.
    SELECT CASE WHEN public.sees_all() THEN body ELSE body || jsonb_build_object('shares', (
        SELECT jsonb_object_agg(key, CASE WHEN key = public.side_of_reader() THEN value
            ELSE value - '{held_by,held_reasons}'::text[] END)
        FROM jsonb_each(body -> 'shares')
    )) END
$$
"""

OF_READER: Final = "(SELECT sees_all()) OR (SELECT sees_programme()) OR initiative_id = ANY ((SELECT own_initiatives())::uuid[])"

# With a barrier, so that nothing in a query looks at a row before it is known whether the reader may.
MATTER_SEEN: Final = f"""
CREATE VIEW matter_seen WITH (security_barrier = true) AS
SELECT initiative_id, number, kind, content_hash, outcome, seen_matter(body) AS body FROM matter WHERE {OF_READER}
"""  # noqa: S608

TRANCHE_SEEN: Final = f"""
CREATE VIEW tranche_seen WITH (security_barrier = true) AS
SELECT initiative_id, number, seen_tranche(body) AS body FROM tranche WHERE {OF_READER}
"""  # noqa: S608

WAITING_SEEN: Final = """
CREATE VIEW waiting_seen WITH (security_barrier = true) AS
SELECT initiative_id, position, task, number, directorate, CASE WHEN own THEN office END AS office, since, deadline,
    matter_kind, CASE WHEN own THEN reminded END AS reminded, CASE WHEN own THEN not_by ELSE '{{}}' END AS not_by
FROM (
    SELECT w.*, (SELECT sees_all()) OR directorate IS NULL OR directorate = (SELECT side_of_reader()) AS own
    FROM waiting w WHERE {of_reader}
) AS w
WHERE task NOT IN ({told}) OR (SELECT sees_all()) OR directorate IS NOT DISTINCT FROM (SELECT side_of_reader())
"""

FUNCTIONS: Final = {
    "own_initiatives()": (API,),
    "initiatives_with(text)": (API,),
    "names_document(text)": (API,),
    "keep_document(text, jsonb)": (API, WORKER),
}
"""Those with their owner's rights, and who may call them."""

ASKED: Final = ("seen_matter(jsonb)", "seen_tranche(jsonb)", "side_of_reader()", "sees_all()")
"""Those with nobody's rights but the caller's."""

PROGRAMME: Final = "(SELECT sees_programme())"
ROLE_IS: Final = "(SELECT reader('role')) = '{}'"
STAFF: Final = f"{ROLE_IS.format('staff')} AND directorate = (SELECT reader('directorate'))"
PERSON: Final = "(SELECT reader('person'))"

SEEN: Final = PROGRAMME + " OR {} = ANY ((SELECT own_initiatives())::uuid[])"
"""Staff and auditors see the programme; applicants what they take part in; whoever is not known, nothing."""

OF_AN_INITIATIVE: Final = (
    *("proposal_version", "matter", "condition", "tranche", "report", "ledger_transaction", "ledger_entry"),
    *("deferral", "event"),
)

TOLD: Final = "'escalated', 'diverged', 'report_late', 'suspending', 'terminating'"
"""In what is waited for: what an office is only told, and no other side hears."""

PUBLISHED: Final = (
    "'agreement.drawn_up', 'amendment.asked', 'amendment.notified', 'amendment.made', 'amendment.rejected', "
    "'closure.certified', 'tranche.claimed'"
)
"""What of its trail everybody hears who sees an initiative. The rest is the auditors'."""

BOOKS: Final = "'mandate.given', 'mandate.revoked', 'bank_statement.imported'"
"""The trail of what a side does by itself: its staff continue it through the API."""

DRAFT: Final = "initiative_id = ANY ((SELECT own_initiatives())::uuid[])"

SEEN_OF_IT: Final = SEEN.format("initiative_id")
OWN_BOOK: Final = f"action IN ({BOOKS}) AND {ROLE_IS.format('staff')} AND body ->> 'directorate' = (SELECT reader('directorate'))"

# Of another side waiting_seen tells less: not which office, nor who of it has signed.
WAITED_FOR: Final = f"""({SEEN_OF_IT}) AND (
    {ROLE_IS.format("auditor")} OR directorate IS NOT DISTINCT FROM (SELECT side_of_reader())
    OR (directorate IS NULL AND task NOT IN ({TOLD}))
)"""

# What somebody did is theirs to know: that is how a message sent again gets the same answer.
HEARD: Final = f"""{ROLE_IS.format("auditor")}
    OR (actor = {PERSON} AND ({SEEN_OF_IT})) OR (action IN ({PUBLISHED}) AND ({SEEN_OF_IT})) OR ({OWN_BOOK})
"""

CONTINUED: Final = (
    f"{OWN_BOOK} AND actor = {PERSON} AND NOT EXISTS (SELECT FROM initiative WHERE id = initiative_id)"
)

# Of the API: table, command, what rows are there for it, and what rows it may write.
POLICIES: Final[tuple[tuple[str, str, str | None, str | None], ...]] = (
    ("initiative", "SELECT", SEEN.format("id"), None),
    *((table, "SELECT", SEEN_OF_IT, None) for table in OF_AN_INITIATIVE),
    ("waiting", "SELECT", WAITED_FOR, None),
    ("document", "SELECT", f"{PROGRAMME} OR names_document(content_hash)", None),
    ("report_draft", "SELECT", DRAFT, None),
    ("report_draft", "INSERT", None, f"{DRAFT} AND written_by = {PERSON}"),
    ("report_draft", "UPDATE", DRAFT, f"{DRAFT} AND written_by = {PERSON}"),
    ("report_draft", "DELETE", DRAFT, None),
    # Of whatever side: whoever imports a statement is told that a payment is not theirs.
    ("payment_instruction", "SELECT", PROGRAMME, None),
    ("bank_statement", "SELECT", STAFF, None),
    ("bank_statement", "INSERT", None, f"{STAFF} AND imported_by = {PERSON}"),
    ("bank_statement", "UPDATE", STAFF, f"{STAFF} AND imported_by = {PERSON}"),
    (
        "mandate",
        "SELECT",
        f"{ROLE_IS.format('auditor')} OR ({STAFF}) OR {PERSON} IN (delegator, delegate)",
        None,
    ),
    ("mandate", "INSERT", None, f"{STAFF} AND delegator = {PERSON}"),
    ("mandate", "UPDATE", STAFF, STAFF),
    ("audit_entry", "SELECT", HEARD, None),
    ("audit_entry", "INSERT", None, CONTINUED),
    ("claim", "SELECT", f"caller = {PERSON}", None),
    ("claim", "INSERT", None, f"caller = {PERSON}"),
    ("claim", "UPDATE", f"caller = {PERSON}", f"caller = {PERSON}"),
    # Also of those whom no token proved to be anybody; nobody reads them here.
    ("refusal", "INSERT", None, "true"),
)


def upgrade() -> None:
    # What an earlier migration of the same transaction posted is checked now: no table changes while that waits.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    for role in ROLES:
        op.execute(ROLE.format(role=role))
        op.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    _temporary_tables("REVOKE", "FROM")
    for made in (
        READER,
        SEES_PROGRAMME,
        OWN_INITIATIVES,
        INITIATIVES_WITH,
        NAMES_DOCUMENT,
        KEEP_DOCUMENT,
        SEES_ALL,
        SIDE_OF_READER,
        SEEN_MATTER,
        SEEN_TRANCHE,
        MATTER_SEEN,
        TRANCHE_SEEN,
        WAITING_SEEN.format(of_reader=OF_READER, told=TOLD),
    ):
        op.execute(made)
    for signature, roles in FUNCTIONS.items():
        op.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
        op.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {', '.join(roles)}")
    for view in VIEWS:
        op.execute(f"ALTER VIEW {view} SET (security_invoker = true)")
    for table, granted in GRANTS.items():
        op.execute(f"REVOKE ALL ON {table} FROM PUBLIC")
        for role, rights in granted.items():
            op.execute(f"GRANT {', '.join(rights)} ON {table} TO {role}")
        if table in OPEN:
            continue
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        # The others' bounds are their grants: a step of any initiative is a worker's to write, a redaction a keeper's.
        for role in granted.keys() - {API}:
            op.execute(f"CREATE POLICY {role} ON {table} TO {role} USING (true) WITH CHECK (true)")
    for table, command, using, check in POLICIES:
        op.execute(
            f"CREATE POLICY {API}_{command.lower()} ON {table} FOR {command} TO {API}"
            + (f" USING ({using})" if using is not None else "")
            + (f" WITH CHECK ({check})" if check is not None else "")
        )


def _temporary_tables(verb: str, whose: str) -> None:
    """Nobody makes a table, not even one that is gone with its session; the right is the database owner's to take."""
    op.execute(TEMPORARY.format(verb=verb, whose=whose))


def downgrade() -> None:
    for table, command, _, _ in POLICIES:
        op.execute(f"DROP POLICY {API}_{command.lower()} ON {table}")
    for table, granted in GRANTS.items():
        op.execute(f"REVOKE ALL ON {table} FROM {', '.join(granted)}")
        if table in OPEN:
            continue
        for role in granted.keys() - {API}:
            op.execute(f"DROP POLICY {role} ON {table}")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
    for view in VIEWS:
        op.execute(f"ALTER VIEW {view} RESET (security_invoker)")
    for view in SEEING:
        op.execute(f"DROP VIEW {view}")
    for signature in (*ASKED, *reversed(FUNCTIONS), "sees_programme()", "reader(text)"):
        op.execute(f"DROP FUNCTION {signature}")
    _temporary_tables("GRANT", "TO")
    # The roles stay: they are the server's, and other databases of it may rest on them.
    for role in ROLES:
        op.execute(f"REVOKE USAGE ON SCHEMA public FROM {role}")
