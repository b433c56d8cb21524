"""Local OpenID providers, one issuer a path: real keys, real tokens, people who do not exist.

A token's ``iss`` is the URL that the agreement names, wherever the provider is served: a person is known by issuer and
subject, and both outlive the port.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import hmac
import json
import secrets
import time
import tomllib
import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote_plus

import httpx
import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet
from pydantic import BaseModel, ConfigDict

from countersign.runtime import logs
from countersign.runtime.embedded import EmbeddedError
from countersign.runtime.embedded.home import Home, write_private

DEFAULT_PORT: Final = 8081
ALGORITHM: Final = "ES256"
LIFETIME: Final = 3600
"""Seconds for which a token is good."""

OPERATORS: Final = "operators"
"""The key of their issuer."""

_AUDIENCE: Final = "countersign"
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
    """The providers of one home: makes what is missing of their keys and secrets, and issues tokens."""

    def __init__(self, home: Home) -> None:
        home.create()
        self._directory = home.identity
        self.issuers = {one.key: one for one in issuers()}
        self._people = {person.handle: (issuer, person) for issuer, person in _everybody()}
        self._keys = {key: self._key(key) for key in self.issuers}

    def token(self, handle: str, *, lifetime: int = LIFETIME, audience: str = _AUDIENCE) -> str:
        """An access token of RFC 9068 for one person, good for ``lifetime`` seconds.

        Raises:
            EmbeddedError: nobody has that handle.
        """
        if handle not in self._people:
            raise EmbeddedError(f"nobody is called {handle!r}; `countersign token --list` names everybody")
        issuer, person = self._people[handle]
        key = self._keys[issuer.key]
        now = int(time.time())
        claims = {
            "iss": issuer.url,
            "sub": person.handle,
            "aud": audience,
            "exp": now + lifetime,
            "nbf": now,
            "iat": now,
            "jti": str(uuid.uuid4()),
            "client_id": person.handle,
            "name": person.name,
            "email": f"{person.handle}@{issuer.key}.countersign.example",
            "email_verified": True,
        }
        if person.offices:
            claims["offices"] = list(person.offices)
        return jwt.encode({"alg": ALGORITHM, "typ": "at+jwt", "kid": key.kid}, claims, key)

    def jwks(self, issuer: str) -> dict[str, Any]:
        """The public keys of one issuer, as RFC 7517 has them."""
        return dict(KeySet([self._keys[issuer]]).as_dict(private=False))

    def accepts(self, issuer: str, handle: str, secret: str) -> bool:
        """Whether this is the secret of that person, at that issuer."""
        known = self._secrets.get(handle, _NEVER)
        same = hmac.compare_digest(known.encode(), secret.encode())
        return same and handle in self._people and self._people[handle][0].key == issuer

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
        """Make the secrets, if they are not made yet."""
        assert self._secrets


def create_app(identity: Identity, base: str) -> FastAPI:
    """The providers' web application, served at ``base``."""
    app = FastAPI(title="Countersign: local identity providers", docs_url=None, redoc_url=None)
    identity.prepare()

    def known(issuer: str) -> Issuer:
        if issuer not in identity.issuers:
            raise HTTPException(404)
        return identity.issuers[issuer]

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/{issuer}/.well-known/openid-configuration")
    async def configuration(issuer: str) -> dict[str, Any]:
        return {
            "issuer": known(issuer).url,
            "jwks_uri": f"{base}/{issuer}/jwks.json",
            "token_endpoint": f"{base}/{issuer}/token",
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        }

    @app.get("/{issuer}/jwks.json")
    async def keys(issuer: str) -> dict[str, Any]:
        return identity.jwks(known(issuer).key)

    @app.post("/{issuer}/token")
    async def token(issuer: str, request: Request) -> JSONResponse:
        known(issuer)
        body = (await request.body())[:8192].decode("utf-8", "replace")
        form = {name: values[0] for name, values in parse_qs(body).items()}
        handle, secret = _credentials(request.headers.get("authorization", ""), form)
        if not identity.accepts(issuer, handle, secret):
            return _refusal(401, "invalid_client")
        if form.get("grant_type") != "client_credentials":
            return _refusal(400, "unsupported_grant_type")
        answer = {"access_token": identity.token(handle), "token_type": "Bearer", "expires_in": LIFETIME}
        return JSONResponse(answer, headers={"Cache-Control": "no-store"})

    return app


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


def _everybody() -> Iterator[tuple[Issuer, Person]]:
    for issuer in issuers():
        for person in issuer.person:
            yield issuer, person


def _credentials(authorization: str, form: dict[str, str]) -> tuple[str, str]:
    """The client's name and secret, from the header or the form (RFC 6749, 2.3.1)."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return "", ""
        return unquote_plus(name), unquote_plus(secret)
    return form.get("client_id", ""), form.get("client_secret", "")


def _refusal(status: int, error: str) -> JSONResponse:
    return JSONResponse({"error": error}, status_code=status, headers={"Cache-Control": "no-store"})


def main() -> None:
    """Serve the providers of one home."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--home", type=Path, required=True)
    arguments.add_argument("--port", type=int, default=DEFAULT_PORT)
    chosen = arguments.parse_args()
    logs.configure()
    app = create_app(Identity(Home(chosen.home)), f"http://127.0.0.1:{chosen.port}")
    uvicorn.run(app, host="127.0.0.1", port=chosen.port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
