"""What the command line takes from an issuer, and what not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from pydantic import ValidationError

from countersign.cli import openid
from countersign.cli.output import Failure
from countersign.runtime.embedded.services import Services

IL = "https://id.il.countersign.example"
CLIENT = "countersign-cli"


def issuer(services: Services, **changes: Any) -> openid.Issuer:
    good = {
        "key": "il",
        "issuer": IL,
        "served_at": services.issuers[IL],
        "role": "staff",
        "cli_client_id": CLIENT,
    }
    return openid.Issuer.model_validate(good | changes)


async def configuration(services: Services) -> openid.Configuration:
    # In a thread: the providers are served by this one.
    return await asyncio.to_thread(openid.discover, issuer(services))


def id_token(services: Services, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """An ID token with the issuer's real key, wrong in what is changed only."""
    key = ECKey.import_key(json.loads((services.home.identity / "il.jwk.json").read_text()))
    now = int(time.time())
    good = {"iss": IL, "sub": "il-head", "aud": CLIENT, "iat": now, "exp": now + 60, "nonce": "ours"}
    claims = {name: value for name, value in (good | changes).items() if value is not None}
    return jwt.encode({"alg": "ES256", "typ": "JWT", "kid": key.kid} | (header or {}), claims, key)


async def verified(services: Services, token: str | None) -> dict[str, Any]:
    tokens = openid.Tokens(access_token="x", token_type="Bearer", id_token=token)
    known = await configuration(services)
    return await asyncio.to_thread(openid.verify, known, CLIENT, tokens, nonce="ours")


async def test_an_id_token_says_who_signed_in(services: Services) -> None:
    assert (await verified(services, id_token(services)))["sub"] == "il-head"
    several = id_token(services, aud=[CLIENT, "another"], azp=CLIENT)
    assert (await verified(services, several))["sub"] == "il-head"


def of_a_strange_key(services: Services) -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    claims = {"iss": IL, "sub": "il-head", "aud": CLIENT, "iat": 1, "exp": time.time() + 60, "nonce": "ours"}
    return jwt.encode({"alg": "ES256", "typ": "JWT"}, claims, key)


@pytest.mark.parametrize(
    "forge",
    [
        lambda services: id_token(services, iss="https://id.az.countersign.example"),
        lambda services: id_token(services, iss=None),
        lambda services: id_token(services, aud="countersign"),
        lambda services: id_token(services, aud=[CLIENT, "another"]),
        lambda services: id_token(services, aud=[CLIENT, "another"], azp="another"),
        lambda services: id_token(services, azp="another"),
        lambda services: id_token(services, aud=None),
        lambda services: id_token(services, sub=None),
        lambda services: id_token(services, exp=int(time.time()) - 120),
        lambda services: id_token(services, exp=None),
        lambda services: id_token(services, iat=None),
        lambda services: id_token(services, nonce="another"),
        lambda services: id_token(services, nonce="שלנו"),
        lambda services: id_token(services, nonce=None),
        lambda services: id_token(services, {"typ": "at+jwt"}),
        lambda services: id_token(services, {"typ": "logout+jwt"}),
        lambda services: id_token(services, {"kid": "another"}),
        lambda services: services.token("il-head"),
        lambda services: services.identity.logout_token("il-head", CLIENT, "some-sid"),
        of_a_strange_key,
        lambda _: "a.b.c",
        lambda _: "",
        lambda _: None,
    ],
)
async def test_an_id_token_that_proves_nothing_signs_nobody_in(
    services: Services, forge: Callable[[Services], str | None]
) -> None:
    with pytest.raises(Failure):
        await verified(services, forge(services))


async def test_a_configuration_has_to_be_that_of_the_issuer_the_api_named(services: Services) -> None:
    az = issuer(services, issuer="https://id.az.countersign.example")
    with pytest.raises(Failure, match=r"is the configuration of https://id\.il\.countersign\.example"):
        await asyncio.to_thread(openid.discover, az)
    nowhere = issuer(services, served_at=services.issuers[IL].replace("/il", "/nowhere"))
    with pytest.raises(openid.Away):
        await asyncio.to_thread(openid.discover, nowhere)


async def test_nothing_is_sent_to_where_others_read_along(services: Services) -> None:
    with pytest.raises(Failure, match="neither HTTPS nor on this machine"):
        await asyncio.to_thread(openid.discover, issuer(services, served_at="http://id.example"))
    known = (await configuration(services)).model_copy(
        update={
            "token_endpoint": "http://id.example/token",
            "authorization_endpoint": "http://id.example/authorize",
            "device_authorization_endpoint": "http://id.example/device",
        }
    )
    with pytest.raises(Failure, match="neither HTTPS nor on this machine"):
        openid.refresh(known.token_endpoint, CLIENT, "secret")
    with pytest.raises(Failure, match="neither HTTPS nor on this machine"):
        openid.ask_in_browser(known, CLIENT, "http://127.0.0.1:1/callback")
    with pytest.raises(Failure, match="neither HTTPS nor on this machine"):
        openid.ask_for_device(known, CLIENT)


async def test_an_issuer_without_a_way_to_sign_in_is_not_asked_for_it(services: Services) -> None:
    bare = (await configuration(services)).model_copy(
        update={"authorization_endpoint": None, "device_authorization_endpoint": None}
    )
    with pytest.raises(Failure, match="--browser"):
        openid.ask_for_device(bare, CLIENT)
    with pytest.raises(Failure, match="--device"):
        openid.ask_in_browser(bare, CLIENT, "http://127.0.0.1:1/callback")


async def test_who_waits_for_a_device_slows_down_when_told_and_gives_up_in_time(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, naps = await configuration(services), list[float]()
    real = time.sleep

    def nap(seconds: float) -> None:
        naps.append(seconds)
        real(0.01)

    monkeypatch.setattr("countersign.cli.openid.time.sleep", nap)
    device = await asyncio.to_thread(openid.ask_for_device, known, CLIENT)
    hasty = device.model_copy(update={"expires_in": 12})
    with pytest.raises(Failure, match="nobody signed in in time"):
        await asyncio.to_thread(openid.wait_for_device, known, CLIENT, hasty)
    assert naps[:3] == [1, 1, 6]


def test_what_is_secret_is_not_shown_by_accident() -> None:
    secret = "very-secret"
    tokens = openid.Tokens(access_token=secret, token_type="bearer", refresh_token=secret, id_token=secret)
    assert secret not in repr(tokens)


def test_a_token_of_an_unknown_type_is_not_used() -> None:
    with pytest.raises(ValidationError):
        openid.Tokens(access_token="x", token_type="DPoP")
