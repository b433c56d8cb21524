"""What holds for every request: an id, a bounded body, headers that keep answers where they belong."""

from __future__ import annotations

import re
import secrets
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from countersign.api.dependencies import ATTACHMENTS_PATH, CODEC_PATH
from countersign.api.errors import Problem, answer
from countersign.api.limits import MAX_BODY, MAX_CODED, check_depth, read_body, replaying, too_large

_ALWAYS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
)
"""What every answer says unless it says otherwise itself (OWASP ASVS 5.0, V3.4); the last counts over TLS only."""

_NOTHING: Final = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_DOCUMENTATION: Final = (
    b"default-src 'none'; connect-src 'self'; font-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline';"
    b" style-src 'self' 'unsafe-inline'; worker-src blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What an answer may load in a browser: nothing; the API's documentation, what is served here with it."""

_DOCUMENTED: Final = ("/docs", "/redoc", "/static-offline-docs")

_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_IS_XML = re.compile(r"\s*(application|text)/xml\s*(;|$)", re.IGNORECASE)

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Edge:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, largest_attachment: int) -> None:
        self._app = app
        self._largest_attachment = largest_attachment

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(12)
        scope.setdefault("state", {})["request_id"] = request_id
        policy = _DOCUMENTATION if scope["path"].startswith(_DOCUMENTED) else _NOTHING
        always = ((b"x-request-id", request_id.encode()), (b"content-security-policy", policy), *_ALWAYS)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                said = message["headers"] = list(message.get("headers", ()))
                names = {name for name, _ in said}
                said += [one for one in always if one[0] not in names]
            await send(message)

        request = Request(scope, receive)
        try:
            length = headers.get("content-length", "0")
            # Its route reads it piece by piece, once it is known who sends it.
            streamed = scope["method"] == "PUT" and scope["path"].startswith(ATTACHMENTS_PATH)
            limit = self._largest_attachment if streamed else _limit(scope["path"])
            if not length.isdigit() or int(length) > limit:
                raise too_large(limit)
            if scope["method"] in _WITH_BODY and not streamed:
                body = await read_body(receive, limit)
                if body is None:
                    return  # nobody waits for an answer any more
                if not _IS_XML.match(headers.get("content-type", "")):
                    check_depth(body)
                receive = replaying(body, receive)
        except Problem as problem:
            await (await answer(request, problem))(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)


def _limit(path: str) -> int:
    return MAX_CODED if path == f"{CODEC_PATH}decode" else MAX_BODY
