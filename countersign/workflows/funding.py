"""Releasing tranches: what every side has authorised goes to each side's own bank (DESIGN section 5)."""

from __future__ import annotations

import asyncio

from temporalio import workflow

from countersign.activities.payments import Answered, Instructed, PaymentOrder
from countersign.domain import steps
from countersign.domain.funding import Tranche
from countersign.workflows import options
from countersign.workflows.keeping import Keeper, Rule


class Funding:
    """The payments of one initiative.

    A side's part is on record as instructed as soon as its own bank was told, whatever the other sides' workers do:
    those served here in one step together, each other one by a task of its own that waits for as long as it takes.
    """

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._asked: dict[tuple[int, str], asyncio.Task[None]] = {}

    async def release_tranches(self) -> None:
        """Whenever every side has authorised its part of a tranche, have every side's bank told of its own.

        A part that failed and was authorised again goes to its own side's bank alone, under new end-to-end ids.
        While an earlier tranche is paid by some sides only beyond the limit, no bank is asked to pay; what a side's
        worker was asked before may still come through, and is on record then.
        """
        while True:
            await workflow.wait_condition(lambda: self._next() is not None)
            tranche = self._next()
            if tranche is None:
                continue
            orders = self._orders(tranche)
            here: Instructed = await workflow.execute_local_activity(
                "instruct_here",
                orders,
                result_type=Instructed,
                summary=f"tranche {tranche.number}",
                **options.LOOK_UP,
            )
            told = [one for one in orders if one.directorate in here.directorates]
            if told:
                await self._keeper.take(_instructed(told, here.booked))
            for order in orders:
                if order not in told:
                    self._ask(order)

    def _next(self) -> Tranche | None:
        """A tranche with a part that its side's bank is to be told of, and that nobody was asked to tell yet."""
        for tranche in steps.released(self._keeper.state):
            if any((tranche.number, side) not in self._asked for side in tranche.to_instruct):
                return tranche
        return None

    def _orders(self, tranche: Tranche) -> list[PaymentOrder]:
        state = self._keeper.state
        return [
            PaymentOrder(
                initiative=state.id,
                reference=state.reference,
                tranche=tranche.number,
                directorate=side,
                instructions=instructions,
                at=workflow.now(),
                claim=tranche.is_recovery,
            )
            for side, instructions in steps.to_instruct(state, tranche).items()
            if (tranche.number, side) not in self._asked
        ]

    def _ask(self, order: PaymentOrder) -> None:
        asked = self._instruct(order)
        self._asked[order.tranche, order.directorate] = asyncio.create_task(asked)

    async def _instruct(self, order: PaymentOrder) -> None:
        """Have a side's own worker tell its bank, and put that on record."""
        answered: Answered | None = await workflow.execute_activity(
            "instruct_payment",
            order,
            result_type=Answered,
            task_queue=options.directorate_queue(order.directorate),
            summary=f"tranche {order.tranche}, {order.directorate}",
            **options.SIDE,
        )
        await self._keeper.take(_instructed([order], answered.booked if answered else {}))
        del self._asked[order.tranche, order.directorate]


def _instructed(orders: list[PaymentOrder], booked: dict[str, str]) -> Rule:
    """The rule by which it is on record that banks were told, all of one tranche, and what they answered at once."""
    number = orders[0].tranche
    told = {order.directorate: order.instructions for order in orders}
    return lambda state, _: steps.instructed(state, number, told, booked)
