"""``countersign token``: who the embedded default's people are, and tokens of theirs."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from countersign.cli.output import DEFAULT_HOME, Failure, HomeOption, JsonOption, Status, out, print_json


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command("token")(token)


def token(
    name: Annotated[str | None, typer.Argument(help="Whose token, as --list names them.")] = None,
    everybody: Annotated[bool, typer.Option("--list", help="List everybody instead.")] = False,
    password: Annotated[
        bool,
        typer.Option("--password", help="Print what they sign in with on their providers' pages instead."),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Print a bearer token for one of the embedded default's people, good for an hour."""
    from countersign.runtime.embedded import identity
    from countersign.runtime.embedded.home import Home

    if everybody:
        people = identity.people()
        if as_json:
            print_json([one.model_dump(mode="json") for one in people])
            return
        table = Table("name", "who", "side", "offices", "issuer", box=None)
        for one in people:
            table.add_row(one.name, one.full_name, one.side or "", ", ".join(one.offices), one.issuer)
        out.print(table)
        return
    if password:
        known = identity.sign_in_password(Home(home))
        if as_json:
            print_json({"password": known})
        else:
            typer.echo(known)
        return
    if name is None:
        raise Failure("whose token? `countersign token --list` names everybody", Status.USAGE)
    issued = asyncio.run(identity.fetch_token(Home(home), name))
    if as_json:
        print_json({"name": name, "access_token": issued, "expires_in": identity.LIFETIME})
    else:
        # Plainly, so that $(countersign token il-head) is the token and nothing else.
        typer.echo(issued)
