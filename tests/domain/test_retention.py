"""How long what names people is kept, and what is left of a document then."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from countersign.domain import retention
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.domain.facts import Happened, RecordRedacted
from countersign.domain.initiative import entries_for, replay
from countersign.domain.papers import closure_certificate
from countersign.domain.proposal import Proposal
from countersign.domain.retention import REDACTED, Rule
from countersign.domain.stage import Stage
from countersign.runtime.resources import default_agreement
from tests.domain.lives import Life, two_sides
from tests.people import example, minimal_proposal

SHIPPED = default_agreement().read_text(encoding="utf-8")


def with_national(il: int | None, az: int | None) -> ProgrammeAgreement:
    text = SHIPPED
    for before, years in (("retention_years = 7 ", il), ("retention_years = 5", az)):
        assert text.count(before) == 1
        text = text.replace(before, "#" if years is None else f"retention_years = {years} #")
    return read(text)


@pytest.mark.parametrize(
    ("il", "az", "counts"),
    [
        (None, None, Rule(10)),
        (7, 5, Rule(10)),
        (10, None, Rule(10)),
        (None, 11, Rule(11, "az")),
        (30, 25, Rule(30, "il")),
    ],
)
def test_the_longest_of_all_rules_counts(il: int | None, az: int | None, counts: Rule) -> None:
    assert retention.rule(with_national(il, az)) == counts


def test_a_side_without_a_rule_of_its_own_says_nothing_of_it_in_the_agreement() -> None:
    il, az = with_national(7, None).document_form()["directorate"]
    assert (il["retention_years"], "retention_years" in az) == (7, False)


@pytest.mark.parametrize(
    ("ended", "years", "due"),
    [
        (datetime(2027, 5, 1, 9, 30, tzinfo=UTC), 10, datetime(2037, 5, 1, 9, 30, tzinfo=UTC)),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), 10, datetime(2038, 2, 28, 12, tzinfo=UTC)),
        (datetime(2028, 2, 29, 12, tzinfo=UTC), 12, datetime(2040, 2, 29, 12, tzinfo=UTC)),
        (datetime(2027, 12, 31, 23, 59, tzinfo=UTC), 1, datetime(2028, 12, 31, 23, 59, tzinfo=UTC)),
    ],
)
def test_so_many_whole_years_after_the_end_it_is_due(ended: datetime, years: int, due: datetime) -> None:
    assert retention.due_at(ended, years) == due


def people_of(proposal: dict[str, Any]) -> list[dict[str, str]]:
    return [
        person for one in proposal["partners"] for person in (one["contact"], *one.get("participants", ()))
    ]


EXAMPLES = (
    "doctoral-exchange-school",
    "low-resource-language-models",
    "supercomputer-allocation",
    "water-loss-detection",
)


@pytest.mark.parametrize("name", EXAMPLES)
def test_nobody_is_named_in_what_is_left_of_a_proposal_and_all_else_stays(name: str) -> None:
    whole = Proposal.model_validate(example(name)).document_form()
    before = copy.deepcopy(whole)
    left = retention.redacted(whole)
    assert whole == before
    assert people_of(left) == [REDACTED] * len(people_of(whole))
    written = json.dumps(left, ensure_ascii=False)
    assert [one for one in people_of(whole) if one["name"] in written or one["email"] in written] == []
    for one in (*whole["partners"], *left["partners"]):
        del one["contact"], one["participants"]
    assert left == whole


def test_what_is_left_is_still_read_as_a_proposal_under_another_hash() -> None:
    whole = Proposal.model_validate(minimal_proposal())
    left = retention.redacted(whole.document_form())
    assert Proposal.model_validate(left).document_form() == left
    assert Proposal.model_validate(left).content_hash() != whole.content_hash()


def test_redacted_twice_is_redacted_once() -> None:
    left = retention.redacted(example(EXAMPLES[0]))
    assert retention.redacted(left) == left


@pytest.mark.parametrize("body", [{}, {"partners": None}, {"partners": {"a": 1}}, {"partners": ["dugma", 3]}])
def test_a_document_of_another_kind_stays_as_it_is(body: dict[str, Any]) -> None:
    assert retention.redacted(body) == body


def test_papers_that_the_system_draws_up_name_nobody() -> None:
    life = Life(*two_sides()).begin()
    life.reach(Stage.CLOSED)
    for paper in (closure_certificate(life.state), *life.drawn_up.values()):
        assert retention.redacted(paper) == paper
        written = json.dumps(paper, ensure_ascii=False)
        assert [one for one in people_of(minimal_proposal()) if one["name"] in written] == []


def test_a_trail_that_ends_with_a_redaction_is_replayed_to_the_state_before_it() -> None:
    life = Life(*two_sides())
    beginning = life.state
    life.begin()
    life.withdraw()
    before = life.state
    fact = RecordRedacted(documents=(life.state.content_hash,), ended_at=life.now, years=10)
    after, entries = entries_for(before, [Happened(fact, actor="operator")], life.now)
    assert after == before.model_copy(update={"sequence": after.sequence, "head": after.head})
    assert replay(beginning, (*life.entries, *entries)) == after
