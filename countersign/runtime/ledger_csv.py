"""The ledger as CSV: one row an entry of a transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from countersign.domain.amounts import decimal
from countersign.domain.audit import rfc3339
from countersign.domain.ledger import Transaction

COLUMNS: Final = (
    *("initiative", "sequence", "number", "at", "directorate", "code", "account", "unit", "minor", "amount"),
)
"""``initiative`` is its reference; ``minor`` and ``amount`` are the same in minor units and in whole ones."""


def rows(reference: str, transaction: Transaction) -> Iterator[tuple[Any, ...]]:
    """The rows of a transaction."""
    one = transaction
    for entry in one.entries:
        yield (
            *(reference, one.sequence, one.number, rfc3339(one.at), one.directorate, one.code),
            *(entry.account.value, one.unit, entry.minor, decimal(entry.minor, one.unit)),
        )
