"""What an initiative is told: each message an Update, answered when it is on record, counted or refused."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from temporalio import workflow

from countersign.workflows.messages import (
    AdoptAgreement,
    Answer,
    AskAmendment,
    AskResumption,
    AuthoriseTranche,
    ClearCondition,
    Complain,
    ConfirmTranche,
    DeclareConflict,
    DisallowCosts,
    ExtendDeadline,
    GiveEvidence,
    HoldTranche,
    RefuseEvidence,
    ReportPayment,
    ResumeTranche,
    Revise,
    SubmitReport,
    Suspend,
    TakeBackNotice,
    Terminate,
    WaiveReport,
    Withdraw,
    WriteOff,
)


class Mailbox(ABC):
    """The Updates that are taken alike; what becomes of each is for the rules (``domain.rules.receive``)."""

    @abstractmethod
    async def _receive(self, message: Any) -> Answer:
        """Decide on a message, put it on record, and answer."""

    @workflow.update
    async def extend_deadline(self, message: ExtendDeadline) -> Answer:
        """The head of a side gives it more working days in a matter."""
        return await self._receive(message)

    @workflow.update
    async def declare_conflict(self, message: DeclareConflict) -> Answer:
        """Somebody who decides declares an interest, and decides no more on this initiative."""
        return await self._receive(message)

    @workflow.update
    async def withdraw(self, message: Withdraw) -> Answer:
        """The applicant withdraws before the initiative is active."""
        return await self._receive(message)

    @workflow.update
    async def revise(self, message: Revise) -> Answer:
        """A new version of a proposal that was returned."""
        return await self._receive(message)

    @workflow.update
    async def give_evidence(self, message: GiveEvidence) -> Answer:
        """The applicant shows that a condition is met."""
        return await self._receive(message)

    @workflow.update
    async def clear_condition(self, message: ClearCondition) -> Answer:
        """The side that set a condition clears it."""
        return await self._receive(message)

    @workflow.update
    async def refuse_evidence(self, message: RefuseEvidence) -> Answer:
        """The side that set a condition finds that the evidence does not do."""
        return await self._receive(message)

    @workflow.update
    async def complain(self, message: Complain) -> Answer:
        """The applicant asks all sides to look at a refusal, or a termination, again."""
        return await self._receive(message)

    @workflow.update
    async def authorise_tranche(self, message: AuthoriseTranche) -> Answer:
        """A finance officer authorises their side's part of a tranche."""
        return await self._receive(message)

    @workflow.update
    async def confirm_tranche(self, message: ConfirmTranche) -> Answer:
        """Another finance officer confirms that it was paid."""
        return await self._receive(message)

    @workflow.update
    async def hold_tranche(self, message: HoldTranche) -> Answer:
        """A side stops its part of a tranche before its bank is told."""
        return await self._receive(message)

    @workflow.update
    async def resume_tranche(self, message: ResumeTranche) -> Answer:
        """It lets that part go on."""
        return await self._receive(message)

    @workflow.update
    async def report_payment(self, message: ReportPayment) -> Answer:
        """A finance officer brings the bank's word on one payment."""
        return await self._receive(message)

    @workflow.update
    async def submit_report(self, message: SubmitReport) -> Answer:
        """The applicant submits a report of a period that has ended."""
        return await self._receive(message)

    @workflow.update
    async def ask_amendment(self, message: AskAmendment) -> Answer:
        """The applicant asks for another version of what is carried out."""
        return await self._receive(message)

    @workflow.update
    async def adopt_agreement(self, message: AdoptAgreement) -> Answer:
        """A side, or the applicants, ask to move it to a newer version of the programme agreement."""
        return await self._receive(message)

    @workflow.update
    async def waive_report(self, message: WaiveReport) -> Answer:
        """A side does without a report."""
        return await self._receive(message)

    @workflow.update
    async def suspend(self, message: Suspend) -> Answer:
        """A side suspends the initiative for all of them."""
        return await self._receive(message)

    @workflow.update
    async def terminate(self, message: Terminate) -> Answer:
        """A side ends the initiative for all of them."""
        return await self._receive(message)

    @workflow.update
    async def take_back_notice(self, message: TakeBackNotice) -> Answer:
        """A side takes back what it announced, before it takes effect."""
        return await self._receive(message)

    @workflow.update
    async def ask_resumption(self, message: AskResumption) -> Answer:
        """A side, or the applicants, ask that a suspended initiative goes on."""
        return await self._receive(message)

    @workflow.update
    async def disallow_costs(self, message: DisallowCosts) -> Answer:
        """Whoever certified a side's costs takes some of that back."""
        return await self._receive(message)

    @workflow.update
    async def write_off(self, message: WriteOff) -> Answer:
        """A side gives up what it claims back and does not get."""
        return await self._receive(message)
