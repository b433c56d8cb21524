"""An initiative carried on real servers by messages to its workflow, on its own virtual clock."""

from __future__ import annotations

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import TimeSkipper

from countersign.cli.rehearsal import report_due
from countersign.domain.agreement import FINANCE_OFFICE, Budget, MatterKind, ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.domain.amendment import Amendment, AmendmentState
from countersign.domain.audit import AuditEntry
from countersign.domain.facts import MessageRefused
from countersign.domain.funding import BankOutcome, Instruction, Share
from countersign.domain.ids import uuid7, workflow_id
from countersign.domain.initiative import InitiativeState, replay
from countersign.domain.matter import Caller, Matter, Response, SignOff
from countersign.domain.projection import BY_THE_SYSTEM, Task, Waiting
from countersign.domain.proposal import Proposal, contact_key
from countersign.domain.stage import TERMINAL, Stage
from countersign.runtime.settings import Settings
from countersign.store import agreements, budgets, documents, initiatives, trail
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import (
    Answer,
    AskAmendment,
    AuthoriseTranche,
    Begin,
    ClearCondition,
    Complain,
    ConfirmTranche,
    GiveEvidence,
    ReportPayment,
    Revise,
    Submit,
    SubmitReport,
    Terminate,
    Withdraw,
)
from tests.domain.lives import holder
from tests.eventually import eventually

MINE = (Task.NEW_VERSION, Task.EVIDENCE, Task.REPORT)


def in_force(settings: Settings) -> ProgrammeAgreement:
    """The agreement as the workers with these settings know it: with every side's public key."""
    return read(settings.agreement.read_text(encoding="utf-8"))


