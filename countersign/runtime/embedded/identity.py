"""Who the embedded default's people are, and the tokens that say so: real keys, real tokens, people who do not exist.

A token's ``iss`` is the URL that the agreement names, wherever the provider is served: a person is known by issuer and
subject, and both outlive the port.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
import tomllib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet
from pydantic import BaseModel, ConfigDict

from countersign.disk import write_private
from countersign.runtime.embedded import EmbeddedError
from countersign.runtime.embedded.home import Home

ALGORITHM: Final = "ES256"
LIFETIME: Final = 3600
"""Seconds for which a token is good."""

OPERATORS: Final = "operators"
"""The key of their issuer."""

LETTERS: Final = "BCDFGHJKLMNPQRSTVWXZ"
"""What codes are made of that people read and type: none is taken for another, and they spell no words
(RFC 8628, 6.1)."""

_AUDIENCE: Final = "countersign"
_LOGOUT: Final = "http://schemas.openid.net/event/backchannel-logout"
_LOGOUT_LIFETIME: Final = 120  # seconds (OpenID Connect Back-Channel Logout 1.0, 2.4: at most two minutes)
_PASSWORD: Final = "password"  # noqa: S105 - the name of a file
_NEVER: Final = "no-such-secret"  # what the secret of an unknown person is compared with, in the same time


class Person(BaseModel):
    """Somebody who can sign in; ``side`` is the directorate whose country they belong to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    handle: str
    name: str
    offices: tuple[str, ...] = ()
    side: str | None = None


class Issuer(BaseModel):
    """A provider; ``url`` is the issuer that the agreement names, ``key`` its path here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: str
    url: str
    title: str
    directorate: str | None = None
    person: tuple[Person, ...]


class PersonListed(BaseModel):
    """A person as ``countersign token --list`` shows them."""

    name: str
    full_name: str
    issuer: str
    side: str | None
    offices: tuple[str, ...]


def issuers() -> tuple[Issuer, ...]:
    """The issuers of the embedded default, with their people."""
    data = tomllib.loads(Path(__file__).with_name("people.toml").read_text(encoding="utf-8"))
    return tuple(Issuer.model_validate(one) for one in data["issuer"])


def served_at(base: str) -> dict[str, str]:
    """Where each issuer is served by a provider at ``base``: the map that ``Settings.issuers`` takes."""
    return {one.url: f"{base}/{one.key}" for one in issuers()}


def operators_issuer() -> str:
    """The issuer of those who operate the embedded default."""
    return next(one.url for one in issuers() if one.key == OPERATORS)


def people() -> list[PersonListed]:
    """Everybody, in the order of the file."""
    return [
        PersonListed(
            name=person.handle,
            full_name=person.name,
            issuer=issuer.key,
            side=person.side or issuer.directorate,
            offices=person.offices,
        )
        for issuer, person in _everybody()
    ]


class Identity:
    """The issuers of one home: makes what is missing of their keys and secrets, and signs tokens.

    ``clock`` gives the time in seconds since 1970.
    """

    def __init__(self, home: Home, clock: Callable[[], float] = time.time) -> None:
        home.create()
        self._directory = home.identity
        self.clock = clock
        self.issuers = {one.key: one for one in issuers()}
        self._people = {person.handle: (issuer, person) for issuer, person in _everybody()}
        self._keys = {key: self._key(key) for key in self.issuers}

    def token(
        self,
        handle: str,
        *,
        lifetime: int = LIFETIME,
        audience: str = _AUDIENCE,
        client_id: str | None = None,
        about: Mapping[str, str | int] | None = None,
    ) -> str:
        """An access token of RFC 9068 for one person, good for ``lifetime`` seconds.

        ``client_id`` is the person's own, as for a client that is nobody else, unless it is given; ``about`` are claims
        about how they signed in (``sid``, ``auth_time``, ``scope``).

        Raises:
            EmbeddedError: nobody has that handle.
        """
        told = {
            "aud": audience,
            "nbf": self._now(),
            "jti": str(uuid.uuid4()),
            "client_id": client_id or handle,
        }
        return self._sign(handle, "at+jwt", lifetime, told | dict(about or {}) | self._profile(handle))

    def id_token(self, handle: str, client_id: str, about: Mapping[str, str | int]) -> str:
        """An ID token (OpenID Connect Core 1.0, section 2); ``about`` has ``sid``, ``auth_time`` and ``nonce``."""
        return self._sign(handle, "JWT", LIFETIME, {"aud": client_id} | dict(about) | self._profile(handle))

    def logout_token(self, handle: str, client_id: str, sid: str) -> str:
        """A logout token (OpenID Connect Back-Channel Logout 1.0, section 2.4)."""
        told = {"aud": client_id, "jti": str(uuid.uuid4()), "sid": sid, "events": {_LOGOUT: {}}}
        return self._sign(handle, "logout+jwt", _LOGOUT_LIFETIME, told)

    def hinted(self, issuer: str, id_token: str) -> dict[str, Any] | None:
        """What an ID token of an issuer says, run out or not; nothing when it is none of theirs."""
        try:
            decoded = jwt.decode(id_token, self._keys[issuer], algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            return None
        mine = decoded.header.get("typ") == "JWT" and decoded.claims.get("iss") == self.issuers[issuer].url
        return decoded.claims if mine else None

    def has_signed(self, issuer: str, token: str) -> bool:
        """Whether a token, of whatever kind, has the signature of an issuer."""
        try:
            jwt.decode(token, self._keys[issuer], algorithms=[ALGORITHM])
        except (JoseError, ValueError):
            return False
        return True

    def person(self, issuer: str, handle: str) -> Person | None:
        """Somebody of an issuer's, by their handle."""
        of, person = self._people.get(handle, (None, None))
        return person if of is not None and of.key == issuer else None

    def issuer_of(self, handle: str) -> Issuer:
        """The issuer that vouches for somebody.

        Raises:
            EmbeddedError: nobody has that handle.
        """
        return self._known(handle)[0]

    def appoint(self, handle: str, offices: Iterable[str]) -> None:
        """Let somebody's tokens name these offices from now on, until the process ends."""
        issuer, person = self._known(handle)
        self._people[handle] = issuer, person.model_copy(update={"offices": tuple(offices)})

    def jwks(self, issuer: str) -> dict[str, Any]:
        """The public keys of one issuer, as RFC 7517 has them."""
        return dict(KeySet([self._keys[issuer]]).as_dict(private=False))

    def accepts(self, issuer: str, handle: str, secret: str) -> bool:
        """Whether this is the secret of that person, at that issuer."""
        known = self._secrets.get(handle, _NEVER)
        same = hmac.compare_digest(known.encode(), secret.encode())
        return same and self.person(issuer, handle) is not None

    def signs_in(self, issuer: str, handle: str, password: str) -> bool:
        """Whether somebody of an issuer's is let in with this password, that of the home.

        It is looked at in the same time whoever is named, and however much of it is right.
        """
        same = hmac.compare_digest(self.password.encode(), password.strip().encode())
        return same and self.person(issuer, handle) is not None

    @cached_property
    def password(self) -> str:
        """What everybody of this home signs in with; whoever may read it may read all their secrets anyway."""
        path = self._directory / _PASSWORD
        if not path.exists():
            write_private(path, "-".join(random_letters(5) for _ in range(4)))
        return path.read_text(encoding="utf-8")

    @cached_property
    def _secrets(self) -> dict[str, str]:
        path = self._directory / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        missing = {handle: secrets.token_urlsafe(32) for handle in self._people if handle not in known}
        if missing:
            known |= missing
            write_private(path, json.dumps(known, indent=2))
        return known

    def _key(self, issuer: str) -> ECKey:
        path = self._directory / f"{issuer}.jwk.json"
        if not path.exists():
            made = ECKey.generate_key("P-256", {"use": "sig", "alg": ALGORITHM}, private=True, auto_kid=True)
            write_private(path, json.dumps(made.as_dict(private=True)))
        return ECKey.import_key(json.loads(path.read_text(encoding="utf-8")))

    def prepare(self) -> None:
        """Make the secrets and the password, if they are not made yet."""
        assert self._secrets
        assert self.password

    def _sign(self, handle: str, kind: str, lifetime: int, told: dict[str, Any]) -> str:
        issuer, person = self._known(handle)
        key, now = self._keys[issuer.key], self._now()
        claims = {"iss": issuer.url, "sub": person.handle, "iat": now, "exp": now + lifetime, **told}
        return jwt.encode({"alg": ALGORITHM, "typ": kind, "kid": key.kid}, claims, key)

    def _profile(self, handle: str) -> dict[str, Any]:
        issuer, person = self._known(handle)
        email = f"{person.handle}@{issuer.key}.countersign.example"
        offices = {"offices": list(person.offices)} if person.offices else {}
        return {"name": person.name, "email": email, "email_verified": True, **offices}

    def _known(self, handle: str) -> tuple[Issuer, Person]:
        if handle not in self._people:
            raise EmbeddedError(f"nobody is called {handle!r}; `countersign token --list` names everybody")
        return self._people[handle]

    def _now(self) -> int:
        return int(self.clock())


