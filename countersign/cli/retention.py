"""``countersign retention``: whose names have been kept for long enough, and redacting them."""

from __future__ import annotations

import asyncio
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    instant,
    print_json,
    say,
    say_table,
)
from countersign.cli.system import settings_and_logs
from countersign.runtime.embedded.home import Home

if TYPE_CHECKING:
    from countersign.attachments.vault import Vault
    from countersign.cli.redaction import Done

_DATABASE: Final = "COUNTERSIGN_DATABASE_URL"
_NAME: Final = re.compile(r"[\x21-\x7e]{1,100}")


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(retention)


def retention(
    redact: Annotated[
        bool, typer.Option("--redact", help="Redact what is listed. It cannot be undone.")
    ] = False,
    at: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="What is due when this day begins (UTC); now unless given."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(help="Who redacts: the audit trail has it as operator/NAME.", metavar="NAME"),
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """List the ended initiatives whose people have been on record for as long as the rules say, or redact them.

    An operator's command, on the database of COUNTERSIGN_DATABASE_URL, or else of the system that runs on the home.
    """
    from countersign.cli.redaction import carry_out

    now = datetime.now(UTC)
    day = at.replace(tzinfo=UTC) if at is not None else now
    if redact and day > now:
        raise Failure("what is not due yet is not redacted, and --at is a day to come", Status.USAGE)
    if by is not None and not _NAME.fullmatch(by):
        raise Failure(
            f"{by!r} is no name for the audit trail: no spaces, 100 characters at most", Status.USAGE
        )
    operator = "operator" if by is None else f"operator/{by}"
    url, vault = _record(home)
    done = asyncio.run(carry_out(url, day, operator if redact else None, vault))
    if as_json:
        print_json({"items": [one.view() for one in done]})
    else:
        _tell(done, redact)
    if any(one.problem for one in done):
        raise typer.Exit(Status.NOT_DONE)


def _record(home: Path) -> tuple[str, Vault | None]:
    """The database, and what keeps the attachments."""
    from countersign.runtime.settings import Settings
    from countersign.runtime.vaults import configured

    if os.environ.get(_DATABASE):
        settings = settings_and_logs()
    else:
        here = Home(home)
        settings = Settings(database_url=here.endpoints().database_url, attachments=str(here.attachments))
    try:
        return settings.database_url, configured(settings)
    except OSError as problem:
        raise Failure(f"the attachments cannot be reached: {problem}") from problem


def _tell(done: list[Done], redact: bool) -> None:
    if not done:
        say("Nothing is due.")
        return
    columns = ("initiative", "stage", "ended", "due since", "kept for", *(("done",) if redact else ()))
    say_table(columns, (_row(one, redact) for one in done))
    if not redact:
        say("\n`countersign retention --redact` redacts their people. It cannot be undone.")


def _row(one: Done, redact: bool) -> tuple[str, ...]:
    due = one.due
    told = (due.reference, due.stage, instant(due.ended_at), instant(due.due_at), str(due.rule))
    if not redact:
        return told
    if one.problem is not None:
        return (*told, one.problem)
    if one.fact is None:
        return (*told, "somebody else redacted it meanwhile")
    kept = f", {len(one.fact.kept)} kept for another initiative" if one.fact.kept else ""
    erased = f", attachments erased: {len(one.fact.attachments)}" if one.fact.attachments else ""
    return (*told, f"documents redacted: {len(one.fact.documents)}{kept}{erased}")
