"""``countersign login``, ``logout`` and ``whoami``, as processes, at the real providers and a real API."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from countersign.runtime.embedded.services import Services
from tests.cli.conftest import Ended, Terminal
from tests.cli.signing_in import Person, parameters

NOT_DONE, USAGE, SIGNED_OUT = 1, 2, 4


@pytest.fixture
async def person(services: Services, terminal: Terminal, tmp_path: Path) -> AsyncIterator[Person]:
    someone = Person(services, terminal, tmp_path / "state")
    yield someone
    await someone.http.aclose()


def secret_free(ended: Ended, person: Person) -> bool:
    """Whether a command printed none of what it keeps."""
    kept = person.kept
    return not any(
        kept[one] and kept[one] in ended.out + ended.err for one in ("access_token", "refresh_token")
    )


async def test_the_embedded_default_tells_its_owner_what_its_people_sign_in_with(
    person: Person, tmp_path: Path
) -> None:
    told = await person.run("token", "--password")
    assert (told.status, told.out) == (0, f"{person.services.identity.password}\n")
    as_json = await person.run("token", "--password", "--json")
    assert as_json.json == {"password": person.services.identity.password}
    none = await person.run("token", "--password", "--home", str(tmp_path))
    assert (none.status, "countersign up" in none.err) == (NOT_DONE, True)


# ---- signing in elsewhere


async def test_who_signs_in_elsewhere_calls_from_then_on_as_themselves(person: Person) -> None:
    ended = await person.login("il-legal", "--json")
    assert ended.json["issuer_key"] == "il"
    assert (ended.json["subject"], ended.json["name"]) == ("il-legal", "Ploni Almoni")
    assert ended.json["api"] == person.terminal.url
    assert secret_free(ended, person)
    assert "and compare the code" in ended.err

    seen = await person.run("inbox", "--json")
    assert seen.status == 0, seen
    me = await person.run("whoami", "--json")
    assert me.json | {"expires_at": ""} == ended.json | {"expires_at": ""}
    assert secret_free(me, person)
    told = await person.run("whoami")
    assert "Ploni Almoni (il/il-legal)" in told.out
    assert "https://id.il.countersign.example" in told.out


async def test_what_is_kept_is_for_its_owner_only(person: Person) -> None:
    (person.state / "countersign").mkdir(parents=True, mode=0o755)
    await person.login()
    (path,) = person.files
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(one.suffix for one in path.parent.iterdir()) == [".json", ".lock"]


async def test_who_refuses_elsewhere_is_not_signed_in(person: Person) -> None:
    async def refuse(address: str) -> None:
        await person.approve(address, "il-head", answer="refuse")

    ended = await person.run("login", "--issuer", "il", act=refuse)
    assert ended.status == NOT_DONE
    assert "access_denied" in ended.err
    assert person.files == []


async def test_who_signs_in_anew_takes_the_place_of_who_did_before(person: Person) -> None:
    await person.login("il-head")
    before = person.kept
    await person.login("az-lead")
    assert (person.kept["subject"], person.kept["issuer_key"]) == ("az-lead", "applicants")
    refused = await person.http.post(
        before["token_endpoint"],
        data={
            "grant_type": "refresh_token",
            "client_id": "countersign-cli",
            "refresh_token": before["refresh_token"],
        },
    )
    assert refused.json()["error"] == "invalid_grant"


@pytest.mark.parametrize("arguments", [(), ("--issuer", "nobody")])
async def test_where_there_are_several_issuers_they_are_listed(
    person: Person, arguments: tuple[str, ...]
) -> None:
    ended = await person.run("login", *arguments)
    assert ended.status == USAGE
    for key in ("il", "az", "applicants", "operators", "audit-il", "audit-az"):
        assert f"\n  {key} " in ended.err
    assert "National AI Directorate of Israel" in ended.err
    assert person.files == []


async def test_nobody_signs_in_to_an_api_where_others_read_along(person: Person) -> None:
    ended = await person.run("login", "--issuer", "il", "--url", "http://countersign.example")
    assert (ended.status, "HTTPS" in ended.err) == (USAGE, True)


# ---- signing in in a browser


async def test_who_signs_in_in_a_browser_of_this_machine_is_signed_in(person: Person) -> None:
    page = httpx.Response(200)

    async def browse(address: str) -> None:
        nonlocal page
        asked = parameters(address)
        assert asked["code_challenge_method"] == "S256"
        page = await person.http.get(await person.back(address))

    ended = await person.run("login", "--issuer", "il", "--browser", "--json", act=browse, BROWSER="true")
    assert ended.status == 0, ended
    assert ended.json["subject"] == "il-head"
    assert secret_free(ended, person)
    assert (page.status_code, "Close this page" in page.text) == (200, True)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["cache-control"] == "no-store"
    assert (await person.run("inbox")).status == 0


async def test_what_another_page_sends_to_the_waiting_command_counts_for_nothing(person: Person) -> None:
    async def browse(address: str) -> None:
        asked = parameters(address)
        told = {"code": "made-up", "iss": "https://id.il.countersign.example"}
        for state in ({}, {"state": "made-up"}, {"state": asked["state"][:-1]}):
            forged = f"{asked['redirect_uri']}?{urlencode(told | state)}"
            assert (await person.http.get(forged)).status_code == 400
        twice = f"{asked['redirect_uri']}?{urlencode(told)}&state=x&state={asked['state']}"
        assert (await person.http.get(twice)).status_code == 400
        elsewhere = asked["redirect_uri"].replace("/callback", "/")
        assert (await person.http.get(elsewhere)).status_code == 404
        rebound = f"{asked['redirect_uri']}?{urlencode(told | {'state': asked['state']})}"
        assert (await person.http.get(rebound, headers={"Host": "evil.example"})).status_code == 400
        assert (await person.http.get(await person.back(address))).status_code == 200

    ended = await person.run("login", "--issuer", "il", "--browser", act=browse)
    assert ended.status == 0, ended


@pytest.mark.parametrize("iss", [None, "https://id.az.countersign.example", "https://evil.example"])
async def test_an_answer_that_another_issuer_gave_signs_nobody_in(person: Person, iss: str | None) -> None:
    async def browse(address: str) -> None:
        back = httpx.URL(await person.back(address)).copy_remove_param("iss")
        await person.http.get(back if iss is None else back.copy_add_param("iss", iss))

    ended = await person.run("login", "--issuer", "il", "--browser", act=browse)
    assert (ended.status, "another issuer" in ended.err) == (NOT_DONE, True)
    assert person.files == []


async def test_who_does_not_want_to_in_the_browser_is_not_signed_in(person: Person) -> None:
    async def browse(address: str) -> None:
        await person.http.get(await person.back(address, answer="refuse"))

    ended = await person.run("login", "--issuer", "il", "--browser", act=browse)
    assert (ended.status, "access_denied" in ended.err) == (NOT_DONE, True)
    assert person.files == []


async def test_a_code_of_another_sign_in_signs_nobody_in(person: Person) -> None:
    async def browse(address: str) -> None:
        theirs = address.replace(parameters(address)["code_challenge"], "A" * 43)
        await person.http.get(await person.back(theirs))

    ended = await person.run("login", "--issuer", "il", "--browser", act=browse)
    assert (ended.status, "invalid_grant" in ended.err) == (NOT_DONE, True)
    assert person.files == []


# ---- staying signed in


async def test_a_token_that_runs_out_is_renewed_unseen(person: Person) -> None:
    await person.login()
    before = person.kept
    person.run_out()
    assert (await person.run("inbox")).status == 0
    after = person.kept
    assert after["refresh_token"] != before["refresh_token"]
    assert after["access_token"] != before["access_token"]
    assert datetime.fromisoformat(after["expires_at"]) > datetime.now(UTC) + timedelta(minutes=55)
    person.change(expires_at=(datetime.now(UTC) + timedelta(seconds=30)).isoformat())
    assert (await person.run("whoami", "--json")).json["by"] == "login"
    assert person.kept["refresh_token"] != after["refresh_token"]


async def test_commands_at_once_use_a_refresh_token_once(person: Person) -> None:
    await person.login()
    for _ in range(2):
        person.run_out()
        ended = await asyncio.gather(*(person.run("whoami", "--json") for _ in range(4)))
        assert [one.status for one in ended] == [0] * 4, ended
        assert {one.json["expires_at"] for one in ended} == {person.kept["expires_at"]}


async def test_whom_the_issuer_signed_out_is_told_so_until_they_sign_in_again(person: Person) -> None:
    await person.login("il-secretariat")
    await person.services.provider.sign_out("il-secretariat")
    assert (await person.run("whoami")).status == 0, "a token that was given is good until it runs out"
    person.run_out()
    for _ in range(2):
        ended = await person.run("inbox", "--json")
        assert ended.status == SIGNED_OUT
        assert ended.json["code"] == "signed_out"
        assert "countersign login" in ended.err
    assert (person.kept["access_token"], person.kept["refresh_token"]) == (None, None)
    # Nobody stands in for somebody who had signed in.
    assert (await person.run("show", "ILAZ-2027-0001")).status == SIGNED_OUT
    await person.login("il-secretariat")
    assert (await person.run("inbox")).status == 0


async def test_an_issuer_that_is_away_signs_nobody_out(person: Person) -> None:
    await person.login()
    at = person.kept["token_endpoint"]
    person.change(
        token_endpoint="http://127.0.0.1:1/token",
        expires_at=(datetime.now(UTC) + timedelta(seconds=40)).isoformat(),
    )
    assert (await person.run("inbox")).status == 0
    person.run_out()
    ended = await person.run("inbox")
    assert (ended.status, "does not answer" in ended.err) == (NOT_DONE, True)
    person.change(token_endpoint=at)
    assert (await person.run("inbox")).status == 0


async def test_a_token_goes_to_no_other_api_than_it_was_gotten_for(person: Person) -> None:
    await person.login()
    other = person.terminal.url.replace("127.0.0.1", "localhost")
    ended = await person.run("inbox", "--url", other)
    assert (ended.status, "who is calling?" in ended.err) == (USAGE, True)
    assert (await person.run("inbox", "--url", f"{person.terminal.url}/")).status == 0
    assert (await person.run("inbox", COUNTERSIGN_URL=person.terminal.url)).status == 0


async def test_who_is_named_comes_before_the_environment_and_that_before_who_signed_in(
    person: Person,
) -> None:
    async def caller(*arguments: str, token: str = "") -> str:
        ended = await person.run("whoami", "--json", *arguments, COUNTERSIGN_TOKEN=token)
        assert ended.status == 0, ended
        return str(ended.json["subject"])

    await person.login("il-head")
    given = person.services.token("az-deputy")
    assert await caller("--as", "il-legal", token=given) == "il-legal"
    assert await caller(token=given) == "az-deputy"
    assert await caller() == "il-head"


# ---- signing out


async def test_who_signs_out_is_forgotten_here_and_at_the_issuer(person: Person) -> None:
    await person.login()
    kept = person.kept
    ended = await person.run("logout", "--json")
    assert ended.status == 0
    assert ended.json == {"api": person.terminal.url, "signed_out": True, "taken_back": True}
    assert person.files == []
    form = {
        "grant_type": "refresh_token",
        "client_id": "countersign-cli",
        "refresh_token": kept["refresh_token"],
    }
    assert (await person.http.post(kept["token_endpoint"], data=form)).json()["error"] == "invalid_grant"
    again = await person.run("logout", "--json")
    assert (again.status, again.json["signed_out"]) == (0, False)
    asked = await person.run("whoami")
    assert (asked.status, "countersign login" in asked.err) == (USAGE, True)


async def test_who_signs_out_while_the_issuer_is_away_is_forgotten_all_the_same(person: Person) -> None:
    await person.login()
    person.change(revocation_endpoint="http://127.0.0.1:1/revoke")
    ended = await person.run("logout", "--json")
    assert (ended.status, ended.json["taken_back"]) == (0, False)
    assert "the issuer was not told" in ended.err
    assert person.files == []


async def test_a_file_that_cannot_be_read_stops_the_command_and_signing_out_removes_it(
    person: Person,
) -> None:
    await person.login()
    person.files[0].write_text("{")
    ended = await person.run("inbox")
    assert (ended.status, "countersign logout" in ended.err) == (NOT_DONE, True)
    assert (await person.run("logout")).status == 0
    assert person.files == []
