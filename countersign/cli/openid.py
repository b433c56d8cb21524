"""Signing in at an issuer (OpenID Connect Core 1.0): by a device code, or by a code that a browser brings.

Where everything is, is taken from the issuer's own configuration, and nothing is sent to where others could read it.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from countersign.cli.output import Failure, Status
from countersign.runtime.urls import is_confidential

T = TypeVar("T", bound=BaseModel)

SCOPE: Final = "openid profile email offline_access"
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"

PATIENCE: Final = 15.0
"""Seconds that an issuer has to answer."""

SLOWER: Final = 5
"""Seconds to wait longer after each word that it was too soon (RFC 8628, 3.5)."""

UNSAID: Final = 300
"""Seconds for which a token is taken to be good whose issuer does not say."""

LEEWAY: Final = 30
"""Seconds that two clocks may differ."""


class Declined(Failure):
    """An issuer said no; ``error`` is its code (RFC 6749, 5.2)."""

    def __init__(self, error: str, description: str = "") -> None:
        self.error = error
        super().__init__(f"the issuer declined: {error}{f' ({description})' if description else ''}")


class Away(Failure):
    """An issuer does not answer, or nothing that can be understood."""


class Issuer(BaseModel):
    """An issuer as the API names it."""

    model_config = ConfigDict(frozen=True)

    key: str
    issuer: str
    served_at: str
    role: str
    title: dict[str, str] | None = None
    cli_client_id: str


class Configuration(BaseModel):
    """What an issuer says of itself (OpenID Connect Discovery 1.0, section 3; RFC 8414)."""

    model_config = ConfigDict(frozen=True)

    issuer: str
    jwks_uri: str
    token_endpoint: str
    authorization_endpoint: str | None = None
    device_authorization_endpoint: str | None = None
    revocation_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


class Tokens(BaseModel):
    """What an issuer gives (RFC 6749, 5.1); a token of a type that is not known here must not be used (7.1)."""

    model_config = ConfigDict(frozen=True)

    access_token: str = Field(repr=False, min_length=1)
    token_type: str = Field(pattern=r"(?i)^bearer$")
    expires_in: int = Field(default=UNSAID, gt=0)
    refresh_token: str | None = Field(default=None, repr=False)
    id_token: str | None = Field(default=None, repr=False)


class Device(BaseModel):
    """What somebody has to type elsewhere (RFC 8628, 3.2)."""

    model_config = ConfigDict(frozen=True)

    device_code: str = Field(repr=False)
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None = None
    expires_in: int = Field(gt=0)
    interval: int = Field(default=5, gt=0)


class Request(BaseModel):
    """What is asked in a browser, and what the answer is held against."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(repr=False)
    redirect_uri: str
    state: str = Field(repr=False)
    nonce: str = Field(repr=False)
    verifier: str = Field(repr=False)


def discover(issuer: Issuer) -> Configuration:
    """An issuer's configuration, from where it is served.

    Raises:
        Failure: it is not the issuer's, or would have secrets sent where others read them.
    """
    url = f"{issuer.served_at.rstrip('/')}/.well-known/openid-configuration"
    found = _parsed(Configuration, _send("GET", url))
    if found.issuer != issuer.issuer:
        raise Failure(f"{url} is the configuration of {found.issuer}, not of {issuer.issuer}")
    return found


def ask_for_device(configuration: Configuration, client_id: str) -> Device:
    """Begin to sign in elsewhere.

    Raises:
        Failure: the issuer has no such way.
    """
    endpoint = configuration.device_authorization_endpoint
    if endpoint is None:
        raise Failure(f"{configuration.issuer} knows no devices; sign in with --browser")
    device = _parsed(Device, _send("POST", endpoint, {"client_id": client_id, "scope": SCOPE}))
    _check_confidential(device.verification_uri)
    return device


def wait_for_device(configuration: Configuration, client_id: str, device: Device) -> Tokens:
    """The tokens, as soon as somebody signed in elsewhere (RFC 8628, 3.4 and 3.5).

    Raises:
        Declined: they did not want to.
        Failure: nobody did in time.
    """
    form = {"grant_type": DEVICE_CODE, "client_id": client_id, "device_code": device.device_code}
    interval, until = float(device.interval), time.monotonic() + device.expires_in
    while time.monotonic() + interval < until:
        time.sleep(interval)
        try:
            return _parsed(Tokens, _send("POST", configuration.token_endpoint, form))
        except Away:
            interval *= 2
        except Declined as declined:
            if declined.error == "slow_down":
                interval += SLOWER
            elif declined.error == "expired_token":
                break
            elif declined.error != "authorization_pending":
                raise
    raise Failure("nobody signed in in time")


def ask_in_browser(configuration: Configuration, client_id: str, redirect_uri: str) -> Request:
    """What to open in a browser (RFC 6749, 4.1.1; RFC 7636).

    Raises:
        Failure: the issuer has no such way.
    """
    if configuration.authorization_endpoint is None:
        raise Failure(f"{configuration.issuer} knows no browsers; sign in with --device")
    _check_confidential(configuration.authorization_endpoint)
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    digest = hashlib.sha256(verifier.encode()).digest()
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": SCOPE,
        "state": state,
        "nonce": nonce,
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
    }
    joint = "&" if "?" in configuration.authorization_endpoint else "?"
    return Request(
        url=f"{configuration.authorization_endpoint}{joint}{urlencode(query)}",
        redirect_uri=redirect_uri,
        state=state,
        nonce=nonce,
        verifier=verifier,
    )


