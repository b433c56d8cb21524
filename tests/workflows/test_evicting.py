"""What a worker holds of initiatives: those in its cache, and next to nothing of those that left it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Sequence

import pytest

from countersign import worker
from countersign.domain.stage import Stage
from countersign.runtime import evicting
from countersign.runtime.embedded.services import Services
from countersign.runtime.temporal import connect
from countersign.store.session import Database
from countersign.workflows.keeping import Keeper
from tests.domain.lives import two_sides
from tests.eventually import eventually
from tests.workflows.carrying import Carried, in_force

pytestmark = [pytest.mark.services]

CACHE = 2
LEFT = 3
"""Of so many that have gone something may be left: where the SDK is stopped in the middle of stopping a timer."""


@pytest.fixture
async def lives(services: Services, database: Database) -> AsyncIterator[list[Carried]]:
    """Many more initiatives than the cache of their worker has room for, where nothing searches for cycles."""
    settings = services.settings(task_queue="evicting", workflow_cache=CACHE)
    agreement = in_force(settings)
    # One of its own: by one client no queue is served twice, and other tests' workers serve the sides' too.
    client = await connect(settings, lazy=False)
    gc.disable()
    try:
        async with worker.running(client, settings):
            yield [
                await Carried(client, database, agreement, two_sides()[1], queue=settings.task_queue).begin()
                for _ in range(12)
            ]
    finally:
        gc.enable()


def held(lives: Sequence[Carried]) -> set[str]:
    """The initiatives whose state is in memory."""
    ids = {one.id for one in lives}
    return {one.state.id for one in gc.get_objects() if type(one) is Keeper} & ids


async def test_whatever_leaves_the_cache_is_freed_at_once_and_goes_on_when_it_is_needed(
    lives: list[Carried],
) -> None:
    async def only_the_cached() -> bool:
        return len(held(lives)) <= CACHE + LEFT

    await eventually(only_the_cached)
    for life in lives:
        await life.all_sign()
        await life.reached(Stage.DECISION)
    await eventually(only_the_cached)

    async def none() -> bool:
        return len(held(lives)) <= LEFT

    for life in lives:
        await life.withdraw()
        await life.handle.result()
        assert await life.stage() is Stage.WITHDRAWN
    await eventually(none)


class Ring:
    """Nothing but a search frees it."""

    def __init__(self) -> None:
        self.itself = self


async def freed_by_a_search(cache: int, seconds: float) -> bool:
    """Whether something is freed that only a search frees, within so many seconds."""
    searching = asyncio.create_task(evicting.search(cache))
    ring = weakref.ref(Ring())

    async def is_freed() -> bool:
        return ring() is None

    try:
        await eventually(is_freed, seconds)
    except TimeoutError:
        return False
    finally:
        searching.cancel()
    return True


async def test_what_is_left_is_searched_for_when_nobody_waits(lives: list[Carried]) -> None:
    searched = asyncio.create_task(freed_by_a_search(CACHE, 60))
    for life in lives:
        await life.withdraw()
        await life.handle.result()
    assert await searched


async def test_nothing_is_searched_where_nothing_was_evicted(services: Services) -> None:
    gc.disable()
    try:
        assert not await freed_by_a_search(100_000, 3 * evicting.SECOND)
    finally:
        gc.enable()
