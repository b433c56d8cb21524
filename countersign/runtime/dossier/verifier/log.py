"""The keys of the sides, the agreement, the checkpoint, and every entry in the log."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.ed25519 import decode_point, ed25519_holds
from countersign.runtime.dossier.verifier.forms import (
    Json,
    Wrong,
    canonical,
    from_base64,
    sha256,
    spelt,
    strict_json,
)


def public_keys(dossier: Dossier) -> Iterator[str]:
    """Keys that are none; from here on those are known that signatures are held against."""
    if dossier.own_keys is not None:
        with open(dossier.own_keys, "rb") as file:
            dossier.keys = strict_json(file.read())["items"]
        others = {key_of(one) for one in dossier.json("keys.json")["items"]} - {
            key_of(one) for one in dossier.keys
        }
        for kid in sorted(str(one[1]) for one in others):
            dossier.notes.append(f"the dossier names a key that is not among yours: {kid}")
    else:
        dossier.keys = dossier.json("keys.json")["items"]
        dossier.notes.append(
            "the sides' keys are those in the dossier: they prove nothing about who made it until compared "
            "with a copy that came another way (--keys)"
        )
    if not dossier.keys:
        dossier.notes.append("no keys of the sides are known: nobody's signature is asked for")
    for one in dossier.keys:
        if decode_point(from_base64(one["jwk"]["x"], url=True)) is None:
            yield f"the key {one['jwk']['kid']} is none"


def bound(dossier: Dossier) -> Iterator[str]:
    """Versions of the agreement that are not those of the trail."""
    for name in dossier.names:
        if name.startswith("agreement/"):
            one = dossier.json(name)
            dossier.agreements[one["id"], one["version"]] = one
            if name != f"agreement/{one['id']}-{one['version']}.json":
                yield f"{name}: it is another version"
            if canonical(one) != dossier.read(name):
                yield f"{name}: it is not written in its one form"
    named = [
        (one, one["body"]["agreement"], one["body"]["agreement_version"], one["body"]["agreement_hash"])
        for one in dossier.of("initiative.submitted")
    ]
    for one in dossier.of("amendment.asked", "amendment.made", "amendment.notified"):
        terms = one["body"].get("terms")
        if terms:
            named.append((one, terms["agreement"], terms["version"], terms["content_hash"]))
    for one, identifier, version, expected in named:
        there = dossier.agreements.get((identifier, version))
        if there is None or sha256(canonical(there)) != expected:
            yield f"agreement/{identifier}-{version}.json: it is not the one that entry {one['sequence']} names"
    if len(dossier.agreements) != len({(identifier, version) for _, identifier, version, _ in named}):
        yield "there is a version of the agreement that the trail does not name"


def signed_checkpoint(dossier: Dossier) -> Iterator[str]:
    """Sides that have not signed the checkpoint."""
    if dossier.against is None:
        if "checkpoint.txt" not in dossier.names:
            dossier.notes.append(
                "no checkpoint that every side has signed is in it: nothing but the trail itself says "
                "that it was not rewritten"
            )
            if dossier.about["checkpoint"] is not None:
                yield "checkpoint.txt: it is missing"
            return
        note = dossier.read("checkpoint.txt").decode()
        dossier.notes.append(
            "the checkpoint is the one in the dossier; compare it with one that was kept (--against)"
        )
    else:
        with open(dossier.against, "rb") as file:
            note = file.read().decode()
    text, signatures = read_note(note)
    origin, size, root = text.split("\n")[:3]
    dossier.checkpoint = origin, int(size), from_base64(root)
    if dossier.about["checkpoint"] != int(size):
        yield (
            f"the proofs are of a checkpoint of {dossier.about['checkpoint']} entries, this one has {size}: have a "
            "dossier made for it"
        )
    sides = set()
    for name, key_id, signature in signatures:
        for one in dossier.keys:
            public = from_base64(one["jwk"]["x"], url=True)
            signer = f"{origin}/{one['directorate']}"
            known = hashlib.sha256(signer.encode() + b"\n\x01" + public).digest()[:4]
            if (name, key_id) == (signer, known) and ed25519_holds(public, text.encode(), signature):
                sides.add(one["directorate"])
                break
        else:
            yield f"checkpoint.txt: the signature of {name} does not hold"
    for side in dossier.sides() if dossier.keys else ():
        if side not in sides:
            yield f"checkpoint.txt: {side} has not signed it"


def proofs(dossier: Dossier) -> Iterator[str]:
    """Entries that are not in the log which the checkpoint is of."""
    shown = dossier.json("proofs.json")
    by_place = {(one["trail"], one["sequence"]): one for one in shown["proofs"]}
    mandates = [one for some in dossier.json("mandates.json")["mandates"] for one in some["trail"]]
    if len(by_place) != len(shown["proofs"]):
        yield "proofs.json: an entry is proven twice"
    proven, unproven = 0, []
    for entry in dossier.trail + mandates:
        one = by_place.pop((entry["initiative"], entry["sequence"]), None)
        if one is None:
            unproven.append(entry)
            continue
        if dossier.checkpoint is None:
            continue
        leaf = hashlib.sha256(b"\0" + bytes.fromhex(entry["hash"][7:])).digest()
        path = [from_base64(step) for step in one["path"]]
        if root_by_inclusion(leaf, one["index"], dossier.checkpoint[1], path) != dossier.checkpoint[2]:
            yield f"entry {entry['sequence']}: it is not in the log that the sides have signed"
        proven += 1
    for trail, sequence in by_place:
        yield f"proofs.json: it proves an entry that is not here ({trail}, {sequence})"
    own = [one["sequence"] for one in unproven if one["initiative"] == dossier.about["initiative"]]
    if own != dossier.about["unvouched"]:
        yield f"proofs.json: entries without a proof are {own}, and the dossier says {dossier.about['unvouched']}"
    if own and own != list(range(own[0], len(dossier.trail) + 1)):
        yield f"proofs.json: no proof of {own[0]}, and of later entries there is"
    if dossier.checkpoint is not None:
        dossier.notes.append(f"{proven} entries are vouched for by all sides")
    if unproven:
        dossier.notes.append(
            f"not vouched for by all sides yet: {spelt(own)}" if own else "a mandate is not vouched for yet"
        )


def key_of(one: Json) -> tuple[str, str, str]:
    """What tells a key from another."""
    return one["directorate"], one["jwk"]["kid"], one["jwk"]["x"]


def read_note(note: str) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    """The signed text of a note, and by whom and with which key it is signed (C2SP signed-note)."""
    text, found, signed = note.rpartition("\n\n")
    if (
        not found
        or not re.fullmatch(r"[^\n]+\n(0|[1-9][0-9]*)\n[A-Za-z0-9+/=]+", text)
        or not signed.endswith("\n")
    ):
        raise Wrong("it is no checkpoint")
    signatures = []
    for line in signed[:-1].split("\n"):
        parts = re.fullmatch(r"— ([^\s+]+) ([A-Za-z0-9+/=]+)", line)
        if parts is None:
            raise Wrong("a line of the checkpoint is no signature")
        data = from_base64(parts[2])
        signatures.append((parts[1], data[:4], data[4:]))
    return text + "\n", signatures


def root_by_inclusion(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root of a log with that leaf there (RFC 9162, 2.1.3.2); nothing where the proof is none."""
    if not 0 <= index < size:
        return b""
    at, last, found = index, size - 1, leaf
    for one in path:
        if last == 0:
            return b""
        if at & 1 or at == last:
            found = hashlib.sha256(b"\1" + one + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\1" + found + one).digest()
        at, last = at >> 1, last >> 1
    return found if last == 0 else b""
