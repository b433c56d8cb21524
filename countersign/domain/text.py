"""Text that people write: no control characters, which PostgreSQL and terminals take amiss."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, StringConstraints

# C0 and C1 controls but tab, line feed and carriage return; and the marks that turn the direction of what follows.
_UNWANTED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text as it is.

    Raises:
        ValueError: when it holds a control character or a direction override.
    """
    if _UNWANTED.search(text):
        raise ValueError("control characters and direction overrides are not text")
    return text


def _one_line(text: str) -> str:
    if re.search(r"[\t\r\n\u2028\u2029]", text):
        raise ValueError("one line only")
    return clean(text)


Line = Annotated[
    str, StringConstraints(min_length=1, max_length=300, strip_whitespace=True), AfterValidator(_one_line)
]
Prose = Annotated[
    str, StringConstraints(min_length=1, max_length=20_000, strip_whitespace=True), AfterValidator(clean)
]
Reasons = Annotated[
    str, StringConstraints(min_length=1, max_length=4_000, strip_whitespace=True), AfterValidator(clean)
]
Note = Annotated[
    str, StringConstraints(min_length=1, max_length=1_000, strip_whitespace=True), AfterValidator(clean)
]
"""A condition, or evidence for one: it travels with the initiative for life, so it is short."""

MOST_TOLD: Final = 20
"""Places, and faults, that go into a trail or a history: the documents that have all of them are on record."""


def first_of(texts: Sequence[str]) -> tuple[str, ...]:
    """As many as are told, and how many more there are."""
    more = len(texts) - MOST_TOLD
    return (*texts[:MOST_TOLD], *((f"and {more} more",) if more > 0 else ()))
