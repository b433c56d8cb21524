"""Ending a process when it is asked to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


def run_until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Run ``work`` to its end, or cancel it on the first SIGINT, SIGTERM or SIGHUP and let it clean up.

    Later signals are not heard: cleaning up is not cut short. Only ``kill -9`` is.
    """

    async def supervised() -> None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        asked = False

        def ask() -> None:
            nonlocal asked
            if not asked:
                asked = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, ask)
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(supervised())
