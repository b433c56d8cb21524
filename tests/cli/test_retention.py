"""``countersign retention`` at the command line of whoever runs the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.store import trail
from countersign.store.roles import KEEPER
from countersign.store.session import Database
from tests.cli.conftest import Ended, Terminal, run
from tests.store.named import LONG_AGO, Named, places_of

DATABASE = "retention"


@pytest.fixture(scope="module")
async def url(services: Services) -> str:
    """A database of its own: what is redacted here is nobody else's."""
    made = await services.postgres.create_database(DATABASE)
    await migrate(made)
    return made


@pytest.fixture(scope="module")
def keeper(services: Services, url: str) -> str:
    """Whoever redacts connects as the keeper, and as nobody who could do more."""
    return services.postgres.url(DATABASE, role=KEEPER)


@pytest.fixture
async def own(url: str) -> AsyncIterator[Database]:
    opened = Database(url, pool_size=2)
    yield opened
    await opened.close()


async def withdrawn(database: Database, names: str | None = None) -> Named:
    life = Named(names=names)
    life.begin()
    life.withdraw()
    return await life.on_record(database)


async def test_what_is_due_is_listed_then_redacted_once_and_what_runs_is_left_alone(
    keeper: str, own: Database
) -> None:
    async def retention(*arguments: str) -> Ended:
        return await run("retention", *arguments, COUNTERSIGN_DATABASE_URL=keeper)

    assert (await retention()).out == "Nothing is due.\n"
    first, second = await withdrawn(own), await withdrawn(own)
    running = Named(names=second.names)
    running.begin()
    await running.on_record(own)
    early, listed, raw, future, unnamed = await asyncio.gather(
        retention("--at", "2021-03-01"),
        retention("--at", "2021-03-02"),
        retention("--json"),
        retention("--redact", "--at", f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%d}"),
        retention("--redact", "--by", "Plonit Almonit"),
    )
    assert early.out == "Nothing is due.\n"
    for life in (first, second):
        (line,) = [one for one in listed.out.splitlines() if life.state.reference in one]
        assert "withdrawn" in line
        assert "2021-03-01 09:00 UTC" in line
        assert "10 years (the programme)" in line
    assert [one["id"] for one in raw.json["items"]] == sorted([first.id, second.id])
    assert raw.json["items"][0] | {"id": first.id} == {
        "id": first.id,
        "reference": raw.json["items"][0]["reference"],
        "stage": "withdrawn",
        "ended_at": LONG_AGO.isoformat(),
        "due_at": LONG_AGO.replace(year=2021).isoformat(),
        "years": 10,
        "directorate": None,
        "redacted": None,
        "kept": None,
        "erased": None,
        "problem": None,
    }
    assert (future.status, "--at is a day to come" in future.err) == (2, True)
    assert (unnamed.status, "no spaces" in unnamed.err) == (2, True)
    for life in (first, second):
        assert await places_of(own, life.names) == ["document"]

    done = await retention("--redact", "--by", "plonit")

    assert done.status == 0, done
    lines = {one.split(maxsplit=1)[0]: one.rstrip() for one in done.out.splitlines() if one}
    assert lines[first.state.reference].endswith("documents redacted: 1")
    assert lines[second.state.reference].endswith("documents redacted: 0, 1 kept for another initiative")
    assert await places_of(own, first.names) == []
    assert await places_of(own, second.names) == ["document"]
    again = await retention("--redact", "--json")
    assert (again.status, again.json) == (0, {"items": []})
    async with own.reading() as connection:
        entries = await trail.entries_from(connection, first.id)
        untouched = await trail.entries_from(connection, running.id)
    assert (entries[-1].action, entries[-1].actor) == ("record.redacted", "operator/plonit")
    assert datetime.now(UTC) - entries[-1].instant < timedelta(minutes=5)
    assert untouched == tuple(running.entries)
    assert running.stage() is not Stage.WITHDRAWN


async def test_what_was_redacted_is_told_as_json(keeper: str, own: Database) -> None:
    life = await withdrawn(own)
    done = await run("retention", "--redact", "--json", COUNTERSIGN_DATABASE_URL=keeper)
    (item,) = [one for one in done.json["items"] if one["id"] == life.id]
    assert (item["redacted"], item["kept"]) == ([life.proposal.content_hash()], [])


async def test_without_the_setting_it_is_the_database_of_the_home(
    terminal: Terminal, database: Database
) -> None:
    life = await withdrawn(database)
    listed = await terminal.json("retention")
    assert life.id in [one["id"] for one in listed["items"]]
    elsewhere = await run("retention", "--home", str(terminal.home / "no-such-home"))
    assert (elsewhere.status, "nothing runs on" in elsewhere.err) == (3, True)


async def test_a_database_that_is_away_is_told_plainly() -> None:
    ended = await run(
        "retention", COUNTERSIGN_DATABASE_URL="postgresql+asyncpg://postgres@127.0.0.1:9/countersign"
    )
    assert (ended.status, ended.err.count("\n")) == (1, 1)
    assert "the database does not answer" in ended.err
