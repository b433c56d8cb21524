"""Countersigning: every side signs its own positions with its own key (DESIGN section 3)."""

from __future__ import annotations

import asyncio

from temporalio import workflow

from countersign.activities.signing import Countersignature, SigningOrder
from countersign.domain import steps
from countersign.domain.decision import position_document
from countersign.workflows import options
from countersign.workflows.keeping import Keeper


class Countersigning:
    """The signatures under the positions of one initiative, each asked for by a task of its own."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._asked: dict[tuple[int, str], asyncio.Task[None]] = {}

    async def sign_positions(self) -> None:
        """Whatever position is in and not signed yet, its side signs with its own key, on its own task queue."""
        while True:
            await workflow.wait_condition(lambda: bool(self._unsigned()))
            for number, side in sorted(self._unsigned()):
                self._asked[number, side] = asyncio.create_task(self._sign(number, side))

    def _unsigned(self) -> set[tuple[int, str]]:
        """The positions that nobody was asked to sign yet."""
        unsigned = {
            (one.number, side) for one in self._keeper.state.matters if one.is_open for side in one.unsigned
        }
        return unsigned - set(self._asked)

    async def _sign(self, number: int, side: str) -> None:
        state, matter = self._keeper.state, self._keeper.state.matter(number)
        if matter is None or side not in matter.positions:
            return
        position = matter.positions[side]
        order = SigningOrder(directorate=side, document=position_document(state, matter, position))
        signed = await workflow.execute_activity(
            "countersign_position",
            order,
            result_type=Countersignature,
            task_queue=options.directorate_queue(side),
            summary=f"matter {number}, {side}",
            **options.SIDE,
        )
        await self._keeper.take(
            lambda state, _: steps.countersigned(state, number, position, matter.content_hash, signed.jws)
        )
        # A position that was changed meanwhile is still unsigned, and is asked for again.
        del self._asked[number, side]
