"""Payloads decoded for those who may read them: the codec endpoint that Temporal's web UI and command line ask.

The form is Temporal's own (https://docs.temporal.io/codec-server). A tool sends its reader's bearer token; a browser
whose UI has no login of its own sends the cookie that ``/v1/codec/session`` gave it.
"""

from __future__ import annotations

import base64
import binascii
from html import escape
from typing import Annotated, Any, Final
from urllib.parse import parse_qs, urlsplit

import structlog
from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send
from temporalio.api.common.v1 import Payload

from countersign.api.dependencies import CODEC_COOKIE, CODEC_PATH, Me, identify
from countersign.api.errors import Problem, documented
from countersign.api.privileges import BY_ROUTE, Verdict, at_the_door
from countersign.runtime.payload_codec import KEY_ID, EncryptingCodec, PayloadRefused, is_encrypted

log = structlog.get_logger(__name__)

LONGEST: Final = 3800
"""Bytes of a token that a browser keeps as a cookie: it drops, without a word, one of more than 4096 with its name."""

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")

router = APIRouter(prefix="/codec", tags=["codec"])


def _decoded(text: Any) -> bytes:
    if not isinstance(text, str):
        raise ValueError("base64 is text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None


Base64 = Annotated[
    bytes,
    BeforeValidator(_decoded),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str),
    WithJsonSchema({"type": "string", "format": "byte"}),
]


class CodedPayload(BaseModel):
    """A payload of Temporal's as JSON has it: bytes as base64."""

    metadata: dict[str, Base64] = Field(default_factory=dict)
    data: Base64 = b""


class CodedPayloads(BaseModel):
    """Payloads in order."""

    payloads: list[CodedPayload]


@router.post("/decode", responses=documented("unauthenticated", "forbidden", "invalid", "too_large"))
async def decode(
    coded: CodedPayloads,
    me: Me,
    request: Request,
    namespace: Annotated[str | None, Header(alias="X-Namespace", max_length=200)] = None,
) -> CodedPayloads:
    """Payloads as they were before they were encrypted; what is in plain text comes back as it is.

    Auditors and operators only, and the log says who had how many decoded.
    """
    served: str = request.app.state.temporal.namespace
    if namespace not in (None, served):
        raise Problem("invalid", f"payloads of the namespace {served} are decoded here, of no other one")
    codec: EncryptingCodec = request.app.state.codec
    given = [Payload(metadata=one.metadata, data=one.data) for one in coded.payloads]
    encrypted = [one for one in given if is_encrypted(one)]
    key_ids = sorted({one.metadata.get(KEY_ID, b"").decode("ascii", "replace")[:64] for one in encrypted})
    told = {"person": me.person, "namespace": served, "payloads": len(given), "encrypted": len(encrypted)}
    told["request"] = request.state.request_id
    try:
        opened = [codec.open(one) if is_encrypted(one) else one for one in given]
    except PayloadRefused as problem:
        log.warning("payloads_not_decoded", code=problem.code, key_ids=key_ids, **told)
        raise Problem(problem.code, problem.detail, status=422) from problem
    if encrypted:
        log.info("payloads_decoded", key_ids=key_ids, **told)
    return CodedPayloads(
        payloads=[CodedPayload.model_construct(metadata=dict(one.metadata), data=one.data) for one in opened]
    )


@router.post("/encode", status_code=403, responses=documented("unauthenticated", "forbidden"))
async def encode() -> None:
    """Refused to everybody: what initiatives are told goes through this API, which says who told it."""
    raise Problem("forbidden", "nothing is encrypted for anybody here: messages go through the API")


@router.get("/session", response_class=HTMLResponse, include_in_schema=False)
async def show_session() -> HTMLResponse:
    """The page on which a reader gives a browser their token."""
    return _page("Paste a token of an auditor or an operator.")


@router.post("/session", response_class=HTMLResponse, include_in_schema=False)
async def open_session(request: Request) -> Response:
    """Keep a reader's token in their browser, for this endpoint alone, until it runs out or the browser is closed."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        raise Problem("forbidden", "the token is given on this page, and on no other one")
    form = parse_qs((await request.body()).decode("utf-8", "replace"))
    token = form.get("token", [""])[0].strip()
    if not token:
        page = _page("The token is forgotten.")
        page.delete_cookie(CODEC_COOKIE, path=CODEC_PATH)
        return page
    if len(token) > LONGEST:
        raise Problem(
            "too_large", f"a browser keeps no cookie of more than {LONGEST} bytes; pass it as a header"
        )
    me = await identify(request, f"Bearer {token}")
    if at_the_door(BY_ROUTE["POST", "/codec/decode"], me.role) is not Verdict.YES:
        raise Problem("forbidden", "auditors and operators read payloads")
    log.info("codec_session_opened", person=me.person, request=request.state.request_id)
    page = _page(f"Payloads are decoded in this browser for {me.person}, for as long as the token is good.")
    # Whether a proxy in front speaks TLS is not seen from here: only this very machine does without.
    secure = request.url.hostname not in _LOOPBACK
    page.set_cookie(CODEC_COOKIE, token, path=CODEC_PATH, httponly=True, samesite="strict", secure=secure)
    return page


class ForUis:
    """ASGI middleware that lets web UIs of some origins ask this endpoint, and nothing else (Fetch, 3.2: CORS)."""

    def __init__(self, app: ASGIApp, origins: list[str]) -> None:
        self._app = app
        self._cors = CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=["POST"],
            allow_headers=["Authorization", "Authorization-Extras", "Content-Type", "X-Namespace"],
            allow_credentials=True,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] == "http" and scope["path"] in (f"{CODEC_PATH}decode", f"{CODEC_PATH}encode")
        await (self._cors if asked else self._app)(scope, receive, send)


def _page(said: str) -> HTMLResponse:
    """The page; nothing in it comes from the caller but the id that a valid token proves."""
    text = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Countersign: reading payloads</title>
<style>body{{font:16px/1.5 system-ui;max-width:36rem;margin:3rem auto;padding:0 1rem}}
textarea{{width:100%;box-sizing:border-box;font:inherit}}</style>
<h1>Reading payloads in Temporal's web UI</h1>
<p role="status">{escape(said)}</p>
<form method="post" autocomplete="off"><label>Token<br>
<textarea name="token" rows="6" spellcheck="false"></textarea></label>
<p><button>Use this token</button></p></form>
<form method="post"><button>Forget the token</button></form>
</html>
"""
    policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "Referrer-Policy": "same-origin"}
    return HTMLResponse(text, headers=headers)
