"""Waiting for what the system does by itself a moment later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(probe: Callable[[], Awaitable[T | None]], seconds: float | None = 20) -> T:
    """The first answer of ``probe`` that is neither None nor False; waited for without end if no seconds are given.

    Raises:
        TimeoutError: there was none in time.
    """
    async with asyncio.timeout(seconds):
        while True:
            found = await probe()
            if found is not None and found is not False:
                return found
            await asyncio.sleep(0.05)
