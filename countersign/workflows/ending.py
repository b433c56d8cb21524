"""Stopping and ending: a suspension until it is resumed, and the winding up after a termination (DESIGN section 2)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from temporalio import workflow

from countersign.domain import complaining, ending, suspension
from countersign.domain.agreement import MatterKind
from countersign.domain.initiative import InitiativeState
from countersign.domain.stage import Stage
from countersign.workflows import patches
from countersign.workflows.keeping import Keeper


class Wait(Protocol):
    """How a step of ``run`` waits: a long run ends there, and the next one takes up the step."""

    async def __call__(
        self, condition: Callable[[], bool], until: datetime | None = None, *, summary: str = ""
    ) -> bool: ...


class Ending:
    """The steps of an initiative that is suspended or terminated."""

    def __init__(self, keeper: Keeper, wait: Wait) -> None:
        self._keeper, self._wait = keeper, wait

    @property
    def _state(self) -> InitiativeState:
        return self._keeper.state

    async def await_resumption(self) -> None:
        """Until all sides have answered whether it goes on.

        Once the late report is accepted they are asked, or as soon as a termination was undone.
        """

        def moved() -> bool:
            state = self._state
            return state.stage is not Stage.SUSPENDED or bool(
                suspension.answer(state) or suspension.asks_itself(state)
            )

        await self._wait(moved)
        if suspension.asks_itself(self._state):
            deadlines = await self._keeper.matter_deadlines(MatterKind.RESUMPTION)
            await self._keeper.take(lambda state, _: suspension.ask_itself(state, deadlines))
        await self._keeper.take(lambda state, _: suspension.answered(state))

    async def wind_up(self) -> None:
        """See what is on its way to the banks get there, hear what was spent, and have the rest come back.

        Nothing comes back while that it was terminated may be complained of, or is before all sides; if they uphold the
        complaint, it is reinstated instead.
        """
        if workflow.patched(patches.COMPLAINT_AFTER_TERMINATION):
            await self._keeper.take(complaining.open_window)
        await self._ask_accounts()
        await self._wait(lambda: self._is_upheld() or not ending.is_under_way(self._state))
        while not self._is_upheld() and ending.waits(self._state, workflow.now()):
            known, until = self._state.sequence, ending.waits_until(self._state, workflow.now())
            await self._wait(self._moved_from(known), until, summary=self._waits_for(until))
            await self._ask_accounts()  # costs may have been disallowed
        if self._is_upheld():
            await self._keeper.take(complaining.reinstate)
            return
        await self._keeper.take(ending.claim_back)
        await self._wait(lambda: ending.is_recovered(self._state))
        await self._keeper.take(ending.wound_up)

    async def _ask_accounts(self) -> None:
        if not ending.wants_accounts(self._state):
            return
        days = self._state.terms.deadlines.report
        (due_at,) = await self._keeper.deadlines([(self._state.proposal.lead_directorate, days)])
        await self._keeper.take(lambda state, _: ending.ask_accounts(state, due_at))

    def _is_upheld(self) -> bool:
        return complaining.is_upheld(self._state)

    def _waits_for(self, until: datetime | None) -> str:
        """What time ends at that instant."""
        return "the last report" if until == ending.accounts_until(self._state) else "complaints"

    def _moved_from(self, sequence: int) -> Callable[[], bool]:
        return lambda: self._state.sequence != sequence
