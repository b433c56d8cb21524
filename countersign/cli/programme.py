"""What those who answer for a programme do before it runs: ``agreement check`` and ``rehearse``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from countersign.cli.client import JsonFile, read_json
from countersign.cli.output import (
    Failure,
    JsonOption,
    Status,
    in_one_language,
    instant,
    print_json,
    say,
    say_table,
)
from countersign.domain.agreement import ChainStep, MatterKind, ProgrammeAgreement
from countersign.domain.agreement_file import AgreementFaults, Fault, read
from countersign.domain.amounts import Amount
from countersign.domain.stage import Stage
from countersign.domain.toml_lines import lines

if TYPE_CHECKING:
    from countersign.cli.rehearsal import Dated, Life
    from countersign.domain.proposal import Proposal

agreement = typer.Typer(no_args_is_help=True, help="Programme agreements.")

_COLUMNS: Final = "{:<21}  {:<56}  {:<16}  {}"  # a table that grows as the dates come in


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command()(rehearse)
    app.add_typer(agreement, name="agreement")


@agreement.callback()
def _group() -> None:
    """Programme agreements."""


@agreement.command()
def check(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, readable=True, help="The agreement (TOML)."
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Check a programme agreement: every fault at once, each with its line, or a summary of what it says."""
    found, faults = _read_agreement(file)
    if found is None:
        _tell_faults(file, faults, as_json)
        raise Failure(f"{file} has {len(faults)} fault(s) and cannot be used")
    if as_json:
        print_json({"file": str(file), "valid": True, "faults": [], **_summary(found)})
    else:
        _tell_summary(file, found)


def rehearse(
    file: JsonFile,
    agreement_file: Annotated[
        Path | None,
        typer.Option(
            "--agreement",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The programme agreement. (default: the one that is shipped)",
        ),
    ] = None,
    pace: Annotated[
        Literal["deadline", "prompt"],
        typer.Option(help="When everybody acts: an hour before they are due, or as soon as they can."),
    ] = "deadline",
    as_json: JsonOption = False,
) -> None:
    """Carry a proposal through its whole life on a virtual clock, and print the dates at which everything falls due.

    On servers of its own, gone afterwards: nothing of it gets into any record. Everybody approves everything.
    """
    from countersign.runtime.resources import default_agreement

    place = agreement_file or default_agreement()
    terms, faults = _read_agreement(place)
    if terms is None:
        _tell_faults(place, faults, as_json)
        raise Failure(f"{place} has {len(faults)} fault(s) and cannot be used")
    proposal, problems = _read_proposal(file, terms)
    if proposal is None or problems:
        if as_json:
            print_json({"file": str(file), "valid": False, "faults": problems})
        else:
            say_table(("place", "problem"), [(one["place"], one["problem"]) for one in problems])
        raise Failure(f"{file} has {len(problems)} fault(s) under {terms.id} and could not be carried")
    _rehearse(proposal, terms, place, pace, as_json)


def _rehearse(
    proposal: Proposal,
    terms: ProgrammeAgreement,
    place: Path,
    pace: Literal["deadline", "prompt"],
    as_json: bool,
) -> None:
    from countersign.cli import rehearsal
    from countersign.runtime import logs

    # Nobody watches these servers: what they log while they start and end is not about the proposal.
    logs.configure(level="ERROR")
    began = monotonic()
    if not as_json:
        say(_COLUMNS.format("date", "what", "who", "due").rstrip(), style="bold")
    try:
        life = rehearsal.run(
            proposal, terms, place, rehearsal.Pace(pace), (lambda _: None) if as_json else _tell_line
        )
    except RuntimeError as problem:
        raise Failure(f"the rehearsal came to a stop: {problem}") from problem
    seconds = monotonic() - began
    if as_json:
        print_json(_life(life, seconds))
    else:
        _tell_life(life, seconds)
    if life.stage is not Stage.CLOSED:
        raise Failure(f"the initiative did not get further than {life.stage}")


