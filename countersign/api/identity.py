"""Who is calling: bearer tokens (RFC 6750, RFC 9068) held against the keys of their own issuer."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

from countersign.api.errors import Problem
from countersign.api.privileges import Role
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.matter import Caller
from countersign.domain.proposal import contact_key
from countersign.store.roles import Reader

log = structlog.get_logger(__name__)

ALGORITHMS: Final = ["ES256", "ES384", "RS256", "PS256", "EdDSA", "Ed25519"]
"""Asymmetric ones only: whoever checks a token cannot make one."""

LEEWAY: Final = 30
"""Seconds that two clocks may differ."""

KEYS_GOOD_FOR: Final = 300.0
"""Seconds after which an issuer's keys are fetched again."""

REFETCH_AFTER: Final = 10.0
"""Seconds between two fetches for a key id that is not known: a forged one must not make us ask for ever."""

REMEMBERED: Final = 4096
"""Tokens whose signature need not be checked again under the same keys."""

ACCESS: Final = frozenset({"at+jwt", "application/at+jwt", "jwt"})
"""Types of access tokens (RFC 9068, 2.1); many issuers know only the general one."""

LONGEST: Final = 16_384
"""Characters of a token."""

_FAR: Final = datetime(2100, 1, 1, tzinfo=UTC).timestamp()

_SUBJECT = re.compile(r"[\x21-\x7e]{1,200}")
_OFFICE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Trusted:
    """An issuer that the agreement names, and what its word makes of a person."""

    key: str
    url: str
    base: str
    role: Role
    directorate: str | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody with a valid token. ``directorate`` is what their issuer is bound to, never a claim."""

    person: str
    name: str
    contact: str | None
    role: Role
    directorate: str | None
    offices: tuple[str, ...]

    @property
    def caller(self) -> Caller:
        """The identity as messages carry it: only staff act for a directorate."""
        return Caller(
            person=self.person,
            name=self.name,
            contact=self.contact,
            directorate=self.directorate if self.role == "staff" else None,
            offices=self.offices if self.role == "staff" else (),
        )

    @property
    def reader(self) -> Reader:
        """The identity as the database is told who reads."""
        return Reader(self.role, self.person, self.directorate, self.contact)

    @property
    def part_of(self) -> tuple[str, str | None] | None:
        """Applicants see what they take part in; the others see the programme (operators never get that far)."""
        return (self.person, self.contact) if self.role == "applicant" else None


@dataclass(frozen=True, slots=True)
class Proof:
    """What an access token proves, and until when; ``digest`` tells it from others and is of no other use."""

    issuer: Trusted
    subject: str
    identity: Identity
    until: datetime
    digest: str


def trusted(
    agreement: ProgrammeAgreement, served_at: dict[str, str], operators: str | None = None
) -> dict[str, Trusted]:
    """The issuers of an agreement, and that of the deployment's operators, by their URL.

    Raises:
        ValueError: the operators' issuer cannot be told from one of the agreement's: its people would be operators.
    """
    found = [Trusted("applicants", agreement.applicants.issuer, "", "applicant", None)]
    for one in agreement.directorate:
        found.append(Trusted(one.id, one.issuer, "", "staff", one.id))
        found.append(Trusted(f"audit-{one.id}", one.audit_issuer, "", "auditor", one.id))
    if operators is not None:
        if any(one.url == operators or one.key == "operators" for one in found):
            raise ValueError(f"{operators} cannot be told from an issuer that the agreement names")
        found.append(Trusted("operators", operators, "", "operator", None))
    return {
        one.url: Trusted(one.key, one.url, served_at.get(one.url, one.url), one.role, one.directorate)
        for one in found
    }


@dataclass(slots=True)
class _Keys:
    keys: KeySet | None
    tried: float
    configuration: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Proven:
    """A token whose signature was good under ``keys``; its times are looked at anew whenever it comes."""

    kid: str | None
    keys: KeySet
    claims: dict[str, Any]
    proof: Proof


@dataclass(frozen=True, slots=True)
class Signed:
    """What an issuer signed, and under which keys; what it says is not looked at yet."""

    issuer: Trusted
    claims: dict[str, Any]
    kid: str | None
    keys: KeySet


class Verifier:
    """Checks tokens; keeps each issuer's keys for a while and fetches new ones when they rotate.

    A token's signature is checked once under the keys as they were fetched last: the same token comes with every
    request of a person. It is remembered by its hash, so that none can be read here.
    """

    def __init__(self, issuers: dict[str, Trusted], audience: str, http: httpx.AsyncClient) -> None:
        self._issuers = issuers
        self._http = http
        self._keys: dict[str, _Keys] = {}
        self._locks = {url: asyncio.Lock() for url in issuers}
        self._proven: dict[bytes, _Proven] = {}
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY,
            iss={"essential": True},
            sub={"essential": True},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    async def identify(self, token: str) -> Identity:
        """The identity that an access token proves.

        Raises:
            Problem: ``unauthenticated``, when it proves none; ``unavailable``, when its issuer's keys can't be had.
        """
        return (await self.prove(token)).identity

    async def prove(self, token: str) -> Proof:
        """What an access token proves.

        Raises:
            Problem: as with :meth:`identify`.
        """
        if len(token) > LONGEST:
            raise Problem("unauthenticated", "the token is too long")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._proven.get(digest)
        if known is None or await self._keys_of(known.proof.issuer, known.kid) is not known.keys:
            known = await self._prove(token)
            if len(self._proven) >= REMEMBERED:
                self._proven.pop(next(iter(self._proven)))
            self._proven[digest] = known
        try:
            self._claims.validate(known.claims)
        except (JoseError, ValueError, TypeError) as error:
            self._proven.pop(digest, None)
            raise _not_proven(f"the token is not valid: {type(error).__name__}") from error
        return known.proof

    async def read(self, token: str, types: frozenset[str]) -> Signed:
        """What a trusted issuer signed, of one of these types (in lower case; a token without one is a ``jwt``).

        Only the signature and the issuer are checked, the claims are for the caller to judge.

        Raises:
            Problem: ``unauthenticated``, when no trusted issuer signed it; ``unavailable``, when its keys can't be had.
        """
        issuer, header = self._claimed_issuer(token, types)
        kid = header.get("kid")
        try:
            keys = await self._keys_of(issuer, kid)
            claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError) as error:
            raise _not_proven(f"the token is not valid: {type(error).__name__}") from error
        if claims.get("iss") != issuer.url:
            raise _not_proven("the token does not name its issuer")
        return Signed(issuer, claims, kid, keys)

    async def configuration(self, issuer: Trusted) -> dict[str, Any]:
        """What an issuer says of itself (OpenID Connect Discovery 1.0), as it was fetched with its keys.

        Raises:
            Problem: ``unavailable``.
        """
        await self._keys_of(issuer, None)
        return self._keys[issuer.url].configuration

    async def _prove(self, token: str) -> _Proven:
        signed = await self.read(token, ACCESS)
        issuer, claims = signed.issuer, signed.claims
        try:
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise _not_proven(f"the token is not valid: {type(error).__name__}") from error
        until = datetime.fromtimestamp(min(claims["exp"], _FAR), UTC)
        subject = subject_of(claims)
        # Of what was signed alone: some signatures can be written in more than one way.
        digest = hashlib.sha256(token.rpartition(".")[0].encode()).hexdigest()
        proof = Proof(issuer, subject, _identity(issuer, subject, claims), until, digest)
        return _Proven(signed.kid, signed.keys, claims, proof)

    def _claimed_issuer(self, token: str, types: frozenset[str]) -> tuple[Trusted, dict[str, Any]]:
        """Which issuer a token claims to be of, unproven: it only tells whose keys to hold it against."""
        try:
            unverified = extract_compact(token.encode())
            claims = json.loads(unverified.payload)
            header = dict(unverified.headers())
        except (JoseError, ValueError, TypeError, RecursionError) as error:
            raise _not_proven("there is no signed token") from error
        if str(header.get("typ") or "JWT").lower() not in types:
            raise _not_proven("the token is of another type")
        issuer = self._issuers.get(str(claims.get("iss"))) if isinstance(claims, dict) else None
        if issuer is None:
            raise _not_proven("the token is of no issuer that is trusted here")
        return issuer, header

    async def _keys_of(self, issuer: Trusted, kid: str | None) -> KeySet:
        async with self._locks[issuer.url]:
            known, now = self._keys.get(issuer.url, _Keys(None, -KEYS_GOOD_FOR)), time.monotonic()
            has = known.keys is not None and (kid is None or any(one.kid == kid for one in known.keys.keys))
            if now - known.tried >= (KEYS_GOOD_FOR if has else REFETCH_AFTER):
                known = _Keys(known.keys, now, known.configuration)
                try:
                    known.configuration, known.keys = await self._fetch(issuer)
                except (httpx.HTTPError, ValueError, KeyError, TypeError, JoseError) as error:
                    # Keys that were good a moment ago outlive an issuer that is away; the next try is a while off.
                    log.warning("issuer_keys_unavailable", issuer=issuer.url, error=type(error).__name__)
                    known.tried = now - KEYS_GOOD_FOR + REFETCH_AFTER if has else now
                self._keys[issuer.url] = known
            if known.keys is None:
                raise Problem("unavailable", f"the keys of {issuer.url} cannot be had")
            return known.keys

    async def _fetch(self, issuer: Trusted) -> tuple[dict[str, Any], KeySet]:
        """The issuer's configuration and the keys that it names (OpenID Connect Discovery 1.0)."""
        configuration = await self._http.get(f"{issuer.base}/.well-known/openid-configuration")
        configuration.raise_for_status()
        found = configuration.json()
        if found["issuer"] != issuer.url:
            raise ValueError("the configuration is that of another issuer")
        keys = await self._http.get(found["jwks_uri"])
        keys.raise_for_status()
        return found, KeySet.import_key_set(keys.json())


