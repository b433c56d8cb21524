"""Each directorate's signing key on one machine, and the agreement with their public halves in it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from countersign.domain.agreement_file import read
from countersign.runtime.embedded.home import Home
from countersign.runtime.keys import new_key

_HEADING: Final = """
# ---- The public keys that each directorate signs its positions with, made when this system first started.
"""


def agreement_with_keys(home: Home, agreement: Path) -> Path:
    """A copy of an agreement under ``home`` that names the public keys; makes those that are missing.

    A file that names keys of its own is taken as it is.
    """
    text = agreement.read_text(encoding="utf-8")
    known = read(text)
    if known.signing_key:
        return agreement
    blocks = [new_key(home.keys, directorate) for directorate in known.directorate_ids]
    written = home.path / agreement.name
    written.write_text(text.rstrip() + "\n" + _HEADING + "".join(blocks), encoding="utf-8")
    return written
