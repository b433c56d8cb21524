"""What the database itself withholds: raw SQL in the roles that the processes have, whatever the application thinks."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
import pytest
from sqlalchemy import text

from countersign.domain import matter as matters
from countersign.domain.agreement import MatterKind
from countersign.domain.canonical import content_hash
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Response
from countersign.domain.proposal import Proposal, contact_key
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.store import claims, documents, drafts, initiatives, mandates, record, refusals, statements
from countersign.store.drafts import Draft
from countersign.store.roles import API, WORKER, Reader
from countersign.store.session import Database
from tests.domain.lives import START
from tests.people import minimal_proposal
from tests.store.making import Steps, new_id

pytestmark = pytest.mark.services

ASKED: Final = "SELECT set_config('countersign.reader', $1, true)"


def raw(url: str) -> str:
    return url.replace("+asyncpg", "")


@asynccontextmanager
async def connected(services: Services, role: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection of the test's own, in a role that a process has."""
    connection = await asyncpg.connect(raw(services.postgres.url(role=role)))
    try:
        yield connection
    finally:
        await connection.close()


@dataclass
class Scene:
    """Two initiatives of two applicants, each with a proposal that one side has returned and the other not seen yet."""

    mine: Steps
    other: Steps
    readers: dict[str, Reader | None]
    marker: str

    @property
    def ids(self) -> list[str]:
        return [self.mine.state.id, self.other.state.id]


def of_applicant(who: Reader) -> Steps:
    """A life of an applicant's, from now on: what is sealed until a deadline is sealed while this runs."""
    life = Steps()
    life.now = datetime.now(UTC)
    life.applicant = life.applicant.model_copy(update={"person": who.person, "contact": None})
    life.state = life.beginning = life.state.model_copy(update={"applicant": life.applicant})
    return life


@pytest.fixture(scope="module")
async def scene(services: Services, database: Database) -> Scene:
    """Everything that is protected, once: written as the processes write it, in their own roles."""
    marker = new_id()
    applicant, stranger = (Reader("applicant", f"applicants/{who}-{marker}") for who in ("lead", "stranger"))
    worker, lives = Database(services.postgres.url(role=WORKER), pool_size=2), []
    api = Database(services.postgres.url(role=API), pool_size=2)
    for who in (applicant, stranger):
        life = of_applicant(who)
        life.begin().all_sign()
        assert life.stage() is Stage.DECISION
        assert life.sign("il", comment=f"to us only: {marker}").status == "counted"
        assert life.sign("il", Response.RETURN, reasons=f"because of {marker}").status == "counted"
        await life.prepare(database)
        for step in life.steps:
            assert await record.append(worker, step) == ()
        lives.append(life)
        async with api.read_by(who).transaction() as connection:
            draft = Draft("sha256:" + "1" * 64, {"narrative": marker}, who.person, START)
            assert await drafts.put(connection, life.state.id, 1, draft, replaces=None)
            await claims.claim(
                connection,
                caller=who.person,
                key=marker,
                fingerprint="sha256:" + "2" * 64,
                initiative=life.state.id,
                prefix="RLS",
                at=START,
            )
    for side in ("il", "az"):
        officer = Reader("staff", f"{side}/head-{marker}", side)
        given = Mandate(
            id=new_id(),
            directorate=side,
            delegator=officer.person,
            delegate=f"{side}/colleague-{marker}",
            offices=("head",),
            kinds=(MatterKind.PROPOSAL,),
            valid_from=START,
            valid_to=START + timedelta(days=9),
            given_at=START,
        )
        async with api.read_by(officer).transaction() as connection:
            await mandates.give(connection, given)
            await statements.begin(
                connection,
                directorate=side,
                content_hash="sha256:" + "3" * 64,
                imported_by=officer.person,
                key=marker,
                at=START,
            )
    async with api.transaction() as connection:
        await refusals.record(
            connection,
            request_id=marker[:30],
            method="GET",
            path="/",
            status=401,
            code="unauthenticated",
            detail="x",
            person=None,
        )
    await worker.close()
    await api.close()
    readers: dict[str, Reader | None] = {
        "applicant": applicant,
        "stranger": stranger,
        "somebody else": Reader("applicant", f"applicants/nobody-{marker}", contact="0" * 32),
        "il": Reader("staff", f"il/officer-{marker}", "il"),
        "az": Reader("staff", f"az/officer-{marker}", "az"),
        "auditor": Reader("auditor", f"audit-il/auditor-{marker}", "il"),
        "nobody": None,
    }
    return Scene(lives[0], lives[1], readers, marker)


