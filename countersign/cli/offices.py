"""What office holders do: ``inbox``, ``sign`` and ``pay``."""

from __future__ import annotations

import sys
from time import monotonic, sleep
from typing import Annotated, Any, Final

import typer
from rich.console import Console

from countersign.cli.client import (
    Api,
    AsOption,
    InitiativeArgument,
    KeyOption,
    ReasonsOption,
    UrlOption,
    calling,
    checked_key,
    initiative_path,
    new_key,
)
from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    amounts,
    err,
    in_one_language,
    instant,
    out,
    print_json,
    say,
    say_table,
)
from countersign.cli.wording import reminded, side_in_matter, task
from countersign.domain.matter import Response
from countersign.domain.stage import TERMINAL

pay = typer.Typer(
    no_args_is_help=True, help="Authorise, confirm and hold payments: four eyes, each side its own."
)

_BETWEEN_STEPS: Final = 5.0  # seconds in which a workflow that is at work opens its next matter
_PAUSE: Final = 0.1

TrancheArgument = Annotated[int, typer.Argument(metavar="TRANCHE", min=1, help="The tranche's number.")]
SideOption = Annotated[
    str | None,
    typer.Option("--side", help="The directorate that pays. (default: that of the person named with --as)"),
]
ForOption = Annotated[
    str | None,
    typer.Option(
        "--for", help="On whose behalf, as `il/il-finance-1`: under a mandate that covers payments."
    ),
]


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(inbox)
    app.command()(sign)
    app.add_typer(pay, name="pay")


