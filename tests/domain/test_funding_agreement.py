"""Funding agreements: what each side's document says, that it is stable, and that nobody can write into its text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from countersign.domain import legal_text
from countersign.domain.agreement import MatterKind, ProgrammeAgreement, TrancheLines
from countersign.domain.amounts import Amount, total
from countersign.domain.canonical import canonical_json, content_hash
from countersign.domain.funding_agreement import Basis, basis, documents, known_by
from countersign.domain.matter import Outcome, Response
from countersign.domain.papers import plain
from countersign.domain.projection import step_of
from countersign.domain.proposal import Proposal, summarise
from countersign.domain.stage import Stage
from countersign.domain.steps import enter, next_edition
from tests.domain.lives import INITIATIVE, Life, three_sides, two_sides
from tests.people import minimal_proposal

SIDES = pytest.mark.parametrize("sides", [two_sides, three_sides])
Sides = Callable[[], tuple[ProgrammeAgreement, Proposal]]
HASH = "sha256:" + "a" * 64


def rests_on(agreement: ProgrammeAgreement, proposal: Proposal, **changes: Any) -> Basis:
    plainly: dict[str, Any] = {
        "initiative": INITIATIVE,
        "reference": "TEST-2027-0001",
        "agreement": agreement.id,
        "agreement_version": agreement.version,
        "version": 1,
        "content_hash": proposal.content_hash(),
        "edition": 1,
        "drawn_up_on": date(2027, 3, 1),
        "matter": 2,
        "decision": HASH,
    }
    return Basis.model_validate(plainly | changes)


def drawn_up(agreement: ProgrammeAgreement, proposal: Proposal, **changes: Any) -> dict[str, Any]:
    return documents(agreement, proposal, rests_on(agreement, proposal, **changes))


def sums(*some: list[dict[str, Any]]) -> list[dict[str, Any]]:
    added = total(Amount(one["minor"], one["unit"]) for amounts in some for one in amounts)
    return plain(amount for _, amount in sorted(added.items()))


# ---- what it says


@SIDES
def test_beneficiaries_and_tranches_each_add_up_to_the_amount_of_their_side(sides: Sides) -> None:
    agreement, proposal = sides()
    found = drawn_up(agreement, proposal)
    assert tuple(found) == agreement.directorate_ids
    for side, document in found.items():
        own = [one for one in proposal.partners if one.directorate == side]
        assert document["amounts"] == plain(summarise(proposal).requested[side])
        assert [one["partner"] for one in document["beneficiaries"]] == [one.id for one in own]
        assert sums(*(one["amounts"] for one in document["beneficiaries"])) == document["amounts"]
        assert sums(*(one["amounts"] for one in document["tranches"])) == document["amounts"]


def test_reports_cover_the_whole_duration_without_a_gap() -> None:
    agreement, _ = two_sides()
    proposal = Proposal.model_validate(minimal_proposal(20))
    reports = drawn_up(agreement, proposal)["il"]["reports"]
    months = [(one["from_month"], one["to_month"]) for one in reports["rows"]]
    assert months == [(1, 6), (7, 12), (13, 18), (19, 20)]
    assert reports["number"] == 4


def test_each_document_is_of_one_side_and_names_what_it_rests_on() -> None:
    agreement, proposal = two_sides()
    found = drawn_up(agreement, proposal, edition=3)
    assert found["az"]["number"] == "TEST-2027-0001/az/3"
    assert found["az"]["approvals"] == {"matter": 2, "decision": HASH}
    assert found["az"]["proposal"] == {"version": 1, "content_hash": proposal.content_hash()}
    assert found["az"]["programme"]["version"] == agreement.version
    assert "Dugma" not in canonical_json(found["az"]).decode()
    assert set(found["il"]["text"]) == {"he", "en"}
    assert set(found["az"]["text"]) == {"az", "en"}


@SIDES
def test_no_person_is_in_a_funding_agreement(sides: Sides) -> None:
    agreement, proposal = sides()
    written = canonical_json(drawn_up(agreement, proposal)).decode()
    people = [one for partner in proposal.partners for one in (partner.contact, *partner.participants)]
    assert people
    assert [one for one in people if one.name in written or one.email in written] == []


def test_the_text_says_the_amounts_the_tranches_and_the_reports_of_its_side() -> None:
    text = drawn_up(*two_sides())["il"]["text"]
    for language in ("en", "he"):
        for part in ("TEST-2027-0001/il/1", "2027-03-01", "100,000.01 ILS", "40,000.01 ILS", HASH):
            assert part in text[language]
        assert "AZN" not in text[language]
        assert "{" not in text[language]
    assert "- Report 3: months 13 to 18\n" in text["en"]
    assert "National AI Directorate of Israel" in text["en"]
    assert "המטה הלאומי לבינה מלאכותית, ישראל" in text["he"]


def test_what_an_applicant_did_not_translate_stands_in_a_language_that_there_is() -> None:
    text = drawn_up(*two_sides())
    assert "Kiçik layihə" in text["az"]["text"]["az"]
    assert "A small project" in text["il"]["text"]["he"]


def test_a_side_that_is_asked_for_nothing_has_an_agreement_over_nothing() -> None:
    agreement, _ = two_sides()
    budget = minimal_proposal()["budget"][:1]
    document = drawn_up(agreement, Proposal.model_validate(minimal_proposal(budget=budget)))["az"]
    assert (document["amounts"], document["tranches"]) == ([], [])
    assert "0.00 AZN" in document["text"]["az"]


def test_a_programme_without_a_template_has_the_document_without_a_text() -> None:
    agreement, proposal = two_sides()
    without = agreement.model_copy(update={"funding_agreement": None})
    found, bare = drawn_up(agreement, proposal), drawn_up(without, proposal)
    for side in ("il", "az"):
        assert "text" not in bare[side]
        assert bare[side] == {key: value for key, value in found[side].items() if key != "text"}


def test_the_same_basis_gives_the_same_hash_and_another_one_another() -> None:
    agreement, proposal = two_sides()
    known = known_by(drawn_up(agreement, proposal), rests_on(agreement, proposal))
    again = known_by(drawn_up(*two_sides()), rests_on(agreement, proposal))
    assert known == again
    for changes in ({"edition": 2}, {"drawn_up_on": date(2027, 3, 2)}, {"decision": None}, {"version": 2}):
        other = drawn_up(agreement, proposal, **changes)
        assert content_hash(other["il"]) != known.sides["il"].content_hash


# ---- nobody writes into it


@pytest.mark.parametrize("name", ["{number}", "{amounts} {{decision}}", "{0.__class__}", "}{", "%(number)s"])
def test_braces_in_what_an_applicant_wrote_are_printed_as_they_stand(name: str) -> None:
    agreement, _ = two_sides()
    body = minimal_proposal(title={"en": f"A {name} project"})
    body["partners"][0]["name"]["en"] = f"Dugma {name} Institute"
    text = drawn_up(agreement, Proposal.model_validate(body))["il"]["text"]["en"]
    assert f"- Dugma {name} Institute: 100,000.01 ILS\n" in text
    assert f": A {name} project\n" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("One {number}.\nAnd {nummer}.", "{nummer} in line 2 of the text is no placeholder; there are {amounts},"),
        ("{number.__class__}", "{number.__class__} in line 1"),
        ("{}", "{} in line 1"),
        ("{ number }", "{ number } in line 1"),
        ("fine\n\n{number", "a brace in line 3 of the text has no other one to it"),
        ("number}", "a brace in line 1"),
        ("{{number}}", "a brace in line 1"),
        ("{number\n}", "a brace in line 2"),
    ],
)  # fmt: skip
def test_a_placeholder_that_means_nothing_and_a_brace_alone_are_told_with_their_line(
    text: str, says: str
) -> None:
    found = list(legal_text.problems(text, legal_text.PLACES))
    assert [one for one in found if one.startswith(says)], found


def test_every_placeholder_that_a_text_may_have_is_filled_in() -> None:
    agreement, proposal = two_sides()
    template = agreement.funding_agreement
    assert template is not None
    everything = "\n".join(f"{one}={{{one}}}" for one in sorted(legal_text.PLACES))
    assert list(legal_text.problems(everything, legal_text.PLACES)) == []
    lines = {
        trigger: {"en": "/".join(f"{{{one}}}" for one in sorted(known))}
        for trigger, known in legal_text.IN_TRANCHE_LINE.items()
    }
    assert set(lines) == set(TrancheLines.model_fields)
    changed = template.model_copy(
        update={
            "text": template.text | {"en": everything},
            "tranche": template.tranche.model_copy(update=lines),
            "report": {"en": "/".join(f"{{{one}}}" for one in sorted(legal_text.IN_REPORT_LINE))},
        }
    )
    agreement = agreement.model_copy(update={"funding_agreement": changed, "languages": ("en",)})
    sides = tuple(one.model_copy(update={"languages": ("en",)}) for one in agreement.directorate)
    text = drawn_up(agreement.model_copy(update={"directorate": sides}), proposal)["il"]["text"]["en"]
    assert "{" not in text
    assert "\n25,000.00 ILS/1/2\n" in text
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert set(told) == legal_text.PLACES
    assert all(told.values())
    assert (told["tranches"], told["reports"]) == ("40,000.01 ILS/1", "1/1/6")


# ---- in the life of an initiative


def subject_of_agreement(life: Life) -> dict[str, Any]:
    """What was put before every side last for the agreements, as the record has it."""
    opened = life.state.last_matter(MatterKind.AGREEMENT)
    assert opened is not None
    place = next(
        i for i, one in enumerate(life.entries) if one.action == "matter.opened" and one.body["number"] == opened.number
    )  # fmt: skip
    step = step_of(life.state, life.state, life.entries[place : place + 1])
    ((content, document),) = step.documents.items()
    assert content == opened.content_hash == content_hash(document)
    return document


@SIDES
def test_what_is_signed_names_the_number_and_the_hash_of_every_sides_agreement(sides: Sides) -> None:
    life = Life(*sides()).begin().reach(Stage.CONTRACTING)
    named = subject_of_agreement(life)["funding_agreements"]
    assert set(named) == set(life.sides)
    for side, document in life.drawn_up.items():
        assert named[side] == {"number": document["number"], "content_hash": content_hash(document)}
    drawn = [one for one in life.entries if one.action == "agreement.drawn_up"]
    assert [(one.body["edition"], one.subject) for one in drawn] == [(1, life.proposal.content_hash())]


def test_agreements_that_are_returned_are_put_before_the_sides_anew_as_they_are() -> None:
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    first = subject_of_agreement(life)
    life.all_sign(Response.RETURN)
    assert life.open_matter() is not None
    assert subject_of_agreement(life) == first


def back_to_decision(life: Life) -> None:
    """An approval runs out, as the workflow's clock has it."""
    life.write(
        enter(life.state, Stage.CONTRACTING, Stage.DECISION, reason="it ran out", deadlines=life.deadlines())
    )


