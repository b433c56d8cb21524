"""The work: an initiative of the shipped agreement with four report periods, every message and every record of it.

Driven through the workflow in a closed loop: whoever is waited for answers at once, and sends the next message when
the last one is answered.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from temporalio.client import WorkflowHandle
from temporalio.testing import TimeSkipper

from benchmarks.servers import Measured
from countersign.cli.rehearsal import report_of
from countersign.domain.agreement import FINANCE_OFFICE, ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.domain.ids import uuid7, workflow_id
from countersign.domain.matter import Caller, Response, SignOff
from countersign.domain.model import Model
from countersign.domain.proposal import Proposal, contact_key
from countersign.domain.reporting import ReportDue
from countersign.runtime.resources import default_agreement, directory
from countersign.store import agreements, documents, initiatives
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import (
    Answer,
    AuthoriseTranche,
    Begin,
    ConfirmTranche,
    Submit,
    SubmitReport,
)

PERIODS: Final = 4
QUEUE: Final = "countersign"

T = TypeVar("T")


def proposal() -> Proposal:
    """The shipped example whose duration makes four report periods."""
    text = (directory("examples") / "supercomputer-allocation.json").read_text(encoding="utf-8")
    return Proposal.model_validate_json(text)


def agreement() -> ProgrammeAgreement:
    """The shipped agreement."""
    return read(default_agreement().read_text(encoding="utf-8"))


@dataclass
class Lives:
    """What some lives took: ``answers`` are the seconds until each message was answered, by the message's name;
    ``messages`` are those of the first life.
    """

    answers: dict[str, list[float]] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def took(self, name: str, seconds: float) -> None:
        self.answers.setdefault(name, []).append(seconds)


class Work:
    """Carries initiatives on some servers."""

    def __init__(self, measured: Measured) -> None:
        self.database = measured.database
        self.skipper = TimeSkipper(measured.client)
        self.client = measured.client
        self.proposal, self.agreement = proposal(), agreement()
        self.sides = self.agreement.directorate_ids

    async def prepare(self) -> None:
        """Put the agreement and the proposal on record, as the API would have."""
        async with self.database.transaction() as connection:
            await agreements.register(connection, self.agreement)
            await documents.keep(connection, self.proposal.content_hash(), self.proposal.document_form())

    async def carry(self, initiatives_: int, at_once: int) -> Lives:
        """So many initiatives from proposal to closure, so many of them at once."""
        lives = Lives()
        left = iter(range(initiatives_))

        async def one_after_the_other() -> None:
            for _ in left:
                await _Life(self, lives).carry()

        began = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_once):
                tasks.create_task(one_after_the_other())
        lives.seconds = time.perf_counter() - began
        return lives


class _Life:
    def __init__(self, work: Work, lives: Lives) -> None:
        self._work, self._lives = work, lives
        self.id = str(uuid7(datetime.now(UTC), secrets.token_bytes(10)))
        self._handle: WorkflowHandle[Any, Any] = work.client.get_workflow_handle(workflow_id(self.id))
        lead = work.proposal.lead
        assert lead is not None
        self._applicant = Caller(person="applicants/bench", contact=contact_key(lead.contact.email))
        self._ends: dict[int, datetime] = {}
        self._skipped = timedelta(0)
        self._first = not lives.ids
        lives.ids.append(self.id)

    async def carry(self) -> None:
        await self._submit()
        for number in (1, 2, 3):
            await self._decide(number)
        await self._pay(1)
        for period in range(1, PERIODS + 1):
            await self._report(period)
            await self._decide(3 + period)
            if period < PERIODS:
                await self._pay(1 + period)
        await self._decide(4 + PERIODS)
        await self._pay(1 + PERIODS)
        await self._handle.result()

    async def _submit(self) -> None:
        work = self._work
        submit = Submit(
            initiative=self.id,
            reference=f"BENCH-{self.id[-12:]}",
            agreement=work.agreement.id,
            agreement_version=work.agreement.version,
            content_hash=work.proposal.content_hash(),
            applicant=self._applicant,
        )
        began = time.perf_counter()
        await work.client.start_workflow(
            InitiativeWorkflow.run, Begin(submission=submit), id=self._handle.id, task_queue=QUEUE
        )
        await self._handle.execute_update(InitiativeWorkflow.submitted)
        self._lives.took("submit", time.perf_counter() - began)

    async def _decide(self, number: int) -> None:
        seen = await self._eventually(lambda: initiatives.see_matter(self._work.database, self.id, number))
        matter = seen.matter
        for side, chain in matter.chains.items():
            for step in chain:
                await self._send(
                    "sign_off",
                    SignOff(
                        id=f"{number}-{side}-{step.office}",
                        matter=number,
                        response=Response.APPROVE,
                        content_hash=matter.content_hash,
                        caller=_holder(side, step.office),
                    ),
                )

    async def _pay(self, number: int) -> None:
        for name, kind in (("authorise_tranche", AuthoriseTranche), ("confirm_tranche", ConfirmTranche)):
            for side in self._work.sides:
                message = kind(
                    id=f"{name}-{number}-{side}",
                    caller=_holder(side, FINANCE_OFFICE, name),
                    tranche=number,
                    directorate=side,
                )
                await self._send(name, message)

    async def _report(self, number: int) -> None:
        if not self._ends:
            reports = await self._eventually(self._reports)
            self._ends = {one.number: one.ends_at for one in reports}
        # The clock of the workflow is ahead of everybody's by what was skipped so far.
        ahead = self._ends[number] + timedelta(hours=1) - datetime.now(UTC)
        await self._work.skipper.fast_forward(self._handle, ahead - self._skipped)
        self._skipped = ahead
        report = report_of(self._work.proposal, number, PERIODS)
        async with self._work.database.transaction() as connection:
            await documents.keep(connection, report.content_hash(), report.document_form())
        message = SubmitReport(
            id=f"report-{number}",
            caller=self._applicant,
            report=number,
            content_hash=report.content_hash(),
        )
        await self._send("submit_report", message)

    async def _send(self, name: str, message: Model) -> None:
        began = time.perf_counter()
        answer: Answer = await self._handle.execute_update(name, message, result_type=Answer)
        self._lives.took(name, time.perf_counter() - began)
        if self._first:
            self._lives.messages.append({"name": name, "message": message.model_dump(mode="json")})
        if answer.status != "counted":
            raise RuntimeError(f"a message of the benchmark was refused: {answer}")

    async def _eventually(self, look: Callable[[], Awaitable[T | None]]) -> T:
        pause = 0.002
        while (found := await look()) is None:
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.05)
        return found

    async def _reports(self) -> list[ReportDue] | None:
        async with self._work.database.reading() as connection:
            return await initiatives.reports(connection, self.id) or None


def _holder(side: str, office: str, which: str = "") -> Caller:
    return Caller(person=f"{side}/{office}{which}", name=office, directorate=side, offices=(office,))
