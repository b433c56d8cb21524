"""A checkpoint of the log: made, signed by every side whose worker is there, and kept."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from pydantic import Field
from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from countersign.activities.checkpoints import CheckpointDue, Cosigned, CosigningOrder, SignedLine
from countersign.domain.model import Model
from countersign.workflows import options

CHECKPOINTS: Final = "audit/checkpoints"
"""The id of the schedule that has them made, and of the workflow that does."""

WAITED: Final = timedelta(minutes=15)
"""How long a side's worker is waited for; who is away signs the next one."""

_TRIES: Final = 3
"""How often a side is shown another proof, when it knows another size than is on record here."""


class CheckpointMade(Model):
    """How many entries the log had, and which sides have signed that; ``refused`` are those that would not, and why."""

    size: int
    signed: tuple[str, ...] = ()
    refused: dict[str, str] = Field(default_factory=dict)


@workflow.defn
class CheckpointWorkflow:
    """One checkpoint. It takes no messages, and waits for the sides' workers alone."""

    @workflow.run
    async def run(self) -> CheckpointMade | None:
        """Make it, have it signed, keep the signatures; nothing while nothing was recorded."""
        due: CheckpointDue | None = await workflow.execute_activity(
            "make_checkpoint", workflow.now(), result_type=CheckpointDue, **options.LOG
        )
        if due is None:
            return None
        refused = await asyncio.gather(*(self._side(order) for order in due.orders))
        told = {
            order.directorate: why for order, why in zip(due.orders, refused, strict=True) if why is not None
        }
        signed = tuple(order.directorate for order in due.orders if order.directorate not in told)
        return CheckpointMade(size=due.size, signed=signed, refused=told)

    async def _side(self, order: CosigningOrder) -> str | None:
        """Have one side sign; why it did not, if so."""
        try:
            for _ in range(_TRIES):
                cosigned: Cosigned = await workflow.execute_activity(
                    "cosign_checkpoint",
                    order,
                    result_type=Cosigned,
                    task_queue=options.directorate_queue(order.directorate),
                    schedule_to_close_timeout=WAITED,
                    summary=f"{order.size} entries, {order.directorate}",
                    **options.SIDE,
                )
                if cosigned.line is not None:
                    signed = SignedLine(
                        directorate=order.directorate, size=order.size, line=cosigned.line, at=workflow.now()
                    )
                    await workflow.execute_activity("keep_cosignature", signed, **options.LOG)
                    return None
                order = await workflow.execute_activity(
                    "order_cosigning",
                    args=[order.directorate, order.size, cosigned.known],
                    result_type=CosigningOrder,
                    **options.LOG,
                )
        except ActivityError as error:
            cause = error.cause
            return cause.message if isinstance(cause, ApplicationError) else "its worker is away"
        return "it knows another size each time"
