"""A proposal: who, what, for how long, with whose money. And whether it may be put before the directorates."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from countersign.domain import schedule
from countersign.domain.agreement import Identifier, Language, ProgrammeAgreement
from countersign.domain.amounts import COMPUTE_UNIT, LARGEST, Amount, total
from countersign.domain.canonical import content_hash
from countersign.domain.model import Sha256
from countersign.domain.text import Line, Prose

Email = Annotated[
    str, StringConstraints(pattern=r"^[^@\s\x00-\x1f\x7f]{1,64}@[^@\s\x00-\x1f\x7f]{1,190}$", max_length=254)
]
Month = Annotated[int, Field(ge=1, le=120)]


class Part(BaseModel):
    """A part of a submitted document: frozen, and a misspelt key is told, not dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(Part):
    """Somebody who takes part: what is needed to reach them and to keep them from deciding on it."""

    name: Line
    email: Email


class Partner(Part):
    """An organisation of the consortium, funded by ``directorate``; the lead speaks for all of them."""

    id: Identifier
    name: dict[Language, Line] = Field(min_length=1)
    directorate: Identifier
    role: Literal["lead", "partner"]
    contact: Person
    participants: tuple[Person, ...] = Field(default=(), max_length=200)


class WorkPackage(Part):
    """Work from month to month (both counted from 1, both included) under one partner."""

    number: Annotated[int, Field(ge=1, le=99)]
    title: dict[Language, Line] = Field(min_length=1)
    lead: Identifier
    from_month: Month
    to_month: Month
    deliverables: tuple[Line, ...] = Field(min_length=1, max_length=50)


class Milestone(Part):
    """Something that is reached by the end of a month, counted from 1; a report tells whether it was."""

    id: Identifier
    title: dict[Language, Line] = Field(min_length=1)
    month: Month
    work_package: Annotated[int, Field(ge=1, le=99)] | None = None


BudgetCategory = Literal["personnel", "equipment", "travel", "services", "compute", "mobility", "indirect"]


class BudgetLine(Part):
    """What one partner asks of its own side."""

    partner: Identifier
    category: BudgetCategory
    description: Line
    amount: Amount


class Declarations(Part):
    """What the lead declares for the whole consortium."""

    civil_use: bool
    export_control: Literal["none", "licence_held", "licence_needed"]


class Document(Part):
    """A document known by its hash; ``kind`` is one of the agreement's document ids."""

    kind: Identifier
    name: Line
    sha256: Sha256


class Proposal(Part):
    """A proposal as its applicant submits it. Money in minor units, time in months from the start."""

    agreement: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,59}$")]
    area: Identifier
    kind: Identifier
    title: dict[Language, Line] = Field(min_length=1)
    summary: dict[Language, Prose] = Field(min_length=1)
    duration_months: Month
    partners: tuple[Partner, ...] = Field(min_length=1, max_length=50)
    work_packages: tuple[WorkPackage, ...] = Field(min_length=1, max_length=99)
    budget: tuple[BudgetLine, ...] = Field(min_length=1, max_length=500)
    declarations: Declarations
    documents: tuple[Document, ...] = Field(default=(), max_length=100)
    # Left out where there are none: proposals from before there were any keep their hash.
    milestones: tuple[Milestone, ...] = Field(default=(), max_length=50, exclude_if=lambda some: not some)

    def document_form(self) -> dict[str, Any]:
        """The proposal as JSON data, the form that its content hash is taken over."""
        return self.model_dump(mode="json")

    def content_hash(self) -> str:
        return content_hash(self.document_form())

    def attached(self) -> dict[str, str]:
        """The hashes of the documents that it names, by their places in it."""
        return {f"documents[{i}].sha256": one.sha256 for i, one in enumerate(self.documents)}

    @property
    def lead(self) -> Partner | None:
        return next((one for one in self.partners if one.role == "lead"), None)


class ProposalSummary(BaseModel):
    """What the workflow needs of a proposal; its text stays in PostgreSQL.

    ``requested`` is per directorate, one amount a unit, and ``asked`` the same per partner; the sides'
    partners are ``partners``. ``people`` are the :func:`contact_key` of everybody who takes part. ``milestones`` are
    none where there are none.
    """

    model_config = ConfigDict(frozen=True)

    area: str
    kind: str
    duration_months: int
    lead_directorate: str
    requested: dict[str, tuple[Amount, ...]]
    partners: dict[str, str]
    people: tuple[str, ...]
    asked: dict[str, tuple[Amount, ...]] | None = None
    milestones: tuple[schedule.Milestone, ...] | None = Field(default=None, exclude_if=lambda some: not some)


@dataclass(frozen=True, slots=True)
class ProposalFault:
    """One thing wrong with a proposal: where (a path into it), which rule, what in a sentence."""

    place: str
    rule: str
    problem: str


def contact_key(email: str) -> str:
    """A digest that tells two e-mail addresses apart without carrying either into a history."""
    return hashlib.sha256(email.strip().casefold().encode()).hexdigest()[:32]


