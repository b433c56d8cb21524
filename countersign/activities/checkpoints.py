"""Checkpoints of the log: made by whoever carries the initiatives, signed by each side only if nothing was rewritten.

A side remembers the last checkpoint that it has signed, on its own machine. It signs another one when it is shown a
proof that the log still begins with that one, as a witness does (C2SP ``tlog-witness``). So the past that it has
vouched for cannot be changed without it.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection
from temporalio import activity
from temporalio.exceptions import ApplicationError

from countersign.activities.notes import sign_checkpoint, signed_by
from countersign.activities.signing import Signing
from countersign.disk import write_private
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.checkpoint import Checkpoint, NoteFault, SignedCheckpoint, origin_of, read_note
from countersign.domain.merkle import EMPTY, ProofFault, check_consistency
from countersign.domain.model import Model
from countersign.store import log as store
from countersign.store.session import Database

log = structlog.get_logger(__name__)

LATEST: Final = "latest.checkpoint"
"""What a side has signed last."""


class CosigningOrder(Model):
    """A checkpoint for a side to sign; ``proof`` (base64) shows that it begins with the first ``before`` entries."""

    directorate: str
    origin: str
    size: int
    root: str
    before: int
    proof: tuple[str, ...]

    @property
    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.origin, self.size, base64.b64decode(self.root))


class Cosigned(Model):
    """A side's line under a checkpoint; none when it knows another size than it was shown a proof from: ``known``."""

    line: str | None
    known: int


class CheckpointDue(Model):
    """A checkpoint that is made, and what sides have not signed of it."""

    size: int
    orders: tuple[CosigningOrder, ...]


class SignedLine(Model):
    """A side's signature to be kept."""

    directorate: str
    size: int
    line: str
    at: datetime


class Checkpoints:
    """The activities of whoever carries the initiatives."""

    def __init__(self, database: Database, agreement: ProgrammeAgreement) -> None:
        self._database, self._agreement = database, agreement

    @activity.defn(name="make_checkpoint")
    async def make_checkpoint(self, at: datetime) -> CheckpointDue | None:
        """Grow the log by what was recorded, and make a checkpoint of it; none while nothing was recorded at all."""
        while True:
            async with self._database.transaction() as connection:
                if not await store.grow(connection):
                    break
        async with self._database.transaction() as connection:
            made = await store.make_checkpoint(connection, origin_of(self._agreement.id), at)
        if made is None:
            return None
        size = made.signed.checkpoint.size
        async with self._database.reading() as connection:
            orders = [
                await self._order(
                    connection, made.signed.checkpoint, side, await store.last_signed(connection, side)
                )
                for side in self._agreement.directorate_ids
                if side not in made.by
            ]
        return CheckpointDue(size=size, orders=tuple(orders))

    @activity.defn(name="order_cosigning")
    async def order_cosigning(self, directorate: str, size: int, known: int) -> CosigningOrder:
        """The order once more, with the proof from what the side knows.

        Raises:
            ApplicationError: ``inconsistent``, when the log never was of that size: it is another one, or was cut off.
        """
        async with self._database.reading() as connection:
            made = await store.checkpoint(connection, size)
            if made is None or known > size:
                raise _inconsistent(
                    f"{directorate} has signed a log of {known} entries, and this one has {size}"
                )
            return await self._order(connection, made.signed.checkpoint, directorate, known)

    async def _order(
        self, connection: AsyncConnection, checkpoint: Checkpoint, directorate: str, known: int
    ) -> CosigningOrder:
        proof = await store.consistency_proof(connection, known, checkpoint.size)
        return CosigningOrder(
            directorate=directorate,
            origin=checkpoint.origin,
            size=checkpoint.size,
            root=base64.b64encode(checkpoint.root).decode(),
            before=known,
            proof=tuple(base64.b64encode(one).decode() for one in proof),
        )

    @activity.defn(name="keep_cosignature")
    async def keep_cosignature(self, signed: SignedLine) -> None:
        """Keep a side's signature, if it is that side's by the agreement.

        Raises:
            ApplicationError: ``invalid``, when it is not.
        """
        async with self._database.transaction() as connection:
            made = await store.checkpoint(connection, signed.size)
            if made is None:
                raise ApplicationError("there is no such checkpoint", type="invalid", non_retryable=True)
            note = read_note(f"{made.signed.checkpoint.text}\n{signed.line}")
            sides, _ = signed_by(note, self._agreement.signing_key)
            if sides != {signed.directorate}:
                raise ApplicationError(
                    "that is not that side's signature", type="invalid", non_retryable=True
                )
            await store.keep_signature(connection, signed.size, signed.directorate, signed.line, signed.at)


class Cosigning:
    """The activity of a side's own worker; ``place`` is where its audit office finds what it has signed.

    There is a directory for each side that the worker serves: ``latest.checkpoint``, which it holds every later one
    against, and one file for each that it signed.
    """

    def __init__(self, signing: Signing, place: Path | None) -> None:
        self._signing, self._place = signing, place

    @activity.defn(name="cosign_checkpoint")
    async def cosign_checkpoint(self, order: CosigningOrder) -> Cosigned:
        """Sign a checkpoint that begins with what the side has signed before.

        Raises:
            ApplicationError: ``inconsistent``, when it does not. Nothing is signed then, whoever asks, until people
                have looked into it.
        """
        if self._place is None:
            raise ApplicationError("this worker keeps no checkpoints: COUNTERSIGN_CHECKPOINTS is not set")
        return await asyncio.to_thread(self._cosign, order, self._place / order.directorate)

    def _cosign(self, order: CosigningOrder, place: Path) -> Cosigned:
        checkpoint, key = order.checkpoint, self._signing.key(order.directorate)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(place):
            last = _last(place)
            if last is not None and last.origin != checkpoint.origin:
                raise _inconsistent(
                    f"{order.directorate} has signed {last.origin}, and this is {checkpoint.origin}"
                )
            known = last.size if last is not None else 0
            if known != order.before:
                return Cosigned(line=None, known=known)
            try:
                check_consistency(
                    known,
                    last.root if last is not None else EMPTY,
                    checkpoint.size,
                    checkpoint.root,
                    [base64.b64decode(one) for one in order.proof],
                )
            except ProofFault as fault:
                log.exception(
                    "log_rewritten", directorate=order.directorate, known=known, size=checkpoint.size
                )
                raise _inconsistent(f"{order.directorate} does not sign: {fault}") from fault
            signed = sign_checkpoint(checkpoint, order.directorate, key)
            note = SignedCheckpoint(checkpoint, (signed,)).note
            write_private(place / f"{checkpoint.size:012d}.checkpoint", note)
            write_private(place / LATEST, note)
            return Cosigned(line=signed.line, known=checkpoint.size)


def _last(place: Path) -> Checkpoint | None:
    path = place / LATEST
    try:
        return read_note(path.read_text(encoding="utf-8")).checkpoint
    except FileNotFoundError:
        return None
    except (OSError, ValueError, NoteFault) as fault:
        # Without it a rewritten log would be signed; somebody has to put it right.
        raise ApplicationError(f"{path} cannot be read: {fault}") from fault


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Of two workers of a side on one disk, one at a time."""
    descriptor = os.open(place / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _inconsistent(why: str) -> ApplicationError:
    return ApplicationError(why, type="inconsistent", non_retryable=True)
