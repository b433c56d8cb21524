"""The real workflow and the pure rules, side by side under random messages on payments and skips of the clock."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

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


async def seen_in(sequences: int, run: Callable[[int], Awaitable[Counter[str]]]) -> Counter[str]:
    """Run so many sequences, some at a time; what was seen in all of them together.

    Raises:
        BaseExceptionGroup: some came to something else than the rules.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> Counter[str]:
        async with turns:
            try:
                return await run(seed)
            except Exception as error:
                error.add_note(f"sequence {seed}")
                raise

    outcomes = await asyncio.gather(*(one(FIRST + seed) for seed in range(sequences)), return_exceptions=True)
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failed:
        raise BaseExceptionGroup(f"{len(failed)} of {sequences} sequences", failed)
    return sum((one for one in outcomes if isinstance(one, Counter)), Counter())


async def test_random_payments_end_where_the_pure_rules_say_after_every_step(
    services: Services, working: None, database: Database
) -> None:
    agreement = longer_chains(two_sides()[0])
    seen = await seen_in(
        SEQUENCES, lambda seed: PaymentSequence(seed, services.client, database, agreement).run()
    )
    assert SEEN_AMONG_MANY - set(seen) == set(), dict(seen)
