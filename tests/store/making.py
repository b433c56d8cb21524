"""Steps to write: a life that the rules carried, cut into what was written at once."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.ids import uuid7
from countersign.domain.projection import Step, step_of
from countersign.domain.proposal import Proposal
from countersign.store import agreements, documents
from countersign.store.session import Database
from tests.domain.lives import Life, two_sides


def new_id() -> str:
    """An id that no other test has."""
    return str(uuid7(datetime.now(UTC), secrets.token_bytes(10)))


def actions(step: Step) -> list[str]:
    """What a step writes into the trail."""
    return [entry.action for entry in step.entries]


class Steps(Life):
    """A life of its own id; ``steps`` are what the workflow would have the record write."""

    def __init__(self, agreement: ProgrammeAgreement | None = None, proposal: Proposal | None = None) -> None:
        usual = two_sides()
        super().__init__(agreement or usual[0], proposal or usual[1])
        identifier = new_id()
        self.state = self.state.model_copy(update={"id": identifier, "reference": f"T-{identifier[-12:]}"})
        self.beginning = self.state
        self.steps: list[Step] = []

    def write(self, happened: list) -> None:  # type: ignore[type-arg]
        """As the rules alone do it, and keep the step."""
        before, known = self.state, len(self.entries)
        super().write(happened)
        if happened:
            self.steps.append(step_of(before, self.state, self.entries[known:]))

    @property
    def sign_off(self) -> Step:
        """The last step in which somebody signed; the sides' keys and what follows come after it."""
        return next(one for one in reversed(self.steps) if "matter.signed" in actions(one))

    async def prepare(self, database: Database) -> None:
        """What stands on record before the first step."""
        async with database.transaction() as connection:
            await self.register(connection)

    async def register(self, connection: AsyncConnection) -> None:
        """The agreement and the proposal."""
        await agreements.register(connection, self.agreement)
        await documents.keep(connection, self.proposal.content_hash(), self.proposal.document_form())
