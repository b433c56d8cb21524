"""Imports once what commands and workers need, and forks a child for each that is ordered: ``-m tests.fork_server FD``.

It is told what to start over the socket whose descriptor it is given (see ``tests.processes``). It has no thread and
no event loop, so a child is what a fresh interpreter is once it has imported its modules, and goes on as one: it leaves
``serve`` and becomes the main program, which ends as every Python program does, by ``sys.exit``, at its last line, by
an exception or by a signal.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

LARGEST: Final = 150_000
"""More bytes than arguments and an environment have; less than a socket takes at once."""


class Order(NamedTuple):
    """What a child shall be; its standard streams come beside it, as descriptors."""

    module: str
    arguments: list[str]
    environment: dict[str, str]
    directory: str


class Child(NamedTuple):
    """A child at work, and the client that is told how it ends."""

    pid: int
    watched: int
    client: socket.socket


def serve(control: socket.socket) -> Order | None:
    """Fork a child for each order. Returns in the child, with its order; or without one, once nobody can give any.

    A child whose client goes away is killed.
    """
    children: set[Child] = set()
    with selectors.PollSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                child: Child | None = key.data
                if child is not None:
                    if child in children and key.fd == child.watched:
                        children.remove(child)
                        selector.unregister(child.watched)
                        selector.unregister(child.client)
                        report(child)
                    elif child in children:
                        os.kill(child.pid, signal.SIGKILL)
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, LARGEST, 4)
                if not message:
                    for one in children:
                        os.kill(one.pid, signal.SIGKILL)
                    return None
                order, client = Order(**json.loads(message)), socket.socket(fileno=descriptors[0])
                pid = os.fork()
                if pid == 0:
                    for one in children:
                        one.client.close()
                        os.close(one.watched)
                    client.close()
                    control.close()
                    become(order, descriptors[1:])
                    return order
                for one_of_its in descriptors[1:]:
                    os.close(one_of_its)
                child = Child(pid, os.pidfd_open(pid), client)
                children.add(child)
                selector.register(child.watched, selectors.EVENT_READ, child)
                selector.register(child.client, selectors.EVENT_READ, child)
                tell(client, pid)


def report(child: Child) -> None:
    """Tell how a child ended: its exit status, or the signal that it died of as a negative number."""
    _, status = os.waitpid(child.pid, 0)
    tell(child.client, os.waitstatus_to_exitcode(status))
    child.client.close()
    os.close(child.watched)


def tell(client: socket.socket, number: int) -> None:
    with suppress(ConnectionError):  # it may be gone
        client.sendall(f"{number}\n".encode())


def become(order: Order, streams: list[int]) -> None:
    """Take on the descriptors, the environment and the arguments; forget what was learned from those before."""
    os.setsid()
    for number, given in enumerate(streams):
        os.dup2(given, number)
        os.close(given)
    sys.stdin = os.fdopen(0, "r", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    os.chdir(order.directory)
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()
    tempfile.tempdir = None
    sys.argv = [order.module, *order.arguments]


def prepare() -> None:
    """Import what takes long, of commands and of workers. What stays unimported is imported by whoever needs it.

    Raises:
        RuntimeError: something that was imported has started a thread, which no child would have.
    """
    import countersign.api.app
    import countersign.cli.rehearsal
    import countersign.runtime.migrate
    import countersign.runtime.verification
    import countersign.worker  # noqa: F401

    if len(list(Path("/proc/self/task").iterdir())) > 1:
        raise RuntimeError("a process that forks must have no threads")
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    prepare()
    mine = serve(socket.socket(fileno=int(sys.argv[1])))
    if mine is not None:
        runpy.run_module(mine.module, run_name="__main__", alter_sys=True)
