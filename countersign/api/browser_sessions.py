"""Browser sessions: begun at a provider, kept by us, ended by whoever may (ADR 0017)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
import secrets
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx
import structlog

from countersign.api.accesses import Accesses
from countersign.api.cookies import Cookies, csrf_token
from countersign.api.errors import Problem
from countersign.api.identity import Identity, Proof, Trusted, Verifier
from countersign.api.openid import LOGOUT_TYPES, Provider, ProviderRefused, Tokens, proof_key, said_error
from countersign.runtime.payload_keys import KeyRing
from countersign.runtime.sealing import Seal, SealBroken, SealKeyUnknown
from countersign.runtime.settings import Settings
from countersign.store import browser_sessions as store
from countersign.store.browser_sessions import Kept, Opened
from countersign.store.session import Database

log = structlog.get_logger(__name__)

CALLBACK: Final = "/v1/session/callback"

SIGN_IN_SECONDS: Final = 600
"""For how long a sign-in that was begun can be brought to its end."""

REFRESH: Final = timedelta(seconds=60)
"""For how long one process asks an issuer anew before another may; far longer than it takes, since a refresh token that
comes twice ends the sign-in."""

_PATIENCE, _LOOK_AGAIN = 15.0, 0.1
"""Seconds that others wait for it in all, and between two looks."""


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """A session that a request is in."""

    digest: str
    identity: Identity
    csrf: str = field(repr=False)
    expires_at: datetime
    idle_until: datetime


@dataclass(frozen=True, slots=True)
class _Begun:
    """A sign-in between its two halves, as the browser keeps it, sealed."""

    issuer: str
    state: str
    nonce: str
    verifier: str
    return_to: str
    until: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a provider sends a browser back with (RFC 6749, 4.1.2; RFC 9207)."""

    state: str
    issuer: str | None
    code: str | None = field(repr=False)
    error: str | None


