"""The program: every check, a line for each, and the exit status."""

from __future__ import annotations

import argparse
import io
import os
import sys
import zipfile
from collections.abc import Iterator
from typing import Callable

from countersign.runtime.dossier.verifier.books import ledger, payments
from countersign.runtime.dossier.verifier.decisions import decisions, mandates
from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.forms import Wrong, printable
from countersign.runtime.dossier.verifier.histories import histories, standing
from countersign.runtime.dossier.verifier.log import bound, proofs, public_keys, signed_checkpoint
from countersign.runtime.dossier.verifier.papers import attached, papers
from countersign.runtime.dossier.verifier.places import Archive, opened
from countersign.runtime.dossier.verifier.trail import chain, container, manifest

CHECKS: tuple[tuple[str, Callable[[Dossier], Iterator[str]]], ...] = (
    ("The archive", container),
    ("Every file, against the manifest", manifest),
    ("The trail, entry by entry", chain),
    ("The public keys of the sides", public_keys),
    ("The programme agreement", bound),
    ("The checkpoint of the log", signed_checkpoint),
    ("Every entry, against the checkpoint", proofs),
    ("The documents", papers),
    ("The joint decisions, and what was signed", decisions),
    ("What was signed on behalf of others", mandates),
    ("The ledger, derived from the trail again", ledger),
    ("What the banks were told, and said", payments),
    ("The attachments", attached),
    ("The histories of the workflow, against the trail", histories),
    ("Where it stands", standing),
)


def run(dossier: Dossier, say: Callable[[str], None]) -> bool:
    """Do every check; whether nothing is wrong."""
    for title, check in CHECKS:
        if check is container and not isinstance(dossier.files, Archive):
            continue  # unpacked, there is none
        found: list[str] = []
        try:
            found.extend(check(dossier))
        except Wrong as problem:
            found.append(str(problem))
        except Exception as problem:  # whatever a file holds must end in a line that says so
            found.append(f"it cannot be read ({type(problem).__name__}: {problem})")
        say(f"{'WRONG' if found else 'ok':6}{title}")
        for one in found:
            say(f"      - {printable(one)}")
        dossier.faults += found
    for one in dossier.notes:
        say(f"note: {printable(one)}")
    say("Nothing was altered." if not dossier.faults else f"{len(dossier.faults)} thing(s) are wrong.")
    return not dossier.faults


def main(arguments: list[str]) -> int:
    """Verify what is named; the exit status."""
    parser = argparse.ArgumentParser(prog="verify.py", description="Verify a Countersign dossier.")
    parser.add_argument(
        "place",
        nargs="?",
        default=os.path.dirname(os.path.abspath(__file__)),
        help="the ZIP, or the directory that it was unpacked into (default: the one this file lies in)",
    )
    parser.add_argument(
        "--keys", help="the sides' public keys, as you got them yourself (the form of keys.json)"
    )
    parser.add_argument("--against", help="a checkpoint that you kept, instead of the one in the dossier")
    parser.add_argument("--manifest", help="the SHA-256 of manifest.json that you were told")
    chosen = parser.parse_args(arguments)
    for file in (chosen.place, chosen.keys, chosen.against):
        if file is not None and not os.path.exists(file):
            parser.error(f"there is no {file}")
    try:
        files = opened(chosen.place)
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as problem:
        print(f"WRONG {printable(str(chosen.place))} is no ZIP that can be read: {printable(str(problem))}")
        return 1
    sound = run(Dossier(files, chosen.keys, chosen.against, chosen.manifest), print)
    return int(not sound)


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(main(sys.argv[1:]))