def _read_agreement(file: Path) -> tuple[ProgrammeAgreement | None, list[Fault]]:
    """The agreement in a file, or everything that is wrong with it."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as problem:
        raise Failure(f"{file} cannot be read: {problem.strerror}", Status.USAGE) from None
    except UnicodeDecodeError as problem:
        raise Failure(f"{file} is not UTF-8: {problem}") from None
    found: ProgrammeAgreement | None = None
    faults: list[Fault] = []
    try:
        found = read(text)
    except AgreementFaults as problem:
        faults += problem.faults
    faults += _calendar_faults(text)
    faults.sort(key=lambda one: (one.line or 0, one.place, one.problem))
    return (None if faults else found), faults


def _calendar_faults(text: str) -> Iterator[Fault]:
    """The calendars whose public holidays nobody here knows: an initiative would wait for its deadlines for ever."""
    from countersign.activities.deadlines import public_holidays

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # reading the agreement has said so
    places = lines(text)
    blocks = raw.get("directorate")
    for index, block in enumerate(blocks if isinstance(blocks, list) else []):
        calendar = block.get("calendar") if isinstance(block, dict) else None
        country = calendar.get("country") if isinstance(calendar, dict) else None
        subdivision = calendar.get("subdivision") if isinstance(calendar, dict) else None
        if not isinstance(country, str) or not isinstance(subdivision, str | None):
            continue
        try:
            public_holidays(country, subdivision, datetime.now(UTC).year)
        except NotImplementedError:
            what = country if subdivision is None else f"{subdivision!r} in {country}"
            path = ("directorate", index, "calendar", "country" if subdivision is None else "subdivision")
            yield Fault(
                place=f"directorate[{index + 1}].calendar.{path[-1]}",
                line=places.get(path),
                problem=f"the public holidays of {what} are not known",
            )


def _read_proposal(file: Path, terms: ProgrammeAgreement) -> tuple[Proposal | None, list[dict[str, str]]]:
    """The proposal in a file, and everything that keeps it from being carried."""
    from pydantic import ValidationError

    from countersign.domain.proposal import Proposal, faults, ineligibilities

    _, raw = read_json(file)
    try:
        proposal = Proposal.model_validate(raw)
    except ValidationError as error:
        return None, [
            {"place": _dotted(one["loc"]) or "file", "problem": one["msg"].removeprefix("Value error, ")}
            for one in error.errors(include_url=False)
        ]
    # Its eligibility is only established for a proposal whose words are the agreement's.
    found = faults(proposal, terms) or ineligibilities(proposal, terms)
    return proposal, [{"place": one.place, "problem": one.problem, "rule": one.rule} for one in found]


def _dotted(path: Sequence[str | int]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _tell_faults(file: Path, faults: list[Fault], as_json: bool) -> None:
    if as_json:
        listed = [{"line": one.line, "place": one.place, "problem": one.problem} for one in faults]
        print_json({"file": str(file), "valid": False, "faults": listed})
    else:
        say_table(
            ("line", "place", "problem"),
            [(str(one.line) if one.line else "", one.place, one.problem) for one in faults],
        )


def _summary(one: ProgrammeAgreement) -> dict[str, Any]:
    return {
        "id": one.id,
        "version": one.version,
        "content_hash": one.content_hash(),
        "title": one.title,
        "directorates": list(one.directorate_ids),
        "areas": [area.id for area in one.area],
        "kinds": [kind.id for kind in one.kind],
        "chains": {
            kind.value: {side: [_step(step) for step in steps] for side, steps in sides.items()}
            for kind, sides in one.terms().chains.items()
        },
    }


def _tell_summary(file: Path, one: ProgrammeAgreement) -> None:
    say(f"{file} has no faults.")
    say(f"\n{in_one_language(one.title)}", style="bold")
    say(f"  {one.id}, version {one.version}, {one.content_hash()}")
    sides = one.directorate_ids
    say_table(
        ("side", "name", "currency", "rests on", "funding agreements in", "offices"),
        [
            (
                side.id,
                in_one_language(side.name),
                side.currency,
                ", ".join(side.calendar.weekend),
                ", ".join(one.languages_of(side)) if one.funding_agreement else "no words",
                ", ".join(office.id for office in side.office),
            )
            for side in one.directorate
        ],
        title="Directorates",
    )
    say_table(
        ("area", "title", "open", *(f"at most of {side}" for side in sides)),
        [
            (
                area.id,
                in_one_language(area.title),
                "yes" if area.open else "no",
                *(", ".join(map(str, area.ceilings.get(side, ()))) for side in sides),
            )
            for area in one.area
        ],
        title="Areas",
    )
    chains = one.terms().chains
    say_table(
        ("matter", "working days", *sides),
        [
            (
                kind.value,
                str(one.deadlines.matter[kind]),
                *(" → ".join(_step(step) for step in chains[kind].get(side, ())) for side in sides),
            )
            for kind in MatterKind
        ],
        title="Chains",
    )


def _step(step: ChainStep) -> str:
    need = f" ×{step.need}" if step.need > 1 else ""  # noqa: RUF001 - a multiplication sign is meant
    above = f" above {step.above}" if step.above is not None else ""
    return f"{step.office}{need}{above}"


def _tell_line(line: Dated) -> None:
    say(_COLUMNS.format(instant(line.at), line.what, line.who, instant(line.due)).rstrip())


def _amounts(paid: dict[str, int]) -> list[Amount]:
    return [Amount(minor, unit) for unit, minor in sorted(paid.items())]


def _tell_life(life: Life, seconds: float) -> None:
    say(f"\nIt got to {life.stage}.", style="bold")
    for side, paid in sorted(life.paid.items()):
        say(f"  paid by {side}: {', '.join(map(str, _amounts(paid)))}")
    say(f"  {life.entries} entries in the trail, {len(life.history_events)} runs, {seconds:.1f} seconds")


def _life(life: Life, seconds: float) -> dict[str, Any]:
    return {
        "stage": life.stage.value,
        "paid": {
            side: [{"minor": one.minor, "unit": one.unit} for one in _amounts(paid)]
            for side, paid in sorted(life.paid.items())
        },
        "lines": [
            {
                "at": one.at.isoformat(),
                "what": one.what,
                "who": one.who or None,
                "due": one.due.isoformat() if one.due else None,
            }
            for one in life.lines
        ],
        "entries": life.entries,
        "history_events": list(life.history_events),
        "seconds": round(seconds, 2),
    }
