"""``verify.py``: the parts of the verifier as one file, which needs nothing beside it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import Final

_PARTS: Final = (
    *("forms", "ed25519", "places", "dossier", "trail", "log", "papers", "decisions", "books", "histories"),
    "main",
)
"""In the order in which they stand in it: what is needed while it is read comes first."""

_OURS: Final = "countersign."
_ABOUT: Final = '''#!/usr/bin/env python3
"""Verify a Countersign dossier.

    python -I verify.py [--keys FILE] [--against FILE] [--manifest SHA256] [ZIP or DIRECTORY]

Needs Python 3.9 or newer and nothing else: no package, no network. Without a place it verifies the directory that it
lies in. It prints a line for each check and names whatever is wrong; it ends with 0 when nothing is, with 1 when
something is, and with 2 when it was called wrongly.

What it is based on: JSON in the form of RFC 8785, hashes SHA-256, the log of RFC 6962, checkpoints of C2SP's
tlog-checkpoint, signatures Ed25519 of RFC 8032 and JWS of RFC 7515 and RFC 9864.
"""

from __future__ import annotations

'''


@cache
def program() -> bytes:
    """The program, the same bytes for the same release."""
    imports: set[str] = set()
    named: dict[str, set[str]] = {}
    bodies: list[str] = []
    for name in _PARTS:
        source = (Path(__file__).parent / "verifier" / f"{name}.py").read_text(encoding="utf-8")
        about, *rest = ast.parse(source).body
        assert isinstance(about, ast.Expr)
        first = next(one for one in rest if not isinstance(one, ast.Import | ast.ImportFrom))
        for one in rest[: rest.index(first)]:
            if isinstance(one, ast.Import):
                imports.add(ast.unparse(one))
            elif isinstance(one, ast.ImportFrom) and not str(one.module).startswith((_OURS, "__future__")):
                named.setdefault(str(one.module), set()).update(alias.name for alias in one.names)
        start = min([first.lineno, *(one.lineno for one in getattr(first, "decorator_list", ()))])
        title = str(ast.literal_eval(about.value)).replace("\n", "\n# ")
        bodies.append(f"# ---- {title}\n\n" + "\n".join(source.splitlines()[start - 1 :]))
    chosen = [f"from {module} import {', '.join(sorted(some))}" for module, some in sorted(named.items())]
    return (
        _ABOUT + "\n".join([*sorted(imports), *chosen]) + "\n\n\n" + "\n\n\n".join(bodies) + "\n"
    ).encode()