class Api:
    """The API's own role, asked in plain SQL."""

    def __init__(self, services: Services, scene: Scene) -> None:
        self._services, self._scene = services, scene

    async def rows(self, who: str, sql: str, *values: Any) -> list[asyncpg.Record]:
        """What somebody finds."""
        async with connected(self._services, API) as connection, connection.transaction():
            reader = self._scene.readers[who]
            if reader is not None:
                await connection.execute(ASKED, reader.setting)
            found: list[asyncpg.Record] = await connection.fetch(sql, *values)
            return found

    async def texts(self, who: str, sql: str, *values: Any) -> list[str]:
        return [str(row[0]) for row in await self.rows(who, sql, *values)]


@pytest.fixture
def api(services: Services, scene: Scene) -> Api:
    return Api(services, scene)


HANGING: Final = (
    *("proposal_version", "matter", "matter_seen", "waiting_seen", "event"),
    *("condition", "report", "tranche", "tranche_seen", "deferral"),
    *("ledger_transaction", "ledger_entry", "ledger_balance", "budget_use"),
)
EVERYBODY: Final = ("applicant", "stranger", "somebody else", "il", "az", "auditor", "nobody")


@pytest.fixture(scope="module")
async def funded(services: Services, database: Database, scene: Scene) -> list[Steps]:
    """Two more, of the same two applicants, with all that hangs on an initiative: conditions, money, reports."""
    lives = []
    for who in ("applicant", "stranger"):
        reader = scene.readers[who]
        assert reader is not None
        life = of_applicant(reader)
        life.begin().reach(Stage.ACTIVE)
        assert life.authorise(1, "az").status == "counted"
        assert life.hold(1, "az").status == "counted"
        await life.prepare(database)
        for step in life.steps:
            assert await record.append(database, step) == ()
        async with database.transaction() as connection:
            for document in life.drawn_up.values():
                await documents.keep(connection, content_hash(document), document)
        lives.append(life)
    return lives


@pytest.mark.parametrize("table", HANGING)
async def test_applicants_see_what_hangs_on_their_own_initiatives_and_nobody_known_sees_nothing(
    api: Api, scene: Scene, funded: list[Steps], database: Database, table: str
) -> None:
    mine, theirs = ([a.state.id, b.state.id] for a, b in zip((scene.mine, scene.other), funded, strict=True))
    query = f"SELECT DISTINCT initiative_id FROM {table} WHERE initiative_id = ANY ($1)"
    async with database.reading() as connection:
        rows = await connection.execute(text(query.replace("$1", ":ids")), {"ids": [*mine, *theirs]})
        there = {str(row[0]) for row in rows}
    if table not in ("condition", "deferral"):
        assert there, "there is nothing that could be withheld"
    seen = {who: set(await api.texts(who, query, [*mine, *theirs])) for who in EVERYBODY}
    assert seen == {
        "applicant": there & set(mine),
        "stranger": there & set(theirs),
        "somebody else": set(),
        "il": there,
        "az": there,
        "auditor": there,
        "nobody": set(),
    }
    # No condition at all, as a query that lacks its WHERE would have it: nothing else comes up.
    for who in ("applicant", "stranger", "somebody else", "nobody"):
        everything = set(await api.texts(who, f"SELECT DISTINCT initiative_id FROM {table}"))
        assert everything == seen[who]


