#!/usr/bin/env python3
"""Verify a Countersign dossier.

    python -I verify.py [--keys FILE] [--against FILE] [--manifest SHA256] [ZIP or DIRECTORY]

Needs Python 3.9 or newer and nothing else: no package, no network. Without a place it verifies the directory that it
lies in. It prints a line for each check and names whatever is wrong; it ends with 0 when nothing is, with 1 when
something is, and with 2 when it was called wrongly.

What it is based on: JSON in the form of RFC 8785, hashes SHA-256, the log of RFC 6962, checkpoints of C2SP's
tlog-checkpoint, signatures Ed25519 of RFC 8032 and JWS of RFC 7515 and RFC 9864.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import re
import stat
import struct
import sys
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, BinaryIO, Callable

Json = dict[str, Any]

GENESIS = "sha256:" + "0" * 64
PIECE = 1 << 20
COMMENT = len(GENESIS)


class Wrong(Exception):
    """A check cannot go on; the message says why."""


# ---- Ed25519 (RFC 8032, 5.1), verifying only: points in extended coordinates, as in section 6 there

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]


def decode_point(data: bytes) -> Point | None:
    """The point of 32 bytes, in its one spelling; none where there is no such point."""
    value = int.from_bytes(data, "little")
    sign, y = value >> 255, value & (1 << 255) - 1
    if len(data) != 32 or y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def add(p: Point, q: Point) -> Point:
    """The sum of two points."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar: int, point: Point) -> Point:
    """A point so many times."""
    found: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            found = add(found, point)
        point, scalar = add(point, point), scalar >> 1
    return found


BASE = decode_point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def ed25519_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether a signature is that of a message by a public key."""
    key, r = decode_point(public), decode_point(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if BASE is None or key is None or r is None or len(signature) != 64 or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = multiply(s, BASE), add(r, multiply(k, key))
    return not (
        (left[0] * right[2] - right[0] * left[2]) % P or (left[1] * right[2] - right[1] * left[2]) % P
    )


# ---- forms


def canonical(value: Any) -> bytes:
    """JSON in the form of RFC 8785, as this record has it: without fractions."""

    def ordered(one: Any) -> Any:
        if isinstance(one, dict):
            return {
                key: ordered(one[key])
                for key in sorted(one, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
            }
        if isinstance(one, list):
            return [ordered(item) for item in one]
        if isinstance(one, float):
            raise Wrong("a fraction stands in it")
        return one

    return json.dumps(ordered(value), separators=(",", ":"), ensure_ascii=False).encode()


def sha256(data: bytes) -> str:
    """A content hash."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def from_base64(text: str, url: bool = False) -> bytes:
    """What base64 says, in its one spelling."""
    decode, encode = (
        (base64.urlsafe_b64decode, base64.urlsafe_b64encode) if url else (base64.b64decode, base64.b64encode)
    )
    data = decode(text + "=" * (-len(text) % 4) if url else text)
    if (encode(data).decode().rstrip("=") if url else encode(data).decode()) != text:
        raise Wrong("what should be base64 is not")
    return data


def instant(text: str) -> datetime:
    """An instant of RFC 3339."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def strict_json(data: bytes) -> Any:
    """JSON in which no name stands twice in an object."""

    def once(pairs: list[tuple[str, Any]]) -> Json:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise Wrong("a name stands twice in an object")
        return found

    return json.loads(data.decode(), object_pairs_hook=once)


# ---- where the files are


class Directory:
    """Files below a directory."""

    def __init__(self, path: str) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Every file, by its path with slashes; what is no plain file is wrong."""
        found = []
        for folder, folders, files in os.walk(self.path):
            for name in files + folders:
                path = os.path.join(folder, name)
                kind = os.lstat(path).st_mode
                if stat.S_ISLNK(kind) or not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
                    raise Wrong(f"{path} is no plain file")
                if stat.S_ISREG(kind):
                    found.append(os.path.relpath(path, self.path).replace(os.sep, "/"))
        return sorted(found)

    def open(self, name: str) -> BinaryIO:
        """A file."""
        return open(os.path.join(self.path, *name.split("/")), "rb")


