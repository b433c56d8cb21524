"""Signing in by an OpenID provider: what is asked of it, as which client, and what its answers say.

OpenID Connect Core 1.0, section 3.1 (authorization code), with PKCE (RFC 7636) and the issuer in the answer (RFC 9207).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote_plus, urlsplit

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError

from countersign.api.errors import Problem
from countersign.api.identity import LEEWAY, Signed, Trusted, Verifier, subject_of
from countersign.runtime.settings import WebClient
from countersign.runtime.urls import is_confidential

log = structlog.get_logger(__name__)

LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
"""What a logout token says has happened (OpenID Connect Back-Channel Logout 1.0, 2.4)."""

LOGOUT_LIFE: Final = 86_400
"""Seconds for which a logout token may be good; as long it has to be known that it came."""

_ASKED: Final = 10.0
"""Seconds within which a provider has answered whole."""

_BEST_EFFORT: Final = 3.0
"""Seconds for what somebody waits for who has no use of it."""

_ID_TYPES: Final = frozenset({"jwt"})
LOGOUT_TYPES: Final = frozenset({"logout+jwt", "application/logout+jwt", "jwt"})
"""Some providers still give a logout token the general type; what it has to say, and must not, tells it from others."""

_SID: Final = re.compile(r"[\x21-\x7e]{1,200}")
_ERROR: Final = re.compile(r"[a-z_]{1,60}")

_OURS: Final = frozenset({"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"})
_PASSING: Final = frozenset({"temporarily_unavailable", "server_error", "slow_down"})
"""What is no word on the person: how this client is set up there, or how the provider is."""


class ProviderRefused(Exception):
    """A provider does not, or no longer, vouch for somebody; ``error`` is its code, in letters and underscores."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a provider gave for a code or a refresh token."""

    access: str = field(repr=False)
    id: str | None = field(repr=False)
    refresh: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignedOut:
    """What a logout token says: which sessions end, and what tells it from others, until when."""

    issuer: str
    sid: str | None
    subject: str | None
    jti: str
    until: datetime


