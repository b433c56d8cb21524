"""How a sign-in at the local providers goes on, and how it ends."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from joserfc.jws import extract_compact

from countersign.runtime.embedded import EmbeddedError
from countersign.runtime.embedded.provider.clients import WebAddresses
from tests.runtime.conftest import Browser, error, sent_back

IL = "https://id.il.countersign.example"
EVENT = "http://schemas.openid.net/event/backchannel-logout"


async def revoke(browser: Browser, token: str, client_id: str = "countersign-cli") -> Any:
    form = {"client_id": client_id, "token": token}
    return await browser.http.post(f"{browser.at}/revoke", data=form)


# ---- refresh tokens


async def test_a_refresh_token_gives_new_tokens_of_the_same_sign_in(browser: Browser) -> None:
    first = await browser.signed_in()
    second = (await browser.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] != first["refresh_token"]
    before, after = [await browser.claims(one["access_token"]) for one in (first, second)]
    assert (before["sid"], before["auth_time"]) == (after["sid"], after["auth_time"])
    assert before["jti"] != after["jti"]
    identity = await browser.claims(second["id_token"])
    assert "nonce" not in identity
    assert (await browser.refresh(second["refresh_token"])).status_code == 200


async def test_a_refresh_token_used_again_ends_the_sign_in(browser: Browser) -> None:
    first = await browser.signed_in()
    second = (await browser.refresh(first["refresh_token"])).json()
    third = (await browser.refresh(second["refresh_token"])).json()
    assert error(await browser.refresh(first["refresh_token"])) == (400, "invalid_grant")
    assert error(await browser.refresh(third["refresh_token"])) == (400, "invalid_grant")


async def test_of_two_who_use_a_refresh_token_at_once_neither_stays_signed_in(browser: Browser) -> None:
    tokens = await browser.signed_in()
    answers = await asyncio.gather(*(browser.refresh(tokens["refresh_token"]) for _ in range(2)))
    assert sorted(one.status_code for one in answers) == [200, 400]
    won = next(one for one in answers if one.status_code == 200).json()
    assert error(await browser.refresh(won["refresh_token"])) == (400, "invalid_grant")


async def test_a_sign_in_ends_after_twelve_hours_whatever_is_refreshed(browser: Browser) -> None:
    tokens = await browser.signed_in()
    for hour in range(1, 12):
        browser.clock.ahead = hour * 3600
        tokens = (await browser.refresh(tokens["refresh_token"])).json()
    browser.clock.ahead = 12 * 3600 - 600
    tokens = (await browser.refresh(tokens["refresh_token"])).json()
    assert 590 <= tokens["expires_in"] <= 600
    browser.clock.ahead = 12 * 3600 + 1
    assert error(await browser.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


async def test_what_a_refreshed_token_says_is_what_is_known_by_then(browser: Browser) -> None:
    tokens = await browser.signed_in("il-legal")
    browser.provider.identity.appoint("il-legal", ())
    later = (await browser.refresh(tokens["refresh_token"])).json()
    assert "offices" not in await browser.claims(later["access_token"])


@pytest.mark.parametrize(
    "forge",
    [
        lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"),
        lambda token: token.replace(".0.", ".1."),
        lambda token: token.replace(".0.", ".-1."),
        lambda token: token.replace(".0.", ".\u0660."),
        lambda token: f"x{token}",
        lambda _: "made-up",
        lambda _: "..",
    ],
)
async def test_a_made_up_refresh_token_gives_nothing_and_ends_nothing(browser: Browser, forge: Any) -> None:
    tokens = await browser.signed_in()
    assert error(await browser.refresh(forge(tokens["refresh_token"]))) == (400, "invalid_grant")
    assert (await revoke(browser, forge(tokens["refresh_token"]))).status_code == 200
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200


async def test_a_refresh_token_is_that_of_one_client_at_one_issuer(browser: Browser) -> None:
    tokens = await browser.signed_in()
    other = await browser.refresh(tokens["refresh_token"], client_id="countersign-web")
    assert error(other) == (400, "invalid_grant")
    assert error(await revoke(browser, tokens["refresh_token"], "countersign-web")) == (400, "invalid_grant")
    browser.at = f"{browser.provider.base}/az"
    assert error(await browser.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    browser.at = f"{browser.provider.base}/il"
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200


# ---- taking back


async def test_a_refresh_token_that_was_taken_back_is_good_no_more(browser: Browser) -> None:
    first = await browser.signed_in()
    second = (await browser.refresh(first["refresh_token"])).json()
    assert (await revoke(browser, first["refresh_token"])).status_code == 200
    assert error(await browser.refresh(second["refresh_token"])) == (400, "invalid_grant")
    assert (await revoke(browser, second["refresh_token"])).status_code == 200


async def test_taking_back_needs_a_client_and_a_refresh_token(browser: Browser) -> None:
    tokens = await browser.signed_in()
    assert error(await revoke(browser, tokens["refresh_token"], "nobody")) == (401, "invalid_client")
    assert error(await revoke(browser, "")) == (400, "invalid_request")
    assert error(await revoke(browser, tokens["access_token"])) == (400, "unsupported_token_type")
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200


# ---- the provider's word


async def test_who_is_signed_out_is_signed_out_everywhere_and_the_web_client_is_told(
    browser: Browser,
) -> None:
    at_terminal, on_web = await browser.signed_in(), await browser.signed_in_on_the_web()
    another = await browser.signed_in_on_the_web("il-legal")
    assert await browser.provider.sign_out("il-head") == 2
    assert error(await browser.refresh(at_terminal["refresh_token"])) == (400, "invalid_grant")
    refused = await browser.refresh(on_web["refresh_token"], client_id="countersign-web")
    assert error(refused) == (400, "invalid_grant")
    kept = await browser.refresh(another["refresh_token"], client_id="countersign-web")
    assert kept.status_code == 200

    (token,) = browser.told.tokens
    header = extract_compact(token.encode()).headers()
    assert header["typ"] == "logout+jwt"
    claims = await browser.claims(token)
    sid = (await browser.claims(on_web["id_token"]))["sid"]
    assert (claims["iss"], claims["aud"]) == (IL, "countersign-web")
    assert (claims["sub"], claims["sid"]) == ("il-head", sid)
    assert claims["events"] == {EVENT: {}}
    assert "nonce" not in claims
    assert claims["jti"]
    assert claims["iat"] <= time.time() < claims["exp"] <= claims["iat"] + 120


async def test_nobody_is_signed_out_who_does_not_exist_and_twice_changes_nothing(browser: Browser) -> None:
    with pytest.raises(EmbeddedError, match="nobody is called"):
        await browser.provider.sign_out("nobody")
    await browser.signed_in_on_the_web()
    assert [await browser.provider.sign_out("il-head") for _ in range(2)] == [1, 0]
    assert len(browser.told.tokens) == 1


async def test_a_web_client_that_does_not_answer_keeps_nobody_signed_in(browser: Browser) -> None:
    tokens = await browser.signed_in_on_the_web()
    browser.provider.register(WebAddresses.of("http://127.0.0.1:1"))
    assert await browser.provider.sign_out("il-head") == 1
    refused = await browser.refresh(tokens["refresh_token"], client_id="countersign-web")
    assert error(refused) == (400, "invalid_grant")


async def test_the_web_client_is_told_when_a_token_of_its_own_is_used_twice(browser: Browser) -> None:
    tokens = await browser.signed_in_on_the_web()
    for _ in range(2):
        await browser.refresh(tokens["refresh_token"], client_id="countersign-web")
    await browser.provider.told()
    assert len(browser.told.tokens) == 1


async def test_a_client_that_takes_its_token_back_is_not_told_what_it_did(browser: Browser) -> None:
    tokens = await browser.signed_in_on_the_web()
    assert (await revoke(browser, tokens["refresh_token"], "countersign-web")).status_code == 200
    await browser.provider.told()
    assert browser.told.tokens == []


# ---- ending it in the browser


async def end_session(browser: Browser, **parameters: str) -> Any:
    return await browser.http.get(f"{browser.at}/end_session", params=parameters)


async def test_who_signs_out_in_the_browser_goes_back_to_the_client(browser: Browser) -> None:
    tokens = await browser.signed_in_on_the_web()
    browser.clock.ahead = 7200
    back = await end_session(
        browser,
        id_token_hint=tokens["id_token"],
        post_logout_redirect_uri=f"{browser.told.url}/",
        state="another state",
    )
    assert back.headers["location"].startswith(f"{browser.told.url}/?")
    assert sent_back(back) == {"state": "another state"}
    refused = await browser.refresh(tokens["refresh_token"], client_id="countersign-web")
    assert error(refused) == (400, "invalid_grant")
    assert len(browser.told.tokens) == 1
    again = await end_session(browser, id_token_hint=tokens["id_token"])
    assert (again.status_code, len(browser.told.tokens)) == (200, 1)


async def test_signing_out_in_the_browser_comes_in_a_form_as_well(browser: Browser) -> None:
    tokens = await browser.signed_in_on_the_web()
    done = await browser.http.post(f"{browser.at}/end_session", data={"id_token_hint": tokens["id_token"]})
    assert "You are signed out" in done.text
    assert len(browser.told.tokens) == 1


@pytest.mark.parametrize("target", ["https://evil.example/", "http://127.0.0.1:1/", "//evil.example", "/"])
async def test_nobody_is_sent_on_where_no_client_is_registered(browser: Browser, target: str) -> None:
    tokens = await browser.signed_in_on_the_web()
    refused = await end_session(browser, id_token_hint=tokens["id_token"], post_logout_redirect_uri=target)
    assert (refused.status_code, "location" in refused.headers) == (400, False)
    assert "evil" not in refused.text


async def test_without_a_token_of_ones_own_nobody_is_signed_out(browser: Browser) -> None:
    tokens = await browser.signed_in_on_the_web()
    head, _, signature = tokens["id_token"].split(".")
    forged = f"{head}.{json.dumps({'sid': 'x'}).encode().hex()}.{signature}"
    for hint in ("", "a.b.c", forged, tokens["access_token"]):
        assert (await end_session(browser, id_token_hint=hint)).status_code == 400
    kept = await browser.refresh(tokens["refresh_token"], client_id="countersign-web")
    assert (kept.status_code, browser.told.tokens) == (200, [])
    mismatched = await end_session(browser, id_token_hint=tokens["id_token"], client_id="countersign-cli")
    assert mismatched.status_code == 400
    browser.at = f"{browser.provider.base}/az"
    assert (await end_session(browser, id_token_hint=tokens["id_token"])).status_code == 400
    assert browser.told.tokens == []
