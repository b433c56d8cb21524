"""Tokens that prove nothing: refused as unauthenticated, nothing changed, on record."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from countersign.api import identity
from countersign.api.errors import Problem
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.api.test_refusals import recorded_refusal
from tests.people import Office

Forge = Callable[[Services], str]

IL = "https://id.il.countersign.example"


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    good = {
        "iss": IL,
        "sub": "il-head",
        "aud": "countersign",
        "iat": now,
        "nbf": now,
        "exp": now + 600,
        "offices": ["head", "legal_counsel"],
    }
    return good | changes


def own_key(services: Services, issuer: str) -> ECKey:
    """The real private key of an issuer: these tokens are wrong in one thing only."""
    return ECKey.import_key(json.loads((services.home.identity / f"{issuer}.jwk.json").read_text()))


def signed(key: ECKey, told: dict[str, Any], **header: Any) -> str:
    return jwt.encode({"alg": "ES256", "typ": "at+jwt", "kid": key.kid} | header, told, key)


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(services: Services) -> str:
    return f"{part({'alg': 'none', 'typ': 'at+jwt'})}.{part(claims())}."


def expired(services: Services) -> str:
    return services.identity.token("il-head", lifetime=-120)


def for_another_audience(services: Services) -> str:
    return services.identity.token("il-head", audience="another-service")


def of_a_foreign_issuer(services: Services) -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    return signed(key, claims(iss="https://evil.example"))


def with_a_key_of_ones_own(services: Services) -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    return signed(key, claims())


def with_a_foreign_key_under_the_right_key_id(services: Services) -> str:
    key = ECKey.generate_key("P-256", private=True)
    return signed(key, claims(), kid=own_key(services, "il").kid)


def with_the_other_directorates_key(services: Services) -> str:
    return signed(own_key(services, "az"), claims())


def with_the_other_directorates_key_under_this_ones_key_id(services: Services) -> str:
    return signed(own_key(services, "az"), claims(), kid=own_key(services, "il").kid)


def with_its_own_key_in_the_header(services: Services) -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    return signed(key, claims(), jwk=key.as_dict(private=False))


def with_a_key_id_that_is_a_path(services: Services) -> str:
    key = ECKey.generate_key("P-256", private=True)
    return signed(key, claims(), kid="../../../../dev/null")


def with_a_critical_header_that_nobody_knows(services: Services) -> str:
    key = own_key(services, "il")
    head = part({"alg": "ES256", "typ": "at+jwt", "kid": key.kid, "crit": ["unheard"], "unheard": 1})
    token = signed(key, claims()).split(".")
    return f"{head}.{token[1]}.{token[2]}"


def not_yet_valid(services: Services) -> str:
    return signed(own_key(services, "il"), claims(nbf=int(time.time()) + 600))


def without_an_expiry(services: Services) -> str:
    told = claims()
    del told["exp"]
    return signed(own_key(services, "il"), told)


def with_a_mac_of_the_public_key(services: Services) -> str:
    public = json.dumps(own_key(services, "il").as_dict(private=False)).encode()
    return jwt.encode(
        {"alg": "HS256", "typ": "at+jwt"}, claims(), OctKey.import_key(public), algorithms=["HS256"]
    )


def altered(services: Services) -> str:
    head, _, signature = services.identity.token("il-finance-1").split(".")
    return f"{head}.{part(claims())}.{signature}"


def that_points_to_its_own_keys(services: Services) -> str:
    key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    return signed(key, claims(), jku="http://127.0.0.1:1/jwks.json")


def of_another_type(services: Services) -> str:
    return signed(own_key(services, "il"), claims(), typ="logout+jwt")


FORGERIES: list[Forge] = [
    unsigned,
    expired,
    for_another_audience,
    of_a_foreign_issuer,
    with_a_key_of_ones_own,
    with_a_foreign_key_under_the_right_key_id,
    with_the_other_directorates_key,
    with_the_other_directorates_key_under_this_ones_key_id,
    with_its_own_key_in_the_header,
    with_a_key_id_that_is_a_path,
    with_a_critical_header_that_nobody_knows,
    not_yet_valid,
    without_an_expiry,
    with_a_mac_of_the_public_key,
    altered,
    that_points_to_its_own_keys,
    of_another_type,
    lambda _: "not-a-token",
    lambda _: "a.b.c",
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda one: getattr(one, "__name__", "text"))
async def test_a_token_that_proves_nothing_is_refused_and_recorded(
    forge: Forge, services: Services, office: Office, initiative: str, database: Database
) -> None:
    before = await office.trail(initiative)
    matter = await office.open_matter(initiative)
    path = f"/v1/initiatives/{initiative}/matters/{matter['number']}/sign-offs"
    body = {"id": "forged", "response": "approve", "content_hash": matter["content_hash"]}
    answer = await office.call(None, "POST", path, body=body, token=forge(services))
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    refusal = await recorded_refusal(database, answer)
    assert (refusal["code"], refusal["person"], refusal["method"]) == ("unauthenticated", None, "POST")
    assert await office.trail(initiative) == before


async def test_a_directorate_is_what_its_issuer_is_bound_to_never_a_claim(
    services: Services, office: Office, initiative: str
) -> None:
    """A true token of one side that claims to be of the other still acts for its own side only."""
    boasting = signed(
        own_key(services, "az"),
        claims(
            iss="https://id.az.countersign.example",
            sub="az-boaster",
            directorate="il",
            offices=["legal_counsel"],
        ),
    )
    matter = await office.open_matter(initiative)
    path = f"/v1/initiatives/{initiative}/matters/{matter['number']}/sign-offs"
    body = {"id": "boast", "response": "approve", "content_hash": matter["content_hash"]}
    answer = await office.call(None, "POST", path, body=body, token=boasting)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_your_office")
    assert (await office.trail(initiative))[-1]["actor"] == "az/az-boaster"


async def test_no_token_at_all_is_told_how_to_bring_one(office: Office) -> None:
    answer = await office.call(None, "GET", "/v1/initiatives")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="countersign"'


class Issuer:
    """An issuer whose keys change when somebody says so; ``asked`` counts how often they were fetched."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", private=True, auto_kid=True)
        self.asked = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            return httpx.Response(200, json={"issuer": IL, "jwks_uri": f"{IL}/jwks.json"})
        self.asked += 1
        return httpx.Response(200, json=KeySet([self.key]).as_dict(private=False))

    def verifier(self) -> identity.Verifier:
        trusted = {IL: identity.Trusted("il", IL, IL, "staff", "il")}
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        return identity.Verifier(trusted, "countersign", http)


