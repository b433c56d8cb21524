"""What the API says and takes of payments: tranches, and what banks say of them."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import BaseModel

from countersign.api.identity import Identity
from countersign.api.schemas import Body
from countersign.banking.matching import Verdict
from countersign.domain.amounts import Amount
from countersign.domain.funding import BankOutcome, PaymentState, Share, Tranche
from countersign.domain.model import MessageId, Sha256


class ForBody(Body):
    """On whose behalf, where the caller has a mandate of theirs that covers payments."""

    on_behalf_of: MessageId | None = None


class PaymentView(BaseModel):
    """A payment that a bank was told of, and what it said since. A later attempt ``replaces`` one that came back."""

    end_to_end_id: str
    amount: Amount
    partner: str | None
    attempt: int
    replaces: str | None
    outcome: BankOutcome | None


class ShareView(BaseModel):
    """One side's part of a tranche. ``end_to_end_ids`` are those in force, ``payments`` every attempt.

    ``authorised_for`` is on whose behalf it was authorised, ``held_from`` what a held one was. By whom it is held and
    why is shown to its own side and to auditors. ``claims`` is what each partner is asked to give back.
    """

    amounts: list[Amount]
    state: str
    authorised_by: str | None
    authorised_for: str | None
    confirmed_by: str | None
    paid_at: datetime | None = None
    held_from: PaymentState | None = None
    held_by: str | None = None
    held_reasons: str | None = None
    claims: dict[str, list[Amount]] | None = None
    end_to_end_ids: list[str]
    payments: list[PaymentView]


class StatementLine(BaseModel):
    """A payment in a bank's statement, and what came of it; ``code`` and ``detail`` where it was refused."""

    entry: int
    verdict: Verdict
    end_to_end_id: str | None = None
    amount: Amount | None = None
    outcome: BankOutcome | None = None
    on: date | None = None
    bank_reference: str | None = None
    reason: str | None = None
    initiative: str | None = None
    tranche: int | None = None
    code: str | None = None
    detail: str | None = None


class StatementView(BaseModel):
    """An import of a bank's statement. ``again``: the side had imported that very content before, whole."""

    content_hash: Sha256
    directorate: str
    imported_by: str
    at: datetime
    again: bool
    counts: dict[str, int]
    items: list[StatementLine]


class TrancheView(BaseModel):
    """A tranche: one payment of each side, released together.

    ``diverged_at`` is when the limit was over with only some sides' parts paid; ``diverged`` whether that is so still.
    """

    number: int
    trigger: str
    report: int | None
    diverged_at: datetime | None = None
    diverged: bool = False
    shares: dict[str, ShareView]


def tranche_view(one: Tranche, viewer: Identity) -> TrancheView:
    """A tranche as the viewer may see it; what was paid is open to all who see the initiative."""
    return TrancheView(
        number=one.number,
        trigger=one.trigger,
        report=one.report,
        diverged_at=one.diverged_at,
        diverged=one.is_diverged,
        shares={
            side: _share(share, own=viewer.role == "auditor" or viewer.directorate == side)
            for side, share in one.shares.items()
        },
    )


def _share(one: Share, *, own: bool) -> ShareView:
    return ShareView(
        amounts=list(one.amounts),
        state=one.state,
        authorised_by=one.authorised_by,
        authorised_for=one.authorised_for,
        confirmed_by=one.confirmed_by,
        paid_at=one.paid_at,
        held_from=one.held_from,
        held_by=one.held_by if own else None,
        held_reasons=one.held_reasons if own else None,
        claims=None if one.claims is None else {who: list(some) for who, some in one.claims.items()},
        end_to_end_ids=[payment.end_to_end_id for payment in one.current],
        payments=[
            PaymentView(
                end_to_end_id=payment.end_to_end_id,
                amount=payment.amount,
                partner=payment.partner,
                attempt=payment.attempt or 1,
                replaces=payment.replaces,
                outcome=payment.outcome,
            )
            for payment in one.instructions
        ],
    )
