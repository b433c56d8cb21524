"""``countersign audit verify`` and ``countersign audit checkpoint``: that nothing of the record was changed."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from countersign.cli.auditors import audit
from countersign.cli.client import AsOption, UrlOption, an_auditor, calling
from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    err,
    instant,
    print_json,
    say,
    say_table,
)
from countersign.runtime.embedded.home import Home

if TYPE_CHECKING:
    from countersign.domain.agreement import ProgrammeAgreement
    from countersign.domain.checkpoint import SignedCheckpoint
    from countersign.runtime.verification import Archive, Verified, Watch

_ARCHIVED_WITHIN: Final = timedelta(days=2)
"""After that the history of whatever is over has to be in the archive; once a day it is looked for what is missing."""

_DATABASE: Final = "COUNTERSIGN_DATABASE_URL"


def register(_: typer.Typer) -> None:
    """Add these to the commands of ``countersign audit``."""
    for command in (archive, checkpoint, verify):
        audit.command()(command)


def checkpoint(
    now: Annotated[
        bool, typer.Option("--now", help="Make one of all that is recorded, and have it signed.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to keep it; it is printed unless given.")
    ] = None,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Get the last signed checkpoint of the log. Whoever keeps it can tell later whether the past was rewritten."""
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        found = caller.post("/audit/checkpoint") if now else caller.get("/audit/checkpoint")
    if output is not None:
        try:
            with output.open("x", encoding="utf-8") as file:
                file.write(found["note"])
        except OSError as problem:
            raise Failure(f"{output} cannot be written: {problem.strerror}", Status.USAGE) from None
    if as_json:
        print_json(found)
    elif output is None:
        typer.echo(found["note"], nl=False)
    else:
        sides = ", ".join(found["signed_by"]) or "no side yet"
        say(f"{output}: {found['size']:,} entries, made {instant(found['made_at'])}, signed by {sides}")


