"""Amendments of an active initiative: what a new version changes, and who decides on it (DESIGN section 2).

Minor ones are notified; major ones are a matter of kind ``amendment``.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import Final

from countersign.domain.agreement import AmendmentLimits, Terms
from countersign.domain.funding import FundingAgreements
from countersign.domain.model import Model
from countersign.domain.proposal import (
    Partner,
    Proposal,
    ProposalSummary,
    differences,
    is_administrative,
    summarise,
)

MOST: Final = 50
"""Amendments that one initiative takes, those that came to nothing included: each stays in its state for life."""


class Kind(StrEnum):
    """What an amendment changes. One that changes nothing else is ``administrative``: people, spellings, an order.

    ``agreement`` is another version of the programme agreement, and nothing of the proposal.
    """

    EXTENSION = "extension"
    SHORTENING = "shortening"
    PARTNERS = "partners"
    SCOPE = "scope"
    INCREASE = "increase"
    DECREASE = "decrease"
    BUDGET_SHIFT = "budget_shift"
    AGREEMENT = "agreement"
    ADMINISTRATIVE = "administrative"


NOTIFIED: Final = frozenset({Kind.BUDGET_SHIFT, Kind.ADMINISTRATIVE})
"""What a mere notice can change, the shift up to its limit; every side decides on the rest."""


class Weight(StrEnum):
    """Whether an amendment is notified or decided on."""

    MINOR = "minor"
    MAJOR = "major"


class AmendmentState(StrEnum):
    """What became of an amendment: ``notified`` or ``made`` is in force, or was until the next one."""

    ASKED = "asked"
    NOTIFIED = "notified"
    MADE = "made"
    REJECTED = "rejected"


class Moved(Model):
    """What the budget lines of one side lost, in minor units of ``unit``, and what they held together before."""

    directorate: str
    unit: str
    moved: int
    budget: int


class Comparison(Model):
    """What one version of a proposal changes in another; ``moved`` has the sides and units that lines lost some of."""

    kinds: tuple[Kind, ...]
    moved: tuple[Moved, ...] = ()


class DueDate(Model):
    """When the report on a period that ends then falls due."""

    ends_at: datetime
    due_at: datetime


class Amendment(Model):
    """An amendment that was asked for.

    ``replaces`` and ``content_hash`` are the versions of the proposal that it leads from and to, ``edition`` that of
    the funding agreements drawn up for it, ``matter`` the one that decides on it. ``summary``, ``due``, ``terms`` and
    ``funding_agreements`` are what it would bring; they are let go of once it is settled. ``terms`` are those of
    another version of the agreement, if it leads to one.
    """

    number: int
    weight: Weight
    kinds: tuple[Kind, ...]
    replaces: str
    content_hash: str
    changed: tuple[str, ...]
    reasons: str
    asked_by: str
    asked_at: datetime
    edition: int
    matter: int | None = None
    summary: ProposalSummary | None = None
    due: tuple[DueDate, ...] = ()
    terms: Terms | None = None
    funding_agreements: FundingAgreements | None = None
    state: AmendmentState = AmendmentState.ASKED


def compare(before: Proposal, after: Proposal) -> Comparison:
    """What a new version changes. A budget line is a category of a partner's, whatever the rows that describe it."""
    kinds: set[Kind] = set()
    if after.duration_months != before.duration_months:
        longer = after.duration_months > before.duration_months
        kinds.add(Kind.EXTENSION if longer else Kind.SHORTENING)
    if _other_partners(before, after):
        kinds.add(Kind.PARTNERS)
    if any(getattr(before, name) != getattr(after, name) for name in _SCOPE):
        kinds.add(Kind.SCOPE)
    old, new = _by_unit(before), _by_unit(after)
    if any(new[key] > old[key] for key in new):
        kinds.add(Kind.INCREASE)
    if any(new[key] < old[key] for key in old):
        kinds.add(Kind.DECREASE)
    lost = _lost(before, after)
    if any(minor > max(0, old[key] - new[key]) for key, minor in lost.items()) or (
        _lines(before) == _lines(after) and Counter(before.budget) != Counter(after.budget)
    ):
        kinds.add(Kind.BUDGET_SHIFT)
    return Comparison(
        kinds=tuple(one for one in Kind if one in (kinds or {Kind.ADMINISTRATIVE})),
        moved=tuple(
            Moved(directorate=side, unit=unit, moved=minor, budget=old[side, unit])
            for (side, unit), minor in sorted(lost.items())
        ),
    )


def weigh(comparison: Comparison, limits: AmendmentLimits) -> Weight:
    """Minor as long as it moves no more between lines than the agreement lets pass, and changes nothing else."""
    if set(comparison.kinds) - NOTIFIED:
        return Weight.MAJOR
    beyond = any(one.moved * 100 > one.budget * limits.budget_shift_percent for one in comparison.moved)
    return Weight.MAJOR if beyond else Weight.MINOR


_SCOPE: Final = (
    "title",
    "summary",
    "work_packages",
    "area",
    "kind",
    "declarations",
    "documents",
    "milestones",
)


def _other_partners(before: Proposal, after: Proposal) -> bool:
    """Whether organisations or their parts in it change; their people may, and a name as far as a typing error goes."""
    old, new = ({one.id: one for one in proposal.partners} for proposal in (before, after))
    return old.keys() != new.keys() or any(_is_other(old[one], new[one]) for one in old)


def _is_other(before: Partner, after: Partner) -> bool:
    if (before.directorate, before.role) != (after.directorate, after.role):
        return True
    return not all(map(is_administrative, differences(before.name, after.name, "partners[0].name")))


def _by_unit(proposal: Proposal) -> Counter[tuple[str, str]]:
    requested = summarise(proposal).requested
    return Counter({(side, one.unit): one.minor for side, some in requested.items() for one in some})


def _lines(proposal: Proposal) -> dict[tuple[str, str, str, str], int]:
    """Minor units per side, unit, partner and category."""
    side = {one.id: one.directorate for one in proposal.partners}
    lines: Counter[tuple[str, str, str, str]] = Counter()
    for line in proposal.budget:
        lines[side[line.partner], line.amount.unit, line.partner, line.category] += line.amount.minor
    return {key: minor for key, minor in lines.items() if minor}


def _lost(before: Proposal, after: Proposal) -> dict[tuple[str, str], int]:
    """What lines lost, per side and unit."""
    old, new = _lines(before), _lines(after)
    lost: Counter[tuple[str, str]] = Counter()
    for key, minor in old.items():
        lost[key[:2]] += max(0, minor - new.get(key, 0))
    return {key: minor for key, minor in lost.items() if minor}
