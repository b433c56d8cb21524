"""The ``countersign`` command: one module a group of commands, each registered here."""

from __future__ import annotations

import typer

from countersign.cli import (
    accounts,
    agreements,
    amendments,
    applicants,
    attachments,
    auditors,
    authority,
    bank,
    budgets,
    decisions,
    dossiers,
    ending,
    offices,
    payload_keys,
    people,
    programme,
    reports,
    retention,
    sign_in,
    standing,
    system,
    verification,
)
from countersign.cli.output import Failure, complain
from countersign.runtime.embedded import EmbeddedError

_GROUPS = (
    system,
    people,
    sign_in,
    applicants,
    attachments,
    reports,
    amendments,
    offices,
    ending,
    bank,
    standing,
    agreements,
    accounts,
    budgets,
    auditors,
    verification,
    dossiers,
    authority,
    decisions,
    programme,
    retention,
    payload_keys,
)

app = typer.Typer(
    name="countersign",
    help="Joint initiatives, carried from proposal to closure and countersigned by every side.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in _GROUPS:
    group.register(app)


def main() -> None:
    """Run the command line; ends the process with 0, or 1 (not done), 2 (wrong usage), 3 (nothing runs there) or
    4 (signed out).
    """
    try:
        app()
    except (Failure, EmbeddedError) as problem:
        raise SystemExit(complain(problem)) from None
