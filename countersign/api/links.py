"""Links to attachments: whoever has one may download that content, for a few minutes, as the person it was made for."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from countersign.runtime.payload_keys import KeyRing
from countersign.store.roles import Reader

GOOD_FOR: Final = 300
"""Seconds for which a link is good: long enough to begin a download."""

_PURPOSE: Final = b"countersign links 1"
_ALGORITHMS: Final = ["dir", "A256GCM"]


class LinkRefused(Exception):
    """It is no link of ours, or it is not good any more."""


@dataclass(frozen=True, slots=True)
class Link:
    """What a link lets somebody download, and under which file name; ``until`` in seconds since 1970."""

    content_hash: str
    file_name: str
    reader: Reader
    initiative: str | None
    until: int


class Links:
    """Makes links, and opens them: each is encrypted and authenticated (JWE, RFC 7516), and so says nothing by itself.

    Their keys are derived from those for payloads, so that every process of the API knows them and they rotate along.
    """

    def __init__(self, ring: KeyRing) -> None:
        derived = ring.derived(_PURPOSE)
        self._keys = KeySet([OctKey.import_key(one.secret, {"kid": one.id}) for one in derived.keys])
        self._header = {"alg": "dir", "enc": "A256GCM", "kid": derived.current.id}

    def seal(self, link: Link) -> str:
        """The link as it stands in a URL."""
        return jwe.encrypt_compact(self._header, json.dumps(asdict(link)), self._keys)

    def open(self, sealed: str) -> Link:
        """What a link says.

        Raises:
            LinkRefused: nobody here made it, its key is gone, or its time is over.
        """
        try:
            opened = jwe.decrypt_compact(sealed, self._keys, algorithms=_ALGORITHMS)
            found = json.loads(opened.plaintext or b"")
        except (JoseError, ValueError, KeyError, TypeError) as problem:
            raise LinkRefused("there is no such link") from problem
        link = Link(**found | {"reader": Reader(**found["reader"])})
        if link.until < time.time():
            raise LinkRefused("the link is not good any more; ask for another one")
        return link
