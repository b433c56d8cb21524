"""Letting go of initiatives that leave a worker's cache.

A run is a cycle of objects: its event loop, its tasks, what it began with and what has become of it. Python frees those
when it searches all that is in memory for cycles; with a full cache that takes most of a second, in which nobody is
answered. So the big parts are taken out of the cycle as the run is evicted, and freed at once; for the rest memory is
searched when nobody waits.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass, replace
from typing import Any, Final

from temporalio import workflow
from temporalio.worker import (
    ExecuteWorkflowInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)

SECOND: Final = 1.0
IDLE: Final = 0.05
"""Seconds of its time that a process which has nothing to do spends in a second, at most."""


@dataclass
class _Evicted:
    number: int = 0


_EVICTED: Final = _Evicted()
"""Of this process, whichever workers it has."""


class Evicting(Interceptor):
    """For a worker: what its workflows hold goes when they leave its cache."""

    def workflow_interceptor_class(
        self,
        input: WorkflowInterceptorClassInput,  # noqa: A002 (the SDK's name for it)
    ) -> type[WorkflowInboundInterceptor]:
        return _LettingGo


class _LettingGo(WorkflowInboundInterceptor):
    async def execute_workflow(self, input: ExecuteWorkflowInput) -> Any:  # noqa: A002
        # The SDK keeps its input for as long as the run is in memory; the state that it began with is in there.
        begun_with = replace(input)
        input.args = ()
        self._watching = asyncio.create_task(_let_go_when_evicted())
        return await self.next.execute_workflow(begun_with)


async def _let_go_when_evicted() -> None:
    """An eviction cancels every task, also of a run that has ended; nothing else cancels this one."""
    try:
        await asyncio.Future()
    except asyncio.CancelledError:
        vars(workflow.instance()).clear()
        _EVICTED.number += 1


async def search(cache: int) -> None:
    """Search memory for what evictions leave, until cancelled.

    It is done in an idle second, when a tenth as many runs have left as the cache holds; and at the latest when as many
    have, so that what is left is bounded by the cache.
    """
    full = max(cache, 100)
    searched, spent = _EVICTED.number, time.process_time()
    while True:
        await asyncio.sleep(SECOND)
        is_idle = time.process_time() - spent < IDLE
        left = _EVICTED.number - searched
        if left >= full or (is_idle and left * 10 >= full):
            gc.collect()
            searched = _EVICTED.number
        spent = time.process_time()
