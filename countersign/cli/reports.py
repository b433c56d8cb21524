"""Reports at the command line: ``report``, ``draft`` and ``waive``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from countersign.cli.attachments import DocumentsOption, bring_named
from countersign.cli.client import (
    Api,
    AsOption,
    InitiativeArgument,
    JsonFile,
    KeyOption,
    ReasonsOption,
    Refused,
    UrlOption,
    calling,
    checked_key,
    initiative_path,
    new_key,
    read_json,
)
from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    instant,
    print_json,
    tell,
    tell_answered,
)

NumberArgument = Annotated[int, typer.Argument(metavar="REPORT", min=1, help="The report's number.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (report, draft, waive):
        app.command()(command)


def report(
    initiative: InitiativeArgument,
    number: NumberArgument,
    file: JsonFile,
    name: AsOption = None,
    key: KeyOption = None,
    documents: DocumentsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit the report of a period that has ended, or again after changes were requested."""
    content, reported = read_json(file)
    key = checked_key(key) or new_key()
    with calling(home, url, name, as_json) as caller:
        bring_named(caller, reported, file, documents)
        path = initiative_path(initiative, f"/reports/{number}")
        answered = caller.call("POST", path, content=content, key=key).json()
    tell_answered(answered, f"Report {number} is submitted", as_json)


def draft(
    initiative: InitiativeArgument,
    number: NumberArgument,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="JSON to write; without it the draft is shown.")
    ] = None,
    submit: Annotated[bool, typer.Option("--submit", help="Submit what is written, and discard it.")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Throw what is written away.")] = False,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show, write, submit or discard a report that is not ready yet; those who take part in the initiative see it."""
    if sum((file is not None, submit, discard)) > 1:
        raise Failure("it is either FILE, --submit or --discard", Status.USAGE)
    path = initiative_path(initiative, f"/reports/{number}")
    with calling(home, url, name, as_json) as caller:
        if file is not None:
            _write(caller, f"{path}/draft", read_json(file)[0], as_json)
        elif discard:
            caller.call("DELETE", f"{path}/draft")
            tell(as_json, f"What was written of report {number} is gone.", {"discarded": number})
        else:
            found = caller.get(f"{path}/draft")
            if not submit:
                print_json(found if as_json else found["report"])
                return
            content = json.dumps(found["report"]).encode()
            answered = caller.call("POST", path, content=content, key=checked_key(key) or new_key()).json()
            caller.call("DELETE", f"{path}/draft")
            tell_answered(answered, f"Report {number} is submitted", as_json)


def waive(
    initiative: InitiativeArgument,
    number: NumberArgument,
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Do without a report, for your side; once every side does, it is waived."""
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, f"/reports/{number}/waiver")
        answered = caller.post(path, {"reasons": reasons}, key=checked_key(key))
    tell_answered(answered, f"Your side does without report {number}", as_json)


def _write(caller: Api, path: str, content: bytes, as_json: bool) -> None:
    """Put a draft in the place of the one that stands now."""
    try:
        headers = {"If-Match": caller.call("GET", path).headers["ETag"]}
    except Refused as refused:
        if refused.code != "not_found":
            raise
        headers = {}
    written = caller.call("PUT", path, content=content, headers=headers).json()
    tell(as_json, f"Written at {instant(written['written_at'])}.", written)
