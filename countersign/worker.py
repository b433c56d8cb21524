"""A worker: its dependencies, what it serves, and how it ends."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from countersign.activities.agreements import Agreements
from countersign.activities.archive import Archiving
from countersign.activities.budgets import Budgets
from countersign.activities.checkpoints import Checkpoints, Cosigning
from countersign.activities.deadlines import working_day_deadlines
from countersign.activities.mandates import Mandates
from countersign.activities.outbox import Outbox
from countersign.activities.payments import AnsweringBank, Bank, OnRecord, Payments
from countersign.activities.record import Recording
from countersign.activities.signing import Signing
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.runtime import evicting
from countersign.runtime.archive import Press
from countersign.runtime.build import build_id
from countersign.runtime.payload_codec import configured
from countersign.runtime.settings import Settings
from countersign.runtime.temporal import connect, schedule_audit
from countersign.store import agreements, budgets
from countersign.store.session import Database
from countersign.workflows import options
from countersign.workflows.archive import ArchiveWorkflow
from countersign.workflows.checkpoints import CheckpointWorkflow
from countersign.workflows.initiative import InitiativeWorkflow

log = structlog.get_logger(__name__)

SHUTDOWN_GRACE = timedelta(seconds=10)
"""Without it a shutdown would repeat the activities under way."""

# Our own modules keep no state that two workflows could share, so they need not be loaded anew for each.
SANDBOX = SandboxRestrictions.default.with_passthrough_modules("countersign", "pydantic", "pydantic_core")


def workers(
    client: Client, database: Database, agreement: ProgrammeAgreement, settings: Settings
) -> list[Worker]:
    """The workers of this process: one for initiatives, one for each directorate that it serves."""
    served = agreement.directorate_ids if settings.directorates is None else tuple(settings.directorates)
    payments, signing = (
        Payments(_bank(database, settings), served),
        Signing(settings.signing_keys, served),
    )
    made = [
        Worker(
            client,
            task_queue=options.directorate_queue(directorate),
            activities=[
                payments.instruct_payment,
                signing.countersign_position,
                Cosigning(signing, settings.checkpoints).cosign_checkpoint,
            ],
            build_id=build_id(),
            graceful_shutdown_timeout=SHUTDOWN_GRACE,
        )
        for directorate in served
    ]
    if settings.serve_initiatives:
        recording = Recording(database, signing, attached=settings.attachments_required)
        local: list[Callable[..., Any]] = [
            recording.record,
            recording.sign_and_record,
            recording.open_initiative,
            recording.examine_proposal,
            recording.examine_report,
            Agreements(database).draw_up,
            Mandates(database).find_mandates,
            working_day_deadlines,
            payments.instruct_here,
            Budgets(database, client).offer_money,
        ]
        checkpoints = Checkpoints(database, agreement)
        archiving = Archiving(database, client, agreement.id, Press(configured(settings)).pack)
        made.append(
            Worker(
                client,
                task_queue=settings.task_queue,
                workflows=[InitiativeWorkflow, CheckpointWorkflow, ArchiveWorkflow],
                activities=[
                    *local,
                    checkpoints.make_checkpoint,
                    checkpoints.order_cosigning,
                    checkpoints.keep_cosignature,
                    archiving.archive_histories,
                ],
                workflow_runner=SandboxedWorkflowRunner(restrictions=SANDBOX)
                if settings.sandbox
                else UnsandboxedWorkflowRunner(),
                interceptors=[evicting.Evicting()],
                max_cached_workflows=settings.workflow_cache,
                build_id=build_id(),
                graceful_shutdown_timeout=SHUTDOWN_GRACE,
            )
        )
    return made


def _bank(database: Database, settings: Settings) -> Bank:
    if settings.payment_outbox is None:
        return AnsweringBank(database) if settings.bank == "answering" else OnRecord(database)
    return Outbox(database, settings.payment_outbox, settings.signing_keys)


@asynccontextmanager
async def running(client: Client, settings: Settings) -> AsyncIterator[None]:
    """Workers at work for as long as the block lasts."""
    agreement = read(settings.agreement.read_text(encoding="utf-8"))
    database = Database(settings.database_url)
    try:
        async with database.transaction() as connection:
            await agreements.register(connection, agreement)
            if settings.serve_initiatives:
                await budgets.put(connection, agreement, datetime.now(UTC))
        if settings.serve_initiatives:
            # Whatever changed since, whether in the file or while nobody was there to say so.
            await Budgets(database, client).offer_money(agreement.id)
            await schedule_audit(
                client,
                settings.task_queue,
                checkpoints=settings.checkpoint_minutes,
                archive=settings.archive_minutes,
            )
        async with AsyncExitStack() as stack:
            for worker in workers(client, database, agreement, settings):
                await stack.enter_async_context(worker)
            yield
    finally:
        await database.close()


async def run(settings: Settings) -> None:
    """Work until cancelled, then end what is under way."""
    # What is loaded by now stays; and the states of initiatives are trees, which need no search for cycles every
    # seven hundred allocations. A search through all of a full cache is for when nobody waits (evicting.py).
    gc.freeze()
    gc.set_threshold(20_000, 5, 50)
    client = await connect(settings, lazy=False)
    async with running(client, settings):
        log.info("worker_started", queue=settings.task_queue, directorates=settings.directorates)
        await evicting.search(settings.workflow_cache)
