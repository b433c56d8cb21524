"""What goes with the people of an initiative: the content of its attachments, and its archived histories."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError

from countersign.attachments.vault import VaultAway
from countersign.domain import audit
from countersign.domain.errors import RuleBroken
from countersign.runtime.archive import Press
from countersign.runtime.embedded.services import Services
from countersign.runtime.payload_codec import EncryptingCodec
from countersign.runtime.payload_keys import new_ring
from countersign.store import (
    archive_check,
    attachments,
    histories,
    retention,
)
from countersign.store import tables as t
from countersign.store.roles import KEEPER, Reader
from countersign.store.session import Database
from tests.audit.histories import archive
from tests.store.making import new_id
from tests.store.named import NOW, Named, due, entries_of, places_of, redact

pytestmark = pytest.mark.services

# ---- attachments


async def bring(database: Database, content: str, person: str = "applicants/plonit") -> None:
    """As the owner, who is bound to nobody."""
    async with database.read_by(Reader("applicant", person)).transaction() as connection:
        await attachments.keep(connection, content, "application/pdf", 10)


async def attached(database: Database, *contents: str) -> Named:
    """A life that is over, whose proposal names these."""
    life = Named()
    life.proposal = life.proposal.model_copy(
        update={
            "documents": tuple(
                document.model_copy(update={"sha256": content})
                for document, content in zip(life.proposal.documents, contents, strict=True)
            )
        }
    )
    life.proposals = [life.proposal]
    life.begin()
    life.withdraw()
    return await life.on_record(database)


async def erased_at(database: Database, content: str) -> datetime | None:
    async with database.reading() as connection:
        found = await attachments.find(connection, content)
    assert found is not None
    return found.erased_at


async def test_the_content_of_attachments_goes_with_the_people_unless_another_record_needs_it(
    database: Database,
) -> None:
    own, shared, absent = (f"sha256:{new_id().replace('-', '') * 2}" for _ in range(3))
    submitter = Named().applicant.person
    for one in (own, shared):
        await bring(database, one, submitter)
    life, other = (
        await attached(database, own, shared, absent),
        await attached(database, shared, shared, shared),
    )
    gone: list[str] = []

    async def erase(content: str) -> None:
        gone.append(content)

    with pytest.raises(RuleBroken, match="where they are kept was not said"):
        await redact(database, life)
    assert await due(database, life) != []  # nothing of it was done

    done = await retention.redact(database, life.id, NOW, "operator", erase)
    assert done is not None
    assert (done.attachments, gone) == ((own,), [own])
    assert (await erased_at(database, own), await erased_at(database, shared)) == (NOW, None)
    entries = await entries_of(database, life)
    assert entries[-1].body["attachments"] == [own]
    assert audit.chain_faults(entries) == []

    done = await retention.redact(database, other.id, NOW, "operator", erase)
    assert done is not None
    assert (done.attachments, gone) == ((shared,), [own, shared])
    assert await erased_at(database, shared) == NOW
    # Whoever brings it again has it again, and the initiatives that name it do.
    await bring(database, own, submitter)
    assert await erased_at(database, own) is None


async def test_what_keeps_the_attachments_being_away_leaves_the_people_on_record(database: Database) -> None:
    content = f"sha256:{new_id().replace('-', '') * 2}"
    await bring(database, content, Named().applicant.person)
    life = await attached(database, content, content, content)

    async def erase(_: str) -> None:
        raise VaultAway("it does not answer")

    with pytest.raises(VaultAway):
        await retention.redact(database, life.id, NOW, "operator", erase)
    assert await places_of(database, life.names) == ["document"]
    assert await erased_at(database, content) is None


async def test_whoever_names_content_just_before_it_is_erased_keeps_it(database: Database) -> None:
    content = f"sha256:{new_id().replace('-', '') * 2}"
    await bring(database, content, Named().applicant.person)
    life = await attached(database, content, content, content)
    other = Named()
    other.begin()
    await other.on_record(database)
    gone: list[str] = []

    async def erase(one: str) -> None:
        gone.append(one)

    async with database.transaction() as connection:
        values = {"initiative_id": other.id, "sequence": 1, "place": 1, "content_hash": content}
        await connection.execute(insert(t.initiative_attachment).values(values))
        redacting = asyncio.create_task(retention.redact(database, life.id, NOW, "operator", erase))
        await asyncio.sleep(0.3)
        assert not redacting.done()
    done = await redacting
    assert done is not None
    assert (done.attachments, gone, await erased_at(database, content)) == ((), [], None)


async def test_content_that_comes_again_while_it_is_erased_comes_after_that(database: Database) -> None:
    content = f"sha256:{new_id().replace('-', '') * 2}"
    person = Named().applicant.person
    await bring(database, content, person)
    life = await attached(database, content, content, content)
    happened: list[str] = []

    async def again() -> None:
        await bring(database, content, person)
        happened.append("brought")

    async def erase(_: str) -> None:
        bringing.append(asyncio.create_task(again()))
        await asyncio.sleep(0.3)
        happened.append("erased")

    bringing: list[asyncio.Task[None]] = []
    await retention.redact(database, life.id, NOW, "operator", erase)
    await asyncio.gather(*bringing)
    assert happened == ["erased", "brought"]
    assert await erased_at(database, content) is None


# ---- archived histories


async def test_archived_histories_go_with_the_people_and_none_is_archived_after_that(
    services: Services, database: Database
) -> None:
    life, other = Named(), Named()
    for one in (life, other):
        one.begin()
        one.withdraw()
        await one.on_record(database)
    press, agreement = Press(EncryptingCodec(new_ring())), life.agreement.id
    async with database.transaction() as connection:
        runs = await archive(connection, press, agreement, await entries_of(database, life), NOW)
        await archive(connection, press, agreement, await entries_of(database, other), NOW)
        late = await histories.of(connection, life.id)

    as_keeper = Database(services.postgres.url(role=KEEPER))
    done = await redact(as_keeper, life)
    await as_keeper.close()

    assert done is not None
    assert done.histories == tuple(sorted(one.run_id for one in runs))
    async with database.transaction() as connection:
        kept_of = {one.id: await histories.of(connection, one.id) for one in (life, other)}
        assert [one.content for one in kept_of[life.id]] == [None, None]
        assert [one.run for one in kept_of[life.id]] == runs
        assert all(one.content for one in kept_of[other.id])
        # What Temporal still has of it is not put there again.
        again = replace(late[0].run, run_id=new_id())
        assert not await histories.put(connection, agreement, again, b"named", NOW)
        faults = [one async for one in archive_check.row_faults(connection)]
        assert [one for one in faults if one.trail in (life.id, other.id)] == []


async def test_an_archived_history_is_erased_or_stays_as_it_is(database: Database) -> None:
    life = Named()
    life.begin()
    life.withdraw()
    await life.on_record(database)
    async with database.transaction() as connection:
        entries = await entries_of(database, life)
        await archive(connection, Press(EncryptingCodec(new_ring())), life.agreement.id, entries, NOW)
    for statement in (
        "UPDATE workflow_history SET content = 'another'",
        "UPDATE workflow_history SET events = events + 1",
        "UPDATE workflow_history SET content = NULL, erased_at = now(), status = 'failed'",
        "DELETE FROM workflow_history",
    ):
        with pytest.raises(IntegrityError, match="refused"):
            async with database.transaction() as connection:
                await connection.execute(
                    text(f"{statement} WHERE initiative_id = cast(:id AS uuid)"), {"id": life.id}
                )
    with pytest.raises(IntegrityError, match="refused"):
        async with database.transaction() as connection:
            await connection.execute(text("TRUNCATE workflow_history"))
