"""The real workflow and the pure rules, side by side under random sequences of messages and skips of the clock."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import pytest

from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.domain.lives import two_sides
from tests.workflows.sequences import Sequence, longer_chains

pytestmark = [pytest.mark.services, pytest.mark.slow]

SEQUENCES = int(os.environ.get("COUNTERSIGN_SEQUENCES", "200"))
FIRST = int(os.environ.get("COUNTERSIGN_FIRST_SEQUENCE", "0"))
AT_ONCE = 16

SEEN_AMONG_MANY = {
    *("counted", "not_your_office", "already_signed", "stale_content", "matter_closed", "invalid"),
    *("mandate_exceeded", "mandate_expired", "conflict_of_interest", "idempotency_key_reused", "not_found"),
    *("matter.reminded", "matter.escalated", "matter.lapsed", "matter.deadline_extended"),
    *("matter.position_withdrawn", "matter.sign_off_struck", "matter.decided", "proposal.revised"),
    *("approved", "approved_with_conditions", "returned", "refused", "lapsed", "void"),
}
"""What two hundred sequences come across, or they are not random enough to say anything."""


async def test_random_sequences_end_where_the_pure_rules_say_after_every_step(
    services: Services, working: None, database: Database
) -> None:
    agreement = longer_chains(two_sides()[0])
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> Counter[str]:
        async with turns:
            try:
                return await Sequence(seed, services.client, database, agreement).run()
            except Exception as error:
                error.add_note(f"sequence {seed}: COUNTERSIGN_FIRST_SEQUENCE={seed} COUNTERSIGN_SEQUENCES=1")
                raise

    outcomes = await asyncio.gather(
        *(one(seed) for seed in range(FIRST, FIRST + SEQUENCES)), return_exceptions=True
    )
    failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    if failed:
        raise BaseExceptionGroup(f"{len(failed)} of {SEQUENCES} sequences", failed)
    seen: Counter[str] = sum((one for one in outcomes if isinstance(one, Counter)), Counter())
    if SEQUENCES >= 200:
        assert SEEN_AMONG_MANY - set(seen) == set(), dict(seen)
