"""The Merkle log of RFC 6962 (section 2.1): hashes, roots, and proofs that an entry is in it and that it only grew.

A log is known by the hashes of its *whole* subtrees: ``hash_at(level, index)`` is that of the ``2**level`` leaves from
``index * 2**level`` on. Such a hash never changes while the log grows, so it can be kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Final

HashAt = Callable[[int, int], bytes]
"""The hash of a whole subtree, by its level and its index there."""

EMPTY: Final = hashlib.sha256().digest()
"""The root of a log without leaves."""

SIZE: Final = 32
"""Bytes of a hash."""


class ProofFault(ValueError):
    """A proof does not show what it was to show."""


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf with that content."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees beside each other."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Grower:
    """Grows a log leaf by leaf, on the hashes of the whole subtrees at its edge, the largest first.

    ``keep`` is told every whole subtree once, leaves included.
    """

    def __init__(self, size: int = 0, edge: Sequence[bytes] = (), keep: Keep | None = None) -> None:
        if len(edge) != size.bit_count():
            raise ValueError(
                f"a log of {size} has {size.bit_count()} whole subtrees at its edge, not {len(edge)}"
            )
        self.size, self.edge = size, list(edge)
        self._keep = keep

    def add(self, leaf: bytes) -> None:
        """Add a leaf by its hash."""
        level, index, found = 0, self.size, leaf
        self._tell(level, index, found)
        while index & 1:
            found = node_hash(self.edge.pop(), found)
            level, index = level + 1, index >> 1
            self._tell(level, index, found)
        self.edge.append(found)
        self.size += 1

    def root(self) -> bytes:
        """The root of what was added."""
        return _joined(self.edge)

    def _tell(self, level: int, index: int, found: bytes) -> None:
        if self._keep is not None:
            self._keep(level, index, found)


Keep = Callable[[int, int, bytes], None]
"""Takes the hash of a whole subtree, by its level and its index there."""


def edge_of(size: int, hash_at: HashAt) -> list[bytes]:
    """The whole subtrees at the edge of a log, the largest first."""
    return [hash_at(level, index) for level, index in _whole(0, size)]


def root_of(size: int, hash_at: HashAt) -> bytes:
    """The root of a log's first ``size`` leaves."""
    return _joined(edge_of(size, hash_at))


def root_of_leaves(leaves: Iterable[bytes]) -> bytes:
    """The root of a log of these leaves, given by their hashes; in memory that does not grow with them."""
    grown = Grower()
    for leaf in leaves:
        grown.add(leaf)
    return grown.root()


def inclusion_proof(index: int, size: int, hash_at: HashAt) -> list[bytes]:
    """The audit path (RFC 6962, 2.1.1) of the leaf at ``index`` in a log of ``size``.

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a log of {size} has no leaf {index}")
    return _path(index, 0, size, hash_at)


def consistency_proof(before: int, size: int, hash_at: HashAt) -> list[bytes]:
    """The proof (RFC 6962, 2.1.2) that a log of ``size`` begins with the log of ``before`` that it once was.

    Raises:
        ValueError: it was never of that size.
    """
    if not 0 <= before <= size:
        raise ValueError(f"a log of {size} never had {before} leaves")
    return [] if before in (0, size) else _subproof(before, 0, size, True, hash_at)


def root_by_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes]) -> bytes:
    """The root that a log has if that leaf is at ``index`` of it (RFC 9162, 2.1.3.2); compare it with the signed one.

    Raises:
        ProofFault: the proof is not one for that place.
    """
    if not 0 <= index < size:
        raise ProofFault(f"a log of {size} has no leaf {index}")
    at, last, found = index, size - 1, leaf
    for one in proof:
        if last == 0:
            raise ProofFault("the proof is longer than the log is high")
        if at & 1 or at == last:
            found = node_hash(one, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, one)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise ProofFault("the proof is shorter than the log is high")
    return found


def check_consistency(before: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> None:
    """Make sure that the log of ``size`` begins with the one of ``before`` (RFC 9162, 2.1.4.2).

    Raises:
        ProofFault: it does not, or the proof is not one for these sizes.
    """
    if before > size:
        raise ProofFault(f"a log of {before} became one of {size}: entries are gone")
    if before in (0, size):
        if proof or (before == size and old_root != root) or (before == 0 and old_root != EMPTY):
            raise ProofFault("the log is of the same size and another one")
        return
    path = list(proof) if before & (before - 1) else [old_root, *proof]
    if not path:
        raise ProofFault("the proof is empty")
    at, last = before - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    was = now = path[0]
    for one in path[1:]:
        if last == 0:
            raise ProofFault("the proof is longer than the log is high")
        if at & 1 or at == last:
            was, now = node_hash(one, was), node_hash(one, now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            now = node_hash(now, one)
        at, last = at >> 1, last >> 1
    if last != 0:
        raise ProofFault("the proof is shorter than the log is high")
    if was != old_root or now != root:
        raise ProofFault("the log does not begin with the one that it was")


def _split(size: int) -> int:
    """The largest power of two below a size of at least two."""
    return 1 << (size - 1).bit_length() - 1


def _whole(start: int, end: int) -> list[tuple[int, int]]:
    """The whole subtrees that make up a range, from left to right; the range begins where one of its height may."""
    found: list[tuple[int, int]] = []
    for level in reversed(range((end - start).bit_length())):
        if (end - start) >> level & 1:
            found.append((level, start >> level))
            start += 1 << level
    return found


def _hash_of(start: int, end: int, hash_at: HashAt) -> bytes:
    return _joined([hash_at(level, index) for level, index in _whole(start, end)])


def _joined(subtrees: Sequence[bytes]) -> bytes:
    """The root over whole subtrees that lie beside each other, the largest first."""
    if not subtrees:
        return EMPTY
    *before, found = subtrees
    for one in reversed(before):
        found = node_hash(one, found)
    return found


def _path(index: int, start: int, end: int, hash_at: HashAt) -> list[bytes]:
    if end - start == 1:
        return []
    middle = start + _split(end - start)
    if index < middle:
        return [*_path(index, start, middle, hash_at), _hash_of(middle, end, hash_at)]
    return [*_path(index, middle, end, hash_at), _hash_of(start, middle, hash_at)]


def _subproof(before: int, start: int, end: int, is_known: bool, hash_at: HashAt) -> list[bytes]:
    """``before`` is counted from ``start``; ``is_known`` is whether the verifier has the hash of this very subtree."""
    if before == end - start:
        return [] if is_known else [_hash_of(start, end, hash_at)]
    middle = start + _split(end - start)
    if before <= middle - start:
        return [*_subproof(before, start, middle, is_known, hash_at), _hash_of(middle, end, hash_at)]
    return [
        *_subproof(before - (middle - start), middle, end, False, hash_at),
        _hash_of(start, middle, hash_at),
    ]
