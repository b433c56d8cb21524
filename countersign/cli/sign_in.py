"""``countersign login``, ``logout`` and ``whoami``: who calls, by an issuer's word."""

from __future__ import annotations

import json
import os
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from pydantic import TypeAdapter, ValidationError

from countersign.cli import client, kept, loopback, openid
from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    err,
    in_one_language,
    instant,
    say,
    tell,
)
from countersign.runtime.urls import is_confidential

BROWSER_PATIENCE: Final = 300.0
"""Seconds to wait for a browser."""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (login, logout, whoami):
        app.command()(command)


def login(
    issuer: Annotated[
        str | None,
        typer.Option(
            metavar="KEY", help="Who vouches for you; without it, they are listed if there are several."
        ),
    ] = None,
    browser: Annotated[
        bool,
        typer.Option(
            "--browser/--device",
            help="Sign in in a browser of this machine, or in one anywhere by a code that is printed.",
        ),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    url: client.UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign in to the API by your issuer; what is needed for it is printed on standard error."""
    api = client.base(home, url)
    if not is_confidential(api):
        raise Failure(f"{api} is neither HTTPS nor on this machine: nobody signs in there", Status.USAGE)
    with client.anonymous(api) as caller:
        chosen = _choose(caller.get("/session/issuers")["items"], issuer)
    configuration = openid.discover(chosen)
    sign_in = _in_browser if browser else _elsewhere
    tokens, claims = sign_in(configuration, chosen.cli_client_id)
    signed_in = kept.Kept(
        api=kept.canonical(api),
        issuer=chosen.issuer,
        issuer_key=chosen.key,
        client_id=chosen.cli_client_id,
        token_endpoint=configuration.token_endpoint,
        revocation_endpoint=configuration.revocation_endpoint,
        subject=claims["sub"],
        name=str(claims.get("name", "")),
        signed_in_at=datetime.now(UTC).replace(microsecond=0),
        expires_at=kept.expiry(tokens),
        access_token=tokens.access_token,
        refresh_token=tokens.refresh_token,
    )
    with kept.locked(api):
        with suppress(Failure):  # whoever signed in before gives way, whatever their issuer says to it
            _take_back(kept.read(api))
        kept.write(signed_in)
    tell(as_json, f"Signed in to {api} as {_called(signed_in)}.", _view(signed_in))


def logout(
    home: HomeOption = DEFAULT_HOME, url: client.UrlOption = None, as_json: JsonOption = False
) -> None:
    """Sign out of the API: the refresh token is taken back, and nothing is kept."""
    api = client.base(home, url)
    known, taken_back = True, False
    with kept.locked(api):
        try:
            signed_in = kept.read(api)
            known = signed_in is not None
            taken_back = _take_back(signed_in)
        except Failure as problem:
            say(f"countersign: the issuer was not told: {problem}", style="red", to=err)
        kept.forget(api)
    text = f"Signed out of {api}." if known else f"Nobody was signed in to {api}."
    tell(as_json, text, {"api": api, "signed_out": known, "taken_back": taken_back})


def whoami(
    name: client.AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: client.UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show as whom the next command calls, at which API, by which issuer, and how long that token is good."""
    api = client.base(home, url)
    with client.failing(as_json):
        token = client.token(home, api, name, None)
    signed_in = kept.read(api)
    if signed_in is not None and signed_in.access_token == token:
        view, who, by = _view(signed_in), _called(signed_in), signed_in.issuer
    else:
        view = _view_of(api, token)
        who, by = str(view["name"] or view["subject"]), str(view["issuer"])
    text = f"{who}\n  at      {api}\n  by      {by}\n  token   good until {instant(view['expires_at'])}"
    tell(as_json, text, view)


def _choose(listed: Any, key: str | None) -> openid.Issuer:
    try:
        issuers = TypeAdapter(list[openid.Issuer]).validate_python(listed)
    except ValidationError:
        raise Failure("the API names issuers in a form that this version does not know") from None
    if key is None and len(issuers) == 1:
        return issuers[0]
    found = next((one for one in issuers if one.key == key), None)
    if found is None:
        lines = "".join(f"\n  {one.key:<14} {_described(one)}" for one in issuers)
        asked = "who vouches for you?" if key is None else f"{key!r} is no issuer here."
        raise Failure(f"{asked} Name one with --issuer:{lines}", Status.USAGE)
    return found


def _described(issuer: openid.Issuer) -> str:
    who = {
        "staff": "office holders",
        "auditor": "the audit office",
        "applicant": "applicants",
        "operator": "operators",
    }
    called = who.get(issuer.role, issuer.role)
    return f"{called}, {in_one_language(issuer.title)}" if issuer.title else called


def _elsewhere(configuration: openid.Configuration, client_id: str) -> tuple[openid.Tokens, dict[str, Any]]:
    """By the device flow."""
    device = openid.ask_for_device(configuration, client_id)
    say(f"Open {device.verification_uri}\nand type {device.user_code}", to=err)
    if device.verification_uri_complete is not None:
        say(f"or open {device.verification_uri_complete}\nand compare the code.", to=err)
    with _waiting():
        tokens = openid.wait_for_device(configuration, client_id, device)
    return tokens, openid.verify(configuration, client_id, tokens)


def _in_browser(configuration: openid.Configuration, client_id: str) -> tuple[openid.Tokens, dict[str, Any]]:
    """By a code that the browser brings to this machine."""
    with loopback.listening() as server:
        request = openid.ask_in_browser(configuration, client_id, server.redirect_uri)
        say(f"Sign in in your browser. If it does not open by itself, open\n{request.url}", to=err)
        _open(request.url)
        with _waiting():
            answer = server.wait(request.state, BROWSER_PATIENCE)
    tokens = openid.redeem(configuration, client_id, request, openid.code_of(configuration, answer))
    return tokens, openid.verify(configuration, client_id, tokens, nonce=request.nonce)


def _open(address: str) -> None:
    """Open a browser where there is a screen: one in the terminal would take it away from the command."""
    named = any(os.environ.get(one) for one in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
    if named or sys.platform == "darwin":
        with suppress(webbrowser.Error):
            webbrowser.open(address)


@contextmanager
def _waiting() -> Iterator[None]:
    if not err.is_terminal:
        yield
        return
    with err.status("Waiting for you to sign in …"):
        yield


def _take_back(signed_in: kept.Kept | None) -> bool:
    """Tell the issuer that a sign-in is over; whether there was something to tell, and somebody to be told."""
    if signed_in is None or signed_in.refresh_token is None or signed_in.revocation_endpoint is None:
        return False
    openid.revoke(signed_in.revocation_endpoint, signed_in.client_id, signed_in.refresh_token)
    return True


def _called(signed_in: kept.Kept) -> str:
    return f"{signed_in.name} ({signed_in.person})" if signed_in.name else signed_in.person


def _view(signed_in: kept.Kept) -> dict[str, Any]:
    told = {"api", "issuer", "issuer_key", "subject", "name", "signed_in_at", "expires_at"}
    return {"by": "login", **signed_in.model_dump(mode="json", include=told)}


def _view_of(api: str, token: str) -> dict[str, Any]:
    """What a token says of itself; only the API proves it."""
    from joserfc.errors import JoseError
    from joserfc.jws import extract_compact

    try:
        claims = json.loads(extract_compact(token.encode()).payload)
        expires_at = datetime.fromtimestamp(claims["exp"], UTC).isoformat()
        issuer, subject, name = claims["iss"], claims["sub"], claims.get("name", "")
    except (JoseError, ValueError, TypeError, KeyError, OverflowError, OSError):
        raise Failure("the token does not say whose it is") from None
    return {
        "by": "token",
        "api": api,
        "issuer": issuer,
        "subject": subject,
        "name": name,
        "expires_at": expires_at,
    }
