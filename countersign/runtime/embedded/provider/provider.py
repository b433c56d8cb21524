"""The providers of one home: their clients, who is signed in where, and the tokens that are given out."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Mapping
from functools import partial
from typing import Any, Final
from urllib.parse import unquote_plus

import httpx
import structlog
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from countersign.runtime.embedded.identity import LIFETIME, Identity, Issuer
from countersign.runtime.embedded.provider.authorization import read_scope
from countersign.runtime.embedded.provider.clients import (
    AUTHORIZATION_CODE,
    CLIENT_CREDENTIALS,
    DEVICE_CODE,
    REFRESH_TOKEN,
    Client,
    WebAddresses,
    registered,
)
from countersign.runtime.embedded.provider.refusals import Refused
from countersign.runtime.embedded.provider.sign_ins import Asked, Periods, SignIn, SignIns

log = structlog.get_logger(__name__)

GUESSES: Final = 10
"""Wrong passwords, and wrong codes of devices, that an issuer takes in a minute, from all together."""

_A_MINUTE: Final = parse(f"{GUESSES}/minute")
_PATIENCE: Final = 5.0
"""Seconds that a client has to take a logout token."""


class Provider:
    """All issuers of one home, served at ``base``."""

    def __init__(
        self,
        identity: Identity,
        base: str,
        web: WebAddresses | None = None,
        periods: Periods | None = None,
    ) -> None:
        identity.prepare()
        self.identity, self.base, self.periods = identity, base, periods or Periods()
        self.clients = registered(web or WebAddresses())
        self._guesses = MovingWindowRateLimiter(MemoryStorage())
        self._telling: set[asyncio.Task[None]] = set()
        self._sign_ins = {
            key: SignIns(identity.clock, self.periods, partial(self._ended, key)) for key in identity.issuers
        }

    def register(self, web: WebAddresses) -> None:
        """Say where the web client is from now on."""
        self.clients = registered(web)

    def sign_ins(self, issuer: Issuer) -> SignIns:
        """What an issuer keeps."""
        return self._sign_ins[issuer.key]

    def client(self, sent: Mapping[str, str], grant: str | None = None) -> Client:
        """The client that asks, which has no secret.

        Raises:
            Refused: there is none, or it may not ask for that.
        """
        found = self.clients.get(sent.get("client_id", ""))
        if found is None or "client_secret" in sent:
            raise Refused("invalid_client", "no client of that client_id is registered without a secret", 401)
        if grant is not None and grant not in found.grants:
            raise Refused("unauthorized_client", "this client may not ask for that")
        return found

    def recognise(self, issuer: Issuer, handle: str, password: str) -> bool:
        """Whether somebody is who they say.

        Raises:
            Refused: there were too many that were not.
        """
        return self._guessed(issuer, "password", self.identity.signs_in(issuer.key, handle, password))

    def guessed_device(self, issuer: Issuer, found: bool) -> bool:
        """Whether there is a device of a code that somebody typed.

        Raises:
            Refused: there were too many that there was none of (RFC 8628, 5.1).
        """
        return self._guessed(issuer, "code", found)

    def _guessed(self, issuer: Issuer, what: str, right: bool) -> bool:
        if not self._guesses.test(_A_MINUTE, issuer.key, what):
            raise Refused("temporarily_unavailable", "that was wrong too often; wait a minute", 429)
        if not right:
            self._guesses.hit(_A_MINUTE, issuer.key, what)
        return right

    # ---- tokens

    def token(self, issuer: Issuer, authorization: str, sent: Mapping[str, str]) -> dict[str, Any]:
        """The answer of the token endpoint (RFC 6749, section 5.1).

        Raises:
            Refused: as the grant's own standard says.
        """
        grant = sent.get("grant_type")
        if authorization or "client_secret" in sent or grant == CLIENT_CREDENTIALS:
            return self._by_secret(issuer, authorization, sent)
        if grant is None:
            raise Refused("invalid_request", "missing: grant_type")
        if grant not in (AUTHORIZATION_CODE, DEVICE_CODE, REFRESH_TOKEN):
            raise Refused("unsupported_grant_type", "there is no such grant here")
        client, kept = self.client(sent, grant), self.sign_ins(issuer)
        if grant == AUTHORIZATION_CODE:
            code, redirect_uri, verifier = _needed(sent, "code", "redirect_uri", "code_verifier")
            return self._tokens(issuer, kept.redeem(code, client, redirect_uri, verifier), first=True)
        if grant == DEVICE_CODE:
            (device_code,) = _needed(sent, "device_code")
            return self._tokens(issuer, kept.poll(device_code, client), first=True)
        (token,) = _needed(sent, "refresh_token")
        return self._tokens(issuer, kept.refresh(token, client), first=False)

    def _by_secret(self, issuer: Issuer, authorization: str, sent: Mapping[str, str]) -> dict[str, Any]:
        handle, secret = _credentials(authorization, sent)
        if not self.identity.accepts(issuer.key, handle, secret):
            raise Refused("invalid_client", "the client's secret is wrong", 401)
        if sent.get("grant_type") != CLIENT_CREDENTIALS:
            raise Refused("unsupported_grant_type", "a client with a secret asks for its own token only")
        return {
            "access_token": self.identity.token(handle),
            "token_type": "Bearer",
            "expires_in": LIFETIME,
        }

    def _tokens(self, issuer: Issuer, sign_in: SignIn, *, first: bool) -> dict[str, Any]:
        asked, scope = sign_in.asked, " ".join(sign_in.asked.scope)
        lifetime = min(self.periods.access, max(1, int(sign_in.until - self.identity.clock())))
        about: dict[str, str | int] = {"sid": sign_in.sid, "auth_time": sign_in.at}
        access = self.identity.token(
            sign_in.handle, lifetime=lifetime, client_id=asked.client.id, about=about | {"scope": scope}
        )
        # That of a refreshed sign-in has no nonce (OpenID Connect Core 1.0, 12.2).
        nonce: dict[str, str | int] = {"nonce": asked.nonce} if first and asked.nonce is not None else {}
        answer: dict[str, Any] = {
            "access_token": access,
            "token_type": "Bearer",
            "expires_in": lifetime,
            "scope": scope,
            "id_token": self.identity.id_token(sign_in.handle, asked.client.id, about | nonce),
        }
        if "offline_access" in asked.scope:
            answer["refresh_token"] = self.sign_ins(issuer).refresh_token(sign_in)
        if first:
            told = {"issuer": issuer.key, "person": sign_in.handle, "client": asked.client.id}
            log.info("signed_in", **told)
        return answer

    def authorize_device(self, issuer: Issuer, sent: Mapping[str, str]) -> dict[str, Any]:
        """The answer of the device authorization endpoint (RFC 8628, section 3.2).

        Raises:
            Refused: the client may not, or what it asks for is not there.
        """
        client = self.client(sent, DEVICE_CODE)
        device = self.sign_ins(issuer).add_device(Asked(client, read_scope(sent)))
        page = f"{self.base}/{issuer.key}/device"
        return {
            "device_code": device.device_code,
            "user_code": device.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={device.user_code}",
            "expires_in": self.periods.device,
            "interval": device.interval,
        }

    def revoke(self, issuer: Issuer, sent: Mapping[str, str]) -> None:
        """Take a token back (RFC 7009): the sign-in of a refresh token is ended.

        An access token is good until it runs out, since the API asks nobody about it.

        Raises:
            Refused: it is an access token, or another client's.
        """
        client = self.client(sent)
        (token,) = _needed(sent, "token")
        if self.identity.has_signed(issuer.key, token):
            raise Refused("unsupported_token_type", "only refresh tokens can be taken back")
        ended = self.sign_ins(issuer).revoke(token, client)
        if ended is not None:
            log.info("signed_out", issuer=issuer.key, person=ended.handle, client=client.id, by="client")

    # ---- signing out

    async def sign_out(self, handle: str) -> int:
        """End every sign-in of somebody's and tell the clients that want to know; how many there were.

        Raises:
            EmbeddedError: nobody has that handle.
        """
        kept = self.sign_ins(self.identity.issuer_of(handle))
        ended = [kept.end(one.sid) for one in kept.of(handle)]
        await self.told()
        return len(ended)

    async def end_session(self, issuer: Issuer, sent: Mapping[str, str]) -> Client:
        """End the sign-in that an ID token is about, run out or not, and tell its client; which one that is
        (OpenID Connect RP-Initiated Logout 1.0, section 2).

        Raises:
            Refused: it is no ID token of this issuer, or another client's. There is no session of the browser's here,
                only sign-ins, so that without it nobody knows which one is meant.
        """
        claims = self.identity.hinted(issuer.key, sent.get("id_token_hint", ""))
        if claims is None:
            raise Refused("invalid_request", "the id_token_hint is missing, or is no ID token of this issuer")
        client = self.clients.get(str(claims.get("aud")))
        if client is None or sent.get("client_id", client.id) != client.id:
            raise Refused("invalid_request", "the id_token_hint was given to another client")
        self.sign_ins(issuer).end(str(claims.get("sid")))
        await self.told()
        return client

    async def told(self) -> None:
        """Wait until all clients know of the sign-ins that have ended so far."""
        while self._telling:
            await asyncio.wait(self._telling)

    def _ended(self, issuer: str, sign_in: SignIn) -> None:
        client = sign_in.asked.client
        log.info("signed_out", issuer=issuer, person=sign_in.handle, client=client.id, by="provider")
        # Where it is now: it may have been told of anew since somebody signed in.
        uri = self.clients[client.id].web.backchannel_logout_uri
        if uri is not None:
            telling = asyncio.ensure_future(self._tell(uri, sign_in))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _tell(self, uri: str, sign_in: SignIn) -> None:
        """OpenID Connect Back-Channel Logout 1.0, section 2.5. One that is not told is refused the next refresh."""
        token = self.identity.logout_token(sign_in.handle, sign_in.asked.client.id, sign_in.sid)
        async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as http:
            try:
                (await http.post(uri, data={"logout_token": token})).raise_for_status()
            except httpx.HTTPError as problem:
                log.warning("logout_not_told", uri=uri, error=type(problem).__name__)


def _needed(sent: Mapping[str, str], *names: str) -> list[str]:
    missing = [name for name in names if name not in sent]
    if missing:
        raise Refused("invalid_request", f"missing: {', '.join(missing)}")
    return [sent[name] for name in names]


def _credentials(authorization: str, sent: Mapping[str, str]) -> tuple[str, str]:
    """The client's name and secret, from the header or the form (RFC 6749, 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return unquote_plus(name), unquote_plus(secret)
    return sent.get("client_id", ""), sent.get("client_secret", "")