async def test_an_initiative_is_its_applicants_and_the_programmes(api: Api, scene: Scene) -> None:
    by_contact = scene.mine.state.proposal.people
    query = "SELECT id FROM initiative WHERE id = ANY ($1) ORDER BY id"
    seen = {who: await api.texts(who, query, scene.ids) for who in EVERYBODY}
    assert seen["applicant"] == [scene.mine.state.id]
    assert seen["stranger"] == [scene.other.state.id]
    assert seen["il"] == seen["az"] == seen["auditor"] == sorted(scene.ids)
    assert seen["somebody else"] == seen["nobody"] == []
    # A member of the consortium is known by their address alone.
    scene.readers["partner"] = Reader("applicant", "applicants/partner", contact=by_contact[0])
    assert await api.texts("partner", query, scene.ids) == sorted(scene.ids)


async def test_who_leaves_the_consortium_sees_it_no_more_and_who_joins_it_does(
    api: Api, scene: Scene, database: Database
) -> None:
    first, second = (
        Reader("applicant", f"applicants/{who}", contact=contact_key(f"{who}@{scene.marker}.example"))
        for who in ("leaves", "joins")
    )
    scene.readers |= {"leaves": first, "joins": second}
    body = minimal_proposal()
    partners = body["partners"]
    partners[-1]["contact"]["email"] = f"leaves@{scene.marker}.example"
    life = Steps(proposal=Proposal.model_validate(body))
    life.begin()
    life.all_sign()
    life.all_sign(Response.RETURN)
    await life.prepare(database)
    for step in life.steps:
        assert await record.append(database, step) == ()
    query = "SELECT id FROM initiative WHERE id = $1"
    assert await api.texts("leaves", query, life.state.id) == [life.state.id]
    assert await api.texts("joins", query, life.state.id) == []
    partners[-1]["contact"]["email"] = f"joins@{scene.marker}.example"
    life.steps = []
    life.revise(partners=partners)
    async with database.transaction() as connection:
        await documents.keep(connection, life.proposal.content_hash(), life.proposal.document_form())
    for step in life.steps:
        assert await record.append(database, step) == ()
    assert await api.texts("leaves", query, life.state.id) == []
    assert await api.texts("joins", query, life.state.id) == [life.state.id]


@pytest.mark.parametrize(
    "who", ["", "{}", "null", '{"role": "staf"}', '{"role": null}', '{"role": "applicant"}']
)
async def test_a_reader_who_is_not_whole_sees_nothing(services: Services, scene: Scene, who: str) -> None:
    async with connected(services, API) as connection, connection.transaction():
        await connection.execute(ASKED, who)
        for table in (
            "initiative",
            "matter_seen",
            "audit_entry",
            "mandate",
            "document",
            "report_draft",
            "event",
        ):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0, table


async def test_a_draft_is_there_for_those_who_take_part_and_for_nobody_else(api: Api, scene: Scene) -> None:
    query = "SELECT initiative_id FROM report_draft WHERE body ->> 'narrative' = $1"
    seen = {who: await api.texts(who, query, scene.marker) for who in EVERYBODY}
    assert seen.pop("applicant") == [scene.mine.state.id]
    assert seen.pop("stranger") == [scene.other.state.id]
    assert set(map(len, seen.values())) == {0}
    for who in ("stranger", "il", "auditor", "nobody"):
        for statement in (
            "UPDATE report_draft SET body = '{}' WHERE initiative_id = $1 RETURNING 1",
            "DELETE FROM report_draft WHERE initiative_id = $1 RETURNING 1",
        ):
            assert await api.rows(who, statement, scene.mine.state.id) == []
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.rows(
                who,
                "INSERT INTO report_draft VALUES ($1, 9, 'h', '{}', $2, now())",
                scene.mine.state.id,
                "il/somebody",
            )


