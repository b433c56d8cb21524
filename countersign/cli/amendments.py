"""Amendments: ``amend``, ``adopt`` and ``amendments``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from countersign.cli.attachments import DocumentsOption, bring_named
from countersign.cli.client import (
    AsOption,
    InitiativeArgument,
    JsonFile,
    KeyOption,
    ReasonsOption,
    UrlOption,
    an_auditor,
    calling,
    checked_key,
    initiative_path,
    new_key,
    read_json,
)
from countersign.cli.output import DEFAULT_HOME, HomeOption, JsonOption, instant, print_json, say, say_table


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(amend)
    app.command()(adopt)
    app.command()(amendments)


def amend(
    initiative: InitiativeArgument,
    file: JsonFile,
    reasons: ReasonsOption,
    name: AsOption = None,
    replaces: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="The version that it replaces. (default: the one in force now)"),
    ] = None,
    key: KeyOption = None,
    documents: DocumentsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask for another version of an active initiative's proposal. A minor change is in force at once."""
    _, proposal = read_json(file)
    key = checked_key(key) or new_key()
    with calling(home, url, name, as_json) as caller:
        bring_named(caller, proposal, file, documents)
        known = replaces or caller.get(initiative_path(initiative, "/proposal"))["content_hash"]
        body = {"proposal": proposal, "replaces": known, "reasons": reasons}
        path = initiative_path(initiative, "/amendments")
        asked = caller.call("POST", path, content=json.dumps(body).encode(), key=key).json()
    _tell_asked(asked, as_json)


def adopt(
    initiative: InitiativeArgument,
    version: Annotated[int, typer.Argument(min=1, help="The version of the programme agreement.")],
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask to move an active initiative to a newer version of the programme agreement. Every side decides on it."""
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, "/amendments/agreement")
        body = {"agreement_version": version, "reasons": reasons}
        asked = caller.post(path, body, key=checked_key(key))
    _tell_asked(asked, as_json)


def _tell_asked(asked: Any, as_json: bool) -> None:
    if as_json:
        print_json(asked)
    elif asked["matter"] is None:
        say(f"Amendment {asked['number']} is notified and in force (entry {asked['sequence']}).")
    else:
        say(f"Amendment {asked['number']} is before every side, as matter {asked['matter']}.")


def amendments(
    initiative: InitiativeArgument,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the amendments of an initiative, and what became of each.

    On the embedded default, if nobody is named, to an auditor.
    """
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        found = caller.get(initiative_path(initiative, "/amendments"))
    if as_json:
        print_json(found)
        return
    if not found["items"]:
        say("None was asked for.")
    say_table(
        ("amendment", "weight", "changes", "asked", "matter", "state", "since", "reason"),
        (
            (
                str(one["number"]),
                one["weight"],
                _changes(one),
                instant(one["asked_at"]),
                str(one["matter"] or ""),
                f"{one['state']}, version {one['version']}" if one["version"] else one["state"],
                instant(one["settled_at"]),
                one["reason"] or one["reasons"],
            )
            for one in found["items"]
        ),
    )


def _changes(one: Any) -> str:
    kinds = ", ".join(kind.replace("_", " ") for kind in one["kinds"])
    return f"{kinds}: version {one['agreement_version']}" if one["agreement_version"] else kinds
