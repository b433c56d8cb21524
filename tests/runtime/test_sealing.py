"""Sealing: what is sealed opens here, for its purpose and in its place, and nowhere else."""

from __future__ import annotations

import pytest

from countersign.runtime import payload_keys
from countersign.runtime.sealing import Seal, SealBroken, SealKeyUnknown

RING = payload_keys.new_ring()


def test_what_is_sealed_opens_and_shows_nothing_of_itself() -> None:
    seal = Seal(RING, "a purpose")
    content = b"refresh token of somebody"
    once, again = seal.close(content, "here"), seal.close(content, "here")
    assert seal.open(once, "here") == seal.open(again, "here") == content
    assert once != again
    assert content not in once
    assert once.startswith(RING.current.id.encode() + b"\x00")


def test_it_opens_for_its_purpose_and_in_its_place_only() -> None:
    seal = Seal(RING, "a purpose")
    sealed = seal.close(b"content", "here")
    for other, place in ((seal, "there"), (seal, ""), (Seal(RING, "another"), "here")):
        with pytest.raises(SealBroken):
            other.open(sealed, place)


def test_every_byte_of_it_counts() -> None:
    seal = Seal(RING, "a purpose")
    sealed = seal.close(b"content")
    for place in range(len(sealed)):
        altered = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(SealBroken):
            seal.open(altered)


@pytest.mark.parametrize("given", [b"", b"\x00", b"nothing", b"a\x00short", b"a" * 65 + b"\x00" + bytes(40)])
def test_what_was_never_sealed_does_not_open(given: bytes) -> None:
    with pytest.raises(SealBroken):
        Seal(RING, "a purpose").open(given)


def test_an_old_key_opens_what_it_sealed_until_it_is_dropped() -> None:
    sealed = Seal(RING, "a purpose").close(b"content")
    added = RING.with_new()
    rotated = added.using(added.ids[1])
    assert Seal(added, "a purpose").open(sealed) == Seal(rotated, "a purpose").open(sealed) == b"content"
    anew = Seal(rotated, "a purpose").close(b"content")
    assert anew.startswith(added.ids[1].encode())
    assert Seal(added, "a purpose").open(anew) == b"content"
    dropped = Seal(rotated.without(RING.current.id), "a purpose")
    with pytest.raises(SealKeyUnknown):
        dropped.open(sealed)
    assert dropped.open(anew) == b"content"
