"""Who pays and who is paid: a name, an account, and the bank that keeps it."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, StringConstraints, model_validator

from countersign.domain.model import Model
from countersign.domain.text import Line


def _together(value: object) -> object:
    """An IBAN as machines write it; people write it in groups of four."""
    return re.sub(r"[ \t]", "", value).upper() if isinstance(value, str) else value


def _checked(iban: str) -> str:
    # ISO 13616: the first four characters go behind the others, letters count from A = 10, and modulo 97 leaves 1.
    # How long an IBAN of a country is, and what its inner digits mean, is its banks' to check.
    if int("".join(str(int(one, 36)) for one in iban[4:] + iban[:4])) % 97 != 1:
        raise ValueError("the check digits of the IBAN do not fit")
    return iban


Iban = Annotated[
    str,
    BeforeValidator(_together),
    StringConstraints(pattern=r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30}$", max_length=34),
    AfterValidator(_checked),
]
"""An IBAN whose check digits fit (ISO 13616), without blanks."""

Bic = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?$")]
"""The code of a bank (ISO 9362)."""

LocalNumber = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9](?:[A-Za-z0-9 ./\-]{0,32}[A-Za-z0-9])?$")
]
"""The number of an account or a bank where there is no IBAN or BIC; at most 34 characters."""


class Account(Model):
    """An account: by its IBAN, or by the number that its bank knows it by."""

    iban: Iban | None = None
    other: LocalNumber | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.iban is None) == (self.other is None):
            raise ValueError("an account has an IBAN or another number, and not both")
        return self


class Agent(Model):
    """A bank: by its BIC, or by the number that its country's banks know it by."""

    bic: Bic | None = None
    other: LocalNumber | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.bic is None) == (self.other is None):
            raise ValueError("a bank has a BIC or another number, and not both")
        return self


class Party(Model):
    """Who pays or is paid. Without ``agent`` the IBAN says which bank it is."""

    name: Line
    account: Account
    agent: Agent | None = None
