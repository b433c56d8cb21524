"""Keeping the state of an initiative: every change goes through the record first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError

from countersign.activities.deadlines import DeadlineAnswer, DeadlineQuestion
from countersign.activities.mandates import MandateQuestion
from countersign.activities.record import (
    Opened,
    Opening,
    ProposalQuestion,
    Recorded,
    ReportAnswer,
    ReportQuestion,
)
from countersign.activities.signing import SigningOrder
from countersign.domain import amending, clock, draft, in_force, rules, steps
from countersign.domain.agreement import MatterKind, Terms
from countersign.domain.amendment import DueDate
from countersign.domain.audit import AuditEntry
from countersign.domain.budget import Lack
from countersign.domain.clock import Coming
from countersign.domain.commands import (
    AdoptAgreement,
    AnyCommand,
    AskAmendment,
    AskResumption,
    Complain,
    ExaminedAmendment,
    ExaminedProposal,
    ExtendDeadline,
    FinanceCommand,
    MandatesGiven,
    Revise,
    SubmitReport,
    fingerprint,
)
from countersign.domain.decision import position_document
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import UNKNOWN, Happened, MessageRefused, PositionReached
from countersign.domain.funding import FundingAgreements
from countersign.domain.funding_agreement import amended_basis, basis
from countersign.domain.initiative import InitiativeState, entries_for, replay
from countersign.domain.ledger import Code
from countersign.domain.matter import Caller, SignOff
from countersign.domain.projection import Waiting, step_of, waited_for
from countersign.workflows import options, patches, signposts
from countersign.workflows.messages import Answer

T = TypeVar("T")

Rule = Callable[[InitiativeState, datetime], list[Happened]]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a step: put on record now or not, and of which budgets too little is left for it."""

    is_new: bool
    lacking: tuple[Lack, ...] = ()


