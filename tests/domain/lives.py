"""An initiative carried by the rules alone: no servers, a clock that the test moves, the workflow's steps by hand."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from countersign.domain import (
    clock,
    complaining,
    ending,
    funding_agreement,
    in_force,
    rules,
    schedule,
    steps,
    suspension,
)
from countersign.domain.agreement import ChainStep, MatterKind, ProgrammeAgreement
from countersign.domain.agreement_file import read
from countersign.domain.amounts import Amount, split
from countersign.domain.audit import AuditEntry
from countersign.domain.canonical import content_hash
from countersign.domain.commands import (
    AdoptAgreement,
    Answer,
    AnyCommand,
    AskAmendment,
    AskResumption,
    AuthoriseTranche,
    ClearCondition,
    Complain,
    ConfirmTranche,
    DisallowCosts,
    ExaminedProposal,
    ExaminedReport,
    GiveEvidence,
    HoldTranche,
    MandatesGiven,
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
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import Happened, ReportScheduled
from countersign.domain.funding import BankOutcome, Instruction
from countersign.domain.initiative import InitiativeState, entries_for
from countersign.domain.mandate import PAYMENT, Mandate
from countersign.domain.matter import Caller, Matter, Outcome, Response, SignOff, waiting_step
from countersign.domain.notice import NoticeKind
from countersign.domain.projection import Task, Waiting, waited_for
from countersign.domain.proposal import Proposal, ineligibilities, summarise
from countersign.domain.reporting import ReportState
from countersign.domain.stage import COMPLAINABLE, OPENS, Stage
from countersign.domain.steps import Deadlines
from countersign.runtime.resources import default_agreement
from tests.domain import look_ups
from tests.people import ROOT, minimal_proposal

START = datetime(2027, 1, 11, 9, 30, tzinfo=UTC)
INITIATIVE = "01900000-0000-7000-8000-000000000001"


def two_sides() -> tuple[ProgrammeAgreement, Proposal]:
    """The shipped agreement and a small proposal under it."""
    agreement = read(default_agreement().read_text(encoding="utf-8"))
    return agreement, Proposal.model_validate(minimal_proposal())


def three_sides() -> tuple[ProgrammeAgreement, Proposal]:
    """An agreement of three directorates and a proposal under it."""
    place = ROOT / "tests" / "agreements"
    agreement = read((place / "three-sides.toml").read_text(encoding="utf-8"))
    text = (place / "three-sides-proposal.json").read_text(encoding="utf-8")
    return agreement, Proposal.model_validate(json.loads(text))


def with_chain(
    agreement: ProgrammeAgreement, kind: MatterKind, directorate: str, *steps: ChainStep
) -> ProgrammeAgreement:
    """The agreement with another chain for one kind and side."""
    chains = tuple(
        one.model_copy(update={"step": steps})
        if (one.matter, one.directorate) == (kind, directorate)
        else one
        for one in agreement.chain
    )
    return agreement.model_copy(update={"chain": chains})


def holder(side: str, office: str, who: str = "a") -> Caller:
    """Somebody who holds an office; every ``who`` is another person."""
    person = f"{side}/{office}-{who}"
    return Caller(person=person, name=person.title(), directorate=side, offices=(office,))


class Life:
    """One initiative. ``entries`` is its trail, ``state`` what follows from it."""

    def __init__(self, agreement: ProgrammeAgreement, proposal: Proposal) -> None:
        self.agreements, self.proposal = {agreement.version: agreement}, proposal
        self.now = START
        self.entries: list[AuditEntry] = []
        self.sent: list[tuple[str, str]] = []
        self.applicant = Caller(person="applicants/plonit", name="Plonit Almonit", contact="0" * 32)
        self.state = InitiativeState(
            id=INITIATIVE, reference="TEST-2027-0001", terms=agreement.terms(), applicant=self.applicant
        )
        self.away: set[str] = set()
        """The sides whose worker is away: their positions wait for their key, their banks are not told."""
        self.untold: set[str] = set()
        """The sides whose bank is not told for now, though their key signs."""
        self.mandates: list[Mandate] = []
        self.drawn_up: dict[str, dict[str, Any]] = {}
        """Every side's funding agreement, as it was drawn up last."""
        self.versions: dict[str, Proposal] = {}
        """Every version that an amendment led from or to, by its content hash."""
        self._checked = 0
        self._messages = 0
        self.examined = ExaminedProposal(
            summary=summarise(proposal),
            ineligibilities=tuple(
                f"{one.rule}: {one.problem}" for one in ineligibilities(proposal, agreement)
            ),
        )

    @property
    def agreement(self) -> ProgrammeAgreement:
        """The version of the agreement that it is bound to."""
        return self.agreements[self.state.terms.version]

    @property
    def sides(self) -> tuple[str, ...]:
        return self.state.terms.directorates

    def begin(self) -> Life:
        """Submit it, and take the steps that follow."""
        self.write(steps.submitted(self.state, self.examined, self.proposal.content_hash()))
        self.settle()
        return self

    def write(self, happened: list[Happened]) -> None:
        """Put facts on the trail and on the state."""
        self.state, entries = entries_for(self.state, happened, self.now)
        self.entries += entries

    def next_id(self) -> str:
        """A message id that nobody used."""
        self._messages += 1
        return f"message-{self._messages}"

    def send(self, command: AnyCommand, examined: rules.Examined = None) -> Answer:
        """Send a message and settle; the same id again gets the same answer, as the workflow gives it."""
        answer = self._receive(command, examined)
        self.settle()
        return answer

    def _receive(self, command: AnyCommand, examined: rules.Examined) -> Answer:
        seen = self.state.answer_to(command.caller, command.id)
        if seen is None:
            self.sent.append((command.caller.person, command.id))
            try:
                happened = rules.receive(
                    self.state,
                    command,
                    self.now,
                    examined=examined,
                    deadlines=self.deadlines(),
                    mandates=MandatesGiven(mandates=tuple(self.mandates)),
                )
            except RuleBroken as broken:
                happened = [rules.refused(command, broken)]
            self.write(happened)
            seen = self.state.answer_to(command.caller, command.id)
        assert seen is not None
        return seen.answer

    def deadlines(self) -> Deadlines:
        """Some days for everybody, and some more before silence ends it."""
        until = {side: self.now + timedelta(days=30 + i) for i, side in enumerate(self.sides)}
        return Deadlines(per_directorate=until, lapses_at=self.now + timedelta(days=45))

    # ---- the steps of the workflow

    def settle(self) -> None:
        """Take every step that is the workflow's own."""
        while happened := self._step():
            self.write(happened)

    def _step(self) -> list[Happened]:
        state = self.state
        for matter in state.matters:
            for side in matter.unsigned if matter.is_open else ():
                if side in self.away:
                    continue
                position = matter.positions[side]
                return steps.countersigned(state, matter.number, position, matter.content_hash, f"jws-{side}")
        for tranche in steps.released(state):
            told = steps.to_instruct(state, tranche)
            here = {
                side: instructions
                for side, instructions in told.items()
                if side not in self.away | self.untold
            }
            if here:
                return steps.instructed(state, tranche.number, here)
        if in_force.is_decided(state):
            return in_force.settle(state, self.now)
        if state.stage in (Stage.SUBMITTED, Stage.REVISION):
            if state.version == self._checked:
                return []
            self._checked = state.version
            return steps.eligibility(state, state.version, self.deadlines())
        if state.stage is Stage.CONDITIONS:
            met = all(one.cleared_by for one in state.conditions)
            return self._enter(Stage.CONTRACTING) if met else []
        if state.stage is Stage.ACTIVE:
            return [] if state.next_report() or state.open_amendment else self._enter(Stage.CLOSING)
        if state.stage is Stage.SUSPENDED:
            return suspension.ask_itself(state, self.deadlines()) or suspension.answered(state)
        if state.stage is Stage.TERMINATED:
            return self._wind_up()
        if state.stage in COMPLAINABLE:
            if complaining.is_upheld(state):
                return self._enter(Stage.DECISION)
            return complaining.release_promised(state, self.now)
        if state.stage is None or state.stage not in OPENS:
            return []
        return self._after_the_matter(OPENS[state.stage])

    def _wind_up(self) -> list[Happened]:
        return (
            complaining.open_window(self.state, self.now)
            or ending.ask_accounts(self.state, self.now + timedelta(days=28))
            or complaining.reinstate(self.state, self.now)
            or ending.claim_back(self.state, self.now)
            or ending.wound_up(self.state, self.now)
        )

    def _after_the_matter(self, kind: MatterKind) -> list[Happened]:
        state = self.state
        matter = state.last_matter(kind)
        assert matter is not None
        if matter.outcome is None:
            return []
        following = steps.NEXT[kind].get(matter.outcome)
        if following is None:
            return steps.reopen(state, self.stage(), matter.number, self.deadlines())
        if following is Stage.ACTIVE:
            return steps.activate(state, self._schedule())
        if following is Stage.CLOSED:
            settled = steps.release_closing_tranche(state) or ending.claim_back(state, self.now)
            return settled or (self._enter(Stage.CLOSED) if steps.all_paid(state) else [])
        return self._enter(following)

    def _enter(self, stage: Stage) -> list[Happened]:
        drawn_up = None
        if stage is Stage.CONTRACTING:
            rests_on = funding_agreement.basis(self.state, self.now.date())
            self.drawn_up = funding_agreement.documents(self.agreement, self.proposal, rests_on)
            drawn_up = funding_agreement.known_by(self.drawn_up, rests_on)
        return steps.enter(
            self.state,
            self.stage(),
            stage,
            reason="so it goes",
            deadlines=self.deadlines(),
            conditions_due={side: self.now + timedelta(days=60) for side in self.sides},
            drawn_up=drawn_up,
        )

    def _schedule(self) -> tuple[ReportScheduled, ...]:
        proposal, rules = self.state.proposal, self.state.terms.reporting
        periods = schedule.periods(self.now, proposal.duration_months, rules, proposal.milestones)
        return tuple(
            ReportScheduled(**one.model_dump(), due_at=one.ends_at + timedelta(days=30)) for one in periods
        )

    def stage(self) -> Stage:
        """Where it stands."""
        assert self.state.stage is not None
        return self.state.stage

    def pass_time(self, by: timedelta) -> None:
        """Move the clock, and let happen what time brings about."""
        self.now += by
        self.settle()
        while happened := clock.passed(self.state, self.now):
            self.write(happened)
            self.settle()

    # ---- people

    def open_matter(self) -> Matter | None:
        """The last matter that is open."""
        return next((one for one in reversed(self.state.matters) if one.is_open), None)

    def sign(
        self,
        side: str,
        response: Response = Response.APPROVE,
        *,
        who: str = "a",
        office: str | None = None,
        matter: Matter | None = None,
        **fields: Any,
    ) -> Answer:
        """One sign-off by whoever is waited for, unless said otherwise."""
        matter = matter or self.open_matter()
        assert matter is not None
        if office is None:
            chain = matter.chains[side]
            office = chain[waiting_step(matter, side) or 0].office
        command = {
            "id": self.next_id(),
            "matter": matter.number,
            "response": response,
            "content_hash": matter.content_hash,
            "caller": holder(side, office, who),
            "reasons": "it should be otherwise" if response in (Response.RETURN, Response.REFUSE) else None,
            "conditions": (f"{side} wants a word",) if response is Response.APPROVE_WITH_CONDITIONS else (),
        }
        return self.send(SignOff.model_validate(command | fields))

    def all_sign(self, response: Response = Response.APPROVE) -> None:
        """Every side signs the open matter, each by as many people as it needs."""
        matter = self.open_matter()
        assert matter is not None
        for side in matter.chains:
            self.carry(side, response, matter=matter)

    def carry(
        self, side: str, response: Response = Response.APPROVE, *, matter: Matter | None = None
    ) -> None:
        """A side comes to its position: every step of its chain answers, each by as many people as it needs."""
        matter = matter or self.open_matter()
        assert matter is not None
        who = 0
        while (
            (current := self.state.matter(matter.number))
            and current.is_open
            and (side not in current.positions)
        ):
            who += 1
            answer = self.sign(side, response, who=f"n{who}", matter=current)
            assert answer.status == "counted", answer

    def revise(self, **changes: Any) -> Answer:
        """The applicant puts another version."""
        body = self.proposal.document_form()
        body["title"]["en"] = f"Another title {self.state.version + 1}"
        self.proposal = Proposal.model_validate(body | changes)
        examined = ExaminedProposal(summary=summarise(self.proposal), changed=("title.en",))
        command = Revise(
            id=self.next_id(),
            caller=self.applicant,
            content_hash=self.proposal.content_hash(),
            replaces=self.state.content_hash,
        )
        return self.send(command, examined)

    @property
    def proposal_in_force(self) -> Proposal:
        """The version in force."""
        return self.versions.get(self.state.content_hash, self.proposal)

    def amend(self, caller: Caller | None = None, /, **changes: Any) -> Answer:
        """Somebody who takes part asks for the version in force with some changes."""
        before = self.proposal_in_force
        after = Proposal.model_validate(body_of(before) | changes)
        self.versions |= {one.content_hash(): one for one in (before, after)}
        command = AskAmendment(
            id=self.next_id(),
            caller=caller or self.applicant,
            content_hash=after.content_hash(),
            replaces=self.state.content_hash,
            reasons="It turned out otherwise.",
        )
        return self.send(command, look_ups.other_version(self, command, before, after))

    def adopt(
        self, agreement: ProgrammeAgreement, caller: Caller | None = None, *, on_record: bool = True
    ) -> Answer:
        """Somebody asks to move it to another version of the agreement."""
        if on_record:
            self.agreements[agreement.version] = agreement
        first = self.sides[0]
        command = AdoptAgreement(
            id=self.next_id(),
            caller=caller or holder(first, self.state.terms.sides[first].head),
            agreement_version=agreement.version,
            reasons="The rules are simpler now.",
        )
        return self.send(command, look_ups.adoption(self, command))

    def complain(self, caller: Caller | None = None) -> Answer:
        """The applicant asks both sides to look at a refusal, or a termination, again."""
        command = Complain(id=self.next_id(), caller=caller or self.applicant, reasons="the table was there")
        return self.send(command)

    def withdraw(self, caller: Caller | None = None) -> Answer:
        """The applicant withdraws."""
        return self.send(
            Withdraw(id=self.next_id(), caller=caller or self.applicant, reasons="We changed our minds.")
        )

    def give_evidence(self, number: int, caller: Caller | None = None) -> Answer:
        """The applicant shows that a condition is met."""
        return self.send(
            GiveEvidence(id=self.next_id(), caller=caller or self.applicant, condition=number, text="See.")
        )

    def clear(self, number: int, caller: Caller) -> Answer:
        """Somebody clears a condition."""
        return self.send(ClearCondition(id=self.next_id(), caller=caller, condition=number))

    def lend(self, delegator: Caller, delegate: Caller, /, **changes: Any) -> None:
        """Somebody lets another one authorise and confirm for them, for as long as anything lasts here."""
        values = {
            "id": f"mandate-{len(self.mandates) + 1}",
            "directorate": delegator.directorate,
            "delegator": delegator.person,
            "delegator_contact": delegator.contact,
            "delegate": delegate.person,
            "offices": delegator.offices,
            "kinds": (PAYMENT,),
            "valid_from": START,
            "valid_to": START + timedelta(days=36_500),
            "given_at": START,
        }
        self.mandates.append(Mandate.model_validate(values | changes))

    def authorise(
        self, number: int, side: str, caller: Caller | None = None, behalf: Caller | None = None
    ) -> Answer:
        """A finance officer authorises, or somebody on ``behalf`` of one."""
        return self.send(
            AuthoriseTranche(
                id=self.next_id(),
                caller=caller or holder(side, "finance_officer", "first"),
                tranche=number,
                directorate=side,
                on_behalf_of=behalf.person if behalf else None,
            )
        )

    def confirm(
        self, number: int, side: str, caller: Caller | None = None, behalf: Caller | None = None
    ) -> Answer:
        """Another one confirms, or somebody on ``behalf`` of one."""
        return self.send(
            ConfirmTranche(
                id=self.next_id(),
                caller=caller or holder(side, "finance_officer", "second"),
                tranche=number,
                directorate=side,
                on_behalf_of=behalf.person if behalf else None,
            )
        )

    def hold(self, number: int, side: str, caller: Caller | None = None) -> Answer:
        """A finance officer stops a part."""
        return self.send(HoldTranche(**self._stopping(number, side, caller)))

    def resume(self, number: int, side: str, caller: Caller | None = None) -> Answer:
        """A finance officer lets it go on."""
        return self.send(ResumeTranche(**self._stopping(number, side, caller)))

    def _stopping(self, number: int, side: str, caller: Caller | None) -> dict[str, Any]:
        return {
            "id": self.next_id(),
            "caller": caller or holder(side, "finance_officer", "third"),
            "tranche": number,
            "directorate": side,
            "reasons": "The account was looked at.",
        }

    def bank(
        self,
        number: int,
        side: str,
        outcome: BankOutcome,
        told: Instruction,
        caller: Caller | None = None,
        **fields: Any,
    ) -> Answer:
        """The officer who confirms brings the bank's word on a payment."""
        command = {
            "id": self.next_id(),
            "caller": caller or holder(side, "finance_officer", "second"),
            "tranche": number,
            "directorate": side,
            "end_to_end_id": told.end_to_end_id,
            "outcome": outcome,
            "amount": told.amount,
            "statement": "sha256:" + "5" * 64,
        }
        return self.send(ReportPayment.model_validate(command | fields))

    def pay(self, number: int) -> None:
        """Every side authorises its share, then each confirms it."""
        tranche = self.state.tranche(number)
        assert tranche is not None
        for act in (self.authorise, self.confirm):
            for side in tranche.shares:
                assert act(number, side).status == "counted"

    def report(self, number: int, percent: int = 100, caller: Caller | None = None) -> Answer:
        """The applicant reports so much of the report's part of the budget."""
        count = max(len(self.state.reports), number, 1)
        costs = {
            side: tuple(
                Amount(split(amount, [1] * count)[number - 1].minor * percent // 100, amount.unit)
                for amount in amounts
            )
            for side, amounts in self.state.proposal.requested.items()
        }
        current = self.state.report(number)
        content = content_hash({"report": number, "version": current.version if current else 0, "p": percent})
        command = SubmitReport(
            id=self.next_id(), caller=caller or self.applicant, report=number, content_hash=content
        )
        # All of a side's costs are its first partner's.
        first = {side: partner for partner, side in reversed(self.state.proposal.partners.items())}
        by_partner = {first[side]: amounts for side, amounts in costs.items()}
        return self.send(command, ExaminedReport(costs=costs, by_partner=by_partner))

    def waive(self, number: int, side: str, caller: Caller | None = None) -> Answer:
        """A side does without a report."""
        office = self.state.terms.chains[MatterKind.REPORT][side][0].office
        return self.send(
            WaiveReport(
                id=self.next_id(),
                caller=caller or holder(side, office),
                report=number,
                reasons="Nothing yet.",
            )
        )

    def head(self, side: str, who: str = "a") -> Caller:
        """A holder of the office that speaks for a side."""
        return holder(side, self.state.terms.sides[side].head, who)

    def terminate(self, side: str, caller: Caller | None = None, notice_days: int | None = None) -> Answer:
        """A side ends it."""
        command = Terminate(
            id=self.next_id(),
            caller=caller or self.head(side),
            reasons="It leads nowhere.",
            notice_days=notice_days,
        )
        return self.send(command)

    def suspend(self, side: str, caller: Caller | None = None, notice_days: int | None = None) -> Answer:
        """A side suspends it."""
        command = Suspend(
            id=self.next_id(),
            caller=caller or self.head(side),
            reasons="The site is flooded.",
            notice_days=notice_days,
        )
        return self.send(command)

    def take_back(self, side: str, notice: NoticeKind, caller: Caller | None = None) -> Answer:
        """A side takes back what it announced."""
        return self.send(TakeBackNotice(id=self.next_id(), caller=caller or self.head(side), notice=notice))

    def ask_resumption(self, caller: Caller | None = None) -> Answer:
        """Somebody, if not the applicant, asks that it goes on."""
        reasons = "The water is gone."
        return self.send(AskResumption(id=self.next_id(), caller=caller or self.applicant, reasons=reasons))

    def disallow(self, number: int, partner: str, amount: Amount, caller: Caller | None = None) -> Answer:
        """The side of a partner takes back that some of its costs were accepted."""
        side = self.state.proposal.partners.get(partner, "il")
        office = self.state.terms.chains[MatterKind.REPORT][side][0].office
        return self.send(
            DisallowCosts(
                id=self.next_id(),
                caller=caller or holder(side, office),
                report=number,
                partner=partner,
                amount=amount,
                reasons="The invoices were for something else.",
            )
        )

    def write_off(self, number: int, side: str, caller: Caller | None = None) -> Answer:
        """A side gives up a claim."""
        command = WriteOff(
            id=self.next_id(), caller=caller or self.head(side), tranche=number, reasons="It is bankrupt."
        )
        return self.send(command)

    def waited_for(self) -> list[Waiting]:
        """Everybody who is waited for, as the inbox shows it."""
        return list(waited_for(self.state))

    def go_on(self, percent: int = 100) -> bool:
        """Do the first thing that is waited for; whether there was one."""
        waiting = [one for one in self.waited_for() if one.is_to_do]
        if not waiting:
            return False
        first = min(waiting, key=lambda one: one.task is Task.REPORT)
        self.do(first, percent)
        return True

    def do(self, one: Waiting, percent: int = 100) -> Answer:
        """Do what somebody is waited for to do, when it can be done."""
        side, office = one.directorate or "", one.office or ""
        doing: dict[Task, Callable[[], Answer]] = {
            Task.SIGN_OFF: lambda: self.sign(
                side, matter=self.state.matter(one.number), who=f"n{len(one.not_by)}"
            ),
            Task.NEW_VERSION: self.revise,
            Task.EVIDENCE: lambda: self.give_evidence(one.number),
            Task.CLEAR_CONDITION: lambda: self.clear(one.number, holder(side, office)),
            Task.AUTHORISE: lambda: self.authorise(one.number, side),
            Task.CONFIRM: lambda: self.confirm(one.number, side),
            Task.RESUME: lambda: self.resume(one.number, side),
            Task.REPORT: lambda: self.report(one.number, percent),
        }
        if one.task is Task.REPORT and self.now < one.since:
            self.now = one.since
        return doing[one.task]()

    def reach(self, stage: Stage) -> Life:
        """Everybody does what they are waited for until a stage is reached."""
        for _ in range(500):
            if self.stage() is stage:
                return self
            assert self.go_on(), f"nobody is waited for in {self.stage()}"
        raise AssertionError(f"{stage} was not reached from {self.stage()}")


def active_life(sides: tuple[ProgrammeAgreement, Proposal] | None = None) -> Life:
    """An initiative that has just become active."""
    return Life(*(sides or two_sides())).begin().reach(Stage.ACTIVE)


def body_of(proposal: Proposal) -> dict[str, Any]:
    """A proposal as JSON, to change."""
    return copy.deepcopy(proposal.document_form())


__all__ = ["INITIATIVE", "START", "Life", "Outcome", "ReportState", "active_life", "body_of", "holder"]
