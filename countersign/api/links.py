"""Links to attachments: whoever has one may download that content, for a few minutes, as the person it was made for."""

from __future__ import annotations

import base64
import binascii
import json
import time
from dataclasses import asdict, dataclass
from typing import Final

from countersign.runtime.payload_keys import KeyRing
from countersign.runtime.sealing import Seal, SealBroken
from countersign.store.roles import Reader

GOOD_FOR: Final = 300
"""Seconds for which a link is good: long enough to begin a download."""


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
    """Makes links, and opens them: each is sealed, and so says nothing by itself.

    Every process of the API has the keys, since they are derived from those for payloads, and rotate along.
    """

    def __init__(self, ring: KeyRing) -> None:
        self._seal = Seal(ring, "links")

    def seal(self, link: Link) -> str:
        """The link as it stands in a URL."""
        sealed = self._seal.close(json.dumps(asdict(link)).encode())
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, sealed: str) -> Link:
        """What a link says.

        Raises:
            LinkRefused: nobody here made it, its key is gone, or its time is over.
        """
        try:
            decoded = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            found = json.loads(self._seal.open(decoded))
        except (SealBroken, binascii.Error, ValueError) as problem:
            raise LinkRefused("there is no such link") from problem
        link = Link(**found | {"reader": Reader(**found["reader"])})
        if link.until < time.time():
            raise LinkRefused("the link is not good any more; ask for another one")
        return link
