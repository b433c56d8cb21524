"""Which code this is: the id that workers give Temporal, and that every history names."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

import countersign

_PACKAGE: Final = Path(countersign.__file__).parent


@cache
def build_id() -> str:
    """The version, and a digest of the package's own source: ``0.1.0+3f9a0c2b71de``.

    The same source has the same id wherever it is installed, so a history can be replayed against the very code that
    made it, by whoever has that.
    """
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{file.relative_to(_PACKAGE).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return f"{countersign.__version__}+{digest.hexdigest()[:12]}"