class Archive:
    """Files in the ZIP that a dossier comes as."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.zip = zipfile.ZipFile(path)

    def names(self) -> list[str]:
        """Every file."""
        return sorted(self.zip.namelist())

    def open(self, name: str) -> Any:
        """A file."""
        return self.zip.open(name)

    def faults(self) -> Iterator[str]:
        """What is wrong with the container: no byte of it is unaccounted for."""
        size = os.path.getsize(self.path)
        with open(self.path, "rb") as file:
            digest, left = hashlib.sha256(), size - COMMENT
            while left > 0:
                piece = file.read(min(PIECE, left))
                if not piece:
                    break
                digest.update(piece)
                left -= len(piece)
            if file.read() != ("sha256:" + digest.hexdigest()).encode():
                yield "the bytes of the archive are not those that it was closed with"
            at, times, names = 0, set(), set()
            for one in self.zip.infolist():
                if one.header_offset != at:
                    yield f"{one.filename}: there are other bytes before it"
                    return
                file.seek(at)
                header = file.read(30)
                mark, _, flags, _, _, _, _, _, _, length, extra = struct.unpack("<4s5H3L2H", header)
                name = file.read(length)
                if mark != b"PK\3\4" or name != one.orig_filename.encode() or flags != one.flag_bits:
                    yield f"{one.filename}: its two headers say different things"
                if one.filename in names or one.is_dir() or one.comment or flags & ~0x808:
                    yield f"{one.filename}: it is twice in the archive, or no plain file"
                names.add(one.filename)
                times.add(one.date_time)
                at += 30 + length + extra + one.compress_size + ((24 if extra else 16) if flags & 8 else 0)
            if len(times) > 1:
                yield "its files are of different times"
            directory = sum(
                46 + len(one.orig_filename.encode()) + len(one.extra) for one in self.zip.infolist()
            )
            if at != self.zip.start_dir or size - at - directory - COMMENT not in (22, 22 + 20 + 56):
                yield "there are other bytes between or after its files"


# ---- what is checked


class Dossier:
    """A dossier, and what is found wrong with it."""

    def __init__(self, files: Any, keys: str | None, against: str | None, manifest: str | None) -> None:
        self.files, self.own_keys, self.against, self.expected = files, keys, against, manifest
        self.faults: list[str] = []
        self.notes: list[str] = []
        self.names: list[str] = []
        self.digests: dict[str, str] = {}
        self.trail: list[Json] = []
        self.about: Json = {}
        self.keys: list[Json] = []
        self.agreements: dict[tuple[str, int], Json] = {}
        self.documents: dict[str, Json] = {}
        self.checkpoint: tuple[str, int, bytes] | None = None

    def read(self, name: str) -> bytes:
        """A file, whole."""
        with self.files.open(name) as file:
            data: bytes = file.read()
        return data

    def json(self, name: str) -> Any:
        """A JSON file."""
        return strict_json(self.read(name))

    def entry(self, sequence: Any) -> Json:
        """An entry of the trail; an empty one where there is none."""
        there = isinstance(sequence, int) and 0 < sequence <= len(self.trail)
        return self.trail[sequence - 1] if there else {}

    def of(self, *actions: str) -> list[Json]:
        """The entries of some actions."""
        return [one for one in self.trail if one["action"] in actions]

    # -- files

    def container(self) -> Iterator[str]:
        """The archive"""
        if isinstance(self.files, Archive):
            yield from self.files.faults()

    def manifest(self) -> Iterator[str]:
        """Every file, against the manifest"""
        data = self.read("manifest.json")
        found = hashlib.sha256(data).hexdigest()
        if self.read("manifest.sha256") != (found + "  manifest.json\n").encode():
            yield "manifest.json: it does not have the hash in manifest.sha256"
        if self.expected is not None and self.expected.lower().replace("sha256:", "") != found:
            yield f"manifest.json: its SHA-256 is {found}, not the one that you gave"
        listed = strict_json(data)["files"]
        paths = [one["path"] for one in listed]
        self.names = self.files.names()
        for name in sorted(set(self.names) - set(paths) - {"manifest.json", "manifest.sha256"}):
            yield f"{name}: it is not in the manifest"
        if len(set(paths)) != len(paths):
            yield "manifest.json: it names a file twice"
        for one in listed:
            if one["path"] not in self.names:
                yield f"{one['path']}: it is missing"
                continue
            digest, size = hashlib.sha256(), 0
            with self.files.open(one["path"]) as file:
                while True:
                    piece = file.read(PIECE)
                    if not piece:
                        break
                    digest.update(piece)
                    size += len(piece)
            self.digests[one["path"]] = "sha256:" + digest.hexdigest()
            if (digest.hexdigest(), size) != (one["sha256"], one["size"]):
                yield f"{one['path']}: it is not as it was when the dossier was made"
        self.notes.append(f"the manifest's SHA-256 is {found}")

    # -- the trail and the log

    def chain(self) -> Iterator[str]:
        """The trail, entry by entry"""
        self.about = self.json("dossier.json")
        previous = GENESIS
        for number, line in enumerate(self.read("trail.jsonl").decode().split("\n")[:-1], 1):
            entry = strict_json(line.encode())
            self.trail.append(entry)
            if canonical(entry) != line.encode():
                yield f"entry {number}: it is not written in its one form"
            if entry["sequence"] != number:
                yield f"entry {number}: {entry['sequence']} stands in its place"
            if entry["previous"] != previous:
                yield f"entry {number}: it does not continue the entry before it"
            if entry_hash(entry) != entry["hash"]:
                yield f"entry {number}: it was altered"
            if entry["initiative"] != self.about["initiative"]:
                yield f"entry {number}: it is of another initiative"
            previous = entry["hash"]
        if not self.trail or self.trail[0]["action"] != "initiative.submitted":
            yield "the trail does not begin with a submission"
        if self.about["entries"] != len(self.trail):
            yield f"there were {self.about['entries']} entries: {len(self.trail)} are here"

    def public_keys(self) -> Iterator[str]:
        """The sides' public keys"""
        if self.own_keys is not None:
            with open(self.own_keys, "rb") as file:
                self.keys = strict_json(file.read())["items"]
            others = {key_of(one) for one in self.json("keys.json")["items"]} - {
                key_of(one) for one in self.keys
            }
            for kid in sorted(str(one[1]) for one in others):
                self.notes.append(f"the dossier names a key that is not among yours: {kid}")
        else:
            self.keys = self.json("keys.json")["items"]
            self.notes.append(
                "the sides' keys are those in the dossier: they prove nothing about who made it until compared "
                "with a copy that came another way (--keys)"
            )
        if not self.keys:
            self.notes.append("no keys of the sides are known: nobody's signature is asked for")
        for one in self.keys:
            if decode_point(from_base64(one["jwk"]["x"], url=True)) is None:
                yield f"the key {one['jwk']['kid']} is none"

    def bound(self) -> Iterator[str]:
        """The programme agreement"""
        for name in self.names:
            if name.startswith("agreement/"):
                one = self.json(name)
                self.agreements[one["id"], one["version"]] = one
                if name != f"agreement/{one['id']}-{one['version']}.json":
                    yield f"{name}: it is another version"
                if canonical(one) != self.read(name):
                    yield f"{name}: it is not written in its one form"
        named = [
            (one, one["body"]["agreement"], one["body"]["agreement_version"], one["body"]["agreement_hash"])
            for one in self.of("initiative.submitted")
        ]
        for one in self.of("amendment.asked", "amendment.made", "amendment.notified"):
            terms = one["body"].get("terms")
            if terms:
                named.append((one, terms["agreement"], terms["version"], terms["content_hash"]))
        for one, identifier, version, expected in named:
            there = self.agreements.get((identifier, version))
            if there is None or sha256(canonical(there)) != expected:
                yield f"agreement/{identifier}-{version}.json: it is not the one that entry {one['sequence']} names"
        if len(self.agreements) != len({(identifier, version) for _, identifier, version, _ in named}):
            yield "there is a version of the agreement that the trail does not name"

    def signed_checkpoint(self) -> Iterator[str]:
        """The checkpoint of the log"""
        if self.against is None:
            if "checkpoint.txt" not in self.names:
                self.notes.append(
                    "no checkpoint that every side has signed is in it: nothing but the trail itself says "
                    "that it was not rewritten"
                )
                if self.about["checkpoint"] is not None:
                    yield "checkpoint.txt: it is missing"
                return
            note = self.read("checkpoint.txt").decode()
            self.notes.append(
                "the checkpoint is the one in the dossier; compare it with one that was kept (--against)"
            )
        else:
            with open(self.against, "rb") as file:
                note = file.read().decode()
        text, signatures = read_note(note)
        origin, size, root = text.split("\n")[:3]
        self.checkpoint = origin, int(size), from_base64(root)
        if self.about["checkpoint"] != int(size):
            yield (
                f"the proofs are of a checkpoint of {self.about['checkpoint']} entries, this one has {size}: have a "
                "dossier made for it"
            )
        sides = set()
        for name, key_id, signature in signatures:
            for one in self.keys:
                public = from_base64(one["jwk"]["x"], url=True)
                signer = f"{origin}/{one['directorate']}"
                known = hashlib.sha256(signer.encode() + b"\n\x01" + public).digest()[:4]
                if (name, key_id) == (signer, known) and ed25519_holds(public, text.encode(), signature):
                    sides.add(one["directorate"])
                    break
            else:
                yield f"checkpoint.txt: the signature of {name} does not hold"
        for side in self.sides() if self.keys else ():
            if side not in sides:
                yield f"checkpoint.txt: {side} has not signed it"

    def sides(self) -> list[str]:
        """The directorates of the agreement that it is bound to last."""
        last = max(self.agreements, key=lambda key: key[1])
        return [one["id"] for one in self.agreements[last]["directorate"]]

    def proofs(self) -> Iterator[str]:
        """Every entry, against the checkpoint"""
        shown = self.json("proofs.json")
        by_place = {(one["trail"], one["sequence"]): one for one in shown["proofs"]}
        mandates = [one for some in self.json("mandates.json")["mandates"] for one in some["trail"]]
        if len(by_place) != len(shown["proofs"]):
            yield "proofs.json: an entry is proven twice"
        proven, unproven = 0, []
        for entry in self.trail + mandates:
            one = by_place.pop((entry["initiative"], entry["sequence"]), None)
            if one is None:
                unproven.append(entry)
                continue
            if self.checkpoint is None:
                continue
            leaf = hashlib.sha256(b"\0" + bytes.fromhex(entry["hash"][7:])).digest()
            path = [from_base64(step) for step in one["path"]]
            if root_by_inclusion(leaf, one["index"], self.checkpoint[1], path) != self.checkpoint[2]:
                yield f"entry {entry['sequence']}: it is not in the log that the sides have signed"
            proven += 1
        for trail, sequence in by_place:
            yield f"proofs.json: it proves an entry that is not here ({trail}, {sequence})"
        own = [one["sequence"] for one in unproven if one["initiative"] == self.about["initiative"]]
        if own != self.about["unvouched"]:
            yield f"proofs.json: entries without a proof are {own}, and the dossier says {self.about['unvouched']}"
        if own and own != list(range(own[0], len(self.trail) + 1)):
            yield f"proofs.json: no proof of {own[0]}, and of later entries there is"
        if self.checkpoint is not None:
            self.notes.append(f"{proven} entries are vouched for by all sides")
        if unproven:
            self.notes.append(
                f"not vouched for by all sides yet: {spelt(own)}"
                if own
                else "a mandate is not vouched for yet"
            )

    # -- documents and decisions

    def papers(self) -> Iterator[str]:
        """The documents"""
        index = {one["hash"]: one for one in self.json("documents.json")["documents"]}
        redacted = {one for entry in self.of("record.redacted") for one in entry["body"]["documents"]}
        for name in self.names:
            if name.startswith("documents/"):
                key, data = "sha256:" + name[10:-5], self.read(name)
                self.documents[key] = strict_json(data)
                if key not in index:
                    yield f"{name}: documents.json does not name it"
                elif index[key]["redacted_at"] is not None:
                    if key not in redacted:
                        yield f"{name}: it is redacted, and the trail does not say so"
                elif sha256(data) != key:
                    yield f"{name}: it was altered"
        for key in sorted(set(index) - set(self.documents)):
            yield f"documents/{key[7:]}.json: it is missing"
        for entry in self.trail:
            for key in named_by(entry):
                if key not in self.documents:
                    yield f"entry {entry['sequence']}: the document {key} that it names is missing"
        if redacted:
            self.notes.append(
                f"{len(redacted)} documents are redacted: they keep the hash of what they said before"
            )

    def decisions(self) -> Iterator[str]:
        """The joint decisions, and what was signed"""
        kids = {one["jwk"]["kid"]: one for one in self.keys}
        content: dict[int, set[str]] = defaultdict(set)
        chains: dict[int, list[str]] = {}
        signed: dict[tuple[int, str], list[Json]] = defaultdict(list)
        positions: dict[tuple[int, str], Json] = {}
        tokens: dict[tuple[int, str], str] = {}
        proposal = ""
        for entry in self.trail:
            body, action, at = entry["body"], entry["action"], f"entry {entry['sequence']}"
            number = body.get("matter") if action != "matter.opened" else body["number"]
            if action == "matter.opened":
                content[number] = {entry["subject"]}
                chains[number] = sorted(body["chains"])
            elif action == "proposal.corrected":
                for some in content.values():
                    if proposal in some:
                        some.add(entry["subject"])
            elif action == "matter.signed":
                struck(signed, number, body.get("replaces"))
                signed[number, body["directorate"]].append({**body, "person": entry["actor"], "counts": True})
            elif action == "matter.sign_off_struck":
                struck(signed, number, body["person"])
            elif action == "matter.position_withdrawn":
                positions.pop((number, body["directorate"]), None)
                tokens.pop((number, body["directorate"]), None)
            elif action == "matter.position_reached":
                position = body["position"]
                key = number, position["directorate"]
                positions[key] = position
                tokens.pop(key, None)
                counted = [one["response"] for one in signed[key] if one["counts"]]
                if gravest(counted) != position["response"]:
                    yield f"{at}: the position of {key[1]} does not follow from what its offices signed"
            elif action == "matter.countersigned":
                tokens[number, body["directorate"]] = body["jws"]
            elif action == "matter.decided":
                decision = self.documents.get(body["decision"])
                if decision is None:
                    continue  # it is named among the documents
                for why in self.decided(entry, decision, chains[number], positions, tokens, kids):
                    yield f"{at}: {why}"
                if decision["content_hash"] not in content[number]:
                    yield f"{at}: the decision is on other content than what was put before the sides"
            if action in ("initiative.submitted", "proposal.revised", "proposal.corrected"):
                proposal = entry["subject"]

    def decided(
        self,
        entry: Json,
        decision: Json,
        sides: Iterable[str],
        positions: dict[tuple[int, str], Json],
        tokens: dict[tuple[int, str], str],
        kids: dict[str, Json],
    ) -> Iterator[str]:
        """What is wrong with one joint decision."""
        number, sides = entry["body"]["matter"], list(sides)
        if (decision.get("initiative"), decision.get("matter")) != (entry["initiative"], number):
            yield "the decision is another matter's"
        if sorted(decision["positions"]) != sides:
            yield "another set of sides has signed the decision"
        for side, token in sorted(decision["positions"].items()):
            if tokens.get((number, side)) != token:
                yield f"{side}: the signature in the decision is not the one on the trail"
            try:
                header, payload, signature = (from_base64(part, url=True) for part in token.split("."))
                head, position = strict_json(header), strict_json(payload)
            except (ValueError, Wrong):
                yield f"{side}: the signature is none"
                continue
            key = kids.get(head.get("kid"))
            if self.keys:
                if head.get("alg") != "Ed25519" or key is None or key["directorate"] != side:
                    yield f"{side}: signed with a key that is not this side's ({head.get('kid')})"
                    continue
                signed = token.rpartition(".")[0].encode()
                if not ed25519_holds(from_base64(key["jwk"]["x"], url=True), signed, signature):
                    yield f"{side}: the signature does not hold"
                at, until = instant(position["at"]), key["valid_to"]
                if at < instant(key["valid_from"]) or (until is not None and at >= instant(until)):
                    yield f"{side}: signed with a key that was not in force at {position['at']}"
            same = ("agreement", "initiative", "reference", "matter", "kind", "content_hash")
            differing = [name for name in same if position.get(name) != decision.get(name)]
            if differing:
                yield f"{side}: signed another {', '.join(differing)}"
            told = positions.get((number, side), {})
            if any(
                position.get(name) != told.get(name) for name in ("directorate", "response", "offices", "at")
            ):
                yield f"{side}: signed another position than the trail has"
        follows = OUTCOMES.get(
            str(
                gravest(
                    [positions[number, side]["response"] for side in sides if (number, side) in positions]
                )
            )
        )
        if not follows == decision["outcome"] == entry["body"]["outcome"]:
            yield f"the outcome that follows is {follows}, not {decision['outcome']}"

    def mandates(self) -> Iterator[str]:
        """What was signed on behalf of others"""
        given = self.json("mandates.json")["mandates"]
        known = []
        for one in given:
            for entry in one["trail"]:
                if entry_hash(entry) != entry["hash"]:
                    yield f"mandate {one['id']}: entry {entry['sequence']} of its trail was altered"
            if [entry["body"]["id"] for entry in one["trail"]] != [one["id"]] * len(one["trail"]):
                yield f"mandate {one['id']}: its trail is another one's"
            known += [entry["body"] for entry in one["trail"][-1:]]
        for entry in self.trail:
            if entry["on_behalf_of"] is None or entry["action"] == "message.refused":
                continue
            at = instant(entry["at"])
            if not any(
                (one["delegator"], one["delegate"]) == (entry["on_behalf_of"], entry["actor"])
                and instant(one["valid_from"]) <= at < instant(one["valid_to"])
                and not (one.get("revoked_at") and instant(one["revoked_at"]) <= at)
                for one in known
            ):
                yield f"entry {entry['sequence']}: no mandate let {entry['actor']} sign for {entry['on_behalf_of']}"

    # -- money

    def ledger(self) -> Iterator[str]:
        """The ledger, against the trail"""
        kept = self.json("payments/ledger.json")["transactions"]
        for one in kept:
            if sum(line["minor"] for line in one["entries"]):
                yield f"transaction {one['sequence']}.{one['number']}: it does not sum to zero"
        due = {(one["sequence"], one["number"]): one for one in derived_ledger(self.trail)}
        there = {(one["sequence"], one["number"]): one for one in kept}
        for place in sorted(set(due) | set(there)):
            if due.get(place) != there.get(place):
                what = "is missing" if place not in there else "was altered" if place in due else "was added"
                yield f"transaction {place[0]}.{place[1]}: it {what}"
        rows = [line.split(",") for line in self.read("payments/ledger.csv").decode().split("\r\n")[1:-1]]
        lines = [
            [
                str(one["sequence"]),
                str(one["number"]),
                one["at"],
                one["directorate"],
                one["code"],
                line["account"],
                one["unit"],
                str(line["minor"]),
            ]
            for one in kept
            for line in one["entries"]
        ]
        if [row[1:9] for row in rows] != lines:
            yield "payments/ledger.csv: it says something else than payments/ledger.json"

    def payments(self) -> Iterator[str]:
        """What the banks were told, and said"""
        told = [
            {
                "sequence": one["sequence"],
                "tranche": one["body"]["number"],
                "directorate": side,
                **instruction,
            }
            for one in self.of("tranche.instructed")
            for side, some in sorted(one["body"]["instructions"].items())
            for instruction in some
        ]
        if self.json("payments/instructions.json")["instructions"] != told:
            yield "payments/instructions.json: it is not what the trail says"
        said = [
            {"sequence": one["sequence"], "at": one["at"], "action": one["action"], **one["body"]}
            for one in self.of("payment.booked", "payment.failed")
        ]
        if self.json("payments/bank.json")["facts"] != said:
            yield "payments/bank.json: it is not what the trail says"

    # -- attachments, histories, where it stands

    def attached(self) -> Iterator[str]:
        """The attachments"""
        erased = {one for entry in self.of("record.redacted") for one in entry["body"].get("attachments", ())}
        listed = self.json("attachments.json")["attachments"]
        files = set()
        for one in listed:
            subject = str(self.entry(one["sequence"]).get("subject"))
            named = set(hashes_in(self.documents.get(subject, {})))
            if one["hash"] not in named:
                yield f"attachments.json: entry {one['sequence']} does not name {one['hash']}"
            if one["state"] == "erased":
                if one["hash"] not in erased:
                    yield f"{one['hash']}: it is said to be erased, and the trail does not say so"
            elif one["state"] != "here" or one["file"] not in self.digests:
                yield f"{one['hash']}: the attachment is {one['state']} and not in the dossier as it was brought"
            elif self.digests[one["file"]] != one["hash"]:
                yield f"{one['file']}: the attachment was altered"
            files.add(one["file"])
        for name in self.names:
            if name.startswith("attachments/") and name not in files:
                yield f"{name}: nothing names it"
        known = {one["hash"] for one in listed}
        wanted = {one for body in self.documents.values() for one in attached_to(body)}
        if wanted - known:
            self.notes.append(
                f"documents name {len(wanted - known)} attachments that were never brought here"
            )

    def histories(self) -> Iterator[str]:
        """The workflow's histories, against the trail"""
        names = [name for name in self.names if name.startswith("histories/")]
        if names != self.about["histories"]["files"]:
            yield f"histories are {names}, and there were {self.about['histories']['files']}"
        if not names:
            self.notes.append(f"no workflow history: {self.about['histories']['absent']}")
            return
        heard: set[tuple[str, str]] = set()
        adopted: set[str] = set()
        before: str | None = None
        for name in names:
            run = History(self, name, self.json(name))
            yield from run.faults(before)
            heard |= run.heard
            adopted |= run.adopted
            before = run.id
        for entry in self.trail:
            message, key = entry["message"], (entry["actor"], entry["message"])
            if (
                message is not None
                and entry["actor"] != "unknown"
                and key not in heard
                and entry["hash"] not in adopted
            ):
                yield f"entry {entry['sequence']}: no history has the message {message} of {entry['actor']}"

    def standing(self) -> Iterator[str]:
        """Where it stands"""
        said = self.json("initiative.json")["initiative"]
        stages = self.of("stage.entered")
        due = {
            "id": self.about["initiative"],
            "reference": self.trail[0]["body"]["reference"],
            "sequence": len(self.trail),
            "stage": stages[-1]["body"]["stage"] if stages else None,
        }
        for name, value in due.items():
            if said.get(name) != value:
                yield f"initiative.json: it says another {name} than the trail"
        if self.about["reference"] != due["reference"]:
            yield "dossier.json: it is another initiative's"
        decided: dict[int, str | None] = {one["body"]["number"]: None for one in self.of("matter.opened")}
        outcomes = {"matter.decided": "", "matter.lapsed": "lapsed", "matter.voided": "void"}
        for one in self.of(*outcomes):
            decided[one["body"]["matter"]] = str(one["body"].get("outcome") or outcomes[one["action"]])
        there = {one["number"]: one["outcome"] for one in self.json("initiative.json")["matters"]}
        if there != decided:
            yield "initiative.json: its matters are not those of the trail"

    def run(self, say: Callable[[str], None]) -> bool:
        """Do every check; whether nothing is wrong."""
        checks = (
            *(
                self.container,
                self.manifest,
                self.chain,
                self.public_keys,
                self.bound,
                self.signed_checkpoint,
            ),
            *(
                self.proofs,
                self.papers,
                self.decisions,
                self.mandates,
                self.ledger,
                self.payments,
                self.attached,
            ),
            *(self.histories, self.standing),
        )
        for check in checks:
            found: list[str] = []
            try:
                found.extend(check())
            except Wrong as problem:
                found.append(str(problem))
            except Exception as problem:  # whatever a file holds must end in a line that says so
                found.append(f"it cannot be read ({type(problem).__name__}: {problem})")
            say(f"{'WRONG' if found else 'ok':6}{(check.__doc__ or '').strip()}")
            for one in found:
                say(f"      - {printable(one)}")
            self.faults += found
        for one in self.notes:
            say(f"note: {printable(one)}")
        say("Nothing was altered." if not self.faults else f"{len(self.faults)} thing(s) are wrong.")
        return not self.faults