class BrowserSessions:
    """All that browsers are signed in by. Without a ``public_url`` there is nothing to sign in by."""

    def __init__(
        self,
        settings: Settings,
        ring: KeyRing,
        issuers: dict[str, Trusted],
        verifier: Verifier,
        database: Database,
        accesses: Accesses,
        http: httpx.AsyncClient,
    ) -> None:
        origin, clients = settings.public_url, settings.web_clients if settings.public_url else {}
        self.cookies = Cookies(origin) if origin else None
        self._origin = origin or ""
        self._verifier, self._database, self._accesses = verifier, database, accesses
        self._idle = timedelta(minutes=settings.session_idle_minutes)
        self._longest = timedelta(hours=settings.session_hours)
        self._tokens, self._sign_ins = Seal(ring, "session tokens"), Seal(ring, "sign-ins")
        self._providers = {
            url: Provider(issuers[url], client, f"{self._origin}{CALLBACK}", verifier, http)
            for url, client in clients.items()
        }
        self._refreshing: dict[str, asyncio.Task[Kept | None]] = {}

    # ---- signing in

    async def begin(self, issuer: str, return_to: str) -> tuple[str, str]:
        """Where a browser signs in, by the key of an issuer, and what it keeps meanwhile.

        Raises:
            Problem: ``not_found``, where nobody signs in by it; ``unavailable``.
        """
        provider = next((one for one in self._providers.values() if one.issuer.key == issuer), None)
        if provider is None:
            raise Problem("not_found", "nobody signs in with a browser by that issuer here")
        verifier, challenge = proof_key()
        state, nonce = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        url = await provider.authorization_url(state=state, nonce=nonce, challenge=challenge)
        begun = _Begun(provider.issuer.url, state, nonce, verifier, return_to, time.time() + SIGN_IN_SECONDS)
        sealed = self._sign_ins.close(json.dumps(asdict(begun)).encode())
        return url, base64.urlsafe_b64encode(sealed).decode()

    async def complete(self, answer: Answer, kept: str | None, before: str | None) -> tuple[str, str]:
        """The secret of a new session, and where its browser goes.

        Args:
            kept: what the browser has kept of the sign-in.
            before: the secret of the session that the browser is in, which ends.

        Raises:
            Problem: ``invalid``, when the answer is not to what this browser began; ``unauthenticated``, when the
                provider does not vouch for anybody; ``unavailable``.
        """
        begun = self._begun(kept)
        provider = self._providers.get(begun.issuer) if begun else None
        if begun is None or provider is None or not _same(answer.state, begun.state):
            raise _begin_again("this browser began no such sign-in, or too long ago")
        # One of two providers could otherwise have an answer of the other's brought to it (RFC 9207, 1).
        if answer.issuer is None and await self._has_to_name_itself(provider):
            raise _begin_again("the answer does not say which issuer it is of")
        if answer.issuer is not None and not _same(answer.issuer, begun.issuer):
            raise _begin_again("the answer is not of the issuer that was asked")
        until = datetime.fromtimestamp(begun.until, UTC)
        if not await store.use_once(self._database, _digest(f"sign-in {begun.state}"), until):
            raise _begin_again("this sign-in is over")
        if answer.error is not None or not answer.code:
            raise _not_signed_in(said_error(answer.error or "no_code"))
        secret = await self._open(provider, begun, answer.code)
        if before is not None and (old := await store.find(self._database, _digest(before))) is not None:
            await self._end(old, "replaced")
        return secret, f"{self._origin}{begun.return_to}"

    async def _has_to_name_itself(self, provider: Provider) -> bool:
        return len(self._providers) > 1 or await provider.names_itself()

    def _begun(self, kept: str | None) -> _Begun | None:
        try:
            sealed = base64.b64decode((kept or "").encode("ascii"), altchars=b"-_", validate=True)
            begun = _Begun(**json.loads(self._sign_ins.open(sealed)))
        except (SealBroken, ValueError, binascii.Error):
            return None
        return begun if time.time() < begun.until else None

    async def _open(self, provider: Provider, begun: _Begun, code: str) -> str:
        try:
            tokens = await provider.redeem(code, begun.verifier)
        except ProviderRefused as refused:
            raise _not_signed_in(refused.error) from refused
        if tokens.id is None:
            raise _not_signed_in("no_id_token")
        subject, sid = await provider.read_id_token(tokens.id, begun.nonce)
        proof = await self._proof(provider, subject, tokens)
        secret = secrets.token_urlsafe(32)
        digest = _digest(secret)
        opened = Opened(
            digest=digest,
            issuer=provider.issuer.url,
            subject=subject,
            sid=sid,
            person=proof.identity.person,
            identity=_said(proof.identity),
            sealed=self._sealed(digest, tokens.id, tokens.refresh),
            access_until=proof.until,
            # What cannot be refreshed is over when it has run out.
            expires_at=proof.until if tokens.refresh is None else None,
        )
        latest = datetime.now(UTC) + self._longest
        await self._accesses.with_browser(proof, digest, min(latest, opened.expires_at or latest))
        over = await store.keep(self._database, opened, idle=self._idle, longest=self._longest)
        for person in over:
            log.info("session_ended", person=person, why="over")
        log.info("session_opened", person=opened.person, issuer=opened.issuer)
        return secret

    async def _proof(self, provider: Provider, subject: str, tokens: Tokens) -> Proof:
        """What the access token proves, when it is of the same person as the rest."""
        proof = await self._verifier.prove(tokens.access)
        if proof.issuer != provider.issuer or proof.subject != subject:
            raise Problem("unauthenticated", "the issuer's tokens are of two people")
        return proof

    # ---- being signed in

    async def find(self, secret: str) -> BrowserSession | None:
        """The session that a browser proves by its cookie; none when there is none, or no longer.

        Raises:
            Problem: ``unavailable``, when its issuer has to be asked and cannot be; the session stays.
        """
        kept = await self._good(_digest(secret))
        identity = None if kept is None else self._identity(kept)
        if kept is None or identity is None:
            return None
        idle_until = kept.idle_until
        if kept.at - kept.seen_at >= store.SEEN_EVERY:
            await store.touch(self._database, kept.digest, idle=self._idle)
            idle_until = kept.at + self._idle
        return BrowserSession(kept.digest, identity, csrf_token(secret), kept.expires_at, idle_until)

    async def goes_on(self, session: BrowserSession) -> bool:
        """Whether somebody who is still being answered is known to be signed in, as who they were; it is no use."""
        try:
            kept = await self._good(session.digest)
        except Problem:
            return False
        return kept is not None and self._identity(kept) == session.identity

    async def _good(self, digest: str) -> Kept | None:
        """A session that is not over, with an issuer's word that is still good."""
        kept = await store.find(self._database, digest)
        if kept is None:
            return None
        for until, why in ((kept.expires_at, "expired"), (kept.idle_until, "idle")):
            if kept.at >= until:
                await self._end(kept, why)
                return None
        if self._identity(kept) is None:
            await self._end(kept, "issuer_gone")
            return None
        return kept if kept.at < kept.access_until else await self._refreshed(digest)

    def _identity(self, kept: Kept) -> Identity | None:
        """Who it is; the role and the side are what the issuer stands for now, and nobody's if it does not any more."""
        provider = self._providers.get(kept.issuer)
        if provider is None or f"{provider.issuer.key}/{kept.subject}" != kept.person:
            return None
        said = kept.identity
        return Identity(
            person=kept.person,
            name=said["name"],
            contact=said["contact"],
            role=provider.issuer.role,
            directorate=provider.issuer.directorate,
            offices=tuple(said["offices"]),
        )

    # ---- asking the issuer anew

    async def _refreshed(self, digest: str) -> Kept | None:
        """The session with its issuer's word as it is now, asked for once however many wait for it."""
        task = self._refreshing.get(digest)
        if task is None:
            task = asyncio.create_task(self._refresh(digest))
            self._refreshing[digest] = task
            task.add_done_callback(lambda done: self._forget(digest, done))
        # Whoever gives up waiting leaves it to the others.
        return await asyncio.shield(task)

    def _forget(self, digest: str, done: asyncio.Task[Kept | None]) -> None:
        self._refreshing.pop(digest, None)
        if not done.cancelled():
            done.exception()  # those who waited have it; if nobody does any more, it is nobody's

    async def _refresh(self, digest: str) -> Kept | None:
        give_up = time.monotonic() + _PATIENCE
        while True:
            mine = await store.begin_refresh(self._database, digest, within=REFRESH)
            if mine is not None:
                return await self._ask_anew(mine)
            kept = await store.find(self._database, digest)
            if kept is None or kept.at < kept.access_until:
                return kept
            if time.monotonic() > give_up:
                raise Problem("unavailable", "the issuer is being asked for too long")
            await asyncio.sleep(_LOOK_AGAIN)

    async def _ask_anew(self, kept: Kept) -> Kept | None:
        provider = self._providers[kept.issuer]
        try:
            id_token, refresh = self._opened(kept)
        except SealKeyUnknown:
            # Another process may have the key. Whoever is signed in signs in again; nothing is thrown away.
            log.warning("session_key_unknown", person=kept.person)
            await store.give_up_refresh(self._database, kept.digest)
            return None
        except SealBroken:
            await self._end(kept, "altered")
            return None
        if refresh is None:
            await self._end(kept, "expired")
            return None
        try:
            tokens = await provider.refresh(refresh)
        except ProviderRefused:
            await self._end(kept, "refused")
            return None
        except Problem:
            await store.give_up_refresh(self._database, kept.digest)
            raise
        sealed = self._sealed(kept.digest, tokens.id or id_token, tokens.refresh or refresh)
        try:
            if tokens.id is not None and (await provider.read_id_token(tokens.id))[0] != kept.subject:
                raise Problem("unauthenticated", "the issuer's tokens are of two people")
            proof = await self._proof(provider, kept.subject, tokens)
        except Problem as problem:
            if problem.code == "unavailable":
                await store.give_up_refresh(self._database, kept.digest, sealed)
                raise
            await self._end(kept, "not_proven")
            return None
        said, until = _said(proof.identity), proof.until
        if not await store.refreshed(self._database, kept, identity=said, sealed=sealed, access_until=until):
            return None  # it was ended meanwhile
        return await store.find(self._database, kept.digest)

    # ---- signing out

    async def end(self, session: BrowserSession) -> str | None:
        """End a session as its person asks; where the browser signs out at the provider, too, if it can."""
        kept = await store.find(self._database, session.digest)
        if kept is None:
            return None
        await self._end(kept, "signed_out")
        try:
            id_token, _ = self._opened(kept)
        except SealBroken:
            id_token = None
        return await self._providers[kept.issuer].end_session_url(id_token, f"{self._origin}/")

    async def end_by_provider(self, logout_token: str) -> None:
        """End what a provider says has ended (OpenID Connect Back-Channel Logout 1.0).

        Raises:
            Problem: ``invalid``, when it is no such word, or came before; ``unavailable``.
        """
        try:
            signed = await self._verifier.read(logout_token, LOGOUT_TYPES)
            provider = self._providers.get(signed.issuer.url)
            if provider is None:
                raise Problem("unauthenticated", "nobody signs in with a browser by that issuer here")
            said = provider.signed_out(signed)
        except Problem as problem:
            if problem.code != "unauthenticated":
                raise
            raise Problem("invalid", problem.detail, status=400) from problem
        once = _digest(f"signed out {said.issuer} {said.jti!a}")
        ended = await store.end_those_of(
            self._database, said.issuer, sid=said.sid, subject=said.subject, once=once, until=said.until
        )
        if ended is None:
            raise Problem("invalid", "this logout token came before", status=400)
        for person in ended:
            log.info("session_ended", person=person, why="provider")

    async def _end(self, kept: Kept, why: str) -> None:
        if not await store.end(self._database, kept.digest):
            return
        log.info("session_ended", person=kept.person, why=why)
        provider = self._providers.get(kept.issuer)
        try:
            _, refresh = self._opened(kept)
        except SealBroken:
            return
        # A new session of the same browser hangs on the same sign-in there, which some providers end with the token.
        if provider is not None and refresh is not None and why not in ("replaced", "refused"):
            await provider.revoke(refresh)

    # ---- what is sealed

    def _sealed(self, digest: str, id_token: str | None, refresh: str | None) -> bytes:
        return self._tokens.close(json.dumps([id_token, refresh]).encode(), digest)

    def _opened(self, kept: Kept) -> tuple[str | None, str | None]:
        id_token, refresh = json.loads(self._tokens.open(kept.sealed, kept.digest))
        return id_token, refresh


def _said(identity: Identity) -> dict[str, Any]:
    return {"name": identity.name, "contact": identity.contact, "offices": list(identity.offices)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _same(one: str, other: str) -> bool:
    return secrets.compare_digest(one.encode(), other.encode())


def _begin_again(why: str) -> Problem:
    return Problem("invalid", f"{why}; begin it again", status=400)


def _not_signed_in(error: str) -> Problem:
    return Problem("unauthenticated", f"the provider did not sign anybody in: {error}")
