"""What applicants do: ``submit``, ``revise``, ``report`` and ``withdraw``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any

import typer

from countersign.cli.attachments import DocumentsOption, bring_named
from countersign.cli.client import (
    AsOption,
    InitiativeArgument,
    JsonFile,
    KeyOption,
    UrlOption,
    calling,
    checked_key,
    initiative_path,
    new_key,
    read_json,
)
from countersign.cli.output import DEFAULT_HOME, HomeOption, JsonOption, print_json, say, tell_answered
from countersign.domain.canonical import content_hash

if TYPE_CHECKING:
    from countersign.runtime.embedded.identity import PersonListed


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (submit, revise, withdraw):
        app.command()(command)


def submit(
    file: JsonFile,
    name: AsOption = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="An id of your own: the same one again is the same initiative. Without it, one is made from what "
            "the file says, so the same file twice is one initiative."
        ),
    ] = None,
    documents: DocumentsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Submit a proposal. On the embedded default, if nobody is named, as the lead's side's applicant there."""
    content, proposal = read_json(file)
    key = checked_key(key) or _key_of(content, proposal)
    with calling(home, url, name, as_json, otherwise=lambda people: _lead(people, proposal)) as caller:
        bring_named(caller, proposal, file, documents)
        submitted = caller.call("POST", "/proposals", content=content, key=key).json()
    if as_json:
        print_json(submitted)
        return
    say(f"{submitted['reference']} is submitted.")
    say(f"  id       {submitted['id']}")
    say(f"  stage    {submitted['stage']}")
    say(f"  content  {submitted['content_hash']}")


def revise(
    initiative: InitiativeArgument,
    file: JsonFile,
    name: AsOption = None,
    replaces: Annotated[
        str | None,
        typer.Option(metavar="HASH", help="The version that it replaces. (default: the one that stands now)"),
    ] = None,
    key: KeyOption = None,
    documents: DocumentsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put a new version of a proposal that was returned."""
    content, proposal = read_json(file)
    path = initiative_path(initiative, "/proposal")
    key = checked_key(key) or new_key()
    with calling(home, url, name, as_json) as caller:
        bring_named(caller, proposal, file, documents)
        tag = f'"{replaces}"' if replaces else caller.call("GET", path).headers["ETag"]
        answer = caller.call("PUT", path, content=content, key=key, headers={"If-Match": tag})
    if as_json:
        print_json(answer.json())
    else:
        new = answer.headers.get("ETag", "").strip('"')
        say(f"The new version is on record (entry {answer.json()['sequence']}).\n  content  {new}")


def withdraw(
    initiative: InitiativeArgument,
    reasons: Annotated[str, typer.Option(help="Why; they stay on record.")],
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Withdraw an initiative that is not active yet. This ends it."""
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, "/withdrawal")
        answered = caller.post(path, {"reasons": reasons}, key=checked_key(key))
    tell_answered(answered, f"{initiative} is withdrawn", as_json)


def _key_of(content: bytes, proposal: Any) -> str:
    """A key that a file has whatever its spaces and the order of its keys."""
    try:
        return f"file-{content_hash(proposal)}"
    except ValueError:  # it has no canonical form; the API will say what is wrong with it
        return f"file-{hashlib.sha256(content).hexdigest()}"


def _lead(people: list[PersonListed], proposal: Any) -> str | None:
    """An applicant of the side that leads the proposal."""
    applicants = [one for one in people if one.issuer == "applicants"]
    partners = proposal.get("partners") if isinstance(proposal, dict) else None
    listed = [one for one in partners if isinstance(one, dict)] if isinstance(partners, list) else []
    side = next((one.get("directorate") for one in listed if one.get("role") == "lead"), None)
    return next((one.name for one in applicants if side in (None, one.side)), None)
