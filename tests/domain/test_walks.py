"""Anything that people may do, in any order: what stays true of the state and of the trail."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from countersign.domain import audit, clock, complaining, funding
from countersign.domain.agreement import ChainStep, MatterKind
from countersign.domain.amounts import Amount, total
from countersign.domain.audit import AuditEntry
from countersign.domain.commands import DeclareConflict
from countersign.domain.facts import ACTIONS
from countersign.domain.funding import BankOutcome, PaymentState
from countersign.domain.initiative import InitiativeState, replay
from countersign.domain.matter import Caller, Matter, Outcome, Response, SignOff, position
from countersign.domain.notice import NoticeKind
from countersign.domain.papers import accepted_costs
from countersign.domain.projection import Task
from countersign.domain.schedule import add_months
from countersign.domain.stage import OWED, TRANSITIONS, Stage
from tests.domain import amendments
from tests.domain.lives import Life, holder, three_sides, two_sides, with_chain

SIDES = ["il", "az", "ge", "xx"]
OFFICES = [
    "head", "programme_officer", "legal_counsel", "deputy_minister", "finance_reviewer",
    "finance_officer", "janitor",
]  # fmt: skip
people = st.builds(holder, st.sampled_from(SIDES), st.sampled_from(OFFICES), st.sampled_from("ab"))
responses = st.sampled_from(list(Response))
small = st.integers(1, 7)
"""Numbers, also of what there is not; 0 is in no message (test_matter)."""


class Walk(RuleBasedStateMachine):
    """Two sides; one of them decides on proposals by a chain of two steps, the second with two holders."""

    of_three: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        agreement, proposal = three_sides() if self.of_three else two_sides()
        steps = (ChainStep(office="programme_officer"), ChainStep(office="head", need=2))
        self.life = Life(with_chain(agreement, MatterKind.PROPOSAL, "il", *steps), proposal)
        for side in self.life.sides:
            for one, other in (("a", "b"), ("b", "a"), ("c", "a")):
                self.life.lend(self.officer(side, one), self.officer(side, other))
        self.empty = self.life.state
        self.checked = 0
        self.closed: dict[int, Matter] = {}
        self.last: AuditEntry | None = None
        self.commands: list[SignOff] = []
        self.paid_when_claimed: dict[tuple[str, str], int] = {}

    @initialize()
    def submit(self) -> None:
        self.life.begin()

    # ---- what people do

    @rule(times=st.integers(1, 8), percent=st.sampled_from([0, 50, 100]))
    def everybody_does_what_they_are_waited_for(self, times: int, percent: int) -> None:
        for _ in range(times):
            self.life.go_on(percent)

    @rule(caller=people, matter=small, response=responses, stale=st.booleans(), data=st.data())
    def somebody_signs(
        self, caller: Caller, matter: int, response: Response, stale: bool, data: st.DataObject
    ) -> None:
        known = self.life.state.matter(matter)
        content = "sha256:" + "0" * 64 if stale or known is None else known.content_hash
        command = SignOff(
            id=self.life.next_id(),
            matter=matter,
            response=response,
            content_hash=content,
            caller=caller,
            reasons=data.draw(st.sampled_from([None, "Because."])),
            conditions=("Do.",) if response is Response.APPROVE_WITH_CONDITIONS else (),
        )
        self.life.send(command)
        self.commands.append(command)

    @rule(which=st.integers(0, 3), response=responses)
    def the_next_signer_answers(self, which: int, response: Response) -> None:
        signing = [one for one in self.life.waited_for() if one.task is Task.SIGN_OFF]
        if signing:
            one = signing[which % len(signing)]
            who = f"n{len(one.not_by)}"
            matter = self.life.state.matter(one.number)
            self.life.sign(one.directorate or "", response, who=who, office=one.office, matter=matter)

    @rule(which=small, other=st.booleans())
    def a_message_comes_again(self, which: int, other: bool) -> None:
        if self.commands:
            command = self.commands[which % len(self.commands)]
            before = self.life.state
            seen = before.answer_to(command.caller, command.id)
            assert seen is not None
            assert self.life.send(command) == seen.answer
            assert self.life.state == before

    @rule()
    def the_applicant_puts_a_new_version(self) -> None:
        self.life.revise()

    @rule(chance=st.integers(0, 9), stranger=st.booleans())
    def somebody_withdraws(self, chance: int, stranger: bool) -> None:
        if chance == 0 or stranger:
            self.life.withdraw(holder("il", "head") if stranger else None)

    @rule(number=small, caller=people, evidence=st.booleans())
    def somebody_sees_to_a_condition(self, number: int, caller: Caller, evidence: bool) -> None:
        if evidence:
            self.life.give_evidence(number)
        else:
            self.life.clear(number, caller)

    @rule(
        number=small,
        side=st.sampled_from(SIDES),
        who=st.sampled_from("ab"),
        behalf=st.sampled_from([None, "a", "b", "c"]),
        confirm=st.booleans(),
    )
    def a_finance_officer_acts(
        self, number: int, side: str, who: str, behalf: str | None, confirm: bool
    ) -> None:
        act = self.life.confirm if confirm else self.life.authorise
        act(number, side, self.officer(side, who), self.officer(side, behalf) if behalf else None)

    @rule(
        number=small, side=st.sampled_from(SIDES), who=st.sampled_from("ab"), stop=st.booleans(), chance=small
    )
    def a_finance_officer_holds_or_resumes(
        self, number: int, side: str, who: str, stop: bool, chance: int
    ) -> None:
        if chance < 4:
            act = self.life.hold if stop else self.life.resume
            act(number, side, self.officer(side, who))

    def officer(self, side: str, who: str) -> Caller:
        return holder(side, "finance_officer", who)

    @rule(
        number=small,
        side=st.sampled_from(SIDES),
        who=st.sampled_from("abc"),
        outcome=st.sampled_from(list(BankOutcome)),
        data=st.data(),
    )
    def a_bank_says_something(
        self, number: int, side: str, who: str, outcome: BankOutcome, data: st.DataObject
    ) -> None:
        tranche = self.life.state.tranche(number)
        told = tranche.shares[side].instructions if tranche and side in tranche.shares else ()
        if told:
            one = data.draw(st.sampled_from(told))
            self.life.bank(number, side, outcome, one, holder(side, "finance_officer", who))

    @rule(number=small, percent=st.sampled_from([0, 80, 100]))
    def the_applicant_reports(self, number: int, percent: int) -> None:
        self.life.report(number, percent)

    @rule(number=small, side=st.sampled_from(SIDES))
    def a_side_does_without_a_report(self, number: int, side: str) -> None:
        if side in self.life.sides:
            self.life.waive(number, side)

    @rule(side=st.sampled_from(SIDES), chance=st.integers(0, 9))
    def a_side_ends_it(self, side: str, chance: int) -> None:
        if chance == 0 and side in self.life.sides:
            self.life.terminate(side)

    @rule(
        side=st.sampled_from(SIDES),
        kind=st.sampled_from(list(NoticeKind)),
        days=st.sampled_from([None, 3, 14, 40]),
        chance=st.integers(0, 3),
    )
    def a_side_announces_or_takes_back(
        self, side: str, kind: NoticeKind, days: int | None, chance: int
    ) -> None:
        if side not in self.life.sides or (kind is NoticeKind.TERMINATION and (days is None or chance > 1)):
            return
        if chance == 0:
            self.life.take_back(side, kind)
        elif kind is NoticeKind.SUSPENSION:
            self.life.suspend(side, notice_days=days)
        else:
            self.life.terminate(side, notice_days=days)

    @rule(stranger=st.booleans(), answer=st.sampled_from([None, *Response]))
    def somebody_complains(self, stranger: bool, answer: Response | None) -> None:
        self.life.pass_time(timedelta(minutes=1))  # nobody complains in the instant in which it was decided
        self.life.complain(self.life.head("il") if stranger else None)
        matter = self.life.state.open_matter(MatterKind.COMPLAINT)
        if matter is not None and answer not in (None, Response.APPROVE_WITH_CONDITIONS):
            for side in matter.chains:
                self.life.carry(side, answer, matter=matter)

    @rule(side=st.sampled_from([None, *SIDES]))
    def somebody_asks_that_it_goes_on(self, side: str | None) -> None:
        if side is None or side in self.life.sides:
            self.life.ask_resumption(self.life.head(side) if side else None)

    @rule(number=small, side=st.sampled_from(SIDES), minor=st.sampled_from([1, 10_000, 10**9]))
    def a_side_takes_back_its_word_on_costs(self, number: int, side: str, minor: int) -> None:
        if side in self.life.sides:
            partner = next((p for p, s in self.life.state.proposal.partners.items() if s == side), "nobody")
            self.life.disallow(number, partner, Amount(minor, self.life.state.terms.sides[side].currency))

    @rule(number=small, side=st.sampled_from(SIDES), who=st.sampled_from("ab"))
    def a_side_gives_up_a_claim(self, number: int, side: str, who: str) -> None:
        if side in self.life.sides:
            self.life.write_off(number, side, self.life.head(side, who))

    @rule(data=st.data(), change=amendments.CHANGES, approve=st.booleans())
    def an_amendment_is_asked_for(
        self, data: st.DataObject, change: amendments.Change, approve: bool
    ) -> None:
        self.life.amend(**data.draw(change(self.life.proposal_in_force)))
        matter = self.life.state.last_matter(MatterKind.AMENDMENT)
        if approve and matter is not None and matter.is_open:
            for side in matter.chains:
                self.life.carry(side, matter=matter)

    @rule(caller=people, chance=st.integers(0, 3))
    def somebody_declares_an_interest(self, caller: Caller, chance: int) -> None:
        if chance == 0:
            self.life.send(DeclareConflict(id=self.life.next_id(), caller=caller, reasons="My brother's."))

    @rule(days=st.sampled_from([1, 5, 11, 20, 50, 200]))
    def time_passes(self, days: int) -> None:
        self.life.pass_time(timedelta(days=days))

    # ---- what stays true

    @invariant()
    def the_trail_is_one_chain(self) -> None:
        new = self.life.entries[self.checked :]
        assert audit.chain_faults(new, after=self.last) == []
        self.checked = len(self.life.entries)
        self.last = self.life.entries[-1] if self.life.entries else None
        assert self.life.state.sequence == self.checked
        assert self.life.state.head == audit.head(self.life.entries)

    @invariant()
    def every_message_stands_in_the_trail_exactly_once(self) -> None:
        told = [(entry.actor, entry.message) for entry in self.life.entries if entry.message is not None]
        assert told == self.life.sent

    @invariant()
    def there_is_no_outcome_without_every_position_unless_it_lapsed_or_is_void(self) -> None:
        for one in self.life.state.matters:
            if one.outcome not in (None, Outcome.LAPSED, Outcome.VOID):
                assert set(one.positions) == set(one.chains)
                assert set(one.countersigned) == set(one.chains)
                assert one.decision is not None
            else:
                assert one.decision is None
            assert set(one.countersigned) <= set(one.positions)
            assert set(one.positions) <= set(one.chains)

    @invariant()
    def nobody_is_counted_twice_in_a_matter(self) -> None:
        for one in self.life.state.matters:
            persons = [counted.person for counted in one.standing]
            assert len(set(persons)) == len(persons)
            assert not {*persons} & {*self.life.state.conflicted} or not one.is_open
            for counted in one.counted:
                side = counted.directorate
                assert counted.person.split("/")[0] == side
                own = one.chains[side][counted.step].office
                assert counted.office == own

    @invariant()
    def a_position_is_what_the_standing_sign_offs_of_its_side_make_it(self) -> None:
        for one in self.life.state.matters:
            for side in one.chains:
                assert one.positions.get(side) == position(one, side, one.standing)

    @invariant()
    def what_no_longer_counts_was_replaced_or_struck_on_record(self) -> None:
        gone = sum(counted.replaced for one in self.life.state.matters for counted in one.counted)
        struck = sum(
            entry.action == "matter.sign_off_struck"
            or (entry.action == "matter.signed" and entry.body.get("replaces") is not None)
            for entry in self.life.entries
        )
        assert gone == struck

    @invariant()
    def a_closed_matter_never_changes(self) -> None:
        for one in self.life.state.matters:
            assert self.closed.get(one.number, one) == one
            if not one.is_open:
                self.closed[one.number] = one

    @invariant()
    def no_side_pays_more_than_its_commitment_nor_by_one_pair_of_eyes(self) -> None:
        for side, amounts in self.life.state.commitments.items():
            paid = funding.paid(self.life.state.tranches, side)
            for amount in amounts:
                assert paid.get(amount.unit, 0) <= amount.minor
        for tranche in self.life.state.tranches:
            for share in tranche.shares.values():
                assert share.confirmed_by is None or share.authorised_by is not None
                assert share.confirmed_by is None or share.confirmed_by not in share.authorisers
                linked = () if tranche.is_recovery else tranche.shares.values()
                assert not share.instructions or all(s.authorised_by for s in linked)

    @invariant()
    def no_more_is_claimed_back_than_was_paid_beyond_what_was_accepted(self) -> None:
        state = self.life.state
        for side in state.commitments:
            paid, back = funding.paid(state.tranches, side), funding.recovered(state.tranches, side)
            for tranche in state.tranches:
                if not tranche.is_recovery or side not in tranche.shares:
                    continue
                share = tranche.shares[side]
                by_partner = [one for some in (share.claims or {}).values() for one in some]
                assert total(by_partner) == total(share.amounts)
                for amount in share.amounts:
                    # Of what it is on a payment may come back afterwards: then that part of it is written off.
                    at_first = self.paid_when_claimed.setdefault(
                        (side, amount.unit), paid.get(amount.unit, 0)
                    )
                    assert 0 < amount.minor <= at_first
                    assert back.get(amount.unit, 0) <= min(amount.minor, paid.get(amount.unit, 0))

    @invariant()
    def an_ended_initiative_has_given_back_everything_or_given_it_up(self) -> None:
        state = self.life.state
        if state.stage not in (Stage.CLOSED, Stage.TERMINATED) or not state.is_over:
            return
        given_up = {
            side
            for tranche in state.tranches
            for side, share in tranche.shares.items()
            if share.state is PaymentState.WRITTEN_OFF
        }
        for side in set(state.commitments) - given_up:
            back = funding.recovered(state.tranches, side)
            for unit, minor in funding.paid(state.tranches, side).items():
                assert minor - back.get(unit, 0) <= accepted_costs(state, side, unit)

    @invariant()
    def nothing_is_given_back_while_a_termination_may_be_complained_of_or_that_is_before_the_sides(
        self,
    ) -> None:
        """Told from the trail: a complaint that is upheld leads to another stage, and that is the end of the wait."""
        until: datetime | None = None
        complaint, dismissed = None, False
        for entry in self.life.entries:
            if entry.action == "stage.entered":
                until, complaint, dismissed = None, None, False
            elif entry.action == "complaint.window_opened":
                assert until is None
                until = datetime.fromisoformat(entry.body["until"])
            elif until is not None and entry.action == "matter.opened" and entry.body["kind"] == "complaint":
                assert complaint is None
                assert entry.instant < until
                complaint = entry.body["number"]
            elif entry.body.get("matter") == complaint and entry.action in (
                "matter.decided",
                "matter.lapsed",
            ):
                dismissed = entry.body.get("outcome") != "approved"
            elif until is not None and entry.action in ("tranche.claimed", "commitment.released"):
                assert dismissed or (complaint is None and entry.instant >= until)

    @invariant()
    def a_termination_is_undone_by_a_complaint_that_all_sides_upheld_and_by_nothing_else(self) -> None:
        state, undone = (
            self.life.state,
            [
                (one.body["complaint"], earlier.body)
                for earlier, one in itertools.pairwise(self.life.entries)
                if one.action == "initiative.reinstated"
            ],
        )
        for number, entered in undone:
            matter = state.matter(number)
            assert matter is not None
            assert (matter.kind, matter.outcome) == (MatterKind.COMPLAINT, Outcome.APPROVED)
            assert (entered["before"], entered["stage"]) == ("terminated", "suspended")
        assert len({number for number, _ in undone}) == len(undone)
        left = [one for one in self.life.entries if one.body.get("before") == "terminated"]
        assert len(left) == len(undone)

    @invariant()
    def what_is_carried_out_has_reports_without_a_gap_up_to_its_end_and_one_of_them_is_final(self) -> None:
        state = self.life.state
        if state.stage not in OWED:
            return
        reports, start = state.reports, state.reports[0].starts_at
        assert [one.number for one in reports] == list(range(1, len(reports) + 1))
        assert max(one.ends_at for one in reports) == add_months(start, state.proposal.duration_months)
        assert [one for one in reports if one.final] == [
            one for one in reports if one.ends_at == reports[-1].ends_at
        ][:1]
        for before, one in itertools.pairwise(reports):
            assert one.starts_at <= before.ends_at
        assert not any(one.cut_short or one.uncut or one.starts_at > one.ends_at for one in reports)

    @invariant()
    def nobody_has_a_hand_in_both_ends_of_a_payment(self) -> None:
        """Told from the trail: whoever acted, and whoever it was done for."""
        authorised: dict[tuple[int, str], set[str | None]] = {}
        ever: dict[tuple[int, str], set[str | None]] = {}
        for entry in self.life.entries:
            part = (entry.body.get("number", 0), entry.body.get("directorate", ""))
            people = {entry.actor, entry.on_behalf_of} - {None}
            if entry.action == "tranche.authorised":
                authorised[part] = people
                ever[part] = ever.get(part, set()) | people
            elif entry.action in ("tranche.paid", "tranche.recovered"):
                assert not people & authorised[part]
            elif entry.action in ("payment.booked", "payment.failed"):
                assert not people & ever[part]

    @invariant()
    def nothing_more_is_paid_while_an_earlier_tranche_is_known_to_be_paid_by_some_only(self) -> None:
        shares = {one.number: set(one.shares) for one in self.life.state.tranches}
        paid: dict[int, set[str]] = {number: set() for number in shares}
        told: set[int] = set()
        for entry in self.life.entries:
            number, side = entry.body.get("number", 0), entry.body.get("directorate", "")
            if entry.action == "tranche.paid":
                paid[number].add(side)
            elif entry.action == "payment.failed":
                paid[number].discard(side)
            elif entry.action == "tranche.diverged":
                assert number not in told
                assert set(entry.body["paid"]) == paid[number]
                assert set(entry.body["unpaid"]) == shares[number] - paid[number]
                told.add(number)
            elif entry.action == "tranche.instructed":
                assert not any(one < number and paid[one] != shares[one] for one in told)

    @invariant()
    def nothing_is_let_go_while_suspended_and_only_what_was_let_go_before_goes_on(self) -> None:
        stage, due = None, set[tuple[int, str]]()
        for entry in self.life.entries:
            if entry.action == "stage.entered":
                stage = entry.body["stage"]
            part = (entry.body.get("number", 0), entry.body.get("directorate", ""))
            if entry.action == "tranche.authorised":
                assert stage != Stage.SUSPENDED
                due.add(part)
            elif entry.action == "tranche.instructed" and stage == Stage.SUSPENDED:
                assert {(part[0], side) for side in entry.body["instructions"]} <= due

    @invariant()
    def what_was_announced_takes_effect_in_time_and_not_after_the_end(self) -> None:
        state = self.life.state
        assert all(one.announced_at <= one.effective_at for one in state.notices)
        assert not state.notices or state.stage in OWED
        places = [(one.kind, one.directorate) for one in state.notices]
        assert len(set(places)) == len(places)

    @invariant()
    def the_clock_has_nothing_left_to_do_that_it_would_do_now(self) -> None:
        """What is to come is to come: else the workflow would ask for the same instant for ever."""
        at = clock.instant_of(clock.coming(self.life.state))
        assert at is None or at > self.life.now or clock.passed(self.life.state, self.life.now)

    @invariant()
    def a_payment_is_tried_again_only_when_it_came_back_and_never_under_its_old_id(self) -> None:
        shares = [one for tranche in self.life.state.tranches for one in tranche.shares.values()]
        ids = [one.end_to_end_id for share in shares for one in share.instructions]
        assert len(set(ids)) == len(ids)
        for share in shares:
            for one in share.instructions:
                before = share.instruction(one.replaces or "")
                assert before is None or before.outcome is BankOutcome.RETURNED
                assert (before is None) == (one.attempt is None)
            if share.instructions:
                # What may have left the account is the part's amounts, whatever came back and was tried again.
                total = {amount.unit: amount.minor for amount in share.amounts}
                for one in share.current:
                    total[one.amount.unit] -= one.amount.minor
                assert set(total.values()) == {0}
            assert (share.unheld is PaymentState.FAILED) == (
                bool(share.failed) and share.state not in (PaymentState.AUTHORISED, PaymentState.WRITTEN_OFF)
            )
            assert (share.state is PaymentState.HELD) == (share.held_from is not None)
            assert share.unheld in funding.HOLDABLE or share.state is not PaymentState.HELD
            assert share.state is not PaymentState.SETTLED or (share.is_booked and share.confirmed_by)

    @invariant()
    def whoever_is_waited_for_is_waited_for_in_a_stage_that_goes_on(self) -> None:
        state = self.life.state
        is_final = complaining.complaint(state) is None or complaining.is_over(state, self.life.now)
        assert not (state.is_over and is_final and self.life.waited_for())

    def teardown(self) -> None:
        stage = None
        for entry in self.life.entries:
            if entry.action == "stage.entered":
                assert entry.body.get("before") == stage
                assert entry.body["stage"] in TRANSITIONS[stage]
                stage = entry.body["stage"]
        assert stage == self.life.state.stage


class WalkOfThree(Walk):
    """Three sides, by another agreement file and nothing else."""

    of_three = True


class ActiveWalk(Walk):
    """It is active already: stopping, going on, ending."""

    @initialize()
    def submit(self) -> None:
        self.life.begin().reach(Stage.ACTIVE)


class FollowedWalk(Walk):
    """Everything is read back from the trail as it stands in the record: JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.followed: InitiativeState = self.empty
        self.read = 0

    @invariant()
    def the_state_follows_from_the_trail(self) -> None:
        new = [
            AuditEntry.model_validate_json(one.model_dump_json()) for one in self.life.entries[self.read :]
        ]
        for entry in new:
            ACTIONS[entry.action].model_validate(entry.body)
        self.followed = replay(self.followed, new)
        self.read = len(self.life.entries)
        assert self.followed == self.life.state

    @invariant()
    def a_run_that_continues_as_new_knows_the_same(self) -> None:
        assert InitiativeState.model_validate_json(self.life.state.model_dump_json()) == self.life.state


