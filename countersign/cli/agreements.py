"""``countersign funding-agreement``: what each side and its participants sign."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from countersign.cli.client import (
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
    clean,
    in_one_language,
    instant,
    print_json,
    say,
    say_table,
)


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command("funding-agreement")(funding_agreement)


def funding_agreement(
    initiative: InitiativeArgument,
    side: Annotated[str | None, typer.Option(help="Whose agreement; without it, a list of all.")] = None,
    language: Annotated[
        str | None, typer.Option(help="In which of that side's languages, such as he.")
    ] = None,
    edition: Annotated[int | None, typer.Option(min=1, help="An earlier edition.")] = None,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the funding agreements of an initiative, or print the legal text of one side's.

    With --json that side's document, just as its content hash is taken over it. On the embedded default, if nobody is
    named, an auditor reads.
    """
    if side is None and (language is not None or edition is not None):
        raise Failure("whose agreement? Name the side with --side", Status.USAGE)
    if language is not None and as_json:
        raise Failure(
            "it is either --language or --json: the document has all of its languages", Status.USAGE
        )
    path = initiative_path(initiative, "/funding-agreements")
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        if side is None:
            found = caller.get(path)
        else:
            parameters = {} if edition is None else {"edition": edition}
            found = caller.get(f"{path}/{side}", **parameters)
    if as_json:
        print_json(found)
    elif side is None:
        _tell(found["items"])
    else:
        _print_text(found, language)


def _tell(items: list[Any]) -> None:
    if not items:
        say("They are drawn up when every side has approved the proposal.")
    say_table(
        ("side", "number", "drawn up on", "matter", "signed", "content"),
        (
            (
                one["directorate"],
                one["number"],
                one["drawn_up_on"],
                str(one["matter"] or ""),
                instant(one["signed_at"]) or "not yet",
                one["content_hash"],
            )
            for one in items
        ),
    )


def _print_text(document: Any, language: str | None) -> None:
    """The legal text, in English where there is an English one unless another language is named."""
    texts = document.get("text", {})
    if not texts:
        raise Failure(f"{document['number']} has no legal text; --json prints the document")
    if language is not None and language not in texts:
        raise Failure(f"{document['number']} is given in {', '.join(texts)}, not in {language}")
    sys.stdout.write(clean(texts[language] if language else in_one_language(texts)) + "\n")
