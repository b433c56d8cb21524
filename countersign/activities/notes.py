"""Signatures under checkpoints: making one with a side's key, and telling whether one is a side's."""

from __future__ import annotations

import base64
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import OKPKey

from countersign.domain.agreement import SigningKey
from countersign.domain.checkpoint import Checkpoint, NoteSignature, SignedCheckpoint, key_id, signer_of


def sign_checkpoint(checkpoint: Checkpoint, directorate: str, key: OKPKey) -> NoteSignature:
    """A side's signature of a checkpoint (Ed25519, RFC 8032, as C2SP's signed-note has it)."""
    private = key.private_key
    if not isinstance(private, Ed25519PrivateKey):
        raise TypeError("a checkpoint is signed with an Ed25519 key")
    name = signer_of(checkpoint.origin, directorate)
    public = private.public_key().public_bytes_raw()
    return NoteSignature(name, key_id(name, public), private.sign(checkpoint.text.encode()))


def signed_by(
    note: SignedCheckpoint, keys: Iterable[SigningKey]
) -> tuple[frozenset[str], list[NoteSignature]]:
    """The sides whose signature under a checkpoint holds, and the signatures that do not, or are nobody's here.

    A key that was retired since still tells that its side signed: what it signed was fixed then.
    """
    text = note.checkpoint.text.encode()
    known = {}
    for key in keys:
        name = signer_of(note.checkpoint.origin, key.directorate)
        public = base64.urlsafe_b64decode(key.x + "=")
        known[name, key_id(name, public)] = (key.directorate, Ed25519PublicKey.from_public_bytes(public))
    sides: set[str] = set()
    wrong: list[NoteSignature] = []
    for one in note.signatures:
        side, public_key = known.get((one.name, one.key_id), (None, None))
        try:
            if side is None or public_key is None:
                raise InvalidSignature
            public_key.verify(one.signature, text)
        except InvalidSignature:
            wrong.append(one)
        else:
            sides.add(side)
    return frozenset(sides), wrong
