"""The accounts that a side pays from and to: its own file, on its own worker's machine, and nowhere else."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import ConfigDict, Field, ValidationError, model_validator
from temporalio.exceptions import ApplicationError

from countersign.banking.parties import Account, Agent, Bic, Iban, LocalNumber, Party
from countersign.domain.agreement import Identifier
from countersign.domain.model import Model
from countersign.domain.text import Line


class _Named(Model):
    """A name with its account: ``iban``, or ``number`` where there is none; its bank by ``bic`` or ``bank``."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: Line
    iban: Iban | None = None
    number: LocalNumber | None = None
    bic: Bic | None = None
    bank: LocalNumber | None = None

    @property
    def party(self) -> Party:
        agent = Agent(bic=self.bic, other=self.bank) if self.bic or self.bank else None
        return Party(name=self.name, account=Account(iban=self.iban, other=self.number), agent=agent)

    @model_validator(mode="after")
    def _is_party(self) -> Self:
        if (self.iban is None) == (self.number is None):
            raise ValueError("an account has an iban or a number, and not both")
        if self.bic is not None and self.bank is not None:
            raise ValueError("a bank has a bic or a number, and not both")
        return self


class _Creditor(_Named):
    """Who is paid in one initiative, by its reference: a partner's id, which an applicant chose, says nothing alone."""

    initiative: Annotated[str, Field(min_length=1, max_length=40)]
    partner: Identifier | None = None


class Accounts(Model):
    """What ``<directorate>.accounts.toml`` holds: one ``[debtor]``, and a ``[[creditor]]`` for each partner."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    debtor: _Named
    creditor: tuple[_Creditor, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        keys = [(one.initiative, one.partner) for one in self.creditor]
        if len(set(keys)) != len(keys):
            raise ValueError("a partner of an initiative is there more than once")
        return self

    def payee(self, reference: str, partner: str | None) -> Party:
        """The account of a partner in an initiative.

        Raises:
            ApplicationError: it is not there.
        """
        for one in self.creditor:
            if (one.initiative, one.partner) == (reference, partner):
                return one.party
        raise ApplicationError(
            f"the account of partner {partner!r} of {reference} is missing", type="account_missing"
        )


def accounts_of(directory: Path | None, directorate: str) -> Accounts:
    """A side's accounts; read for each order, so that what is missing can be added without a restart.

    Raises:
        ApplicationError: they can't be read. What is said of it tells places in the file, never an account.
    """
    if directory is None:
        raise ApplicationError(
            f"this worker has no accounts, so none of {directorate!r}", type="account_missing"
        )
    path = directory / f"{directorate}.accounts.toml"
    try:
        return Accounts.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:5])
        raise ApplicationError(
            f"{path.name} is not as it should be: {told}", type="account_missing"
        ) from None
    except (OSError, ValueError) as error:
        raise ApplicationError(
            f"{path.name} cannot be read: {type(error).__name__}", type="account_missing"
        ) from None
