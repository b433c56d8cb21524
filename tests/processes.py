"""Python programs as processes of their own that start in milliseconds.

The tests run some hundreds of commands and of workers that kill themselves, and each would spend a second and more of
processor time on importing the same modules. A fork server (``tests.fork_server``) has imported them, and forks: what
it forks is a process with an id, a session, an environment, standard streams and an exit status of its own, which
signals end. What this leaves untested, the start of the interpreter and the imports themselves, the tests of
``python -m countersign`` test.
"""

from __future__ import annotations

import asyncio
import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path

from tests.fork_server import LARGEST, Order

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

Stream = int | None
"""As for a subprocess: ``PIPE``, ``DEVNULL``, a descriptor, or the one of this process."""


class Forked:
    """A process that was forked; what ``asyncio.subprocess.Process`` offers of one, as far as it is used."""

    def __init__(
        self,
        pid: int,
        server: Connection,
        stdin: asyncio.StreamWriter | None,
        stdout: asyncio.StreamReader | None,
        stderr: asyncio.StreamReader | None,
    ) -> None:
        self.pid, self.stdin, self.stdout, self.stderr = pid, stdin, stdout, stderr
        self.returncode: int | None = None
        self._ending = asyncio.create_task(self._ended(server))

    async def _ended(self, server: Connection) -> int:
        try:
            self.returncode = await _number(server)
        finally:
            server[1].close()
        return self.returncode

    async def wait(self) -> int:
        """Its exit status, once it has ended; the signal that it died of as a negative number."""
        return await asyncio.shield(self._ending)

    async def communicate(self, given: bytes | None = None) -> tuple[bytes, bytes]:
        """Give it all its input, and take its output until it ends; killed if nobody waits for that any longer."""
        try:
            out, err, _ = await asyncio.gather(_all(self.stdout), _all(self.stderr), self._feed(given))
            await self.wait()
        finally:
            if self.returncode is None:
                self.kill()
        return out, err

    async def _feed(self, given: bytes | None) -> None:
        if self.stdin is not None:
            with suppress(ConnectionError):  # it need not read what it is given
                self.stdin.write(given or b"")
                await self.stdin.drain()
            self.stdin.close()

    def send_signal(self, number: signal.Signals) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Started = Forked | asyncio.subprocess.Process


async def started(
    module: str,
    *arguments: str,
    env: dict[str, str],
    stdin: Stream = None,
    stdout: Stream = None,
    stderr: Stream = None,
) -> Started:
    """What ``python -m module arguments…`` is, forked where that is sound, which other systems do not promise."""
    if sys.platform != "linux":
        command = (sys.executable, "-m", module, *arguments)
        return await asyncio.create_subprocess_exec(
            *command, env=env, stdin=stdin, stdout=stdout, stderr=stderr
        )
    order = Order(module, list(arguments), env, str(Path.cwd()))
    message = json.dumps(order._asdict()).encode()
    assert len(message) < LARGEST, len(message)
    ours, its = socket.socketpair()
    given, kept = [its.fileno()], [os.open(os.devnull, os.O_RDWR)]
    writing: socket.socket | None = None
    reading: list[int | None] = []
    try:
        if stdin == PIPE:
            writing, end = socket.socketpair()
            stdin = end.detach()
            kept.append(stdin)
        given.append(kept[0] if stdin == DEVNULL else 0 if stdin is None else stdin)
        for number, stream in ((1, stdout), (2, stderr)):
            reading.append(None)
            if stream == PIPE:
                reading[-1], stream = os.pipe()
                kept.append(stream)
            elif stream == asyncio.subprocess.STDOUT:
                stream = given[2]
            given.append(kept[0] if stream == DEVNULL else number if stream is None else stream)
        socket.send_fds(_server(), [message], given)
    finally:
        for one in kept:
            os.close(one)
        its.close()
    server = await asyncio.open_connection(sock=ours)
    try:
        pid = await _number(server)
    except BaseException:
        server[1].close()  # what nobody waits for is killed
        raise
    fed = (await asyncio.open_connection(sock=writing))[1] if writing is not None else None
    return Forked(pid, server, fed, *[await _stream(one) for one in reading])


@functools.cache
def _server() -> socket.socket:
    """The fork server of this process, started when it is needed first, and gone with it."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server", str(its.fileno())],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"PYTHONUTF8": "1"},
            stdin=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


async def _number(server: Connection) -> int:
    line = await server[0].readline()
    if not line:
        raise RuntimeError("the fork server has ended")
    return int(line)


async def _stream(descriptor: int | None) -> asyncio.StreamReader | None:
    if descriptor is None:
        return None
    reader = asyncio.StreamReader()
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader


async def _all(stream: asyncio.StreamReader | None) -> bytes:
    return b"" if stream is None else await stream.read()
