"""The real workflow and the pure rules, side by side under random messages on what one side has ended."""

from __future__ import annotations

import pytest

from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.domain.lives import two_sides
from tests.workflows.ending_sequences import EndingSequence
from tests.workflows.test_payment_sequences import seen_in

pytestmark = [pytest.mark.services, pytest.mark.slow]

SEQUENCES = 50

SEEN_AMONG_MANY = {
    *("counted", "forbidden", "stage_closed", "out_of_order"),
    *("initiative.terminated", "complaint.window_opened", "complaint.lodged", "initiative.reinstated"),
    *("matter.voided", "report.cut_short", "report.submitted", "report.accepted"),
    *("tranche.claimed", "tranche.recovered", "commitment.released"),
}
"""What so many sequences come across, or they are not random enough to say anything."""


async def test_random_ends_are_where_the_pure_rules_say_after_every_step(
    services: Services, working: None, database: Database
) -> None:
    agreement, _ = two_sides()
    seen = await seen_in(
        SEQUENCES, lambda seed: EndingSequence(seed, services.client, database, agreement).run()
    )
    assert SEEN_AMONG_MANY - set(seen) == set(), dict(seen)
