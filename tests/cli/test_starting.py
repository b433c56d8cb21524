"""The command as a shell starts it: an interpreter of its own, which imports what it needs and ends with a status.

Most other tests fork their commands (``tests.processes``); here nothing is imported before.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path

import pytest

from countersign.runtime.resources import default_agreement
from tests.cli.conftest import Ended, Terminal, environment, run

AGREEMENT = str(default_agreement())


async def afresh(*arguments: str, **variables: str) -> Ended:
    """A command that is started by an interpreter that has imported nothing."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "countersign", *arguments),
        env=environment(**variables),
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 120)
    return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("--help",), 0),
        (("agreement", "check", AGREEMENT), 0),
        (("agreement", "check", "no-such-file"), 2),
        (("inbox",), 3),
        (("no-such-command",), 2),
    ],
)
async def test_a_command_that_is_started_afresh_says_and_ends_as_one_that_is_forked(
    arguments: tuple[str, ...], status: int, tmp_path: Path
) -> None:
    home = {"COUNTERSIGN_HOME": str(tmp_path)}
    started, forked = await asyncio.gather(afresh(*arguments, **home), run(*arguments, **home))
    assert started == forked
    assert started.status == status
    assert started.out or started.err


async def test_a_command_that_is_started_afresh_reaches_a_running_system(terminal: Terminal) -> None:
    asked = ("inbox", "--as", "il-legal", "--json")
    started = await afresh(*asked, COUNTERSIGN_HOME=str(terminal.home))
    assert (started.status, started.err) == (0, "")
    assert started.json["items"] is not None


async def test_the_installed_command_is_the_module() -> None:
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("countersign"),
        "agreement",
        "check",
        AGREEMENT,
        env=environment(),
        stdout=PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 120)
    assert (process.returncode, out.decode()) == (0, (await run("agreement", "check", AGREEMENT)).out)