class Keeper:
    """The state of one initiative, and the one way it changes: decided, recorded, then so.

    One message or step at a time has its turn, so there is a serial order that explains every answer.
    """

    def __init__(self, state: InitiativeState) -> None:
        self.state = state
        # Asked after every event, and the same for as long as the state is: each with the state that it is of.
        self._foreseen: tuple[InitiativeState, Coming | None] | None = None
        self._waited_for: tuple[InitiativeState, tuple[Waiting, ...]] | None = None
        self._puts_up = workflow.patched(patches.WAITS_FOR)
        self.turn = asyncio.Lock()
        self._answered: dict[str, datetime] = {}
        self.freed = 0
        """How many steps gave back money, or a place in the queue for it; and of how many those who wait were told."""
        self.offered = 0

    @property
    def coming(self) -> Coming | None:
        """What time brings about next."""
        if self._foreseen is None or self._foreseen[0] is not self.state:
            self._foreseen = self.state, clock.coming(self.state)
        return self._foreseen[1]

    @property
    def waiting(self) -> tuple[Waiting, ...]:
        """Everybody who is waited for."""
        if self._waited_for is None or self._waited_for[0] is not self.state:
            self._waited_for = self.state, tuple(waited_for(self.state))
        return self._waited_for[1]

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

    async def take(self, rule: Rule) -> Taken:
        """Take a step by a rule; one that was taken already changes nothing."""
        async with self.turn:
            while happened := rule(self.state, workflow.now()):
                recorded = await self._record(happened, workflow.now())
                if not recorded.standing:
                    return Taken(is_new=not recorded.lacking, lacking=recorded.lacking)
        return Taken(is_new=False)

    async def _record(self, happened: list[Happened], now: datetime) -> Recorded:
        """Put facts on record, then on the state. When others stand at their place, adopt those (ADR 0007).

        What reserves money that is not there changes nothing.
        """
        before = self.state
        after, entries = entries_for(before, happened, now)
        recorded = await self._signed_and_recorded(happened, after, entries, now)
        if recorded is None:
            recorded = await self._write("record", after, entries, now)
        elif recorded.signed:
            after = replay(after, recorded.signed)
        if recorded.lacking:
            return recorded
        if recorded.standing:
            after = replay(before, recorded.standing)
        self.state = after
        self.freed += before.deferral is not None and after.deferral is None
        self.show()
        if not self._puts_up and before.stage is not after.stage and after.stage is not None:
            workflow.upsert_search_attributes([options.STAGE.value_set(after.stage.value)])
        return recorded

    def show(self, *, resting: bool = False) -> None:
        """Have Temporal's tools show where the initiative stands; ``resting``, where it stays until something comes."""
        if self._puts_up:
            signposts.put_up(self.state, self.waiting, resting=resting)
        signposts.tell(self.state, self.waiting, self.coming)

    async def _signed_and_recorded(
        self,
        happened: list[Happened],
        after: InitiativeState,
        entries: tuple[AuditEntry, ...],
        now: datetime,
    ) -> Recorded | None:
        """A position that is reached, on record with its signature at once, where this worker serves its side.

        None when there is no such position or its side is to be asked on its own queue: then nothing is recorded yet.
        """
        reached = [one.fact for one in happened if isinstance(one.fact, PositionReached)]
        matter = after.matter(reached[0].matter) if len(reached) == 1 else None
        if matter is None:
            return None
        position = reached[0].position
        follows = steps.countersigned(after, matter.number, position, matter.content_hash, draft.PENDING)
        signed, further = entries_for(after, follows, now)
        order = SigningOrder(
            directorate=position.directorate, document=position_document(after, matter, position)
        )
        recorded = await self._write("sign_and_record", signed, (*entries, *further), now, order)
        return recorded if recorded.signed else None

    async def _write(
        self,
        activity: str,
        after: InitiativeState,
        entries: tuple[AuditEntry, ...],
        now: datetime,
        *more: SigningOrder,
    ) -> Recorded:
        """Have an activity write the step to ``after``, and count the deadlines that the next step will ask for.

        Nobody on the way needs to take the step apart again: it goes to the database as the JSON that it is here. The
        next step asks for the deadlines of the matter that it opens.
        """
        following = step_of(self.state, after, entries)
        self._waited_for = after, following.projection.waiting
        step = following.model_dump_json().encode()
        kind = steps.opens_next(self.state, after)
        questions = self._matter_questions(kind, after, now) if kind is not None else []
        recorded: Recorded = await workflow.execute_local_activity(
            activity,
            args=[step, *more, questions],
            result_type=Recorded,
            summary=signposts.brief(entry.action for entry in entries),
            **options.RECORD,
        )
        self.freed += any(one.code == Code.COMMITMENT_RELEASED for one in following.ledger)
        self._answered |= dict(zip(map(_asked, questions), recorded.deadlines, strict=False))
        return recorded

    async def _look_up(self, command: AnyCommand) -> dict[str, Any]:
        """What a message needs from the record, or from the calendar, to be decided on."""
        match command:
            case SignOff(on_behalf_of=str(delegator)) | FinanceCommand(on_behalf_of=str(delegator)):
                return {"mandates": await self._mandates(delegator, command.caller)}
            case Revise():
                return {"examined": await self._examined(command.content_hash, command.caller.person)}
            case AskAmendment() | AdoptAgreement():
                return await self._amendment(command)
            case SubmitReport():
                due = self.state.report(command.report)
                report = ReportQuestion(
                    content_hash=command.content_hash,
                    submitter=command.caller.person,
                    initiative=self.state.id,
                    summary=self.state.proposal,
                    currencies={side: one.currency for side, one in self.state.terms.sides.items()},
                    proposal=self.state.content_hash,
                    began_at=self.state.reports[0].starts_at if self.state.reports else None,
                    **({} if due is None else due.model_dump(include={"ends_at", "kind", "milestone"})),
                )
                questions = self._matter_questions(MatterKind.REPORT, self.state, workflow.now())
                answer: ReportAnswer = await workflow.execute_local_activity(
                    "examine_report",
                    args=[report, questions],
                    result_type=ReportAnswer,
                    summary=f"report {command.report}",
                    **options.LOOK_UP,
                )
                return {
                    "examined": answer.examined,
                    "deadlines": self._matter_deadlines(answer.deadlines),
                }
            case AskResumption():
                return {"deadlines": await self.matter_deadlines(MatterKind.RESUMPTION)}
            case Complain():
                return {"deadlines": await self.matter_deadlines(MatterKind.COMPLAINT)}
            case ExtendDeadline(matter=number, working_days=days):
                return {"deadlines": await self._extended(number, command.caller.directorate or "", days)}
            case _:
                return {}

    async def _examined(self, content_hash: str, submitter: str) -> ExaminedProposal:
        """What the record says of a version that is to replace the current one."""
        question = ProposalQuestion(
            agreement=self.state.terms.agreement,
            agreement_version=self.state.terms.version,
            content_hash=content_hash,
            submitter=submitter,
            initiative=self.state.id,
            replaces=self.state.content_hash,
        )
        found: ExaminedProposal = await _ask("examine_proposal", question, ExaminedProposal)
        return found

    async def _amendment(self, command: AskAmendment | AdoptAgreement) -> dict[str, Any]:
        """An amendment as it would be: what it changes, when reports fall due, the funding agreements that it makes.

        Of one that may not be asked for only as much as the rule needs to say why.
        """
        try:
            amending.may_ask(self.state, command)
        except RuleBroken:
            return {}
        terms: Terms | None = None
        if isinstance(command, AdoptAgreement):
            under = await self._under(command.agreement_version)
            if under is None:
                return {}
            terms, proposal = under.terms, under.examined
        else:
            proposal = await self._examined(command.content_hash, command.caller.person)
        summary, deadlines = proposal.summary, None
        due: tuple[DueDate, ...] = ()
        under_terms = terms or self.state.terms
        if summary is not None and summary.lead_directorate in under_terms.sides:
            version = in_force.Version(summary, under_terms)
            ends = [one.ends_at for one in in_force.periods(self.state, version)]
            matter = self._matter_questions(MatterKind.AMENDMENT, self.state, workflow.now())
            days = version.terms.deadlines.report
            wanted = [(summary.lead_directorate, end, days) for end in ends]
            counted = await self._count([*matter, *self._questions(wanted, version.terms)])
            deadlines = self._matter_deadlines(counted[: len(matter)])
            due = tuple(
                DueDate(ends_at=end, due_at=at) for end, at in zip(ends, counted[len(matter) :], strict=True)
            )
        examined = ExaminedAmendment(proposal=proposal, due=due, terms=terms)
        now = workflow.now()
        try:
            proposed = amending.planned(self.state, command, now, examined)
        except RuleBroken:
            return {"examined": examined}
        rests_on = amended_basis(self.state, proposed, now.date(), now)
        drawn_up = await _ask("draw_up_funding_agreements", rests_on, FundingAgreements)
        return {
            "examined": examined.model_copy(update={"funding_agreements": drawn_up}),
            "deadlines": deadlines,
        }

    async def _under(self, agreement_version: int) -> Opened | None:
        """The proposal in force under another version of the agreement, if there is such a one on record."""
        question = Opening(
            agreement=self.state.terms.agreement,
            agreement_version=agreement_version,
            content_hash=self.state.content_hash,
        )
        try:
            found: Opened = await _ask("open_initiative", question, Opened)
        except FailureError as error:
            # A local activity's error comes as it is, another's as the cause of one.
            cause = error if isinstance(error, ApplicationError) else error.cause
            if not isinstance(cause, ApplicationError) or cause.type != "not_found":
                raise
            return None
        return found

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
            self._questions([(side, start, working_days), (side, start, working_days + grace)])
        )
        return steps.Deadlines(per_directorate={side: deadline}, lapses_at=lapses_at)

    async def matter_deadlines(self, kind: MatterKind) -> steps.Deadlines:
        """The deadlines of a matter that is opened now, and when silence ends it."""
        questions = self._matter_questions(kind, self.state, workflow.now())
        return self._matter_deadlines(await self._count(questions))

    def _matter_questions(
        self, kind: MatterKind, state: InitiativeState, now: datetime
    ) -> list[DeadlineQuestion]:
        """Each side's deadline in a matter of that kind, then each side's with the grace that follows it."""
        days = state.terms.deadlines
        until = days.matter[kind]
        return [
            DeadlineQuestion(calendar=side.calendar, start=now, working_days=working_days)
            for working_days in (until, until + days.grace)
            for side in state.terms.sides.values()
        ]

    def _matter_deadlines(self, answers: tuple[datetime, ...]) -> steps.Deadlines:
        sides = list(self.state.terms.sides)
        return steps.Deadlines(
            per_directorate=dict(zip(sides, answers, strict=False)),
            lapses_at=max(answers[len(sides) :]),
        )

    async def draw_up_agreements(self) -> FundingAgreements:
        """Every side's funding agreement, drawn up from the proposal as it is now and kept on record."""
        rests_on = basis(self.state, workflow.now().date())
        drawn_up: FundingAgreements = await _ask("draw_up_funding_agreements", rests_on, FundingAgreements)
        return drawn_up

    async def deadlines(self, wanted: list[tuple[str, int]]) -> tuple[datetime, ...]:
        """The ends of so many working days of each side, counted from now."""
        now = workflow.now()
        return await self._count(self._questions([(side, now, days) for side, days in wanted]))

    async def deadlines_from(
        self, side: str, working_days: int, starts: list[datetime]
    ) -> tuple[datetime, ...]:
        """The ends of so many working days of one side, counted from each start."""
        return await self._count(self._questions([(side, start, working_days) for start in starts]))

    def _questions(
        self, wanted: list[tuple[str, datetime, int]], terms: Terms | None = None
    ) -> list[DeadlineQuestion]:
        sides = (terms or self.state.terms).sides
        return [
            DeadlineQuestion(calendar=sides[side].calendar, start=start, working_days=days)
            for side, start, days in wanted
        ]

    async def _count(self, questions: list[DeadlineQuestion]) -> tuple[datetime, ...]:
        """The answers to questions; those that went along with the last step were answered with it."""
        answered, self._answered = self._answered, {}
        if all(_asked(one) in answered for one in questions):
            return tuple(answered[_asked(one)] for one in questions)
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


def _asked(question: DeadlineQuestion) -> str:
    """What a question asks, but for the very moment: workflow time goes on with every activity."""
    minute = question.start.replace(second=0, microsecond=0)
    return question.model_copy(update={"start": minute}).model_dump_json()


async def _ask(activity: str, question: Any, answer: type[T]) -> T:
    """Look something up by a local activity."""
    found: T = await workflow.execute_local_activity(
        activity, question, result_type=answer, summary=activity.replace("_", " "), **options.LOOK_UP
    )
    return found


def refusal_of_strange(place: str, detail: str) -> Rule:
    """The rule by which a signal that is no sign-off at all is refused on record, once, under its place in the run."""
    fact = MessageRefused(message="sign_off", code="invalid", detail=detail, fingerprint=place[-16:])

    def refuse(state: InitiativeState, _: datetime) -> list[Happened]:
        strangers = sum(key.startswith(f"{UNKNOWN} ") for key in state.answers)
        if f"{UNKNOWN} {place}" in state.answers or strangers >= rules.REFUSALS:
            return []
        return [Happened(fact, actor=UNKNOWN, message=place)]

    return refuse
