"""Telling a bank by files: ``pain.001`` into an outbox, from which whatever talks to the bank takes them away."""

from __future__ import annotations

import asyncio
import os
import uuid
from contextlib import suppress
from datetime import UTC, timedelta
from pathlib import Path
from typing import Final

import structlog
from temporalio.exceptions import ApplicationError

from countersign.activities.accounts import accounts_of
from countersign.activities.payments import Answered, PaymentOrder
from countersign.banking.pain001 import Order, Transfer, credit_transfer, message_id
from countersign.disk import flush, write_new
from countersign.domain.canonical import hash_of
from countersign.domain.errors import RuleBroken
from countersign.domain.funding import Instruction
from countersign.store import payments
from countersign.store.payments import File, ToldOtherwise
from countersign.store.session import Database

log = structlog.get_logger(__name__)

_STAGING: Final = ".staging"
_IDENTITY: Final = ".outbox"


class Outbox:
    """Files for the banks, ``<directory>/<directorate>/<message id>.xml``, each there once and never again.

    1. The file is staged, whole and on disk, beside the outbox.
    2. One transaction puts the payments on record under their end-to-end ids, and which staged file is theirs.
    3. That file is renamed into the outbox.
    4. It is marked as delivered.

    A file that is on record and no longer staged was renamed, whoever has taken it since: so wherever this dies, the
    next try goes on with what there is and never makes a second file (ADR 0011). Compute is put on record only.
    """

    def __init__(self, database: Database, directory: Path, accounts: Path | None) -> None:
        self._database, self._directory, self._accounts = database, directory, accounts

    async def instruct(self, order: PaymentOrder) -> Answered:
        """Have exactly one file in the outbox for what is money in an order. Raises like :class:`payments.Bank`."""
        money = tuple(one for one in order.instructions if one.is_money and not order.claim)
        unbanked = tuple(one for one in order.instructions if one not in money)
        if unbanked:
            await payments.instruct(
                self._database,
                initiative=order.initiative,
                tranche=order.tranche,
                directorate=order.directorate,
                instructions=unbanked,
                at=order.at,
            )
        if money:
            try:
                await self._file(order, money)
            except (OSError, ToldOtherwise, ApplicationError) as error:
                reason = _told(error)
                log.warning(
                    "payment_waits",
                    initiative=order.initiative,
                    tranche=order.tranche,
                    directorate=order.directorate,
                    reason=reason,
                )
                raise ApplicationError(reason, type="payment_waits") from error
        return Answered()

    async def _file(self, order: PaymentOrder, money: tuple[Instruction, ...]) -> None:
        name = message_id(one.end_to_end_id for one in money)
        place = await asyncio.to_thread(_Place.prepare, self._directory / order.directorate)
        file = await payments.find_file(self._database, name)
        if file is None:
            content = await asyncio.to_thread(self._content, order, money)
            mine = await asyncio.to_thread(place.stage, name, content)
            file = await payments.begin_file(
                self._database,
                File(
                    message_id=name,
                    directorate=order.directorate,
                    content_hash=hash_of(content),
                    outbox=place.identity,
                    staged=mine,
                ),
                initiative=order.initiative,
                tranche=order.tranche,
                instructions=money,
                at=order.at,
            )
        if not file.is_delivered:
            if file.outbox != place.identity:
                # Whether that one's file was renamed can be seen there only.
                raise ApplicationError(f"the file {name} was begun in another outbox", type="payment_waits")
            await asyncio.to_thread(place.deliver, file)
            await payments.delivered(self._database, name)
        await asyncio.to_thread(place.tidy, name)

    def _content(self, order: PaymentOrder, money: tuple[Instruction, ...]) -> bytes:
        accounts = accounts_of(self._accounts, order.directorate)
        transfers = tuple(
            Transfer(
                end_to_end_id=one.end_to_end_id,
                amount=one.amount,
                creditor=accounts.payee(order.reference, one.partner),
            )
            for one in money
        )
        try:
            told = Order(
                reference=order.reference,
                tranche=order.tranche,
                debtor=accounts.debtor.party,
                # Today may be over already where the bank is; tomorrow by UTC is today or later everywhere.
                execute_on=order.at.astimezone(UTC).date() + timedelta(days=1),
                transfers=transfers,
            )
            return credit_transfer(told, order.at)
        except RuleBroken as broken:
            raise ApplicationError(broken.detail, type="payment_waits") from broken


class _Place:
    """One side's outbox on this machine's disk; ``identity`` tells it from another's."""

    def __init__(self, path: Path, identity: str) -> None:
        self._path, self.identity = path, identity

    @classmethod
    def prepare(cls, path: Path) -> _Place:
        """The outbox, made where it is not there yet, for its owner only."""
        (path / _STAGING).mkdir(mode=0o700, parents=True, exist_ok=True)
        marker = path / _IDENTITY
        if not marker.exists():
            # Written whole under another name, then linked: of two workers one is first, and both read the same.
            drawn = path / _STAGING / f"outbox.{uuid.uuid4()}"
            write_new(drawn, str(uuid.uuid4()).encode())
            with suppress(FileExistsError):
                os.link(drawn, marker)
            drawn.unlink()
            flush(path)
        return cls(path, marker.read_text(encoding="utf-8"))

    def stage(self, name: str, content: bytes) -> str:
        """Put a file on disk beside the outbox, under a name that is nobody else's; that name."""
        staged = f"{name}.{uuid.uuid4()}"
        write_new(self._path / _STAGING / staged, content)
        flush(self._path / _STAGING)
        return staged

    def deliver(self, file: File) -> None:
        """Rename the staged file into the outbox, unless that was done."""
        staged = self._path / _STAGING / file.staged
        try:
            content = staged.read_bytes()
        except FileNotFoundError:
            pass  # renamed by a try that died after it
        else:
            if hash_of(content) != file.content_hash:
                raise ApplicationError(f"the staged file {file.staged} was changed", type="payment_waits")
            with suppress(FileNotFoundError):
                staged.replace(self._path / f"{file.message_id}.xml")
        flush(self._path)
        flush(self._path / _STAGING)

    def tidy(self, name: str) -> None:
        """Remove what tries of the same file left behind that never got on record."""
        for left in (self._path / _STAGING).glob(f"{name}.*"):
            left.unlink(missing_ok=True)


def _told(error: OSError | ToldOtherwise | ApplicationError) -> str:
    if isinstance(error, OSError):
        return type(error).__name__  # and not where on the disk
    return error.message if isinstance(error, ApplicationError) else str(error)