class Carried:
    """One initiative. What is sent counts, unless a test says otherwise."""

    task_timeout: timedelta | None = None
    """After how long a workflow task is given up and done again; Temporal's own ten seconds unless given."""

    hurried = True
    """Whether what takes long counts as a failure."""

    def __init__(
        self,
        client: Client,
        database: Database,
        agreement: ProgrammeAgreement,
        proposal: Proposal,
        *,
        queue: str = "countersign",
    ) -> None:
        self.client, self.database = client, database
        self.agreement, self.proposal, self.queue = agreement, proposal, queue
        self.skipper = TimeSkipper(client)
        self.id = str(uuid7(datetime.now(UTC), secrets.token_bytes(10)))
        self.handle: WorkflowHandle[Any, Any] = client.get_workflow_handle(workflow_id(self.id))
        self._messages = 0
        lead = proposal.lead
        assert lead is not None
        self.applicant = Caller(
            person="applicants/plonit", name="Plonit Almonit", contact=contact_key(lead.contact.email)
        )

    @property
    def beginning(self) -> InitiativeState:
        """The state before anything was on record."""
        return InitiativeState(
            id=self.id,
            reference=f"T-{self.id[-12:]}",
            terms=self.agreement.terms(),
            applicant=self.applicant,
        )

    async def begin(self) -> Self:
        """Put the proposal on record and start."""
        content = self.proposal.content_hash()
        async with self.database.transaction() as connection:
            await agreements.register(connection, self.agreement)
            await documents.keep(connection, content, self.proposal.document_form())
        begin = Submit(
            initiative=self.id,
            reference=f"T-{self.id[-12:]}",
            agreement=self.agreement.id,
            agreement_version=self.agreement.version,
            content_hash=content,
            applicant=self.applicant,
        )
        await self.client.start_workflow(
            InitiativeWorkflow.run,
            Begin(submission=begin),
            id=self.handle.id,
            task_queue=self.queue,
            task_timeout=self.task_timeout,
        )
        return self

    async def stage(self) -> Stage | None:
        """As it stands on record."""
        async with self.database.reading() as connection:
            found = await initiatives.find(connection, self.id)
        return found.stage if found else None

    async def found(self) -> initiatives.Initiative:
        """Its row on record."""
        async with self.database.reading() as connection:
            found = await initiatives.find(connection, self.id)
        assert found is not None
        return found

    async def waiting(self) -> list[Waiting]:
        """Who is waited for."""
        async with self.database.reading() as connection:
            return await initiatives.waiting(connection, self.id)

    async def trail(self) -> tuple[AuditEntry, ...]:
        """The whole trail."""
        async with self.database.reading() as connection:
            return await trail.entries_from(connection, self.id)

    async def state(self) -> InitiativeState:
        """The state that follows from the trail."""
        return replay(self.beginning, await self.trail())

    async def matter(self, number: int) -> Matter:
        """A matter as it stands on record."""
        async with self.database.reading() as connection:
            found = await initiatives.matter(connection, self.id, number)
        assert found is not None
        return found

    async def share(self, number: int, side: str) -> Share:
        """A side's part of a tranche as it stands on record."""
        async with self.database.reading() as connection:
            found = await initiatives.tranches(connection, self.id)
        return found[number - 1].shares[side]

    async def bank_told(self, number: int, side: str) -> tuple[Instruction, ...]:
        """Wait until a side's bank was told of its part of a tranche; what of it is money."""

        async def instructed() -> tuple[Instruction, ...] | None:
            return tuple(one for one in (await self.share(number, side)).current if one.is_money) or None

        return await eventually(instructed, self.within(20))

    async def bank_says(self, number: int, side: str, outcome: BankOutcome, told: Instruction) -> None:
        """Somebody who authorised nothing brings the bank's word on a payment."""
        command = ReportPayment(
            id=self.message_id(),
            caller=holder(side, FINANCE_OFFICE, "b"),
            tranche=number,
            directorate=side,
            end_to_end_id=told.end_to_end_id,
            outcome=outcome,
            amount=told.amount,
            statement="sha256:" + "5" * 64,
        )
        answer = await self.send(command)
        assert answer.status == "counted", answer

    def within(self, seconds: float) -> float | None:
        """How long to wait for something that should take no longer than this."""
        return seconds if self.hurried else None

    async def reached(self, stage: Stage) -> None:
        """Wait until it got there."""

        async def there() -> bool:
            return await self.stage() is stage

        await eventually(there, self.within(20))

    async def left(self, stage: Stage) -> None:
        """Wait until it is there no longer."""

        async def gone() -> bool:
            return await self.stage() is not stage

        await eventually(gone, self.within(20))

    def message_id(self) -> str:
        """An id that nobody used."""
        self._messages += 1
        return f"message-{self._messages}"

    async def send(self, command: Any) -> Answer:
        """Send a message as an update, named after it; again under its id, as the API does, until it is answered.

        Raises:
            RPCError: (not found) the initiative is over, and the message is not on record.
        """
        name = "".join(f"_{c.lower()}" if c.isupper() else c for c in type(command).__name__).lstrip("_")
        while True:
            try:
                answer: Answer = await self.handle.execute_update(name, command, result_type=Answer)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    answered = await self._answer_on_record(command)
                    if answered is None:
                        raise
                    return answered
                if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(0.1)  # something came as the workflow ended: its task is done again
            except Exception as error:
                if getattr(error.__cause__, "type", "") != "AcceptedUpdateCompletedWorkflow":
                    raise
                await asyncio.sleep(0.1)  # its run went on in another one; the same id is sent again
            else:
                return answer

    async def _answer_on_record(self, command: Any) -> Answer | None:
        """What a message was told before the initiative was over."""
        async with self.database.reading() as connection:
            entry = await trail.find_message(connection, self.id, command.caller.person, command.id)
        if entry is None:
            return None
        if entry.action != MessageRefused.action:
            return Answer(status="counted", sequence=entry.sequence)
        code, detail = entry.body["code"], entry.body["detail"]
        return Answer(status="refused", sequence=entry.sequence, code=code, detail=detail)

    async def next(self) -> Waiting:
        """The first that somebody is waited for: payments before reports, sides in their order."""

        async def one() -> Waiting | None:
            found = await self.waiting()
            if any(one.task in BY_THE_SYSTEM for one in found):
                return None  # the sides' own workers sign, or tell the banks, at this moment
            todo = [one for one in found if one.is_to_do]
            return min(todo, key=lambda one: one.task is Task.REPORT, default=None)

        return await eventually(one, self.within(60))

    async def command(self, one: Waiting, response: Response = Response.APPROVE) -> Any:
        """What whoever is waited for would send."""
        side, office = one.directorate or "", one.office or ""
        common: dict[str, Any] = {"id": self.message_id(), "caller": self.applicant}
        if one.task is Task.SIGN_OFF:
            return SignOff(
                id=common["id"],
                matter=one.number,
                response=response,
                content_hash=(await self.matter(one.number)).content_hash,
                caller=holder(side, office, f"n{len(one.not_by)}"),
                reasons="otherwise, please" if response in (Response.RETURN, Response.REFUSE) else None,
                conditions=(f"{side} wants a word",) if response is Response.APPROVE_WITH_CONDITIONS else (),
            )
        if one.task is Task.NEW_VERSION:
            return await self._new_version(common)
        if one.task is Task.EVIDENCE:
            return GiveEvidence(**common, condition=one.number, text="See here.")
        if one.task is Task.CLEAR_CONDITION:
            return ClearCondition(
                id=common["id"], caller=holder(side, office, "clearing"), condition=one.number
            )
        if one.task is Task.REPORT:
            await self.pass_until(one.since + timedelta(hours=1))
            return SubmitReport(**common, report=one.number, content_hash=await self.put_report(one.number))
        kind, who = (AuthoriseTranche, "a") if one.task is Task.AUTHORISE else (ConfirmTranche, "b")
        return kind(id=common["id"], caller=holder(side, office, who), tranche=one.number, directorate=side)

    async def do(self, one: Waiting | None = None, response: Response = Response.APPROVE) -> Answer:
        """Do what is waited for first."""
        command = await self.command(one or await self.next(), response)
        answer = await self.send(command)
        assert answer.status == "counted", answer
        if isinstance(command, Revise):
            await self.left(Stage.REVISION)  # until it is looked at, the applicant is still waited for
        return answer

    async def side_signs(self, side: str, response: Response = Response.APPROVE, matter: int = 0) -> None:
        """A side's offices sign, the first one with this response, until its position is in."""
        number = matter or (await self.next()).number
        while side not in (await self.matter(number)).positions:
            mine = [one for one in await self.waiting() if one.task is Task.SIGN_OFF]
            await self.do(
                next(one for one in mine if (one.number, one.directorate) == (number, side)), response
            )
            response = Response.APPROVE

    async def all_sign(self, response: Response = Response.APPROVE) -> None:
        """Every side signs in the matter that is open first, and each one's key countersigns."""
        first = await self.next()
        assert first.task is Task.SIGN_OFF
        for side in (await self.matter(first.number)).chains:
            await self.side_signs(side, response, first.number)
        await self.decided(first.number)

    async def countersigned(self, number: int, side: str) -> Matter:
        """Wait until a side's position is signed with its key; the matter."""

        async def signed() -> Matter | None:
            found = await self.matter(number)
            return found if side in found.countersigned else None

        return await eventually(signed, self.within(20))

    async def decided(self, number: int) -> Matter:
        """Wait until a matter is closed; the matter."""

        async def closed() -> Matter | None:
            found = await self.matter(number)
            return None if found.is_open else found

        return await eventually(closed, self.within(20))

    async def carry_to(self, stage: Stage) -> None:
        """Everybody does what they are waited for until a stage is reached."""
        async with asyncio.timeout(self.within(140)):
            while (current := await self.stage()) is not stage:
                assert current not in TERMINAL, current
                waiting = await self.waiting()
                if waiting and not any(one.task in BY_THE_SYSTEM for one in waiting):
                    await self.do()
                else:
                    await asyncio.sleep(0.02)

    async def withdraw(self) -> Answer:
        """The applicant withdraws."""
        return await self.send(
            Withdraw(id=self.message_id(), caller=self.applicant, reasons="We thought again.")
        )

    async def terminate(self, side: str, notice_days: int | None = None) -> None:
        """A side ends it, at once or with notice."""
        head = holder(side, self.agreement.terms().sides[side].head)
        reasons = "It leads nowhere."
        command = Terminate(id=self.message_id(), caller=head, reasons=reasons, notice_days=notice_days)
        assert (await self.send(command)).status == "counted"
        if notice_days is None:
            await self.reached(Stage.TERMINATED)

    async def complain(self) -> Answer:
        """The applicant asks both sides to look at a refusal, or a termination, again."""
        return await self.send(
            Complain(id=self.message_id(), caller=self.applicant, reasons="The table was there.")
        )

    async def complaint_open(self) -> datetime:
        """Wait until a termination may be complained of; until when."""

        async def opened() -> datetime | None:
            return (await self.state()).complain_until

        return await eventually(opened)

    async def no_complaint_comes(self) -> None:
        """The time passes in which a termination may be complained of."""
        await self.pass_until(await self.complaint_open() + timedelta(minutes=1))

    async def complaint_is_decided(self, response: Response = Response.APPROVE) -> None:
        """The applicant complains of a termination, and every side answers."""
        await self.complaint_open()
        assert (await self.complain()).status == "counted"
        matter = (await self.state()).matters[-1]
        for side in matter.chains:
            await self.side_signs(side, response, matter.number)
        await self.decided(matter.number)

    async def put_budgets(self, *wanted: Budget) -> None:
        """What the sides give in a year from now on, in the whole programme."""
        async with self.database.transaction() as connection:
            agreement = self.agreement.model_copy(update={"budget": wanted})
            await budgets.put(connection, agreement, datetime.now(UTC))

    async def pass_until(self, when: datetime) -> None:
        """Move its clock."""
        now = await self.skipper.get_current_time(self.handle)
        if when > now:
            await self.skipper.fast_forward(self.handle, when - now)

    async def correct(self) -> Answer:
        """The applicant corrects an address while the proposal is decided on."""
        body = self.proposal.document_form()
        body["partners"][1]["contact"]["email"] = "corrected@applicants.countersign.example"
        return await self.send(await self._replacing(body, self.message_id()))

    async def amend(self, body: dict[str, Any]) -> Answer:
        """The applicant asks for another version of what is carried out."""
        revision = await self._replacing(body, self.message_id())
        command = AskAmendment(**dict(revision), reasons="It turned out otherwise.")
        return await self.send(command)

    async def approve_amendment(self) -> None:
        """Every side approves the amendment that was put before them last."""
        matter = (await self.state()).matters[-1]
        assert matter.kind is MatterKind.AMENDMENT
        for side in matter.chains:
            await self.side_signs(side, matter=matter.number)

    async def amendment(self, number: int) -> Amendment:
        """An amendment once it is settled."""

        async def settled() -> Amendment | None:
            found = (await self.state()).amendments[number - 1]
            return None if found.state is AmendmentState.ASKED else found

        return await eventually(settled)

    async def _new_version(self, common: dict[str, Any]) -> Revise:
        body = self.proposal.document_form()
        body["title"]["en"] = f"Version {(await self.found()).version + 1}"
        return await self._replacing(body, common["id"])

    async def _replacing(self, body: dict[str, Any], message: str) -> Revise:
        self.proposal = Proposal.model_validate(body)
        content = self.proposal.content_hash()
        async with self.database.transaction() as connection:
            await documents.keep(connection, content, body)
        replaces = (await self.found()).content_hash
        return Revise(id=message, caller=self.applicant, content_hash=content, replaces=replaces)

    async def put_report(self, number: int) -> str:
        """Keep a report on what was planned for a period; its content hash."""
        async with self.database.reading() as connection:
            reports = await initiatives.reports(connection, self.id)
        report = report_due(self.proposal, number, reports)
        async with self.database.transaction() as connection:
            await documents.keep(connection, report.content_hash(), report.document_form())
        return report.content_hash()

    async def histories(self) -> list[WorkflowHistory]:
        """Every run's history, the first run first."""
        query = f"WorkflowId = '{self.handle.id}'"
        description = await self.handle.describe()

        async def all_runs() -> list[Any] | None:
            found = [run async for run in self.client.list_workflows(query)]
            runs = sorted(found, key=lambda run: (run.start_time, run.run_id))
            return runs if description.run_id in {run.run_id for run in runs} else None

        return [
            await self.client.get_workflow_handle(self.handle.id, run_id=run.run_id).fetch_history()
            for run in await eventually(all_runs)
        ]
