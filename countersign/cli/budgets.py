"""``countersign budgets``: what each side gives in a year, and how much of it is left."""

from __future__ import annotations

from typing import Annotated

import typer

from countersign.cli.client import AsOption, UrlOption, an_auditor, calling
from countersign.cli.output import DEFAULT_HOME, HomeOption, JsonOption, print_json, say, say_table, signed


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(budgets)


def budgets(
    year: Annotated[int | None, typer.Option(help="The budget year; this year unless given.")] = None,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what each side gives the programme in a year, how much is left, and who waits for some.

    On the embedded default, if nobody is named, to an auditor.
    """
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        found = caller.get("/budgets", **({} if year is None else {"year": year}))
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("No budget bounds what can be committed.")
        return
    say_table(
        ("year", "side", "area", "budget", "taken", "left", "waiting"),
        (
            (
                str(one["year"]),
                one["directorate"],
                one["area"] or "all",
                *(signed(one[what], one["unit"]) for what in ("ceiling", "taken", "left")),
                ", ".join(one["waiting"]),
            )
            for one in found["items"]
        ),
    )
