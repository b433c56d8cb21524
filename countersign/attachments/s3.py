"""Attachments on an S3-compatible store, one object each."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from countersign.attachments.vault import PIECE, Missing, VaultAway


class S3Vault:
    """A vault in a bucket, below a prefix; ``staging`` is on this machine's own disk, and ends with the process."""

    def __init__(self, store: S3Store) -> None:
        self._store = store
        self._here = tempfile.TemporaryDirectory(prefix="countersign-")
        self.staging = Path(self._here.name)

    async def put(self, content_hash: str, file: Path) -> None:
        """Upload the file, in parts if it is large; the store says that it is kept only when it has all of it."""
        with _noticing_absence():
            await obstore.put_async(self._store, _key(content_hash), file)

    async def read(self, content_hash: str) -> AsyncIterator[bytes]:
        """The bytes, piece by piece, as the store sends them."""
        try:
            with _noticing_absence():
                found = await obstore.get_async(self._store, _key(content_hash))
                async for piece in found.stream(min_chunk_size=PIECE):
                    yield bytes(piece)
        except FileNotFoundError:
            raise Missing(content_hash) from None

    async def erase(self, content_hash: str) -> None:
        """Delete the object; a store that keeps versions has to be told by its own rules to let them go."""
        with _noticing_absence():
            await obstore.delete_async(self._store, _key(content_hash))


def _key(content_hash: str) -> str:
    digits = content_hash.removeprefix("sha256:")
    return f"{digits[:2]}/{digits}"


@contextmanager
def _noticing_absence() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as problem:
        raise VaultAway(type(problem).__name__) from problem