async def test_a_token_that_comes_again_is_not_good_for_longer_than_it_says() -> None:
    issuer = Issuer()
    verifier = issuer.verifier()
    token = signed(issuer.key, claims(exp=int(time.time()) - identity.LEEWAY + 2))
    assert (await verifier.identify(token)).person == "il/il-head"
    assert (await verifier.identify(token)).person == "il/il-head"
    await asyncio.sleep(2.1)
    for _ in range(2):
        with pytest.raises(Problem, match="ExpiredTokenError"):
            await verifier.identify(token)
    assert issuer.asked == 1


async def test_a_token_that_comes_again_is_not_good_when_its_key_is_withdrawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    issuer = Issuer()
    verifier = issuer.verifier()
    token = signed(issuer.key, claims())
    await verifier.identify(token)
    issuer.key = ECKey.generate_key("P-256", private=True, auto_kid=True)
    assert (
        await verifier.identify(token)
    ).person == "il/il-head"  # the keys are not old enough to be fetched again
    monkeypatch.setattr(identity, "KEYS_GOOD_FOR", 0.0)
    with pytest.raises(Problem, match="not valid"):
        await verifier.identify(token)
    assert (await verifier.identify(signed(issuer.key, claims()))).person == "il/il-head"


async def test_no_more_tokens_are_remembered_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "REMEMBERED", 3)
    issuer = Issuer()
    verifier = issuer.verifier()
    tokens = [signed(issuer.key, claims(sub=f"person-{number}")) for number in range(5)]
    for _ in range(2):
        assert [(await verifier.identify(one)).person for one in tokens] == [
            f"il/person-{number}" for number in range(5)
        ]
    assert len(verifier._proven) == 3
