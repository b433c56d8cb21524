"""Entries of the audit trail as files, some at a time: as many as there are, in memory that does not grow with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Final

from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from countersign.store import trail
from countersign.store.session import Database
from countersign.store.trail import Found, Place

MEDIA_TYPES: Final = {"csv": "text/csv", "jsonl": "application/jsonl"}
"""By what they are asked for as."""

COLUMNS: Final = (
    *("reference", "initiative", "sequence", "at", "action", "actor", "on_behalf_of", "subject", "message"),
    *("body", "previous", "hash"),
)
"""Of the CSV, one row an entry; ``body`` is JSON."""

_AT_ONCE: Final = 1000
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


Ended = Callable[[int, bool], Awaitable[None]]
"""Is told how many entries were given out, and whether these were all."""


def answer(
    record: Database, form: str, before: Place | None, ended: Ended, **wanted: str | None
) -> StreamingResponse:
    """Every entry that is wanted, the latest first, from a place on; those recorded meanwhile are not among them."""
    return _File(
        _told(_pieces(record, _FORMS[form], before, wanted), ended),
        media_type=MEDIA_TYPES[form],
        headers={"Content-Disposition": f'attachment; filename="audit.{form}"'},
    )


class _File(StreamingResponse):
    """A file that notices at once when nobody waits for the rest of it."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        pieces = self.body_iterator
        assert isinstance(pieces, AsyncGenerator)
        async with aclosing(pieces):
            await super().__call__(scope, receive, send)


async def _told(pieces: AsyncIterator[tuple[str, int]], ended: Ended) -> AsyncGenerator[str]:
    given, whole = 0, False
    try:
        async for piece, entries in pieces:
            given += entries
            yield piece
        whole = True
    finally:
        await ended(given, whole)


async def _pieces(
    record: Database, told: Callable[[Sequence[Found]], str], before: Place | None, wanted: dict[str, Any]
) -> AsyncIterator[tuple[str, int]]:
    """The file in pieces, each with how many entries are in it."""
    if told is _as_csv:
        yield _row(COLUMNS), 0
    while True:
        async with record.reading() as connection:
            found = await trail.search(connection, **wanted, before=before, limit=_AT_ONCE)
        if found:
            yield told(found), len(found)
        if len(found) < _AT_ONCE:
            return
        before = found[-1].place


def _as_jsonl(found: Sequence[Found]) -> str:
    return "".join(
        json.dumps({"reference": one.reference, "entry": one.entry.model_dump()}, ensure_ascii=False) + "\n"
        for one in found
    )


def _as_csv(found: Sequence[Found]) -> str:
    return "".join(_row(_cells(one)) for one in found)


def _cells(one: Found) -> list[Any]:
    said = one.entry.model_dump() | {"reference": one.reference}
    said["body"] = json.dumps(said["body"], ensure_ascii=False)
    return [said[name] for name in COLUMNS]


def _row(values: Sequence[Any]) -> str:
    """A line of CSV (RFC 4180); what a spreadsheet would take for a formula begins with an apostrophe."""
    text = io.StringIO()
    csv.writer(text).writerow(
        f"'{one}" if isinstance(one, str) and one.startswith(_FORMULA) else one for one in values
    )
    return text.getvalue()


_FORMS: Final = {"csv": _as_csv, "jsonl": _as_jsonl}
