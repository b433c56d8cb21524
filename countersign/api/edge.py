"""What holds for every request: an id, a bounded body, headers that keep answers where they belong."""

from __future__ import annotations

import re
import secrets
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countersign.api import codec
from countersign.api.errors import Problem, answer

MAX_BODY: Final = 2 * 1024 * 1024
"""Bytes that a request may have; the largest proposal that the model takes is well below."""

MAX_CODED: Final = 4 * 1024 * 1024
"""Bytes of payloads to decode: Temporal takes one of two MiB, and as base64 it is a third longer."""

_ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
"""What every answer says unless it says otherwise itself."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
        scope.setdefault("state", {})["request_id"] = request_id
        always = ((b"x-request-id", request_id.encode()), *_ALWAYS)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = message["headers"] = list(message.get("headers", ()))
                names = {name for name, _ in said}
                said += [one for one in always if one[0] not in names]
            await send(message)

        length = headers.get("content-length", "0")
        limit = MAX_CODED if scope["path"] == f"{codec.PATH}decode" else MAX_BODY
        if not length.isdigit() or int(length) > limit:
            request = Request(scope, receive)
            problem = Problem("too_large", f"a request has at most {limit} bytes")
            await (await answer(request, problem))(scope, receive, send_with_headers)
            return
        await self._app(scope, _counted(receive, limit), send_with_headers)


def _counted(receive: Receive, limit: int) -> Receive:
    """Receive no more than the limit, whatever length was announced, or none."""
    so_far = 0

    async def counted() -> Message:
        nonlocal so_far
        message = await receive()
        if message["type"] == "http.request":
            so_far += len(message.get("body", b""))
            if so_far > limit:
                raise HTTPException(413, f"a request has at most {limit} bytes")
        return message

    return counted
