"""Attachments at the command line: ``attach``, ``attachments`` and ``download``; and bringing what a file names."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from countersign.cli.client import (
    Api,
    AsOption,
    InitiativeArgument,
    Refused,
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
    print_json,
    say,
    say_table,
    tell,
)

DocumentsOption = Annotated[
    Path | None,
    typer.Option(
        "--documents",
        metavar="DIR",
        help="Where the documents are that FILE names; they are uploaded first. (default: documents/ beside FILE)",
    ),
]

_BINARY: Final = {"Content-Type": "application/octet-stream"}


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (attach, attachments, download):
        app.command()(command)


def attach(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Documents to upload.")],
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Upload documents, and print the hash by which a proposal or a report names each of them."""
    hashes = [_hash(file) for file in files]
    with calling(home, url, name, as_json) as caller:
        brought = [_bring(caller, file, known) for file, known in zip(files, hashes, strict=True)]
    if as_json:
        print_json({"items": [{"file": str(f), **one} for f, one in zip(files, brought, strict=True)]})
        return
    for file, one in zip(files, brought, strict=True):
        say(f"{one['sha256']}  {file}")


def attachments(
    initiative: InitiativeArgument,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the documents that an initiative names and that are here."""
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        found = caller.get(initiative_path(initiative, "/attachments"))
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("None of the documents that it names are here.")
    rows = [
        (
            one["name"] or "",
            one["kind"] or "evidence",
            "erased" if one.get("erased_at") else one["media_type"],
            f"{one['size']:,}",
            str(one["sequence"]),
            one["sha256"],
        )
        for one in found["items"]
    ]
    say_table(("document", "kind", "type", "bytes", "entry", "sha256"), rows)


def download(
    initiative: InitiativeArgument,
    document: Annotated[str, typer.Argument(metavar="HASH", help="Its SHA-256, or the beginning of it.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to save it; nothing that is there is overwritten."),
    ] = None,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Download a document that an initiative names, and check that it is the one."""
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        path = initiative_path(initiative, "/attachments")
        content_hash = _one_of(caller.get(path)["items"], document)
        link = caller.get(f"{path}/{content_hash}")
        target = output or Path(Path(link["file_name"]).name)  # here, wherever else the API would have it
        _save(caller.stream(link["url"]), target, content_hash)
    tell(as_json, f"{target}: {link['size']:,} bytes, as they were brought.", {**link, "file": str(target)})


def bring_named(caller: Api, document: Any, file: Path, documents: Path | None) -> None:
    """Upload what a proposal or a report names and a directory has; the rest is for the API to miss.

    Raises:
        Failure: the directory that was given is none.
    """
    if documents is None and file == Path("-"):
        return
    directory = documents or file.parent / "documents"
    if not directory.is_dir():
        if documents is not None:
            raise Failure(f"{documents} is no directory", Status.USAGE)
        return
    wanted = set(_named(document))
    here = {_hash(one): one for one in sorted(directory.iterdir()) if one.is_file()} if wanted else {}
    for content_hash in sorted(wanted & here.keys()):
        try:
            caller.get(f"/attachments/{content_hash}")
        except Refused as refused:
            if refused.code != "not_found":
                raise
            try:
                _bring(caller, here[content_hash], content_hash)
            except Refused as nothing_kept:
                if nothing_kept.code != "not_found":
                    raise
                return  # where nothing is kept, the hash is all that is asked for


def _named(document: Any) -> Iterator[str]:
    """The hashes in a document, whatever else is wrong with it."""
    if not isinstance(document, dict):
        return
    for block, key in (("documents", "sha256"), ("costs", "evidence")):
        listed = document.get(block)
        for one in listed if isinstance(listed, list) else ():
            named = one.get(key) if isinstance(one, dict) else None
            if isinstance(named, str):
                yield named


def _bring(caller: Api, file: Path, content_hash: str) -> Any:
    with file.open("rb") as content:
        return caller.call("PUT", f"/attachments/{content_hash}", content=content, headers=_BINARY).json()


def _hash(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    except OSError as problem:
        raise Failure(f"{file} cannot be read: {problem.strerror}", Status.USAGE) from None


def _one_of(items: list[dict[str, Any]], begun: str) -> str:
    """The one hash that begins like this."""
    begun = begun.removeprefix("sha256:").lower()
    found = {one["sha256"] for one in items if one["sha256"].removeprefix("sha256:").startswith(begun)}
    if len(found) != 1 or not begun:
        raise Failure(f"{len(found)} of its documents begin with {begun!r}", Status.USAGE)
    return str(found.pop())


def _save(pieces: Iterator[bytes], target: Path, content_hash: str) -> None:
    """Save what comes, when it is what it should be, under a name that nothing has yet.

    Raises:
        Failure: it is something else, or it cannot be saved there.
    """
    digest = hashlib.sha256()
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".countersign-") as partial:
            for piece in pieces:
                digest.update(piece)
                partial.write(piece)
            partial.flush()
            if f"sha256:{digest.hexdigest()}" != content_hash:
                raise Failure("what came is not what was asked for; nothing is saved")
            os.link(partial.name, target)
    except FileExistsError:
        raise Failure(f"{target} is there already; name another place with --output", Status.USAGE) from None
    except OSError as problem:
        raise Failure(f"{target} cannot be saved: {problem.strerror}", Status.USAGE) from None
