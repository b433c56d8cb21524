"""Making a directorate's signing key: the private half for its own worker, the public half for the agreement."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from joserfc.jwk import OKPKey

from countersign.disk import write_private


def new_key(directory: Path, directorate: str) -> str:
    """Make an Ed25519 key (RFC 8037) as ``<directorate>.jwk.json`` (0600); gives the block for the agreement file.

    A key that is there already stays as it is: then this gives its block again.
    """
    path = directory / f"{directorate}.jwk.json"
    if not path.exists():
        made = OKPKey.generate_key("Ed25519", {"use": "sig"}, private=True, auto_kid=True)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, json.dumps(made.as_dict(private=True)))
    key = OKPKey.import_key(json.loads(path.read_text(encoding="utf-8")))
    since = datetime.fromtimestamp(path.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'\n[[signing_key]]\ndirectorate = "{directorate}"\nkid = "{key.kid}"\n'
        f'x = "{key.as_dict(private=False)["x"]}"\nvalid_from = {since}\n'
    )
