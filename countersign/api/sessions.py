"""Signing in with a browser, and out again: pages of this origin hold no token, only a cookie that they cannot read."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from urllib.parse import parse_qs

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from pydantic import BaseModel

from countersign.api.browser_sessions import SIGN_IN_SECONDS, Answer, BrowserSessions
from countersign.api.cookies import Cookies
from countersign.api.dependencies import Me, Sessions, browser_session
from countersign.api.errors import Problem, documented
from countersign.api.identity import LONGEST
from countersign.api.limits import Rates
from countersign.api.privileges import Role

router = APIRouter(prefix="/session", tags=["signing in"])

_PATH: Final = r"^/([\x21-\x2e\x30-\x5b\x5d-\x7e][\x21-\x5b\x5d-\x7e]*)?$"
"""A path of this origin, with its query. Browsers take two slashes, of either kind and with control characters between
them or not, for the beginning of another host (URL Standard, 4.4)."""

_MOST_FIELDS: Final = 64
"""Fields of a form that anybody may send: a million of them take a second to be read, in which nobody is answered."""

_FORM: Final = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["logout_token"],
                    "properties": {"logout_token": {"type": "string"}},
                }
            }
        },
    }
}


class SessionView(BaseModel):
    """Who the caller is. ``csrf_token`` and ``idle_until`` are a browser session's; a bearer token has none."""

    person: str
    name: str
    role: Role
    directorate: str | None
    offices: list[str]
    csrf_token: str | None
    expires_at: datetime
    idle_until: datetime | None


class SignedOutView(BaseModel):
    """Where to sign out at the provider, too, if that can be done."""

    logout_url: str | None


@router.get(
    "/login",
    status_code=303,
    response_class=RedirectResponse,
    responses=documented("invalid", "not_found", "unavailable"),
)
async def login(
    sessions: Sessions,
    issuer: Annotated[str, Query(max_length=100, description="An issuer's key, such as `il`.")],
    return_to: Annotated[
        str, Query(max_length=1000, pattern=_PATH, description="Where to, then: a path here.")
    ] = "/",
) -> Response:
    """Send a browser to its issuer to sign in (OpenID Connect Core 1.0, 3.1)."""
    cookies = _enabled(sessions)
    url, begun = await sessions.begin(issuer, return_to)
    away = RedirectResponse(url, status_code=303)
    cookies.give(away, cookies.sign_in, begun, seconds=SIGN_IN_SECONDS)
    return away


@router.get(
    "/callback",
    status_code=303,
    response_class=RedirectResponse,
    responses=documented("invalid", "unauthenticated", "not_found", "unavailable"),
)
async def callback(
    request: Request,
    sessions: Sessions,
    state: Annotated[str, Query(max_length=200)],
    iss: Annotated[str | None, Query(max_length=1000)] = None,
    code: Annotated[str | None, Query(max_length=4000)] = None,
    error: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Take up a browser that comes back from its issuer, and open its session."""
    cookies = _enabled(sessions)
    kept, before = request.cookies.get(cookies.sign_in), request.cookies.get(cookies.session)
    try:
        secret, url = await sessions.complete(Answer(state, iss, code, error), kept, before)
    except Problem as problem:
        await _count(request, problem)
        raise
    back = RedirectResponse(url, status_code=303)
    cookies.take_back(back, cookies.sign_in)
    cookies.give(back, cookies.session, secret)
    return back


@router.post(
    "/backchannel-logout",
    responses=documented("invalid", "not_found", "unavailable"),
    openapi_extra=_FORM,
)
async def signed_out(request: Request, sessions: Sessions) -> None:
    """End the sessions that a provider says are over (OpenID Connect Back-Channel Logout 1.0)."""
    _enabled(sessions)
    body = (await request.body()).decode("utf-8", "replace")
    try:
        given = parse_qs(body, max_num_fields=_MOST_FIELDS).get("logout_token", [])
    except ValueError:
        given = []
    if len(given) != 1 or len(given[0]) > LONGEST:
        raise Problem("invalid", "send one logout_token, as a form", status=400)
    await sessions.end_by_provider(given[0])


@router.get("", responses=documented("unauthenticated", "unavailable"))
async def show(request: Request, me: Me) -> SessionView:
    """Who the caller is, and until when; and what their browser sends with what it changes."""
    session = browser_session(request)
    return SessionView(
        person=me.person,
        name=me.name,
        role=me.role,
        directorate=me.directorate,
        offices=list(me.offices),
        csrf_token=session.csrf if session else None,
        expires_at=session.expires_at if session else request.state.proof.until,
        idle_until=session.idle_until if session else None,
    )


@router.delete("", responses=documented("unauthenticated", "forbidden", "unavailable"))
async def end(request: Request, response: Response, me: Me, sessions: Sessions) -> SignedOutView:
    """Sign a browser out, here; ``logout_url`` does it at the provider. A bearer token is not ended by this."""
    session = browser_session(request)
    if session is None or sessions.cookies is None:
        return SignedOutView(logout_url=None)
    url = await sessions.end(session)
    sessions.cookies.take_back(response, sessions.cookies.session)
    # Not "cookies": that would take those of every host of the domain, and sign people out of what is not ours.
    response.headers["Clear-Site-Data"] = '"cache", "storage"'
    return SignedOutView(logout_url=url)


def _enabled(sessions: BrowserSessions) -> Cookies:
    if sessions.cookies is None:
        raise Problem("not_found", "nobody signs in with a browser here")
    return sessions.cookies


async def _count(request: Request, problem: Problem) -> None:
    """A sign-in that proved nobody counts for its address, as a token does."""
    rates: Rates = request.app.state.rates
    if problem.code == "unauthenticated":
        await rates.count_unproven(request)
