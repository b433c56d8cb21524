"""Who may act and how long: mandates, declared interests, extensions, conditions, complaints."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from countersign.cli.client import (
    AsOption,
    InitiativeArgument,
    KeyOption,
    ReasonsOption,
    UrlOption,
    calling,
    checked_key,
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
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import parse_amount
from countersign.domain.mandate import PAYMENT

mandate = typer.Typer(no_args_is_help=True, help="Mandates: who may sign for whom.")
condition = typer.Typer(no_args_is_help=True, help="Conditions: evidence, and what becomes of it.")

NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", min=1, help="Its number.")]
_KINDS: Final = (*map(str, MatterKind), PAYMENT)


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (extend, conflict, complain):
        app.command()(command)
    app.add_typer(mandate, name="mandate")
    app.add_typer(condition, name="condition")


@mandate.command()
def give(
    delegate: Annotated[str, typer.Argument(help="The colleague, as `il/il-officer`.")],
    kinds: Annotated[
        list[str],
        typer.Option("--kind", help=f"What they may do, repeat for more: {', '.join(_KINDS)}."),
    ],
    days: Annotated[int, typer.Option(min=1, max=366, help="For so many days from now on.")] = 30,
    ceiling: Annotated[
        list[str] | None,
        typer.Option(help="At most this much asked of the side, or paid at once, '100,000.00 ILS'; repeat."),
    ] = None,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a colleague of your own directorate sign for you, or authorise and confirm payments."""
    unknown = [one for one in kinds if one not in _KINDS]
    if unknown:
        raise Failure(f"there is no kind {', '.join(unknown)}; there are {', '.join(_KINDS)}", Status.USAGE)
    try:
        bounds = [parse_amount(one) for one in ceiling or ()]
    except ValueError as problem:
        raise Failure(str(problem), Status.USAGE) from None
    now = datetime.now(UTC)
    body = {
        "delegate": delegate,
        "kinds": kinds,
        "ceiling": [{"minor": one.minor, "unit": one.unit} for one in bounds],
        "valid_from": now.isoformat(),
        "valid_to": (now + timedelta(days=days)).isoformat(),
    }
    with calling(home, url, name, as_json) as caller:
        given = caller.post("/mandates", body, key=checked_key(key))
    if as_json:
        print_json(given)
    else:
        say(f"{delegate} may sign for you until {instant(given['valid_to'])}: mandate {given['id']}.")


@mandate.command("list")
def listed(
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List your side's mandates; an auditor sees every side's."""
    with calling(home, url, name, as_json) as caller:
        found = caller.get("/mandates")
    if as_json:
        print_json(found)
        return
    say_table(
        ("mandate", "of", "for", "kinds", "up to", "from", "until", "revoked"),
        [_row(one) for one in found["items"]],
    )


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        one["id"],
        one["delegator"],
        one["delegate"],
        ", ".join(one["kinds"]),
        amounts(one["ceiling"]) if one["ceiling"] else "",
        instant(one["valid_from"]),
        instant(one["valid_to"]),
        instant(one["revoked_at"]) if one["revoked_at"] else "",
    )


@mandate.command()
def revoke(
    identifier: Annotated[str, typer.Argument(metavar="MANDATE", help="Its id.")],
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a mandate at once."""
    with calling(home, url, name, as_json) as caller:
        revoked = caller.call("DELETE", f"/mandates/{identifier}").json()
    if as_json:
        print_json(revoked)
    else:
        say(f"Mandate {identifier} is revoked.")


def extend(
    initiative: InitiativeArgument,
    matter: Annotated[int, typer.Argument(min=1, help="The matter's number.")],
    working_days: Annotated[
        int, typer.Argument(min=1, max=120, help="So many more, in your side's calendar.")
    ],
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Give your own side more time in a matter; the head of the side does this."""
    body = {"working_days": working_days, "reasons": reasons}
    _post(
        initiative,
        f"/matters/{matter}/extension",
        body,
        "The deadline is extended",
        name,
        key,
        home,
        url,
        as_json,
    )


def conflict(
    initiative: InitiativeArgument,
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Declare an interest: you decide nothing on this initiative from now on."""
    _post(
        initiative,
        "/conflicts",
        {"reasons": reasons},
        "Your interest is declared",
        name,
        key,
        home,
        url,
        as_json,
    )


def complain(
    initiative: InitiativeArgument,
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Complain about a refusal or a termination, within 30 days; `show` says until when."""
    _post(
        initiative,
        "/complaint",
        {"reasons": reasons},
        "The complaint is lodged",
        name,
        key,
        home,
        url,
        as_json,
    )


@condition.command()
def evidence(
    initiative: InitiativeArgument,
    number: NumberArgument,
    text: Annotated[str, typer.Argument(help="How the condition is met.")],
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show that a condition is met."""
    done = "The evidence is taken"
    _post(initiative, f"/conditions/{number}/evidence", {"text": text}, done, name, key, home, url, as_json)


@condition.command()
def clear(
    initiative: InitiativeArgument,
    number: NumberArgument,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Clear a condition that your side set."""
    done = "The condition is cleared"
    _post(initiative, f"/conditions/{number}/clearance", None, done, name, key, home, url, as_json)


@condition.command()
def refuse(
    initiative: InitiativeArgument,
    number: NumberArgument,
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse the evidence for a condition that your side set."""
    done = "The evidence is refused"
    _post(
        initiative, f"/conditions/{number}/refusal", {"reasons": reasons}, done, name, key, home, url, as_json
    )


def _post(
    initiative: str,
    rest: str,
    body: Any,
    done: str,
    name: str | None,
    key: str | None,
    home: Any,
    url: str | None,
    as_json: bool,
) -> None:
    with calling(home, url, name, as_json) as caller:
        answered = caller.post(initiative_path(initiative, rest), body, key=checked_key(key))
    if as_json:
        print_json(answered)
    else:
        say(f"{done} (entry {answered['sequence']}).")
