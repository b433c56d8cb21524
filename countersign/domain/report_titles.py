"""What reports are called, in every language of the programme: filled in from its agreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from countersign.domain.agreement import ProgrammeAgreement
from countersign.domain.legal_text import fill
from countersign.domain.reporting import ReportDue
from countersign.domain.schedule import months_until

Titles = dict[str, str]


def titles(
    agreement: ProgrammeAgreement,
    reports: Sequence[ReportDue],
    milestones: Mapping[str, Mapping[str, str]],
) -> dict[int, Titles]:
    """The title of each report by its number, per language; nothing where the agreement says nothing of them.

    ``milestones`` are the titles of the proposal's milestones by their ids, each in some languages.
    """
    if agreement.report_title is None:
        return {}
    return {one.number: _title(agreement, one, reports[0], milestones) for one in reports}


def _title(
    agreement: ProgrammeAgreement,
    report: ReportDue,
    first: ReportDue,
    milestones: Mapping[str, Mapping[str, str]],
) -> Titles:
    kind = "milestone" if report.milestone else "final" if report.final else report.kind.value
    templates: Mapping[str, str] = getattr(agreement.report_title, kind)
    from_month, to_month = (
        months_until(first.starts_at, instant) for instant in (report.starts_at, report.ends_at)
    )
    about = milestones.get(report.milestone or "", {})
    values = {
        "report": str(report.number),
        "from_month": str(from_month + 1),
        "to_month": str(to_month),
        "month": str(to_month),
    }
    return {
        language: fill(
            template,
            values | {"milestone": in_language(about, language, agreement) or report.milestone or ""},
        )
        for language, template in templates.items()
    }


def in_language(texts: Mapping[str, str], language: str, agreement: ProgrammeAgreement) -> str | None:
    """What an applicant wrote, in that language or else in the first of the programme's in which it is there."""
    known = [one for one in (language, *agreement.languages, *texts) if one in texts]
    return texts[known[0]] if known else None
