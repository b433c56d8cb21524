"""``countersign rehearse``: the whole life of a proposal on a virtual clock, against real servers of its own."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.testing import TimeSkipper

from countersign import worker
from countersign.cli.output import Failure
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.amounts import Amount, split
from countersign.domain.funding import PAID
from countersign.domain.ids import uuid7, workflow_id
from countersign.domain.matter import Caller, Response
from countersign.domain.projection import BY_THE_SYSTEM, TOLD, Task, Waiting
from countersign.domain.proposal import Proposal, contact_key
from countersign.domain.reporting import CostLine, Report, ReportDue
from countersign.domain.stage import TERMINAL, Stage
from countersign.runtime.embedded.services import Services, embedded_services
from countersign.runtime.signals import run_until_signalled
from countersign.store import agreements, documents, initiatives, trail
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import (
    Answer,
    AuthoriseTranche,
    Begin,
    ConfirmTranche,
    Ended,
    SignOff,
    Submit,
    SubmitReport,
)


class Pace(StrEnum):
    """When everybody acts: on the day they are due, or as soon as they can."""

    DEADLINE = "deadline"
    PROMPT = "prompt"


@dataclass(frozen=True, slots=True)
class Dated:
    """A line of the life: what happened or falls due when, and who it is about."""

    at: datetime
    what: str
    who: str = ""
    due: datetime | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """What a rehearsal saw. ``paid`` is in minor units per side and unit; ``history_events`` per run."""

    stage: Stage
    lines: tuple[Dated, ...]
    paid: dict[str, dict[str, int]]
    history_events: tuple[int, ...]
    entries: int


async def rehearse(
    proposal: Proposal,
    agreement: ProgrammeAgreement,
    agreement_file: Path,
    *,
    pace: Pace = Pace.DEADLINE,
    tell: Callable[[Dated], None] = lambda _: None,
) -> Life:
    """Carry a proposal that everybody approves through its whole life.

    The servers are its own and gone afterwards, so nothing of it gets into a record that counts.
    """
    with tempfile.TemporaryDirectory(prefix="countersign-rehearsal-") as place:
        async with embedded_services(Path(place) / "home") as services:
            settings = services.settings(agreement=agreement_file)
            async with worker.running(services.client, settings):
                database = Database(services.database_url)
                try:
                    return await _Rehearsal(services, database, proposal, agreement, pace, tell).run()
                finally:
                    await database.close()


class _Rehearsal:
    def __init__(
        self,
        services: Services,
        database: Database,
        proposal: Proposal,
        agreement: ProgrammeAgreement,
        pace: Pace,
        tell: Callable[[Dated], None],
    ) -> None:
        self._client: Client = services.client
        self._skipper = TimeSkipper(services.client)
        self._database = database
        self._proposal, self._agreement = proposal, agreement
        self._pace, self._tell = pace, tell
        self._lines: list[Dated] = []
        self._told = 0
        self._messages = 0
        self.id = str(uuid7(datetime.now(UTC), secrets.token_bytes(10)))
        self._handle: WorkflowHandle[InitiativeWorkflow, Ended] = services.client.get_workflow_handle_for(
            InitiativeWorkflow.run, workflow_id(self.id)
        )

    async def run(self) -> Life:
        await self._submit()
        while True:
            await self._tell_news()
            async with self._database.reading() as connection:
                found = await initiatives.find(connection, self.id)
                waiting = await initiatives.waiting(connection, self.id)
            if found is None or found.stage in TERMINAL:
                break
            if any(one.task is Task.BUDGET for one in waiting):
                raise Failure(f"it would go no further: {found.stage_reason}")
            if not waiting or any(one.task in BY_THE_SYSTEM for one in waiting):
                # The next step is the workflow's own and under way; to move the clock now would date it too late.
                await asyncio.sleep(0.02)
                continue
            todo = [one for one in waiting if one.task not in TOLD]
            first = min(todo, key=lambda one: (one.deadline is not None, one.deadline or one.since))
            await self._act(first)
        return await self._life(found.stage if found else Stage.LAPSED)

    async def _submit(self) -> None:
        content = self._proposal.content_hash()
        async with self._database.transaction() as connection:
            await agreements.register(connection, self._agreement)
            await documents.keep(connection, content, self._proposal.document_form())
        begin = Submit(
            initiative=self.id,
            reference=f"{self._agreement.reference_prefix}-REHEARSAL",
            agreement=self._agreement.id,
            agreement_version=self._agreement.version,
            content_hash=content,
            applicant=self._applicant,
        )
        await self._client.start_workflow(
            InitiativeWorkflow.run, Begin(submission=begin), id=self._handle.id, task_queue="countersign"
        )
        await self._handle.execute_update(InitiativeWorkflow.submitted)

    async def _act(self, waiting: Waiting) -> None:
        """Move the clock to when somebody would act, and act for them."""
        now = await self._skipper.get_current_time(self._handle)
        when = now
        if waiting.task is Task.REPORT:
            report = waiting.since  # its period's end
            when = report + timedelta(hours=1)
        if self._pace is Pace.DEADLINE and waiting.deadline is not None:
            when = waiting.deadline - timedelta(hours=1)
        if when > now:
            await self._skipper.fast_forward(self._handle, when - now)
        answer: Answer = await self._do(waiting)
        if answer.status != "counted":
            raise RuntimeError(f"{waiting.task} {waiting.number} was refused: {answer.code} {answer.detail}")

    async def _do(self, waiting: Waiting) -> Answer:
        self._messages += 1
        message = f"rehearsal-{self._messages}"
        side = waiting.directorate or ""
        if waiting.task is Task.SIGN_OFF:
            async with self._database.reading() as connection:
                matter = await initiatives.matter(connection, self.id, waiting.number)
            if matter is None:
                raise RuntimeError(f"matter {waiting.number} is waited for and not on record")
            return await self._handle.execute_update(
                InitiativeWorkflow.sign_off,
                SignOff(
                    id=message,
                    matter=waiting.number,
                    response=Response.APPROVE,
                    content_hash=matter.content_hash,
                    caller=_holder(side, waiting.office or "", self._messages),
                ),
            )
        if waiting.task is Task.AUTHORISE:
            return await self._handle.execute_update(
                InitiativeWorkflow.authorise_tranche,
                AuthoriseTranche(
                    id=message,
                    caller=_holder(side, waiting.office or "", 1),
                    tranche=waiting.number,
                    directorate=side,
                ),
            )
        if waiting.task is Task.CONFIRM:
            return await self._handle.execute_update(
                InitiativeWorkflow.confirm_tranche,
                ConfirmTranche(
                    id=message,
                    caller=_holder(side, waiting.office or "", 2),
                    tranche=waiting.number,
                    directorate=side,
                ),
            )
        if waiting.task is Task.REPORT:
            content = await self._write_report(waiting.number)
            return await self._handle.execute_update(
                InitiativeWorkflow.submit_report,
                SubmitReport(id=message, caller=self._applicant, report=waiting.number, content_hash=content),
            )
        raise RuntimeError(f"a rehearsal in which all approve does not come to {waiting.task}")

    async def _write_report(self, number: int) -> str:
        async with self._database.reading() as connection:
            reports = await initiatives.reports(connection, self.id)
        report = report_due(self._proposal, number, reports)
        async with self._database.transaction() as connection:
            await documents.keep(connection, report.content_hash(), report.document_form())
        return report.content_hash()

    async def _tell_news(self) -> None:
        async with self._database.reading() as connection:
            entries = await trail.entries_from(connection, self.id, self._told + 1)
        for entry in entries:
            for line in _lines(entry.action, entry.instant, entry.actor, entry.body):
                self._lines.append(line)
                self._tell(line)
            self._told = entry.sequence

    async def _life(self, stage: Stage) -> Life:
        await self._handle.result()
        async with self._database.reading() as connection:
            tranches = await initiatives.tranches(connection, self.id)
        paid: dict[str, dict[str, int]] = {}
        for tranche in tranches:
            for side, share in tranche.shares.items():
                for amount in share.amounts if share.state in PAID else ():
                    sums = paid.setdefault(side, {})
                    sums[amount.unit] = sums.get(amount.unit, 0) + amount.minor
        runs = [run async for run in self._client.list_workflows(f"WorkflowId = '{self._handle.id}'")]
        events = [run.history_length for run in sorted(runs, key=lambda run: run.start_time)]
        return Life(
            stage=stage, lines=tuple(self._lines), paid=paid, history_events=tuple(events), entries=self._told
        )

    @property
    def _applicant(self) -> Caller:
        lead = self._proposal.lead
        email = lead.contact.email if lead else ""
        return Caller(person="applicants/rehearsal", name="the applicant", contact=contact_key(email))


def report_due(proposal: Proposal, number: int, reports: Sequence[ReportDue]) -> Report:
    """The report of that number: what it is to tell, and its part of the budget among those that have accounts."""
    due = reports[number - 1]
    accounts = [one.number for one in reports if one.kind.has_accounts]
    report = report_of(
        proposal, accounts.index(number) + 1 if due.kind.has_accounts else 1, max(1, len(accounts))
    )
    reached = {"reached_on": due.ends_at.date()} if due.milestone else {}
    return report.model_copy(update=reached if due.kind.has_accounts else {"costs": (), **reached})


def report_of(proposal: Proposal, number: int, count: int) -> Report:
    """A report that claims its part of the budget, so that all the reports together claim the whole of it."""
    return Report(
        narrative={"en": f"Period {number} of {count}, as planned."},
        deliverables=(),
        costs=tuple(
            CostLine(
                partner=line.partner,
                category=line.category,
                description=line.description,
                amount=share,
            )
            for line in proposal.budget
            if (share := _share(line.amount, number, count)).minor
        ),
    )


def _share(amount: Amount, number: int, count: int) -> Amount:
    return split(amount, [1] * count)[number - 1]


def _holder(directorate: str, office: str, number: int) -> Caller:
    """Somebody who holds an office; each number is another person."""
    return Caller(
        person=f"{directorate}/rehearsal-{office}-{number}", directorate=directorate, offices=(office,)
    )


def _lines(action: str, at: datetime, actor: str, body: dict[str, Any]) -> Iterator[Dated]:
    """What an audit entry says to somebody who wants to know the dates."""

    def due(text: str | None) -> datetime | None:
        return datetime.fromisoformat(text) if text else None

    match action:
        case "initiative.submitted":
            yield Dated(at, "submitted", "applicant")
        case "stage.entered":
            yield Dated(at, f"stage: {body['stage']}", due=due(body.get("deadline")))
        case "matter.opened":
            for side, deadline in body["deadlines"].items():
                yield Dated(at, f"{body['kind']} put before {side} ({body['about']})", side, due(deadline))
        case "matter.decided":
            yield Dated(at, f"matter {body['matter']}: {body['outcome']}")
        case "report.scheduled":
            for report in body["reports"]:
                name = "final report" if report["final"] else f"report {report['number']}"
                milestone, kind = report.get("milestone"), report.get("kind")
                what = f"{name} ({kind})" if kind in ("progress", "financial") else name
                ends = f"{name}: milestone {milestone}" if milestone else f"{what}: period ends"
                yield Dated(due(report["ends_at"]) or at, ends, "applicant", due(report["due_at"]))
        case "report.submitted":
            yield Dated(at, f"report {body['number']} submitted", "applicant")
        case "tranche.due":
            yield Dated(at, f"tranche {body['number']} due", "finance officers")
        case "tranche.paid":
            amounts = ", ".join(str(Amount(one["minor"], one["unit"])) for one in body["amounts"])
            yield Dated(
                at, f"tranche {body['number']} paid by {body['directorate']}: {amounts}", body["directorate"]
            )
        case _:
            return


def run(
    proposal: Proposal,
    agreement: ProgrammeAgreement,
    agreement_file: Path,
    pace: Pace,
    tell: Callable[[Dated], None] = lambda _: None,
) -> Life:
    """:func:`rehearse` in a loop of its own; a signal ends it, with its servers, and the process with 130."""
    lives: list[Life] = []

    async def live() -> None:
        try:
            lives.append(await rehearse(proposal, agreement, agreement_file, pace=pace, tell=tell))
        except Exception:
            # Temporal's client makes an error of its own of a cancelled call; whoever asked for the end expects it.
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                raise

    run_until_signalled(live())
    if not lives:
        raise SystemExit(130)
    return lives[0]