def code_of(configuration: Configuration, answer: Mapping[str, str]) -> str:
    """The code in what a browser brought back, whose state is ours.

    Raises:
        Declined: there is none.
        Failure: another issuer says so (RFC 9207).
    """
    said = answer.get("iss")
    if said != configuration.issuer and (
        said is not None or configuration.authorization_response_iss_parameter_supported
    ):
        raise Failure("the answer is of another issuer; nobody is signed in")
    if "error" in answer:
        raise Declined(answer["error"], answer.get("error_description", ""))
    if "code" not in answer:
        raise Failure("the browser brought no code; nobody is signed in")
    return answer["code"]


def redeem(configuration: Configuration, client_id: str, request: Request, code: str) -> Tokens:
    """The tokens that a code stands for (RFC 6749, 4.1.3)."""
    form = {
        "grant_type": "authorization_code",
        "client_id": client_id,
        "redirect_uri": request.redirect_uri,
        "code": code,
        "code_verifier": request.verifier,
    }
    return _parsed(Tokens, _send("POST", configuration.token_endpoint, form))


def refresh(token_endpoint: str, client_id: str, refresh_token: str) -> Tokens:
    """New tokens for a refresh token (RFC 6749, section 6).

    Raises:
        Declined: it is not good, or not any more.
        Away: nobody can say.
    """
    form = {"grant_type": "refresh_token", "client_id": client_id, "refresh_token": refresh_token}
    return _parsed(Tokens, _send("POST", token_endpoint, form))


def revoke(revocation_endpoint: str, client_id: str, refresh_token: str) -> None:
    """Take a refresh token back (RFC 7009). Raises like :func:`refresh`."""
    form = {"client_id": client_id, "token": refresh_token, "token_type_hint": "refresh_token"}
    _send("POST", revocation_endpoint, form)


def verify(
    configuration: Configuration, client_id: str, tokens: Tokens, *, nonce: str | None = None
) -> dict[str, Any]:
    """What the ID token says, once it is proven (OpenID Connect Core 1.0, 3.1.3.7).

    Raises:
        Failure: it proves nothing.
    """
    from joserfc import jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet

    from countersign.api.identity import ALGORITHMS

    if tokens.id_token is None:
        raise Failure("the issuer gave no ID token; nobody is signed in")
    rules = jwt.JWTClaimsRegistry(
        leeway=LEEWAY,
        iss={"essential": True, "value": configuration.issuer},
        sub={"essential": True},
        aud={"essential": True, "value": client_id},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        keys = KeySet.import_key_set(_json(_send("GET", configuration.jwks_uri)))
        decoded = jwt.decode(tokens.id_token, keys, algorithms=ALGORITHMS)
        rules.validate(decoded.claims)
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Failure(f"the ID token is not valid: {type(error).__name__}") from None
    claims, kind = decoded.claims, str(decoded.header.get("typ", "JWT"))
    audience = claims["aud"]
    party = claims.get("azp", client_id if isinstance(audience, str) or len(audience) == 1 else None)
    if kind.upper() != "JWT" or party != client_id or not isinstance(claims["sub"], str):
        raise Failure("the ID token is not for this client")
    if nonce is not None and not secrets.compare_digest(str(claims.get("nonce")).encode(), nonce.encode()):
        raise Failure("the ID token does not belong to this sign-in")
    return dict(claims)


def _send(method: str, url: str, form: Mapping[str, str] | None = None) -> httpx.Response:
    """A request and its successful answer.

    Raises:
        Declined: the issuer said no, with a code.
        Away: it did not answer, or nothing that can be understood.
        Failure: others could read what is sent there.
    """
    _check_confidential(url)
    try:
        with httpx.Client(timeout=PATIENCE, trust_env=False, follow_redirects=False) as http:
            answer = http.request(method, url, data=form, headers={"Accept": "application/json"})
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise Away(f"{url} does not answer: {type(problem).__name__}") from None
    if answer.is_success:
        return answer
    said = _json(answer) if answer.status_code in (400, 401, 403, 429) else None
    if isinstance(said, dict) and isinstance(said.get("error"), str):
        raise Declined(said["error"], str(said.get("error_description", "")))
    raise Away(f"{url} answered {answer.status_code}")


def _check_confidential(url: str) -> None:
    if not is_confidential(url):
        raise Failure(f"{url} is neither HTTPS nor on this machine: nothing is sent there", Status.USAGE)


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None


def _parsed(model: type[T], answer: httpx.Response) -> T:
    try:
        return model.model_validate(_json(answer))
    except ValidationError as problem:
        places = ", ".join(".".join(map(str, one["loc"])) or "all of it" for one in problem.errors())
        raise Away(f"{answer.request.url} answered what cannot be understood: {places}") from None
