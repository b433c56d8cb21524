"""The shipped examples are proposals and reports that the shipped agreement takes as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from countersign.domain import proposal as proposals
from countersign.domain import schedule
from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.domain.funding import plan
from countersign.domain.proposal import Proposal, summarise
from countersign.domain.reporting import Against, Report, costs_per_side, report_faults
from countersign.runtime.embedded import identity

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.json"))
REPORTS = sorted((ROOT / "examples" / "reports").glob("*.json"))
each_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
each_report = pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def agreement() -> ProgrammeAgreement:
    return read((ROOT / "agreements" / "il-az-ai.toml").read_text(encoding="utf-8"))


def proposal_of(path: Path) -> Proposal:
    return Proposal.model_validate_json(path.read_text(encoding="utf-8"))


def reports_of(proposal: Proposal, agreement: ProgrammeAgreement) -> tuple[schedule.Row, ...]:
    return schedule.rows(proposal.duration_months, agreement.reporting, summarise(proposal).milestones)


@each_example
def test_an_example_has_no_faults_and_is_eligible(path: Path, agreement: ProgrammeAgreement) -> None:
    proposal = proposal_of(path)
    assert proposals.faults(proposal, agreement) == []
    assert proposals.ineligibilities(proposal, agreement) == []


@each_example
def test_an_example_has_partners_work_and_money_on_every_side(
    path: Path, agreement: ProgrammeAgreement
) -> None:
    proposal = proposal_of(path)
    assert 18 <= proposal.duration_months <= 36
    assert 4 <= len(proposal.work_packages) <= 7
    side = {one.id: one.directorate for one in proposal.partners}
    assert {side[one.lead] for one in proposal.work_packages} == set(agreement.directorate_ids)
    assert {one.to_month for one in proposal.work_packages} >= {proposal.duration_months}
    assert {line.partner for line in proposal.budget} == set(side)
    assert len(proposal.title) >= 2
    assert set(proposal.title) == set(proposal.summary)


@each_example
def test_an_example_needs_the_largest_remainder_and_its_tranches_lose_nothing(
    path: Path, agreement: ProgrammeAgreement
) -> None:
    proposal = proposal_of(path)
    requested = summarise(proposal).requested
    tranches = plan(requested, agreement.tranches, schedule.releasing(reports_of(proposal, agreement)))
    for side, amounts in requested.items():
        for amount in amounts:
            shares = [a.minor for t in tranches for a in t.shares[side].amounts if a.unit == amount.unit]
            assert sum(shares) == amount.minor
            assert amount.minor * agreement.tranches.on_signature % 100, f"{amount} divides evenly"


@each_example
def test_the_lead_of_an_example_can_sign_in_to_the_embedded_default(path: Path) -> None:
    lead = proposal_of(path).lead
    assert lead is not None
    known = {one.name: one for one in identity.people()}
    handle = lead.contact.email.partition("@")[0]
    assert known[handle].issuer == "applicants"
    assert known[handle].side == lead.directorate
    assert known[handle].full_name == lead.contact.name
    assert lead.contact.email == f"{handle}@applicants.countersign.example"


def test_the_examples_cover_the_programme(agreement: ProgrammeAgreement) -> None:
    some = [proposal_of(path) for path in EXAMPLES]
    assert {one.area for one in some} == {one.id for one in agreement.area}
    assert {one.kind for one in some} == {one.id for one in agreement.kind}
    assert {summarise(one).lead_directorate for one in some} == set(agreement.directorate_ids)
    assert {language for one in some for language in one.title} == set(agreement.languages)
    assert {a.unit for one in some for side in summarise(one).requested.values() for a in side} == {
        "ILS", "AZN", "GPUh",
    }  # fmt: skip


@pytest.mark.parametrize("path", [*EXAMPLES, *REPORTS], ids=lambda path: path.stem)
def test_every_address_in_an_example_is_one_that_cannot_exist(path: Path) -> None:
    addresses = re.findall(r'"[^"\s]+@([^"\s]+)"', path.read_text(encoding="utf-8"))
    assert [one for one in addresses if not one.endswith(".example")] == []


@each_report
def test_an_example_report_fits_the_proposal_it_is_named_after(
    path: Path, agreement: ProgrammeAgreement
) -> None:
    report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    name, _, number = path.stem.rpartition("-")
    proposal = proposal_of(ROOT / "examples" / f"{name}.json")
    summary = summarise(proposal)
    assert 1 <= int(number) <= len(reports_of(proposal, agreement))
    against = Against(
        summary=summary,
        currencies={one.id: one.currency for one in agreement.directorate},
        work_packages={one.number: one.deliverables for one in proposal.work_packages},
    )
    assert report_faults(report, against) == []
    promised = {deliverable for package in proposal.work_packages for deliverable in package.deliverables}
    assert all(any(one.startswith(done) for one in promised) for done in report.deliverables)
    for side, costs in costs_per_side(report, summary).items():
        asked = {amount.unit: amount for amount in summary.requested[side]}
        assert costs
        assert all(cost <= asked[cost.unit] for cost in costs)


def test_the_three_sided_proposal_of_the_tests_is_eligible_under_its_agreement() -> None:
    folder = ROOT / "tests" / "agreements"
    agreement = read((folder / "three-sides.toml").read_text(encoding="utf-8"))
    proposal = proposal_of(folder / "three-sides-proposal.json")
    assert proposals.faults(proposal, agreement) == []
    assert proposals.ineligibilities(proposal, agreement) == []
    assert set(summarise(proposal).requested) == {"il", "az", "ge"}
