"""What the tests of workflows share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from countersign.domain.proposal import Proposal
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.people import minimal_proposal
from tests.workflows.carrying import Carried, in_force


@pytest.fixture
def initiative(services: Services, working: None, database: Database) -> Callable[[int], Carried]:
    """A new initiative of so many months, still to begin."""
    agreement = in_force(services.settings())

    def made(months: int = 12) -> Carried:
        proposal = Proposal.model_validate(minimal_proposal(months))
        return Carried(services.client, database, agreement, proposal)

    return made
