"""The Merkle log: RFC 6962's own vectors, and an implementation that reads the RFC's definitions as they stand."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from countersign.domain import merkle
from countersign.domain.merkle import Grower, ProofFault

# The leaves and roots of the RFC's reference implementation (Certificate Transparency, merkle tree tests).
LEAVES = [
    bytes.fromhex(one)
    for one in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


# ---- the RFC's definitions, read as they stand (2.1, 2.1.1, 2.1.2): slow, recursive, on lists


def sha(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def k_of(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: list[bytes]) -> bytes:
    if not d:
        return sha(b"")
    if len(d) == 1:
        return sha(b"\x00" + d[0])
    k = k_of(len(d))
    return sha(b"\x01" + mth(d[:k]) + mth(d[k:]))


def path(m: int, d: list[bytes]) -> list[bytes]:
    if len(d) == 1:
        return []
    k = k_of(len(d))
    return [*path(m, d[:k]), mth(d[k:])] if m < k else [*path(m - k, d[k:]), mth(d[:k])]


def subproof(m: int, d: list[bytes], b: bool) -> list[bytes]:
    if m == len(d):
        return [] if b else [mth(d)]
    k = k_of(len(d))
    if m <= k:
        return [*subproof(m, d[:k], b), mth(d[k:])]
    return [*subproof(m - k, d[k:], False), mth(d[:k])]


# ---- what is kept of a log


class Kept:
    """A log whose whole subtrees are kept as it grows."""

    def __init__(self, contents: list[bytes]) -> None:
        self.contents = contents
        self.hashes: dict[tuple[int, int], bytes] = {}
        self.grown = Grower(keep=self._keep)
        for one in contents:
            self.grown.add(merkle.leaf_hash(one))

    def _keep(self, level: int, index: int, found: bytes) -> None:
        assert (level, index) not in self.hashes, "each whole subtree is told once"
        self.hashes[level, index] = found

    def at(self, level: int, index: int) -> bytes:
        return self.hashes[level, index]


contents = st.lists(st.binary(max_size=8), max_size=70)


def test_the_vectors_of_the_rfc_are_met() -> None:
    assert merkle.EMPTY.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    kept = Kept(LEAVES)
    for size, root in enumerate(ROOTS, start=1):
        assert merkle.root_of(size, kept.at).hex() == root
        assert merkle.root_of_leaves(map(merkle.leaf_hash, LEAVES[:size])).hex() == root


def test_the_proofs_of_the_rfcs_vectors_are_met() -> None:
    kept = Kept(LEAVES)
    assert [one.hex()[:8] for one in merkle.inclusion_proof(0, 8, kept.at)] == [
        "96a296d2",
        "5f083f0a",
        "6b47aaf2",
    ]
    assert [one.hex()[:8] for one in merkle.inclusion_proof(5, 8, kept.at)] == [
        "bc1a0643",
        "ca854ea1",
        "d37ee418",
    ]
    assert [one.hex()[:8] for one in merkle.inclusion_proof(2, 3, kept.at)] == ["fac54203"]
    assert [one.hex()[:8] for one in merkle.consistency_proof(1, 8, kept.at)] == [
        "96a296d2",
        "5f083f0a",
        "6b47aaf2",
    ]
    assert [one.hex()[:8] for one in merkle.consistency_proof(6, 8, kept.at)] == [
        "0ebc5d34",
        "ca854ea1",
        "d37ee418",
    ]
    assert [one.hex()[:8] for one in merkle.consistency_proof(2, 5, kept.at)] == ["5f083f0a", "bc1a0643"]


@given(contents)
def test_roots_and_proofs_are_those_of_the_definitions(some: list[bytes]) -> None:
    kept = Kept(some)
    assert kept.grown.root() == merkle.root_of(len(some), kept.at) == mth(some)
    for size in range(len(some) + 1):
        assert merkle.root_of(size, kept.at) == mth(some[:size])
    for index in range(len(some)):
        assert merkle.inclusion_proof(index, len(some), kept.at) == path(index, some)
    for before in range(1, len(some)):
        assert merkle.consistency_proof(before, len(some), kept.at) == subproof(before, some, True)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=8), min_size=1, max_size=40))
def test_each_proof_holds_for_its_own_place_and_for_no_other(some: list[bytes]) -> None:
    kept, size = Kept([bytes([i]) + one for i, one in enumerate(some)]), len(some)
    root = kept.grown.root()
    for index, content in enumerate(kept.contents):
        proof = merkle.inclusion_proof(index, size, kept.at)
        leaf = merkle.leaf_hash(content)
        assert merkle.root_by_inclusion(leaf, index, size, proof) == root
        assert not holds(merkle.leaf_hash(content + b"!"), index, size, proof, root)
        assert not holds(leaf, index, size, [*proof, leaf], root)
        for other in range(size):
            assert holds(leaf, other, size, proof, root) == (other == index)
        for i in range(len(proof)):
            assert not holds(leaf, index, size, [*proof[:i], *proof[i + 1 :]], root)
            assert not holds(leaf, index, size, [*proof[:i], sha(proof[i]), *proof[i + 1 :]], root)


def holds(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    try:
        return merkle.root_by_inclusion(leaf, index, size, proof) == root
    except ProofFault:
        return False


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(0, 40))
def test_a_log_that_grew_is_consistent_and_one_that_was_changed_is_not(first: int, second: int) -> None:
    before, size = sorted((first, second))
    kept = Kept([bytes([i]) for i in range(size)])
    roots = merkle.root_of(before, kept.at), merkle.root_of(size, kept.at)
    proof = merkle.consistency_proof(before, size, kept.at)
    merkle.check_consistency(before, roots[0], size, roots[1], proof)
    for i in range(before):
        changed = Kept([bytes([j + 100 * (j == i)]) for j in range(size)])
        root, wrong = merkle.root_of(size, changed.at), merkle.consistency_proof(before, size, changed.at)
        with pytest.raises(ProofFault):
            merkle.check_consistency(before, roots[0], size, root, wrong)
    if before < size:
        with pytest.raises(ProofFault, match="entries are gone"):
            merkle.check_consistency(size, roots[1], before, roots[0], proof)
    for i in range(len(proof)):
        for wrong in ([*proof[:i], *proof[i + 1 :]], [*proof[:i], sha(proof[i]), *proof[i + 1 :]]):
            with pytest.raises(ProofFault):
                merkle.check_consistency(before, roots[0], size, roots[1], wrong)
    with pytest.raises(ProofFault):
        merkle.check_consistency(before, roots[0], size, roots[1], [*proof, roots[1]])


@given(st.integers(0, 60), st.integers(0, 60))
def test_a_log_goes_on_from_its_edge_as_if_it_had_never_stopped(first: int, more: int) -> None:
    whole = Kept([bytes([i]) for i in range(first + more)])
    again = Grower(first, merkle.edge_of(first, whole.at))
    for i in range(first, first + more):
        again.add(merkle.leaf_hash(bytes([i])))
    assert (again.size, again.root(), again.edge) == (first + more, whole.grown.root(), whole.grown.edge)


def test_what_is_out_of_range_is_refused() -> None:
    kept = Kept([b"a", b"b", b"c"])
    for index in (-1, 3):
        with pytest.raises(ValueError, match="no leaf"):
            merkle.inclusion_proof(index, 3, kept.at)
        with pytest.raises(ProofFault, match="no leaf"):
            merkle.root_by_inclusion(b"", index, 3, [])
    for before in (-1, 4):
        with pytest.raises(ValueError, match="never had"):
            merkle.consistency_proof(before, 3, kept.at)
    with pytest.raises(ValueError, match="at its edge"):
        Grower(3, [b"one"])


def test_the_sizes_that_only_grow_have_roots_that_differ() -> None:
    kept = Kept([b""] * 40)
    roots = [merkle.root_of(size, kept.at) for size in range(41)]
    assert all(a != b for a, b in pairwise(roots))
