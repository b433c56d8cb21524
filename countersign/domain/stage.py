"""The stages of an initiative and every move between them (DESIGN section 2)."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from countersign.domain.agreement import MatterKind


class Stage(StrEnum):
    """Where an initiative stands."""

    SUBMITTED = "submitted"
    ELIGIBILITY = "eligibility"
    DECISION = "decision"
    REVISION = "revision"
    CONDITIONS = "conditions"
    CONTRACTING = "contracting"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSING = "closing"
    CLOSED = "closed"
    INELIGIBLE = "ineligible"
    NOT_APPROVED = "not_approved"
    WITHDRAWN = "withdrawn"
    LAPSED = "lapsed"
    TERMINATED = "terminated"


_S = Stage

TRANSITIONS: Final[dict[Stage | None, frozenset[Stage]]] = {
    None: frozenset({_S.SUBMITTED}),
    _S.SUBMITTED: frozenset({_S.ELIGIBILITY, _S.WITHDRAWN}),
    _S.ELIGIBILITY: frozenset({_S.DECISION, _S.REVISION, _S.INELIGIBLE, _S.LAPSED, _S.WITHDRAWN}),
    _S.DECISION: frozenset(
        {_S.CONTRACTING, _S.CONDITIONS, _S.REVISION, _S.NOT_APPROVED, _S.LAPSED, _S.WITHDRAWN}
    ),
    _S.REVISION: frozenset({_S.ELIGIBILITY, _S.LAPSED, _S.WITHDRAWN}),
    _S.CONDITIONS: frozenset({_S.CONTRACTING, _S.LAPSED, _S.WITHDRAWN}),
    _S.CONTRACTING: frozenset({_S.ACTIVE, _S.DECISION, _S.NOT_APPROVED, _S.LAPSED, _S.WITHDRAWN}),
    _S.ACTIVE: frozenset({_S.CLOSING, _S.SUSPENDED, _S.TERMINATED}),
    _S.SUSPENDED: frozenset({_S.ACTIVE, _S.TERMINATED}),
    _S.CLOSING: frozenset({_S.CLOSED, _S.TERMINATED}),
    _S.CLOSED: frozenset(),
    _S.INELIGIBLE: frozenset({_S.DECISION}),
    _S.NOT_APPROVED: frozenset({_S.DECISION}),
    _S.WITHDRAWN: frozenset(),
    _S.LAPSED: frozenset(),
    _S.TERMINATED: frozenset({_S.SUSPENDED}),
}
"""Every legal move; anything else raises ``RuleBroken("stage_closed", …)``."""

TERMINAL: Final = frozenset(
    {_S.CLOSED, _S.INELIGIBLE, _S.NOT_APPROVED, _S.WITHDRAWN, _S.LAPSED, _S.TERMINATED}
)
"""Where a life ends. Only an upheld complaint leads out again: of a refusal into the decision, of a termination to a
suspension, as what was carried out before goes on when all sides agree to it.
"""

COMPLAINABLE: Final = frozenset({_S.INELIGIBLE, _S.NOT_APPROVED})
"""The refusals that become final when nobody complains for so many days. A termination may be complained of, too, as
long as that is open (:mod:`complaining`).
"""

COMPLAINT_DAYS: Final = 30

BEFORE_ACTIVE: Final = frozenset(
    {_S.SUBMITTED, _S.ELIGIBILITY, _S.DECISION, _S.REVISION, _S.CONDITIONS, _S.CONTRACTING}
)
"""The stages in which the applicant may withdraw."""

PROMISED: Final = frozenset({_S.CONDITIONS, _S.CONTRACTING})
"""The stages in which each side's money is reserved for the initiative by the joint decision."""

OWED: Final = frozenset({_S.ACTIVE, _S.SUSPENDED, _S.CLOSING})
"""The stages in which it is committed by the signed agreements."""

KEPT: Final = frozenset(
    {
        (_S.CONTRACTING, _S.NOT_APPROVED),
        (_S.DECISION, _S.NOT_APPROVED),
        (_S.NOT_APPROVED, _S.DECISION),
    }
)
"""The moves on which what is reserved stays so: a complaint may come, and an upheld one must not find it spent."""

OPENS: Final[dict[Stage, MatterKind]] = {
    _S.ELIGIBILITY: MatterKind.CLEARANCE,
    _S.DECISION: MatterKind.PROPOSAL,
    _S.CONTRACTING: MatterKind.AGREEMENT,
    _S.CLOSING: MatterKind.CLOSURE,
}
"""The matter that a stage puts before the directorates when it is entered."""

NEVER_LAPSES: Final = frozenset({MatterKind.REPORT, MatterKind.CLOSURE})
"""Money has been paid when these are open: silence makes them late, it does not end them."""
