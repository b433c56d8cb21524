"""The routes of the local providers that a browser goes to."""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import RedirectResponse

from countersign.runtime.embedded.identity import Issuer
from countersign.runtime.embedded.provider import authorization, pages
from countersign.runtime.embedded.provider.forms import read_form, read_query
from countersign.runtime.embedded.provider.places import At, Providers
from countersign.runtime.embedded.provider.provider import Provider
from countersign.runtime.embedded.provider.refusals import Refused, SentBack
from countersign.runtime.embedded.provider.sign_ins import Asked, Device, Page

COOKIE: Final = "countersign_browser"
"""What a page and its answer have in common, so that no other site's form is taken for an answer."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


async def for_people(request: Request) -> None:
    """What is refused here is said on a page."""
    request.state.for_people = True


router = APIRouter(dependencies=[Depends(for_people)])


@router.get("/{issuer}/authorize")
async def authorize(issuer: At, provider: Providers, request: Request) -> Response:
    """Ask somebody to sign in for a client."""
    asked = authorization.read(provider.clients, read_query(request))
    return _ask(request, provider, issuer, asked)


@router.post("/{issuer}/authorize")
async def authorize_by_form(issuer: At, provider: Providers, request: Request) -> Response:
    """The same, asked in a form (OpenID Connect Core 1.0, 3.1.2.1)."""
    asked = authorization.read(provider.clients, await read_form(request))
    return _ask(request, provider, issuer, asked)


@router.get("/{issuer}/device")
async def show_device(issuer: At, request: Request) -> Response:
    """Ask for a device's code; one that came with the address is to be confirmed (RFC 8628, 3.3.1)."""
    return pages.device(issuer, user_code=read_query(request).get("user_code", "")[:20])


@router.post("/{issuer}/device")
async def find_device(issuer: At, provider: Providers, request: Request) -> Response:
    """Ask somebody to sign in for the device that shows a code."""
    _check_origin(request, provider)
    user_code = (await read_form(request)).get("user_code", "")[:20]
    device = provider.sign_ins(issuer).waiting_device(user_code)
    if not provider.guessed_device(issuer, device is not None) or device is None:
        problem = (
            "No such code waits for anybody. Is it typed as it is shown, and not older than ten minutes?"
        )
        return pages.device(issuer, user_code=user_code, problem=problem, status=404)
    return _ask(request, provider, issuer, device.asked, device)


@router.post("/{issuer}/sign-in")
async def sign_in(issuer: At, provider: Providers, request: Request) -> Response:
    """The answer of whoever was asked to sign in."""
    _check_origin(request, provider)
    form, kept = await read_form(request), provider.sign_ins(issuer)
    page = kept.page(form.get("page", ""), request.cookies.get(COOKIE, ""))
    if form.get("answer") == "refuse":
        kept.close_page(page)
        return _done(provider, issuer, page, None)
    who = form.get("who", "")
    if not provider.recognise(issuer, who, form.get("password", "")):
        return pages.sign_in(issuer, page, chosen=who, problem="Nobody of that name has that password.")
    kept.close_page(page)
    return _done(provider, issuer, page, who)


@router.get("/{issuer}/end_session")
async def end_session(issuer: At, provider: Providers, request: Request) -> Response:
    """End a sign-in for a client, and go back to it (OpenID Connect RP-Initiated Logout 1.0)."""
    return await _end_session(provider, issuer, read_query(request))


@router.post("/{issuer}/end_session")
async def end_session_by_form(issuer: At, provider: Providers, request: Request) -> Response:
    """The same, asked in a form."""
    return await _end_session(provider, issuer, await read_form(request))


def _ask(
    request: Request, provider: Provider, issuer: Issuer, asked: Asked, device: Device | None = None
) -> Response:
    kept = request.cookies.get(COOKIE, "")
    # The one that is there already, or what another tab shows could not be answered any more.
    browser = kept if _TOKEN.fullmatch(kept) else secrets.token_urlsafe(32)
    shown = pages.sign_in(issuer, provider.sign_ins(issuer).open_page(browser, asked, device))
    shown.set_cookie(
        COOKIE,
        browser,
        max_age=provider.periods.page,
        path=f"/{issuer.key}/",
        httponly=True,
        samesite="strict",
        secure=provider.base.startswith("https:"),
    )
    return shown


def _done(provider: Provider, issuer: Issuer, page: Page, who: str | None) -> Response:
    kept, asked = provider.sign_ins(issuer), page.asked
    if page.device is not None:
        kept.answer_device(page.device, who)
        if who is None:
            return pages.said(
                "You did not sign in", "The other screen or the terminal is told. Close this page."
            )
        return pages.said(
            "You are signed in", "Go back to the other screen or the terminal. Close this page."
        )
    assert asked.redirect_uri is not None
    if who is None:
        raise SentBack("access_denied", "the request was refused", asked.redirect_uri, asked.state)
    told = {"code": kept.grant_code(asked, who), "iss": issuer.url}
    return send_back(asked.redirect_uri, told, asked.state)


def send_back(uri: str, told: dict[str, str], state: str | None) -> RedirectResponse:
    """Send the browser to a client, with what it is told (RFC 6749, 4.1.2; RFC 9207; by GET: RFC 9700, 4.12)."""
    parts = urlsplit(uri)
    query = urlencode(told if state is None else told | {"state": state})
    target = urlunsplit(parts._replace(query="&".join(one for one in (parts.query, query) if one)))
    headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return RedirectResponse(target, 303, headers)


async def _end_session(provider: Provider, issuer: Issuer, sent: dict[str, str]) -> Response:
    client = await provider.end_session(issuer, sent)
    target = sent.get("post_logout_redirect_uri")
    if target is None:
        return pages.said("You are signed out", "Close this page, or sign in again.")
    if target not in client.web.post_logout_redirect_uris:
        raise Refused(
            "invalid_request", "the post_logout_redirect_uri is none that is registered for this client"
        )
    return send_back(target, {}, sent.get("state"))


def _check_origin(request: Request, provider: Provider) -> None:
    """A browser says where a form comes from (Fetch, 3.2); what is no browser need not."""
    origin = request.headers.get("origin")
    if origin is not None and not hmac.compare_digest(origin.encode(), provider.base.encode()):
        raise Refused("invalid_request", "the form comes from another site", 403)