def subject_of(claims: dict[str, Any]) -> str:
    """Whom claims are about.

    Raises:
        Problem: ``unauthenticated``, when that is nobody.
    """
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject):
        raise _not_proven("the token does not name its subject")
    return subject


def _identity(issuer: Trusted, subject: str, claims: dict[str, Any]) -> Identity:
    email = claims.get("email")
    verified = isinstance(email, str) and claims.get("email_verified") is True
    offices = claims.get("offices")
    name = claims.get("name")
    return Identity(
        person=f"{issuer.key}/{subject}",
        name=_CONTROLS.sub("", name)[:300] if isinstance(name, str) else "",
        contact=contact_key(email) if verified and isinstance(email, str) else None,
        role=issuer.role,
        directorate=issuer.directorate,
        offices=_offices(offices),
    )


def _offices(claim: object) -> tuple[str, ...]:
    """The offices of a claim that can be offices at all; a provider's other groups are nothing to us."""
    named = claim if isinstance(claim, list) else []
    return tuple(one for one in named if isinstance(one, str) and _OFFICE.fullmatch(one))[:50]


def _not_proven(why: str) -> Problem:
    return Problem(
        "unauthenticated",
        why,
        headers={"WWW-Authenticate": 'Bearer realm="countersign", error="invalid_token"'},
    )
