"""The log over all trails: grown by what was recorded, whoever grows it, and proving it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain import audit, merkle
from countersign.domain.checkpoint import NoteSignature
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.store import books, log
from countersign.store import tables as t
from countersign.store.roles import API, WORKER, Reader
from countersign.store.session import Database
from tests.domain.test_merkle import mth, path, subproof
from tests.store.making import new_id

pytestmark = pytest.mark.services

NOW = datetime(2027, 3, 1, tzinfo=UTC)


@pytest.fixture
async def place(services: Services) -> str:
    """A database of its own: a log has everything in it."""
    name = f"log_{secrets.token_hex(6)}"
    await migrate(await services.postgres.create_database(name))
    return name


@pytest.fixture
async def worker(services: Services, place: str) -> AsyncIterator[Database]:
    """As a worker, who grows it."""
    opened = Database(services.postgres.url(place, role=WORKER), pool_size=8)
    yield opened
    await opened.close()


@pytest.fixture
async def owner(services: Services, place: str) -> AsyncIterator[Database]:
    opened = Database(services.postgres.url(place), pool_size=4)
    yield opened
    await opened.close()


async def write(database: Database, number: int, book: str | None = None) -> str:
    """Record so many entries in a trail."""
    book = book or new_id()
    async with database.transaction() as connection:
        for _ in range(number):
            await books.append(
                connection, book, "test.happened", "system", NOW, {"some": secrets.token_hex(4)}
            )
    return book


async def grow(database: Database) -> int:
    async with database.transaction() as connection:
        return await log.grow(connection)


async def contents(database: Database) -> list[bytes]:
    """What the leaves are made of, in the log's order."""
    async with database.reading() as connection:
        e, leaf = t.audit_entry.c, t.log_leaf.c
        hashes = await connection.scalars(
            select(e.hash).join(t.log_leaf, leaf.position == e.position).order_by(leaf.index)
        )
        return [bytes.fromhex(one.removeprefix("sha256:")) for one in hashes]


async def test_the_log_grows_by_what_was_recorded_and_proves_every_entry_as_the_rfc_has_it(
    worker: Database,
) -> None:
    sizes = []
    for number in (1, 2, 0, 255, 1, 300, 7):
        await write(worker, number)
        assert await grow(worker) == number
        async with worker.reading() as connection:
            sizes.append(await log.size(connection))
    assert await grow(worker) == 0
    leaves = await contents(worker)
    assert sizes == [1, 3, 3, 258, 259, 559, 566]
    async with worker.reading() as connection:
        for size in (*sizes, 2, 256, 257, 512, 560):
            assert await log.root(connection, size) == mth(leaves[:size])
        for index in (0, 1, 2, 255, 256, 257, 511, 512, 558, 565):
            assert await log.inclusion_proof(connection, index, 566) == path(index, leaves)
        for before in (1, 2, 3, 255, 256, 258, 259, 512, 559, 565):
            assert await log.consistency_proof(connection, before, 566) == subproof(before, leaves, True)
        assert await log.consistency_proof(connection, 566, 566) == []
        for asked in (log.inclusion_proof(connection, 566, 566), log.consistency_proof(connection, 567, 566)):
            with pytest.raises(ValueError, match=r"never had|has no leaf"):
                await asked