class History:
    """One run of the workflow, in Temporal's own JSON."""

    def __init__(self, dossier: Dossier, name: str, history: Json) -> None:
        self.dossier, self.name, self.events = dossier, name, history["events"]
        begun = self.events[0]["workflowExecutionStartedEventAttributes"]
        self.id = begun["originalExecutionRunId"]
        self.continued = begun.get("continuedExecutionRunId") or None
        self.begin = first(begun["input"])
        self.heard: set[tuple[str, str]] = set()
        self.adopted: set[str] = set()

    def faults(self, before: str | None) -> Iterator[str]:
        """What it and the trail do not agree on; ``before`` is the run that it goes on from."""
        trail, where = self.dossier, self.name
        if (
            self.events[0].get("eventType") != "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"
            or self.continued != before
        ):
            yield f"{where}: it does not continue the run before it"
        if [one["eventId"] for one in self.events] != [str(i) for i in range(1, len(self.events) + 1)]:
            yield f"{where}: events are missing"
        state, submission = self.begin.get("state"), self.begin["submission"]
        if (
            submission["content_hash"] != trail.entry(1).get("subject")
            or submission["initiative"] != trail.about["initiative"]
        ):
            yield f"{where}: it began with another submission"
        if (state is None) != (before is None):
            yield f"{where}: it began without the state of the run before"
        elif state is not None and trail.entry(state["sequence"]).get("hash") != state["head"]:
            yield f"{where}: it began after entry {state['sequence']} of another trail"
        asked: dict[str, Json] = {}
        for event in self.events:
            kind, at = event["eventType"], f"{where}, event {event['eventId']}"
            if kind == "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED":
                request = event["workflowExecutionUpdateAcceptedEventAttributes"]["acceptedRequest"]
                asked[event["eventId"]] = self.hear(first(request["input"].get("args", {})))
            elif kind == "EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED":
                signal = event["workflowExecutionSignaledEventAttributes"]
                self.hear(first(signal.get("input", {})))
            elif kind == "EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED":
                done = event["workflowExecutionUpdateCompletedEventAttributes"]
                answer = first(done["outcome"].get("success", {}))
                for why in self.answered(asked.get(done["acceptedEventId"], {}), answer):
                    yield f"{at}: {why}"
            elif kind == "EVENT_TYPE_MARKER_RECORDED":
                result = first(event["markerRecordedEventAttributes"].get("details", {}).get("result", {}))
                for one in [*(result.get("standing") or ()), *(result.get("signed") or ())]:
                    self.adopted.add(one["hash"])
                    if trail.entry(one["sequence"]).get("hash") != one["hash"]:
                        yield f"{at}: entry {one['sequence']} was another one"
            elif kind == "EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED":
                ended = first(event["workflowExecutionCompletedEventAttributes"]["result"])
                if trail.entry(ended["entries"]).get("hash") != ended["head"]:
                    yield f"{at}: the trail ended otherwise, at entry {ended['entries']}"
                later = {one["action"] for one in trail.trail[ended["entries"] :]}
                if later - {"record.redacted", "dossier.exported"}:
                    yield f"{at}: after its end the trail went on with {', '.join(sorted(later))}"

    def hear(self, message: Json) -> Json:
        """Note who sent a message."""
        caller = message.get("caller")
        if isinstance(caller, dict) and "id" in message:
            self.heard.add((caller.get("person", ""), message["id"]))
        return message

    def answered(self, message: Json, answer: Json) -> Iterator[str]:
        """What is wrong with an answer."""
        caller = message.get("caller")
        if "status" not in answer or not isinstance(caller, dict):
            return  # the receipt of the submission
        if answer.get("code") in ("rate_limited", "idempotency_key_reused"):
            return  # not looked at, and so not on the trail
        entry = self.dossier.entry(answer["sequence"])
        if (entry.get("actor"), entry.get("message")) != (caller.get("person"), message.get("id")):
            yield f"the answer names entry {answer['sequence']}, which is not that message's"
        refused = entry.get("action") == "message.refused"
        if refused != (answer["status"] == "refused") or (
            refused and entry["body"]["code"] != answer["code"]
        ):
            yield f"it was answered {answer['status']}, and entry {answer['sequence']} says otherwise"


