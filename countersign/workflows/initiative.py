"""The workflow of one initiative: its life story."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError
from temporalio import workflow
from temporalio.exceptions import ApplicationError

from countersign.activities.record import Opened, Opening
from countersign.domain import budget, clock, complaining, ending, in_force, schedule, steps
from countersign.domain.agreement import MatterKind
from countersign.domain.budget import Lack
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import ReportScheduled
from countersign.domain.initiative import InitiativeState
from countersign.domain.matter import Matter, Outcome
from countersign.domain.stage import COMPLAINABLE, OPENS, Stage
from countersign.workflows import options, patches
from countersign.workflows.deciding import Countersigning
from countersign.workflows.ending import Ending
from countersign.workflows.funding import Funding
from countersign.workflows.keeping import Keeper, refusal_of_strange
from countersign.workflows.mailbox import Mailbox
from countersign.workflows.messages import Answer, Begin, Ended, Receipt, SignOff, Submit, Unencrypted

MESSAGES_PER_RUN: Final = 400
"""After so many a run goes on in a new one: Temporal takes 2,000 Updates a run, and replay must stay short."""


class _RunIsLong(Exception):
    """This run has done its part; the next one takes up the step where it stands."""


@workflow.defn(name="InitiativeWorkflow")
class InitiativeWorkflow(Mailbox):
    """One initiative: one workflow id ``initiative/<id>``, one clock, one history.

    Updates (each answered when it is on record, counted or refused): ``sign_off``, ``extend_deadline``,
    ``declare_conflict``, ``withdraw``, ``revise``, ``give_evidence``, ``clear_condition``, ``refuse_evidence``,
    ``complain``, ``authorise_tranche``, ``confirm_tranche``, ``hold_tranche``, ``resume_tranche``,
    ``report_payment``, ``submit_report``, ``waive_report``, ``ask_amendment``, ``adopt_agreement``, ``suspend``,
    ``terminate``, ``take_back_notice``, ``ask_resumption``, ``disallow_costs``, ``write_off``; and ``submitted``, which
    answers when the submission is on record.
    Signals: ``sign_off``, the same message; never raises, its answer goes to the audit trail. ``budget_changed``: money
    may have come free for those who wait for some.
    Query: ``stage``.
    Waits: for each matter until it is decided or lapses, with reminders and escalation on the way; for a new version
    and for conditions until their deadlines; for each report, with reminders before and after it falls due, up to the
    limit beyond which the initiative is suspended; for its resumption; for what a side announced; for a complaint about
    a refusal or a termination; for every side's signature under its position; for every side's authorisation of a
    tranche, and from one side's payment on for the others', up to the limit beyond which their missing is an alarm; for
    money in every side's budget. Before it waits for the signatures under the funding agreements, it has them drawn up.
    """

    @workflow.init
    def __init__(self, begin: Begin) -> None:
        self._submission = begin.submission
        self._keeper: Keeper | None = Keeper(begin.state) if begin.state is not None else None
        self._messages = 0
        self._strange_signals = 0
        self._budget_changes = 0

    @workflow.run
    async def run(self, begin: Begin) -> Ended:
        if begin.state is None:
            await self._open(begin.submission)
        else:
            self._keeping.show()
        beside = [
            asyncio.create_task(one)
            for one in (
                self._keep_time(),
                Countersigning(self._keeping).countersign(),
                Funding(self._keeping).release_tranches(),
                self._offer_freed_money(),
                self._settle_amendments(),
            )
        ]
        ends = Ending(self._keeping, self._wait)
        by_stage = {
            Stage.SUBMITTED: self._check_eligibility,
            Stage.ELIGIBILITY: lambda: self._decide_jointly(MatterKind.CLEARANCE),
            Stage.DECISION: lambda: self._decide_jointly(MatterKind.PROPOSAL),
            Stage.REVISION: self._await_new_version,
            Stage.CONDITIONS: self._await_conditions,
            Stage.CONTRACTING: lambda: self._decide_jointly(MatterKind.AGREEMENT),
            Stage.ACTIVE: self._carry_out_next_period,
            Stage.CLOSING: self._close,
            Stage.SUSPENDED: ends.await_resumption,
            Stage.TERMINATED: ends.wind_up,
            Stage.INELIGIBLE: self._await_complaint,
            Stage.NOT_APPROVED: self._await_complaint,
        }
        while not self._is_over():
            try:
                await by_stage[self._stage]()
            except _RunIsLong:
                await self._continue_as_new()
            for task in beside:
                if task.done():
                    task.result()  # it never ends by itself: a fault in it is a fault of the workflow
        await self._keeping.take(complaining.release_promised)
        await workflow.wait_condition(self._is_quiet)
        self._keeping.show(resting=True)
        for task in beside:
            task.cancel()
        return Ended(
            initiative=self._state.id,
            reference=self._state.reference,
            stage=self._stage,
            entries=self._state.sequence,
            head=self._state.head,
        )

    # ---- messages

    @workflow.update
    async def submitted(self) -> Receipt:
        """Answers when the submission is on record."""
        await workflow.wait_condition(self._is_open_for_messages)
        state = self._state
        return Receipt(
            initiative=state.id,
            reference=state.reference,
            stage=self._stage,
            content_hash=state.content_hash,
            sequence=state.sequence,
        )

    @workflow.update
    async def sign_off(self, message: SignOff) -> Answer:
        """An office holder's response in a matter."""
        return await self._receive(message)

    @workflow.signal(name="sign_off")
    async def sign_off_by_signal(self, payload: Any = None, *more: Any) -> None:
        """The same as a signal. Whatever comes is recorded, as counted or as refused."""
        try:
            message = SignOff.model_validate(payload)
        except ValidationError as error:
            await self._refuse_strange(payload, error)
        else:
            await self._receive(message)

    @workflow.signal
    async def budget_changed(self, *_: Any) -> None:
        """Money may have come free; whoever does not wait for any takes no notice."""
        self._messages += 1
        self._budget_changes += 1

    @workflow.query
    def stage(self) -> str | None:
        """Where the initiative stands."""
        return self._keeper.state.stage if self._keeper is not None else None

    async def _receive(self, message: Any) -> Answer:
        self._messages += 1
        await workflow.wait_condition(self._is_open_for_messages)
        return await self._keeping.receive(message)

    async def _refuse_strange(self, payload: Any, error: ValidationError) -> None:
        """Record a signal that is no sign-off at all, once: under an id of its place in this run's history."""
        self._strange_signals += 1
        self._messages += 1
        place = f"{workflow.info().run_id}-{self._strange_signals}"
        known = payload.get("id") if isinstance(payload, dict) else None
        where = ", ".join(".".join(map(str, one["loc"])) for one in error.errors()[:5]) or "the whole"
        detail = f"not a sign-off (id {ascii(known)[:64]}): {ascii(where)[:300]}"
        if isinstance(payload, Unencrypted):
            detail = "a message that came unencrypted is not read"
        await workflow.wait_condition(self._is_open_for_messages)
        await self._keeping.take(refusal_of_strange(place, detail))

    def _is_open_for_messages(self) -> bool:
        return self._keeper is not None and self._keeper.state.stage is not None

    # ---- the steps of run

    async def _open(self, begin: Submit) -> None:
        """Bind the initiative to the agreement's terms and put the submission on record."""
        opened = await workflow.execute_local_activity(
            "open_initiative",
            Opening(
                agreement=begin.agreement,
                agreement_version=begin.agreement_version,
                content_hash=begin.content_hash,
                submitter=begin.applicant.person,
                initiative=begin.initiative,
            ),
            result_type=Opened,
            summary=begin.reference,
            **options.LOOK_UP,
        )
        if opened.examined.summary is None:
            raise ApplicationError("; ".join(opened.examined.faults), type="invalid", non_retryable=True)
        if not workflow.patched(patches.WAITS_FOR):
            workflow.upsert_search_attributes([options.AREA.value_set(opened.examined.summary.area)])
        self._keeper = Keeper(
            InitiativeState(
                id=begin.initiative, reference=begin.reference, terms=opened.terms, applicant=begin.applicant
            )
        )
        await self._keeping.take(lambda state, _: steps.submitted(state, opened.examined, begin.content_hash))

    async def _check_eligibility(self) -> None:
        version = self._state.version
        deadlines = await self._keeping.matter_deadlines(MatterKind.CLEARANCE)
        await self._keeping.take(lambda state, _: steps.eligibility(state, version, deadlines))

    async def _decide_jointly(self, kind: MatterKind) -> None:
        """Wait for the outcome of the stage's matter and go where it leads."""
        stage = self._stage
        if stage is Stage.CONTRACTING and not await self._signed_in_time():
            return
        matter = await self._outcome_of(kind)
        following = steps.NEXT[kind].get(matter.outcome or Outcome.LAPSED)
        if self._stage is not stage:
            return
        if following is None:
            deadlines = await self._keeping.matter_deadlines(kind)
            await self._keeping.take(lambda state, _: steps.reopen(state, stage, matter.number, deadlines))
        elif following is Stage.ACTIVE:
            await self._activate()
        else:
            await self._go(stage, following, reason=matter.why)

    async def _signed_in_time(self) -> bool:
        """Whether the funding agreements are decided on while every approval is valid; else it is signed anew."""
        until = self._state.approvals_until(self._state.terms.approval_validity_days)

        def decided() -> bool:
            return self._state.open_matter(MatterKind.AGREEMENT) is None

        if await self._wait(decided, until, summary="validity of the approvals"):
            return True
        await self._go(
            Stage.CONTRACTING, Stage.DECISION, reason="an approval ran out before the agreements were signed"
        )
        return False

    async def _await_new_version(self) -> None:
        version = self._state.version
        changed = lambda: self._state.version != version or self._stage is not Stage.REVISION  # noqa: E731
        if not await self._wait(changed, self._state.stage_deadline, summary="revision"):
            await self._go(Stage.REVISION, Stage.LAPSED, reason="no new version came in time")
        elif self._stage is Stage.REVISION:
            await self._check_eligibility()

    async def _await_conditions(self) -> None:
        open_ones = [one for one in self._state.conditions if one.cleared_by is None]
        if not open_ones:
            await self._go(Stage.CONDITIONS, Stage.CONTRACTING)
            return
        number, until = len(open_ones), min(one.deadline for one in open_ones)

        def fewer() -> bool:
            left = sum(one.cleared_by is None for one in self._state.conditions)
            return left < number or self._stage is not Stage.CONDITIONS

        if not await self._wait(fewer, until, summary="conditions"):
            await self._go(Stage.CONDITIONS, Stage.LAPSED, reason="a condition was not met in time")

    async def _carry_out_next_period(self) -> None:
        """Wait for what becomes of the next report: it comes, falls overdue, is accepted, or an amendment moves it.

        The last one that is accepted leads to the closing.
        """

        def ended() -> bool:
            return self._stage is not Stage.ACTIVE

        report = self._state.next_report()
        if report is None:
            # What is put before both sides for the closure must be final: nothing that was let go is still to pay.
            await self._wait(
                lambda: ended() or steps.is_carried_out(self._state) or self._state.next_report() is not None
            )
            if self._state.next_report() is None:
                await self._go(Stage.ACTIVE, Stage.CLOSING)
            return
        await self._wait(lambda: ended() or self._state.next_report() is not report)
        following = self._state.next_report()
        if not ended() and following is not None and following.number > report.number:
            await self._continue_as_new()

    async def _close(self) -> None:
        """The closure is signed; then the last tranche is paid, or what was not spent comes back; then it is closed."""
        matter = await self._outcome_of(MatterKind.CLOSURE)
        if matter.outcome is not Outcome.APPROVED:
            deadlines = await self._keeping.matter_deadlines(MatterKind.CLOSURE)
            await self._keeping.take(
                lambda state, _: steps.reopen(state, Stage.CLOSING, matter.number, deadlines)
            )
            return
        await self._keeping.take(lambda state, _: steps.release_closing_tranche(state))
        # Both are asked again of what stands by then: a payment may come back at the last moment.
        await self._wait(
            lambda: steps.all_paid(self._state) or bool(ending.claim_back(self._state, workflow.now()))
        )
        claimed = await self._keeping.take(ending.claim_back)
        if not claimed.is_new:
            await self._go(Stage.CLOSING, Stage.CLOSED)

    async def _await_complaint(self) -> None:
        """Let the refusal become final, or the decision be reopened by a complaint that both sides uphold."""
        stage = self._stage

        def lodged() -> bool:
            return self._state.open_matter(MatterKind.COMPLAINT) is not None

        if await self._wait(lodged, complaining.until(self._state), summary="complaints"):
            matter = await self._outcome_of(MatterKind.COMPLAINT)
            if matter.outcome is Outcome.APPROVED:
                await self._go(stage, Stage.DECISION, reason="a complaint was upheld")

    # ---- what the steps are made of

    def _is_over(self) -> bool:
        if self._stage in COMPLAINABLE:
            return complaining.is_over(self._state, workflow.now())
        return self._state.is_over

    async def _outcome_of(self, kind: MatterKind) -> Matter:
        """The last matter of a kind, decided, lapsed or void."""
        matter = self._state.last_matter(kind)
        if matter is None:
            raise RuleBroken("stage_closed", f"no {kind} was put before the directorates")
        number = matter.number

        def closed() -> bool:
            current = self._state.matter(number)
            return current is not None and not current.is_open

        await self._wait(closed)
        return self._state.matter(number) or matter

    async def _go(self, before: Stage, stage: Stage, *, reason: str | None = None) -> None:
        """Go from one stage to the next, with the deadline it has and the matter it opens; once, whoever went first.

        Where the next stage needs money and too little is left, wait for a while instead. A proposal that was corrected
        while its funding agreements were drawn up stays where it is: the step of ``run`` comes here again.
        """
        budget_changes = self._budget_changes
        days = self._state.terms.deadlines
        deadlines = await self._keeping.matter_deadlines(OPENS[stage]) if stage in OPENS else None
        drawn_up = await self._keeping.draw_up_agreements() if stage is Stage.CONTRACTING else None
        deadline, due = None, {}
        if stage is Stage.REVISION:
            (deadline,) = await self._keeping.deadlines(
                [(self._state.proposal.lead_directorate, days.revision)]
            )
        elif stage is Stage.CONDITIONS:
            sides = list(self._state.terms.sides)
            counted = await self._keeping.deadlines([(side, days.conditions) for side in sides])
            due, deadline = dict(zip(sides, counted, strict=True)), max(counted)
        taken = await self._keeping.take(
            lambda state, _: steps.enter(
                state,
                before,
                stage,
                reason=reason,
                deadline=deadline,
                deadlines=deadlines,
                conditions_due=due,
                drawn_up=drawn_up,
            )
        )
        if taken.lacking:
            await self._await_money(before, taken.lacking, budget_changes)

    async def _await_money(self, stage: Stage, lacking: tuple[Lack, ...], budget_changes: int) -> None:
        """Take a place among those who wait for money, then wait until there may be some, or the approvals run out."""
        deferred = await self._keeping.take(lambda state, _: steps.defer(state, stage, lacking))
        if deferred.is_new:
            return  # some may have come free before that was on record: nobody would have said so here
        expires = (
            self._state.approvals_until(self._state.terms.approval_validity_days)
            if stage is Stage.DECISION
            else None
        )
        until = min(filter(None, (budget.try_again_at(workflow.now()), expires)))

        def moved() -> bool:
            return self._budget_changes != budget_changes or self._stage is not stage

        if await self._wait(moved, until, summary="money"):
            return
        if expires is not None and workflow.now() >= expires:
            deadlines = await self._keeping.matter_deadlines(MatterKind.PROPOSAL)
            await self._keeping.take(lambda state, _: steps.renew(state, deadlines))

    async def _offer_freed_money(self) -> None:
        """Whenever this initiative gives something back, have those who wait for money look again."""
        while True:
            await workflow.wait_condition(lambda: self._keeping.offered < self._keeping.freed)
            freed = self._keeping.freed
            await workflow.execute_local_activity(
                "offer_money", self._state.terms.agreement, summary="to those who wait", **options.LOOK_UP
            )
            self._keeping.offered = freed  # what came free meanwhile is told again

    async def _settle_amendments(self) -> None:
        """Whenever an amendment is decided, lapses or is overtaken, have it take effect or come to nothing."""
        while True:
            await workflow.wait_condition(lambda: in_force.is_decided(self._state))
            taken = await self._keeping.take(in_force.settle)
            if taken.lacking:
                lacking = taken.lacking
                await self._keeping.take(lambda state, _: in_force.turn_down(state, lacking))  # noqa: B023

    def _is_quiet(self) -> bool:
        """Whether no message is under way, nothing is still to be settled, and everybody was told who is to be told."""
        is_settled = not in_force.is_decided(self._state)
        return (
            workflow.all_handlers_finished() and is_settled and self._keeping.offered == self._keeping.freed
        )

    async def _activate(self) -> None:
        """Schedule the reports from today on, and begin."""
        terms, proposal = self._state.terms, self._state.proposal
        periods = schedule.periods(
            workflow.now(), proposal.duration_months, terms.reporting, proposal.milestones
        )
        days = terms.deadlines.report
        due = await self._keeping.deadlines_from(
            proposal.lead_directorate, days, [one.ends_at for one in periods]
        )
        reports = tuple(
            ReportScheduled(**period.model_dump(), due_at=due_at)
            for period, due_at in zip(periods, due, strict=True)
        )
        await self._keeping.take(lambda state, _: steps.activate(state, reports))

    async def _keep_time(self) -> None:
        """Whatever time brings about: reminders, escalation, lapse, alarms, late reports, what was announced."""
        while True:
            coming = self._keeping.coming
            at, about = clock.instant_of(coming), coming.about if coming is not None else ""
            if not await self._keeping.wait(self._moved_from(at), at, summary=about):
                await self._keeping.take(clock.passed)

    def _moved_from(self, at: datetime | None) -> Callable[[], bool]:
        return lambda: clock.instant_of(self._keeping.coming) != at

    async def _wait(
        self, condition: Callable[[], bool], until: datetime | None = None, *, summary: str = ""
    ) -> bool:
        """Wait in a step of ``run``, which can be taken up again in a new run: a long run ends here.

        Raises:
            _RunIsLong: when the run has taken many messages or Temporal suggests to go on in a new one.
        """
        if not condition():
            self._keeping.show(resting=True)
        came = await self._keeping.wait(lambda: condition() or self._is_long(), until, summary=summary)
        if came and not condition():
            raise _RunIsLong
        return came

    def _is_long(self) -> bool:
        return self._messages >= MESSAGES_PER_RUN or workflow.info().is_continue_as_new_suggested()

    async def _continue_as_new(self) -> None:
        """Go on in a new run with the whole state, once no message and no step is under way in this one.

        Activities on a side's own queue need not be waited for, and may not be: that side's worker may be away for
        weeks. The new run asks again, and they are such that asking twice has one effect.
        """
        await workflow.wait_condition(self._is_quiet)
        async with self._keeping.turn:
            workflow.continue_as_new(Begin(submission=self._submission, state=self._state))

    @property
    def _keeping(self) -> Keeper:
        if self._keeper is None:
            raise RuleBroken("stage_closed", "nothing is on record yet")
        return self._keeper

    @property
    def _state(self) -> InitiativeState:
        return self._keeping.state

    @property
    def _stage(self) -> Stage:
        stage = self._state.stage
        if stage is None:
            raise RuleBroken("stage_closed", "nothing is on record yet")
        return stage
