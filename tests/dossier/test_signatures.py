"""The verifier's own Ed25519, held against the vectors of RFC 8032 (section 7.1) and against a library."""

from __future__ import annotations

import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from countersign.runtime.dossier.verifier.ed25519 import ORDER, ed25519_holds

VECTORS = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd"
            "25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c3"
            "87b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594"
            "a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
)


@pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
def test_the_vectors_of_the_standard_hold_and_changed_ones_do_not(
    public: str, message: str, signature: str
) -> None:
    key, said, by = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
    assert ed25519_holds(key, said, by)
    assert not ed25519_holds(key, said + b"x", by)
    for at in (0, 31, 32, 63):
        changed = bytearray(by)
        changed[at] ^= 1
        assert not ed25519_holds(key, said, bytes(changed))
    assert not ed25519_holds(bytes(32), said, by)
    assert not ed25519_holds(key, said, by[:63])


def test_a_signature_has_one_spelling() -> None:
    key, said, by = (bytes.fromhex(one) for one in VECTORS[1])
    s = int.from_bytes(by[32:], "little") + ORDER
    assert s < 2**256
    assert not ed25519_holds(key, said, by[:32] + s.to_bytes(32, "little"))


def test_it_agrees_with_a_library() -> None:
    for length in (0, 1, 200, 5000):
        key, message = Ed25519PrivateKey.generate(), os.urandom(length)
        public = key.public_key().public_bytes_raw()
        assert ed25519_holds(public, message, key.sign(message))
        assert not ed25519_holds(public, message, Ed25519PrivateKey.generate().sign(message))
