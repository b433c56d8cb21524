"""The programme agreement: everything that two (or more) directorates agreed on.

No programme is in the code. A third directorate is one more ``[[directorate]]`` block and its chains.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

from countersign.domain.amounts import Amount, Unit, parse_amount
from countersign.domain.canonical import content_hash
from countersign.domain.text import Line, Prose

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}$")]
Texts = dict[Language, Line]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s?#]+$", max_length=300)]
Days = Annotated[int, Field(ge=1, le=3650)]
Percent = Annotated[int, Field(ge=0, le=100)]
Years = Annotated[int, Field(ge=1, le=100)]
WrittenAmount = Annotated[Amount, BeforeValidator(lambda v: parse_amount(v) if isinstance(v, str) else v)]
NoticeDays = Annotated[int, Field(ge=0, le=366)]
Periods = Annotated[int, Field(ge=1, le=24)]


def _not_said(value: object) -> bool:
    """Whether an agreement says nothing there: then its document form has no such field."""
    return value is None


FINANCE_OFFICE: Final = "finance_officer"
"""The office that authorises and confirms payments in every directorate."""

SECRETARIAT: Final = "secretariat"
"""The office that watches the programme, in a directorate that has it; where there is none, the head does."""

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


class MatterKind(StrEnum):
    """What can be put before the directorates (DESIGN section 3)."""

    CLEARANCE = "clearance"
    PROPOSAL = "proposal"
    AGREEMENT = "agreement"
    REPORT = "report"
    AMENDMENT = "amendment"
    RESUMPTION = "resumption"
    CLOSURE = "closure"
    COMPLAINT = "complaint"


class Block(BaseModel):
    """A part of the file: frozen, and a key that nobody reads is a fault, not a comment."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Calendar(Block):
    """Which days are working days: the public holidays of ``country`` and the weekly days of rest."""

    country: Country
    subdivision: str | None = None
    weekend: tuple[Weekday, ...] = Field(min_length=1, max_length=6)
    timezone: str


class Office(Block):
    """A post that signs. ``escalates_to`` is the office that is told when this one keeps silent."""

    id: Identifier
    title: Texts
    escalates_to: Identifier | None = None


class Directorate(Block):
    """One side: it signs by its offices, funds its own participants and has its own issuer of identity.

    ``head`` is the office that speaks for the whole side: it extends the side's deadlines. ``languages`` are those that
    its funding agreements are given in; all of the programme's unless it says otherwise. ``retention_years`` is its
    national rule, if it has one; the longest of all sides' and the programme's counts.
    """

    id: Identifier
    name: Texts
    country: Country
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
    issuer: Url
    audit_issuer: Url
    calendar: Calendar
    head: Identifier
    office: tuple[Office, ...] = Field(min_length=1)
    languages: tuple[Language, ...] | None = Field(default=None, min_length=1)
    retention_years: Years | None = Field(default=None, exclude_if=lambda value: value is None)


class Area(Block):
    """What may be funded, and the most that each side commits to one initiative of it."""

    id: Identifier
    title: Texts
    funds: tuple[Literal["money", "compute"], ...] = Field(min_length=1)
    open: bool = True
    ceilings: dict[Identifier, tuple[WrittenAmount, ...]]


class Budget(Block):
    """What a side gives the programme in a calendar year (UTC), at most: in all, or to one area.

    Without a ``year`` it holds for every year that has none of its own. A side, area and unit without any is not
    bounded. Budgets are set year by year, so they are in the agreement's file, and not in its content hash.
    """

    directorate: Identifier
    area: Identifier | None = None
    year: Annotated[int, Field(ge=2000, le=2999)] | None = None
    amounts: tuple[WrittenAmount, ...] = Field(min_length=1)


class Kind(Block):
    """A form that an initiative takes; ``months`` is its shortest and longest duration."""

    id: Identifier
    title: Texts
    months: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(le=120)]]


class RequiredDocument(Block):
    """A document that every proposal brings, known by ``id``."""

    id: Identifier
    title: Texts


class ChainStep(Block):
    """``need`` holders of ``office`` sign; above ``above`` only, when it is given (in its unit)."""

    office: Identifier
    need: Annotated[int, Field(ge=1, le=9)] = 1
    above: WrittenAmount | None = None


