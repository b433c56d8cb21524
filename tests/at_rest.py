"""Reading what Temporal keeps on the disk, as somebody would who has its database and nothing else."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path


def kept(home: Path) -> Iterator[bytes]:
    """All that Temporal's database holds: its files as they are, and every value by itself.

    A value that is longer than a page lies in pieces in the file, so the bytes alone could hide a text at a seam.
    """
    database = home / "temporal" / "temporal.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as live:
        tables = [name for (name,) in live.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in live.execute(f'SELECT * FROM "{table}"'):
                yield from (one if isinstance(one, bytes) else str(one).encode() for one in row)
        files = {file.name: file for file in database.parent.glob("temporal.db*")}
        assert {"temporal.db", "temporal.db-wal"} <= set(files)
        yield from (file.read_bytes() for file in files.values())


def found_in(home: Path, texts: set[str]) -> set[str]:
    """Which of these texts Temporal's database holds, in whatever way JSON may write them."""
    everything = list(kept(home))
    forms = {text: {text.encode(), json.dumps(text)[1:-1].encode()} for text in texts}
    return {text for text, some in forms.items() if any(form in one for one in everything for form in some)}
