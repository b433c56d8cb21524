"""What a provider is asked, as which client, and what becomes of answers that are not as they should be."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest
from joserfc.jwk import ECKey, KeySet
from pydantic import SecretStr

from countersign.api.errors import Problem
from countersign.api.identity import Trusted, Verifier
from countersign.api.openid import Provider, ProviderRefused, proof_key
from countersign.runtime.settings import WebClient

URL, CALLBACK = "https://id.example", "https://countersign.example/v1/session/callback"
CONFIGURATION = {
    "issuer": URL,
    "jwks_uri": f"{URL}/jwks",
    "authorization_endpoint": f"{URL}/authorize?tenant=a",
    "token_endpoint": f"{URL}/token",
    "revocation_endpoint": f"{URL}/revoke",
    "end_session_endpoint": f"{URL}/end",
}
GIVEN = {"access_token": "a", "token_type": "Bearer", "id_token": "i", "refresh_token": "r"}


class Answering:
    """A provider that says what it is told to; ``asked`` is what came to it."""

    def __init__(self, status: int = 200, said: Any = None, **configuration: Any) -> None:
        self.status, self.said = status, GIVEN if said is None else said
        self.configuration = CONFIGURATION | configuration
        self.asked: list[httpx.Request] = []
        self.keys = KeySet([ECKey.generate_key("P-256", private=True, auto_kid=True)])

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("openid-configuration"):
            return httpx.Response(200, json=self.configuration)
        if request.url.path == "/jwks":
            return httpx.Response(200, json=self.keys.as_dict(private=False))
        self.asked.append(request)
        if isinstance(self.said, Exception):
            raise self.said
        if isinstance(self.said, str):
            return httpx.Response(self.status, text=self.said)
        return httpx.Response(self.status, json=self.said)

    def provider(self, secret: str | None = None, base: str = URL) -> Provider:
        issuer = Trusted("il", URL, base, "staff", "il")
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer))
        client = WebClient(client_id="client:1", client_secret=SecretStr(secret) if secret else None)
        return Provider(issuer, client, CALLBACK, Verifier({URL: issuer}, "countersign", http), http)

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.asked[-1].content.decode()))


async def test_a_client_without_a_secret_names_itself_and_proves_itself_by_the_code() -> None:
    issuer = Answering()
    tokens = await issuer.provider().redeem("the code", "the verifier")
    assert (tokens.access, tokens.id, tokens.refresh) == ("a", "i", "r")
    assert issuer.form == {
        "grant_type": "authorization_code",
        "code": "the code",
        "redirect_uri": CALLBACK,
        "code_verifier": "the verifier",
        "client_id": "client:1",
    }
    assert "authorization" not in issuer.asked[-1].headers


async def test_a_client_with_a_secret_sends_it_in_the_header_alone_each_part_encoded() -> None:
    issuer = Answering()
    provider = issuer.provider("s e:cr/ét")
    await provider.refresh("r0")
    scheme, _, encoded = issuer.asked[-1].headers["authorization"].partition(" ")
    assert (scheme, base64.b64decode(encoded)) == ("Basic", b"client%3A1:s+e%3Acr%2F%C3%A9t")
    assert issuer.form == {"grant_type": "refresh_token", "refresh_token": "r0"}
    await provider.revoke("r1")
    assert issuer.form == {"token": "r1", "token_type_hint": "refresh_token"}
    assert "authorization" in issuer.asked[-1].headers


@pytest.mark.parametrize(
    ("known", "scope"),
    [
        (None, "openid offline_access"),
        (["openid"], "openid"),
        (["email", "openid", "profile", "offline_access", "other"], "openid offline_access profile email"),
    ],
)
async def test_what_is_asked_for_is_what_the_provider_knows(known: list[str] | None, scope: str) -> None:
    issuer = Answering(scopes_supported=known)
    verifier, challenge = proof_key()
    url = await issuer.provider().authorization_url(state="s", nonce="n", challenge=challenge)
    query = dict(httpx.URL(url).params)
    assert query["scope"] == scope
    assert query["tenant"] == "a"  # what stood in the endpoint's own query stays
    assert len(verifier) == len(challenge) == 43
    assert verifier not in url


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "not JSON"),
        (200, []),
        (200, {}),
        (200, {**GIVEN, "token_type": "mac"}),
        (200, {**GIVEN, "access_token": ""}),
        (200, {**GIVEN, "access_token": 17}),
        (400, "not JSON"),
        (400, {"error": "<b>"}),
        (401, {"error": "invalid_client"}),
        (400, {"error": "temporarily_unavailable"}),
        (429, {"error": "invalid_grant"}),
        (500, {"error": "invalid_grant"}),
        (302, {}),
        (200, httpx.ConnectError("away")),
        (200, httpx.ReadTimeout("slow")),
    ],
    ids=str,
)
async def test_what_is_no_word_on_the_person_is_that_the_provider_is_away(status: int, said: Any) -> None:
    with pytest.raises(Problem) as refused:
        await Answering(status, said).provider().refresh("r")
    assert refused.value.code == "unavailable"


@pytest.mark.parametrize("error", ["invalid_grant", "access_denied", "interaction_required"])
async def test_what_is_a_word_on_the_person_is_a_refusal(error: str) -> None:
    with pytest.raises(ProviderRefused) as refused:
        await Answering(400, {"error": error, "error_description": "why"}).provider().refresh("r")
    assert refused.value.error == error


@pytest.mark.parametrize(
    "url", [None, 17, "", "http://id.example/x", "ftp://id.example/x", "https:///x", "/x"]
)
async def test_nobody_is_sent_and_nothing_is_told_to_where_others_could_read_it(url: Any) -> None:
    names = ("authorization_endpoint", "token_endpoint", "revocation_endpoint", "end_session_endpoint")
    issuer = Answering(**dict.fromkeys(names, url))
    provider = issuer.provider()
    with pytest.raises(Problem, match="names no authorization_endpoint"):
        await provider.authorization_url(state="s", nonce="n", challenge="c")
    with pytest.raises(Problem, match="names no token_endpoint"):
        await provider.redeem("c", "v")
    await provider.revoke("r")
    assert await provider.end_session_url("i", "https://countersign.example/") is None
    assert issuer.asked == []


async def test_an_issuer_on_a_network_of_the_deployments_own_is_asked_there_and_browsers_are_not_sent_there() -> (
    None
):
    issuer = Answering(
        token_endpoint="http://issuer.internal/token",
        authorization_endpoint="http://issuer.internal/authorize",
    )
    provider = issuer.provider(base="http://issuer.internal")
    assert (await provider.redeem("c", "v")).access == "a"
    with pytest.raises(Problem, match="names no authorization_endpoint"):
        await provider.authorization_url(state="s", nonce="n", challenge="c")


async def test_what_cannot_be_revoked_is_let_be() -> None:
    for issuer in (
        Answering(503),
        Answering(said=httpx.ConnectError("away")),
        Answering(revocation_endpoint=None),
    ):
        await issuer.provider().revoke("r")
        assert len(issuer.asked) == (0 if issuer.configuration["revocation_endpoint"] is None else 1)


async def test_where_to_sign_out_names_the_client_and_the_sign_in() -> None:
    back = "https://countersign.example/"
    url = await Answering().provider().end_session_url("the.id.token", back)
    assert url is not None
    query = dict(httpx.URL(url).params)
    assert len(query.pop("state")) > 20
    assert query == {
        "client_id": "client:1",
        "post_logout_redirect_uri": back,
        "id_token_hint": "the.id.token",
    }
