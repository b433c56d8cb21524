"""``make bench``: sign-offs through the engine against the bare twin, on the same servers, in turns A B A B."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from temporalio.client import Client
from temporalio.worker import Worker

from benchmarks.bare import TABLE, Bare, BareRecord
from countersign import worker as engine
from countersign.domain.agreement import read
from countersign.domain.matter import Response
from countersign.domain.proposal import Proposal
from countersign.runtime.embedded.services import embedded_services
from countersign.runtime.resources import default_agreement, directory
from countersign.store import agreements, documents, initiatives
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import Begin, Caller, SignOff, Submit
from countersign.workflows.options import workflow_id

RESULTS = Path(__file__).parent / "results"
MATTERS = ("clearance", "proposal", "agreement")
SIGN_OFFS = 12


@dataclass
class Row:
    """One figure; ``ratio`` is to ``reference``, measured in the same run."""

    name: str
    value: float
    unit: str
    reference: float | None
    ratio: float | None
    n: int
    spread: float


@dataclass
class Round:
    """What a round took: seconds for each answer, and CPU seconds of this process for each of them."""

    answers: list[float]
    cpu: float


async def engine_round(
    client: Client, database: Database, name: str, lives: int, proposal: Proposal
) -> Round:
    """The sign-offs of three matters on each of so many initiatives, one at a time."""
    agreement = read(default_agreement().read_text(encoding="utf-8"))
    async with database.transaction() as connection:
        await agreements.register(connection, agreement)
        await documents.keep(connection, proposal.content_hash(), proposal.document_form())
    answers: list[float] = []
    cpu = 0.0
    for life in range(lives):
        identifier = f"00000000-0000-7000-8000-{name}{life:08d}"
        submit = Submit(
            initiative=identifier,
            reference=f"BENCH-{name}-{life}",
            agreement=agreement.id,
            agreement_version=agreement.version,
            content_hash=proposal.content_hash(),
            applicant=Caller(person="applicants/bench"),
        )
        handle = await client.start_workflow(
            InitiativeWorkflow.run,
            Begin(submission=submit),
            id=workflow_id(identifier),
            task_queue="countersign",
        )
        await handle.execute_update(InitiativeWorkflow.submitted)
        for number in range(1, len(MATTERS) + 1):
            matter = None
            while matter is None:
                async with database.reading() as connection:
                    matter = await initiatives.matter(connection, identifier, number)
            steps = [(side, step.office) for side, chain in matter.chains.items() for step in chain]
            for side, office in steps:
                sign_off = SignOff(
                    id=f"{number}-{side}-{office}",
                    matter=number,
                    response=Response.APPROVE,
                    content_hash=matter.content_hash,
                    caller=Caller(person=f"{side}/{office}", directorate=side, offices=(office,)),
                )
                began, before = time.perf_counter(), time.process_time()
                answer = await handle.execute_update(InitiativeWorkflow.sign_off, sign_off)
                answers.append(time.perf_counter() - began)
                cpu += time.process_time() - before
                if answer.status != "counted":
                    raise RuntimeError(f"a sign-off of the benchmark was refused: {answer}")
    return Round(answers, cpu / len(answers))


async def bare_round(client: Client, name: str, lives: int) -> Round:
    """As many messages to bare twins, one at a time."""
    answers: list[float] = []
    cpu = 0.0
    for life in range(lives):
        handle = await client.start_workflow(Bare.run, SIGN_OFFS, id=f"bare-{name}-{life}", task_queue="bare")
        for number in range(SIGN_OFFS):
            began, before = time.perf_counter(), time.process_time()
            await handle.execute_update(Bare.take, {"id": str(number), "response": "approve"})
            answers.append(time.perf_counter() - began)
            cpu += time.process_time() - before
        await handle.result()
    return Round(answers, cpu / len(answers))


async def measure(quick: bool) -> list[Row]:
    """Both, in turns, after a round of each that does not count."""
    lives, rounds = (10, 2) if quick else (40, 4)
    proposal = Proposal.model_validate_json(
        (directory("examples") / "water-loss-detection.json").read_text(encoding="utf-8")
    )
    ours: list[Round] = []
    bare: list[Round] = []
    with tempfile.TemporaryDirectory() as place:
        async with embedded_services(Path(place) / "home", persistent=True) as services:
            database = Database(services.database_url)
            async with database.transaction() as connection:
                await connection.exec_driver_sql(TABLE)
            record = BareRecord(database)
            twin = Worker(services.client, task_queue="bare", workflows=[Bare], activities=[record.insert])
            async with engine.running(services.client, services.settings()), twin:
                await engine_round(services.client, database, "ffff", 3, proposal)
                await bare_round(services.client, "warm", 3)
                for number in range(rounds):
                    ours.append(
                        await engine_round(services.client, database, f"{number:04d}", lives, proposal)
                    )
                    bare.append(await bare_round(services.client, str(number), lives))
            await database.close()
    return [
        _row("durable answer to a sign-off, one at a time, median", "ms", 1000, ours, bare, "answers"),
        _row("CPU of worker and client for a sign-off", "ms", 1000, ours, bare, "cpu"),
    ]


def _row(name: str, unit: str, scale: float, ours: list[Round], bare: list[Round], what: str) -> Row:
    def figures(rounds: list[Round]) -> list[float]:
        if what == "answers":
            return [statistics.median(one.answers) * scale for one in rounds]
        return [one.cpu * scale for one in rounds]

    mine, theirs = figures(ours), figures(bare)
    value, reference = statistics.median(mine), statistics.median(theirs)
    return Row(name, value, unit, reference, value / reference, len(mine), max(mine) - min(mine))


def main() -> None:
    """Measure, print, keep."""
    rows = asyncio.run(measure(bool(os.environ.get("QUICK"))))
    machine = {
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "cores": os.cpu_count(),
        "temporalio": version("temporalio"),
        "sqlalchemy": version("sqlalchemy"),
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(
        json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}, indent=2) + "\n",
        encoding="utf-8",
    )
    print("| measure | engine | bare twin | ratio | rounds | spread |\n| --- | --- | --- | --- | --- | --- |")
    for row in rows:
        print(
            f"| {row.name} | {row.value:.2f} {row.unit} | {row.reference:.2f} {row.unit} "
            f"| {row.ratio:.2f} | {row.n} | {row.spread:.2f} |"
        )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