def archive(
    complete: Annotated[
        bool, typer.Option("--complete", help="Ask for every initiative, and find what is missing.")
    ] = False,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Have the workflow histories of all runs that have ended archived now. It ends with 1 when any is not."""
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        found = caller.post(f"/audit/archive?complete={str(complete).lower()}")
    if as_json:
        print_json(found)
    elif not found["is_done"]:
        say("It is under way; ask again in a while.")
    else:
        say(f"{found['archived']:,} archived.")
        for initiative in found["missing"]:
            say(f"A run of {initiative} is neither archived nor in Temporal any more.", style="red")
        for run in found["failed"]:
            say(f"The run {run} could not be archived; the worker's log says why.", style="red")
    if found["missing"] or found["failed"]:
        raise typer.Exit(Status.NOT_DONE)


def verify(
    since: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT", help="A checkpoint that you kept: the log has to begin with it still."
        ),
    ] = None,
    agreement: Annotated[
        Path | None,
        typer.Option(help="The agreement file with every side's public keys. (default: that of the home)"),
    ] = None,
    replay: Annotated[
        bool,
        typer.Option(
            "--replay", help="Replay every archived history, too: slow, and needs the payload keys."
        ),
    ] = False,
    home: HomeOption = DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Verify the whole record: trails, what follows from them, documents, histories, the log, and who signed it.

    On the database of COUNTERSIGN_DATABASE_URL, with a login that may read all of it, or else of the system that runs
    on the home. It ends with 1 when anything is not as it has to be, and names it.
    """
    url, terms, keys = _record(home, agreement)
    kept = None if since is None else kept_checkpoint(since)
    archive = _archive(keys, replay)
    found = asyncio.run(_verify(url, terms, kept, archive, quiet=as_json))
    if as_json:
        print_json(_view(found))
    else:
        _tell(found)
    if found.faults:
        raise typer.Exit(Status.NOT_DONE)


async def _verify(
    url: str,
    agreement: ProgrammeAgreement,
    since: SignedCheckpoint | None,
    archive: Archive,
    *,
    quiet: bool,
) -> Verified:
    from countersign.runtime.verification import verify as verified
    from countersign.store.session import Database, RecordAway
    from countersign.store.verification import at_one_moment

    database = Database(url, pool_size=1)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    try:
        with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bars:
            async with database.transaction() as connection:
                await at_one_moment(connection)
                return await verified(connection, agreement, since=since, archive=archive, watch=_watch(bars))
    except RecordAway as problem:
        raise Failure(f"the database does not answer: {problem}") from problem
    finally:
        await database.close()


def _watch(bars: Progress) -> Watch:
    tasks: dict[str, Any] = {}

    def watch(what: str, done: int, total: int) -> None:
        if what not in tasks:
            tasks[what] = bars.add_task(what, total=total)
        bars.update(tasks[what], completed=done)

    return watch


def _archive(keys: Path | None, replay: bool) -> Archive:
    """How histories are verified: opened where the keys are at hand."""
    from countersign.runtime.payload_keys import KeyRingFault, read
    from countersign.runtime.verification import Archive

    over_since = datetime.now(UTC) - _ARCHIVED_WITHIN
    if keys is None or (not replay and not keys.exists()):
        if replay:
            raise Failure("to replay histories takes COUNTERSIGN_PAYLOAD_KEYS", Status.USAGE)
        return Archive(over_since=over_since)
    try:
        return Archive(keys=read(keys), replay=replay, over_since=over_since)
    except KeyRingFault as problem:
        raise Failure(str(problem), Status.USAGE) from None


def _record(home: Path, agreement: Path | None) -> tuple[str, ProgrammeAgreement, Path | None]:
    """The database, the agreement with the public keys, and where the payload keys are."""
    from countersign.domain.agreement_file import AgreementFaults, read

    if os.environ.get(_DATABASE):
        from countersign.cli.system import settings_and_logs

        settings = settings_and_logs()
        url, file = settings.database_url, agreement or settings.agreement
        keys = settings.payload_keys
    else:
        here = Home(home)
        endpoints = here.endpoints()
        url, file = endpoints.audit_database_url, agreement or endpoints.agreement
        keys = here.payload_keys
    try:
        return url, read(file.read_text(encoding="utf-8")), keys
    except OSError as problem:
        raise Failure(f"{file} cannot be read: {problem.strerror}", Status.USAGE) from None
    except AgreementFaults as problem:
        raise Failure(f"{file} is no valid agreement:\n{problem}", Status.USAGE) from None


def kept_checkpoint(file: Path) -> SignedCheckpoint:
    """A checkpoint that somebody kept.

    Raises:
        Failure: it cannot be read, or is none.
    """
    from countersign.domain.checkpoint import NoteFault, read_note

    try:
        return read_note(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise Failure(f"{file} cannot be read: {problem.strerror}", Status.USAGE) from None
    except (NoteFault, UnicodeDecodeError) as problem:
        raise Failure(f"{file} is no checkpoint: {problem}", Status.USAGE) from None


def _view(found: Verified) -> dict[str, Any]:
    return {
        "faults": [
            {"trail": one.trail, "sequence": one.sequence, "table": one.table, "problem": one.problem}
            for one in found.faults
        ],
        "entries": found.entries,
        "log": {"size": found.size, "to_come": found.to_come, "signed": found.signed},
        "checkpoints": found.checkpoints,
        "histories": {"archived": found.histories, "unread": found.unread},
    }


def _tell(found: Verified) -> None:
    say(
        f"{found.entries:,} entries, {found.size:,} of them in the log, {found.signed:,} signed by every side."
    )
    if found.histories:
        unread = f"; {found.unread:,} of them by their hash alone, without the keys" if found.unread else ""
        say(f"{found.histories:,} archived histories were held against the trails{unread}.")
    if not found.faults:
        say("Nothing was altered, taken away, added or moved.")
        return
    say(f"\n{len(found.faults)} thing(s) are not as they have to be:", style="red")
    say_table(
        ("trail", "entry", "where", "what"),
        (
            (one.trail or "", "" if one.sequence is None else str(one.sequence), one.table, one.problem)
            for one in found.faults
        ),
    )
