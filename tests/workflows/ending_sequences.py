"""Random messages on initiatives that one side has ended, and the pure rules that must come to the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence as Many
from datetime import UTC, datetime, timedelta

from countersign.domain import audit, clock, complaining, ending, steps, suspension
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import (
    AnyCommand,
    AskResumption,
    Complain,
    ExaminedReport,
    SubmitReport,
    Terminate,
)
from countersign.domain.facts import (
    ACTIONS,
    ComplaintWindowOpened,
    Happened,
    MatterOpened,
    MatterVoided,
    ReportCutShort,
    ReportSubmitted,
    StageEntered,
)
from countersign.domain.matter import Response, SignOff
from countersign.domain.payment_facts import CommitmentsReleased, TrancheClaimed
from countersign.domain.rules import Examined
from countersign.domain.stage import Stage
from countersign.domain.steps import Deadlines
from countersign.store import initiatives
from tests.audit.whole import faults_of
from tests.workflows.payment_sequences import PaymentSequence, PaymentShadow
from tests.workflows.sequences import SIDES, Sequence, deadlines_of


class EndingShadow(PaymentShadow):
    """The pure side, with the steps by which what was terminated is wound up, or reinstated."""

    def _happened(self, rest: Many[AuditEntry]) -> list[Happened]:
        state, at = self.state, rest[0].instant
        fact = ACTIONS[rest[0].action].model_validate(rest[0].body)
        if rest[0].message is not None:
            return super()._happened(rest)
        match fact:
            case ComplaintWindowOpened():
                return complaining.open_window(state, at)
            case ReportCutShort(due_at=due_at):
                return ending.ask_accounts(state, due_at)
            case TrancheClaimed():
                return ending.claim_back(state, at)
            case CommitmentsReleased():
                return ending.wound_up(state, at)
            case MatterOpened() if state.stage is Stage.SUSPENDED:
                return suspension.ask_itself(state, deadlines_of(rest))
            case MatterVoided() | StageEntered() if state.stage is Stage.TERMINATED:
                return complaining.reinstate(state, at)
            case MatterVoided() | StageEntered() if state.stage is Stage.SUSPENDED:
                return suspension.answered(state) or clock.passed(state, at)
            case StageEntered(stage=Stage.CLOSING):
                return steps.enter(state, Stage.ACTIVE, Stage.CLOSING, deadlines=deadlines_of(rest))
            case StageEntered(stage=Stage.SUSPENDED):
                return clock.passed(state, at)
            case _:
                return super()._happened(rest)

    def _examined_for(self, command: AnyCommand, rest: Many[AuditEntry]) -> Examined:
        fact = ACTIONS[rest[0].action].model_validate(rest[0].body)
        if isinstance(fact, ReportSubmitted):
            return ExaminedReport(costs=fact.costs, by_partner=fact.by_partner)
        return super()._examined_for(command, rest)

    def _deadlines_for(self, command: AnyCommand, rest: Many[AuditEntry]) -> Deadlines | None:
        if isinstance(command, SubmitReport | AskResumption):
            return deadlines_of(rest)
        return super()._deadlines_for(command, rest)


class EndingSequence(PaymentSequence):
    """One initiative that a side ends with some money paid: then complaints, reports, claims, as the seed has it."""

    shadow_of = EndingShadow

    async def run(self) -> Counter[str]:
        """Pay something, end it, then send so many messages, compare after each; what was seen on the way."""
        await self.activate()
        for _ in range(self.luck.randint(0, 8)):
            await self.send(self._right_payment() or self._pay())
            await self.settle()
        await self._wait_for_days(self.luck.choice((1, 40, 170, 230)))
        await self.send(self._end())
        await self.settle()
        for _ in range(self.luck.randint(12, 20)):
            if self.is_over() or self.state.stage is Stage.CLOSING:
                break
            await self._step_of_an_ended_one()
            await self.settle()
        self.seen.update(entry.action for entry in self.shadow.entries)
        assert audit.chain_faults(self.shadow.entries) == []
        assert await faults_of(self.life.database, self.life.id) == []
        return self.seen

    def is_over(self) -> bool:
        return self.state.is_over

    def _is_quiet(self) -> bool:
        state, now = self.state, self.now
        if not Sequence._is_quiet(self) or steps.released(state):
            return False
        if state.stage is Stage.TERMINATED:
            return not (
                complaining.open_window(state, now)
                or ending.wants_accounts(state)
                or complaining.is_upheld(state)
                or ending.claim_back(state, now)
                or ending.wound_up(state, now)
            )
        if state.stage is Stage.SUSPENDED:
            return not (suspension.asks_itself(state) or suspension.answer(state))
        is_done = state.stage is Stage.ACTIVE and state.next_report() is None
        return not (is_done and steps.is_carried_out(state))

    async def compare(self) -> None:
        await super().compare()
        async with self.database.reading() as connection:
            reports = await initiatives.reports(connection, self.life.id)
            found = await initiatives.find(connection, self.life.id)
        assert tuple(reports) == self.state.reports
        is_asked = complaining.complaint(self.state) is not None
        assert found is not None
        assert found.complaint_until == (None if is_asked else complaining.until(self.state))

    async def _step_of_an_ended_one(self) -> None:
        """One thing that somebody does, or some time that passes."""
        roll = self.luck.random()
        if roll < 0.2:
            await self._time_passes()
        elif roll < 0.4:
            await self.send(self._complaint())
        elif roll < 0.7:
            await self.send(self._decision() or self._right_payment() or self._complaint())
        elif roll < 0.8:
            await self.send(await self._report() or self._complaint())
        elif roll < 0.92:
            await self.send(self._right_payment() or self._bank() or self._pay())
        elif roll < 0.96:
            await self.send(self._again())
        else:
            await self.send(self._end() if self.luck.random() < 0.5 else self._resumption())

    def _end(self) -> Terminate:
        side = self.luck.choice(SIDES)
        head = self.somebody(side, self.state.terms.sides[side].head)
        return Terminate(id=self.id(), caller=head, reasons="It leads nowhere.")

    def _complaint(self) -> Complain:
        stranger = self.luck.random() < 0.1
        caller = self.somebody("il", "head") if stranger else self.life.applicant
        return Complain(id=self.id(), caller=caller, reasons="It leads somewhere.")

    def _resumption(self) -> AskResumption:
        return AskResumption(id=self.id(), caller=self.life.applicant, reasons="It could go on.")

    def _decision(self) -> SignOff | None:
        """Whoever is waited for signs, mostly with approval: else nothing would ever be undone."""
        opened = [one for one in self.state.matters if one.is_open and one.missing]
        if not opened:
            return None
        matter = self.luck.choice(opened)
        side = self.luck.choice(matter.missing)
        response = self.luck.choice((*[Response.APPROVE] * 7, Response.RETURN, Response.REFUSE))
        return self.signing(self.somebody(side, self.office(side, matter)), matter, response)

    async def _report(self) -> SubmitReport | None:
        """The report that is waited for, if its period is over; also one that is too late."""
        report = self.state.next_report()
        if report is None or self.now < report.ends_at:
            return None
        content = await self.life.put_report(report.number)
        return SubmitReport(
            id=self.id(), caller=self.life.applicant, report=report.number, content_hash=content
        )

    async def _time_passes(self) -> None:
        """Up to something that time brings about, and a little more."""
        ends = [clock.instant_of(clock.coming(self.state)), ending.waits_until(self.state, self.now)]
        coming = [one for one in ends if one is not None and one > self.now]
        until = self.luck.choice(coming) if coming else self.now + timedelta(days=20)
        await self._wait_until(until + timedelta(minutes=self.luck.choice((1, 60 * 24 * 4))))

    async def _wait_for_days(self, days: int) -> None:
        await self._wait_until(self.now + timedelta(days=days))
        await self.settle()

    async def _wait_until(self, until: datetime) -> None:
        await self.life.pass_until(until)
        self.now = max(self.now, until.astimezone(UTC))
