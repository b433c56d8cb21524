"""A side signs its own positions; runs on that side's own task queue, where its key is. And whoever checks them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from temporalio import activity
from temporalio.exceptions import ApplicationError

from countersign.domain.agreement import SigningKey
from countersign.domain.canonical import canonical_json
from countersign.domain.matter import Response, outcome
from countersign.domain.model import Model

ALGORITHM: Final = "Ed25519"
"""The fully specified name (RFC 9864) of what RFC 8037 calls EdDSA with an Ed25519 key."""


class SigningOrder(Model):
    """A position of one side, as it is to be signed: ``document`` is the payload."""

    directorate: str
    document: dict[str, Any]


class Countersignature(Model):
    """A JWS in compact serialisation."""

    jws: str


class Signing:
    """The signing activities of the sides that this worker serves.

    ``keys`` is a directory with the private key of each of them, ``<directorate>.jwk.json`` (RFC 8037). The file is
    looked at for each signature, so that a key rotates without a restart.
    """

    def __init__(self, keys: Path | None, served: Sequence[str]) -> None:
        self._keys, self._served = keys, frozenset(served)
        self._read: dict[str, tuple[tuple[int, ...], OKPKey]] = {}

    def here(self, order: SigningOrder) -> str | None:
        """The signature of a side that this very worker serves; another side's is left to its own."""
        if order.directorate not in self._served:
            return None
        try:
            return self._sign(order)
        except ApplicationError:
            return None  # on the side's queue it is tried again, and seen to wait

    @activity.defn(name="countersign_position")
    async def countersign_position(self, order: SigningOrder) -> Countersignature:
        """Sign a position. Ed25519 is deterministic: the same position and key, the same signature."""
        return Countersignature(jws=self._sign(order))

    def _sign(self, order: SigningOrder) -> str:
        if order.document.get("directorate") != order.directorate:
            raise ApplicationError("a side signs its own position only", type="invalid", non_retryable=True)
        return sign(order.document, self.key(order.directorate))

    def key(self, directorate: str) -> OKPKey:
        """The private key of a side that this worker serves.

        Raises:
            ApplicationError: there is none here, or it cannot be read now.
        """
        if self._keys is None:
            raise ApplicationError(f"this worker has no signing keys, so none of {directorate!r}")
        file = self._keys / f"{directorate}.jwk.json"
        try:
            # Looked at before it is read: of one that changes in between, the next signature reads what came.
            state = file.stat()
            version = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            if directorate not in self._read or self._read[directorate][0] != version:
                self._read[directorate] = version, OKPKey.import_key(json.loads(file.read_text()))
            return self._read[directorate][1]
        except (OSError, ValueError, JoseError) as error:
            # Retried until somebody puts the key where it belongs; the position waits, visibly.
            raise ApplicationError(f"the signing key of {directorate!r} cannot be read") from error


def sign(document: Mapping[str, Any], key: OKPKey) -> str:
    """The JWS (RFC 7515, compact) over the canonical JSON of a document."""
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": "countersign-position"}
    return jws.serialize_compact(header, canonical_json(document), key, algorithms=[ALGORITHM])


_COPIED: Final = ("agreement", "initiative", "reference", "matter", "kind", "content_hash")


def decision_faults(
    decision: Mapping[str, Any], keys: Iterable[SigningKey], directorates: Sequence[str]
) -> list[str]:
    """What is wrong with a joint decision, each fault naming its side; nothing when it holds.

    Every directorate of the agreement must have signed, with a key that was its own and in force at that time, a
    position on this very content, and the outcome must be the one that follows.
    """
    if decision.get("document") != "joint_decision" or not isinstance(decision.get("positions"), dict):
        return ["this is no joint decision"]
    by_kid = {key.kid: key for key in keys}
    faults: list[str] = []
    responses: dict[str, Response] = {}
    for side in directorates:
        token = decision["positions"].get(side)
        if not isinstance(token, str):
            faults.append(f"{side}: the signature is missing")
            continue
        found, why = _position_of(side, token, by_kid)
        if found is None:
            faults.append(f"{side}: {why}")
            continue
        differing = [name for name in _COPIED if found.get(name) != decision.get(name)]
        if differing:
            faults.append(f"{side}: signed another {', '.join(differing)}")
        responses[side] = Response(found["response"])
    faults += [
        f"{side}: no side of the agreement" for side in decision["positions"] if side not in directorates
    ]
    follows = outcome(directorates, responses)
    if follows is not None and follows != decision.get("outcome"):
        faults.append(f"the outcome that follows is {follows}, not {decision.get('outcome')}")
    return faults


def _position_of(side: str, token: str, keys: Mapping[str, SigningKey]) -> tuple[dict[str, Any] | None, str]:
    try:
        kid = jws.extract_compact(token.encode()).headers().get("kid")
        key = keys.get(str(kid))
        if key is None or key.directorate != side:
            return None, f"signed with a key that is not this side's ({kid})"
        public = OKPKey.import_key({"kty": "OKP", "crv": "Ed25519", "x": key.x, "kid": key.kid})
        payload = jws.deserialize_compact(token, public, algorithms=[ALGORITHM]).payload
        found = json.loads(payload)
    except (JoseError, ValueError, TypeError) as error:
        return None, f"the signature does not hold ({type(error).__name__})"
    try:
        at = datetime.fromisoformat(found["at"])
        Response(found["response"])
    except (KeyError, TypeError, ValueError):
        return None, "what was signed is no position"
    if found.get("directorate") != side:
        return None, "signed a position of another side"
    if at < key.valid_from or (key.valid_to is not None and at >= key.valid_to):
        return None, f"signed with a key that was not in force at {found['at']}"
    return found, ""
