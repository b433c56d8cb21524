"""Random messages and clock skips for the real workflow, and the pure rules that must come to the same."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import Sequence as Many
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from countersign.domain import audit, clock, complaining, rules, steps
from countersign.domain.agreement import ChainStep, MatterKind, ProgrammeAgreement
from countersign.domain.amounts import Amount
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import (
    AnyCommand,
    ClearCondition,
    Complain,
    DeclareConflict,
    ExaminedProposal,
    ExtendDeadline,
    FinanceCommand,
    GiveEvidence,
    MandatesGiven,
    Revise,
    Withdraw,
    fingerprint,
)
from countersign.domain.errors import RuleBroken
from countersign.domain.fact import Fact
from countersign.domain.facts import (
    ACTIONS,
    ConditionsSet,
    DeadlineExtended,
    Happened,
    MatterOpened,
    PositionCountersigned,
    ProposalRevised,
    ReportsScheduled,
    StageEntered,
)
from countersign.domain.funding import FundingAgreements
from countersign.domain.initiative import InitiativeState, entries_for
from countersign.domain.mandate import Mandate
from countersign.domain.matter import Caller, Matter, Outcome, Response, SignOff, waiting_step
from countersign.domain.payment_facts import FundingAgreementsDrawnUp
from countersign.domain.projection import Task
from countersign.domain.proposal import Proposal, contact_key, summarise
from countersign.domain.stage import COMPLAINABLE, OPENS, TERMINAL, Stage
from countersign.domain.steps import NEXT, Deadlines
from countersign.store import initiatives, mandates, trail
from countersign.store.session import Database
from countersign.workflows.messages import Answer
from tests.audit.whole import faults_of
from tests.domain.lives import holder, with_chain
from tests.people import minimal_proposal
from tests.workflows.carrying import Carried

SIDES: Final = ("il", "az")
RESPONSES: Final = (
    *[Response.APPROVE] * 7,
    Response.APPROVE_WITH_CONDITIONS,
    Response.RETURN,
    Response.REFUSE,
)
BY_TIME: Final = ("matter.reminded", "matter.escalated", "matter.lapsed")


def longer_chains(agreement: ProgrammeAgreement) -> ProgrammeAgreement:
    """The agreement with a step that two holders of an office sign; a version of its own."""
    chained = with_chain(
        agreement,
        MatterKind.PROPOSAL,
        "il",
        ChainStep(office="programme_officer", need=2),
        ChainStep(office="legal_counsel"),
        ChainStep(office="head"),
    )
    return chained.model_copy(update={"version": 77})


class Shadow:
    """The pure side: it follows the trail, and each entry must be the one that the rules would have written."""

    def __init__(self, beginning: InitiativeState, proposal: Proposal) -> None:
        self.state = beginning
        self.proposal = proposal
        self.entries: list[AuditEntry] = []
        self.sent: dict[tuple[str, str], AnyCommand] = {}
        self.mandates: list[Mandate] = []

    def follow(self, entries: Many[AuditEntry]) -> None:
        """Take up entries, batch by batch: what a message or a step brings about is recorded at once."""
        at = 0
        while at < len(entries):
            rest = entries[at:]
            after, expected = entries_for(self.state, self._happened(rest), rest[0].instant)
            assert expected, f"nothing explains {rest[0]}"
            assert tuple(rest[: len(expected)]) == expected
            self._check_standing(expected)
            self.state = after
            self.entries += expected
            at += len(expected)

    def _happened(self, rest: Many[AuditEntry]) -> list[Happened]:
        entry, state = rest[0], self.state
        if entry.message is not None:
            return self._answered(rest)
        fact = _fact(entry)
        if entry.action in BY_TIME:
            return clock.passed(state, entry.instant)
        if entry.action == "initiative.submitted":
            examined = ExaminedProposal(summary=summarise(self.proposal))
            return steps.submitted(state, examined, self.proposal.content_hash())
        if isinstance(fact, PositionCountersigned):
            matter = state.matter(fact.matter)
            assert matter is not None
            position = matter.positions[fact.directorate]
            return steps.countersigned(state, fact.matter, position, matter.content_hash, fact.jws)
        if isinstance(fact, MatterOpened):
            last = state.last_matter(fact.kind)
            assert last is not None
            assert state.stage is not None
            return steps.reopen(state, state.stage, last.number, deadlines_of(rest))
        return self._moved(rest)

    def _answered(self, rest: Many[AuditEntry]) -> list[Happened]:
        """What a message brings about, decided on at the instant of its entry."""
        entry = rest[0]
        assert entry.message is not None
        key = (entry.actor, entry.message)
        command = self.sent[key]
        assert self.state.answer_to(command.caller, command.id) is None, "taken twice"
        try:
            return rules.receive(
                self.state,
                command,
                entry.instant,
                examined=self._examined_for(command, rest),
                deadlines=self._deadlines_for(command, rest),
                mandates=self.mandates_for(command),
            )
        except RuleBroken as broken:
            return [rules.refused(command, broken)]

    def _examined_for(self, command: AnyCommand, rest: Many[AuditEntry]) -> rules.Examined:
        """What the record said of the document that a message names."""
        fact = _fact(rest[0])
        if isinstance(fact, ProposalRevised):
            return ExaminedProposal(
                summary=fact.summary, changed=fact.changed, ineligibilities=fact.ineligibilities
            )
        return None

    def _deadlines_for(self, command: AnyCommand, rest: Many[AuditEntry]) -> Deadlines | None:
        if isinstance(command, ExtendDeadline):
            fact, side = _fact(rest[0]), command.caller.directorate or ""
            if isinstance(fact, DeadlineExtended):
                return Deadlines(per_directorate={side: fact.deadline}, lapses_at=fact.lapses_at)
            matter = self.state.matter(command.matter)
            known = matter is not None and side in matter.deadlines
            return Deadlines(per_directorate={side: rest[0].instant}) if known else None
        return deadlines_of(rest) if isinstance(command, Complain) else None

    def mandates_for(self, command: AnyCommand) -> MandatesGiven:
        """What the record says of the two people."""
        if not isinstance(command, SignOff | FinanceCommand) or command.on_behalf_of is None:
            return MandatesGiven()
        pair = (command.on_behalf_of, command.caller.person)
        between = [one for one in self.mandates if (one.delegator, one.delegate) == pair]
        return MandatesGiven(mandates=tuple(sorted(between, key=lambda one: one.valid_to, reverse=True)))

    def _moved(self, rest: Many[AuditEntry]) -> list[Happened]:
        """A move to the next stage, which the outcome of the stage's matter or its deadline calls for."""
        state, before = self.state, self.state.stage
        entered = next(fact for fact in map(_fact, rest) if isinstance(fact, StageEntered))
        assert before is not None
        if entered.stage is Stage.ELIGIBILITY:
            return steps.eligibility(state, state.version, deadlines_of(rest))
        kind = MatterKind.COMPLAINT if before in COMPLAINABLE else OPENS.get(before)
        last = state.last_matter(kind) if kind is not None else None
        if last is not None and kind is not None:
            assert last.outcome is not None
            assert entered.stage is NEXT[kind][last.outcome]
        elif entered.stage is Stage.LAPSED:
            due = [one.deadline for one in state.conditions if one.cleared_by is None]
            until = min(due) if before is Stage.CONDITIONS else state.stage_deadline
            assert until is not None
            assert rest[0].instant >= until
        else:
            assert (before, entered.stage) == (Stage.CONDITIONS, Stage.CONTRACTING)
        if entered.stage is Stage.ACTIVE:
            reports = next(fact for fact in map(_fact, rest) if isinstance(fact, ReportsScheduled))
            return steps.activate(state, reports.reports)
        conditions = next((fact for fact in map(_fact, rest) if isinstance(fact, ConditionsSet)), None)
        drawn_up = None
        if entered.stage is Stage.CONTRACTING:
            agreements = next(fact for fact in map(_fact, rest) if isinstance(fact, FundingAgreementsDrawnUp))
            drawn_up = FundingAgreements(**agreements.model_dump())
        return steps.enter(
            state,
            before,
            entered.stage,
            reason=entered.reason,
            deadline=entered.deadline,
            deadlines=deadlines_of(rest) if entered.stage in OPENS else None,
            conditions_due={one.directorate: one.deadline for one in conditions.conditions}
            if conditions
            else None,
            drawn_up=drawn_up,
        )

    def _check_standing(self, batch: Many[AuditEntry]) -> None:
        """Said by hand, not by the rules: what may never be in a batch."""
        for entry in batch:
            number = entry.body.get("matter")
            matter = self.state.matter(number) if isinstance(number, int) else None
            if matter is not None:
                assert matter.outcome is None, f"{entry.action} on a closed matter"
            if entry.action != "matter.signed":
                continue
            assert matter is not None
            assert entry.message is not None
            command = self.sent[entry.actor, entry.message]
            assert isinstance(command, SignOff)
            assert command.content_hash == entry.subject == matter.content_hash
            assert command.caller.directorate in matter.chains
            if entry.on_behalf_of is not None:
                assert any(self._reaches(one, matter, entry) for one in self.mandates)
            else:
                assert entry.body["office"] in command.caller.offices

    def _reaches(self, one: Mandate, matter: Matter, entry: AuditEntry) -> bool:
        side = entry.body["directorate"]
        asked = {amount.unit: amount.minor for amount in self.state.proposal.requested[side]}
        return (
            (one.delegator, one.delegate, one.directorate) == (entry.on_behalf_of, entry.actor, side)
            and matter.kind in one.kinds
            and entry.body["office"] in one.offices
            and one.valid_from <= entry.instant < one.valid_to
            and (one.revoked_at is None or entry.instant < one.revoked_at)
            and all(asked.get(bound.unit, 0) <= bound.minor for bound in one.ceiling)
        )


