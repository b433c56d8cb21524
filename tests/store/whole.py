"""Lives with every document that their trail names, so that the record of them is whole."""

from __future__ import annotations

from typing import Any

from countersign.domain.canonical import content_hash
from countersign.domain.commands import Answer
from countersign.domain.matter import Caller
from countersign.store import documents, record
from countersign.store.session import Database
from tests.store.making import Steps


class Whole(Steps):
    """A life whose proposals and reports are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted: dict[str, dict[str, Any]] = {}
        self._keep()

    def _keep(self) -> None:
        self.submitted[self.proposal.content_hash()] = self.proposal.document_form()

    def revise(self, **changes: Any) -> Answer:
        answer = super().revise(**changes)
        self._keep()
        return answer

    def report(self, number: int, percent: int = 100, caller: Caller | None = None) -> Answer:
        current = self.state.report(number)
        body = {"report": number, "version": current.version if current else 0, "p": percent}
        self.submitted[content_hash(body)] = body
        return super().report(number, percent, caller)

    async def on_record(self, database: Database) -> Whole:
        """Write all of it, the documents first."""
        await self.prepare(database)
        async with database.transaction() as connection:
            for key, body in self.submitted.items():
                await documents.keep(connection, key, body)
        for step in self.steps:
            assert await record.append(database, step) == ()
        return self
