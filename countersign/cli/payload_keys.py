"""``countersign payload-keys``: the keys that content is encrypted with in Temporal, and rotating them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    err,
    print_json,
    say,
)
from countersign.runtime.embedded import NotRunning
from countersign.runtime.embedded.home import Home

if TYPE_CHECKING:
    from countersign.runtime.payload_keys import KeyRing

keys = typer.Typer(
    help="The keys that content is encrypted with in Temporal. Processes read their file as they start.",
    no_args_is_help=True,
)

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--keys",
        envvar="COUNTERSIGN_PAYLOAD_KEYS",
        dir_okay=False,
        help="The file with the keys; that of the embedded default's home unless given.",
    ),
]
KeyArgument = Annotated[
    str, typer.Argument(help="The key's id, as `payload-keys list` shows it.", metavar="ID")
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(keys, name="payload-keys")


@keys.command("list")
def show(file: FileOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """List the keys by their ids, the current one first."""
    _change(file, home, as_json)


@keys.command()
def add(file: FileOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Make a key. The first one of a file is the current one at once; a later one only decrypts until it is used."""
    from countersign.runtime.payload_keys import new_ring

    place = _place(file, home)
    if place.exists():
        _change(file, home, as_json, lambda ring: ring.with_new())
    else:
        _keep(place, new_ring(), as_json)


@keys.command()
def use(
    key: KeyArgument, file: FileOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """Make a key the current one. Every process must have it by then."""
    _change(file, home, as_json, lambda ring: ring.using(key))


@keys.command()
def drop(
    key: KeyArgument, file: FileOption = None, home: HomeOption = DEFAULT_HOME, as_json: JsonOption = False
) -> None:
    """Forget a key. What was encrypted with it cannot be read ever again.

    It is refused as long as archived histories are sealed with it: in the record of COUNTERSIGN_DATABASE_URL, or else
    of the system that runs on the home.
    """
    record = _record(home)

    def dropped(ring: KeyRing) -> KeyRing:
        left = ring.without(key)
        sealed = asyncio.run(_sealed_with(record, key)) if record is not None else 0
        if sealed:
            raise Failure(f"{sealed:,} archived histories are sealed with {key}, and nobody could read them")
        return left

    _change(file, home, as_json, dropped)
    if record is None:
        say("COUNTERSIGN_DATABASE_URL names no record, so archived histories were not looked at.", to=err)


def _record(home: Path) -> str | None:
    """The database that has the archive, where one is known."""
    named = os.environ.get("COUNTERSIGN_DATABASE_URL")
    if named:
        return named
    try:
        return Home(home).endpoints().audit_database_url
    except NotRunning:
        return None


async def _sealed_with(url: str, key: str) -> int:
    """How many archived histories only that key opens.

    Raises:
        Failure: the record does not answer, or not to that login.
    """
    from sqlalchemy.exc import DBAPIError

    from countersign.store import histories
    from countersign.store.roles import Reader
    from countersign.store.session import Database, RecordAway

    # The API's login is bound to a reader, and sees nothing without one.
    database = Database(url, pool_size=1).read_by(Reader("auditor", "operator"))
    try:
        async with database.reading() as connection:
            return await histories.sealed_with(connection, key)
    except (RecordAway, DBAPIError) as problem:
        why = str(problem.orig) if isinstance(problem, DBAPIError) else "the record does not answer"
        raise Failure(f"archived histories may be sealed with it, and cannot be looked at: {why}") from None
    finally:
        await database.close()


def _place(file: Path | None, home: Path) -> Path:
    return file or Home(home).payload_keys


def _change(
    file: Path | None, home: Path, as_json: bool, change: Callable[[KeyRing], KeyRing] | None = None
) -> None:
    """Read the keys, change them if asked to, and tell which there are.

    Raises:
        Failure: they cannot be read, or cannot be changed like that.
    """
    from countersign.runtime.payload_keys import KeyRingFault, read

    place = _place(file, home)
    try:
        ring = read(place)
        changed = change(ring) if change is not None else ring
    except KeyRingFault as problem:
        raise Failure(str(problem), Status.USAGE) from None
    if changed is ring:
        _tell(place, ring, as_json)
    else:
        _keep(place, changed, as_json)


def _keep(place: Path, ring: KeyRing, as_json: bool) -> None:
    from countersign.runtime.payload_keys import write

    try:
        write(place, ring)
    except OSError as problem:
        raise Failure(f"{place} cannot be written: {problem.strerror}") from None
    _tell(place, ring, as_json)
    if not as_json:
        say("Processes that run know of it when they are started again.")


def _tell(place: Path, ring: KeyRing, as_json: bool) -> None:
    if as_json:
        print_json({"file": str(place), "current": ring.current.id, "keys": list(ring.ids)})
        return
    say(f"{place}:")
    for one in ring.ids:
        say(f"  {one}{' (current)' if one == ring.current.id else ''}")
