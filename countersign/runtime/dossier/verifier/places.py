"""Where the files of a dossier are: in a directory, or in the ZIP that they came in."""

from __future__ import annotations

import hashlib
import os
import stat
import struct
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

from countersign.runtime.dossier.verifier.forms import GENESIS, Wrong

PIECE = 1 << 20
COMMENT = len(GENESIS)


class Directory:
    """Files below a directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Every file, by its path with slashes; what is no plain file is wrong."""
        found = []
        for folder, folders, files in os.walk(self.path):
            for name in files + folders:
                path = os.path.join(folder, name)
                kind = os.lstat(path).st_mode
                if stat.S_ISLNK(kind) or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                    raise Wrong(f"{path} is no plain file")
                if stat.S_ISREG(kind):
                    found.append(os.path.relpath(path, self.path).replace(os.sep, "/"))
        return sorted(found)

    def open(self, name: str) -> BinaryIO:
        """A file."""
        return open(os.path.join(self.path, *name.split("/")), "rb")


class Archive:
    """Files in the ZIP that a dossier comes as."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.zip = zipfile.ZipFile(path)

    def names(self) -> list[str]:
        """Every file."""
        return sorted(self.zip.namelist())

    def open(self, name: str) -> Any:
        """A file."""
        return self.zip.open(name)

    def faults(self) -> Iterator[str]:
        """What is wrong with the container: no byte of it is unaccounted for."""
        size = os.path.getsize(self.path)
        with open(self.path, "rb") as file:
            digest, left = hashlib.sha256(), size - COMMENT
            while left > 0:
                piece = file.read(min(PIECE, left))
                if not piece:
                    break
                digest.update(piece)
                left -= len(piece)
            if file.read() != ("sha256:" + digest.hexdigest()).encode():
                yield "the bytes of the archive are not those that it was closed with"
            at, times, names = 0, set(), set()
            for one in self.zip.infolist():
                if one.header_offset != at:
                    yield f"{one.filename}: there are other bytes before it"
                    return
                file.seek(at)
                header = file.read(30)
                mark, _, flags, _, _, _, _, _, _, length, extra = struct.unpack("<4s5H3L2H", header)
                name = file.read(length)
                if mark != b"PK\3\4" or name != one.orig_filename.encode() or flags != one.flag_bits:
                    yield f"{one.filename}: its two headers say different things"
                if one.filename in names or one.is_dir() or one.comment or flags & ~0x808:
                    yield f"{one.filename}: it is twice in the archive, or no plain file"
                names.add(one.filename)
                times.add(one.date_time)
                at += 30 + length + extra + one.compress_size + ((24 if extra else 16) if flags & 8 else 0)
            if len(times) > 1:
                yield "its files are of different times"
            directory = sum(
                46 + len(one.orig_filename.encode()) + len(one.extra) for one in self.zip.infolist()
            )
            if at != self.zip.start_dir or size - at - directory - COMMENT not in (22, 22 + 20 + 56):
                yield "there are other bytes between or after its files"


def opened(place: str) -> Any:
    """The files at a place."""
    return Directory(place) if os.path.isdir(place) else Archive(place)
