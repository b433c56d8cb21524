"""Stopping, ending before the end, and giving back: ``suspend``, ``ask-resumption``, ``terminate``, ``take-back``,
``disallow``, and ``pay claim`` and ``pay write-off``.
"""

from __future__ import annotations

from typing import Annotated

import typer

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
)
from countersign.cli.offices import SideOption, TrancheArgument, pay, side_of
from countersign.cli.output import (
    DEFAULT_HOME,
    Failure,
    HomeOption,
    JsonOption,
    Status,
    amounts,
    print_json,
    say_table,
    signed,
    tell_answered,
)
from countersign.domain.amounts import parse_amount
from countersign.domain.notice import NoticeKind


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (suspend, ask_resumption, terminate, take_back, disallow, certificate):
        app.command()(command)
    pay.command()(claim)
    pay.command("write-off")(write_off)


NoticeOption = Annotated[
    int | None,
    typer.Option("--notice-days", min=0, help="So many days ahead; the agreement's notice unless given."),
]


def suspend(
    initiative: InitiativeArgument,
    reasons: ReasonsOption,
    notice_days: NoticeOption = None,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Suspend an active initiative, by the office that speaks for your side; nothing more is let go then."""
    body = {"reasons": reasons, "notice_days": notice_days}
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, "/suspension")
        answered = caller.post(path, body, key=checked_key(key))
        done = _done(caller, initiative, "suspension", "suspended")
    tell_answered(answered, done, as_json)


def ask_resumption(
    initiative: InitiativeArgument,
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ask all sides to resume a suspended initiative: as an applicant, or by the office that speaks for your side."""
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, "/resumption")
        answered = caller.post(path, {"reasons": reasons}, key=checked_key(key))
    tell_answered(answered, f"All sides are asked to resume {initiative}", as_json)


def terminate(
    initiative: InitiativeArgument,
    reasons: ReasonsOption,
    notice_days: NoticeOption = None,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """End an active initiative, by the office that speaks for your side.

    What was not spent is claimed back, once nobody has complained of it in time.
    """
    body = {"reasons": reasons, "notice_days": notice_days}
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, "/termination")
        answered = caller.post(path, body, key=checked_key(key))
        done = _done(caller, initiative, "termination", "terminated")
    tell_answered(answered, done, as_json)


def take_back(
    initiative: InitiativeArgument,
    notice: Annotated[NoticeKind, typer.Argument(help="What your side announced.")],
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back what your side announced, before it takes effect, by the office that speaks for it."""
    with calling(home, url, name, as_json) as caller:
        answered = caller.delete(initiative_path(initiative, f"/{notice}"), key=checked_key(key))
    tell_answered(answered, f"The {notice} of {initiative} is taken back", as_json)


def disallow(
    initiative: InitiativeArgument,
    report: Annotated[int, typer.Argument(metavar="REPORT", min=1, help="The report's number.")],
    partner: Annotated[str, typer.Option(help="The partner whose costs they are, by its id.")],
    amount: Annotated[str, typer.Option(help="How much, as `1,250.00 ILS`.")],
    reasons: ReasonsOption,
    name: AsOption = None,
    key: KeyOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take back that costs of a partner were accepted; whoever certifies your side's costs does this."""
    try:
        parsed = parse_amount(amount)
    except ValueError as problem:
        raise Failure(str(problem), Status.USAGE) from None
    body = {"partner": partner, "amount": {"minor": parsed.minor, "unit": parsed.unit}, "reasons": reasons}
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, f"/reports/{report}/disallowance")
        answered = caller.post(path, body, key=checked_key(key))
    tell_answered(answered, f"{parsed} of {partner}'s costs in report {report} are disallowed", as_json)


def certificate(
    initiative: InitiativeArgument,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the certificate of a closed initiative: the decisions it rests on, and its accounts."""
    with calling(home, url, name, as_json) as caller:
        found = caller.get(initiative_path(initiative, "/closure-certificate"))
    if as_json:
        print_json(found)
        return
    say_table(
        ("decided", "matter", "joint decision"),
        ((kind, str(one["matter"]), one["decision"]) for kind, one in found["decisions"].items()),
        title=f"{found['reference']} is closed",
    )
    figures = ("committed", "paid", "accepted", "recovered", "written_off")
    say_table(
        ("side", *(name.replace("_", " ") for name in figures)),
        (
            (side, *(signed(row[name], row["unit"]) for name in figures))
            for side, rows in found["accounts"].items()
            for row in rows
        ),
        title="Accounts",
    )


def claim(
    initiative: InitiativeArgument,
    tranche: TrancheArgument,
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is claimed back with a tranche: from which partner how much, under which reference."""
    with calling(home, url, name, as_json) as caller:
        found = caller.get(initiative_path(initiative, f"/tranches/{tranche}/claim"))
    if as_json:
        print_json(found)
        return
    say_table(
        ("side", "partner", "amount", "reference"),
        (
            (side, one["partner"] or "", amounts([one["amount"]]), one["end_to_end_id"])
            for side, some in found["claims"].items()
            for one in some
        ),
    )


def write_off(
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
    """Give up what your side claims back and does not get, by the office that speaks for it; not whoever claimed it."""
    own = side or side_of(name)
    with calling(home, url, name, as_json) as caller:
        path = initiative_path(initiative, f"/tranches/{tranche}/{own}/write-off")
        answered = caller.post(path, {"reasons": reasons}, key=checked_key(key))
    tell_answered(answered, f"What {own} claims with tranche {tranche} is given up", as_json)


def _done(caller: Api, initiative: str, notice: str, stage: str) -> str:
    """Whether it came about at once, or is announced."""
    if caller.get(initiative_path(initiative))["stage"] == stage:
        return f"{initiative} is {stage}"
    return f"The {notice} of {initiative} is announced"