# ---- rules


OUTCOMES = {
    "refuse": "refused",
    "return": "returned",
    "approve_with_conditions": "approved_with_conditions",
    "approve": "approved",
}
"""The gravest first."""


def gravest(responses: list[str]) -> str | None:
    """The gravest of some responses."""
    return next((one for one in OUTCOMES if one in responses), None)


def struck(signed: dict[tuple[int, str], list[Json]], number: int, person: str | None) -> None:
    """The sign-offs of a person in a matter count no more."""
    for (matter, _), some in signed.items():
        for one in some:
            if matter == number and one["person"] == person:
                one["counts"] = False


def entry_hash(entry: Json) -> str:
    """The hash that an entry has to have."""
    return sha256(canonical({key: value for key, value in entry.items() if key != "hash"}))


def named_by(entry: Json) -> Iterator[str]:
    """The documents that an entry names for certain."""
    body, action = entry["body"], entry["action"]
    if entry["subject"] is not None and action != "message.refused":
        yield entry["subject"]
    if action == "matter.decided":
        yield body["decision"]
    drawn_up = (
        body
        if action == "agreement.drawn_up"
        else body.get("funding_agreements")
        if action == "amendment.asked"
        else None
    )
    for one in (drawn_up or {}).get("sides", {}).values():
        yield one["content_hash"]


