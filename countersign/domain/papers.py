"""What is put before the directorates: the documents that the system draws up by itself, and the figures in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from countersign.domain import funding
from countersign.domain.agreement import MatterKind
from countersign.domain.amounts import Amount
from countersign.domain.canonical import content_hash
from countersign.domain.funding import Tranche
from countersign.domain.initiative import InitiativeState
from countersign.domain.reporting import ReportState


def planned_tranches(state: InitiativeState) -> tuple[Tranche, ...]:
    """The tranches that the agreement's plan makes of what was asked for."""
    months, period = state.proposal.duration_months, state.terms.reporting.period_months
    interim = -(-months // period) - 1
    return funding.plan(state.proposal.requested, state.terms.tranches, interim)


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
    """What the accepted reports claim for a side, in minor units."""
    return sum(
        cost.minor
        for report in state.reports
        if report.state is ReportState.ACCEPTED
        for cost in report.costs.get(side, ())
        if cost.unit == unit
    )


def subject_of(state: InitiativeState, kind: MatterKind) -> tuple[str, str]:
    """What a matter is about, in a word, and the content hash that sign-offs must name."""
    document = subject_document(state, kind)
    about = {
        MatterKind.CLEARANCE: f"proposal version {state.version}",
        MatterKind.PROPOSAL: f"proposal version {state.version}",
        MatterKind.AGREEMENT: "funding agreements",
        MatterKind.CLOSURE: "closure",
    }[kind]
    return about, state.content_hash if document is None else content_hash(document)


def subject_document(state: InitiativeState, kind: MatterKind) -> dict[str, Any] | None:
    """The document that an ``agreement`` or ``closure`` matter puts before the directorates, if the kind has its own.

    It goes into the record with the fact that opens the matter, so that whoever signs reads just what the hash covers.
    """
    if kind is MatterKind.AGREEMENT:
        return {
            "document": "funding_agreements",
            "initiative": state.id,
            "reference": state.reference,
            "agreement": {"id": state.terms.agreement, "version": state.terms.version},
            "proposal": {"version": state.version, "content_hash": state.content_hash},
            "commitments": _plain(state.proposal.requested),
            "tranches": [one.model_dump(mode="json", exclude_none=True) for one in planned_tranches(state)],
            "duration_months": state.proposal.duration_months,
            "report_period_months": state.terms.reporting.period_months,
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


def complaint_document(state: InitiativeState, reasons: str) -> dict[str, Any]:
    """What a complaint puts before the directorates."""
    return {
        "document": "complaint",
        "initiative": state.id,
        "reference": state.reference,
        "proposal": {"version": state.version, "content_hash": state.content_hash},
        "against": {"stage": state.stage.value if state.stage else None, "reason": state.stage_reason},
        "reasons": reasons,
    }


def _plain(amounts: Mapping[str, tuple[Amount, ...]]) -> dict[str, list[dict[str, Any]]]:
    return {side: [{"minor": a.minor, "unit": a.unit} for a in some] for side, some in amounts.items()}
