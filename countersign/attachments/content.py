"""What an attachment is, told by its content: the few types that are taken, and nothing by its name.

Each type is looked at from end to end as far as it is cheap: how it begins, how it ends, what an archive says that it
holds. A guess would not do, since what is not surely one of these is refused.
"""

from __future__ import annotations

import codecs
import errno
import io
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class MediaType:
    """A type that is taken: its name (RFC 6838), and the ending that a file of it has."""

    name: str
    ending: str


class NotTaken(Exception):
    """The content is of no type that is taken; the message says why."""


PDF: Final = MediaType("application/pdf", ".pdf")
PNG: Final = MediaType("image/png", ".png")
JPEG: Final = MediaType("image/jpeg", ".jpg")
TEXT: Final = MediaType("text/plain", ".txt")
DOCX: Final = MediaType("application/vnd.openxmlformats-officedocument.wordprocessingml.document", ".docx")
XLSX: Final = MediaType("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", ".xlsx")
PPTX: Final = MediaType("application/vnd.openxmlformats-officedocument.presentationml.presentation", ".pptx")
ODT: Final = MediaType("application/vnd.oasis.opendocument.text", ".odt")
ODS: Final = MediaType("application/vnd.oasis.opendocument.spreadsheet", ".ods")
ODP: Final = MediaType("application/vnd.oasis.opendocument.presentation", ".odp")

TAKEN: Final = {one.name: one for one in (PDF, PNG, JPEG, TEXT, DOCX, XLSX, PPTX, ODT, ODS, ODP)}
"""By name."""

_MAIN_PART: Final = {f"{one.name}.main+xml".encode(): one for one in (DOCX, XLSX, PPTX)}
"""What the main part of an Office Open XML file is called (ECMA-376, part 1); one with macros is called otherwise."""

_OPEN_DOCUMENT: Final = {one.name.encode(): one for one in (ODT, ODS, ODP)}

_TAIL: Final = 1024
"""Bytes at the end in which a PDF says that it ends (ISO 32000-1, annex H, note 18)."""

_MOST_FILES: Final = 10_000
_MOST_UNPACKED: Final = 1 << 30
"""Files in an archive, and bytes that it has unpacked: what is beyond is made to fill whoever opens it."""

_LARGEST_CONTENT_TYPES: Final = 1 << 20
_LARGEST_DIRECTORY: Final = 4 << 20
"""Bytes of an archive's list of its files, which is read whole before anything else is: many times what that many
files of a document need."""

_PACKED: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
"""How documents are packed (ECMA-376, part 2; OpenDocument 1.3, part 2); other ways unpack without a bound."""

_CHUNK: Final = 1 << 16

_MACROS: Final = re.compile(r"(^|/)(vbaProject\.bin|vbaData\.xml|Basic/|Scripts/)", re.IGNORECASE)
"""Programs inside a document: of Office Open XML and of OpenDocument."""

_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
"""No text has them; tabs, line ends and page ends it has."""


def detect(path: Path) -> MediaType:
    """What a file is.

    Raises:
        NotTaken: it is of no type that is taken, is damaged, or holds programs.
    """
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL))
        tail = file.read()
    if not head:
        raise NotTaken("it is empty")
    if head.startswith(b"%PDF-"):
        return _whole(PDF, b"%%EOF" in tail)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _whole(PNG, tail.endswith(b"IEND\xaeB`\x82"))
    if head.startswith(b"\xff\xd8\xff"):
        return _whole(JPEG, tail.rstrip(b"\x00").endswith(b"\xff\xd9"))
    if head.startswith(b"PK"):
        return _archive(path)
    return _text(path)


def _whole(found: MediaType, ends: bool) -> MediaType:
    if not ends:
        raise NotTaken(
            f"it begins as {found.name} and does not end as one: it is cut off, or something follows"
        )
    return found


def _archive(path: Path) -> MediaType:
    """A document that is an archive of files."""
    try:
        with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
            files = archive.infolist()
            if len(files) > _MOST_FILES or sum(one.file_size for one in files) > _MOST_UNPACKED:
                raise NotTaken("it holds more than a document would")
            if any(one.flag_bits & 0x1 for one in files):
                raise NotTaken("it is locked by a password")
            if any(one.compress_type not in _PACKED for one in files):
                raise NotTaken("it is packed in a way in which no document is")
            if any(_MACROS.search(one.filename) for one in files):
                raise NotTaken("it holds programs")
            found = _open_document(archive, files) or _office_open_xml(archive, files)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError) as problem:
        raise NotTaken("it begins as an archive and is none") from problem
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # a place before its beginning
            raise
        raise NotTaken("it begins as an archive and is none") from problem
    if found is None:
        raise NotTaken("an archive is not taken, unless it is a document")
    return found


class _Bounded(io.FileIO):
    """A file of which nobody reads very much at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _LARGEST_DIRECTORY:
            raise NotTaken("it holds more than a document would")
        return super().read(size)


def _content(archive: zipfile.ZipFile, one: zipfile.ZipInfo, most: int) -> bytes:
    """What a file of an archive holds, and no more than that: what the archive says of its size need not be true."""
    with archive.open(one) as file:
        return file.read(most)


def _open_document(archive: zipfile.ZipFile, files: list[zipfile.ZipInfo]) -> MediaType | None:
    """An OpenDocument file says at its very beginning, uncompressed, what it is (OpenDocument 1.3, part 2, 3.3)."""
    first = files[0] if files else None
    if first is None or first.filename != "mimetype" or first.compress_type != zipfile.ZIP_STORED:
        return None
    return _OPEN_DOCUMENT.get(_content(archive, first, _TAIL)) if first.file_size <= _TAIL else None


def _office_open_xml(archive: zipfile.ZipFile, files: list[zipfile.ZipInfo]) -> MediaType | None:
    """An Office Open XML file has a list of what its parts are (ECMA-376, part 2, 7.2.3)."""
    listed = next((one for one in files if one.filename == "[Content_Types].xml"), None)
    if listed is None or listed.file_size > _LARGEST_CONTENT_TYPES:
        return None
    said = _content(archive, listed, _LARGEST_CONTENT_TYPES)
    return next((found for name, found in _MAIN_PART.items() if b'"' + name + b'"' in said), None)


def _text(path: Path) -> MediaType:
    """Text in UTF-8, to its end."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                if _CONTROLS.search(decoder.decode(chunk)):
                    raise NotTaken("it is none of the types that are taken")
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as problem:
        raise NotTaken("it is none of the types that are taken; text is in UTF-8") from problem
    return TEXT
