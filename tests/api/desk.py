"""A desk at which attachments are brought, named and fetched, by anybody."""

from __future__ import annotations

import hashlib
import uuid
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from countersign.runtime.embedded.services import Services
from countersign.store import tables as t
from countersign.store.session import Database
from tests.api.serving import of
from tests.attachments.papers import pdf
from tests.people import minimal_proposal

BINARY = {"Content-Type": "application/octet-stream"}


def hash_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def paper(about: str = "") -> bytes:
    """A paper that there is not yet."""
    return pdf(f"{about} {uuid.uuid4()}")


class Desk:
    """Calls on an application in this process, by anybody."""

    def __init__(self, services: Services, client: httpx.AsyncClient) -> None:
        self._services, self.client = services, client

    async def call(self, who: str | None, method: str, path: str, **sent: Any) -> httpx.Response:
        headers = sent.pop("headers", {}) | (of(self._services, who) if who else {})
        if method == "POST":
            headers.setdefault("Idempotency-Key", str(uuid.uuid4()))
        return await self.client.request(method, f"/v1{path}", headers=headers, **sent)

    async def bring(
        self, who: str, content: Any, content_hash: str | None = None, **sent: Any
    ) -> httpx.Response:
        path = f"/attachments/{content_hash or hash_of(content)}"
        return await self.call(who, "PUT", path, content=content, headers=BINARY, **sent)

    async def submit(self, who: str = "il-lead", *contents: bytes, **changes: Any) -> httpx.Response:
        """Submit a proposal whose documents are these, and as many of the last as there have to be."""
        proposal = minimal_proposal(**changes)
        for i, one in enumerate(proposal["documents"]):
            one["sha256"] = hash_of(contents[min(i, len(contents) - 1)])
            one["name"] = f"Draft {i}.pdf"
        return await self.call(who, "POST", "/proposals", json=proposal)

    async def link(self, who: str, initiative: str, content: bytes) -> str:
        answer = await self.call(who, "GET", f"/initiatives/{initiative}/attachments/{hash_of(content)}")
        assert answer.status_code == 200, answer.text
        return str(answer.json()["url"]).removeprefix("/v1")


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


async def kept(database: Database, content: bytes) -> Any:
    async with database.reading() as connection:
        a = t.attachment.c
        return await connection.scalar(select(a.media_type).where(a.content_hash == hash_of(content)))


def names_in(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file()}
