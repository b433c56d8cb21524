"""The files against the manifest, and the trail as a chain."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.forms import GENESIS, Json, canonical, sha256, strict_json
from countersign.runtime.dossier.verifier.places import PIECE


def container(dossier: Dossier) -> Iterator[str]:
    """The bytes of the archive that no file accounts for."""
    yield from dossier.files.faults()


def manifest(dossier: Dossier) -> Iterator[str]:
    """Files that are not those of the manifest."""
    data = dossier.read("manifest.json")
    found = dossier.manifest_hash = hashlib.sha256(data).hexdigest()
    if dossier.read("manifest.sha256") != (found + "  manifest.json\n").encode():
        yield "manifest.json: it does not have the hash in manifest.sha256"
    if dossier.expected is not None and dossier.expected.lower().replace("sha256:", "") != found:
        yield f"manifest.json: its SHA-256 is {found}, not the one that you gave"
    listed = strict_json(data)["files"]
    paths = [one["path"] for one in listed]
    dossier.names = dossier.files.names()
    for name in sorted(set(dossier.names) - set(paths) - {"manifest.json", "manifest.sha256"}):
        yield f"{name}: it is not in the manifest"
    if len(set(paths)) != len(paths):
        yield "manifest.json: it names a file twice"
    for one in listed:
        if one["path"] not in dossier.names:
            yield f"{one['path']}: it is missing"
            continue
        digest, size = hashlib.sha256(), 0
        with dossier.files.open(one["path"]) as file:
            while True:
                piece = file.read(PIECE)
                if not piece:
                    break
                digest.update(piece)
                size += len(piece)
        dossier.digests[one["path"]] = "sha256:" + digest.hexdigest()
        if (digest.hexdigest(), size) != (one["sha256"], one["size"]):
            yield f"{one['path']}: it is not as it was when the dossier was made"
    dossier.notes.append(f"the manifest's SHA-256 is {found}")


def chain(dossier: Dossier) -> Iterator[str]:
    """Entries that were altered, are missing, added or moved."""
    dossier.about = dossier.json("dossier.json")
    previous = GENESIS
    for number, line in enumerate(dossier.read("trail.jsonl").decode().split("\n")[:-1], 1):
        entry = strict_json(line.encode())
        dossier.trail.append(entry)
        if canonical(entry) != line.encode():
            yield f"entry {number}: it is not written in its one form"
        if entry["sequence"] != number:
            yield f"entry {number}: {entry['sequence']} stands in its place"
        if entry["previous"] != previous:
            yield f"entry {number}: it does not continue the entry before it"
        if entry_hash(entry) != entry["hash"]:
            yield f"entry {number}: it was altered"
        if entry["initiative"] != dossier.about["initiative"]:
            yield f"entry {number}: it is of another initiative"
        previous = entry["hash"]
    if not dossier.trail or dossier.trail[0]["action"] != "initiative.submitted":
        yield "the trail does not begin with a submission"
    if dossier.about["entries"] != len(dossier.trail):
        yield f"there were {dossier.about['entries']} entries: {len(dossier.trail)} are here"


def entry_hash(entry: Json) -> str:
    """The hash that an entry has to have."""
    return sha256(canonical({key: value for key, value in entry.items() if key != "hash"}))
