"""Calls on an initiative's workflow, bounded in time, with answers in the API's own terms."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from countersign.api.errors import Problem
from countersign.domain.commands import Command, fingerprint, message_key
from countersign.domain.errors import CODES, RuleBroken
from countersign.domain.facts import MessageRefused
from countersign.domain.ids import workflow_id
from countersign.domain.matter import Caller, SignOff
from countersign.store import initiatives, trail
from countersign.store.roles import Reader
from countersign.store.session import Database
from countersign.workflows import signposts
from countersign.workflows.archive import ARCHIVE, COMPLETE, ArchiveWorkflow, Swept
from countersign.workflows.checkpoints import CHECKPOINTS, CheckpointWorkflow
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import Answer, Begin, Receipt, Submit

log = structlog.get_logger(__name__)

PATIENCE: Final = 15.0
"""Seconds that a caller waits for a durable answer before 503; what was sent may be sent again under its id."""

_AWAY: Final = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.RESOURCE_EXHAUSTED}

T = TypeVar("T")


class Gateway:
    """The workflows, as routes see them."""

    def __init__(
        self, client: Client, task_queue: str, database: Database, digest: Callable[[str], str]
    ) -> None:
        self._client = client
        self._task_queue = task_queue
        self._database = database
        self._digest = digest

    async def submit(self, submission: Submit) -> Receipt:
        """Start the initiative, once, and wait until its submission is on record."""
        start = WithStartWorkflowOperation(
            InitiativeWorkflow.run,
            Begin(submission=submission),
            id=workflow_id(submission.initiative),
            task_queue=self._task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            **signposts.at_start(submission),
        )
        try:
            return await _bounded(
                lambda: self._client.execute_update_with_start_workflow(
                    InitiativeWorkflow.submitted, start_workflow_operation=start
                )
            )
        except _Over:
            # It is over already, as it is at once for an ineligible one: the record has the receipt.
            return await self._receipt(submission)

    async def _receipt(self, submission: Submit) -> Receipt:
        async with self._database.read_by(_reader(submission.applicant)).reading() as connection:
            found = await initiatives.find(connection, submission.initiative)
        if found is None:
            raise Problem("unavailable", "the submission is not on record; send it again")
        return Receipt(
            initiative=found.id,
            reference=found.reference,
            stage=found.stage,
            content_hash=submission.content_hash,
            sequence=found.sequence,
        )

    async def make_checkpoint(self) -> None:
        """Have a checkpoint of the log made, and wait a while for the sides to sign it; who is away signs later.

        Raises:
            Problem: ``unavailable``, when Temporal does not answer.
        """
        await _bounded(
            lambda: self._client.start_workflow(
                CheckpointWorkflow.run,
                id=f"{CHECKPOINTS}/asked",
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
        )
        with suppress(TimeoutError, WorkflowFailureError):
            async with asyncio.timeout(PATIENCE):
                await self._client.get_workflow_handle(f"{CHECKPOINTS}/asked").result()

    async def archive(self, *, complete: bool) -> Swept | None:
        """Have the histories of all runs that have ended archived, and wait a while for it; none while it goes on.

        Raises:
            Problem: ``unavailable``, when Temporal does not answer.
        """
        identifier = f"{COMPLETE if complete else ARCHIVE}/asked"
        await _bounded(
            lambda: self._client.start_workflow(
                ArchiveWorkflow.run,
                complete,
                id=identifier,
                task_queue=self._task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
        )
        handle = self._client.get_workflow_handle(identifier, result_type=Swept)
        with suppress(TimeoutError, WorkflowFailureError):
            async with asyncio.timeout(PATIENCE):
                swept: Swept = await handle.result()
                return swept
        return None

    async def tell(self, initiative: str, update: Any, command: Command | SignOff) -> Answer:
        """Send a message and wait for its durable answer.

        Raises:
            Problem: it did not count (409 or what its code says; the trail has it), or nobody answered (503).
        """
        handle = self._client.get_workflow_handle(workflow_id(initiative))
        # Temporal's own deduplication: the same message sent again in a run is one Update, not two. The id is kept in
        # plain text, so it has to be a digest that nobody without the key finds a guessed message in.
        update_id = self._digest(f"{message_key(command.caller, command.id)} {fingerprint(command)}")
        try:
            answer: Answer = await _bounded(
                lambda: handle.execute_update(update, command, id=update_id, result_type=Answer)
            )
        except _Over:
            answer = await self._answer_on_record(initiative, command)
        if answer.status == "refused":
            in_trail = answer.code not in ("rate_limited", "idempotency_key_reused")
            raise Problem(answer.code or "invalid", answer.detail or "", recorded=in_trail)
        return answer

    async def _answer_on_record(self, initiative: str, command: Command | SignOff) -> Answer:
        """The answer that a message got before the initiative was over: the same id still gets the same answer."""
        async with self._database.read_by(_reader(command.caller)).reading() as connection:
            entry = await trail.find_message(connection, initiative, command.caller.person, command.id)
        if entry is None:
            raise RuleBroken("stage_closed", "the initiative is over")
        if entry.body.get("fingerprint") != fingerprint(command):
            raise RuleBroken("idempotency_key_reused", "this id came before with another message")
        if entry.action == MessageRefused.action:
            code, detail = entry.body["code"], entry.body["detail"]
            return Answer(status="refused", sequence=entry.sequence, code=code, detail=detail)
        return Answer(status="counted", sequence=entry.sequence)

    async def signal_sign_off(self, initiative: str, sign_off: SignOff) -> None:
        """Send a sign-off without waiting: it is durable, its answer goes to the trail."""
        handle = self._client.get_workflow_handle(workflow_id(initiative))
        try:
            await _bounded(lambda: handle.signal("sign_off", sign_off))
        except _Over:
            raise RuleBroken("stage_closed", "the initiative is over") from None


def _reader(caller: Caller) -> Reader:
    """Whoever sent a message, as they read what became of it: their own entries."""
    role: Final = "applicant" if caller.directorate is None else "staff"
    return Reader(role, caller.person, caller.directorate, caller.contact)


class _Over(Exception):
    """The workflow has ended; what it answered is on record."""


async def _bounded(call: Callable[[], Awaitable[T]]) -> T:
    """Make a call on Temporal; sent again when the run it met went on in another one."""
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await call()
                except WorkflowUpdateFailedError as error:
                    _explain(error)
                except RPCError as error:
                    # The workflow was ending, or going on as new, at that very moment: ask again which.
                    if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                        raise
                await asyncio.sleep(0.2)
    except WorkflowAlreadyStartedError as error:
        raise _Over from error
    except (TimeoutError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
        raise Problem("unavailable", "no answer in time; send it again under the same id") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise _Over from error
        if error.status in _AWAY:
            log.warning("temporal_away", status=error.status.name, error=error.message)
            raise Problem("unavailable", "the workflow engine does not answer; send it again") from error
        raise


def _explain(error: WorkflowUpdateFailedError) -> None:
    """Raise what a failed update means; return when it only has to be sent again."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        if cause.type == "AcceptedUpdateCompletedWorkflow":
            return
        if cause.type in CODES:
            raise RuleBroken(cause.type, cause.message) from error
    raise error
