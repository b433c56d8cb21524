"""The web application of the local providers: what clients ask, and the pages for people."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from countersign.runtime.embedded.identity import ALGORITHM
from countersign.runtime.embedded.provider import browser, pages
from countersign.runtime.embedded.provider.authorization import SCOPES
from countersign.runtime.embedded.provider.clients import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    REFRESH_TOKEN,
)
from countersign.runtime.embedded.provider.forms import read_form
from countersign.runtime.embedded.provider.places import At, Providers
from countersign.runtime.embedded.provider.provider import Provider
from countersign.runtime.embedded.provider.refusals import Refused, SentBack

_NOT_KEPT: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_BY_SECRET: Final = ["client_secret_basic", "client_secret_post"]


def create_app(provider: Provider) -> FastAPI:
    """The application of a provider."""
    app = FastAPI(
        title="Countersign: local identity providers", docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.provider = provider
    app.include_router(browser.router)
    _add_refusals(app)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/{issuer}/.well-known/openid-configuration")
    async def configuration(issuer: At, provider: Providers) -> dict[str, Any]:
        return describe(issuer.url, f"{provider.base}/{issuer.key}")

    @app.get("/{issuer}/jwks.json")
    async def keys(issuer: At, provider: Providers) -> dict[str, Any]:
        return provider.identity.jwks(issuer.key)

    @app.post("/{issuer}/token")
    async def token(issuer: At, provider: Providers, request: Request) -> Response:
        sent, authorization = await read_form(request), request.headers.get("authorization", "")
        return JSONResponse(provider.token(issuer, authorization, sent), headers=_NOT_KEPT)

    @app.post("/{issuer}/device_authorization")
    async def device_authorization(issuer: At, provider: Providers, request: Request) -> Response:
        return JSONResponse(provider.authorize_device(issuer, await read_form(request)), headers=_NOT_KEPT)

    @app.post("/{issuer}/revoke")
    async def revoke(issuer: At, provider: Providers, request: Request) -> Response:
        provider.revoke(issuer, await read_form(request))
        return Response(headers=_NOT_KEPT)

    return app


def describe(issuer: str, at: str) -> dict[str, Any]:
    """What an issuer offers where it is served (OpenID Connect Discovery 1.0, section 3; RFC 8414).

    ``issuer`` is its URL in tokens, which the agreement names, ``at`` that of its endpoints.
    """
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{at}/authorize",
        "token_endpoint": f"{at}/token",
        "device_authorization_endpoint": f"{at}/device_authorization",
        "revocation_endpoint": f"{at}/revoke",
        "end_session_endpoint": f"{at}/end_session",
        "jwks_uri": f"{at}/jwks.json",
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": [AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE, CLIENT_CREDENTIALS],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "token_endpoint_auth_methods_supported": ["none", *_BY_SECRET],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "claims_supported": [
            *("iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "sid"),
            *("name", "email", "email_verified", "offices"),
        ],
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
        "authorization_response_iss_parameter_supported": True,
        "backchannel_logout_supported": True,
        "backchannel_logout_session_supported": True,
    }


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(SentBack)
    async def _sent_back(request: Request, refused: SentBack) -> Response:
        issuer = app.state.provider.identity.issuers[request.path_params["issuer"]]
        told = {"error": refused.error, "error_description": refused.description, "iss": issuer.url}
        return browser.send_back(refused.redirect_uri, told, refused.state)

    @app.exception_handler(Refused)
    async def _refused(request: Request, refused: Refused) -> Response:
        headers = dict(_NOT_KEPT)
        if refused.status == 429:
            headers["Retry-After"] = "60"
        if getattr(request.state, "for_people", False):
            text = f"{refused.description[:1].upper()}{refused.description[1:]}."
            shown = pages.said("This cannot be done", text, status=refused.status)
            shown.headers.update(headers)
            return shown
        if refused.error == "invalid_client" and "authorization" in request.headers:
            headers["WWW-Authenticate"] = 'Basic realm="countersign"'  # RFC 6749, 5.2
        said = {"error": refused.error, "error_description": refused.description}
        return JSONResponse(said, refused.status, headers)
