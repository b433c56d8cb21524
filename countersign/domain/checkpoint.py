"""Checkpoints of the log, as C2SP has them: ``tlog-checkpoint`` in a ``signed-note``, readable by its tools.

::

    countersign/il-az-ai                              the origin: which log
    4711                                              how many entries
    qINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=      its Merkle root
                                                      nothing
    — countersign/il-az-ai/il az3grlgtzPICa5OS8npVmf…  a side's signature

What is signed is the text above the empty line. Whoever signs is known by a name, and by the beginning of a hash of it
and the key, so that a key can be told from an earlier one of the same name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from countersign.domain.merkle import SIZE

ED25519: Final = b"\x01"
"""The kind of a signature: Ed25519 over the text."""

_KEY_ID: Final = 4
_LONGEST: Final = 100_000
_SIGNED: Final = re.compile(r"— (?P<name>[^\s+]{1,200}) (?P<data>[A-Za-z0-9+/=]{8,400})")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")


class NoteFault(ValueError):
    """It is no signed note, or the text in it no checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log as it was: its first ``size`` entries have that ``root``."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class NoteSignature:
    """A line of a note: who signed, with which of their keys."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {base64.b64encode(self.key_id + self.signature).decode()}\n"


@dataclass(frozen=True, slots=True)
class SignedCheckpoint:
    """A checkpoint with its signatures; nothing says yet that any of them holds."""

    checkpoint: Checkpoint
    signatures: tuple[NoteSignature, ...]

    @property
    def note(self) -> str:
        """The whole note."""
        return f"{self.checkpoint.text}\n{''.join(one.line for one in self.signatures)}"


def origin_of(agreement: str) -> str:
    """The name of the log of a programme."""
    return f"countersign/{agreement}"


def signer_of(origin: str, directorate: str) -> str:
    """The name under which a side signs checkpoints of a log."""
    return f"{origin}/{directorate}"


def key_id(name: str, public: bytes) -> bytes:
    """What a key of that name is known by."""
    return hashlib.sha256(name.encode() + b"\n" + ED25519 + public).digest()[:_KEY_ID]


def read_note(note: str) -> SignedCheckpoint:
    """The checkpoint in a note, and who says to have signed it.

    Raises:
        NoteFault: it is no such note.
    """
    text, found, signed = note[:_LONGEST].rpartition("\n\n")
    lines = signed.splitlines(keepends=True)
    if not found or not lines or not all(one.endswith("\n") for one in lines):
        raise NoteFault("it is no signed note")
    return SignedCheckpoint(_checkpoint(f"{text}\n"), tuple(_signatures(lines)))


def _checkpoint(text: str) -> Checkpoint:
    match text.split("\n"):
        case [origin, size, root, *_, ""] if origin and _NUMBER.fullmatch(size):
            decoded = _decoded(root)
            if len(decoded) != SIZE:
                raise NoteFault("its root is no hash")
            checkpoint = Checkpoint(origin, int(size), decoded)
            if checkpoint.text != text:
                raise NoteFault("it says more than a checkpoint of ours does")
            return checkpoint
    raise NoteFault("it is no checkpoint")


def _signatures(lines: Iterable[str]) -> Iterable[NoteSignature]:
    for line in lines:
        found = _SIGNED.fullmatch(line.removesuffix("\n"))
        if found is None:
            raise NoteFault("a line of it is no signature")
        decoded = _decoded(found["data"])
        if len(decoded) <= _KEY_ID:
            raise NoteFault("a signature is too short to be one")
        yield NoteSignature(found["name"], decoded[:_KEY_ID], decoded[_KEY_ID:])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise NoteFault("what should be base64 is not") from None
