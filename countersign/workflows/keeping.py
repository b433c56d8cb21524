"""Keeping the state of an initiative: every change goes through the record first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow

from countersign.activities.deadlines import DeadlineAnswer, DeadlineQuestion
from countersign.activities.mandates import MandateQuestion
from countersign.activities.record import ProposalQuestion, Recorded, ReportQuestion
from countersign.activities.signing import Countersignature, SigningOrder
from countersign.domain import rules, steps
from countersign.domain.agreement import MatterKind
from countersign.domain.commands import (
    AnyCommand,
    Complain,
    ExaminedProposal,
    ExaminedReport,
    ExtendDeadline,
    MandatesGiven,
    Revise,
    SubmitReport,
    fingerprint,
)
from countersign.domain.decision import position_document
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened, PositionReached
from countersign.domain.initiative import InitiativeState, entries_for, replay
from countersign.domain.matter import Caller, Position, SignOff
from countersign.domain.projection import step_of
from countersign.workflows import options
from countersign.workflows.messages import Answer

T = TypeVar("T")

Rule = Callable[[InitiativeState, datetime], list[Happened]]


class Keeper:
    """The state of one initiative, and the one way it changes: decided, recorded, then so.

    One message or step at a time has its turn, so there is a serial order that explains every answer.
    """

    def __init__(self, state: InitiativeState) -> None:
        self.state = state
        self.turn = asyncio.Lock()

    async def receive(self, command: AnyCommand) -> Answer:
        """Decide on a message, record it as counted or refused, and answer; the same id again, the same answer."""
        async with self.turn:
            while True:
                seen = self.state.answer_to(command.caller, command.id)
                if seen is not None:
                    if seen.fingerprint == fingerprint(command):
                        return seen.answer
                    return Answer(
                        status="refused",
                        sequence=seen.answer.sequence,
                        code="idempotency_key_reused",
                        detail="this id came before with another message",
                    )
                looked_up = await self._look_up(command)
                now = workflow.now()
                try:
                    happened = rules.receive(self.state, command, now, **looked_up)
                except RuleBroken as broken:
                    if self._refusals_of(command.caller) >= rules.REFUSALS:
                        return Answer(
                            status="refused",
                            sequence=self.state.sequence,
                            code="rate_limited",
                            detail="too many of your messages did not count; this one was not looked at",
                        )
                    happened = [rules.refused(command, broken)]
                await self._record(happened, now)

    def _refusals_of(self, caller: Caller) -> int:
        mine = f"{caller.person} "
        return sum(
            seen.answer.status == "refused"
            for key, seen in self.state.answers.items()
            if key.startswith(mine)
        )

    async def take(self, rule: Rule) -> None:
        """Take a step by a rule; one that was taken already changes nothing."""
        async with self.turn:
            while happened := rule(self.state, workflow.now()):
                if await self._record(happened, workflow.now()):
                    return

    async def _record(self, happened: list[Happened], now: datetime) -> bool:
        """Put facts on record, then on the state. When others stand at their place, adopt those (ADR 0007)."""
        after, entries = entries_for(self.state, happened, now)
        for reached in [one.fact for one in happened if isinstance(one.fact, PositionReached)]:
            signed = await self._countersigned(after, reached.matter, reached.position)
            after, further = entries_for(after, signed, now)
            entries += further
        # Nobody on the way needs to take it apart again: the step goes to the database as the JSON that it is here.
        step = step_of(self.state, after, entries).model_dump_json().encode()
        recorded = await workflow.execute_local_activity(
            "record", step, result_type=Recorded, **options.RECORD
        )
        if recorded.standing:
            after = replay(self.state, recorded.standing)
        before, self.state = self.state, after
        if before.stage is not after.stage and after.stage is not None:
            workflow.upsert_search_attributes([options.STAGE.value_set(after.stage.value)])
        return not recorded.standing

    async def _countersigned(self, after: InitiativeState, number: int, position: Position) -> list[Happened]:
        """A position that is reached, signed at once where this worker serves its side (ADR 0010), and what follows."""
        matter = after.matter(number)
        if matter is None:
            return []
        order = SigningOrder(
            directorate=position.directorate, document=position_document(after, matter, position)
        )
        signed = await _ask("sign_here", order, Countersignature)
        if signed.jws is None:
            return []
        return steps.countersigned(after, number, position, matter.content_hash, signed.jws)

    async def _look_up(self, command: AnyCommand) -> dict[str, Any]:
        """What a message needs from the record, or from the calendar, to be decided on."""
        match command:
            case SignOff(on_behalf_of=str(delegator)):
                return {"mandates": await self._mandates(delegator, command.caller)}
            case Revise():
                question = ProposalQuestion(
                    agreement=self.state.terms.agreement,
                    agreement_version=self.state.terms.version,
                    content_hash=command.content_hash,
                    replaces=self.state.content_hash,
                )
                return {"examined": await _ask("examine_proposal", question, ExaminedProposal)}
            case SubmitReport():
                report = ReportQuestion(
                    content_hash=command.content_hash,
                    summary=self.state.proposal,
                    currencies={side: one.currency for side, one in self.state.terms.sides.items()},
                )
                return {
                    "examined": await _ask("examine_report", report, ExaminedReport),
                    "deadlines": await self.matter_deadlines(MatterKind.REPORT),
                }
            case Complain():
                return {"deadlines": await self.matter_deadlines(MatterKind.COMPLAINT)}
            case ExtendDeadline(matter=number, working_days=days):
                return {"deadlines": await self._extended(number, command.caller.directorate or "", days)}
            case _:
                return {}

    async def _mandates(self, delegator: str, delegate: Caller) -> MandatesGiven:
        question = MandateQuestion(delegator=delegator, delegate=delegate.person)
        found: MandatesGiven = await _ask("find_mandates", question, MandatesGiven)
        return found

    async def _extended(self, number: int, side: str, working_days: int) -> steps.Deadlines | None:
        """A side's deadline in a matter, so many working days later than it is or than now."""
        matter = self.state.matter(number)
        if matter is None or side not in matter.deadlines:
            return None
        start, grace = max(matter.deadlines[side], workflow.now()), self.state.terms.deadlines.grace
        # Deadlines are midnights at a day's end: a moment before is still that day, so counting begins with the next.
        start -= timedelta(seconds=1)
        deadline, lapses_at = await self._count(
            [(side, start, working_days), (side, start, working_days + grace)]
        )
        return steps.Deadlines(per_directorate={side: deadline}, lapses_at=lapses_at)

    async def matter_deadlines(self, kind: MatterKind) -> steps.Deadlines:
        """The deadlines of a matter that is opened now, and when silence ends it."""
        days = self.state.terms.deadlines
        sides = list(self.state.terms.sides)
        until = days.matter[kind]
        answers = await self.deadlines(
            [(side, until) for side in sides] + [(side, until + days.grace) for side in sides]
        )
        return steps.Deadlines(
            per_directorate=dict(zip(sides, answers, strict=False)),
            lapses_at=max(answers[len(sides) :]),
        )

    async def deadlines(self, wanted: list[tuple[str, int]]) -> tuple[datetime, ...]:
        """The ends of so many working days of each side, counted from now."""
        now = workflow.now()
        return await self._count([(side, now, days) for side, days in wanted])

    async def deadlines_from(
        self, side: str, working_days: int, starts: list[datetime]
    ) -> tuple[datetime, ...]:
        """The ends of so many working days of one side, counted from each start."""
        return await self._count([(side, start, working_days) for start in starts])

    async def _count(self, wanted: list[tuple[str, datetime, int]]) -> tuple[datetime, ...]:
        sides = self.state.terms.sides
        questions = [
            DeadlineQuestion(calendar=sides[side].calendar, start=start, working_days=days)
            for side, start, days in wanted
        ]
        answer: DeadlineAnswer = await _ask("working_day_deadlines", questions, DeadlineAnswer)
        return answer.deadlines

    async def wait(
        self, condition: Callable[[], bool], until: datetime | None = None, *, summary: str = ""
    ) -> bool:
        """Wait for a condition, at the longest until an instant; whether it came true."""
        if until is None:
            await workflow.wait_condition(condition)
            return True
        if condition():
            return True
        left = max(until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(condition, timeout=left, timeout_summary=summary or None)
        except TimeoutError:
            return condition()
        return True


async def _ask(activity: str, question: Any, answer: type[T]) -> T:
    """Look something up by a local activity."""
    found: T = await workflow.execute_local_activity(
        activity, question, result_type=answer, **options.LOOK_UP
    )
    return found
