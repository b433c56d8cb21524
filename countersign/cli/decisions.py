"""``countersign decision``: fetch a joint decision, and check one without anybody's help."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
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
from countersign.cli.output import DEFAULT_HOME, Failure, HomeOption, JsonOption, Status, out, print_json
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import AgreementFaults, read

decision = typer.Typer(no_args_is_help=True, help="Joint decisions, and their signatures.")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(decision, name="decision")


@decision.command()
def fetch(
    initiative: InitiativeArgument,
    matter: Annotated[int, typer.Argument(min=1, help="The matter's number.")],
    name: AsOption = None,
    home: HomeOption = DEFAULT_HOME,
    url: UrlOption = None,
) -> None:
    """Print a joint decision as JSON, as it can be kept and checked anywhere."""
    with calling(home, url, name, True, otherwise=an_auditor) as caller:
        print_json(caller.get(initiative_path(initiative, f"/matters/{matter}/decision")))


@decision.command()
def verify(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The decision (JSON); - reads standard input.")
    ],
    agreement: Annotated[
        Path,
        typer.Option(
            "--agreement",
            exists=True,
            dir_okay=False,
            help="The agreement file with every directorate's public keys.",
        ),
    ],
    as_json: JsonOption = False,
) -> None:
    """Check every side's signature under a joint decision, and that its outcome is the one that follows. Offline."""
    from countersign.activities.signing import decision_faults

    terms, document = _agreement(agreement), _decision(file)
    faults = decision_faults(document, terms.signing_key, terms.directorate_ids)
    if as_json:
        print_json({"valid": not faults, "faults": faults})
    elif not faults:
        sides = ", ".join(terms.directorate_ids)
        out.print(
            f"The decision holds: {document.get('reference')}, matter {document.get('matter')}, "
            f"{document.get('outcome')}; signed by {sides}.",
            markup=False,
        )
    if faults:
        raise Failure("the decision does not hold:\n  " + "\n  ".join(faults))


@decision.command("new-key")
def make_key(
    directorate: Annotated[str, typer.Argument(help="The directorate's id.")],
    keys: Annotated[
        Path,
        typer.Option(
            "--keys", file_okay=False, help="Where its worker finds its keys (COUNTERSIGN_SIGNING_KEYS)."
        ),
    ],
) -> None:
    """Make a directorate's signing key on its own machine, and print the block that goes into the agreement file."""
    from countersign.runtime.keys import new_key

    if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", directorate):
        raise Failure(f"{directorate!r} is no directorate's id", Status.USAGE)
    typer.echo(new_key(keys, directorate).strip())


def _agreement(file: Path) -> ProgrammeAgreement:
    try:
        return read(file.read_text(encoding="utf-8"))
    except AgreementFaults as problem:
        raise Failure(f"{file} is no valid agreement:\n{problem}", Status.USAGE) from None


def _decision(file: Path) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        found = json.loads(text)
    except (OSError, ValueError) as problem:
        raise Failure(f"cannot read {file}: {problem}", Status.USAGE) from None
    if not isinstance(found, dict):
        raise Failure(f"{file} holds no decision", Status.USAGE)
    return found