def summarise(proposal: Proposal) -> ProposalSummary:
    """The summary of a proposal that has no :func:`faults`."""
    lead = proposal.lead
    side = {one.id: one.directorate for one in proposal.partners}
    requested = {
        directorate: tuple(
            amount
            for _, amount in sorted(
                total(
                    line.amount for line in proposal.budget if side.get(line.partner) == directorate
                ).items()
            )
        )
        for directorate in dict.fromkeys(side.values())
    }
    asked = {
        partner: tuple(
            amount
            for _, amount in sorted(
                total(line.amount for line in proposal.budget if line.partner == partner).items()
            )
        )
        for partner in side
    }
    people = {contact_key(p.email) for one in proposal.partners for p in (one.contact, *one.participants)}
    return ProposalSummary(
        area=proposal.area,
        kind=proposal.kind,
        duration_months=proposal.duration_months,
        lead_directorate=lead.directorate if lead else "",
        requested=requested,
        partners=side,
        people=tuple(sorted(people)),
        asked=asked,
        milestones=tuple(schedule.Milestone(id=one.id, month=one.month) for one in proposal.milestones)
        or None,
    )


def faults(proposal: Proposal, agreement: ProgrammeAgreement) -> list[ProposalFault]:
    """What makes the proposal contradict itself or the agreement's vocabulary; such a one isn't taken at all."""
    return list(_faults(proposal, agreement))


def _faults(proposal: Proposal, agreement: ProgrammeAgreement) -> Iterator[ProposalFault]:
    def fault(place: str, problem: str, rule: str = "reference") -> ProposalFault:
        return ProposalFault(place, rule, problem)

    if proposal.agreement != agreement.id:
        yield fault("agreement", f"this system carries {agreement.id!r}")
    if agreement.area_of(proposal.area) is None:
        yield fault("area", f"the agreement has no area {proposal.area!r}")
    if agreement.kind_of(proposal.kind) is None:
        yield fault("kind", f"the agreement has no kind {proposal.kind!r}")
    if sum(one.role == "lead" for one in proposal.partners) != 1:
        yield fault("partners", "exactly one partner is the lead", "lead")
    partners = {one.id: one for one in proposal.partners}
    if len(partners) != len(proposal.partners):
        yield fault("partners", "two partners have the same id", "unique")
    for i, partner in enumerate(proposal.partners):
        if partner.directorate not in agreement.directorate_ids:
            yield fault(
                f"partners[{i}].directorate", f"the agreement has no directorate {partner.directorate!r}"
            )
    numbers = [one.number for one in proposal.work_packages]
    if len(set(numbers)) != len(numbers):
        yield fault("work_packages", "two work packages have the same number", "unique")
    for i, package in enumerate(proposal.work_packages):
        if package.lead not in partners:
            yield fault(f"work_packages[{i}].lead", f"there is no partner {package.lead!r}")
        if not package.from_month <= package.to_month <= proposal.duration_months:
            yield fault(f"work_packages[{i}]", "the months do not lie inside the duration in order", "months")
    yield from _milestone_faults(proposal, agreement)
    for i, line in enumerate(proposal.budget):
        yield from _budget_faults(f"budget[{i}]", line, partners, agreement)
    yield from oversized("budget", (line.amount for line in proposal.budget))
    texts = [("title", proposal.title), ("summary", proposal.summary)]
    texts += [(f"partners[{i}].name", one.name) for i, one in enumerate(proposal.partners)]
    texts += [(f"work_packages[{i}].title", one.title) for i, one in enumerate(proposal.work_packages)]
    texts += [(f"milestones[{i}].title", one.title) for i, one in enumerate(proposal.milestones)]
    for place, text in texts:
        for language in text:
            if language not in agreement.languages:
                yield fault(f"{place}.{language}", "not a language of the agreement", "language")


def _milestone_faults(proposal: Proposal, agreement: ProgrammeAgreement) -> Iterator[ProposalFault]:
    most = agreement.reporting.milestones_at_most or 0
    if len(proposal.milestones) > most:
        yield ProposalFault("milestones", "too_many", f"there are {most} at the most in this programme")
    if len({one.id for one in proposal.milestones}) != len(proposal.milestones):
        yield ProposalFault("milestones", "unique", "two milestones have the same id")
    packages = {one.number for one in proposal.work_packages}
    for i, one in enumerate(proposal.milestones):
        if one.month >= proposal.duration_months:
            # What is reached with the last month is for the final report to tell.
            yield ProposalFault(f"milestones[{i}].month", "months", "it is not before the last month")
        if one.work_package is not None and one.work_package not in packages:
            problem = f"there is no work package {one.work_package}"
            yield ProposalFault(f"milestones[{i}].work_package", "reference", problem)


def oversized(place: str, amounts: Iterable[Amount]) -> Iterator[ProposalFault]:
    """Sums beyond what an amount can be; of all partners together, so of each side's too."""
    sums: dict[str, int] = {}
    for amount in amounts:
        sums[amount.unit] = sums.get(amount.unit, 0) + amount.minor
    for unit, minor in sums.items():
        if minor > LARGEST:
            yield ProposalFault(place, "too_much", f"more than {LARGEST} minor units of {unit} in all")


