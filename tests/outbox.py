"""Accounts for tests: people, banks and accounts that there are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.banking.making import iban

COUNTRY = {"il": "IL", "az": "AZ"}


def account(side: str, number: int) -> str:
    """An account that there is not."""
    return iban(COUNTRY[side], f"010999{number:013d}" if side == "il" else f"ZZZZ{number:020d}")


def write_accounts(directory: Path, side: str, reference: str, partners: Sequence[str]) -> Path:
    """A side's own file of accounts, with those of some partners of one initiative."""
    lines = ["[debtor]", f'name = "Directorate {side}"', f'iban = "{account(side, 1)}"']
    for number, partner in enumerate(partners, 2):
        lines += [
            "[[creditor]]",
            f'initiative = "{reference}"',
            f'partner = "{partner}"',
            f'name = "Partner {partner}"',
            f'iban = "{account(side, number)}"',
        ]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{side}.accounts.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