def test_each_time_contracting_is_entered_there_is_another_edition() -> None:
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    first = subject_of_agreement(life)["funding_agreements"]
    back_to_decision(life)
    life.reach(Stage.CONTRACTING)
    second = subject_of_agreement(life)["funding_agreements"]
    assert second["il"]["number"] == "TEST-2027-0001/il/2"
    assert first["il"]["content_hash"] != second["il"]["content_hash"]
    assert life.state.funding_agreements is not None
    assert life.state.funding_agreements.edition == 2


@pytest.mark.parametrize("changes", [{"version": 2}, {"edition": 2}])
def test_agreements_drawn_up_from_another_version_open_nothing(changes: dict[str, int]) -> None:
    life = Life(*two_sides()).begin().reach(Stage.DECISION)
    on = basis(life.state, life.now.date())
    drawn = known_by(documents(life.agreement, life.proposal, on), on)
    stale = drawn.model_copy(update=changes)
    go = (life.state, Stage.DECISION, Stage.CONTRACTING)
    assert enter(*go, deadlines=life.deadlines(), drawn_up=stale) == []
    assert enter(*go, deadlines=life.deadlines(), drawn_up=drawn) != []


def test_where_none_were_drawn_up_the_matter_names_none() -> None:
    """As in trails from before there were any."""
    life = Life(*two_sides()).begin().reach(Stage.DECISION)
    life.write(enter(life.state, Stage.DECISION, Stage.CONTRACTING, deadlines=life.deadlines()))
    assert "funding_agreements" not in subject_of_agreement(life)
    assert next_edition(life.state) == 1
    life.all_sign()
    matter = life.state.last_matter(MatterKind.AGREEMENT)
    assert matter is not None
    assert matter.outcome is Outcome.APPROVED