class Chain(Block):
    """The steps by which one directorate reaches its position in one kind of matter."""

    matter: MatterKind
    directorate: Identifier
    step: tuple[ChainStep, ...] = Field(min_length=1)


class Deadlines(Block):
    """Working days, each counted in the calendar of the directorate concerned."""

    matter: dict[MatterKind, Days]
    grace: Days
    revision: Days
    conditions: Days
    report: Days


class TranchePlan(Block):
    """Percent of the commitment: on signature, over all interim reports together, and on closure.

    ``divergence_limit_days`` is within how many calendar days after one side's part of a tranche was paid the others'
    must be, too. An agreement from before there was such a limit has none, and keeps its content hash.
    """

    on_signature: Percent
    on_reports: Percent
    on_closure: Percent
    divergence_limit_days: Days | None = Field(default=None, exclude_if=_not_said)


class Reporting(Block):
    """A report every ``period_months``; one that is ``overdue_limit_days`` late suspends.

    Every ``progress_every``-th of them tells how the work goes, every ``financial_every``-th has the accounts since the
    last that had them; each of them, unless it is said otherwise. A proposal may name ``milestones_at_most``, and there
    is a report on each of these besides.

    Applicants are reminded so many days before and after a report falls due, and so many days after it every side is
    told (``escalation_after_days``); calendar days. An agreement from before there was such a thing has none of it, and
    keeps its content hash.
    """

    period_months: Annotated[int, Field(ge=1, le=24)]
    overdue_limit_days: Days
    progress_every: Periods | None = Field(default=None, exclude_if=_not_said)
    financial_every: Periods | None = Field(default=None, exclude_if=_not_said)
    milestones_at_most: Annotated[int, Field(ge=0, le=50)] | None = Field(default=None, exclude_if=_not_said)
    reminders_before_days: tuple[Days, ...] | None = Field(default=None, max_length=10, exclude_if=_not_said)
    reminders_after_days: tuple[Days, ...] | None = Field(default=None, max_length=10, exclude_if=_not_said)
    escalation_after_days: Days | None = Field(default=None, exclude_if=_not_said)


class SuspensionRules(Block):
    """``notice_days`` is the least between announcing a suspension and the day it begins, none unless given.

    One that lasts longer than ``limit_days`` ends in a termination. Calendar days.
    """

    notice_days: NoticeDays = 0
    limit_days: Days | None = None


class TerminationRules(Block):
    """``notice_days`` is the least between announcing a termination and the day it takes effect, in calendar days."""

    notice_days: NoticeDays = 0


class AmendmentLimits(Block):
    """Above ``budget_shift_percent`` moved between lines an amendment is major."""

    budget_shift_percent: Percent
    extension_months: Annotated[int, Field(ge=0, le=60)]
    extension_notice_days: Days


class TrancheLines(Block):
    """The line that tells of a tranche in the legal text, by what the tranche falls due with."""

    signature: Texts
    report: Texts
    closure: Texts


class LegalText(Block):
    """What a side's funding agreement says, in every language: templates, filled in by :mod:`legal_text`.

    ``tranche`` and ``report`` are one line each, repeated for every tranche and every report; ``milestone`` is that of
    a report on a milestone.
    """

    text: dict[Language, Prose]
    tranche: TrancheLines
    report: Texts
    milestone: Texts | None = Field(default=None, exclude_if=_not_said)


class ReportTitles(Block):
    """What reports are called, in every language: templates, one for each kind and one for those on milestones."""

    progress: Texts
    financial: Texts
    both: Texts
    final: Texts
    milestone: Texts


class SigningKey(Block):
    """A public Ed25519 key (RFC 8037) that a directorate signs its positions with, from a day up to another.

    Keys rotate while the agreement stays: they are in its file, and not in its content hash.
    """

    directorate: Identifier
    kid: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    x: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
    valid_from: AwareDatetime
    valid_to: AwareDatetime | None = None


class Applicants(Block):
    """Who vouches for applicants."""

    issuer: Url


