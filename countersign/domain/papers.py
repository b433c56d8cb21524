"""What is put before the directorates: the documents that the system draws up by itself, and the figures in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from countersign.domain import funding, schedule
from countersign.domain.agreement import MatterKind, Reporting, TranchePlan
from countersign.domain.amendment import Amendment
from countersign.domain.amounts import Amount
from countersign.domain.canonical import content_hash
from countersign.domain.funding import FundingAgreements, PaymentState, Tranche
from countersign.domain.initiative import InitiativeState
from countersign.domain.proposal import ProposalSummary
from countersign.domain.reporting import ReportState
from countersign.domain.stage import Stage

if TYPE_CHECKING:
    from countersign.domain.in_force import Follows


def planned_tranches(state: InitiativeState) -> tuple[Tranche, ...]:
    """The tranches that the agreement's plan makes of what was asked for."""
    return tranches_of(state.proposal, state.terms.tranches, state.terms.reporting)


def tranches_of(proposal: ProposalSummary, plan: TranchePlan, reports: Reporting) -> tuple[Tranche, ...]:
    """The tranches that a plan makes of what a proposal asks for."""
    due = schedule.rows(proposal.duration_months, reports, proposal.milestones)
    return funding.plan(proposal.requested, plan, schedule.releasing(due))


