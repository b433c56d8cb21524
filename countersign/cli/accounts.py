"""``countersign ledger``: what became of each side's money."""

from __future__ import annotations

import sys
from typing import Annotated, Any, Final

import typer

from countersign.cli.client import (
    AsOption,
    InitiativeArgument,
    UrlOption,
    an_auditor,
    calling,
    initiative_path,
)
from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    instant,
    print_json,
    say_table,
    signed,
)

_PAGE: Final = 1000  # transactions; the most that the API gives at once


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(ledger)


def ledger(
    initiative: InitiativeArgument,
    name: AsOption = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, one row an entry.")] = False,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the ledger of an initiative, and the balances of each side.

    On the embedded default, if nobody is named, to an auditor.
    """
    if as_csv and as_json:
        raise Failure("it is either --csv or --json", Status.USAGE)
    path = initiative_path(initiative, "/ledger")
    with calling(home, url, name, as_json or as_csv, otherwise=an_auditor) as caller:
        if as_csv:
            # As it came, with the line ends of the standard.
            sys.stdout.buffer.write(caller.call("GET", path, parameters={"format": "csv"}).content)
            return
        found = caller.get(path, limit=_PAGE)
        items, cursor = found["items"], found["next"]
        while cursor is not None:
            found = caller.get(path, limit=_PAGE, cursor=cursor)
            items, cursor = items + found["items"], found["next"]
    if as_json:
        print_json(found | {"items": items, "next": None})
        return
    say_table(
        ("entry", "at", "side", "what", "from", "to", "amount"),
        ((str(one["sequence"]), instant(one["at"]), one["directorate"], *_told(one)) for one in items),
    )
    say_table(
        ("side", "allocated", "on its way", "paid", "back", "accepted costs", "unspent"),
        (
            (
                one["directorate"],
                *(
                    signed(one[what], one["unit"])
                    for what in ("committed", "instructed", "disbursed", "recovered", "accepted", "unspent")
                ),
            )
            for one in found["standings"]
        ),
        title="Each side",
    )
    say_table(
        ("side", "account", "balance"),
        (
            (one["directorate"], one["account"], signed(one["minor"], one["unit"]))
            for one in found["balances"]
        ),
        title="Balances",
    )


def _told(one: Any) -> tuple[str, str, str, str]:
    """What a transaction is for, the accounts that are credited and debited, and how much it moves."""
    credited = [entry["account"] for entry in one["entries"] if entry["minor"] < 0]
    debited = [entry["account"] for entry in one["entries"] if entry["minor"] > 0]
    amount = sum(entry["minor"] for entry in one["entries"] if entry["minor"] > 0)
    what = one["code"].replace("_", " ")
    return what, ", ".join(credited), ", ".join(debited), signed(amount, one["unit"])
