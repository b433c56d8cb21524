"""What finance officers bring from their bank: ``bank import``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from countersign.cli.client import AsOption, KeyOption, UrlOption, calling, checked_key, new_key
from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    amounts,
    print_json,
    say,
    say_table,
)

bank = typer.Typer(no_args_is_help=True, help="What your side's bank says.")


@bank.callback()
def _group() -> None:
    """A group even with one command: others will follow."""


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(bank, name="bank")


@bank.command("import")
def import_statement(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A camt.054 (XML); - reads standard input.")],
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Import your bank's statement, and tell line by line what came of it; never by whoever authorised.

    The same statement again changes nothing. Ends with 1 when a line needs somebody to look at it.
    """
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as problem:
        raise Failure(f"{file} cannot be read: {problem.strerror}", Status.USAGE) from None
    headers = {"Content-Type": "application/xml"}
    with calling(home, url, name, as_json) as caller:
        answer = caller.call(
            "POST", "/bank-statements", content=content, key=checked_key(key) or new_key(), headers=headers
        )
    result = answer.json()
    if as_json:
        print_json(result)
    else:
        _tell(result)
    open_lines = sum(count for verdict, count in result["counts"].items() if verdict not in _FINE)
    if open_lines:
        raise Failure(f"{open_lines} line(s) did not count and are for somebody to look at")


_FINE = ("matched", "duplicate", "pending")


def _tell(result: Any) -> None:
    say_table(
        ("entry", "end-to-end id", "amount", "the bank says", "verdict", "initiative", "tranche"),
        (
            (
                str(one["entry"]),
                one["end_to_end_id"] or "",
                amounts([one["amount"]]) if one["amount"] else "",
                (one["outcome"] or "") + (f" ({one['reason']})" if one["reason"] else ""),
                one["verdict"] + (f": {one['code']}" if one["code"] else ""),
                one["initiative"] or "",
                str(one["tranche"] or ""),
            )
            for one in result["items"]
        ),
    )
    counts = ", ".join(f"{count} {verdict}" for verdict, count in result["counts"].items()) or "nothing in it"
    say(f"\n{counts}" + ("; your side has imported this very statement before." if result["again"] else "."))
