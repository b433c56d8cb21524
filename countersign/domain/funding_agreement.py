"""Funding agreements: one document a side, drawn up from what both sides approved (DESIGN section 2, contracting).

A document is plain JSON data, known by its content hash. It names organisations and no person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Any

from countersign.domain import in_force
from countersign.domain.agreement import Directorate, LegalText, MatterKind, ProgrammeAgreement
from countersign.domain.amendment import Amendment
from countersign.domain.amounts import Amount
from countersign.domain.canonical import content_hash
from countersign.domain.facts import ReportScheduled
from countersign.domain.funding import FundingAgreement, FundingAgreements, Tranche
from countersign.domain.initiative import InitiativeState
from countersign.domain.legal_text import fill
from countersign.domain.model import Model
from countersign.domain.papers import plain, tranches_of
from countersign.domain.proposal import Proposal, ProposalSummary, summarise
from countersign.domain.report_titles import in_language
from countersign.domain.schedule import ReportKind, months_until
from countersign.domain.schedule import rows as scheduled_rows
from countersign.domain.steps import next_edition

Json = dict[str, Any]


class Amended(Model):
    """The amendment that makes an edition: its number, the version it replaces, and all that follows from it."""

    number: int
    replaces: str
    starts_at: datetime
    reports: tuple[ReportScheduled, ...]
    tranches: tuple[Tranche, ...]


class Basis(Model):
    """What funding agreements are drawn up from, as the initiative's state has it.

    ``matter`` and ``decision`` are the number and the content hash of the joint decision on the proposal. ``amended``
    is none for those that are drawn up before the initiative is active.
    """

    initiative: str
    reference: str
    agreement: str
    agreement_version: int
    version: int
    content_hash: str
    edition: int
    drawn_up_on: date
    matter: int | None = None
    decision: str | None = None
    amended: Amended | None = None


def basis(state: InitiativeState, drawn_up_on: date) -> Basis:
    """The basis of the funding agreements that an initiative needs next."""
    decided = state.last_matter(MatterKind.PROPOSAL)
    return Basis(
        initiative=state.id,
        reference=state.reference,
        agreement=state.terms.agreement,
        agreement_version=state.terms.version,
        version=state.version,
        content_hash=state.content_hash,
        edition=next_edition(state),
        drawn_up_on=drawn_up_on,
        matter=decided.number if decided else None,
        decision=decided.decision if decided else None,
    )


def amended_basis(state: InitiativeState, amendment: Amendment, drawn_up_on: date, now: datetime) -> Basis:
    """The basis of the edition that an amendment makes, should it take effect as things stand.

    Raises:
        RuleBroken: ``invalid``, as :func:`in_force.follows`.
    """
    brings = in_force.follows(state, in_force.version_of(state, amendment), amendment.due, now)
    return basis(state, drawn_up_on).model_copy(
        update={
            "version": state.version + (amendment.terms is None),
            "agreement_version": (amendment.terms or state.terms).version,
            "content_hash": amendment.content_hash,
            "amended": Amended(
                number=amendment.number,
                replaces=amendment.replaces,
                starts_at=state.reports[0].starts_at,
                reports=brings.reports,
                tranches=brings.tranches,
            ),
        }
    )


def known_by(drawn_up: Mapping[str, Json], rests_on: Basis) -> FundingAgreements:
    """Every side's document by its number and its content hash, as the initiative's trail has them."""
    return FundingAgreements(
        edition=rests_on.edition,
        version=rests_on.version,
        drawn_up_on=rests_on.drawn_up_on,
        sides={
            side: FundingAgreement(number=document["number"], content_hash=content_hash(document))
            for side, document in drawn_up.items()
        },
    )


def documents(agreement: ProgrammeAgreement, proposal: Proposal, rests_on: Basis) -> dict[str, Json]:
    """Every side's funding agreement; with its legal text in the side's languages where the programme has one."""
    summary = summarise(proposal)
    drawn_up: dict[str, Json] = {}
    for side in agreement.directorate:
        document = _document(agreement, side, proposal, summary, rests_on)
        if agreement.funding_agreement is not None:
            document["text"] = {
                language: _rendered(agreement.funding_agreement, language, agreement, side, document)
                for language in agreement.languages_of(side)
            }
        drawn_up[side.id] = document
    return drawn_up


def _document(
    agreement: ProgrammeAgreement,
    side: Directorate,
    proposal: Proposal,
    summary: ProposalSummary,
    rests_on: Basis,
) -> Json:
    asked = summary.asked or {}
    amended, rows = rests_on.amended, _rows(agreement, proposal, summary, rests_on.amended)
    tranches = (
        tranches_of(summary, agreement.tranches, agreement.reporting) if amended is None else amended.tranches
    )
    return {
        **(
            {} if amended is None else {"amendment": {"number": amended.number, "replaces": amended.replaces}}
        ),
        "document": "funding_agreement",
        "number": f"{rests_on.reference}/{side.id}/{rests_on.edition}",
        "edition": rests_on.edition,
        "drawn_up_on": rests_on.drawn_up_on.isoformat(),
        "initiative": rests_on.initiative,
        "reference": rests_on.reference,
        "title": dict(proposal.title),
        "programme": {"id": agreement.id, "version": agreement.version, "title": dict(agreement.title)},
        "proposal": {"version": rests_on.version, "content_hash": rests_on.content_hash},
        "directorate": {"id": side.id, "name": dict(side.name)},
        "beneficiaries": [
            {"partner": one.id, "name": dict(one.name), "amounts": plain(asked.get(one.id, ()))}
            for one in proposal.partners
            if one.directorate == side.id
        ],
        "amounts": plain(summary.requested.get(side.id, ())),
        "tranches": [
            {
                "number": one.number,
                "trigger": one.trigger,
                **({} if one.report is None else {"report": one.report}),
                "amounts": plain(one.shares[side.id].amounts),
            }
            for one in tranches
            if side.id in one.shares
        ],
        "reports": {
            "period_months": agreement.reporting.period_months,
            "number": len(rows),
            "due_working_days": agreement.deadlines.report,
            "rows": rows,
        },
        "duration_months": proposal.duration_months,
        "approvals": {"matter": rests_on.matter, "decision": rests_on.decision},
    }


def _rows(
    agreement: ProgrammeAgreement, proposal: Proposal, summary: ProposalSummary, amended: Amended | None
) -> list[Json]:
    """The reports that are to come, in months counted from 1; what kind each is, where it isn't the usual one."""
    titles = {one.id: dict(one.title) for one in proposal.milestones}

    def row(number: int, before: int, after: int, kind: ReportKind, milestone: str | None) -> Json:
        return {
            "number": number,
            "from_month": before + 1,
            "to_month": after,
            **({} if kind is ReportKind.BOTH else {"kind": kind.value}),
            **({} if milestone is None else {"milestone": milestone, "title": titles.get(milestone, {})}),
        }

    if amended is None:
        due = scheduled_rows(proposal.duration_months, agreement.reporting, summary.milestones)
        return [row(one.number, one.from_month, one.to_month, one.kind, one.milestone) for one in due]
    return [
        row(
            one.number,
            months_until(amended.starts_at, one.starts_at),
            months_until(amended.starts_at, one.ends_at),
            one.kind,
            one.milestone,
        )
        for one in amended.reports
    ]