def _budget_faults(
    place: str, line: BudgetLine, partners: dict[str, Partner], agreement: ProgrammeAgreement
) -> Iterator[ProposalFault]:
    partner = partners.get(line.partner)
    if partner is None:
        yield ProposalFault(f"{place}.partner", "reference", f"there is no partner {line.partner!r}")
        return
    directorate = agreement.directorate_of(partner.directorate)
    if directorate is not None and line.amount.unit not in (directorate.currency, COMPUTE_UNIT):
        problem = f"directorate {directorate.id!r} funds in {directorate.currency}, not in {line.amount.unit}"
        yield ProposalFault(f"{place}.amount", "currency", problem)
    yield from category_faults(place, line.category, line.amount)


def category_faults(place: str, category: str, amount: Amount) -> Iterator[ProposalFault]:
    """Compute is counted in GPU hours, everything else in money."""
    if (category == "compute") != (amount.unit == COMPUTE_UNIT):
        yield ProposalFault(f"{place}.amount", "currency", f"compute is in {COMPUTE_UNIT}, the rest in money")


def ineligibilities(proposal: Proposal, agreement: ProgrammeAgreement) -> list[ProposalFault]:
    """What keeps a well-formed proposal from being decided (DESIGN section 2, ``eligibility``)."""
    return list(_ineligibilities(proposal, agreement))


def _ineligibilities(proposal: Proposal, agreement: ProgrammeAgreement) -> Iterator[ProposalFault]:
    area, kind = agreement.area_of(proposal.area), agreement.kind_of(proposal.kind)
    if area is None or kind is None:
        return
    present = {one.directorate for one in proposal.partners}
    for directorate in agreement.directorate_ids:
        if directorate not in present:
            yield ProposalFault(
                "partners", "consortium", f"there is no partner on the side of {directorate!r}"
            )
    if not area.open:
        yield ProposalFault("area", "area_closed", f"area {area.id!r} is not open")
    if not kind.months[0] <= proposal.duration_months <= kind.months[1]:
        problem = f"a {kind.id} lasts {kind.months[0]} to {kind.months[1]} months"
        yield ProposalFault("duration_months", "duration", problem)
    for directorate, amounts in summarise(proposal).requested.items():
        ceilings = {amount.unit: amount for amount in area.ceilings.get(directorate, ())}
        for amount in amounts:
            ceiling = ceilings.get(amount.unit)
            if ceiling is None:
                yield ProposalFault(
                    "budget", "ceiling", f"{directorate!r} does not fund {amount.unit} in this area"
                )
            elif amount > ceiling:
                problem = f"{directorate!r} is asked for {amount}, its ceiling is {ceiling}"
                yield ProposalFault("budget", "ceiling", problem)
    if not proposal.declarations.civil_use:
        yield ProposalFault("declarations.civil_use", "civil_use", "civil use is not declared")
    brought = {one.kind for one in proposal.documents}
    for document in agreement.document:
        if document.id not in brought:
            yield ProposalFault("documents", "document", f"document {document.id!r} is missing")


class Difference(BaseModel):
    """A place at which two versions differ; nothing stands where a side has no such place."""

    model_config = ConfigDict(frozen=True)

    place: str
    before: Any = None
    after: Any = None


def differences(before: Any, after: Any, place: str = "") -> list[Difference]:
    """The places at which two JSON documents differ, in order: what a new version changed."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = list(dict.fromkeys([*before, *after]))
        inner = [differences(before.get(k), after.get(k), f"{place}.{k}" if place else k) for k in keys]
        return [one for some in inner for one in some]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [one for i, (b, a) in pairs for one in differences(b, a, f"{place}[{i}]")]
    return [] if before == after else [Difference(place=place, before=before, after=after)]


_CONTACT_DETAIL = re.compile(r"partners\[\d+\]\.(contact|participants\[\d+\])\.email")
_NAME = re.compile(r"partners\[\d+\]\.(name\.[a-z]{2}|(contact|participants\[\d+\])\.name)")

TYPING_ERROR: Final = 0.8
"""How alike two spellings of a name are at least (difflib's ratio): below it, it is another name."""


def is_administrative(difference: Difference) -> bool:
    """Whether a change leaves everything that was decided on as it is (DESIGN section 3).

    Contact details may change, and names as far as a typing error goes. Everything else is substantive:

    =============================  ==============================================
    place                          administrative when
    =============================  ==============================================
    ``partners[].contact.email``   always, and of participants
    ``partners[].contact.name``    the spellings are alike, and of participants
    ``partners[].name.<lang>``     the spellings are alike
    anything else                  never
    =============================  ==============================================
    """
    before, after = difference.before, difference.after
    if not isinstance(before, str) or not isinstance(after, str):
        return False
    if _CONTACT_DETAIL.fullmatch(difference.place):
        return True
    alike = SequenceMatcher(None, before.casefold(), after.casefold()).ratio() >= TYPING_ERROR
    return bool(_NAME.fullmatch(difference.place)) and alike