def hashes_in(value: Any) -> Iterator[str]:
    """Every content hash in some JSON."""
    if isinstance(value, str) and re.fullmatch("sha256:[0-9a-f]{64}", value):
        yield value
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from hashes_in(one)


def attached_to(document: Json) -> Iterator[str]:
    """The attachments that a proposal or a report names."""
    if "partners" in document and "documents" in document:
        yield from (one["sha256"] for one in document["documents"])
    if "costs" in document and "narrative" in document:
        yield from (one["evidence"] for one in document["costs"] if one.get("evidence"))


def key_of(one: Json) -> tuple[str, str, str]:
    """What tells a key from another."""
    return one["directorate"], one["jwk"]["kid"], one["jwk"]["x"]


def first(payloads: Json) -> Json:
    """The first of some payloads, if it is a JSON object."""
    some = payloads.get("payloads") or [{}]
    try:
        found = json.loads(base64.b64decode(some[0].get("data", "")))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


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


def per_unit(amounts: Json) -> Iterator[tuple[str, str, int]]:
    """Each side's amounts, added up by unit."""
    for side in sorted(amounts):
        sums: dict[str, int] = defaultdict(int)
        for one in amounts[side]:
            sums[one["unit"]] += one["minor"]
        yield from ((side, unit, minor) for unit, minor in sorted(sums.items()))


