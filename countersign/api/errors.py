"""Refusals as problem details (RFC 9457), each with a stable code, each on record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from countersign.attachments.vault import VaultAway
from countersign.domain.errors import CODES, RuleBroken
from countersign.runtime.logs import without_links
from countersign.runtime.payload_codec import PayloadRefused
from countersign.store import refusals
from countersign.store.session import RecordAway

if TYPE_CHECKING:
    from countersign.api.limits import Rates

log = structlog.get_logger(__name__)

STATUS: Final[dict[str, int]] = {
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "too_slow": 408,
    "precondition_failed": 412,
    "too_large": 413,
    "media_type_refused": 415,
    "invalid": 422,
    "content_mismatch": 422,
    "idempotency_key_reused": 422,
    "precondition_required": 428,
    "idempotency_key_required": 400,
    "rate_limited": 429,
    "internal": 500,
    # What Temporal keeps for us cannot be read, or must not be: the caller's request has nothing wrong with it.
    "payload_plain": 500,
    "payload_key_unknown": 500,
    "payload_altered": 500,
    "payload_malformed": 500,
    "payload_keys_missing": 500,
    "unavailable": 503,
}
"""The HTTP status of each code; a rule that does not let a message count is a conflict, 409."""

PROBLEM: Final = "application/problem+json"


class ProblemDetails(BaseModel):
    """RFC 9457, with our ``code``; ``errors`` lists the places of what is invalid."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    instance: str | None = None
    errors: list[dict[str, str]] | None = None


class Problem(Exception):
    """A refusal on its way out. ``recorded`` when the initiative's own trail has it already."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        status: int | None = None,
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        recorded: bool = False,
    ) -> None:
        super().__init__(code, detail)
        self.code, self.detail = code, detail
        self.status = status or STATUS.get(code, 409)
        self.errors, self.headers, self.recorded = errors, dict(headers or {}), recorded


async def answer(request: Request, problem: Problem) -> Response:
    """The problem as a response; unless the trail has it already, it goes on record here."""
    if not problem.recorded:
        await _record(request, problem)
    headers = dict(problem.headers)
    if problem.code == "unauthenticated":
        headers.setdefault("WWW-Authenticate", 'Bearer realm="countersign"')
    if problem.code == "unavailable":
        headers.setdefault("Retry-After", "5")
    body = ProblemDetails(
        type=f"urn:countersign:problem:{problem.code}",
        title=CODES[problem.code],
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
        instance=request.url.path,
        errors=problem.errors,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True), status_code=problem.status, media_type=PROBLEM, headers=headers
    )


async def _record(request: Request, problem: Problem) -> None:
    person = getattr(request.state, "person", None)
    request_id = getattr(request.state, "request_id", "-")
    log.info("request_refused", code=problem.code, status=problem.status, person=person, request=request_id)
    if problem.code in ("unavailable", "internal", "rate_limited"):
        return  # the log has it; a flood of them must not become one of rows
    if person is None and problem.code != "unauthenticated" and not await _may_record(request):
        return
    try:
        async with request.app.state.database.transaction() as connection:
            await refusals.record(
                connection,
                request_id=request_id,
                method=request.method,
                path=without_links(request.url.path),
                status=problem.status,
                code=problem.code,
                detail=problem.detail,
                person=person,
            )
    except RecordAway as error:
        # The refusal stands all the same; the log line above has it.
        log.warning("refusal_not_recorded", error=type(error).__name__)


async def _may_record(request: Request) -> bool:
    """Whether what comes from an address without a proof is still put on record; the door counts for itself."""
    rates: Rates = request.app.state.rates
    try:
        await rates.count_unproven(request)
    except Problem:
        return False
    return True


def _places(error: RequestValidationError) -> list[dict[str, str]]:
    return [
        {"place": ".".join(str(part) for part in one["loc"]), "problem": str(one["msg"])}
        for one in error.errors()
    ][:100]


def _of_http(error: HTTPException) -> Problem:
    code = {401: "unauthenticated", 403: "forbidden", 404: "not_found", 413: "too_large"}.get(
        error.status_code, "invalid"
    )
    return Problem(code, str(error.detail), status=error.status_code, headers=error.headers)


def install(app: FastAPI) -> None:
    """Answer every kind of failure with problem details."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return await answer(request, error)

    @app.exception_handler(RuleBroken)
    async def _rule(request: Request, error: RuleBroken) -> Response:
        return await answer(request, Problem(error.code, error.detail))

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, error: RequestValidationError) -> Response:
        places = _places(error)
        malformed = any(one["type"] == "json_invalid" for one in error.errors())
        detail = "the body is not JSON" if malformed else f"{len(places)} field(s) are not as they should be"
        return await answer(
            request, Problem("invalid", detail, status=400 if malformed else 422, errors=places)
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return await answer(request, _of_http(error))

    @app.exception_handler(PayloadRefused)
    async def _payload(request: Request, error: PayloadRefused) -> Response:
        log.error("payload_refused", code=error.code, request=getattr(request.state, "request_id", "-"))
        return await answer(request, Problem(error.code, error.detail))

    @app.exception_handler(Exception)
    async def _unforeseen(request: Request, error: Exception) -> Response:
        log.error("unforeseen", exc_info=error, request=getattr(request.state, "request_id", "-"))
        return await answer(
            request, Problem("internal", "an unforeseen fault; it is logged under this request's id")
        )

    @app.exception_handler(VaultAway)
    async def _vault_away(request: Request, error: VaultAway) -> Response:
        log.warning("vault_away", error=str(error))
        return await answer(request, Problem("unavailable", "what keeps the attachments does not answer"))

    @app.exception_handler(RecordAway)
    async def _record_away(request: Request, error: RecordAway) -> Response:
        log.warning("record_away", error=str(error))
        return await answer(
            request, Problem("unavailable", "the record does not answer; nothing was changed")
        )


def documented(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI responses of some codes, by status."""
    grouped: dict[int, list[str]] = {}
    for code in codes:
        grouped.setdefault(STATUS.get(code, 409), []).append(code)
    return {
        status: {
            "model": ProblemDetails,
            "description": "; ".join(f"`{code}`: {CODES[code]}" for code in group),
            "content": {PROBLEM: {}},
        }
        for status, group in grouped.items()
    }
