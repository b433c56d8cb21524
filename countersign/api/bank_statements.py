"""A bank's statement, imported by a finance officer of the side whose account it is of."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import APIRouter, Request

from countersign.api.dependencies import InForce, Key, Me, Record, Workflows
from countersign.api.errors import Problem, documented
from countersign.api.gateway import Gateway
from countersign.api.identity import Identity
from countersign.api.payment_views import StatementLine, StatementView
from countersign.banking.camt054 import Limits, read_notification
from countersign.banking.matching import CURRENCIES, Line, Verdict, match
from countersign.domain.agreement import FINANCE_OFFICE, ProgrammeAgreement
from countersign.domain.errors import RuleBroken
from countersign.domain.funding import BankOutcome
from countersign.store import payments, statements
from countersign.store.payments import Told
from countersign.store.session import Database
from countersign.workflows.initiative import InitiativeWorkflow
from countersign.workflows.messages import ReportPayment

router = APIRouter(prefix="/bank-statements", tags=["carrying out"])

_AT_ONCE: Final = 8
"""Initiatives that are told at the same time; within one, its lines go in their order."""

_XML: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "description": "ISO 20022 `camt.054.001`, versions 02 to 12, as the bank made it.",
        "content": {"application/xml": {"schema": {"type": "string"}}},
    }
}


@router.post(
    "",
    openapi_extra=_XML,
    responses=documented(
        *("unauthenticated", "forbidden", "not_your_office", "four_eyes", "invalid", "too_large"),
        *("idempotency_key_required", "idempotency_key_reused"),
    ),
)
async def import_statement(
    request: Request, me: Me, key: Key, record: Record, workflows: Workflows, agreement: InForce
) -> StatementView:
    """Import a statement: what the bank booked is settled, what came back has failed; line by line what came of it.

    The same statement again changes nothing. Whoever authorised a payment does not bring the bank's word on it.
    """
    side = _side(me, agreement)
    content = await request.body()
    notification = await asyncio.to_thread(
        read_notification,
        content,
        Limits(currencies=CURRENCIES | {one.currency for one in agreement.directorate}),
    )
    async with record.transaction() as connection:
        again = await statements.was_imported(connection, side, notification.content)
        begun = await statements.begin(
            connection,
            directorate=side,
            content_hash=notification.content,
            imported_by=me.person,
            key=key,
            at=datetime.now(UTC),
        )
    if begun.content_hash != notification.content:
        raise Problem("idempotency_key_reused", "this Idempotency-Key came before with another statement")
    if begun.result is not None:
        return _answer(StatementView.model_validate(begun.result))
    ids = {one.end_to_end_id for entry in notification.entries for one in entry.transactions}
    async with record.reading() as connection:
        told = await payments.told(connection, {one for one in ids if one is not None})
    telling = _Telling(workflows, record, me, key, notification.content, resumed=not begun.is_new)
    lines = await telling.all(match(notification, told, side), told)
    view = StatementView(
        content_hash=notification.content,
        directorate=side,
        imported_by=me.person,
        at=begun.begun_at,
        again=again,
        counts=dict(Counter(line.verdict.value for line in lines)),
        items=lines,
    )
    async with record.transaction() as connection:
        await statements.end(
            connection,
            directorate=side,
            imported_by=me.person,
            key=key,
            at=datetime.now(UTC),
            result=view.model_dump(mode="json"),
        )
    return _answer(view)


def _side(me: Identity, agreement: ProgrammeAgreement) -> str:
    side = agreement.directorate_of(me.caller.directorate or "")
    if side is None:
        raise Problem("forbidden", "a directorate's finance officers import its bank's statements")
    if FINANCE_OFFICE not in me.offices:
        raise Problem("not_your_office", "finance officers import their bank's statements")
    return side.id


def _answer(view: StatementView) -> StatementView:
    """The result; a problem when all that it could have changed waits for another pair of eyes."""
    refused = [one for one in view.items if one.verdict is Verdict.REFUSED]
    eyes = [one for one in refused if one.code == "four_eyes"]
    if eyes and len(eyes) == len(refused) and Verdict.MATCHED.value not in view.counts:
        raise Problem(
            "four_eyes",
            "you authorised what this statement is about; another finance officer imports it",
            errors=[{"place": f"entry {one.entry}", "problem": one.end_to_end_id or ""} for one in eyes][
                :100
            ],
            recorded=True,
        )
    return view


class _Telling:
    """One import on its way to the initiatives. Its messages' ids follow from its key: sent again, they count once."""

    def __init__(
        self, workflows: Gateway, record: Database, me: Identity, key: str, content: str, *, resumed: bool
    ) -> None:
        self._workflows, self._record, self._me = workflows, record, me
        self._key, self._content, self._resumed = key, content, resumed

    async def all(self, lines: list[Line], told: dict[str, Told]) -> list[StatementLine]:
        """Tell every initiative what its lines say; the lines with what came of each."""
        views = [_view(line, told) for line in lines]
        of_initiative: dict[str, list[int]] = {}
        for index, line in enumerate(lines):
            if self._counts(line):
                of_initiative.setdefault(told[line.end_to_end_id or ""].initiative, []).append(index)
        room = asyncio.Semaphore(_AT_ONCE)

        async def one_initiative(indices: list[int]) -> None:
            async with room:
                # What left is told before what came back, whatever the bank's order.
                for index in sorted(indices, key=lambda one: lines[one].outcome is BankOutcome.RETURNED):
                    line = lines[index]
                    views[index] = await self._one(line, views[index], told[line.end_to_end_id or ""])

        # All of them come to their end, so that nothing is told behind the caller's back after an answer.
        ended = await asyncio.gather(*map(one_initiative, of_initiative.values()), return_exceptions=True)
        for problem in ended:
            if problem is not None:
                raise problem
        return views

    def _counts(self, line: Line) -> bool:
        # What an interrupted try of this import did reads as a duplicate now; its own answer says whose it was.
        return line.verdict is Verdict.MATCHED or (self._resumed and line.verdict is Verdict.DUPLICATE)

    async def _one(self, line: Line, view: StatementLine, payment: Told) -> StatementLine:
        end_to_end, outcome = line.end_to_end_id or "", line.outcome or BankOutcome.BOOKED
        said = f"{self._key} {end_to_end} {outcome}"
        command = ReportPayment(
            id="bank-" + hashlib.sha256(said.encode()).hexdigest()[:40],
            caller=self._me.caller,
            tranche=payment.tranche,
            directorate=payment.directorate,
            end_to_end_id=end_to_end,
            outcome=outcome,
            amount=payment.amount,
            statement=self._content,
            on=line.on,
            bank_reference=line.bank_reference,
            reason=line.reason,
        )
        try:
            await self._workflows.tell(payment.initiative, InitiativeWorkflow.report_payment, command)
        except (Problem, RuleBroken) as refused:
            if refused.code in ("unavailable", "internal"):
                raise
            if refused.code == "out_of_order" and await self._is_known(end_to_end, outcome):
                return view.model_copy(update={"verdict": Verdict.DUPLICATE})
            told = {"verdict": Verdict.REFUSED, "code": refused.code, "detail": refused.detail}
            return view.model_copy(update=told)
        return view.model_copy(update={"verdict": Verdict.MATCHED})

    async def _is_known(self, end_to_end: str, outcome: BankOutcome) -> bool:
        async with self._record.reading() as connection:
            found = (await payments.told(connection, {end_to_end})).get(end_to_end)
        return found is not None and found.outcome is outcome


def _view(line: Line, told: dict[str, Told]) -> StatementLine:
    payment = told.get(line.end_to_end_id or "")
    view = StatementLine(**line.model_dump())
    if payment is None or line.verdict is Verdict.NOT_YOURS:
        return view  # whose it is is theirs to know
    return view.model_copy(update={"initiative": payment.reference, "tranche": payment.tranche})
