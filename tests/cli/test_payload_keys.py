"""The keys of payloads from the command line, and the embedded default that is restarted with another one."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowHistory

from countersign.runtime import payload_keys
from countersign.runtime.archive import Press
from countersign.runtime.embedded.home import Endpoints
from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.runtime.payload_codec import EncryptingCodec
from countersign.runtime.payload_keys import KeyRing
from countersign.runtime.resources import directory
from countersign.store import histories
from countersign.store.roles import API, KEEPER
from countersign.store.session import Database
from tests.at_rest import found_in, shown
from tests.cli.conftest import environment, run
from tests.eventually import eventually
from tests.people import example
from tests.store.making import new_id


async def test_keys_are_made_rotated_and_dropped_and_none_is_ever_printed(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "payload.jwks.json"
    said = ""
    secrets: set[str] = set()

    async def keys(*arguments: str) -> Any:
        ended = await run("payload-keys", *arguments, "--keys", file, "--json")
        assert ended.status == 0, ended
        nonlocal said
        said += ended.out + ended.err
        secrets.update(one["k"] for one in json.loads(file.read_text())["keys"])
        return ended.json

    first = await keys("add")
    assert first["keys"] == [first["current"]]
    assert file.stat().st_mode & 0o777 == 0o600
    second = await keys("add")
    assert second["current"] == first["current"]
    new = second["keys"][1]
    assert (await keys("use", new))["keys"] == [new, first["current"]]
    assert (await keys("drop", first["current"]))["keys"] == [new]
    assert await keys("list") == {"file": str(file), "current": new, "keys": [new]}
    assert len(secrets) == 2
    assert [one for one in secrets if one in said] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list",), "cannot be read"),
        (("use", "2020-01-01"), "cannot be read"),
        (("drop", "2020-01-01"), "cannot be read"),
    ],
)
async def test_keys_that_are_not_there_are_not_made_by_the_way(
    arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    ended = await run("payload-keys", *arguments, COUNTERSIGN_PAYLOAD_KEYS=str(tmp_path / "keys.json"))
    assert ended.status == 2
    assert says in ended.err
    assert not (tmp_path / "keys.json").exists()


async def test_the_current_key_cannot_be_dropped_nor_one_be_used_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    current = payload_keys.read(payload_keys.ensure(file)).current.id
    dropped, used = await asyncio.gather(
        run("payload-keys", "drop", current, "--keys", file), run("payload-keys", "use", "x", "--keys", file)
    )
    assert (dropped.status, used.status) == (2, 2)
    assert "is the current key" in dropped.err
    assert "there is no key x" in used.err
    assert payload_keys.read(file).ids == (current,)


@pytest.mark.parametrize("role", [None, API])
async def test_a_key_that_archived_histories_are_sealed_with_cannot_be_dropped(
    role: str | None, services: Services, tmp_path: Path
) -> None:
    file, name = tmp_path / "keys.json", f"sealed_{role}"
    first = payload_keys.read(payload_keys.ensure(file))
    owner = await services.postgres.create_database(name)
    await migrate(owner)
    await archived(owner, first)
    payload_keys.write(file, first.with_new())
    new = payload_keys.read(file).ids[1]
    assert (await run("payload-keys", "use", new, "--keys", file)).status == 0
    url = owner if role is None else services.postgres.url(name, role=role)
    refused = await run(
        "payload-keys", "drop", first.current.id, "--keys", file, COUNTERSIGN_DATABASE_URL=url
    )
    assert refused.status == 1
    assert f"1 archived histories are sealed with {first.current.id}" in refused.err
    assert payload_keys.read(file).ids == (new, first.current.id)
    for blind in (
        "postgresql+asyncpg://nobody@127.0.0.1:1/none",
        services.postgres.url(name, role=KEEPER),  # it may not read them
    ):
        command = ("payload-keys", "drop", first.current.id, "--keys", file)
        away = await run(*command, COUNTERSIGN_DATABASE_URL=blind)
        assert away.status == 1
        assert "archived histories may be sealed with it" in away.err
        assert "Traceback" not in away.err
        assert payload_keys.read(file).ids == (new, first.current.id)
    unused = payload_keys.read(file).with_new()
    payload_keys.write(file, unused)
    dropped = await run("payload-keys", "drop", unused.ids[2], "--keys", file, COUNTERSIGN_DATABASE_URL=url)
    assert (dropped.status, dropped.err) == (0, "")
    assert payload_keys.read(file).ids == (new, first.current.id)


async def archived(url: str, ring: KeyRing) -> None:
    """A history in the archive, sealed with the current one of some keys."""
    now, database = datetime.now(UTC), Database(url, pool_size=1)
    packed = Press(EncryptingCodec(ring)).pack(WorkflowHistory(new_id(), []), run_id := new_id())
    made = histories.Run(
        run_id=run_id,
        initiative_id=new_id(),
        continued_from=None,
        continued_to=None,
        status=histories.COMPLETED,
        started_at=now,
        closed_at=now,
        events=0,
        builds=(),
        content_hash=packed.content_hash,
        sealed_hash=packed.sealed_hash,
    )
    async with database.transaction() as connection:
        assert await histories.put(connection, "agreement", made, packed.content, now)
    await database.close()


@pytest.mark.parametrize("command", ["worker", "api"])
async def test_no_process_that_handles_content_starts_without_keys(command: str, tmp_path: Path) -> None:
    unset = await run(command, COUNTERSIGN_DATABASE_URL="postgresql+asyncpg://nowhere")
    wrong = tmp_path / "keys.json"
    wrong.write_text('{"keys": [{"kty": "oct", "kid": "k", "k": "dG9vLXNob3J0"}]}')
    unusable = await run(
        command, COUNTERSIGN_DATABASE_URL="postgresql+asyncpg://nowhere", COUNTERSIGN_PAYLOAD_KEYS=str(wrong)
    )
    assert (unset.status, unusable.status) == (2, 2)
    assert "COUNTERSIGN_PAYLOAD_KEYS names no file" in unset.err
    assert "has not 32 bytes" in unusable.err
    assert "dG9vLXNob3J0" not in unusable.err


# ---- the embedded default


@pytest.fixture
def place() -> Iterator[Path]:
    """A home with a name that is short enough for sockets in it."""
    made = Path(tempfile.mkdtemp(prefix="cs-"))
    yield made / "home"
    shutil.rmtree(made, ignore_errors=True)


@asynccontextmanager
async def up(home: Path) -> AsyncIterator[Endpoints]:
    """``countersign up`` on a home, for as long as the block lasts."""
    (port,) = free_ports(0)
    arguments = ("up", "--home", str(home), "--port", str(port), "--no-examples", "--json")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "countersign", *arguments),
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    told = ""
    async with asyncio.timeout(120):
        while not told.endswith("\n}\n"):
            line = await process.stdout.readline()
            assert line, told
            told += line.decode()
    try:
        yield Endpoints.model_validate_json(told)
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0


@pytest.mark.slow
async def test_the_embedded_default_keeps_its_keys_and_goes_on_with_another_one(place: Path) -> None:
    """As in docs/operations.md: a key is added, then used; what was written with the old one is read on."""
    keys = place / "keys" / "payload.jwks.json"
    comment = "Between ourselves: the pumps are old."

    async def command(*arguments: str, who: str | None = None) -> Any:
        named = ("--as", who) if who else ()
        ended = await run(*arguments, *named, "--home", place, "--json")
        assert ended.status == 0, ended
        return ended.json

    async with up(place) as endpoints:
        assert keys.stat().st_mode & 0o777 == 0o600
        made = keys.read_bytes()
        file = place / "proposal.json"
        file.write_text(json.dumps(example("water-loss-detection")))
        papers = directory("examples") / "documents"
        submitted = await command("submit", str(file), "--documents", str(papers), who="il-lead")
        one = submitted["id"]
        token = (await run("token", "il-legal", "--home", place)).out.strip()
        said = ("sign", one, "approve", "--comment", comment, "--url", endpoints.api)
        signed = await run(*said, COUNTERSIGN_TOKEN=token)
        assert signed.status == 0, signed
        secret = {comment, token, "il/il-legal", "water-loss"}
        plain = {"InitiativeWorkflow", submitted["reference"]}
        assert found_in(place, secret | plain) == plain
        assert comment not in await shown(endpoints.temporal_address, one)
        auditor = (await run("token", "az-auditor", "--home", place)).out.strip()
        authorised = ("--codec-endpoint", f"{endpoints.api}/v1/codec", "--codec-auth", f"Bearer {auditor}")
        readable = await shown(endpoints.temporal_address, one, *authorised)
        assert [
            text for text in (comment, "il/il-legal", submitted["reference"]) if text not in readable
        ] == []
        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            ui = (await client.get(f"{endpoints.ui}/api/v1/settings")).json()
            assert ui["Codec"]["Endpoint"] == f"{endpoints.api}/v1/codec"
            asked = {"Origin": endpoints.ui, "Access-Control-Request-Method": "POST"}
            allowed = await client.options(f"{ui['Codec']['Endpoint']}/decode", headers=asked)
            assert allowed.headers["access-control-allow-origin"] == endpoints.ui

        another = example("water-loss-detection")
        another["title"]["en"] += ", once more"
        file.write_text(json.dumps(another))
        ended = (await command("submit", str(file), "--documents", str(papers), who="il-lead"))["id"]
        await command("withdraw", ended, "--reasons", "once is enough", who="il-lead")

        async def is_archived() -> bool:
            swept = await command("audit", "archive", who="il-auditor")
            return bool(swept["is_done"] and swept["archived"])

        await eventually(is_archived)

    added = await command("payload-keys", "add")
    rotated = await command("payload-keys", "use", added["keys"][1])
    assert json.loads(made)["keys"][0]["kid"] == rotated["keys"][1]

    async with up(place):
        await command("sign", one, "approve", "--comment", comment, who="az-officer")
        read = await command("history", one, who="az-auditor")
        told = " ".join(sentence["sentence"] for sentence in read["items"])
        assert "il/il-legal sent sign_off (matter 1, approve)" in told
        assert "az/az-officer sent sign_off (matter 1, approve)" in told
        raw = json.dumps(await command("history", one, "--temporal-json", who="il-auditor"))
        assert "binary/encrypted" not in raw
        assert found_in(place, {comment, *rotated["keys"]}) == set(rotated["keys"])
        # Moving the clock sends no content, and needs no key.
        assert (await command("skip", one, "1h"))["id"] == one
        refused = await run("payload-keys", "drop", rotated["keys"][1], "--home", place)
        assert refused.status == 1
        assert "1 archived histories are sealed with" in refused.err
    assert payload_keys.read(keys).ids == tuple(rotated["keys"])
