"""Checkpoints and proofs over HTTP, held against the log by an auditor who has nothing but the public keys."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from countersign.activities.notes import signed_by
from countersign.domain.checkpoint import read_note
from countersign.runtime.embedded.services import Services
from tests.people import Office
from tests.workflows.carrying import in_force


def decoded(hashes: list[str]) -> list[bytes]:
    return [base64.b64decode(one) for one in hashes]


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_by(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """RFC 6962's audit path, gone up by halves: an algorithm other than the system's own."""
    if size == 1:
        assert proof == []
        return leaf
    k = 1
    while k * 2 < size:
        k *= 2
    *below, sibling = proof
    if index < k:
        return node(root_by(leaf, index, k, below), sibling)
    return node(sibling, root_by(leaf, index - k, size - k, below))


async def made(office: Office) -> dict[str, Any]:
    answer = await office.call("az-auditor", "POST", "/v1/audit/checkpoint")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_an_auditor_checks_every_entry_of_a_trail_against_a_checkpoint_of_all_sides(
    office: Office, initiative: str, services: Services
) -> None:
    checkpoint = await made(office)
    note = read_note(checkpoint["note"])
    agreement = in_force(services.settings())
    assert signed_by(note, agreement.signing_key) == (frozenset({"il", "az"}), [])
    assert checkpoint["signed_by"] == ["az", "il"]
    assert (note.checkpoint.size, base64.b64encode(note.checkpoint.root).decode()) == (
        checkpoint["size"],
        checkpoint["root"],
    )
    trail = await office.trail(initiative)
    assert len(trail) > 3
    for entry in trail:
        path = f"/v1/initiatives/{initiative}/audit/{entry['sequence']}/proof?size={checkpoint['size']}"
        shown = await office.get("il-auditor", path)
        leaf = hashlib.sha256(b"\x00" + bytes.fromhex(entry["hash"][7:])).digest()
        assert base64.b64decode(shown["leaf"]) == leaf
        found = root_by(leaf, shown["index"], checkpoint["size"], decoded(shown["proof"]))
        assert found == note.checkpoint.root
        by_place = await office.get(
            "il-auditor", f"/v1/audit/proofs/{shown['index']}?size={checkpoint['size']}"
        )
        assert by_place == shown


async def test_a_later_checkpoint_is_shown_to_begin_with_an_earlier_one(
    office: Office, initiative: str
) -> None:
    first = await made(office)
    await office.sign("il-legal", initiative)
    second = await made(office)
    assert second["size"] > first["size"]
    assert (await office.get("il-auditor", "/v1/audit/checkpoint"))["size"] >= second["size"]
    assert await office.get("il-auditor", f"/v1/audit/checkpoint?size={first['size']}") == first
    path = f"/v1/audit/consistency?from={first['size']}&to={second['size']}"
    shown = await office.get("az-auditor", path)
    assert consistent(first, second, decoded(shown["proof"]))
    assert not consistent(first | {"root": second["root"]}, second, decoded(shown["proof"]))


def consistent(first: dict[str, Any], second: dict[str, Any], proof: list[bytes]) -> bool:
    """RFC 6962's consistency proof, read from its definition: both roots made again from the same hashes."""

    def both(m: int, n: int, whole: bool) -> tuple[bytes, bytes]:
        if m == n:
            known = base64.b64decode(first["root"]) if whole else proof.pop(0)
            return known, known
        k = 1
        while k * 2 < n:
            k *= 2
        if m <= k:
            old, new = both(m, k, whole)
            return old, node(new, proof.pop(0))
        old, new = both(m - k, n - k, False)
        left = proof.pop(0)
        return node(left, old), node(left, new)

    old, new = both(first["size"], second["size"], True)
    roots = base64.b64decode(first["root"]), base64.b64decode(second["root"])
    return (old, new) == roots and proof == []


async def test_what_is_in_no_checkpoint_is_not_proven(office: Office, initiative: str) -> None:
    checkpoint = await made(office)
    await office.sign("il-legal", initiative)
    last = (await office.trail(initiative))[-1]["sequence"]
    size = checkpoint["size"]
    for path in (
        f"/v1/initiatives/{initiative}/audit/{last}/proof",
        f"/v1/initiatives/{initiative}/audit/{last + 1000}/proof",
        f"/v1/audit/proofs/{size + 100_000}",
        f"/v1/audit/proofs/0?size={size + 100_000}",
        f"/v1/audit/proofs/{size - 1}?size={size - 1}",
        f"/v1/audit/checkpoint?size={size + 100_000}",
        f"/v1/audit/consistency?from={size + 100_000}",
    ):
        answer = await office.call("il-auditor", "GET", path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
    assert (await office.get("il-auditor", "/v1/audit/consistency"))["proof"] == []
