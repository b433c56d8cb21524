"""How commands speak: tables and lines for people, JSON for scripts, and a status that means something."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from countersign.domain.amounts import Amount
from countersign.runtime.embedded import EmbeddedError, NotRunning
from countersign.runtime.embedded.home import VARIABLE

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

HomeOption = Annotated[
    Path, typer.Option("--home", envvar=VARIABLE, help="Where the embedded default keeps everything.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DEFAULT_HOME = Path(".countersign")

_CONTROL: Final = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_PIPE_WIDTH: Final = 4096  # columns; a table that goes into a file or a pipe is not folded


class Status(IntEnum):
    """What the command's exit status says."""

    DONE = 0
    NOT_DONE = 1
    USAGE = 2
    NOT_RUNNING = 3
    SIGNED_OUT = 4


class Failure(Exception):
    """The command could not do what was asked; the message says why."""

    def __init__(self, message: str, status: Status = Status.NOT_DONE) -> None:
        super().__init__(message)
        self.status = status


def print_json(data: Any) -> None:
    """Print data as JSON to standard output, in the form that it has in the API."""
    json.dump(data, sys.stdout, ensure_ascii=False, indent=2)
    sys.stdout.write("\n")


def say(text: str = "", *, style: str | None = None, to: Console = out) -> None:
    """Print lines for people."""
    to.print(clean(text), markup=False, style=style)


def say_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None) -> None:
    """Print a table under its title; nothing at all when it has no rows."""
    table = Table(*(escape(clean(name)) for name in columns), box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    if table.row_count == 0:
        return
    if title is not None:
        say(f"\n{title}", style="bold")
    wide = out if out.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)
    wide.print(table, soft_wrap=False)


def clean(text: str) -> str:
    """Text without control characters: what others wrote must not steer the terminal that shows it."""
    return _CONTROL.sub(" ", text)


def instant(at: str | datetime | None) -> str:
    """An instant for people, to the minute and in UTC; nothing when there is none."""
    if at is None:
        return ""
    known = datetime.fromisoformat(at) if isinstance(at, str) else at
    return known.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def amounts(some: Iterable[Mapping[str, Any]]) -> str:
    """Amounts of the API for people, such as ``1,250,000.00 ILS``."""
    return ", ".join(str(Amount(one["minor"], one["unit"])) for one in some)


def tell_answered(answered: Mapping[str, Any], done: str, as_json: bool) -> None:
    """Tell that a message counted: as JSON, or as what is ``done`` and the audit entry that says so."""
    tell(as_json, f"{done} (entry {answered['sequence']}).", answered)


def tell(as_json: bool, text: str, result: Any) -> None:
    """Tell what was done: the result as JSON where that is asked for, else a text for people."""
    if as_json:
        print_json(result)
    else:
        say(text)


def signed(minor: int, unit: str) -> str:
    """Minor units that may be negative, written like an amount."""
    return f"{'-' if minor < 0 else ''}{Amount(abs(minor), unit)}"


def in_one_language(texts: Mapping[str, str]) -> str:
    """A text that is given in several languages, in English where there is an English one."""
    return texts.get("en") or next(iter(texts.values()), "")


def complain(problem: Failure | EmbeddedError) -> int:
    """Tell on standard error what went wrong; gives the exit status."""
    err.print(clean(f"countersign: {problem}"), style="red", markup=False)
    if isinstance(problem, Failure):
        return problem.status
    return Status.NOT_RUNNING if isinstance(problem, NotRunning) else Status.NOT_DONE