def reconciliation(state: InitiativeState) -> dict[str, list[dict[str, Any]]]:
    """Per side and unit, in minor units: committed, paid, accepted costs, and what of the paid money is unspent."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for side, amounts in state.commitments.items():
        paid = funding.paid(state.tranches, side)
        for amount in amounts:
            accepted = accepted_costs(state, side, amount.unit)
            so_far = paid.get(amount.unit, 0)
            rows.setdefault(side, []).append(
                {
                    "unit": amount.unit,
                    "committed": amount.minor,
                    "paid": so_far,
                    "accepted": accepted,
                    "unspent": max(0, so_far - accepted),
                }
            )
    return rows


def accepted_costs(state: InitiativeState, side: str, unit: str) -> int:
    """What the accepted reports claim for a side, in minor units, without what was disallowed since."""
    accepted = [one for one in state.reports if one.state is ReportState.ACCEPTED]
    claimed = _sum((one for report in accepted for one in report.costs.get(side, ())), unit)
    taken = (one for report in accepted for one in report.disallowed or () if one.directorate == side)
    return claimed - _sum((one.amount for one in taken), unit)


def accepted_of_partner(state: InitiativeState, partner: str, unit: str, number: int | None = None) -> int:
    """The same for one partner, as far as that is known: in one report, or in all of them."""
    accepted = [
        one for one in state.reports if one.state is ReportState.ACCEPTED and number in (None, one.number)
    ]
    claimed = _sum((one for report in accepted for one in (report.by_partner or {}).get(partner, ())), unit)
    taken = (one for report in accepted for one in report.disallowed or () if one.partner == partner)
    return claimed - _sum((one.amount for one in taken), unit)


def _sum(amounts: Iterable[Amount], unit: str) -> int:
    return sum(one.minor for one in amounts if one.unit == unit)


def subject_of(
    state: InitiativeState, kind: MatterKind, drawn_up: FundingAgreements | None = None
) -> tuple[str, str]:
    """What a matter is about, in a word, and the content hash that sign-offs must name.

    ``drawn_up`` are the funding agreements that come with the same step, if not those of the state.
    """
    document = subject_document(state, kind, drawn_up or state.funding_agreements)
    about = {
        MatterKind.CLEARANCE: f"proposal version {state.version}",
        MatterKind.PROPOSAL: f"proposal version {state.version}",
        MatterKind.AGREEMENT: "funding agreements",
        MatterKind.CLOSURE: "closure",
    }[kind]
    return about, state.content_hash if document is None else content_hash(document)


def subject_document(
    state: InitiativeState, kind: MatterKind, drawn_up: FundingAgreements | None
) -> dict[str, Any] | None:
    """The document that an ``agreement`` or ``closure`` matter puts before the directorates, if the kind has its own.

    It goes into the record with the fact that opens the matter, so that whoever signs reads just what the hash covers:
    the texts of the funding agreements, too, which it names by their hashes where they were drawn up.
    """
    if kind is MatterKind.AGREEMENT:
        milestones = state.proposal.milestones
        texts = {side: one.model_dump() for side, one in drawn_up.sides.items()} if drawn_up else None
        return {
            **({"funding_agreements": texts} if texts else {}),
            "document": "funding_agreements",
            "initiative": state.id,
            "reference": state.reference,
            "agreement": {"id": state.terms.agreement, "version": state.terms.version},
            "proposal": {"version": state.version, "content_hash": state.content_hash},
            "commitments": {side: plain(some) for side, some in state.proposal.requested.items()},
            "tranches": [one.model_dump(mode="json", exclude_none=True) for one in planned_tranches(state)],
            "duration_months": state.proposal.duration_months,
            "report_period_months": state.terms.reporting.period_months,
            **({"milestones": [one.model_dump() for one in milestones]} if milestones else {}),
        }
    if kind is MatterKind.CLOSURE:
        return {
            "document": "closure",
            "initiative": state.id,
            "reference": state.reference,
            "reconciliation": reconciliation(state),
            "reports": [one.content_hash for one in state.reports],
        }
    return None


def closure_certificate(state: InitiativeState) -> dict[str, Any]:
    """What remains of a closed initiative on one page: the decisions it rests on, its accounts, and its reports."""
    decided = {
        one.kind.value: {"matter": one.number, "decision": one.decision}
        for one in state.matters
        if one.decision is not None
        and one.kind in (MatterKind.PROPOSAL, MatterKind.AGREEMENT, MatterKind.CLOSURE)
    }
    accounts: dict[str, list[dict[str, Any]]] = {}
    for side, rows in reconciliation(state).items():
        back, given_up = funding.recovered(state.tranches, side), _written_off(state, side)
        accounts[side] = [
            {**row, "recovered": back.get(row["unit"], 0), "written_off": given_up.get(row["unit"], 0)}
            for row in rows
        ]
    return {
        "document": "closure_certificate",
        "initiative": state.id,
        "reference": state.reference,
        "agreement": {"id": state.terms.agreement, "version": state.terms.version},
        "proposal": {"version": state.version, "content_hash": state.content_hash},
        "decisions": decided,
        "accounts": accounts,
        "reports": [
            {"number": one.number, "state": one.state.value, "content_hash": one.content_hash}
            for one in state.reports
        ],
    }


def _written_off(state: InitiativeState, side: str) -> dict[str, int]:
    """What a side has given up of its claims, in minor units per unit."""
    sums: dict[str, int] = {}
    for tranche in state.tranches:
        share = tranche.shares.get(side)
        if share is not None and share.state is PaymentState.WRITTEN_OFF:
            came = [one.amount for one in share.current if share.has_paid(one)]
            for amount in share.amounts:
                sums[amount.unit] = sums.get(amount.unit, 0) + amount.minor - _sum(came, amount.unit)
    return sums


def complaint_document(state: InitiativeState, reasons: str) -> dict[str, Any]:
    """What a complaint puts before the directorates: the refusal or the termination that it is about.

    One about a refusal says nothing of since when: those that are on record keep their hash.
    """
    against = {"stage": state.stage.value if state.stage else None, "reason": state.stage_reason}
    if state.stage is Stage.TERMINATED and state.stage_since is not None:
        against["since"] = state.stage_since.isoformat()
    return {
        "document": "complaint",
        "initiative": state.id,
        "reference": state.reference,
        "proposal": {"version": state.version, "content_hash": state.content_hash},
        "against": against,
        "reasons": reasons,
    }


def amendment_document(state: InitiativeState, amendment: Amendment, brings: Follows) -> dict[str, Any]:
    """What an amendment puts before the directorates: both versions by their hashes, and what the new one brings."""
    summary, agreements, terms = amendment.summary, amendment.funding_agreements, amendment.terms
    return {
        "document": "amendment",
        "number": amendment.number,
        "initiative": state.id,
        "reference": state.reference,
        "agreement": {"id": state.terms.agreement, "version": state.terms.version},
        "replaces": {"version": state.version, "content_hash": amendment.replaces},
        "proposal": {
            "version": state.version + (terms is None),
            "content_hash": amendment.content_hash,
        },
        **(
            {}
            if terms is None
            else {"adopts": {"version": terms.version, "content_hash": terms.content_hash}}
        ),
        "kinds": [one.value for one in amendment.kinds],
        "changed": list(amendment.changed),
        "reasons": amendment.reasons,
        "duration_months": summary.duration_months if summary else None,
        "commitments": {side: plain(some) for side, some in (summary.requested if summary else {}).items()},
        "reports": [one.model_dump(mode="json") for one in brings.reports],
        "tranches": [
            {
                "number": one.number,
                "trigger": one.trigger,
                **({} if one.report is None else {"report": one.report}),
                "amounts": {side: plain(share.amounts) for side, share in one.shares.items()},
            }
            for one in brings.tranches
        ],
        "funding_agreements": {
            side: one.model_dump() for side, one in (agreements.sides if agreements else {}).items()
        },
    }


def resumption_document(state: InitiativeState, reasons: str | None) -> dict[str, Any]:
    """What a resumption puts before the directorates: why it was suspended, and how its reports and money stand since.

    ``reasons`` are those of whoever asks for it; it asks by itself where the late report was accepted, and where a
    complaint about a termination was upheld, which it then names.
    """
    upheld = state.matter(state.complaint or 0)
    return {
        "document": "resumption",
        "initiative": state.id,
        "reference": state.reference,
        "suspended": {
            "since": state.stage_since.isoformat() if state.stage_since else None,
            "reason": state.stage_reason,
            "report": state.suspended_for,
            "until": state.stage_deadline.isoformat() if state.stage_deadline else None,
        },
        **({"complaint": {"matter": upheld.number, "decision": upheld.decision}} if upheld else {}),
        "reasons": reasons,
        "reports": [
            {
                "number": one.number,
                "state": one.state.value,
                "due_at": one.due_at.isoformat(),
                "version": one.version,
                "content_hash": one.content_hash,
            }
            for one in state.reports
        ],
        "reconciliation": reconciliation(state),
    }


def plain(amounts: Iterable[Amount]) -> list[dict[str, Any]]:
    """Amounts as they stand in a document."""
    return [{"minor": one.minor, "unit": one.unit} for one in amounts]
