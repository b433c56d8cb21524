"""What auditors read: ``history`` and ``audit``."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

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
    amounts,
    instant,
    print_json,
    say,
    say_table,
)


class FileFormat(StrEnum):
    """In what form entries go into a file."""

    CSV = "csv"
    JSONL = "jsonl"


SinceOption = Annotated[
    str | None, typer.Option("--from", help="From then on: 2027-01-31, or 2027-01-31T09:30 (UTC).")
]
UntilOption = Annotated[str | None, typer.Option("--to", help="Up to then, and not at it.")]

audit = typer.Typer(no_args_is_help=True, help="Read the audit trail.")

_PAGE: Final = 1000  # entries; the most that the API gives at once
_UNTOLD: Final = frozenset({"fingerprint", "jws"})  # for machines; they tell a reader nothing


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(history)
    app.add_typer(audit, name="audit")


def history(
    initiative: InitiativeArgument,
    name: AsOption = None,
    temporal_json: Annotated[
        bool,
        typer.Option("--temporal-json", help="Temporal's own JSON, as its tools and its replayer read it."),
    ] = False,
    actor: Annotated[str | None, typer.Option(help="Only what somebody sent, as `il/il-head`.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only a message or activity, as `sign_off`; `timer`, `run`.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tell the workflow history in sentences. On the embedded default, if nobody is named, to an auditor."""
    wanted = {"actor": actor, "action": action, "from": _instant_of(since), "to": _instant_of(until)}
    with calling(home, url, name, as_json or temporal_json, otherwise=an_auditor) as caller:
        path = initiative_path(initiative, "/history")
        if temporal_json:
            # As it came: whoever compares it with what Temporal gives out must find the same bytes.
            sys.stdout.write(caller.call("GET", path, parameters={"format": "temporal-json"}).text + "\n")
            return
        told = caller.get(path, **{key: value for key, value in wanted.items() if value is not None})
    if as_json:
        print_json(told)
        return
    run = None
    rows: list[tuple[str, str, str]] = []
    for one in told["items"]:
        if one["run"] != run:
            _say_run(run, rows)
            run, rows = one["run"], []
        rows.append((instant(one["at"]), ", ".join(map(str, one["events"])), one["sentence"]))
    _say_run(run, rows)


@audit.command("show")
def show(
    initiative: InitiativeArgument,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the audit trail. On the embedded default, if nobody is named, to an auditor."""
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        entries = list(_entries(caller, initiative))
    if as_json:
        print_json({"items": entries, "next": None})
        return
    say_table(
        ("entry", "at", "action", "actor", "what"),
        (
            (str(one["sequence"]), instant(one["at"]), one["action"], _actor(one), _told(one["body"]))
            for one in entries
        ),
    )
    if entries:
        say(f"\nThe last entry's hash is {entries[-1]['hash']}.")


@audit.command("search")
def search(
    actor: Annotated[str | None, typer.Option(help="Who did it, as `il/il-head`, or `system`.")] = None,
    action: Annotated[str | None, typer.Option(help="What was done, such as `message.refused`.")] = None,
    initiative: Annotated[
        str | None, typer.Option(metavar="ID", help="On one initiative: its id, or its reference.")
    ] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many entries.")] = 100,
    cursor: Annotated[str | None, typer.Option(help="Go on from the end of an earlier search.")] = None,
    file_format: Annotated[
        FileFormat | None,
        typer.Option("--format", help="All of them, as they come, whatever --limit says."),
    ] = None,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Search the audit trail of the whole programme, the latest entries first.

    On the embedded default, if nobody is named, an auditor searches.
    """
    wanted = {
        "actor": actor,
        "action": action,
        "initiative": initiative,
        "from": _instant_of(since),
        "to": _instant_of(until),
    }
    parameters = {key: value for key, value in wanted.items() if value is not None}
    found: list[Any] = []
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        if file_format is not None:
            query = urlencode(
                {**parameters, "format": file_format.value, **({"cursor": cursor} if cursor else {})}
            )
            for piece in caller.stream(f"/v1/audit?{query}"):
                sys.stdout.buffer.write(piece)
            return
        while True:
            going_on = {} if cursor is None else {"cursor": cursor}
            page = caller.get("/audit", limit=str(min(_PAGE, limit - len(found))), **parameters, **going_on)
            found += page["items"]
            cursor = page["next"]
            if cursor is None or len(found) >= limit:
                break
    if as_json:
        print_json({"items": found, "next": cursor})
        return
    say_table(
        ("at", "initiative", "entry", "action", "actor", "what"),
        (
            (
                instant(one["entry"]["at"]),
                one["reference"] or "",
                str(one["entry"]["sequence"]),
                one["entry"]["action"],
                _actor(one["entry"]),
                _told(one["entry"]["body"]),
            )
            for one in found
        ),
    )
    if cursor is not None:
        say(f"\nThere are more: --cursor {cursor}")


def _instant_of(text: str | None) -> str | None:
    """A day or an instant as the API takes it; in UTC unless it says otherwise."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Failure(f"{text!r} is no instant, such as 2027-01-31T09:30", Status.USAGE) from None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()


def _say_run(run: str | None, rows: list[tuple[str, str, str]]) -> None:
    if run is not None:
        say_table(("at", "events", "what"), rows, title=f"Run {run}")


def _entries(caller: Api, initiative: str) -> Iterator[Any]:
    start: int | None = 1
    while start is not None:
        page = caller.get(initiative_path(initiative, "/audit"), start=start, limit=_PAGE)
        yield from page["items"]
        start = page["next"]


def _actor(entry: Mapping[str, Any]) -> str:
    behalf = entry.get("on_behalf_of")
    return f"{entry['actor']} for {behalf}" if behalf else str(entry["actor"])


def _told(body: Mapping[str, Any]) -> str:
    """The body of an entry in a line: its single values; of what is longer, how many there are."""
    return ", ".join(
        f"{key} {value}" for key, one in body.items() if key not in _UNTOLD and (value := _value(one))
    )


def _value(one: Any) -> str:
    if isinstance(one, list):
        if one and all(isinstance(item, dict) and set(item) == {"minor", "unit"} for item in one):
            return amounts(one)
        if all(isinstance(item, str) for item in one):
            return "; ".join(one)
        return f"({len(one)})"
    if isinstance(one, dict):
        if all(isinstance(item, str) for item in one.values()):
            return "(" + ", ".join(f"{key} {item}" for key, item in one.items()) + ")"
        response = one.get("response")
        return str(response) if isinstance(response, str) else f"({', '.join(one)})"
    return "" if one is None else str(one)
