"""How much is taken of a request: bytes, depth, time to send it, and how many come from one caller."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive

from countersign.api.errors import Problem

MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes that a request may have; the largest proposal that the model takes is well below."""

MAX_CODED: Final = 4 * 1024 * 1024
"""Bytes of payloads to decode: Temporal takes one of two MiB, and as base64 it is a third longer."""

MAX_DEPTH: Final = 32
"""Lists and objects inside each other in a JSON body; a proposal has five. What reads it calls itself for each."""

BODY_SECONDS: Final = 30.0
"""Within which a body is there whole: who sends it byte by byte holds a connection, and nothing else."""

UPLOAD_SECONDS: Final = 900.0
"""Within which an attachment is there whole; no piece of it is waited for longer than :data:`BODY_SECONDS`."""

UPLOADS: Final = 8
"""Attachments that this process takes of one person at a time: until one is kept, nothing counts its bytes."""

DOSSIERS: Final = 1
"""Dossiers that this process makes for one person at a time: all but the attachments of one are in memory meanwhile."""

_STRUCTURE = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Possessive: a string of two million bytes is gone over once, and no place in it is kept to come back to."""


async def read_body(receive: Receive, limit: int = MAX_BODY) -> bytes | None:
    """The whole body; none when the client went away meanwhile.

    Raises:
        Problem: ``too_large`` whatever length was announced, or ``too_slow``.
    """
    chunks: list[bytes] = []
    so_far = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                chunks.append(message.get("body", b""))
                so_far += len(chunks[-1])
                if so_far > limit:
                    raise too_large(limit)
                if not message.get("more_body", False):
                    return b"".join(chunks)
    except TimeoutError:
        raise Problem("too_slow", "the body of a request is sent within half a minute") from None


async def body_pieces(request: Request, limit: int) -> AsyncIterator[bytes]:
    """A body as it comes, for whoever does not need it whole.

    Raises:
        Problem: ``too_large`` whatever length was announced, ``too_slow``, or ``invalid`` when it breaks off.
    """
    so_far, pieces = 0, aiter(request.stream())
    ends = asyncio.get_running_loop().time() + UPLOAD_SECONDS
    try:
        while True:
            async with asyncio.timeout(min(BODY_SECONDS, ends - asyncio.get_running_loop().time())):
                piece = await anext(pieces, None)
            if piece is None:
                return
            so_far += len(piece)
            if so_far > limit:
                raise too_large(limit)
            yield piece
    except TimeoutError:
        raise Problem(
            "too_slow", "the body did not go on for half a minute, or took too long in all"
        ) from None
    except ClientDisconnect:
        raise Problem(
            "invalid", "the connection broke off before the body was there whole", status=400
        ) from None


def too_large(limit: int, what: str = "a request has") -> Problem:
    """More bytes than are taken."""
    return Problem("too_large", f"{what} at most {limit} bytes")


def check_depth(body: bytes) -> None:
    """Refuse JSON whose lists and objects lie deeper inside each other than :data:`MAX_DEPTH`.

    It is counted in UTF-8, the only form in which JSON is exchanged (RFC 8259, section 8.1). What reads a body would
    take UTF-16 and UTF-32, too: in them there is always a byte of zero, in UTF-8 never.

    Raises:
        Problem: ``invalid``.
    """
    if b"\0" in body:
        raise Problem("invalid", "the body is not JSON in UTF-8", status=400)
    depth = 0
    for found in _STRUCTURE.finditer(body):
        mark = found[0]
        if mark in (b"[", b"{"):
            depth += 1
            if depth > MAX_DEPTH:
                raise Problem("invalid", f"lists and objects lie at most {MAX_DEPTH} deep", status=400)
        elif mark in (b"]", b"}"):
            depth -= 1


def replaying(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that gives a body that was read already, and then whatever else comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


class AtOnce:
    """How much this process does of one thing for one person at the same time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    @asynccontextmanager
    async def one_more(self, person: str) -> AsyncIterator[None]:
        """One more of them, for as long as the block lasts.

        Raises:
            Problem: ``rate_limited``, with ``Retry-After``.
        """
        if self._under_way[person] >= self._most:
            raise Problem(
                "rate_limited", f"more than {self._most} of these at a time", headers={"Retry-After": "10"}
            )
        self._under_way[person] += 1
        try:
            yield
        finally:
            self._under_way[person] -= 1
            if not self._under_way[person]:
                del self._under_way[person]


class Rates:
    """How many requests a minute this process takes of one person, and refusals it writes down of one address.

    Who proves who they are is counted as a person, so that nobody is kept out by what comes from the same address
    without a proof. Each process counts for itself. Nothing is counted where a rate is zero.
    """

    def __init__(self, per_person: int, unproven: int) -> None:
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._person, self._address = _a_minute(per_person), _a_minute(unproven)

    async def count_person(self, person: str) -> None:
        """A request of somebody who has proven who they are.

        Raises:
            Problem: ``rate_limited``, with ``Retry-After``.
        """
        await self._count(self._person, person)

    async def count_unproven(self, request: Request) -> None:
        """A request that proved nothing, for the address that it came from.

        Raises:
            Problem: ``rate_limited``, with ``Retry-After``.
        """
        address = request.client.host if request.client else ""
        await self._count(self._address, f"address {address}")

    async def _count(self, item: RateLimitItem | None, who: str) -> None:
        if item is not None and not await self._limiter.hit(item, who):
            detail = f"more than {item.amount} requests a minute"
            raise Problem("rate_limited", detail, headers={"Retry-After": "10"})


def _a_minute(amount: int) -> RateLimitItem | None:
    return parse(f"{amount}/minute") if amount else None
