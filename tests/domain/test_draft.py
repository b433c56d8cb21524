"""A step drawn up without its signature, and completed where the key is."""

from __future__ import annotations

import json
from typing import Any

from countersign.domain import audit, draft, steps
from countersign.domain.audit import AuditEntry
from countersign.domain.facts import Happened
from countersign.domain.initiative import InitiativeState, entries_for, replay
from countersign.domain.projection import step_of
from countersign.domain.stage import Stage
from tests.domain.lives import Life, two_sides

JWS = "eyJhbGciOiJFZDI1NTE5In0.e30.c2lnbmF0dXJl"


class Signed(Life):
    """A life that keeps the state before each signature, and what the rules make of it by any signature."""

    def __init__(self) -> None:
        super().__init__(*two_sides())
        self.before: list[tuple[InitiativeState, int, str]] = []

    def write(self, happened: list[Happened]) -> None:
        """As the rules alone do it."""
        super().write(happened)
        self.before += [
            (self.state, one.number, side)
            for one in self.state.matters
            if one.is_open
            for side in one.unsigned
        ]

    def step(
        self, state: InitiativeState, number: int, side: str, jws: str
    ) -> tuple[InitiativeState, dict[str, Any]]:
        """The step by which a side's position is countersigned."""
        matter = state.matter(number)
        assert matter is not None
        happened = steps.countersigned(state, number, matter.positions[side], matter.content_hash, jws)
        after, entries = entries_for(state, happened, self.now)
        return after, json.loads(step_of(state, after, entries).model_dump_json())


def carried() -> Signed:
    life = Signed()
    life.begin()
    life.all_sign()
    life.reach(Stage.ACTIVE)
    for _ in range(8):
        life.go_on()
    return life


def test_a_completed_draft_is_the_step_that_the_rules_make_with_the_signature() -> None:
    life = carried()
    assert len(life.before) >= 6
    decided = 0
    for state, number, side in life.before:
        after, wanted = life.step(state, number, side, JWS)
        _, drawn_up = life.step(state, number, side, draft.PENDING)
        assert drawn_up != wanted
        signed = draft.completed(drawn_up, JWS)
        assert drawn_up == wanted
        entries = [AuditEntry.model_validate(one) for one in signed]
        assert replay(state, entries) == after
        decided += any(one.action == "matter.decided" for one in entries)
    assert decided >= 3  # some of them were the last of their matter, with a joint decision to sign over


def test_the_entries_before_the_signature_stay_and_those_after_it_continue_them() -> None:
    life = carried()
    state, number, side = life.before[-1]
    after, first = entries_for(state, [steps.void_open(state, "before")[0]], life.now)
    del after
    _, drawn_up = life.step(state, number, side, draft.PENDING)
    for entry in drawn_up["entries"]:
        entry["sequence"] += 1
    drawn_up["entries"].insert(0, first[0].model_dump())
    drawn_up["entries"][1]["previous"] = first[0].hash
    signed = draft.completed(drawn_up, JWS)
    assert drawn_up["entries"][0] == first[0].model_dump()
    entries = [AuditEntry.model_validate(one) for one in signed]
    assert audit.chain_faults(entries, after=first[0]) == []
    assert entries[0].body["jws"] == JWS
