"""What becomes of reads, of open initiatives and of the log as the programme grows.

``python -m benchmarks.growth [--quick]`` measures this alone.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from sqlalchemy import make_url, text

from benchmarks.bulk import PER_INITIATIVE, PLANS, Bulk, Cast
from benchmarks.rows import Goal, Row, at_least, at_most, row, table
from benchmarks.servers import Measured, servers
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.ids import workflow_id
from countersign.domain.matter import Caller, Response, SignOff
from countersign.domain.projection import Task, waited_for
from countersign.runtime.embedded.ports import free_ports
from countersign.runtime.migrate import migrate
from countersign.runtime.verification import verify
from countersign.store import log
from countersign.store.roles import API
from countersign.store.session import Database
from countersign.store.verification import at_one_moment
from countersign.workflows.initiative import InitiativeWorkflow

SMALL: Final = 100
LARGE: Final = 10_000
QUICK: Final = 1_000
"""Initiatives, each with a hundred entries on average."""

VERIFIED: Final = 1_000
"""Of so many initiatives the whole record is verified: it takes as long for each of ten times as many."""

PAGE: Final = 10
"""Items of a page: so few that every page is full at the small size, too."""

STARTS_AT_ONCE: Final = 40
MEGABYTE: Final = 1_000_000


@dataclass(frozen=True)
class Read:
    """Something that somebody reads."""

    name: str
    who: str
    path: str


# ---- reads


def reads(bulk: Bulk) -> list[Read]:
    """Every kind of read, on what is there in any size."""
    # In the middle, and of the same mould whatever the size.
    state = bulk.begin(bulk.loaded[len(bulk.loaded) // 2 // len(PLANS) * len(PLANS) + 1]).state
    assert state is not None
    ids = sorted(str(one) for one in bulk.ids())
    deep = ids[len(ids) // 10]
    times = sorted(one for one in bulk.instants())
    month = {"from": times[len(times) // 3], "to": times[len(times) // 3 * 2]}

    def initiatives(**filters: str | int) -> str:
        return f"/v1/initiatives?{urlencode(filters | {'limit': PAGE})}"

    def audit(**filters: str | int) -> str:
        return f"/v1/audit?{urlencode(filters | {'limit': PAGE})}"

    one = f"/v1/initiatives/{state.id}"
    last = f"{times[len(times) // 10]}.{len(times) * 50}"
    return [
        Read("list", "il-secretariat", initiatives()),
        Read("list by stage", "il-secretariat", initiatives(stage="closing")),
        Read("list by who is waited for", "il-secretariat", initiatives(waits_for="az")),
        Read("list by a word of the title", "il-secretariat", initiatives(text="harvest")),
        Read("list by a whole title", "il-secretariat", initiatives(text=f"harvest {PAGE}")),
        Read("list by a reference", "il-secretariat", initiatives(text=state.reference)),
        Read("list by a text that nobody has", "il-secretariat", initiatives(text="no such title")),
        Read("list, a deep page", "il-secretariat", initiatives(cursor=deep)),
        Read("list of a partner", "az-partner", initiatives()),
        Read("inbox of an office", "il-officer", f"/v1/inbox?limit={PAGE}"),
        Read("inbox of a head", "il-head", f"/v1/inbox?limit={PAGE}"),
        Read("inbox of a partner", "az-partner", f"/v1/inbox?limit={PAGE}"),
        Read("one initiative", "il-officer", one),
        Read("its matters", "il-officer", f"{one}/matters"),
        Read("its audit trail", "il-auditor", f"{one}/audit"),
        Read("its proposal, to a partner", "az-partner", f"{one}/proposal"),
        Read("a report of it, to a partner", "az-partner", f"{one}/reports/5"),
        Read("a decision on it, to a partner", "az-partner", f"{one}/matters/2/decision"),
        Read("audit search", "il-auditor", audit()),
        Read("audit search, a deep page", "il-auditor", audit(cursor=last)),
        Read("audit search by actor", "il-auditor", audit(actor="il/il-head")),
        Read("audit search by action", "il-auditor", audit(action="message.refused")),
        Read(
            "audit search by actor and action",
            "il-auditor",
            audit(actor="az/az-secretariat", action="message.refused"),
        ),
        Read("audit search by time", "il-auditor", audit(**month)),
        Read("audit search by action and time", "il-auditor", audit(action="tranche.paid", **month)),
        Read("audit search by initiative", "il-auditor", audit(initiative=state.reference)),
    ]


@dataclass(frozen=True)
class Served:
    """An API on one database, by its port, and what is read from it."""

    port: int
    wanted: Sequence[Read]


def _timed(served: Sequence[Served], tokens: dict[str, str], times: int) -> list[dict[str, list[float]]]:
    """Milliseconds of each answer over connections that are kept.

    The same read of every API in turn, so that whatever else the machine does meets all of them.
    """
    connections = [http.client.HTTPConnection("127.0.0.1", one.port, timeout=60) for one in served]
    took: list[dict[str, list[float]]] = [{one.name: [] for one in each.wanted} for each in served]
    for number in range(times + 2):
        for reads_ in zip(*(each.wanted for each in served), strict=True):
            for one, connection, into in zip(reads_, connections, took, strict=True):
                began = time.perf_counter()
                connection.request("GET", one.path, headers={"Authorization": f"Bearer {tokens[one.who]}"})
                response = connection.getresponse()
                body = response.read()
                if response.status != 200:
                    raise RuntimeError(f"{one.path} was answered {response.status}: {body[:300]!r}")
                if number >= 2:
                    into[one.name].append((time.perf_counter() - began) * 1000)
    for connection in connections:
        connection.close()
    return took


@asynccontextmanager
async def _api(measured: Measured, bulk: Bulk, name: str = "api") -> AsyncIterator[int]:
    """The API as a process of its own, in its own role, and its port."""
    (port,) = free_ports(0)
    settings = {
        "COUNTERSIGN_DATABASE_URL": make_url(bulk.url).set(username=API).render_as_string(),
        "COUNTERSIGN_PORT": str(port),
        "COUNTERSIGN_ISSUERS": json.dumps(measured.services.issuers),
    }
    async with measured.process(name, "-m", "countersign", "api", **settings):
        for _ in range(600):
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            break
        yield port


async def _reads(measured: Measured, few: Bulk, many: Bulk, times: int) -> list[Row]:
    async with (
        _api(measured, few, "api-few") as port_of_few,
        _api(measured, many, "api-many") as port_of_many,
    ):
        served = [Served(port_of_few, reads(few)), Served(port_of_many, reads(many))]
        tokens = {one.who: measured.services.token(one.who) for one in served[0].wanted}
        before, after = await asyncio.to_thread(_timed, served, tokens, times)
    entries = len(many.loaded) * PER_INITIATIVE
    return [
        row(
            f"{name}, {len(many.loaded):,} initiatives and {entries:,} entries",
            "ms",
            _undisturbed(after[name]),
            _undisturbed(before[name]),
            against=f"{len(few.loaded):,} and {len(few.loaded) * PER_INITIATIVE:,}",
            goal=at_most(1.5),
        )
        for name in before
    ]


def _undisturbed(took: list[float]) -> list[float]:
    """The faster half: whatever else the machine does makes an answer slower, never faster."""
    return sorted(took)[: (len(took) + 1) // 2]


# ---- the log


async def _logged(database: Database) -> float:
    """Entries a second that the log takes in, of all that are recorded."""
    began, taken = time.perf_counter(), 0
    while True:
        async with database.transaction() as connection:
            some = await log.grow(connection)
        if not some:
            return taken / (time.perf_counter() - began)
        taken += some


async def _verified(database: Database, agreement: ProgrammeAgreement, times: int) -> list[float]:
    """Entries a second of which the whole record is derived again, and the log over them."""
    rates: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        async with database.transaction() as connection:
            await at_one_moment(connection)
            found = await verify(connection, agreement)
        if found.faults:
            raise RuntimeError(f"the record does not verify: {found.faults[:3]}")
        rates.append(found.entries / (time.perf_counter() - began))
    return rates


async def _verification(measured: Measured, few: Bulk, bulk: Bulk) -> list[Row]:
    """The whole record, as an auditor verifies it, against one of ten thousand entries."""
    small = Database(few.url, pool_size=1)
    # The keys are of today, and what they signed is of years ago: whose signatures hold is not looked at.
    agreement = bulk.agreement.model_copy(update={"signing_key": ()})
    entries = len(bulk.loaded) * PER_INITIATIVE
    try:
        before, taken = await _logged(small), await _logged(measured.database)
        rates = await _verified(small, agreement, 3), await _verified(measured.database, agreement, 1)
    finally:
        await small.close()
    against = f"{SMALL * PER_INITIATIVE:,} entries"
    return [
        row(f"the log takes in {entries:,} entries", "entries/s", [taken], [before], against=against),
        row(
            f"verification of the whole record, {entries:,} entries",
            "entries/s",
            rates[1],
            rates[0],
            against=against,
            goal=at_least(0.9),
        ),
    ]


# ---- bytes


async def _bytes(measured: Measured) -> dict[str, int]:
    """Of tables with what belongs to them, of their indexes, and of the trail with its indexes."""
    query = (
        "SELECT sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint, "
        "sum(pg_total_relation_size(oid)) FILTER (WHERE relname = 'audit_entry')::bigint "
        "FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    async with measured.database.reading() as connection:
        tables, indexes, entries = (await connection.execute(text(query))).one()
    return {"tables": tables, "indexes": indexes, "the trail of these": entries}


def _temporal_bytes(measured: Measured) -> int:
    return sum(one.stat().st_size for one in measured.services.home.temporal.glob("temporal.db*"))


# ---- open initiatives


class Open:
    """Workflows that wait, as a run would that continued with the state on record."""

    def __init__(self, measured: Measured, bulk: Bulk) -> None:
        self._measured, self._bulk = measured, bulk
        self._left = [one for one in bulk.loaded if not one.mould.over]
        random.Random(1).shuffle(self._left)
        self.started: list[Cast] = []
        self._signed: set[int] = set()

    async def start(self, until: int) -> float:
        """Start more of them until there are so many; the seconds until all of them wait."""
        wanted = self._left[len(self.started) : until]
        if len(self.started) + len(wanted) < until:
            raise RuntimeError("too few open initiatives were loaded")
        began = time.perf_counter()
        left = iter(wanted)

        async def one_after_the_other() -> None:
            for cast in left:
                begin = self._bulk.begin(cast)
                await self._measured.client.start_workflow(
                    InitiativeWorkflow.run,
                    begin,
                    id=workflow_id(begin.submission.initiative),
                    task_queue="countersign",
                )

        async with asyncio.TaskGroup() as tasks:
            for _ in range(STARTS_AT_ONCE):
                tasks.create_task(one_after_the_other())
        self.started += wanted
        await self._quiet()
        return time.perf_counter() - began

    async def sign(self, among: Sequence[Cast], times: int) -> list[float]:
        """Milliseconds until each of some sign-offs is answered, one at a time, on another initiative each."""
        took: list[float] = []
        for cast in among:
            if len(took) == times:
                break
            if not cast.mould.opened or cast.number in self._signed:
                continue
            self._signed.add(cast.number)
            state = self._bulk.begin(cast).state
            assert state is not None
            waits = next(one for one in waited_for(state) if one.task is Task.SIGN_OFF)
            matter = state.matter(waits.number)
            assert matter is not None
            assert waits.office is not None
            message = SignOff(
                id=f"growth-{cast.number}",
                matter=matter.number,
                response=Response.APPROVE,
                content_hash=matter.content_hash,
                caller=Caller(
                    person=f"{waits.directorate}/bench-{waits.office}",
                    directorate=waits.directorate,
                    offices=(waits.office,),
                ),
            )
            handle = self._measured.client.get_workflow_handle(workflow_id(state.id))
            began = time.perf_counter()
            answer = await handle.execute_update(InitiativeWorkflow.sign_off, message)
            took.append((time.perf_counter() - began) * 1000)
            if answer.status != "counted":
                raise RuntimeError(f"a sign-off of the benchmark was refused: {answer}")
            await asyncio.sleep(
                0.02
            )  # a position that is in is signed and decided on now; not part of the answer
        return took

    async def _quiet(self) -> None:
        """Wait until the worker has nothing to do."""
        before = self._measured.cpu()["worker"]
        while True:
            await asyncio.sleep(0.5)
            now = self._measured.cpu()["worker"]
            if now - before < 0.05:
                return
            before = now


async def _opened(measured: Measured, bulk: Bulk, sizes: Sequence[int], cache: int | None) -> list[Row]:
    """Memory, answers and bytes with ever more open initiatives; ``cache`` is the worker's, if not as it comes."""
    rows: list[Row] = []
    limit = cache or measured.services.settings().workflow_cache
    setting = {} if cache is None else {"COUNTERSIGN_WORKFLOW_CACHE": str(cache)}
    times = 30
    async with measured.process("worker", "-m", "countersign", "worker", **setting):
        await measured.polled("countersign")
        opened = Open(measured, bulk)
        await opened.start(10)
        empty, first = _temporal_bytes(measured), 10
        reference: list[float] = []
        for size in sizes:
            seconds = await opened.start(size)
            resident = measured.memory()
            recent = opened.started[: -limit // 2 - 1 : -1]
            answers = await opened.sign(recent, times)
            reference = reference or answers
            rows.append(
                row(
                    f"answer to a sign-off, {size:,} open, in the worker's cache",
                    "ms",
                    answers,
                    reference,
                    against=f"{sizes[0]:,} open",
                )
            )
            for name, held in resident.items():
                goal = Goal("value", "<=", 600) if name == "worker" and cache is None else None
                rows.append(row(f"memory of {name}, {size:,} open", "MB", [held / MEGABYTE], goal=goal))
            print(f"{size:,} open after {seconds:.0f} s", file=sys.stderr)
        if sizes[-1] > limit + 2 * times:
            # Started first, used by nobody since, and many times the cache came after them.
            answers = await opened.sign(opened.started, times)
            rows.append(
                row(
                    f"answer to a first sign-off on an initiative evicted from the cache, {sizes[-1]:,} open",
                    "ms",
                    answers,
                    goal=Goal("value", "<=", 300),
                )
            )
        grown = _temporal_bytes(measured) - empty
        rows.append(row("Temporal, for an open initiative", "kB", [grown / (sizes[-1] - first) / 1000]))
    return rows


# ---- all of it


async def measure(measured: Measured, quick: bool) -> list[Row]:
    """Every figure; quick, with a tenth of the large sizes."""
    large, times = (QUICK, 10) if quick else (LARGE, 30)
    bulk = Bulk(measured)
    await bulk.prepare()
    url = await measured.services.postgres.create_database("few")
    await migrate(url)
    few = Bulk(measured, beside=bulk, url=url)
    await few.load(SMALL)
    empty = await _bytes(measured)
    seconds = await bulk.load(VERIFIED)
    rows = await _verification(measured, few, bulk)
    seconds += await bulk.load(large - VERIFIED)
    await bulk.check(20)
    held = await _bytes(measured)
    # Else the worker's first checkpoint would, while it is measured.
    await _logged(measured.database)
    rows += await _reads(measured, few, bulk, times)
    rows.append(row("filling it, by COPY with every check", "entries/s", [large * PER_INITIATIVE / seconds]))
    rows += [
        row(f"PostgreSQL for an initiative, {name}", "kB", [(held[name] - empty[name]) / large / 1000])
        for name in held
    ]
    missing = large - sum(not one.mould.over for one in bulk.loaded)
    await bulk.load(missing, opened=True)
    async with _api(measured, bulk):
        # In quick, a smaller cache, so that something is evicted from it.
        sizes, cache = ([100, 1_000], 300) if quick else ([100, 1_000, 10_000], None)
        rows += await _opened(measured, bulk, sizes, cache)
    return rows


async def _alone(quick: bool) -> list[Row]:
    with tempfile.TemporaryDirectory() as place:
        async with servers(Path(place)) as measured:
            return await measure(measured, quick)


def main() -> None:
    """Measure and print."""
    began = time.perf_counter()
    rows = asyncio.run(_alone("--quick" in sys.argv or bool(os.environ.get("QUICK"))))
    print(table(rows))
    print(f"\nIn {time.perf_counter() - began:.0f} s.")


if __name__ == "__main__":
    main()
