"""Reading what Temporal keeps, as somebody would who has its database, or its own tools, and nothing of ours."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from temporalio.client import WorkflowHistory

from countersign.domain.ids import workflow_id
from countersign.runtime.embedded import temporal_server
from countersign.runtime.histories import payloads


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


async def shown(address: str, initiative: str, *arguments: str) -> str:
    """The payloads of an initiative's run as ``temporal workflow show`` prints them."""
    process = await asyncio.create_subprocess_exec(
        str(temporal_server.binary()),
        *("workflow", "show", "--workflow-id", workflow_id(initiative), "--output", "json"),
        *("--address", address, "--namespace", "countersign", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},  # no configuration of the person who happens to run the tests
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    history = WorkflowHistory.from_json("", out.decode())
    return " ".join(one.data.decode(errors="replace") for event in history.events for one in payloads(event))
