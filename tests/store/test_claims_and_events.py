"""One initiative a key; and events of which no reader misses one."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.store import claims, events, record
from countersign.store import tables as t
from countersign.store.claims import Claim
from countersign.store.session import Database
from tests.store.making import Steps, new_id

pytestmark = pytest.mark.services

AT = datetime(2027, 5, 1, tzinfo=UTC)


async def claim(database: Database, key: str, **changes: str) -> Claim:
    values = {
        "caller": "applicants/plonit",
        "fingerprint": "sha256:1",
        "initiative": new_id(),
        "prefix": "TRY",
    }
    async with database.transaction() as connection:
        return await claims.claim(connection, **values | changes, key=key, at=AT)


async def test_the_same_key_twenty_times_at_once_is_one_initiative_and_one_reference(
    database: Database,
) -> None:
    key = new_id()
    made = await asyncio.gather(*(claim(database, key) for _ in range(20)))
    assert len({(one.initiative, one.reference) for one in made}) == 1
    assert re.fullmatch(r"TRY-2027-\d{4}", made[0].reference)


async def test_twenty_keys_at_once_are_twenty_references_without_a_gap(database: Database) -> None:
    made = await asyncio.gather(*(claim(database, new_id(), prefix="GAP") for _ in range(20)))
    assert sorted(one.reference for one in made) == [f"GAP-2027-{n:04d}" for n in range(1, 21)]
    assert len({one.initiative for one in made}) == 20


async def test_a_key_belongs_to_its_caller_and_remembers_what_came_with_it(database: Database) -> None:
    key = new_id()
    first = await claim(database, key)
    again = await claim(database, key, fingerprint="sha256:2")
    assert (again.initiative, again.fingerprint) == (first.initiative, "sha256:1")
    other = await claim(database, key, caller="applicants/almonit")
    assert other.initiative != first.initiative


async def test_a_claim_that_was_not_committed_is_free_again(database: Database) -> None:
    key, lost = new_id(), new_id()

    async def interrupted() -> None:
        async with database.transaction() as connection:
            await claims.claim(
                connection,
                caller="applicants/plonit",
                key=key,
                fingerprint="f",
                initiative=lost,
                prefix="TRY",
                at=AT,
            )
            raise RuntimeError("the process ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        await interrupted()
    assert (await claim(database, key)).initiative != lost


# ---- events


@pytest.fixture(scope="module")
async def initiative(database: Database) -> str:
    life = Steps()
    life.begin()
    await life.prepare(database)
    for step in life.steps:
        await record.append(database, step)
    return life.state.id


class Reader:
    """Reads on from the last event it was told, as a subscriber does."""

    def __init__(self, database: Database, initiative: str) -> None:
        self._database, self._initiative, self.cursor = database, initiative, events.BEGINNING
        self.seen: list[int] = []

    async def read(self) -> None:
        async with self._database.reading() as connection:
            for one in await events.after(connection, self.cursor):
                self.cursor = one.cursor
                if one.initiative == self._initiative:
                    self.seen.append(one.sequence)


async def write(connection: AsyncConnection, initiative: str, sequence: int) -> None:
    row = {"initiative_id": initiative, "sequence": sequence, "type": "test", "at": AT, "data": {}}
    await connection.execute(insert(t.event), row)


async def a_reader(database: Database, initiative: str) -> Reader:
    """A reader that has been told of everything so far, whatever other tests have left."""
    reader = Reader(database, initiative)
    before = None
    while reader.cursor != before:
        before = reader.cursor
        await reader.read()
    reader.seen.clear()
    return reader


async def test_an_event_is_not_told_before_an_earlier_one_that_is_still_under_way(
    database: Database, initiative: str
) -> None:
    reader = await a_reader(database, initiative)
    async with database.transaction() as slow:
        await write(slow, initiative, 1001)
        async with database.transaction() as fast:
            await write(fast, initiative, 1002)
        await reader.read()
        assert reader.seen == []
    await reader.read()
    assert reader.seen == [1001, 1002]


async def test_no_event_is_missed_when_positions_are_not_in_the_order_in_which_transactions_began(
    database: Database, initiative: str
) -> None:
    """A transaction that began first may write its event last, and commit first."""
    reader = await a_reader(database, initiative)
    async with database.transaction() as second:
        async with database.transaction() as first:
            await claims.claim(  # its first write: this is when it gets its number
                first, caller="a", key=new_id(), fingerprint="f", initiative=new_id(), prefix="EV", at=AT
            )
            await write(second, initiative, 2001)
            await write(first, initiative, 2002)
        await reader.read()
    await reader.read()
    assert sorted(reader.seen) == [2001, 2002]


async def test_no_event_is_missed_nor_told_twice_under_many_writers(
    database: Database, initiative: str
) -> None:
    reader = await a_reader(database, initiative)
    done = asyncio.Event()

    async def writer(number: int) -> None:
        for one in range(15):
            async with database.transaction() as connection:
                await claims.claim(
                    connection,
                    caller=f"w{number}",
                    key=new_id(),
                    fingerprint="f",
                    initiative=new_id(),
                    prefix=f"W{chr(65 + number)}",
                    at=AT,
                )
                await asyncio.sleep(0.001 * (number % 3))
                await write(connection, initiative, 3000 + number * 100 + one)
                await asyncio.sleep(0.001 * (one % 3))

    async def read() -> None:
        while not done.is_set():
            await reader.read()

    reading = asyncio.create_task(read())
    await asyncio.gather(*(writer(number) for number in range(8)))
    done.set()
    await reading
    await reader.read()
    wanted = [3000 + number * 100 + one for number in range(8) for one in range(15)]
    assert sorted(reader.seen) == sorted(wanted)
