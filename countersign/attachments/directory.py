"""Attachments in a directory: one file each, named by its hash."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from countersign.attachments.vault import PIECE, Missing, VaultAway
from countersign.disk import flush

_LEFT_BEHIND: Final = 24 * 3600
"""Seconds after which what is not whole yet was left behind by a process that ended."""


class DirectoryVault:
    """A vault whose files lie in subdirectories by the first two digits of their hash. Only its owner may look in."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.staging = root / "staging"
        self.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self.staging.iterdir():
            # What another process brings at this moment may be in its place by now.
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _LEFT_BEHIND:
                    path.unlink()

    async def put(self, content_hash: str, file: Path) -> None:
        """Move the file to its place, flushed, with the directory that names it."""
        try:
            await asyncio.to_thread(_move, file, self._place(content_hash))
        except OSError as problem:
            raise VaultAway(problem.strerror) from problem

    async def read(self, content_hash: str) -> AsyncIterator[bytes]:
        """The bytes, piece by piece."""
        try:
            file = await asyncio.to_thread(self._place(content_hash).open, "rb")
        except FileNotFoundError:
            raise Missing(content_hash) from None
        except OSError as problem:
            raise VaultAway(problem.strerror) from problem
        with file:
            while piece := await asyncio.to_thread(file.read, PIECE):
                yield piece

    async def erase(self, content_hash: str) -> None:
        """Delete the file, in the directory that it was once put into."""
        try:
            await asyncio.to_thread(_delete, self._place(content_hash))
        except OSError as problem:
            raise VaultAway(problem.strerror) from problem

    def _place(self, content_hash: str) -> Path:
        digits = content_hash.removeprefix("sha256:")
        return self._root / digits[:2] / digits


def _move(file: Path, place: Path) -> None:
    place.parent.mkdir(mode=0o700, exist_ok=True)
    flush(file)
    file.replace(place)
    flush(place.parent)
    flush(place.parent.parent)


def _delete(place: Path) -> None:
    if not place.parent.is_dir():
        # None is ever removed: this is not where it was put, such as a volume that is not mounted.
        raise VaultAway("nothing like it was ever kept there")
    place.unlink(missing_ok=True)
    flush(place.parent)
