"""Child processes: started with a log file, asked to end, and ended."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import psutil

from countersign.runtime.embedded import EmbeddedError
from countersign.runtime.embedded.home import Process

T = TypeVar("T")

_LARGEST_LOG: Final = 20_000_000  # bytes; a larger log is set aside when its process is started


class Child:
    """A service in a process of its own, and of its own session: a Ctrl-C at the terminal does not reach it."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._environment = os.environ | dict(environment or {}) | {"PYTHONUNBUFFERED": "1"}
        self._running: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process."""
        if self._log.exists() and self._log.stat().st_size > _LARGEST_LOG:
            self._log.replace(self._log.with_suffix(".log.1"))
        await uninterrupted(self._spawn())

    async def _spawn(self) -> None:
        with self._log.open("ab") as log:
            self._running = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    def process(self) -> Process | None:
        """The process, while it runs."""
        if self._running is None or self._running.returncode is not None:
            return None
        with suppress(psutil.NoSuchProcess):
            return Process.of(self._running.pid)
        return None

    async def wait(self) -> int:
        """Wait until the started process has ended; its status."""
        assert self._running is not None
        return await self._running.wait()

    async def ready(self, healthy: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
        """Wait until the started service is healthy.

        Raises:
            EmbeddedError: it ended instead, or the time (in seconds) is over; the message holds the end of its log.
        """
        clock = asyncio.get_running_loop()
        deadline = clock.time() + seconds
        pause = 0.05
        while not await healthy():
            if self._running is None or self._running.returncode is not None:
                raise EmbeddedError(f"{self.name} ended as soon as it had started:\n{self._end_of_log()}")
            if clock.time() > deadline:
                raise EmbeddedError(f"{self.name} did not get ready in {seconds:g} s:\n{self._end_of_log()}")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    async def start_ready(
        self,
        healthy: Callable[[], Awaitable[bool]],
        *,
        seconds: float,
        started: Callable[[], None] = lambda: None,
        tries: int = 3,
    ) -> None:
        """Start the process and wait until it is healthy; one that ends at once is started again.

        ``started`` is called after each start, before anything is waited for.

        A service may draw a port of its own, and somebody else may have drawn the same a moment before.

        Raises:
            EmbeddedError: it ended every time, or did not get healthy in time.
        """
        for left in reversed(range(tries)):
            await self.start()
            started()
            try:
                await self.ready(healthy, seconds=seconds)
            except EmbeddedError:
                if not left or self._running is None or self._running.returncode is None:
                    raise
            else:
                return

    async def stop(self, *, grace: float = 15) -> None:
        """Ask the process to end, and end it with all its children after ``grace`` seconds."""
        if self._running is None or self._running.returncode is not None:
            return
        with suppress(ProcessLookupError):
            self._running.terminate()
        try:
            await asyncio.wait_for(self._running.wait(), grace)
        except TimeoutError:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            await self._running.wait()

    def _end_of_log(self) -> str:
        try:
            text = self._log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join([*text.splitlines()[-20:], f"(the whole log: {self._log})"])


async def uninterrupted(work: Awaitable[T]) -> T:
    """Wait for ``work`` to its end even when cancelled: what is half started could not be stopped."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def end_leftovers(processes: Mapping[str, Process], *, grace: float = 10) -> list[str]:
    """End processes that a killed supervisor left behind; gives the names of those that still ran."""
    left = {name: found for name, one in processes.items() if (found := one.find()) is not None}
    for process in left.values():
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(list(left.values()), timeout=grace)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=5)
    return list(left)
