"""What is forked for a test is a process of its own, as ``python -m`` starts it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from pathlib import Path

import psutil
import pytest

from tests.eventually import eventually
from tests.processes import Forked, Started, started

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there they are started, not forked")


async def python(text: str, *arguments: str, **variables: str) -> tuple[int, str, str]:
    """How a program ends, and what it says."""
    process = await a_program(text, *arguments, **variables)
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def a_program(text: str, *arguments: str, **variables: str) -> Started:
    """A program of these lines, from a module that runs what it is given."""
    env = {"PATH": os.environ["PATH"], "PROGRAM": text} | variables
    return await started("tests.program", *arguments, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE)


@pytest.mark.parametrize(
    ("text", "status", "err"),
    [
        ("pass", 0, ""),
        ("sys.exit()", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no')", 1, "no\n"),
        ("os._exit(4)", 4, ""),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, ""),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT, "KeyboardInterrupt\n"),
        ("sys.excepthook = lambda *_: print('hooked', file=sys.stderr); 1 / 0", 1, "hooked\n"),
    ],
)
async def test_it_ends_as_every_python_program_does(text: str, status: int, err: str) -> None:
    ended, out, said = await python(text)
    assert (ended, out) == (status, "")
    assert said.endswith(err)
    assert bool(said) == bool(err)


async def test_what_it_wrote_and_what_it_left_for_its_end_is_not_lost() -> None:
    text = "import atexit; atexit.register(print, 'at exit'); print('שלום'); print('əlvida', file=sys.stderr)"
    assert await python(text) == (0, "שלום\nat exit\n", "əlvida\n")


async def test_its_arguments_environment_and_directory_are_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OURS", "ours")
    monkeypatch.chdir(tmp_path)
    text = "print(sys.argv[1:], 'OURS' in os.environ, os.getcwd(), tempfile.gettempdir(), time.tzname[0])"
    told = await python(text, "a", "b c", ITS="its", TMPDIR=str(tmp_path), TZ="XXX-3")
    assert told == (0, f"['a', 'b c'] False {tmp_path} {tmp_path} XXX\n", "")
    assert (await python("print(sorted(os.environ))"))[1] == "['PATH', 'PROGRAM']\n"


async def test_it_has_a_session_of_its_own_and_no_descriptor_but_the_standard_ones() -> None:
    beside = await a_program("sys.stdin.read()")
    text = "print(os.getsid(0) == os.getpid(), sorted(int(one) for one in os.listdir('/proc/self/fd'))[:-1])"
    assert (await python(text))[1] == "True [0, 1, 2]\n"
    assert await beside.communicate() == (b"", b"")


async def test_what_countersign_imports_is_there_before_it_begins_and_nothing_of_it_runs() -> None:
    text = "print('countersign.worker' in sys.modules, len(os.listdir('/proc/self/task')))"
    assert (await python(text))[1] == "True 1\n"


async def test_no_two_draw_the_same_random_numbers() -> None:
    text = "import random, secrets, uuid; print(random.random(), secrets.token_hex(), uuid.uuid4())"
    drawn = [(await python(text))[1].split() for _ in range(3)]
    assert [len(set(one)) for one in zip(*drawn, strict=True)] == [3, 3, 3]


async def test_it_reads_what_it_is_given_and_need_not() -> None:
    process = await a_program("print(sys.stdin.read()[::-1])")
    assert await process.communicate(b"abc") == (b"cba\n", b"")
    process = await a_program("pass")
    assert await process.communicate(b"x" * 1_000_000) == (b"", b"")
    assert process.returncode == 0


async def test_a_terminal_is_one_for_it_too() -> None:
    ours, its = os.openpty()
    try:
        env = {"PROGRAM": "print(sys.stdin.isatty(), sys.stdout.isatty(), sys.stdout.line_buffering)"}
        process = await started("tests.program", env=env, stdin=DEVNULL, stdout=its)
        assert await process.wait() == 0
        assert os.read(ours, 100) == b"False True True\r\n"
    finally:
        os.close(ours)
        os.close(its)


async def test_both_its_outputs_may_be_one() -> None:
    process = await started(
        "tests.program", env={"PROGRAM": "print(1, flush=True); sys.exit('2')"}, stdout=PIPE, stderr=STDOUT
    )
    assert await process.communicate() == (b"1\n2\n", b"")


async def test_one_that_nobody_waits_for_any_longer_is_killed() -> None:
    process = await a_program("time.sleep(600)")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await process.communicate()
    async with asyncio.timeout(30):
        assert await process.wait() == -signal.SIGKILL


async def test_one_whose_start_nobody_waits_for_any_longer_is_killed() -> None:
    before = {one.pid for one in children_of_the_server()}
    starting = asyncio.create_task(a_program("time.sleep(600)"))
    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.gather(starting, return_exceptions=True)
    assert isinstance(await a_program("pass"), Forked)  # orders are carried out one after the other

    async def gone() -> bool:
        return {one.pid for one in children_of_the_server()} <= before

    await eventually(gone)


async def test_one_that_has_ended_leaves_no_zombie() -> None:
    process = await a_program("pass")
    assert await process.communicate() == (b"", b"")
    assert not psutil.pid_exists(process.pid)
    process.kill()  # which is nobody


def children_of_the_server() -> list[psutil.Process]:
    (server,) = [one for one in psutil.Process().children() if "tests.fork_server" in one.cmdline()]
    return server.children()
