"""Proposals: what makes one no proposal, what keeps one from being decided, what a new version changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.amounts import Amount
from countersign.domain.matter import Caller
from countersign.domain.proposal import (
    Difference,
    Proposal,
    ProposalSummary,
    contact_key,
    differences,
    faults,
    ineligibilities,
    is_administrative,
    summarise,
)
from tests.domain.lives import two_sides
from tests.people import minimal_proposal

AGREEMENT, PROPOSAL = two_sides()


def changed_fields(before: Any, after: Any) -> list[str]:
    return [one.place for one in differences(before, after)]


def changed(path: str, value: Any) -> Proposal:
    """The small proposal with one thing changed, e.g. ``budget.0.partner``."""
    body: Any = minimal_proposal()
    *way, last = path.split(".")
    place = body
    for part in way:
        place = place[int(part) if isinstance(place, list) else part]
    place[int(last) if isinstance(place, list) else last] = value
    return Proposal.model_validate(body)


def test_the_small_proposal_has_no_faults_and_is_eligible() -> None:
    assert faults(PROPOSAL, AGREEMENT) == []
    assert ineligibilities(PROPOSAL, AGREEMENT) == []


TWICE = [minimal_proposal()["work_packages"][0]] * 2
SAME_ID = [one | {"id": "dugma"} for one in minimal_proposal()["partners"]]
ALL_LEADS = [one | {"role": "lead"} for one in minimal_proposal()["partners"]]


@pytest.mark.parametrize(
    ("path", "value", "place", "rule"),
    [
        ("agreement", "xx-yy", "agreement", "reference"),
        ("area", "alchemy", "area", "reference"),
        ("kind", "party", "kind", "reference"),
        ("partners", ALL_LEADS, "partners", "lead"),
        ("partners.0.role", "partner", "partners", "lead"),
        ("partners.1.directorate", "ge", "partners[1].directorate", "reference"),
        ("work_packages", TWICE, "work_packages", "unique"),
        ("work_packages.0.lead", "nobody", "work_packages[0].lead", "reference"),
        ("work_packages.0.to_month", 19, "work_packages[0]", "months"),
        ("work_packages.0.from_month", 19, "work_packages[0]", "months"),
        ("budget.1.partner", "nobody", "budget[1].partner", "reference"),
        ("budget.1.amount", {"minor": 5, "unit": "ILS"}, "budget[1].amount", "currency"),
        ("budget.0.amount", {"minor": 5, "unit": "GPUh"}, "budget[0].amount", "currency"),
        ("budget.0.category", "compute", "budget[0].amount", "currency"),
        ("title.fr", "Un projet", "title.fr", "language"),
        ("summary.fr", "Il est petit.", "summary.fr", "language"),
    ],
)
def test_a_fault_is_named_with_its_place_and_rule(path: str, value: Any, place: str, rule: str) -> None:
    found = [(one.place, one.rule) for one in faults(changed(path, value), AGREEMENT)]
    assert found == [(place, rule)]


def test_two_partners_with_one_id_are_a_fault() -> None:
    found = {(one.place, one.rule) for one in faults(changed("partners", SAME_ID), AGREEMENT)}
    assert ("partners", "unique") in found


def test_all_faults_come_at_once() -> None:
    body = minimal_proposal(area="alchemy", kind="party", title={"en": "T", "fr": "U"})
    assert [one.place for one in faults(Proposal.model_validate(body), AGREEMENT)] == [
        "area",
        "kind",
        "title.fr",
    ]


ONE_SIDED = minimal_proposal()
ONE_SIDED["partners"] = ONE_SIDED["partners"][:1]
ONE_SIDED["budget"] = ONE_SIDED["budget"][:1]


@pytest.mark.parametrize(
    ("path", "value", "rules"),
    [
        ("declarations.civil_use", False, ["civil_use"]),
        ("documents", [], ["document"] * 3),
        ("documents.2.kind", "another", ["document"]),
        ("budget.0.amount", {"minor": 4_000_000_00, "unit": "ILS"}, []),
        ("budget.0.amount", {"minor": 4_000_000_01, "unit": "ILS"}, ["ceiling"]),
        ("duration_months", 37, ["duration"]),
        ("kind", "research_programme", []),
        ("kind", "knowledge_sharing", []),
    ],
)
def test_an_ineligibility_is_named_with_its_rule(path: str, value: Any, rules: list[str]) -> None:
    assert [one.rule for one in ineligibilities(changed(path, value), AGREEMENT)] == rules


def test_a_consortium_needs_a_partner_on_every_side() -> None:
    found = ineligibilities(Proposal.model_validate(ONE_SIDED), AGREEMENT)
    assert [(one.rule, "'az'" in one.problem) for one in found] == [("consortium", True)]


def test_a_closed_area_takes_no_proposals() -> None:
    areas = tuple(one.model_copy(update={"open": False}) for one in AGREEMENT.area)
    closed = AGREEMENT.model_copy(update={"area": areas})
    assert [one.rule for one in ineligibilities(PROPOSAL, closed)] == ["area_closed"]
    assert faults(PROPOSAL, closed) == []


@pytest.mark.parametrize(("months", "rules"), [(11, ["duration"]), (12, []), (36, []), (37, ["duration"])])
def test_a_kind_has_a_shortest_and_a_longest_duration(months: int, rules: list[str]) -> None:
    proposal = Proposal.model_validate(minimal_proposal(months=months))
    assert [one.rule for one in ineligibilities(proposal, AGREEMENT)] == rules


def test_an_area_that_does_not_fund_compute_says_so() -> None:
    line = minimal_proposal()["budget"][0] | {"category": "compute", "amount": {"minor": 5, "unit": "GPUh"}}
    found = ineligibilities(changed("budget", [*minimal_proposal()["budget"], line]), AGREEMENT)
    assert [(one.rule, one.problem) for one in found] == [
        ("ceiling", "'il' does not fund GPUh in this area"),
    ]


# ---- the summary


def test_what_is_asked_is_summed_per_side_and_unit() -> None:
    lines = minimal_proposal()["budget"]
    summary = summarise(changed("budget", [lines[0], lines[0], lines[1]]))
    assert summary.requested == {"il": (Amount(200_000_02, "ILS"),), "az": (Amount(50_000_03, "AZN"),)}
    assert summary.partners == {"dugma": "il", "numune": "az"}
    assert summary.lead_directorate == "il"


def test_a_budget_that_adds_up_to_more_than_a_record_can_hold_is_a_fault_or_can_be_read_back() -> None:
    """Amounts end at 10**15 minor units; a sum beyond that cannot be read back from a history."""
    lines = minimal_proposal()["budget"]
    large = lines[0] | {"amount": {"minor": 10**15, "unit": "ILS"}}
    proposal = changed("budget", [large, large, lines[1]])
    if not faults(proposal, AGREEMENT):
        summary = summarise(proposal)
        assert ProposalSummary.model_validate_json(summary.model_dump_json()) == summary


def test_everybody_who_takes_part_is_known_by_a_digest_and_never_by_address() -> None:
    person = {"name": "Peloni Almoni", "email": " Peloni@Example.test ".strip()}
    summary = summarise(changed("partners.1.participants", [person]))
    assert contact_key("  PELONI@example.TEST") in summary.people
    assert len(summary.people) == 3
    assert "@" not in summary.model_dump_json()
    assert Caller(person="x", contact=contact_key("peloni@example.test")).contact in summary.people


# ---- what a new version changed

values = st.recursive(
    st.none() | st.integers(0, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


def without_nothing(value: Any) -> Any:
    """A key with null says what a missing one says."""
    if isinstance(value, dict):
        return {key: without_nothing(one) for key, one in value.items() if one is not None}
    return [without_nothing(one) for one in value] if isinstance(value, list) else value


documents = st.dictionaries(st.sampled_from("abc"), values, max_size=3)


@given(documents, documents)
def test_nothing_changed_if_and_only_if_both_say_the_same(before: Any, after: Any) -> None:
    assert (changed_fields(before, after) == []) == (without_nothing(before) == without_nothing(after))
    assert changed_fields(before, before) == []
    assert set(changed_fields(before, after)) == set(changed_fields(after, before))


def test_what_changed_is_named_by_its_path() -> None:
    before = {"title": {"en": "A"}, "budget": [{"minor": 1}, {"minor": 2}], "documents": [1], "kind": "x"}
    after = {
        "title": {"en": "B", "he": "C"},
        "budget": [{"minor": 1}, {"minor": 3}],
        "documents": [],
        "kind": "x",
    }
    assert changed_fields(before, after) == ["title.en", "title.he", "budget[1].minor", "documents"]


def test_the_agreement_of_two_sides_is_the_shipped_one(agreement: ProgrammeAgreement) -> None:
    assert agreement == AGREEMENT


@pytest.mark.parametrize(
    ("place", "before", "after", "administrative"),
    [
        ("partners[0].contact.email", "a@b.example", "c@d.example", True),
        ("partners[3].participants[12].email", "a@b.example", "c@d.example", True),
        ("partners[0].contact.name", "Ploni Almoni", "Ploni Almony", True),
        ("partners[0].contact.name", "Ploni Almoni", "Somebody Else", False),
        ("partners[1].name.en", "Placeholder Institute", "Placeholder Institut", True),
        ("partners[1].name.en", "Placeholder Institute", "Quite Another One", False),
        ("partners[1].name.he", None, "A new language", False),
        ("partners[0].directorate", "il", "az", False),
        ("partners[0].participants", [], [{}], False),
        ("title.en", "A title", "A titel", False),
        ("budget[0].amount.minor", 1, 2, False),
        ("work_packages[0].deliverables[0]", "A report", "A reports", False),
    ],
)
def test_which_edits_are_administrative_is_one_table(
    place: str, before: Any, after: Any, administrative: bool
) -> None:
    assert is_administrative(Difference(place=place, before=before, after=after)) is administrative
