"""``countersign audit export`` and the route under it: who gets a dossier, how it arrives, and what is left behind."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from countersign.runtime.embedded.services import Services
from tests.api.serving import an_api, of
from tests.cli.conftest import Terminal, terminal  # noqa: F401 - a fixture
from tests.dossier.conftest import Lives
from tests.dossier.making import exported, verify


def named(directory: Path, pattern: str) -> list[Path]:
    return list(directory.glob(pattern))


@pytest.fixture(scope="module")
async def desk(services: Services, working: None) -> AsyncIterator[httpx.AsyncClient]:
    async with an_api(services) as client:
        yield client


async def test_an_auditor_of_either_side_gets_it_as_a_download_and_nobody_else(lives: Lives) -> None:
    path = f"/v1/initiatives/{lives.ids['closed']}"
    reference = (await lives.office.get("az-auditor", path))["reference"]
    for who in ("il-auditor", "az-auditor"):
        answer = await lives.office.call(who, "GET", f"{path}/dossier")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/zip"
        assert answer.headers["content-disposition"] == f'attachment; filename="{reference}.zip"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
    for stranger in ("il-head", "il-lead", "operator"):
        assert (await lives.office.call(stranger, "GET", f"{path}/dossier")).status_code == 403
    assert (await lives.office.call(None, "GET", f"{path}/dossier")).status_code == 401
    absent = await lives.office.call("il-auditor", "GET", "/v1/initiatives/ILAZ-1999-0001/dossier")
    assert absent.status_code == 404


async def test_the_same_record_gives_the_same_bytes(lives: Lives) -> None:
    size = lives.checkpoint["size"]
    again = await exported(lives.office, lives.ids["closed"], "az-auditor", f"?checkpoint={size}")
    assert again == lives.archives["closed"]


async def test_a_checkpoint_that_there_is_not_or_that_not_all_have_signed_is_told(lives: Lives) -> None:
    path = f"/v1/initiatives/{lives.ids['closed']}/dossier?checkpoint=999999999"
    answer = await lives.office.call("il-auditor", "GET", path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_one_at_a_time_for_a_person_and_a_reader_who_goes_away_holds_up_nobody(
    lives: Lives, desk: httpx.AsyncClient, services: Services
) -> None:
    path = f"/v1/initiatives/{lives.ids['closed']}/dossier"
    answers = await asyncio.gather(*(desk.get(path, headers=of(services, "il-auditor")) for _ in range(3)))
    codes = sorted(one.status_code for one in answers)
    assert codes[0] == 200
    assert set(codes[1:]) <= {200, 429}
    assert 429 in codes
    async with httpx.AsyncClient(base_url=lives.office.urls[1], trust_env=False) as client:
        for _ in range(3):
            async with client.stream("GET", path, headers=of(services, "il-auditor")) as stream:
                assert stream.status_code == 200
                async for _piece in stream.aiter_raw(10):
                    break  # and goes away
            await asyncio.sleep(0.3)
    assert await exported(lives.office, lives.ids["closed"])


async def test_without_a_workflow_history_it_says_so_and_is_made_all_the_same(
    lives: Lives, desk: httpx.AsyncClient, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from countersign.api import history
    from countersign.api.errors import Problem

    async def gone(*_: object) -> None:
        raise Problem("not_found", "there is no workflow history of it (any more)")

    monkeypatch.setattr(history, "runs", gone)
    path = f"/v1/initiatives/{lives.ids['closed']}/dossier"
    place = tmp_path / "dossier.zip"
    place.write_bytes((await desk.get(path, headers=of(services, "il-auditor"))).content)
    found = await verify(place)
    assert found.status == 0, found.out
    assert "note: no workflow history: there is no workflow history of it (any more)" in found.out


async def test_export_saves_it_whole_verifies_it_and_says_what_it_is(
    lives: Lives,
    terminal: Terminal,  # noqa: F811
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    kept.write_text(lives.checkpoint["note"])
    done = await terminal("audit", "export", lives.ids["closed"], "--to", tmp_path, "--against", kept)
    assert done.status == 0, done
    assert "Nothing was altered." in done.out
    (saved,) = named(tmp_path, "*.zip")
    assert f"SHA-256 of the file:     {hashlib.sha256(saved.read_bytes()).hexdigest()}" in done.out
    assert saved.stat().st_mode & 0o077 == 0
    assert (await verify(saved)).status == 0
    there = await terminal("audit", "export", lives.ids["closed"], "--to", tmp_path)
    assert (there.status, "is there already" in there.err) == (2, True)
    as_json = await terminal.json("audit", "export", lives.ids["running"], "--to", tmp_path / "one.zip")
    assert as_json["path"] == str(tmp_path / "one.zip")
    assert as_json["sha256"] == hashlib.sha256((tmp_path / "one.zip").read_bytes()).hexdigest()
    assert (as_json["faults"], as_json["reference"][:5]) == ([], "ILAZ-")
    assert as_json["entries"] > 0 < as_json["files"]
    assert sorted(one.name for one in named(tmp_path, "*")) == sorted([saved.name, "kept", "one.zip"])


async def test_export_ends_with_a_status_that_scripts_can_use(
    lives: Lives,
    terminal: Terminal,  # noqa: F811
    tmp_path: Path,
) -> None:
    refused = await terminal(
        "audit", "export", lives.ids["closed"], "--to", tmp_path, "--json", who="il-head"
    )
    assert (refused.status, json.loads(refused.out)["code"]) == (1, "forbidden")
    absent = await terminal("audit", "export", "ILAZ-1999-0001", "--to", tmp_path)
    assert absent.status == 1
    nowhere = await terminal("audit", "export", lives.ids["closed"], "--to", tmp_path / "no" / "place.zip")
    assert (nowhere.status, "cannot be saved" in nowhere.err) == (2, True)
    no_keys = await terminal("audit", "export", lives.ids["closed"], "--keys", tmp_path / "no")
    assert no_keys.status == 2
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"items": []}).replace("[]", '[{"directorate": "il"}]'))
    wrong = await terminal("audit", "export", lives.ids["refused"], "--to", tmp_path, "--keys", keys)
    assert (wrong.status, "WRONG" in wrong.out) == (1, True)
    assert named(tmp_path, ".countersign-*") == []