class ProgrammeAgreement(Block):
    """The whole agreement, valid in itself; make one with :func:`agreement_file.read`."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,59}$")]
    version: Annotated[int, Field(ge=1)]
    reference_prefix: Annotated[str, StringConstraints(pattern=r"^[A-Z]{2,8}$")]
    title: Texts
    languages: tuple[Language, ...] = Field(min_length=1)
    approval_validity_days: Days
    retention_years: Years
    applicants: Applicants
    directorate: tuple[Directorate, ...]
    area: tuple[Area, ...] = Field(min_length=1)
    kind: tuple[Kind, ...] = Field(min_length=1)
    document: tuple[RequiredDocument, ...] = ()
    chain: tuple[Chain, ...]
    deadlines: Deadlines
    tranches: TranchePlan
    reporting: Reporting
    report_title: ReportTitles | None = Field(default=None, exclude_if=_not_said)
    amendments: AmendmentLimits
    suspension: SuspensionRules | None = Field(default=None, exclude_if=_not_said)
    termination: TerminationRules | None = Field(default=None, exclude_if=_not_said)
    funding_agreement: LegalText | None = None
    signing_key: tuple[SigningKey, ...] = ()
    budget: tuple[Budget, ...] = ()

    @property
    def directorate_ids(self) -> tuple[str, ...]:
        return tuple(one.id for one in self.directorate)

    def directorate_of(self, identifier: str) -> Directorate | None:
        return next((one for one in self.directorate if one.id == identifier), None)

    def area_of(self, identifier: str) -> Area | None:
        return next((one for one in self.area if one.id == identifier), None)

    def kind_of(self, identifier: str) -> Kind | None:
        return next((one for one in self.kind if one.id == identifier), None)

    def languages_of(self, directorate: Directorate) -> tuple[str, ...]:
        """The languages in which a side's funding agreement is given."""
        return directorate.languages or self.languages

    def document_form(self) -> dict[str, Any]:
        """The agreement as JSON data, the form that its content hash is taken over.

        What agreements could not say at first is left out where it isn't said: those on record keep their hash.
        """
        form = self.model_dump(mode="json", exclude={"signing_key", "budget"})
        for block, later in (
            (form, "funding_agreement"),
            *((one, "languages") for one in form["directorate"]),
        ):
            if block[later] is None:
                del block[later]
        return form

    def content_hash(self) -> str:
        return content_hash(self.document_form())

    def terms(self) -> Terms:
        """What a running initiative needs of the agreement: the rules without the texts."""
        return Terms(
            agreement=self.id,
            version=self.version,
            content_hash=self.content_hash(),
            sides={
                one.id: Side(
                    currency=one.currency,
                    country=one.country,
                    calendar=one.calendar,
                    head=one.head,
                    escalates={office.id: office.escalates_to for office in one.office},
                )
                for one in self.directorate
            },
            chains={
                kind: {c.directorate: c.step for c in self.chain if c.matter is kind} for kind in MatterKind
            },
            deadlines=self.deadlines,
            approval_validity_days=self.approval_validity_days,
            tranches=self.tranches,
            reporting=self.reporting,
            amendments=self.amendments,
            suspension=self.suspension or SuspensionRules(),
            termination=self.termination or TerminationRules(),
        )


class Side(Block):
    """A directorate as a running initiative knows it; ``escalates`` gives the office that each one escalates to."""

    currency: Unit
    country: Country
    calendar: Calendar
    head: Identifier
    escalates: dict[Identifier, Identifier | None]

    @property
    def watching(self) -> str:
        """The office that is told when the programme as a whole goes wrong."""
        return SECRETARIAT if SECRETARIAT in self.escalates else self.head


class Terms(Block):
    """The rules an initiative is bound to from its submission on (DESIGN section 4).

    ``amendments`` is none where it began before there were any.
    """

    agreement: str
    version: int
    content_hash: str
    sides: dict[str, Side]
    chains: dict[MatterKind, dict[str, tuple[ChainStep, ...]]]
    deadlines: Deadlines
    approval_validity_days: int
    tranches: TranchePlan
    reporting: Reporting
    amendments: AmendmentLimits | None = None
    suspension: SuspensionRules = SuspensionRules()
    termination: TerminationRules = TerminationRules()

    @property
    def directorates(self) -> tuple[str, ...]:
        return tuple(self.sides)
