"""Whatever is killed on the way to the bank: one file and one row for each end-to-end id, and none is lost."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from lxml import etree
from sqlalchemy import select

from countersign.activities.payments import PaymentOrder
from countersign.domain.amounts import Amount
from countersign.domain.funding import Instruction
from countersign.domain.ids import end_to_end_id
from countersign.runtime.embedded.services import Services
from countersign.store import record
from countersign.store import tables as t
from countersign.store.session import Database
from tests.banking.making import NOON
from tests.outbox import write_accounts
from tests.store.making import Steps

pytestmark = [pytest.mark.services, pytest.mark.faults, pytest.mark.slow]

KILLS = 100


@asynccontextmanager
async def dying(
    services: Services, outbox: Path, accounts: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process whose children kill themselves."""
    env = os.environ | {
        "COUNTERSIGN_DATABASE_URL": services.settings().database_url,
        "COUNTERSIGN_PAYMENT_OUTBOX": str(outbox),
        "COUNTERSIGN_SIGNING_KEYS": str(accounts),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.dying_bank"),
        env=env,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def told(process: asyncio.subprocess.Process, point: int, order: PaymentOrder) -> str:
    """What became of a try that is killed at a point."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{point} {order.model_dump_json()}\n".encode())
    await process.stdin.drain()
    async with asyncio.timeout(30):
        return (await process.stdout.readline()).decode().strip()


def order_of(life: Steps, tranche: int) -> PaymentOrder:
    instructions = [
        Instruction(
            end_to_end_id=end_to_end_id(life.state.id, tranche, f"il/{partner}/{unit}", 1),
            amount=Amount(100_00 + tranche, unit),
            partner=partner,
        )
        for partner, unit in (("dugma", "ILS"), ("nirgends", "ILS"), ("dugma", "GPUh"))
    ]
    return PaymentOrder(
        initiative=life.state.id,
        reference=life.state.reference,
        tranche=tranche,
        directorate="il",
        instructions=tuple(instructions),
        at=NOON,
    )


async def test_a_hundred_kills_on_the_way_to_the_bank_double_nothing_and_lose_nothing(
    apart: Services, apart_database: Database, tmp_path: Path
) -> None:
    life = Steps()
    life.begin()
    await life.prepare(apart_database)
    for step in life.steps:
        await record.append(apart_database, step)
    outbox, taken = tmp_path / "outbox", Counter[str]()
    write_accounts(tmp_path, "il", life.state.reference, ("dugma", "nirgends"))

    def take() -> None:
        """The bank's own program: takes what is there, now and then."""
        for file in (outbox / "il").glob("*.xml"):
            ids = etree.fromstring(file.read_bytes()).xpath("//*[local-name()='EndToEndId']/text()")
            taken.update(str(one) for one in ids)
            file.unlink()

    draw, kills, orders = random.Random(5), 0, [order_of(life, 1)]
    async with dying(apart, outbox, tmp_path) as process:
        points = int(await told(process, 0, orders[0]))  # nobody is killed: so many points there are
        while kills < KILLS:
            orders.append(order_of(life, len(orders) + 1))
            for _ in range(11):
                answer = await told(process, draw.randint(1, points), orders[-1])
                assert answer == "killed" or answer.isdigit(), answer
                kills += answer == "killed"
                if draw.random() < 0.5:
                    take()
            assert (await told(process, 0, orders[-1])).isdigit()
    take()
    expected = {one.end_to_end_id: 1 for order in orders for one in order.instructions if one.is_money}
    assert dict(taken) == expected
    p = t.payment_instruction.c
    async with apart_database.reading() as connection:
        rows = (
            await connection.execute(select(p.end_to_end_id).where(p.initiative_id == life.state.id))
        ).all()
        own = select(p.message_id).where(p.initiative_id == life.state.id)
        statement = select(t.payment_file).where(t.payment_file.c.message_id.in_(own))
        files = (await connection.execute(statement)).all()
    assert sorted(row.end_to_end_id for row in rows) == sorted(
        one.end_to_end_id for order in orders for one in order.instructions
    )
    assert len(files) == len(orders)
    assert all(file.delivered_at is not None for file in files)
    assert [one for one in (outbox / "il" / ".staging").iterdir() if re.match(r"CSM", one.name)] == []