async def fetch_token(home: Home, name: str) -> str:
    """A bearer token for one person, from the provider that runs on this home.

    Raises:
        NotRunning: nothing runs on this home.
        EmbeddedError: nobody has that name, or the provider refuses.
    """
    endpoints = home.endpoints()
    issuer = next((issuer.key for issuer, person in _everybody() if person.handle == name), None)
    if issuer is None:
        raise EmbeddedError(f"nobody is called {name!r}; `countersign token --list` names everybody")
    secret = json.loads((home.identity / "secrets.json").read_text(encoding="utf-8"))[name]
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        try:
            answer = await client.post(
                f"{endpoints.identity}/{issuer}/token",
                data={"grant_type": "client_credentials", "client_id": name, "client_secret": secret},
            )
        except httpx.HTTPError as problem:
            raise EmbeddedError(f"the identity provider does not answer: {problem}") from problem
    if answer.is_error:
        raise EmbeddedError(f"the identity provider refused: {answer.text}")
    token: str = answer.json()["access_token"]
    return token


def sign_in_password(home: Home) -> str:
    """What everybody of a home signs in with at its providers.

    Raises:
        EmbeddedError: there is none yet.
    """
    try:
        return (home.identity / _PASSWORD).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise EmbeddedError(
            f"nobody signs in on {home.path} yet: `countersign up` makes the password"
        ) from None


def random_letters(number: int) -> str:
    """So many letters, each drawn at random."""
    return "".join(secrets.choice(LETTERS) for _ in range(number))


def _everybody() -> Iterator[tuple[Issuer, Person]]:
    for issuer in issuers():
        for person in issuer.person:
            yield issuer, person
