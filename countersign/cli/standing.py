"""``countersign show``: where an initiative stands and who is waited for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

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
    HomeOption,
    JsonOption,
    amounts,
    in_one_language,
    instant,
    print_json,
    say,
    say_table,
)
from countersign.cli.wording import side_in_matter, task


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(show)


def show(
    initiative: InitiativeArgument,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show where an initiative stands, as far as you may see it.

    On the embedded default, if nobody is named, as an auditor.
    """
    with calling(home, url, name, as_json, otherwise=an_auditor) as caller:
        found = caller.get(initiative_path(initiative))
        for part in ("matters", "tranches", "reports"):
            found[part] = caller.get(initiative_path(found["id"], f"/{part}"))["items"]
    if as_json:
        print_json(found)
    else:
        _tell(found)


def _tell(one: Any) -> None:
    say(f"{one['reference']}  {in_one_language(one['title'])}", style="bold")
    until = f" until {instant(one['stage_deadline'])}" if one["stage_deadline"] else ""
    say(f"  stage      {one['stage']}, since {instant(one['stage_since'])}{until}")
    if one["stage_reason"]:
        say(f"  because    {one['stage_reason']}")
    if one["complaint_until"]:
        say(f"  complaint  may come until {instant(one['complaint_until'])}")
    say(f"  id         {one['id']}")
    say(f"  kind       {one['kind']} in {one['area']}, led by {one['lead_directorate']}")
    say(f"  agreement  {one['agreement']}, version {one['agreement_version']}")
    say(f"  submitted  {instant(one['submitted_at'])}, now version {one['version']}")
    say(f"  content    {one['content_hash']}")
    say_table(
        ("who", "to do", "since", "until"),
        (
            (_who(item), task(item), instant(item["since"]), instant(item["deadline"]) or "no deadline")
            for item in one["waiting"]
        ),
        title="Waited for",
    )
    _tell_matters(one["matters"])
    say_table(
        ("condition", "set by", "text", "evidence", "cleared"),
        (
            (
                str(item["number"]),
                item["directorate"],
                item["text"],
                "; ".join(item["evidence"]) or "none",
                "yes" if item["cleared_by"] else "no",
            )
            for item in one["conditions"]
        ),
        title="Conditions",
    )
    _tell_tranches(one["tranches"])
    say_table(
        ("report", "what", "period", "due", "state"),
        (
            (
                f"{item['number']}{' (final)' if item['final'] else ''}",
                in_one_language(item["title"]) if item["title"] else item["milestone"] or item["kind"],
                f"{item['starts_at'][:10]} to {item['ends_at'][:10]}",
                instant(item["due_at"]),
                item["state"],
            )
            for item in one["reports"]
        ),
        title="Reports",
    )


def _tell_matters(matters: list[Any]) -> None:
    sides = _sides(one["sides"] for one in matters)
    say_table(
        ("matter", "kind", "about", "opened", "outcome", *sides),
        (
            (
                str(one["number"]),
                one["kind"],
                one["about"],
                instant(one["opened_at"]),
                one["outcome"] or "open",
                *(side_in_matter(one["sides"][side], one) if side in one["sides"] else "" for side in sides),
            )
            for one in matters
        ),
        title="Matters",
    )


def _tell_tranches(tranches: list[Any]) -> None:
    sides = _sides(one["shares"] for one in tranches)
    say_table(
        ("tranche", "falls due with", *sides),
        (
            (
                str(one["number"]),
                f"report {one['report']}" if one["report"] else one["trigger"],
                *(_share(one["shares"].get(side)) for side in sides),
            )
            for one in tranches
        ),
        title="Tranches",
    )


def _sides(views: Iterable[dict[str, Any]]) -> list[str]:
    """Every side that occurs, in the order of their first appearance."""

    def occurring() -> Iterator[str]:
        for view in views:
            yield from view

    return list(dict.fromkeys(occurring()))


def _share(share: Any) -> str:
    return f"{amounts(share['amounts']) or 'nothing'} ({share['state']})" if share else ""


def _who(item: Any) -> str:
    return ", ".join(part for part in (item["directorate"] or "applicant", item["office"]) if part)
