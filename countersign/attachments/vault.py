"""What keeps the bytes of attachments, and how they come in: hashed on the way, and looked at before they are kept."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

PIECE: Final = 1 << 18
"""Bytes in which content is read and written: whatever its size, no more of it is in memory."""


class Vault(Protocol):
    """Bytes by their hash, ``sha256:`` and 64 hexadecimal digits."""

    staging: Path
    """A directory for what is not whole yet."""

    async def put(self, content_hash: str, file: Path) -> None:
        """Keep a file's bytes; once this returns they outlive a power cut. The file may be gone then."""

    def read(self, content_hash: str) -> AsyncIterator[bytes]:
        """The bytes, piece by piece.

        Raises:
            Missing: there are none.
        """

    async def erase(self, content_hash: str) -> None:
        """Keep them no longer; what is gone stays gone."""


class Missing(Exception):
    """The vault does not have what the record says that it has."""


class Damaged(Exception):
    """What the vault has is not what was put there."""


class VaultAway(Exception):
    """What keeps the bytes does not answer, or refuses; nothing was changed as far as is known."""


@dataclass(frozen=True, slots=True)
class Staged:
    """A file that came in whole."""

    path: Path
    content_hash: str
    size: int


@asynccontextmanager
async def staged(vault: Vault, pieces: AsyncIterator[bytes]) -> AsyncIterator[Staged]:
    """A file of what comes in, for as long as the block lasts."""
    path = vault.staging / secrets.token_hex(16)
    digest, size = hashlib.sha256(), 0
    try:
        with _disk_away():
            file = await asyncio.to_thread(path.open, "xb")
        with file:
            async for piece in _gathered(pieces):
                size += len(piece)

                def take(piece: bytes = piece) -> None:
                    digest.update(piece)
                    file.write(piece)

                with _disk_away():
                    await asyncio.to_thread(take)
            with _disk_away():
                await asyncio.to_thread(file.flush)
        yield Staged(path, f"sha256:{digest.hexdigest()}", size)
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


@contextmanager
def _disk_away() -> Iterator[None]:
    """A disk that is full or gone keeps nothing, as a store that does not answer."""
    try:
        yield
    except OSError as problem:
        raise VaultAway(problem.strerror) from problem


async def proven(content_hash: str, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What a vault has, as long as it is that: the last piece comes only when the whole has the hash.

    Raises:
        Damaged: it has another one.
    """
    digest, held = hashlib.sha256(), b""
    async for piece in pieces:
        digest.update(piece)
        if held:
            yield held
        held = piece
    if f"sha256:{digest.hexdigest()}" != content_hash:
        raise Damaged(content_hash)
    if held:
        yield held


async def _gathered(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in larger pieces: each is a trip to a thread."""
    held = bytearray()
    async for piece in pieces:
        held += piece
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