async def test_mandates_are_their_sides_those_peoples_and_the_auditors(api: Api, scene: Scene) -> None:
    query = "SELECT directorate FROM mandate WHERE delegator LIKE '%' || $1 ORDER BY 1"
    seen = {who: await api.texts(who, query, scene.marker) for who in EVERYBODY}
    assert seen == {
        "applicant": [],
        "stranger": [],
        "somebody else": [],
        "il": ["il"],
        "az": ["az"],
        "auditor": ["az", "il"],
        "nobody": [],
    }
    statement = "UPDATE mandate SET revoked_at = now() WHERE delegator = 'il/head-' || $1 RETURNING 1"
    for who in ("az", "auditor", "applicant", "nobody"):
        assert await api.rows(who, statement, scene.marker) == []
    forged = "INSERT INTO mandate SELECT $1::uuid, 'il', delegator, $2, valid_from, valid_to, NULL, body FROM mandate"
    for who in ("il", "az", "auditor"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await api.rows(who, forged, new_id(), "il/a-friend")


async def test_a_claim_is_its_callers_and_a_statement_its_sides(api: Api, scene: Scene) -> None:
    claimed = {who: await api.texts(who, "SELECT initiative_id FROM claim") for who in EVERYBODY}
    assert claimed.pop("applicant") == [scene.mine.state.id]
    assert claimed.pop("stranger") == [scene.other.state.id]
    assert set(map(len, claimed.values())) == {0}
    query = "SELECT directorate FROM bank_statement WHERE key = $1"
    imported = {who: await api.texts(who, query, scene.marker) for who in EVERYBODY}
    assert (imported.pop("il"), imported.pop("az")) == (["il"], ["az"])
    assert set(map(len, imported.values())) == {0}


async def test_the_trail_is_the_auditors_beside_ones_own_entries_and_what_all_are_told(
    api: Api, scene: Scene, funded: list[Steps]
) -> None:
    mine, life = scene.mine.state.id, funded[0]
    query = "SELECT action FROM audit_entry WHERE initiative_id = $1 ORDER BY sequence"
    assert await api.texts("auditor", query, mine) == [one.action for one in scene.mine.entries]
    for who in ("il", "az", "stranger", "somebody else", "nobody"):
        assert await api.texts(who, query, mine) == []
    assert await api.texts("applicant", query, mine) == ["initiative.submitted"]
    drawn_up = [one.action for one in life.entries if one.action == "agreement.drawn_up"]
    assert drawn_up
    for who, expected in (("il", drawn_up), ("stranger", []), ("nobody", [])):
        assert await api.texts(who, query, life.state.id) == expected
    # Who signed reads what they signed: that answers the same message, sent again.
    counsel = next(one.actor for one in scene.mine.entries if "because of" in json.dumps(one.body))
    scene.readers["counsel"] = Reader("staff", counsel, "il")
    assert "matter.signed" in await api.texts("counsel", query, mine)
    # A side's own book is its own, and goes on under its own name only.
    book = "SELECT body ->> 'directorate' FROM audit_entry WHERE action = 'mandate.given' AND actor LIKE '%' || $1"
    seen = {who: await api.texts(who, book, scene.marker) for who in EVERYBODY}
    assert (seen.pop("il"), seen.pop("az"), sorted(seen.pop("auditor"))) == (["il"], ["az"], ["az", "il"])
    assert set(map(len, seen.values())) == {0}


@pytest.mark.parametrize(
    "action", ["stage.entered", "matter.signed", "mandate.given", "bank_statement.imported"]
)
@pytest.mark.parametrize("who", EVERYBODY)
async def test_the_api_writes_into_no_initiatives_trail(
    api: Api, scene: Scene, who: str, action: str
) -> None:
    reader = scene.readers[who]
    with pytest.raises(
        (asyncpg.InsufficientPrivilegeError, asyncpg.IntegrityConstraintViolationError)
    ) as refused:
        await api.rows(
            who,
            "INSERT INTO audit_entry (initiative_id, sequence, action, actor, at, body, previous, hash) "
            "SELECT $1::uuid, $2::int, $3, $4, '2027-01-01T00:00:00.000000Z', $5::jsonb, $6, "
            "'sha256:' || repeat('f', 64)",
            scene.mine.state.id,
            scene.mine.state.sequence + 1,
            action,
            reader.person if reader else "system",
            json.dumps({"directorate": "il"}),
            scene.mine.state.head,
        )
    assert refused.value.sqlstate in ("42501", "23000")


HASH: Final = re.compile(r"sha256:[0-9a-f]{64}")


async def test_a_document_is_there_for_whoever_sees_the_programme(api: Api) -> None:
    body = {"made": new_id()}
    content = "sha256:" + "7" * 64
    await api.rows("applicant", "SELECT keep_document($1, $2)", content, json.dumps(body))
    query = "SELECT body ->> 'made' FROM document WHERE content_hash = $1"
    seen = {who: await api.texts(who, query, content) for who in EVERYBODY}
    assert {who for who, found in seen.items() if found} == {"il", "az", "auditor"}
    # Content that is there stays as it is.
    await api.rows("applicant", "SELECT keep_document($1, '{}')", content)
    assert await api.texts("il", query, content) == [body["made"]]
    for who in ("applicant", "stranger", "somebody else", "nobody"):
        assert await api.texts(who, "SELECT 1 FROM document") == []


async def test_a_document_of_an_initiative_is_there_for_whoever_sees_the_initiative(
    api: Api, scene: Scene, funded: list[Steps]
) -> None:
    query = "SELECT content_hash FROM document_of($1, $2)"
    mine, other = scene.mine.state, scene.other.state
    subject = mine.matters[-1].content_hash
    seen = {who: await api.texts(who, query, mine.id, subject) for who in EVERYBODY}
    assert {who for who, found in seen.items() if found == [subject]} == {"applicant", "il", "az", "auditor"}
    assert not any(seen[who] for who in ("stranger", "somebody else", "nobody"))
    # A member of the consortium is known by their address alone.
    scene.readers["partner"] = Reader("applicant", "applicants/partner", contact=mine.proposal.people[0])
    assert await api.texts("partner", query, mine.id, subject) == [subject]
    # By another initiative nothing is found that it does not name, nor by one that is not there.
    assert await api.texts("applicant", query, other.id, subject) == []
    assert await api.texts("applicant", query, new_id(), subject) == []
    content = "sha256:" + "8" * 64
    await api.rows("stranger", "SELECT keep_document($1, '{}')", content)
    assert await api.texts("applicant", query, mine.id, content) == []
    # Whatever the record of theirs names, down to the decisions and what was drawn up after them.
    life = funded[0]
    named = {one for matter in life.state.matters for one in HASH.findall(matter.model_dump_json())}
    named |= {one for entry in life.entries for one in HASH.findall(json.dumps(entry.body))}
    there = "SELECT content_hash FROM document WHERE content_hash = ANY ($1)"
    kept = set(await api.texts("auditor", there, list(named)))
    assert {one.decision for one in life.state.matters if one.decision} <= kept
    assert {content_hash(document) for document in life.drawn_up.values()} <= kept
    for one in named:
        assert await api.texts("applicant", query, life.state.id, one) == ([one] if one in kept else [])
        assert await api.texts("stranger", query, life.state.id, one) == []
    for matter in life.state.matters:
        assert await api.texts("stranger", query, other.id, matter.decision) == []


async def test_the_text_of_titles_is_searched_among_what_the_reader_sees(api: Api, scene: Scene) -> None:
    query = "SELECT id FROM initiative WHERE id IN (SELECT initiatives_with($1))"
    for life, who in ((scene.mine, "applicant"), (scene.other, "stranger")):
        found = {one: await api.texts(one, query, life.state.reference) for one in EVERYBODY}
        assert {one for one, ids in found.items() if ids == [life.state.id]} == {who, "il", "az", "auditor"}
        bare = "SELECT initiatives_with($1)"
        assert await api.texts("somebody else", bare, life.state.reference) == []
        assert await api.texts("nobody", bare, life.state.reference) == []


async def test_a_sides_chain_comments_and_open_position_are_withheld_from_the_other(
    api: Api, scene: Scene
) -> None:
    query = "SELECT body::text FROM matter_seen WHERE initiative_id = $1 AND number = $2"
    matter = scene.mine.state.matters[-1]
    for who in ("il", "auditor"):
        (seen,) = await api.texts(who, query, scene.mine.state.id, matter.number)
        assert f"to us only: {scene.marker}" in seen
        assert json.loads(seen)["positions"]["il"]["response"] == "return"
    for who in ("az", "applicant"):
        (seen,) = await api.texts(who, query, scene.mine.state.id, matter.number)
        assert scene.marker not in seen
        told = json.loads(seen)
        assert (told["positions"], told["counted"], told["sealed"]) == ({}, [], ["il"])
        assert (told["chains"]["il"], set(told["countersigned"].values()) <= {""}) == ([], True)
        assert set(told["reminded"]) | set(told["escalated"]) <= {"az"}
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.rows("il", "SELECT body FROM matter")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await api.rows("il", "SELECT * FROM matter WHERE seen_matter(body) IS NOT NULL")


async def test_the_database_and_the_application_seal_alike(
    services: Services, scene: Scene, funded: list[Steps]
) -> None:
    """Whatever of a matter the rule shows somebody, it shows them just that of what the database lets through."""
    api = Database(services.postgres.url(role=API), pool_size=1)
    now, compared = datetime.now(UTC), 0
    try:
        for life in (scene.mine, *funded[:1]):
            for who in ("applicant", "il", "az", "auditor"):
                reader = scene.readers[who]
                assert reader is not None
                side, audits = reader.directorate, reader.role == "auditor"
                async with api.read_by(reader).reading() as connection:
                    found = await initiatives.see_matters(connection, life.state.id)
                assert len(found) == len(life.state.matters)
                for seen, whole in zip(found, life.state.matters, strict=True):
                    expected = matters.seen_by(whole, side, now, sees_all=audits)
                    got = matters.seen_by(seen.matter, side, now, sees_all=audits, sealed=seen.sealed)
                    assert got == expected
                    one = await initiatives.see_matter(api.read_by(reader), life.state.id, whole.number)
                    before = await initiatives.before(api.read_by(reader), life.state.id, whole.number)
                    assert before is not None
                    assert one == seen == before.seen
                    compared += 1
    finally:
        await api.close()
    assert compared > 12


async def test_of_another_side_nobody_reads_which_office_is_waited_for_nor_who_has_signed(
    api: Api, scene: Scene
) -> None:
    life = scene.mine
    sides = {one.directorate for one in life.waited_for()}
    assert "az" in sides
    table = "SELECT DISTINCT directorate FROM waiting WHERE initiative_id = $1"
    assert await api.texts("il", table, life.state.id) in ([], ["il"])
    query = (
        "SELECT office, not_by, reminded FROM waiting_seen WHERE initiative_id = $1 AND directorate = 'az'"
    )
    (own,) = await api.rows("az", query, life.state.id)
    assert own["office"] is not None
    for who in ("il", "applicant"):
        (seen,) = await api.rows(who, query, life.state.id)
        assert (seen["office"], seen["not_by"], seen["reminded"]) == (None, [], None)


async def test_why_a_payment_is_held_is_its_sides(api: Api, funded: list[Steps]) -> None:
    life = funded[0]
    held = life.state.tranches[0].shares["az"]
    query = (
        "SELECT body -> 'shares' -> 'az' ->> 'held_reasons' FROM tranche_seen "
        "WHERE initiative_id = $1 AND number = 1"
    )
    seen = {who: await api.rows(who, query, life.state.id) for who in ("az", "auditor", "il", "applicant")}
    told = {who: rows[0][0] for who, rows in seen.items()}
    assert told == {"az": held.held_reasons, "auditor": held.held_reasons, "il": None, "applicant": None}
    assert held.held_reasons is not None