class Book:
    """The accounts of an initiative, as its trail moves them (docs/ledger.md)."""

    def __init__(self) -> None:
        self.balances: dict[tuple[str, str, str], int] = defaultdict(int)
        self.costs: dict[int, Json] = {}
        self.confirmed: dict[tuple[int, str], list[Json]] = {}
        self.recoveries: set[int] = set()

    def on(self, account: str) -> list[tuple[str, str, int]]:
        """What each side has on an account."""
        return [
            (side, unit, minor)
            for (side, unit, name), minor in sorted(self.balances.items())
            if name == account
        ]

    def moves(self, action: str, body: Json) -> Iterator[tuple[str, str, str, int, str, str]]:
        """What a fact moves: the code, the side, the unit, how much, the credited and the debited account."""
        number, side = body.get("number", 0), body.get("directorate", "")
        if action == "commitment.fixed":
            yield from self.released()
            for one in per_unit(body["commitments"]):
                yield ("commitment_reserved", *one, "appropriation", "reserved")
        elif action == "stage.entered" and body["stage"] == "active" and body.get("before") != "suspended":
            for one in self.on("reserved"):
                yield ("commitment_made", *one, "reserved", "committed")
        elif (
            action == "stage.entered" and body["stage"] not in HOLDS and body.get("keeps_money") is None
        ) or action == "commitment.released":
            yield from self.released()
        elif action == "amendment.made":
            owed = {one[:2]: one[2] for one in self.on("committed")}
            due = {one[:2]: one[2] for one in per_unit(body["commitments"])}
            for key in sorted(set(owed) | set(due)):
                more = due.get(key, 0) - owed.get(key, 0)
                if more > 0:
                    yield ("commitment_increased", *key, more, "appropriation", "committed")
                else:
                    yield ("commitment_released", *key, -more, "committed", "appropriation")
        elif action == "report.costs_disallowed":
            yield (
                "costs_disallowed",
                side,
                body["amount"]["unit"],
                body["amount"]["minor"],
                "accepted",
                "reported",
            )
        elif action == "report.accepted":
            for one in per_unit(self.costs.get(number, {})):
                yield ("costs_accepted", *one, "reported", "accepted")
        else:
            yield from self.moves_of_money(action, body, number, side)

    def moves_of_money(
        self, action: str, body: Json, number: int, side: str
    ) -> Iterator[tuple[str, str, str, int, str, str]]:
        """The same of what goes to and comes from a bank."""
        amounts = (
            list(per_unit({side: body["amounts"]})) if action in ("tranche.paid", "tranche.recovered") else []
        )
        if action == "tranche.instructed":
            told = {key: [one["amount"] for one in some] for key, some in body["instructions"].items()}
            for one in per_unit(told):
                if number in self.recoveries:
                    yield ("claim_made", *one, "claimed", "recoverable")
                else:
                    yield ("payment_instructed", *one, "treasury", "instructed")
        elif action == "tranche.paid":
            for one in amounts:
                yield ("payment_made", *one, "instructed", "disbursed")
        elif action == "tranche.recovered":
            yield from recovered(amounts)
        elif action == "tranche.written_off":
            yield from recovered(per_unit({side: body["recovered"]}))
            for one in per_unit({side: body["claimed"]}):
                yield ("claim_written_off", *one, "recoverable", "claimed")
        elif action == "payment.failed":
            came_back = side, body["amount"]["unit"], body["amount"]["minor"]
            for one in per_unit({side: self.confirmed.get((number, side), [])}):
                if number in self.recoveries:
                    yield ("money_unconfirmed", *one, "treasury", "recovered")
                    yield ("claim_made", *one, "claimed", "recoverable")
                else:
                    yield ("payment_unconfirmed", *one, "disbursed", "instructed")
            if number in self.recoveries:
                yield ("claim_withdrawn", *came_back, "recoverable", "claimed")
            else:
                yield ("payment_returned", *came_back, "instructed", "treasury")

    def released(self) -> Iterator[tuple[str, str, str, int, str, str]]:
        """All that is reserved, and of what is committed what was not let go towards a bank."""
        for one in self.on("reserved"):
            yield ("commitment_released", *one, "reserved", "appropriation")
        for side, unit, minor in self.on("committed"):
            let_go = self.balances[side, unit, "instructed"] + self.balances[side, unit, "disbursed"]
            yield "commitment_released", side, unit, max(0, minor - let_go), "committed", "appropriation"

    def post(self, entry: Json) -> Iterator[Json]:
        """The transactions of an entry."""
        action, body = entry["action"], entry["body"]
        if action == "report.submitted":
            self.costs[body["number"]] = body["costs"]
        number = 0
        for code, side, unit, minor, credit, debit in list(self.moves(action, body)):
            if not minor:
                continue
            number += 1
            self.balances[side, unit, credit] -= minor
            self.balances[side, unit, debit] += minor
            yield {
                "sequence": entry["sequence"],
                "number": number,
                "at": entry["at"],
                "directorate": side,
                "unit": unit,
                "code": code,
                "entries": [{"account": debit, "minor": minor}, {"account": credit, "minor": -minor}],
            }
        if action == "tranche.claimed":
            self.recoveries.add(body["tranche"]["number"])
        elif action in ("tranche.paid", "tranche.recovered"):
            self.confirmed[body["number"], body["directorate"]] = body["amounts"]
        elif action == "payment.failed":
            self.confirmed.pop((body["number"], body["directorate"]), None)


