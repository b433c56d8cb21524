"""Files for a bank: what is in them, where they wait, and what keeps a payment from being told."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest
from lxml import etree
from sqlalchemy import select
from temporalio.exceptions import ApplicationError

from countersign.activities.outbox import Outbox
from countersign.activities.payments import OnRecord, PaymentOrder, Payments
from countersign.domain.amounts import Amount
from countersign.domain.funding import Instruction
from countersign.domain.ids import end_to_end_id
from countersign.store import record
from countersign.store import tables as t
from countersign.store.session import Database
from tests.banking.making import NOON
from tests.outbox import account, write_accounts
from tests.store.making import Steps

pytestmark = pytest.mark.services


@pytest.fixture
async def life(database: Database) -> Steps:
    steps = Steps()
    steps.begin()
    await steps.prepare(database)
    for step in steps.steps:
        await record.append(database, step)
    return steps


def order_of(life: Steps, *partners: str | None, unit: str = "ILS", **changes: Any) -> PaymentOrder:
    instructions = tuple(
        Instruction(
            end_to_end_id=end_to_end_id(life.state.id, 1, f"il/{partner}/{unit}", 1),
            amount=Amount(1_234_56 + number, unit),
            partner=partner,
        )
        for number, partner in enumerate(partners)
    )
    order = PaymentOrder(
        initiative=life.state.id,
        reference=life.state.reference,
        tranche=1,
        directorate="il",
        instructions=instructions,
        at=NOON,
    )
    return order.model_copy(update=changes)


def files(place: Path) -> list[Path]:
    return sorted((place / "il").glob("*.xml"))


async def rows(database: Database, life: Steps) -> list[str]:
    p = t.payment_instruction.c
    async with database.reading() as connection:
        found = await connection.scalars(select(p.end_to_end_id).where(p.initiative_id == life.state.id))
        return sorted(found.all())


async def test_an_order_is_one_file_with_every_partners_account(
    database: Database, life: Steps, tmp_path: Path
) -> None:
    write_accounts(tmp_path, "il", life.state.reference, ("dugma", "other"))
    order = order_of(life, "dugma", "other")
    await Outbox(database, tmp_path, tmp_path).instruct(order)
    (file,) = files(tmp_path)
    message = etree.fromstring(file.read_bytes())

    def said(name: str) -> list[str]:
        return [one.text or "" for one in message.iter(f"{{*}}{name}") if len(one) == 0]

    assert said("MsgId") == [file.stem]
    assert said("EndToEndId") == [one.end_to_end_id for one in order.instructions]
    assert said("InstdAmt") == ["1234.56", "1234.57"]
    assert said("IBAN") == [account("il", 1), account("il", 2), account("il", 3)]
    assert said("Dt") == ["2027-03-02"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await rows(database, life) == sorted(said("EndToEndId"))


async def test_the_same_order_again_and_at_once_is_the_same_one_file(
    database: Database, life: Steps, tmp_path: Path
) -> None:
    write_accounts(tmp_path, "il", life.state.reference, ("dugma",))
    order, bank = order_of(life, "dugma"), Outbox(database, tmp_path, tmp_path)
    later = order.model_copy(update={"at": NOON.replace(hour=13)})
    await asyncio.gather(*(bank.instruct(one) for one in (order, later) * 5))
    (file,) = files(tmp_path)
    content = file.read_bytes()
    write_accounts(tmp_path, "il", life.state.reference, ())
    await bank.instruct(later)
    assert [one.read_bytes() for one in files(tmp_path)] == [content]
    file.unlink()  # the bank's own program took it
    await bank.instruct(order)
    assert files(tmp_path) == []
    assert len(await rows(database, life)) == 1


async def test_compute_goes_on_record_and_into_no_file(
    database: Database, life: Steps, tmp_path: Path
) -> None:
    order = order_of(life, "dugma", unit="GPUh")
    await Outbox(database, tmp_path, None).instruct(order)
    assert not (tmp_path / "il").exists()
    assert await rows(database, life) == [order.instructions[0].end_to_end_id]


async def test_a_missing_account_makes_the_payment_wait_until_it_is_there(
    database: Database, life: Steps, tmp_path: Path
) -> None:
    order, bank = order_of(life, "dugma"), Outbox(database, tmp_path, tmp_path)
    for partners, reason in (
        (None, "il.accounts.toml cannot be read"),
        (("other",), "the account of partner 'dugma'"),
    ):
        if partners is not None:
            write_accounts(tmp_path, "il", life.state.reference, partners)
        with pytest.raises(ApplicationError, match=reason) as raised:
            await bank.instruct(order)
        assert not raised.value.non_retryable
        assert (files(tmp_path), await rows(database, life)) == ([], [])
        assert (await Payments(bank, ("il",)).instruct_here([order])).directorates == ()
    write_accounts(tmp_path, "il", life.state.reference, ("dugma",))
    assert (await Payments(bank, ("il",)).instruct_here([order])).directorates == ("il",)
    assert len(files(tmp_path)) == 1


async def test_what_is_wrong_in_the_accounts_is_told_without_an_account(
    database: Database, life: Steps, tmp_path: Path
) -> None:
    path = write_accounts(tmp_path, "il", life.state.reference, ("dugma",))
    wrong = account("il", 2)[:-1] + "9"
    path.write_text(path.read_text().replace(account("il", 2), wrong))
    with pytest.raises(ApplicationError, match=r"creditor\.0\.iban: .*check digits") as raised:
        await Outbox(database, tmp_path, tmp_path).instruct(order_of(life, "dugma"))
    assert wrong not in str(raised.value)


async def test_another_machines_outbox_does_not_make_the_file_again(
    database: Database, life: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_accounts(tmp_path, "il", life.state.reference, ("dugma",))
    order, one, two = order_of(life, "dugma"), tmp_path / "one", tmp_path / "two"
    with monkeypatch.context() as failing:
        failing.setattr(Path, "replace", _fail)
        with pytest.raises(ApplicationError, match="PermissionError"):
            await Outbox(database, one, tmp_path).instruct(order)
    with pytest.raises(ApplicationError, match="begun in another outbox"):
        await Outbox(database, two, tmp_path).instruct(order)
    await Outbox(database, one, tmp_path).instruct(order)
    assert (len(files(one)), files(two)) == (1, [])
    await Outbox(database, two, tmp_path).instruct(order)
    assert files(two) == []


def _fail(*_: object) -> None:
    raise PermissionError


async def test_a_staged_file_that_somebody_changed_never_reaches_the_bank(
    database: Database, life: Steps, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_accounts(tmp_path, "il", life.state.reference, ("dugma",))
    order, bank = order_of(life, "dugma"), Outbox(database, tmp_path, tmp_path)
    with monkeypatch.context() as failing:
        failing.setattr(Path, "replace", _fail)
        with pytest.raises(ApplicationError, match="PermissionError"):
            await bank.instruct(order)
    (staged,) = (tmp_path / "il" / ".staging").glob("CSM*")
    staged.write_bytes(staged.read_bytes().replace(b"1234.56", b"9234.56"))
    with pytest.raises(ApplicationError, match="was changed"):
        await bank.instruct(order)
    assert files(tmp_path) == []


async def test_what_was_told_without_a_file_is_not_told_again_by_one(
    database: Database, life: Steps, tmp_path: Path
) -> None:
    write_accounts(tmp_path, "il", life.state.reference, ("dugma", "other"))
    await OnRecord(database).instruct(order_of(life, "dugma"))
    with pytest.raises(ApplicationError, match="told in another way"):
        await Outbox(database, tmp_path, tmp_path).instruct(order_of(life, "dugma", "other"))
    assert (files(tmp_path), len(await rows(database, life))) == ([], 1)
