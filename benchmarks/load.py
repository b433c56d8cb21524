"""The load: so many connections, each sending its next request when the last one is answered.

``wrk`` for requests that repeat themselves, where it is installed; else, and for requests that differ, a protocol on
raw sockets that does as little as one can for an answer. Both sides of a comparison get the same.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import Final

CONNECTIONS: Final = 16

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_RATE: Final = re.compile(r"Requests/sec:\s*([\d.]+)")


def request(path: str, token: str | None = None, body: bytes | None = None) -> bytes:
    """A request on a connection that is kept: a GET, or a POST when there is a body."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "Host: 127.0.0.1", "Accept: */*"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


async def reads(port: int, path: str, token: str | None, seconds: float) -> float:
    """Answers a second to one GET, asked for over and over on every connection."""
    if shutil.which("wrk"):
        return await _wrk(port, path, token, seconds)
    one = request(path, token)
    began = time.perf_counter()
    answers = await send(port, [cycle([one])] * CONNECTIONS, seconds)
    return answers / (time.perf_counter() - began)


async def send(port: int, connections: Sequence[Iterable[bytes]], seconds: float = 600.0) -> int:
    """Send every connection's requests, one after the other, for so long at most; how many were answered.

    Raises:
        RuntimeError: an answer was not 200.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    lines = [_Line(iter(requests), ends) for requests in connections]
    for line in lines:
        await loop.create_connection(partial(_itself, line), "127.0.0.1", port)
    for line in lines:
        line.begin()
    await asyncio.gather(*(line.done for line in lines))
    return sum(line.answers for line in lines)


def _itself(line: _Line) -> _Line:
    return line


class _Line(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], ends: float) -> None:
        self._requests, self._ends = requests, ends
        self._loop = asyncio.get_running_loop()
        self._received = b""
        self._transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.answers = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self) -> None:
        assert self._transport is not None
        following = next(self._requests, None) if self._loop.time() < self._ends else None
        if following is None:
            self._transport.close()
            self.done.set_result(None)
        else:
            self._transport.write(following)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head + b"\r\n")
        if length is not None and len(body) < int(length[1]):
            return
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            self._fail(RuntimeError(f"an answer of the benchmark was not good: {self._received!r}"))
            return
        self._received = b""
        self.answers += 1
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or ConnectionError("the server hung up"))

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


async def _wrk(port: int, path: str, token: str | None, seconds: float) -> float:
    header = ["-H", f"Authorization: Bearer {token}"] if token is not None else []
    process = await asyncio.create_subprocess_exec(
        "wrk",
        *("-t1", f"-c{CONNECTIONS}", f"-d{round(seconds)}s", *header, f"http://127.0.0.1:{port}{path}"),
        stdout=asyncio.subprocess.PIPE,
    )
    out = (await process.communicate())[0].decode()
    rate = _RATE.search(out)
    if rate is None or "Non-2xx" in out or "Socket errors" in out:
        raise RuntimeError(f"an answer of the benchmark was not good: {out}")
    return float(rate[1])