def _rendered(
    template: LegalText, language: str, agreement: ProgrammeAgreement, side: Directorate, document: Json
) -> str:
    def told(texts: Mapping[str, str]) -> str:
        return in_language(texts, language, agreement) or ""

    def money(amounts: Iterable[Json]) -> str:
        some = [Amount(one["minor"], one["unit"]) for one in amounts]
        return "; ".join(map(str, some or [Amount(0, side.currency)]))

    def report_line(row: Json) -> str:
        values = {"report": str(row["number"])} | {key: str(row[key]) for key in ("from_month", "to_month")}
        if "milestone" not in row or template.milestone is None:
            return fill(template.report[language], values)
        about = {"milestone": told(row["title"]) or row["milestone"], "month": values["to_month"]}
        return fill(template.milestone[language], values | about)

    lines = {
        "signature": template.tranche.signature,
        "report": template.tranche.report,
        "closure": template.tranche.closure,
    }
    reports = document["reports"]
    values = {
        "amounts": money(document["amounts"]),
        "beneficiaries": "\n".join(
            f"- {told(one['name'])}: {money(one['amounts'])}" for one in document["beneficiaries"]
        ),
        "decision": document["approvals"]["decision"] or "",
        "directorate": told(document["directorate"]["name"]),
        "drawn_up_on": document["drawn_up_on"],
        "due_working_days": str(reports["due_working_days"]),
        "duration_months": str(document["duration_months"]),
        "number": document["number"],
        "period_months": str(reports["period_months"]),
        "programme": told(document["programme"]["title"]),
        "reference": document["reference"],
        "reports": "\n".join(map(report_line, reports["rows"])),
        "title": told(document["title"]),
        "tranches": "\n".join(
            fill(
                lines[one["trigger"]][language],
                {
                    "tranche": str(one["number"]),
                    "report": str(one.get("report", "")),
                    "amounts": money(one["amounts"]),
                },
            )
            for one in document["tranches"]
        ),
    }
    return fill(template.text[language], values)
