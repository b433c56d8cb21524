"""Dossiers of initiatives on the real servers: got over HTTP, unpacked, changed, and verified as an auditor would."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from countersign.runtime.dossier.program import program
from tests.people import Office

PROGRAM: Final = Path(tempfile.mkdtemp()) / "verify.py"
"""The verifier as an auditor has it from a release, and not from the dossier."""

PROGRAM.write_bytes(program())


@dataclass(frozen=True)
class Verified:
    """What ``verify.py`` said, and how it ended."""

    status: int
    out: str

    @property
    def wrong(self) -> list[str]:
        """What it named."""
        return [one.strip()[2:] for one in self.out.splitlines() if one.startswith("      - ")]


async def verify(*arguments: str | Path, using: Path | None = None) -> Verified:
    """Run ``verify.py`` as an auditor does: by itself, in an empty environment."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", using or PROGRAM),
        *map(str, arguments),
        env={},
        cwd="/",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return Verified(process.returncode, out.decode())


async def exported(office: Office, initiative: str, who: str = "il-auditor", query: str = "") -> bytes:
    """The dossier of an initiative."""
    answer = await office.call(who, "GET", f"/v1/initiatives/{initiative}/dossier{query}")
    assert answer.status_code == 200, answer.text
    return answer.content


async def checkpointed(office: Office) -> dict[str, Any]:
    """Have a checkpoint made of all that is recorded, and signed by both sides."""
    answer = await office.call("il-auditor", "POST", "/v1/audit/checkpoint")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["signed_by"] == ["az", "il"]
    return found


def unpacked(archive: bytes, into: Path) -> Path:
    """The files of a dossier."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        opened.extractall(into)
    return into


def read(directory: Path, name: str) -> Any:
    return json.loads((directory / name).read_bytes())


def tampered(directory: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a JSON file as somebody would who then writes the manifest anew."""
    body = read(directory, name)
    body = change(body) or body
    (directory / name).write_text(json.dumps(body, ensure_ascii=False))
    sealed(directory)


def sealed(directory: Path) -> None:
    """Write the manifest anew, of whatever is there."""
    files = [one for one in sorted(directory.rglob("*")) if one.is_file()]
    listed = [
        {
            "path": one.relative_to(directory).as_posix(),
            "sha256": hashlib.sha256(one.read_bytes()).hexdigest(),
            "size": one.stat().st_size,
        }
        for one in files
        if not one.name.startswith("manifest.")
    ]
    manifest = json.dumps({"files": listed}).encode()
    (directory / "manifest.json").write_bytes(manifest)
    digest = hashlib.sha256(manifest).hexdigest()
    (directory / "manifest.sha256").write_text(f"{digest}  manifest.json\n")
