"""Random messages on the first payments of an initiative, and the pure rules that must come to the same."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence as Many
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from temporalio.client import Client

from countersign.domain import audit, clock, steps
from countersign.domain.agreement import FINANCE_OFFICE, MatterKind, ProgrammeAgreement
from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import (
    AnyCommand,
    AuthoriseTranche,
    ConfirmTranche,
    HoldTranche,
    ReportPayment,
    ResumeTranche,
)
from countersign.domain.facts import ACTIONS, Happened, ReportEscalated, ReportFellOverdue, ReportReminded
from countersign.domain.funding import BankOutcome, PaymentState, Share
from countersign.domain.mandate import PAYMENT, Mandate, MandateKind
from countersign.domain.matter import Caller, Response
from countersign.domain.payment_facts import TrancheDiverged, TrancheInstructed
from countersign.domain.reporting import ReportState
from countersign.domain.stage import TERMINAL, Stage
from countersign.store import initiatives, mandates
from countersign.store.session import Database
from tests.audit.whole import faults_of
from tests.domain.lives import holder
from tests.workflows.sequences import SIDES, Sequence, Shadow


class PaymentShadow(Shadow):
    """The pure side, with the steps of an active initiative."""

    def _happened(self, rest: Many[AuditEntry]) -> list[Happened]:
        fact = ACTIONS[rest[0].action].model_validate(rest[0].body)
        if isinstance(fact, TrancheInstructed):
            tranche = self.state.tranche(fact.number)
            assert tranche in steps.released(self.state)
            assert tranche is not None
            told = steps.to_instruct(self.state, tranche)
            return steps.instructed(self.state, fact.number, {side: told[side] for side in fact.instructions})
        if isinstance(fact, TrancheDiverged | ReportReminded | ReportFellOverdue | ReportEscalated):
            return clock.passed(self.state, rest[0].instant)
        return super()._happened(rest)


class PaymentSequence(Sequence):
    """One active initiative, and what is sent to its first tranches as the seed has it."""

    shadow_of: ClassVar[type[PaymentShadow]] = PaymentShadow

    def __init__(self, seed: int, client: Client, database: Database, agreement: ProgrammeAgreement) -> None:
        super().__init__(seed, client, database, agreement)
        self.shadow = self.shadow_of(self.life.beginning, self.life.proposal)

    async def run(self) -> Counter[str]:
        """Send so many messages, compare after each; what was seen on the way."""
        await self.activate()
        for _ in range(self.luck.randint(12, 18)):
            await self.step()
        await self.settle()
        self.seen.update(entry.action for entry in self.shadow.entries)
        assert audit.chain_faults(self.shadow.entries) == []
        assert await faults_of(self.life.database, self.life.id) == []
        return self.seen

    async def activate(self) -> None:
        """Let everybody approve."""
        await self.life.begin()
        self.now = datetime.now(UTC)
        await self.settle()
        while self.state.stage is not Stage.ACTIVE:
            matter = next(one for one in self.state.matters if one.is_open)
            side = matter.missing[0]
            signer = self.somebody(side, self.office(side, matter))
            await self.send(self.signing(signer, matter, Response.APPROVE))
            await self.settle()

    def is_over(self) -> bool:
        return self.state.stage in TERMINAL

    def _is_quiet(self) -> bool:
        report = self.state.next_report()
        late = report is not None and report.state is ReportState.SCHEDULED and report.due_at <= self.now
        return super()._is_quiet() and not steps.released(self.state) and not late

    async def compare(self) -> None:
        await super().compare()
        async with self.database.reading() as connection:
            tranches = await initiatives.tranches(connection, self.life.id)
        assert tuple(tranches) == self.state.tranches

    async def step(self) -> None:
        """One thing that somebody does to a payment, or some time that passes."""
        roll = self.luck.random()
        if roll < 0.12:
            await self.skip()
        elif roll < 0.17:
            await self.send(self._again())
        elif roll < 0.30:
            await self.lend_payment()
        elif roll < 0.45:
            await self.send(self._stop())
        elif roll < 0.68:
            await self.send(self._bank() or self._pay())
        else:
            await self.send(self._pay())
        if self.luck.random() < 0.8:
            await self.settle()

    def _officer(self, side: str) -> Caller:
        return self.somebody(side, FINANCE_OFFICE)

    def _part(self) -> tuple[dict[str, Any], Share | None]:
        """A part of a tranche, mostly of the one that is due; also one that there is not."""
        side, number = self.luck.choice(SIDES), self.luck.choice((1, 1, 1, 1, 1, 1, 2, 9))
        tranche = self.state.tranche(number)
        caller = self._officer("az" if side == "il" and self.luck.random() < 0.05 else side)
        fields = {"id": self.id(), "caller": caller, "tranche": number, "directorate": side}
        return fields, tranche.shares[side] if tranche else None

    def _pay(self) -> AnyCommand:
        fields, share = self._part()
        due = share is not None and not share.instructions
        kind = AuthoriseTranche if due or self.luck.random() < 0.3 else ConfirmTranche
        return kind.model_validate(fields)

    def _right_payment(self) -> AnyCommand | None:
        """What a finance officer is waited for to do; another one confirms."""
        waiting = [
            (tranche.number, side, share.state is PaymentState.INSTRUCTED)
            for tranche in self.state.tranches
            for side, share in tranche.shares.items()
            if share.state in (PaymentState.DUE, PaymentState.FAILED, PaymentState.INSTRUCTED)
        ]
        if not waiting:
            return None
        number, side, is_told = self.luck.choice(waiting)
        caller = holder(side, FINANCE_OFFICE, f"{self.life.id[-8:]}-{'b' if is_told else 'a'}")
        kind = ConfirmTranche if is_told else AuthoriseTranche
        return kind(id=self.id(), caller=caller, tranche=number, directorate=side)

    def _stop(self) -> AnyCommand:
        fields, share = self._part()
        held = share is not None and share.held_from is not None
        kind = ResumeTranche if held or self.luck.random() < 0.2 else HoldTranche
        return kind.model_validate(fields | {"reasons": "The account was looked at."})

    def _bank(self) -> ReportPayment | None:
        fields, share = self._part()
        told = [one for one in share.instructions if one.is_money] if share else []
        if not told:
            return None
        one = self.luck.choice(told)
        word = {
            "end_to_end_id": one.end_to_end_id,
            "outcome": self.luck.choice((BankOutcome.BOOKED, BankOutcome.BOOKED, BankOutcome.RETURNED)),
            "amount": one.amount if self.luck.random() < 0.8 else Amount(1, one.amount.unit),
            "statement": "sha256:" + "5" * 64,
        }
        return ReportPayment.model_validate(fields | word)

    async def lend_payment(self) -> None:
        """Somebody acts on behalf of a finance officer, under a mandate of some kind or none."""
        fields, share = self._part()
        delegator = self._officer(fields["directorate"])
        if delegator.person != fields["caller"].person:
            kind = self.luck.choice(("good", "good", "good", "kinds", "ceiling", "past", "none"))
            if kind != "none" and share is not None:
                await self._give_payment(kind, share, delegator, fields["caller"])
        command = self._pay()
        lent = {"on_behalf_of": delegator.person, **fields}
        await self.send(command.model_copy(update=lent))

    async def _give_payment(self, kind: str, share: Share, delegator: Caller, delegate: Caller) -> None:
        now = (await self.life.skipper.get_current_time(self.life.handle)).astimezone(UTC)
        day = timedelta(days=1, seconds=self.luck.randint(1, 9_999))
        part = share.amounts[0]
        kinds: tuple[MandateKind, ...] = (MatterKind.REPORT,) if kind == "kinds" else (PAYMENT,)
        mandate = Mandate(
            id=str(uuid.uuid4()),
            directorate=delegator.directorate or "",
            delegator=delegator.person,
            delegate=delegate.person,
            offices=delegator.offices,
            kinds=kinds,
            ceiling=(Amount(part.minor - (kind == "ceiling"), part.unit),),
            valid_from=now - 3 * day,
            valid_to=now - day if kind == "past" else now + 300 * day,
            given_at=now - 3 * day,
        )
        async with self.database.transaction() as connection:
            self.shadow.mandates.append(await mandates.give(connection, mandate))