HOLDS = ("conditions", "contracting", "active", "suspended", "closing")
"""The stages in which something is reserved or committed."""


def recovered(amounts: Iterable[tuple[str, str, int]]) -> Iterator[tuple[str, str, str, int, str, str]]:
    """Money came back, and the claim to it is met."""
    for one in amounts:
        yield ("money_recovered", *one, "recovered", "treasury")
        yield ("claim_met", *one, "recoverable", "claimed")


def derived_ledger(trail: list[Json]) -> Iterator[Json]:
    """The ledger that follows from a trail."""
    book = Book()
    for entry in trail:
        yield from book.post(entry)


# ---- telling


def spelt(numbers: list[int]) -> str:
    """Which entries, in few words."""
    whole = numbers == list(range(numbers[0], numbers[-1] + 1)) and len(numbers) > 1
    return f"entries {numbers[0]} to {numbers[-1]}" if whole else "entries " + ", ".join(map(str, numbers))


def printable(text: str) -> str:
    """Text that steers no terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def opened(place: str) -> Any:
    """The files at a place."""
    return Directory(place) if os.path.isdir(place) else Archive(place)


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
    return 0 if Dossier(files, chosen.keys, chosen.against, chosen.manifest).run(print) else 1


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    sys.exit(main(sys.argv[1:]))