async def test_beyond_a_whole_tile_of_tiles_the_roots_are_those_of_the_leaves(
    owner: Database, worker: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 256 * 256 + 300
    async with owner.transaction() as connection:
        await connection.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER ALL"))
        await connection.execute(
            text("""
            INSERT INTO audit_entry (initiative_id, sequence, action, actor, at, body, previous, hash)
            SELECT '00000000-0000-0000-0000-000000000001', n, 'test', 'system', '', '{}', '',
                'sha256:' || encode(sha256(n::text::bytea), 'hex') FROM generate_series(1, :number) AS n
            """),
            {"number": number},
        )
    grown = []
    while (now := await grow(worker)) > 0:
        grown.append(now)
    assert grown == [*16 * [4_000], number - 64_000]
    leaves = [merkle.leaf_hash(one) for one in await contents(worker)]
    async with worker.reading() as connection:
        for size in (65_535, 65_536, 65_537, number):
            assert await log.root(connection, size) == merkle.root_of_leaves(leaves[:size])
        root = await log.root(connection, number)
        for index in (0, 65_535, 65_536, number - 1):
            proof = await log.inclusion_proof(connection, index, number)
            assert merkle.root_by_inclusion(leaves[index], index, number, proof) == root
        proof = await log.consistency_proof(connection, 40_000, number)
        merkle.check_consistency(40_000, merkle.root_of_leaves(leaves[:40_000]), number, root, proof)


async def test_many_grow_it_at_once_while_others_record_and_each_entry_is_in_it_once(
    worker: Database,
) -> None:
    async def record() -> None:
        for _ in range(10):
            await write(worker, 3)

    async def growing() -> None:
        for _ in range(10):
            await grow(worker)

    await asyncio.gather(*(record() for _ in range(4)), *(growing() for _ in range(3)))
    await grow(worker)
    async with worker.reading() as connection:
        assert await log.size(connection) == 120
        assert await log.missing(connection) == 0
        assert await log.root(connection, 120) == mth(await contents(worker))


async def test_an_entry_that_is_committed_after_later_ones_is_taken_in_after_them(worker: Database) -> None:
    await write(worker, 3)
    async with worker.transaction() as late:
        await books.append(late, new_id(), "test.happened", "system", NOW, {})
        after = await write(worker, 2)
        assert await grow(worker) == 5
    assert await grow(worker) == 1
    async with worker.reading() as connection:
        assert await log.missing(connection) == 0
        assert await log.index_of(connection, after, 2) == 4
        assert await log.index_of(connection, after, 3) is None
        assert await log.index_of(connection, new_id(), 1) is None


async def test_an_entry_that_comes_later_than_anybody_waits_is_found_when_all_are_looked_at(
    worker: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "_STILL_COMING", 2)
    async with worker.transaction() as late:
        await books.append(late, new_id(), "test.happened", "system", NOW, {})
        await write(worker, 5)
        await grow(worker)
    await write(worker, 1)
    assert await grow(worker) == 1
    async with worker.reading() as connection:
        assert await log.missing(connection) == 1
    async with worker.transaction() as connection:
        assert await log.grow(connection, everywhere=True) == 1
    async with worker.reading() as connection:
        assert await log.missing(connection) == 0


async def growing_breaks_off(worker: Database) -> None:
    async with worker.transaction() as connection:
        await log.grow(connection)
        raise ZeroDivisionError


async def test_what_broke_off_in_the_middle_of_growing_leaves_the_log_as_it_was(worker: Database) -> None:
    await write(worker, 300)
    with pytest.raises(ZeroDivisionError):
        await growing_breaks_off(worker)
    async with worker.reading() as connection:
        assert await log.size(connection) == 0
    assert await grow(worker) == 300


async def test_checkpoints_are_made_once_signed_once_by_each_side_and_read_again(worker: Database) -> None:
    async with worker.transaction() as connection:
        assert await log.make_checkpoint(connection, "countersign/test", NOW) is None
        assert await log.checkpoint(connection) is None
    await write(worker, 5)
    await grow(worker)
    async with worker.transaction() as connection:
        made = await log.make_checkpoint(connection, "countersign/test", NOW)
        again = await log.make_checkpoint(connection, "countersign/test", NOW + timedelta(hours=1))
    assert made is not None
    assert made == again
    assert (made.signed.checkpoint.size, made.made_at, made.by) == (5, NOW, ())
    assert made.signed.checkpoint.root == mth(await contents(worker))
    az, il = (
        NoteSignature(f"countersign/test/{side}", side.encode() * 2, b"signed" * 10) for side in ("az", "il")
    )
    async with worker.transaction() as connection:
        assert await log.checkpoint(connection) is None  # nobody has signed it
        for side, signed in (("il", il), ("az", az), ("il", az)):
            await log.keep_signature(connection, 5, side, signed.line, NOW)
        found = await log.checkpoint(connection)
        assert (await log.last_signed(connection, "il"), await log.last_signed(connection, "xx")) == (5, 0)
    assert found is not None
    assert (found.by, found.signed.signatures) == (("az", "il"), (az, il))


CHANGES = [
    "UPDATE log_leaf SET position = position + 1000",
    "DELETE FROM log_leaf",
    "TRUNCATE log_leaf",
    "UPDATE log_tile SET hashes = decode(repeat('00', 32), 'hex')",
    "UPDATE log_tile SET hashes = substr(hashes, 1, 32)",
    "UPDATE log_tile SET level = level + 1",
    "DELETE FROM log_tile",
    "UPDATE log_checkpoint SET root = decode(repeat('00', 32), 'hex')",
    "DELETE FROM log_checkpoint WHERE size = 3",
    "UPDATE log_signature SET line = ''",
    "DELETE FROM log_signature",
]


@pytest.mark.parametrize("change", CHANGES)
async def test_nothing_of_the_log_is_ever_changed_by_its_owner_neither(
    change: str, owner: Database, worker: Database
) -> None:
    await write(worker, 3)
    await grow(worker)
    async with worker.transaction() as connection:
        await log.make_checkpoint(connection, "countersign/test", NOW)
        await log.keep_signature(connection, 3, "il", "— a AAAAAAAAAAAA\n", NOW)

    async def changing(connection: AsyncConnection) -> None:
        await connection.execute(text(change))

    with pytest.raises(IntegrityError):
        async with owner.transaction() as connection:
            await changing(connection)
    with pytest.raises(DBAPIError):
        async with worker.transaction() as connection:
            await changing(connection)


async def test_auditors_read_the_log_and_nobody_else_does(
    services: Services, place: str, worker: Database
) -> None:
    await write(worker, 3)
    await grow(worker)
    api = Database(services.postgres.url(place, role=API), pool_size=2)
    try:
        for reader, size in (
            (Reader("auditor", "audit-il/a", "il"), 3),
            (Reader("staff", "il/head", "il"), 0),
            (Reader("applicant", "applicants/a"), 0),
            (Reader("operator", "operators/a"), 0),
        ):
            async with api.read_by(reader).reading() as connection:
                assert await log.size(connection) == size
        await write(worker, 1)
        with pytest.raises(DBAPIError):
            await grow(api.read_by(Reader("auditor", "audit-il/a", "il")))
    finally:
        await api.close()


def test_a_leaf_is_an_entrys_hash() -> None:
    entry = audit.seal(
        initiative=new_id(), sequence=1, action="a", actor="b", at=NOW, body={}, previous=audit.GENESIS
    )
    assert log.leaf_of(entry.hash) == merkle.leaf_hash(bytes.fromhex(entry.hash[7:]))