def proof_key() -> tuple[str, str]:
    """A verifier and its challenge (RFC 7636, 4.1 and 4.2, ``S256``)."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    return verifier, base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def said_error(given: str) -> str:
    """An error code as a provider said it, when it is one (RFC 6749, 4.1.2.1 and 5.2)."""
    return given if _ERROR.fullmatch(given) else "error"


class Provider:
    """One issuer, as a client of it."""

    def __init__(
        self, issuer: Trusted, client: WebClient, callback: str, verifier: Verifier, http: httpx.AsyncClient
    ) -> None:
        self.issuer = issuer
        self._client, self._callback = client, callback
        self._verifier, self._http = verifier, http
        self._id_claims = self._registry(sub={"essential": True})
        self._logout_claims = self._registry(jti={"essential": True})

    async def authorization_url(self, *, state: str, nonce: str, challenge: str) -> str:
        """Where a browser goes to sign in.

        Raises:
            Problem: ``unavailable``.
        """
        found = await self._verifier.configuration(self.issuer)
        asked = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._callback,
            "scope": _scope(found),
            "state": state,
            "nonce": nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return str(httpx.URL(self._page(found, "authorization_endpoint")).copy_merge_params(asked))

    async def names_itself(self) -> bool:
        """Whether its answers say whose they are (RFC 9207, 3).

        Raises:
            Problem: ``unavailable``.
        """
        found = await self._verifier.configuration(self.issuer)
        return found.get("authorization_response_iss_parameter_supported") is True

    async def redeem(self, code: str, verifier: str) -> Tokens:
        """The tokens for a code.

        Raises:
            ProviderRefused: the code is not, or no longer, good.
            Problem: ``unavailable``.
        """
        return await self._tokens(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": self._callback,
                "code_verifier": verifier,
            }
        )

    async def refresh(self, token: str) -> Tokens:
        """New tokens for a refresh token; the old one may be good no longer.

        Raises:
            ProviderRefused: it no longer vouches for that person.
            Problem: ``unavailable``.
        """
        return await self._tokens({"grant_type": "refresh_token", "refresh_token": token})

    async def revoke(self, token: str) -> None:
        """Have a refresh token revoked (RFC 7009), if that can be had soon."""
        try:
            async with asyncio.timeout(_BEST_EFFORT):
                found = await self._verifier.configuration(self.issuer)
                endpoint = self._endpoint(found, "revocation_endpoint")
                told = {"token": token, "token_type_hint": "refresh_token"}
                (await self._post(endpoint, told)).raise_for_status()
        except (httpx.HTTPError, Problem, TimeoutError) as error:
            log.warning("session_not_revoked", issuer=self.issuer.url, error=type(error).__name__)

    async def end_session_url(self, id_token: str | None, back_to: str) -> str | None:
        """Where a browser signs out there, too (OpenID Connect RP-Initiated Logout 1.0); none where it cannot."""
        try:
            found = await self._verifier.configuration(self.issuer)
            endpoint = self._page(found, "end_session_endpoint")
        except Problem:
            return None
        told = {
            "client_id": self._client.client_id,
            "post_logout_redirect_uri": back_to,
            "state": secrets.token_urlsafe(16),
        }
        if id_token is not None:
            told["id_token_hint"] = id_token
        return str(httpx.URL(endpoint).copy_merge_params(told))

    async def read_id_token(self, token: str, nonce: str | None = None) -> tuple[str, str | None]:
        """Whom an ID token is about, and their ``sid``, if it names one (OpenID Connect Core 1.0, 3.1.3.7 and 12.2).

        Args:
            nonce: what it has to answer; nothing, when it comes with a refresh.

        Raises:
            Problem: ``unauthenticated`` or ``unavailable``.
        """
        signed = await self._verifier.read(token, _ID_TYPES)
        claims = self._checked(signed, self._id_claims)
        audience, party = claims["aud"], claims.get("azp")
        alone = isinstance(audience, str) or len(audience) == 1
        if party != self._client.client_id and not (party is None and alone):
            raise _not_for_us("it was given to another client")
        if nonce is not None and claims.get("nonce") != nonce:
            raise _not_for_us("it does not answer this sign-in")
        return subject_of(claims), _sid(claims)

    def signed_out(self, token: Signed) -> SignedOut:
        """What a logout token of :data:`LOGOUT_TYPES` says (OpenID Connect Back-Channel Logout 1.0, 2.6).

        Raises:
            Problem: ``unauthenticated``.
        """
        claims = self._checked(token, self._logout_claims)
        events = claims.get("events")
        if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
            raise _not_for_us("it does not say that somebody signed out")
        if "nonce" in claims:
            raise _not_for_us("it is of another kind")
        if claims["exp"] > datetime.now(UTC).timestamp() + LOGOUT_LIFE:
            raise _not_for_us("it is good for too long")
        sid = _sid(claims)
        subject = subject_of(claims) if "sub" in claims or sid is None else None
        until = datetime.fromtimestamp(claims["exp"] + LEEWAY, UTC)
        return SignedOut(self.issuer.url, sid, subject, claims["jti"], until)

    def _checked(self, signed: Signed, registry: jwt.JWTClaimsRegistry) -> dict[str, Any]:
        if signed.issuer != self.issuer:
            raise _not_for_us("it is of another issuer")
        try:
            registry.validate(signed.claims)
        except (JoseError, ValueError, TypeError) as error:
            raise _not_for_us(type(error).__name__) from error
        return signed.claims

    def _registry(self, **more: Any) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True},
            aud={"essential": True, "value": self._client.client_id},
            exp={"essential": True},
            iat={"essential": True},
            **more,
        )

    async def _tokens(self, asked: dict[str, str]) -> Tokens:
        found = await self._verifier.configuration(self.issuer)
        endpoint = self._endpoint(found, "token_endpoint")
        try:
            async with asyncio.timeout(_ASKED):
                answer = await self._post(endpoint, asked)
        except (httpx.HTTPError, TimeoutError) as error:
            log.warning("provider_away", issuer=self.issuer.url, error=type(error).__name__)
            raise self._away() from error
        said = _object(answer)
        if answer.is_success:
            return self._given(said)
        why = said_error(str(said.get("error", "")))
        if answer.status_code in (400, 401, 403) and why not in _OURS | _PASSING | {"error"}:
            raise ProviderRefused(why)
        log.warning("provider_fails", issuer=self.issuer.url, status=answer.status_code, error=why)
        raise self._away()

    async def _post(self, endpoint: str, form: dict[str, str]) -> httpx.Response:
        """A form, from this client: by its secret, or as a public one by its id alone (RFC 6749, 2.3.1)."""
        secret = self._client.client_secret
        if secret is None:
            return await self._http.post(endpoint, data={**form, "client_id": self._client.client_id})
        name, word = quote_plus(self._client.client_id), quote_plus(secret.get_secret_value())
        return await self._http.post(endpoint, data=form, auth=(name, word))

    def _given(self, said: dict[str, Any]) -> Tokens:
        access, identity, refresh = (
            one if isinstance(one := said.get(f"{kind}_token"), str) and one and one.isascii() else None
            for kind in ("access", "id", "refresh")
        )
        if access is None or str(said.get("token_type")).lower() != "bearer":
            log.warning("provider_fails", issuer=self.issuer.url, error="no bearer token")
            raise self._away()
        return Tokens(access, identity, refresh)

    def _endpoint(self, found: dict[str, Any], name: str) -> str:
        """An endpoint that we ask: over TLS, unless the issuer itself is reached without."""
        url = found.get(name)
        schemes = {"https", urlsplit(self.issuer.base).scheme}
        if not isinstance(url, str) or urlsplit(url).scheme not in schemes or not urlsplit(url).hostname:
            raise Problem("unavailable", f"{self.issuer.url} names no {name}")
        return url

    def _page(self, found: dict[str, Any], name: str) -> str:
        """An endpoint that browsers are sent to."""
        url = found.get(name)
        if not isinstance(url, str) or not is_confidential(url):
            raise Problem("unavailable", f"{self.issuer.url} names no {name}")
        return url

    def _away(self) -> Problem:
        return Problem("unavailable", f"{self.issuer.url} does not answer as it should; try again")


def _scope(found: dict[str, Any]) -> str:
    """What is asked for: to stay signed in, and who it is, as far as the provider knows the words."""
    known = found.get("scopes_supported")
    if not isinstance(known, list):
        return "openid offline_access"
    return " ".join(["openid", *(one for one in ("offline_access", "profile", "email") if one in known)])


def _sid(claims: dict[str, Any]) -> str | None:
    sid = claims.get("sid")
    if sid is not None and (not isinstance(sid, str) or not _SID.fullmatch(sid)):
        raise _not_for_us("its sid is none")
    return sid


def _object(answer: httpx.Response) -> dict[str, Any]:
    try:
        said = answer.json()
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _not_for_us(why: str) -> Problem:
    return Problem("unauthenticated", f"the issuer's word does not count here: {why}")
