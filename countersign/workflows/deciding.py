"""Countersigning: each side's position is signed with its own key, where that key is (DESIGN section 3)."""

from __future__ import annotations

import asyncio

from temporalio import workflow

from countersign.activities.signing import Countersignature, SigningOrder
from countersign.domain import steps
from countersign.domain.decision import position_document
from countersign.workflows import options
from countersign.workflows.keeping import Keeper


class Countersigning:
    """The signatures under the positions of one initiative's matters."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._beside: set[asyncio.Task[None]] = set()
        self._signing: set[tuple[int, str]] = set()

    async def countersign(self) -> None:
        """Whatever position is in and not signed yet, its side signs with its own key, on its own task queue."""
        while True:
            await workflow.wait_condition(lambda: bool(self._unsigned() - self._signing))
            for number, side in sorted(self._unsigned() - self._signing):
                self._signing.add((number, side))
                task = asyncio.create_task(self._countersign_one(number, side))
                self._beside.add(task)
                task.add_done_callback(self._beside.discard)

    def _unsigned(self) -> set[tuple[int, str]]:
        matters = self._keeper.state.matters
        return {(one.number, side) for one in matters if one.is_open for side in one.unsigned}

    async def _countersign_one(self, number: int, side: str) -> None:
        state = self._keeper.state
        matter = state.matter(number)
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
        self._signing.discard((number, side))
