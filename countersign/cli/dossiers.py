"""``countersign audit export``: the dossier of an initiative, saved whole and verified."""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote

import typer
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn

from countersign.cli.auditors import audit
from countersign.cli.client import (
    Api,
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
    err,
    print_json,
    say,
)

if TYPE_CHECKING:
    from countersign.runtime.dossier.verifier.dossier import Dossier

_ENDING: Final = ".zip"


def register(_: typer.Typer) -> None:
    """Add this to the commands of ``countersign audit``."""
    audit.command()(export)


def export(
    initiative: InitiativeArgument,
    to: Annotated[
        Path,
        typer.Option(
            "--to", metavar="FILE|DIR", help="Where to save it; nothing that is there is overwritten."
        ),
    ] = Path(),
    keys: Annotated[
        Path | None, typer.Option(help="The sides' public keys, as you got them: in the form of keys.json.")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT", help="A checkpoint that you kept: every entry is proven against it."
        ),
    ] = None,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export the dossier of an initiative, everything on it in one ZIP, and verify it.

    It ends with 1 when anything in it is not as it has to be; the file is saved all the same.
    """
    size = None if against is None else _size_of(against)
    if keys is not None and not keys.is_file():
        raise Failure(f"there is no {keys}", Status.USAGE)
    with (
        calling(home, url, name, as_json, otherwise=an_auditor) as caller,
        _bars(quiet=as_json) as bars,
    ):
        reference = str(caller.get(initiative_path(initiative))["reference"])
        target = to / Path(f"{reference}{_ENDING}").name if to.is_dir() else to
        digest = _save(_pieces(caller, initiative, size), target, bars)
        dossier, said = _verified(target, keys, against, bars)
    found = {
        "path": str(target),
        "sha256": digest,
        "manifest": dossier.manifest_hash,
        "size": target.stat().st_size,
        "initiative": dossier.about.get("initiative"),
        "reference": reference,
        "entries": len(dossier.trail),
        "unvouched": dossier.about.get("unvouched"),
        "checkpoint": dossier.about.get("checkpoint"),
        "files": len(dossier.names),
        "faults": dossier.faults,
        "notes": dossier.notes,
    }
    if as_json:
        print_json(found)
    else:
        for line in said:
            say(line, style="red" if line.startswith("WRONG") else None)
        say(f"\n{target}: {found['entries']:,} entries, {found['files']:,} files, {found['size']:,} bytes")
        say(f"SHA-256 of the file:     {digest}")
        say(f"SHA-256 of its manifest: {dossier.manifest_hash}")
    if dossier.faults:
        raise typer.Exit(Status.NOT_DONE)


@contextmanager
def _bars(*, quiet: bool) -> Iterator[Progress]:
    columns = (TextColumn("{task.description}"), BarColumn())
    with Progress(*columns, console=err, transient=True, disable=quiet or not err.is_terminal) as bars:
        yield bars


def _pieces(caller: Api, initiative: str, size: int | None) -> Iterator[bytes]:
    query = "" if size is None else f"?checkpoint={size}"
    return caller.stream(f"/v1/initiatives/{quote(initiative, safe='')}/dossier{query}")


def _save(pieces: Iterator[bytes], target: Path, bars: Progress) -> str:
    """Save what comes under a name that nothing has yet, once it is whole; its SHA-256.

    Raises:
        Failure: it cannot be saved there, or did not come whole.
    """
    digest, so_far = hashlib.sha256(), 0
    bars.columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    task = bars.add_task("export", total=None)
    try:
        if target.exists():
            raise FileExistsError
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".countersign-") as partial:
            for piece in pieces:
                digest.update(piece)
                partial.write(piece)
                so_far += len(piece)
                bars.update(task, completed=so_far)
            partial.flush()
            if not zipfile.is_zipfile(partial.name):
                raise Failure("the dossier did not come whole; nothing is saved")
            os.link(partial.name, target)
    except FileExistsError:
        raise Failure(f"{target} is there already; name another place with --to", Status.USAGE) from None
    except OSError as problem:
        raise Failure(f"{target} cannot be saved: {problem.strerror}", Status.USAGE) from None
    bars.update(task, total=so_far)
    target.chmod(0o600)
    return digest.hexdigest()


def _verified(
    target: Path, keys: Path | None, against: Path | None, bars: Progress
) -> tuple[Dossier, list[str]]:
    """The same checks as ``verify.py`` does."""
    from countersign.runtime.dossier.verifier.dossier import Dossier
    from countersign.runtime.dossier.verifier.main import CHECKS, run
    from countersign.runtime.dossier.verifier.places import Archive

    bars.columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    task = bars.add_task("verify", total=len(CHECKS))
    said: list[str] = []

    def tell(line: str) -> None:
        said.append(line)
        if line.startswith(("ok", "WRONG")):
            bars.advance(task)

    dossier = Dossier(Archive(str(target)), _named(keys), _named(against), None)
    run(dossier, tell)
    return dossier, said


def _named(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _size_of(kept: Path) -> int:
    """How many entries a checkpoint is of, which somebody kept."""
    from countersign.cli.verification import kept_checkpoint

    return kept_checkpoint(kept).checkpoint.size