class EndedWalk(FollowedWalk):
    """One side has ended it, with money paid and a report to come: complaints, last reports, giving back."""

    @initialize(days=st.integers(1, 700), paid=st.integers(0, 2))
    def submit(self, days: int, paid: int) -> None:
        self.life.begin().reach(Stage.ACTIVE)
        for _ in range(4 * paid):
            self.life.go_on()
        self.life.pass_time(timedelta(days=days))
        self.life.terminate("il")


SETTINGS = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
Walk.TestCase.settings = SETTINGS
WalkOfThree.TestCase.settings = SETTINGS
ActiveWalk.TestCase.settings = SETTINGS
FollowedWalk.TestCase.settings = settings(SETTINGS, max_examples=25)
EndedWalk.TestCase.settings = SETTINGS


TestWhateverTwoSidesDo = Walk.TestCase


TestWhateverThreeSidesDo = WalkOfThree.TestCase


TestWhateverIsDoneOnceItIsActive = ActiveWalk.TestCase


TestWhateverIsReadFromTheTrail = FollowedWalk.TestCase


TestWhateverIsDoneOnceItWasTerminated = EndedWalk.TestCase


@pytest.mark.parametrize("of_three", [False, True])
def test_the_trail_of_a_whole_life_gives_the_same_state_again(of_three: bool) -> None:
    life = Life(*(three_sides() if of_three else two_sides()))
    empty = life.state
    life.begin()
    life.all_sign()
    life.all_sign(Response.RETURN)
    life.revise()
    life.all_sign()
    life.all_sign(Response.APPROVE_WITH_CONDITIONS)
    while life.go_on():
        pass
    assert life.state.is_over
    entries = [AuditEntry.model_validate_json(one.model_dump_json()) for one in life.entries]
    assert audit.chain_faults(entries) == []
    assert replay(empty, entries) == life.state


def test_a_trail_that_does_not_continue_the_state_is_not_replayed() -> None:
    life = Life(*two_sides())
    empty = life.state
    life.begin()
    with pytest.raises(ValueError, match="does not continue"):
        replay(empty, life.entries[1:])
    with pytest.raises(ValueError, match="does not continue"):
        replay(life.state, life.entries)
