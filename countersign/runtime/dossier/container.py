"""The ZIP of a dossier: made as a stream, the same bytes for the same files, and closed by hashes over all of it.

The last files are ``manifest.json``, with the SHA-256 and the size of every file before it, and ``manifest.sha256``
with its own hash. The comment of the archive is the SHA-256 of all bytes before it, so that nothing about the container
can change unseen either. What differs between two archives of the same files is how zlib packs them, where its version
is another one; attachments, which are packed mostly as they are, are stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

COMMENT: Final = len("sha256:") + 64
"""Bytes of the archive's comment."""

PIECE: Final = 1 << 16
"""Bytes of a piece of the stream, at least but for the last one."""

_LARGE: Final = 1 << 30
"""Bytes from which a file gets a header that has room for any size; it is written before the size is known."""

_FIRST, _LAST = datetime(1980, 1, 1, tzinfo=UTC), datetime(2107, 12, 31, tzinfo=UTC)
"""What a ZIP can say of a time."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of a dossier: its path, its content or where that comes from, and whether it is stored unpacked."""

    path: str
    content: bytes | AsyncIterator[bytes]
    size: int = 0
    stored: bool = False


@dataclass(slots=True)
class Packed:
    """What has been packed so far: size and SHA-256 of each file by its path; at the end, that of the manifest."""

    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    manifest: str = ""

    @property
    def as_json(self) -> bytes:
        """The manifest."""
        listed = [
            {"path": path, "sha256": digest, "size": size} for path, (size, digest) in self.files.items()
        ]
        return json.dumps({"files": listed}, indent=1).encode() + b"\n"


async def packed(files: AsyncIterator[File], at: datetime, into: Packed) -> AsyncIterator[bytes]:
    """The archive of some files, piece by piece; every file in it is said to be of one time.

    Whoever stops reading stops it: nothing is left behind.
    """
    out = _Out()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        async for one in files:
            size, digest = 0, hashlib.sha256()
            with archive.open(_header(one, at), "w", force_zip64=one.size >= _LARGE) as target:
                if isinstance(one.content, bytes):
                    size = len(one.content)
                    digest.update(one.content)
                    await asyncio.to_thread(target.write, one.content)
                else:
                    async for piece in one.content:
                        size += len(piece)
                        digest.update(piece)
                        target.write(piece)
                        if out.is_full:
                            yield out.taken()
            into.files[one.path] = size, digest.hexdigest()
            if out.is_full:
                yield out.taken()
        manifest = into.as_json
        into.manifest = hashlib.sha256(manifest).hexdigest()
        for path, content in (
            ("manifest.json", manifest),
            ("manifest.sha256", f"{into.manifest}  manifest.json\n".encode()),
        ):
            archive.writestr(_header(File(path, content), at), content)
        archive.comment = b" " * COMMENT
    yield out.closed()


def _header(file: File, at: datetime) -> zipfile.ZipInfo:
    when = min(max(at.astimezone(UTC), _FIRST), _LAST)
    info = zipfile.ZipInfo(file.path, (when.year, when.month, when.day, when.hour, when.minute, when.second))
    info.create_system, info.external_attr = 3, 0o100644 << 16
    info.compress_type = zipfile.ZIP_STORED if file.stored else zipfile.ZIP_DEFLATED
    return info


class _Out:
    """Takes what is written and gives it away; where it was is not kept, so it cannot be gone back to."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._held += data
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    @property
    def is_full(self) -> bool:
        """Whether there is enough to be worth a piece."""
        return len(self._held) >= PIECE

    def taken(self) -> bytes:
        """What was written since the last time."""
        taken = bytes(self._held)
        self._held.clear()
        self._digest.update(taken)
        return taken

    def closed(self) -> bytes:
        """The rest, with the comment that it has room for."""
        before = bytes(self._held[:-COMMENT])
        self._digest.update(before)
        return before + f"sha256:{self._digest.hexdigest()}".encode()
