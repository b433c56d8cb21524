"""Attachments: bringing them, what an initiative names of them, and downloading them by links that expire."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from urllib.parse import quote

import structlog
from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.api.dependencies import Here, Kept, Me, OnRecord, Record
from countersign.api.errors import Problem, documented
from countersign.api.identity import Identity
from countersign.api.limits import AtOnce, body_pieces, too_large
from countersign.api.links import GOOD_FOR, Link, LinkRefused, Links
from countersign.api.schemas import Page
from countersign.attachments.content import TAKEN, MediaType, NotTaken, detect
from countersign.attachments.vault import Damaged, Missing, Staged, VaultAway, proven, staged
from countersign.domain.proposal import Proposal
from countersign.domain.reporting import Report
from countersign.store import attachments
from countersign.store.accesses import ATTACHMENT_DOWNLOADED
from countersign.store.attachments import Attachment
from countersign.store.session import Database

log = structlog.get_logger(__name__)

router = APIRouter(tags=["attachments"])

ContentHash = Annotated[
    str, Path(pattern=r"^sha256:[0-9a-f]{64}$", description="The SHA-256 of the content, `sha256:<hex>`.")
]


_UNSAVEABLE: Final = re.compile(r'[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069/\\\\:*?"<>|]')
"""What no file name has on some system, and what turns the order in which one is read."""


_LONGEST_NAME: Final = 200
"""Bytes in UTF-8 of a file name before its ending; with it, most systems take 255."""


class AttachmentView(BaseModel):
    """Content that is kept; ``size`` in bytes, ``media_type`` as the content was told, whatever it was called."""

    sha256: str
    media_type: str
    size: int


class NamedView(AttachmentView):
    """An attachment as the initiative names it; ``kind`` is the agreement's, none for the evidence of a cost.

    ``sequence`` is the entry of the trail that put it on record. ``erased_at`` is when its content was erased, together
    with the people in the record.
    """

    name: str | None
    kind: str | None
    sequence: int
    erased_at: datetime | None = None


class LinkView(AttachmentView):
    """A link to download the content, good until ``expires_at`` for whoever has it."""

    file_name: str
    url: str
    expires_at: datetime


@router.put(
    "/attachments/{content_hash}",
    status_code=201,
    responses=documented(
        *("unauthenticated", "forbidden", "not_found", "content_mismatch", "media_type_refused"),
        *("too_large", "too_slow", "rate_limited", "unavailable"),
    )
    | {200: {"model": AttachmentView, "description": "The caller has brought it before."}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def bring(
    content_hash: ContentHash, request: Request, me: Me, record: Record, kept: Kept, response: Response
) -> AttachmentView:
    """Upload a document, as it is, under its own hash; then a proposal or a report of the caller's may name it.

    Its type is told by its content. The same again changes nothing.
    """
    limit = request.app.state.largest_attachment
    async with record.reading() as connection:
        before = await attachments.brought(connection, content_hash, me.person)
    uploads: AtOnce = request.app.state.uploads
    async with uploads.one_more(me.person), staged(kept, body_pieces(request, limit)) as file:
        media_type = await asyncio.to_thread(_told, file, content_hash)
        async with request.app.state.keeping, record.transaction() as connection:
            # The row first, which nobody else can touch until the content is there as well.
            await attachments.keep(connection, content_hash, media_type.name, file.size)
            # Counted with it, and here: whoever brings many at once would else have none of them counted.
            if before is None and await attachments.loose(connection) > request.app.state.most_loose:
                raise too_large(request.app.state.most_loose, "what nothing names yet has")
            await kept.put(content_hash, file.path)
    log.info("attachment_brought", attachment=content_hash, size=file.size, person=me.person)
    response.status_code = 201 if before is None else 200
    return AttachmentView(sha256=content_hash, media_type=media_type.name, size=file.size)


@router.get("/attachments/{content_hash}", responses=documented("unauthenticated", "forbidden", "not_found"))
async def read_brought(content_hash: ContentHash, request: Request, me: Me, record: Record) -> LinkView:
    """A document that the caller has brought, named by an initiative or not, and a link to it."""
    async with record.reading() as connection:
        found = await attachments.brought(connection, content_hash, me.person)
    return _link(request.app.state.links, found, None, me, None)


@router.get("/initiatives/{identifier}/attachments", responses=documented("unauthenticated", "not_found"))
async def every(here: Here, record: Record) -> Page[NamedView]:
    """What the initiative names, in the order in which it came on record."""
    async with record.reading() as connection:
        found = await attachments.named(connection, here.id)
    return Page(
        items=[
            NamedView(
                **_said(one.attachment),
                name=one.name,
                kind=one.kind,
                sequence=one.sequence,
                erased_at=one.attachment.erased_at,
            )
            for one in found
        ]
    )


@router.get(
    "/initiatives/{identifier}/attachments/{content_hash}",
    responses=documented("unauthenticated", "not_found"),
)
async def read_named(
    content_hash: ContentHash, request: Request, here: Here, me: Me, record: Record
) -> LinkView:
    """A document that the initiative names, and a link to it."""
    async with record.reading() as connection:
        named = await attachments.named(connection, here.id)
    found = next((one for one in reversed(named) if one.attachment.content_hash == content_hash), None)
    attachment, name = (found.attachment, found.name) if found is not None else (None, None)
    return _link(request.app.state.links, attachment, name, me, here.id)


@router.get(
    "/downloads/{link}",
    response_class=StreamingResponse,
    responses=documented("not_found", "unavailable")
    | {200: {"description": "The content, as a download.", "content": {"application/octet-stream": {}}}},
)
async def download(
    link: Annotated[str, Path(max_length=4096)], request: Request, kept: Kept, on_record: OnRecord
) -> Response:
    """What a link leads to, while it is good and the person it was made for may see it."""
    links: Links = request.app.state.links
    try:
        opened = links.open(link)
    except LinkRefused as problem:
        raise Problem("not_found", str(problem)) from problem
    record: Database = request.app.state.database.read_by(opened.reader)
    async with record.reading() as connection:
        found = _there(await attachments.find(connection, opened.content_hash))
    pieces = proven(opened.content_hash, kept.read(opened.content_hash))
    told = {
        "attachment": opened.content_hash,
        "person": opened.reader.person,
        "initiative": opened.initiative,
    }
    try:
        first = await anext(pieces, b"")
    except (Missing, Damaged) as problem:
        log.exception("attachment_not_whole", problem=type(problem).__name__, **told)
        raise Problem("unavailable", "the content is not there as it was brought; it is logged") from problem
    if opened.reader.role == "auditor":
        await on_record.exported(
            opened.reader, ATTACHMENT_DOWNLOADED, subject=opened.content_hash, initiative=opened.initiative
        )
    return StreamingResponse(
        _logged(pieces, first, told), media_type=found.media_type, headers=_as_download(opened, found)
    )


async def check_attached(
    required: bool,
    connection: AsyncConnection,
    document: Proposal | Report,
    me: Identity,
    initiative: str | None = None,
) -> None:
    """Where it is required, refuse what names a document that neither the caller brought nor the initiative has.

    Raises:
        Problem: ``invalid``, with every place.
    """
    if not required:
        return
    places = document.attached()
    absent = await attachments.missing(connection, list(places.values()), me.person, initiative)
    errors = [
        {"place": place, "problem": f"{content_hash} was not uploaded by you", "rule": "attachment"}
        for place, content_hash in places.items()
        if content_hash in absent
    ]
    if errors:
        raise Problem("invalid", f"{len(errors)} document(s) are named and not there", errors=errors)


def _told(file: Staged, content_hash: str) -> MediaType:
    """What a file is, when it has the hash that it was said to have."""
    if file.content_hash != content_hash:
        raise Problem("content_mismatch", f"what came has the hash {file.content_hash}")
    try:
        return detect(file.path)
    except NotTaken as problem:
        taken = ", ".join(one.ending for one in TAKEN.values())
        raise Problem("media_type_refused", f"{problem}. These are taken: {taken}") from problem


def _there(found: Attachment | None) -> Attachment:
    if found is None:
        raise Problem("not_found", "there is no such attachment, or not for you")
    if found.erased_at is not None:
        raise Problem("not_found", f"its content was erased on {found.erased_at:%Y-%m-%d}")
    return found


def _link(
    links: Links, found: Attachment | None, name: str | None, me: Identity, initiative: str | None
) -> LinkView:
    """A link to what was found, made for the caller."""
    attachment = _there(found)
    link = Link(
        content_hash=attachment.content_hash,
        file_name=_file_name(attachment, name),
        reader=me.reader,
        initiative=initiative,
        until=int(time.time()) + GOOD_FOR,
    )
    return LinkView(
        **_said(attachment),
        file_name=link.file_name,
        url=f"/v1/downloads/{links.seal(link)}",
        expires_at=datetime.fromtimestamp(link.until, UTC),
    )


def _file_name(attachment: Attachment, name: str | None) -> str:
    """A name to save the content under: as it was called, and in any case with the ending of what it is."""
    ending = TAKEN[attachment.media_type].ending
    called = _UNSAVEABLE.sub("_", name or "").strip(" .").encode()[:_LONGEST_NAME].decode(errors="ignore")
    called = called or attachment.content_hash.removeprefix("sha256:")[:16]
    return called if called.lower().endswith(ending) else f"{called}{ending}"


def _as_download(link: Link, found: Attachment) -> dict[str, str]:
    """Headers by which no browser shows it, whatever it holds."""
    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(link.file_name, safe='')}",
        "Content-Length": str(found.size),
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


def _said(attachment: Attachment) -> dict[str, Any]:
    return {
        "sha256": attachment.content_hash,
        "media_type": attachment.media_type,
        "size": attachment.size,
    }


async def _logged(pieces: AsyncIterator[bytes], first: bytes, told: dict[str, Any]) -> AsyncIterator[bytes]:
    """The content; when it turns out not to be what was brought, the connection breaks off before its end."""
    yield first
    try:
        async for piece in pieces:
            yield piece
    except (Damaged, Missing, VaultAway) as problem:
        log.exception("attachment_not_whole", problem=type(problem).__name__, **told)
        raise
    log.info("attachment_downloaded", **told)
