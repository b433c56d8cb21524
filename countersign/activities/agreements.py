"""Drawing up the funding agreements: what the workflow can't do, since the texts are in the record and not in it."""

from __future__ import annotations

from pydantic import ValidationError
from temporalio import activity
from temporalio.exceptions import ApplicationError

from countersign.domain.funding import FundingAgreements
from countersign.domain.funding_agreement import Basis, documents, known_by
from countersign.domain.proposal import Proposal
from countersign.store import agreements
from countersign.store import documents as kept
from countersign.store.record import put_documents
from countersign.store.session import Database


class Agreements:
    """The funding agreements of initiatives, as documents on record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name="draw_up_funding_agreements")
    async def draw_up(self, basis: Basis) -> FundingAgreements:
        """Draw up every side's agreement and keep it under its hash; the same basis again changes nothing.

        Raises:
            ApplicationError: ``not_found``, while the programme's agreement or the proposal is not on record.
        """
        async with self._database.reading() as connection:
            programme = await agreements.find(connection, basis.agreement, basis.agreement_version)
            body = await kept.find(connection, basis.content_hash)
        try:
            proposal = Proposal.model_validate(body)
        except ValidationError as error:
            problem = f"no proposal under that hash: {error.error_count()}"
            raise ApplicationError(problem, type="not_found") from None
        if programme is None:
            raise ApplicationError("no such agreement on record", type="not_found")
        drawn_up = documents(programme, proposal, basis)
        known = known_by(drawn_up, basis)
        async with self._database.transaction() as connection:
            rows = {known.sides[side].content_hash: document for side, document in drawn_up.items()}
            await put_documents(connection, rows)
        return known