def inbox(
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what waits for you, the soonest deadline first."""
    with calling(home, url, name, as_json) as caller:
        page = caller.get("/inbox", limit=200)
    if as_json:
        print_json(page)
    elif not page["items"]:
        say("Nothing waits for you.")
    else:
        say_table(
            ("until", "initiative", "stage", "to do", "office", "since", "also waited for", "title"),
            (
                (
                    instant(one["deadline"]) or "no deadline",
                    one["reference"],
                    one["stage"],
                    task(one),
                    (one["office"] or "") + reminded(one),
                    instant(one["since"]),
                    ", ".join(one["also_waits_for"]),
                    in_one_language(one["title"]),
                )
                for one in page["items"]
            ),
        )


def sign(
    initiative: InitiativeArgument,
    response: Annotated[
        Response, typer.Argument(metavar="RESPONSE", help=f"Your answer: {', '.join(Response)}.")
    ],
    name: AsOption = None,
    number: Annotated[
        int | None, typer.Option("--matter", min=1, help="Which matter. (default: the one that is open)")
    ] = None,
    reasons: Annotated[str | None, typer.Option(help="Why; a return or a refusal needs them.")] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--condition", help="What has to be met first; may be given several times."),
    ] = None,
    comment: Annotated[
        str | None, typer.Option(help="A note that your own side and the auditors see.")
    ] = None,
    message: Annotated[
        str | None,
        typer.Option("--id", help="An id of your own: sent again under the same one, it counts once."),
    ] = None,
    content_hash: Annotated[
        str | None,
        typer.Option(
            "--content-hash",
            metavar="HASH",
            help="The content that you have read. (default: what is before the directorates now)",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign off in a matter. Shows what is signed, and on a terminal asks before it is."""
    message = checked_key(message) or new_key()
    with calling(home, url, name, as_json) as caller:
        matter = _matter(caller, initiative, number)
        _show_what_is_signed(initiative, matter, response, content_hash, err if as_json else out)
        if not yes and sys.stdin.isatty() and not typer.confirm("Sign?", err=True):
            raise Failure("nothing was signed")
        body = {
            "id": message,
            "response": response.value,
            "content_hash": content_hash or matter["content_hash"],
            "reasons": reasons,
            "conditions": conditions or [],
            "comment": comment,
        }
        path = initiative_path(initiative, f"/matters/{matter['number']}/sign-offs")
        # The id in the body is what makes it count once; as a key it only goes into what a failure says.
        signed = caller.post(path, body, key=message)
    if as_json:
        print_json(signed)
        return
    say(f"It counts (entry {signed['sequence']}).")
    after = signed["matter"]
    for side, view in after["sides"].items():
        say(f"  {side:<9}{side_in_matter(view, after)}")
    if after["outcome"] is not None:
        say(f"  outcome  {after['outcome']}")


def _matter(caller: Api, initiative: str, number: int | None) -> Any:
    """The matter that is meant; without a number the one that is open."""
    if number is not None:
        return caller.get(initiative_path(initiative, f"/matters/{number}"))
    found = _open_matters(caller, initiative)
    patience = monotonic() + _BETWEEN_STEPS
    while not found and monotonic() < patience and _is_between_steps(caller, initiative):
        sleep(_PAUSE)
        found = _open_matters(caller, initiative)
    if not found:
        raise Failure(f"no matter of {initiative} is open; nothing was signed")
    if len(found) > 1:
        listed = "".join(f"\n  {one['number']}  {one['kind']} ({one['about']})" for one in found)
        raise Failure(f"several matters are open, choose one with --matter:{listed}", Status.USAGE)
    return found[0]


def _open_matters(caller: Api, initiative: str) -> list[Any]:
    matters = caller.get(initiative_path(initiative, "/matters"))["items"]
    return [one for one in matters if one["outcome"] is None]


def _is_between_steps(caller: Api, initiative: str) -> bool:
    """Whether nobody is waited for and it is not over: a decision was just made, and what follows is under way."""
    found = caller.get(initiative_path(initiative))
    return not found["waiting"] and found["stage"] not in TERMINAL


def _show_what_is_signed(
    initiative: str, matter: Any, response: Response, content_hash: str | None, to: Console
) -> None:
    say(f"{initiative}, matter {matter['number']}: {matter['kind']} ({matter['about']})", to=to)
    say(f"  content  {content_hash or matter['content_hash']}", to=to)
    if content_hash not in (None, matter["content_hash"]):
        say(f"           which is not what is before the directorates: {matter['content_hash']}", to=to)
    for side, view in matter["sides"].items():
        say(f"  {side:<9}{side_in_matter(view, matter)}", to=to)
    say(f"  answer   {response.value}", to=to)


@pay.command()
def authorise(
    initiative: InitiativeArgument,
    tranche: TrancheArgument,
    name: AsOption = None,
    side: SideOption = None,
    delegator: ForOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Authorise your side's part of a tranche; nobody is paid until every side has."""
    with calling(home, url, name, as_json) as caller:
        _finance(
            caller,
            initiative,
            tranche,
            side or side_of(name),
            "authorisation",
            key,
            as_json,
            _for(delegator),
        )


@pay.command()
def confirm(
    initiative: InitiativeArgument,
    tranche: TrancheArgument,
    name: AsOption = None,
    side: SideOption = None,
    delegator: ForOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Confirm that your side's part was paid; never by, or for, whoever authorised it."""
    with calling(home, url, name, as_json) as caller:
        _finance(
            caller, initiative, tranche, side or side_of(name), "confirmation", key, as_json, _for(delegator)
        )


@pay.command()
def hold(
    initiative: InitiativeArgument,
    tranche: TrancheArgument,
    reasons: ReasonsOption,
    name: AsOption = None,
    side: SideOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop your side's part of a tranche before its bank is told."""
    with calling(home, url, name, as_json) as caller:
        body = {"reasons": reasons}
        _finance(caller, initiative, tranche, side or side_of(name), "hold", key, as_json, body)


@pay.command()
def resume(
    initiative: InitiativeArgument,
    tranche: TrancheArgument,
    reasons: ReasonsOption,
    name: AsOption = None,
    side: SideOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a held part go on; one that had been authorised is authorised anew."""
    with calling(home, url, name, as_json) as caller:
        body = {"reasons": reasons}
        _finance(caller, initiative, tranche, side or side_of(name), "resumption", key, as_json, body)


def _finance(
    caller: Api, initiative: str, tranche: int, side: str, act: str, key: str | None, as_json: bool, body: Any
) -> None:
    path = initiative_path(initiative, f"/tranches/{tranche}/{side}/{act}")
    answered = caller.post(path, body, key=checked_key(key))
    if as_json:
        print_json(answered)
        return
    found = caller.get(initiative_path(initiative, "/tranches"))["items"]
    shares: Any = next((one["shares"] for one in found if one["number"] == tranche), {})
    share = shares.get(side, {"amounts": (), "state": "unknown"})
    say(
        f"Tranche {tranche} of {side}, {amounts(share['amounts'])}: {act} counts "
        f"(entry {answered['sequence']}), now {share['state']}."
    )


def _for(delegator: str | None) -> dict[str, str] | None:
    return None if delegator is None else {"on_behalf_of": delegator}


def side_of(name: str | None) -> str:
    """The side that an embedded default's person is listed with."""
    from countersign.runtime.embedded import identity

    side = next((one.side for one in identity.people() if one.name == name), None)
    if side is None:
        raise Failure("which directorate pays? Name it with --side", Status.USAGE)
    return side
