"""A real browser without a screen, steered over a pipe (Chrome DevTools Protocol)."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def program() -> str:
    """The browser of this machine; the test is skipped where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("SKIPPED: there is no browser here; `make browser` installs Chromium on Debian")
    return found


class Chromium:
    """One tab of a browser with a profile of its own."""

    def __init__(self, profile: Path, *, width: int = 360, height: int = 800) -> None:
        self._profile, self._size = profile, f"{width},{height}"
        self._number = 0
        self._session: str | None = None

    async def __aenter__(self) -> Self:
        # It reads commands from its descriptor 3 and answers on 4.
        their_in, self._out = os.pipe()
        our_in, their_out = os.pipe()
        command = (
            'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"',
            *("bash", str(their_in), str(their_out), program()),
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--remote-debugging-pipe", f"--window-size={self._size}", f"--user-data-dir={self._profile}"),
            "about:blank",
        )
        self._process = await asyncio.create_subprocess_exec(
            *("bash", "-c", *command),
            pass_fds=(their_in, their_out),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._answers = asyncio.StreamReader(limit=2**24)
        self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._answers), os.fdopen(our_in, "rb")
        )
        target = (await self._call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._transport.close()
        os.close(self._out)
        try:
            await asyncio.wait_for(self._process.wait(), 10)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def open(self, url: str) -> None:
        """Go to an address, as if it were typed."""
        await self._call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.protocol !== 'about:'")

    async def evaluate(self, expression: str) -> Any:
        """What an expression is on the page; its policy does not hold for who steers the browser."""
        told = await self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def until(self, expression: str, seconds: float = 20) -> None:
        """Wait until an expression is true, across pages."""
        async with asyncio.timeout(seconds):
            while True:
                told = await self._call("Runtime.evaluate", expression=expression, returnByValue=True)
                if told.get("result", {}).get("value") is True:
                    return
                await asyncio.sleep(0.05)

    async def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        async with asyncio.timeout(30):
            while True:
                answer = json.loads((await self._answers.readuntil(b"\0"))[:-1])
                if answer.get("id") == self._number:
                    return answer.get("result", answer)
