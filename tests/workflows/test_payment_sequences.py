"""The real workflow and the pure rules, side by side under random messages on payments and skips of the clock."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.domain.lives import two_sides
from tests.workflows.payment_sequences import PaymentSequence
from tests.workflows.sequences import longer_chains
from tests.workflows.test_sequences import AT_ONCE, FIRST

pytestmark = [pytest.mark.services, pytest.mark.slow]

SEQUENCES = 50

SEEN_AMONG_MANY = {
    *("counted", "four_eyes", "out_of_order", "not_your_office", "not_found", "invalid"),
    *("mandate_exceeded", "mandate_expired"),
    *("tranche.authorised", "tranche.instructed", "tranche.paid", "tranche.settled"),
    *("tranche.held", "tranche.resumed", "tranche.diverged", "payment.booked", "payment.failed"),
}
"""What so many sequences come across, or they are not random enough to say anything."""


async def test_random_payments_end_where_the_pure_rules_say_after_every_step(
    services: Services, working: None, database: Database
) -> None:
    agreement = longer_chains(two_sides()[0])
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> Counter[str]:
        async with turns:
            try:
                return await PaymentSequence(seed, services.client, database, agreement).run()
            except Exception as error:
                error.add_note(f"sequence {seed}")
                raise

    outcomes = await asyncio.gather(*(one(FIRST + seed) for seed in range(SEQUENCES)), return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failed:
        raise BaseExceptionGroup(f"{len(failed)} of {SEQUENCES} sequences", failed)
    seen: Counter[str] = sum((one for one in outcomes if isinstance(one, Counter)), Counter())
    assert SEEN_AMONG_MANY - set(seen) == set(), dict(seen)