def _fact(entry: AuditEntry) -> Fact:
    return ACTIONS[entry.action].model_validate(entry.body)


def deadlines_of(rest: Many[AuditEntry]) -> Deadlines:
    """The deadlines of the matter that the entries open, as the workflow had them counted."""
    opened = next((fact for fact in map(_fact, rest) if isinstance(fact, MatterOpened)), None)
    if opened is None:
        return Deadlines(per_directorate={})
    return Deadlines(per_directorate=opened.deadlines, lapses_at=opened.lapses_at)


class Sequence:
    """One initiative, and what is sent to it as the seed has it."""

    def __init__(self, seed: int, client: Client, database: Database, agreement: ProgrammeAgreement) -> None:
        self.luck = random.Random(seed)
        self.life = Carried(client, database, agreement, Proposal.model_validate(minimal_proposal()))
        self.shadow = Shadow(self.life.beginning, self.life.proposal)
        self.database = database
        self.seen: Counter[str] = Counter()
        self._closed: dict[int, str] = {}
        self._answers: dict[tuple[str, str], Answer] = {}
        self._messages = 0

    @property
    def state(self) -> InitiativeState:
        return self.shadow.state

    async def run(self) -> Counter[str]:
        """Begin, send so many messages, compare after each; what was seen on the way."""
        await self.life.begin()
        self.now = datetime.now(UTC)
        await self.settle()
        if self.luck.random() < 0.75:
            for side in SIDES:
                await self.send(self.right(side, Response.APPROVE))
                await self.settle()
        if self.luck.random() < 0.2:  # some come to the end of the decision, with a condition
            for turn in range(9):
                if self.state.stage is Stage.DECISION:
                    mild = (Response.APPROVE_WITH_CONDITIONS, Response.APPROVE)[turn % 2]
                    await self.send(self.right(SIDES[turn % 3 == 2], mild))
                    await self.settle()
        for _ in range(self.luck.randint(5, 10)):
            if self.is_over():
                break
            await self.step()
        await self.settle()
        self.seen.update(entry.action for entry in self.shadow.entries)
        self.seen.update(str(one.outcome) for one in self.state.matters)
        assert audit.chain_faults(self.shadow.entries) == []
        assert await faults_of(self.life.database, self.life.id) == []
        return self.seen

    def is_over(self) -> bool:
        stage = self.state.stage
        if stage in COMPLAINABLE:
            return complaining.is_over(self.state, self.now)
        return stage in TERMINAL or stage is Stage.ACTIVE

    # ---- following and comparing

    async def settle(self) -> None:
        """Follow the trail until the workflow has taken every step of its own, then compare."""
        try:
            async with asyncio.timeout(30):
                while not await self._quiet():  # noqa: ASYNC110 - the trail is another process's
                    await asyncio.sleep(0.05)
        except TimeoutError as error:
            last = [(entry.action, entry.at) for entry in self.shadow.entries[-4:]]
            error.add_note(f"{self.life.id}: {self.state.stage} at {self.now}, last {last}")
            raise
        await self.compare()

    async def follow(self) -> None:
        """Take up what is new on the trail."""
        async with self.database.reading() as connection:
            new = await trail.entries_from(connection, self.life.id, self.state.sequence + 1)
        self.shadow.follow(new)
        if new:
            self.now = max(self.now, new[-1].instant)

    async def _quiet(self) -> bool:
        await self.follow()
        return self._is_quiet()

    def _is_quiet(self) -> bool:
        state = self.state
        if state.stage in (None, Stage.SUBMITTED) or clock.passed(state, self.now):
            return False
        if any(one.unsigned for one in state.matters if one.is_open):
            return False
        if state.stage in OPENS:
            return state.open_matter(OPENS[state.stage]) is not None
        if state.stage is Stage.CONDITIONS:
            due = [one.deadline for one in state.conditions if one.cleared_by is None]
            return bool(due) and self.now < min(due)
        if state.stage is Stage.REVISION:
            revised = self.shadow.entries[-1].action == "proposal.revised"
            return not revised and state.stage_deadline is not None and self.now < state.stage_deadline
        if state.stage in COMPLAINABLE:
            last = state.last_matter(MatterKind.COMPLAINT)
            reopened = last is not None and last.outcome is Outcome.APPROVED
            return not (
                reopened
                and last is not None
                and last.closed_at is not None
                and state.stage_since is not None
                and last.opened_at >= state.stage_since
            )
        return True

    async def compare(self) -> None:
        """The record is what the pure rules come to, and nothing in it is what may never be."""
        async with self.database.reading() as connection:
            found = await initiatives.find(connection, self.life.id)
            matters = await initiatives.matters(connection, self.life.id)
            conditions = await initiatives.conditions(connection, self.life.id)
        assert found is not None
        assert (found.stage, found.sequence, found.content_hash) == (
            self.state.stage,
            self.state.sequence,
            self.state.content_hash,
        )
        assert tuple(matters) == self.state.matters
        assert tuple(conditions) == self.state.conditions
        for matter in matters:
            self._check(matter)
        taken = Counter((e.actor, e.message) for e in self.shadow.entries if e.message is not None)
        assert taken == Counter(self.shadow.sent.keys())

    def _check(self, matter: Matter) -> None:
        if matter.outcome not in (None, Outcome.LAPSED, Outcome.VOID):
            assert set(matter.positions) == set(matter.countersigned) == set(matter.chains)
        if matter.outcome is Outcome.LAPSED:
            assert matter.missing
            assert matter.lapses_at is not None
            assert matter.closed_at is not None
            assert matter.closed_at >= matter.lapses_at
        people = [person for one in matter.standing for person in one.people]
        assert len(people) == len(set(people)), "counted twice"
        assert not any(one.people & self.state.barred for one in matter.standing if matter.is_open)
        for side in matter.positions:
            own = [one for one in matter.standing if one.directorate == side]
            ended = own[-1].response in (Response.RETURN, Response.REFUSE)
            enough = all(
                sum(one.step == index for one in own) == step.need
                for index, step in enumerate(matter.chains[side])
            )
            assert ended or enough
        if matter.outcome is not None:
            said = matter.model_dump_json()
            assert self._closed.setdefault(matter.number, said) == said, "a closed matter changed"

    async def send(self, command: AnyCommand) -> Answer:
        """Send a message; its answer is what the rules say, and the same id again gets the same."""
        key = (command.caller.person, command.id)
        first = self.shadow.sent.setdefault(key, command)
        if isinstance(command, SignOff) and self.luck.random() < 0.1:
            await self.life.handle.signal("sign_off", command)
            if first is command:
                await self._taken(key)
            answer = None
        else:
            answer = await self._told(command)
        await self.follow()
        expected = self.state.answer_to(command.caller, command.id)
        assert expected is not None, f"{command} is not on the trail"
        if answer is None:
            answer = expected.answer
        elif fingerprint(command) != expected.fingerprint:
            assert (answer.status, answer.code) == ("refused", "idempotency_key_reused")
        else:
            assert answer == expected.answer
            assert self._answers.setdefault(key, answer) == answer
        self.seen[answer.code or answer.status] += 1
        return answer

    async def _told(self, command: AnyCommand) -> Answer | None:
        """The answer; none when only the trail has it, since the workflow ended over it."""
        while True:
            try:
                return await self.life.send(command)
            except RPCError as error:
                if error.status is RPCStatusCode.NOT_FOUND:
                    return None
                # Something else came to the workflow while it was ending: what was not answered is sent again.
                if error.status is not RPCStatusCode.FAILED_PRECONDITION:
                    raise
                await asyncio.sleep(0.1)

    async def _taken(self, key: tuple[str, str]) -> None:
        async with asyncio.timeout(30):
            while True:
                await self.follow()
                if any((entry.actor, entry.message) == key for entry in self.shadow.entries):
                    return
                await asyncio.sleep(0.02)

    # ---- what is sent

    async def step(self) -> None:
        """One thing that somebody does, or some time that passes."""
        roll = self.luck.random()
        stage = self.state.stage
        if stage not in OPENS and roll < 0.6 and await self._elsewhere():
            pass
        elif roll < 0.12:
            await self.skip()
        elif roll < 0.30:
            await self.lend()
        elif roll < 0.35:
            await self.send(self._extension())
        elif roll < 0.39:
            await self.send(self._conflict())
        elif roll < 0.40:
            command = Withdraw(id=self.id(), caller=self.life.applicant, reasons="We thought again.")
            await self.send(command)
        elif roll < 0.48 and self.shadow.sent:
            await self.send(self._again())
        else:
            await self.send(self._sign_off())
        if self.luck.random() < 0.8:
            await self.settle()

    def id(self) -> str:
        self._messages += 1
        return f"message-{self._messages}"

    def matter(self) -> Matter:
        """What is signed in: mostly what is open."""
        opened = [one for one in self.state.matters if one.is_open]
        if opened and self.luck.random() < 0.95:
            return opened[-1]
        return self.luck.choice(self.state.matters)

    def somebody(self, side: str, office: str) -> Caller:
        """One of few holders of an office, nobody of another sequence."""
        return holder(side, office, f"{self.life.id[-8:]}-{self.luck.choice('abc')}")

    def office(self, side: str, matter: Matter) -> str:
        """The office that a side waits for; of a side that waits for none, the last one that signed."""
        index = waiting_step(matter, side)
        if index is None:
            own = [one for one in matter.standing if one.directorate == side]
            return own[-1].office if own else "programme_officer"
        return matter.escalated.get(side) or matter.chains[side][index].office

    def signing(self, caller: Caller, matter: Matter, response: Response, **changes: Any) -> SignOff:
        fields: dict[str, Any] = {
            "id": self.id(),
            "matter": matter.number,
            "response": response,
            "content_hash": matter.content_hash,
            "caller": caller,
            "reasons": "otherwise, please" if response in (Response.RETURN, Response.REFUSE) else None,
            "conditions": ("a word",) if response is Response.APPROVE_WITH_CONDITIONS else (),
        }
        return SignOff.model_validate(fields | changes)

    def right(self, side: str, response: Response) -> SignOff:
        """Whoever is waited for signs."""
        matter = self.matter()
        return self.signing(self.somebody(side, self.office(side, matter)), matter, response)

    def _sign_off(self) -> SignOff:
        matter, luck = self.matter(), self.luck
        side = luck.choice(matter.missing if matter.missing and luck.random() < 0.8 else SIDES)
        response, office = luck.choice(RESPONSES), self.office(side, matter)
        right = self.somebody(side, office)
        wrong = luck.choice(
            ("stale", "side", "office", "applicant", "participant", "form", "nothing", "minds")
        )
        if luck.random() < 0.62:
            return self.signing(right, matter, response)
        match wrong:
            case "stale":
                others = [one.content_hash for one in self.state.matters] + ["sha256:" + "0" * 64]
                return self.signing(right, matter, response, content_hash=luck.choice(others))
            case "side":
                other = "az" if side == "il" else "il"
                return self.signing(self.somebody(other, office), matter, response)
            case "office":
                office = luck.choice(list(self.state.terms.sides[side].escalates))
                return self.signing(self.somebody(side, office), matter, response)
            case "applicant":
                return self.signing(self.life.applicant, matter, response)
            case "participant":
                contact = contact_key("az-lead@applicants.countersign.example")
                return self.signing(right.model_copy(update={"contact": contact}), matter, response)
            case "form":
                return self.signing(right, matter, Response.RETURN, reasons=None)
            case "nothing":
                nowhere = {"matter": len(self.state.matters) + 3}
                return self.signing(right, matter, response).model_copy(update=nowhere)
            case _:
                return self._changed_mind(matter, response) or self.signing(right, matter, response)

    def _changed_mind(self, matter: Matter, response: Response) -> SignOff | None:
        """Somebody who has signed in the matter, once more."""
        if not matter.counted:
            return None
        one = self.luck.choice(matter.counted)
        _, _, name = one.person.partition("/")
        office, _, who = name.partition("-")
        return self.signing(holder(one.directorate, office, who), matter, response)

    def _again(self) -> AnyCommand:
        """A message that was sent before, or its id with another content."""
        command = self.luck.choice(list(self.shadow.sent.values()))
        if isinstance(command, SignOff) and self.luck.random() < 0.4:
            return command.model_copy(update={"comment": f"and this, {self.luck.random()}"})
        return command

    def _extension(self) -> ExtendDeadline:
        matter, side = self.matter(), self.luck.choice(SIDES)
        head = self.state.terms.sides[side].head
        office = head if self.luck.random() < 0.8 else "secretariat"
        return ExtendDeadline(
            id=self.id(),
            caller=self.somebody(side, office),
            matter=matter.number,
            working_days=self.luck.randint(1, 120),
            reasons="We need more time.",
        )

    def _conflict(self) -> DeclareConflict:
        matter, side = self.matter(), self.luck.choice(SIDES)
        caller = self.somebody(side, self.office(side, matter))
        if matter.counted and self.luck.random() < 0.7:
            one = self.luck.choice(matter.counted)
            caller = caller.model_copy(update={"person": one.person, "directorate": one.directorate})
        return DeclareConflict(id=self.id(), caller=caller, reasons="My sister works there.")

    async def lend(self) -> None:
        """Somebody signs on behalf of whoever is waited for, under a mandate of some kind or none."""
        matter, luck = self.matter(), self.luck
        side = luck.choice(matter.missing or SIDES)
        delegator = self.somebody(side, self.office(side, matter))
        delegate = self.somebody(side, luck.choice(("secretariat", "programme_officer", "head")))
        if delegate.person == delegator.person:
            delegate = holder(side, "secretariat", f"{self.life.id[-8:]}-z")
        kind = luck.choice(("good", "good", "good", "kinds", "ceiling", "past", "future", "none", "revoked"))
        if kind != "none":
            await self._give(kind, side, delegator, delegate)
        response = luck.choice(RESPONSES)
        await self.send(self.signing(delegate, matter, response, on_behalf_of=delegator.person))

    async def _give(self, kind: str, side: str, delegator: Caller, delegate: Caller) -> None:
        now, luck = await self.life.skipper.get_current_time(self.life.handle), self.luck
        day, jitter = timedelta(days=1), timedelta(seconds=luck.randint(1, 80_000))
        begins, ends = now - day, now + jitter + luck.choice((3, 300)) * day
        if kind == "past":
            begins, ends = now - 30 * day, now - jitter
        if kind == "future":
            begins = now + 2 * day
        requested = self.state.proposal.requested[side][0]
        below = -1 if kind == "ceiling" else luck.choice((0, 1000))
        mandate = Mandate(
            id=str(uuid.uuid4()),
            directorate=side,
            delegator=delegator.person,
            delegator_contact=delegator.contact,
            delegate=delegate.person,
            offices=delegator.offices,
            kinds=(MatterKind.REPORT,) if kind == "kinds" else tuple(MatterKind),
            ceiling=(Amount(requested.minor + below, requested.unit),),
            valid_from=begins.astimezone(UTC),
            valid_to=ends.astimezone(UTC),
            given_at=begins.astimezone(UTC),
        )
        async with self.database.transaction() as connection:
            given = await mandates.give(connection, mandate)
            if kind == "revoked":
                given = await mandates.revoke(connection, given, delegator.person, now.astimezone(UTC))
        self.shadow.mandates.append(given)

    async def skip(self) -> None:
        """Let time pass: to what it brings about next, or well beyond."""
        await self.settle()
        if self.is_over():
            return
        now = await self.life.skipper.get_current_time(self.life.handle)
        ends = [clock.instant_of(clock.coming(self.state)), self.state.stage_deadline]
        lapses = [one.lapses_at for one in self.state.matters if one.is_open]
        if self.luck.random() < 0.2:
            ends = [*lapses, self.state.stage_deadline]
        until = min((one for one in ends if one is not None and one > now), default=now + timedelta(days=31))
        until += timedelta(minutes=self.luck.choice((1, 60, 60 * 24 * 4)))
        await self.life.pass_until(until)
        self.now = max(self.now, until.astimezone(UTC))
        await self.settle()

    async def _elsewhere(self) -> bool:
        """What is done where no matter is before the directorates; whether there was something."""
        state = self.state
        common: dict[str, Any] = {"id": self.id(), "caller": self.life.applicant}
        if state.stage is Stage.REVISION:
            waiting = [one for one in await self.life.waiting() if one.task is Task.NEW_VERSION]
            if not waiting:
                return False
            command: Revise = await self.life.command(waiting[0])
            await self.send(command.model_copy(update={"id": common["id"]}))
        elif state.stage in COMPLAINABLE:
            await self.send(Complain(**common, reasons="It was not read to the end."))
        elif state.stage is Stage.CONDITIONS:
            condition = self.luck.choice(state.conditions)
            office = "head" if condition.directorate == "il" else "programme_officer"
            caller = self.somebody(condition.directorate, office)
            if self.luck.random() < 0.5:
                await self.send(GiveEvidence(**common, condition=condition.number, text="See here."))
            else:
                await self.send(ClearCondition(id=common["id"], caller=caller, condition=condition.number))
        else:
            return False
        return True
