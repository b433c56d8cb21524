"""Looking up mandates: they are a directorate's own, not an initiative's, and can end at any moment."""

from __future__ import annotations

from temporalio import activity

from countersign.domain.commands import MandatesGiven
from countersign.domain.model import Model
from countersign.store import mandates
from countersign.store.session import Database


class MandateQuestion(Model):
    """Which mandates one person gave another."""

    delegator: str
    delegate: str


class Mandates:
    """The activities on mandates, all of them local: what they find is fixed in the history."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="find_mandates")
    async def find_mandates(self, question: MandateQuestion) -> MandatesGiven:
        """Every mandate between the two, revoked and past ones included: the rule says which one reaches."""
        async with self._database.reading() as connection:
            found = await mandates.between(connection, question.delegator, question.delegate)
        return MandatesGiven(mandates=tuple(found))
