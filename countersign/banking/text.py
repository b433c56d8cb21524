"""Text that every bank can carry: the Latin set of ISO 20022 messages, and no longer than its field."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from anyascii import anyascii

from countersign.domain.errors import RuleBroken

# SWIFT's x set, which the payment schemes share: anything else may be refused, or mangled on the way.
_CARRIED: Final = re.compile(r"[A-Za-z0-9/\-?:().,'+ ]")

# ASCII that is outside the set, by what comes closest; the rest becomes a full stop, as the EPC recommends (EPC217-08).
_INSTEAD: Final = {
    "&": "+", '"': "'", "`": "'", ";": ",", "_": "-", "~": "-", "[": "(", "{": "(", "]": ")", "}": ")", "|": "/",
    "\\": "/",
}  # fmt: skip


def latin(text: str, limit: int) -> str:
    """The text in Latin letters, at most ``limit`` characters of them, as a bank's file carries it.

    ``latin("Şəki Muzeyi", 70)`` is ``"Seki Muzeyi"``. Hebrew comes out as its consonants. It is
    for people to read at the bank: the account says who is paid, and the name as it was written stays on our record.

    Raises:
        RuleBroken: ``invalid`` when no letter or digit is left.

    Source: the Latin character set of the EPC's customer-to-bank guidelines (EPC132-08), which is SWIFT's x set.
    """
    told = "".join(_carried(one) for one in anyascii(_without_points(unicodedata.normalize("NFC", text))))
    # A slash at either end, or two in a row, is a field separator to banks that still run on the older messages.
    told = re.sub(r"/{2,}", "/", re.sub(r" {2,}", " ", told))[:limit].strip(" /")
    if not re.search(r"[A-Za-z0-9]", told):
        raise RuleBroken("invalid", "a name for the bank has no letter or digit that can be written in Latin")
    return told


def _without_points(text: str) -> str:
    """Hebrew without its points, which a letter-by-letter transliteration puts in the wrong place."""
    return "".join(
        one for one in text if not ("\u0591" <= one <= "\u05c7" and unicodedata.category(one) == "Mn")
    )


def _carried(one: str) -> str:
    if _CARRIED.match(one):
        return one
    return " " if one.isspace() else _INSTEAD.get(one, ".")
