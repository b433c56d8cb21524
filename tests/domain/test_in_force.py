"""Whatever amendments, reports and payments come, in any order: the state is what follows from the version in force.

What follows is worked out here a second time, apart from the code that makes it.
"""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from countersign.domain import amendment, funding, steps
from countersign.domain.agreement import MatterKind
from countersign.domain.amendment import AmendmentState
from countersign.domain.facts import ACTIONS
from countersign.domain.funding import Instruction, PaymentState
from countersign.domain.initiative import replay
from countersign.domain.matter import Response
from countersign.domain.projection import Task
from countersign.domain.proposal import summarise
from countersign.domain.reporting import ReportState
from countersign.domain.schedule import ReportKind, add_months
from countersign.domain.stage import Stage
from tests.domain.amendments import CHANGES, Change
from tests.domain.lives import Life, three_sides, two_sides


class AmendedLife(RuleBasedStateMachine):
    """An active initiative, changed, carried out and paid for in any order."""

    of_three = False

    @initialize(months=st.sampled_from([12, 18, 20]), paid=st.booleans())
    def begin(self, months: int, paid: bool) -> None:
        agreement, proposal = three_sides() if self.of_three else two_sides()
        if not self.of_three:
            packages = tuple(
                one.model_copy(update={"to_month": min(one.to_month, months)})
                for one in proposal.work_packages
            )
            proposal = proposal.model_copy(update={"duration_months": months, "work_packages": packages})
        self.life = Life(agreement, proposal)
        self.empty = self.life.state
        self.life.begin().reach(Stage.ACTIVE)
        if paid:
            self.life.pay(1)
        self.proposal = proposal
        self.let_go: dict[tuple[int, str], tuple[Instruction, ...]] = {}

    # ---- what happens

    @rule(
        data=st.data(),
        change=CHANGES,
        response=st.sampled_from(
            [None, Response.APPROVE, Response.APPROVE, Response.APPROVE, Response.REFUSE]
        ),
    )
    def somebody_asks_for_an_amendment(
        self, data: st.DataObject, change: Change, response: Response | None
    ) -> None:
        self.life.amend(**data.draw(change(self.life.proposal_in_force)))
        if response is not None:
            self.every_side_decides_on_it(response)

    @rule(
        every=st.sampled_from([3, 4, 6]),
        accounts=st.sampled_from([None, 2]),
        on_signature=st.sampled_from([0, 40]),
        response=st.sampled_from([Response.APPROVE, Response.APPROVE, Response.REFUSE]),
    )
    def a_side_asks_for_another_version_of_the_agreement(
        self, every: int, accounts: int | None, on_signature: int, response: Response
    ) -> None:
        newest = self.life.agreements[max(self.life.agreements)]
        rules = {"period_months": every, "financial_every": accounts}
        plan = {"on_signature": on_signature, "on_reports": 90 - on_signature}
        changed = {
            "version": newest.version + 1,
            "reporting": newest.reporting.model_copy(update=rules),
            "tranches": newest.tranches.model_copy(update=plan),
        }
        self.life.adopt(newest.model_copy(update=changed))
        self.every_side_decides_on_it(response)

    @rule(response=st.sampled_from([Response.APPROVE, Response.APPROVE, Response.APPROVE, Response.REFUSE]))
    def every_side_decides_on_it(self, response: Response) -> None:
        matter = self.life.state.last_matter(MatterKind.AMENDMENT)
        if matter is not None and matter.is_open:
            for side in matter.chains:
                self.life.carry(side, response, matter=matter)

    @rule(data=st.data(), others=st.booleans(), untold=st.booleans())
    def parts_that_are_due_are_let_go(self, data: st.DataObject, others: bool, untold: bool) -> None:
        due = [
            (tranche.number, side)
            for tranche in self.life.state.tranches
            for side, share in tranche.shares.items()
            if share.state is PaymentState.DUE
        ]
        # A report that was returned and does not come again has suspended it: then nothing is let go.
        if due and self.life.stage() is not Stage.SUSPENDED:
            first = data.draw(st.sampled_from(due))
            self.life.untold = {first[1]} if untold else set()
            for number, side in [one for one in due if one == first or (others and one[0] == first[0])]:
                assert self.life.authorise(number, side).status == "counted"

    @rule(number=st.integers(1, 5), which=st.integers(0, 2))
    def a_part_is_held_or_goes_on(self, number: int, which: int) -> None:
        side = self.life.sides[which % len(self.life.sides)]
        if self.life.hold(number, side).status == "refused":
            self.life.resume(number, side)

    @rule(
        percent=st.sampled_from([0, 70, 100]), response=st.sampled_from([Response.APPROVE, Response.RETURN])
    )
    def the_next_report_comes(self, percent: int, response: Response) -> None:
        report = self.life.state.next_report()
        if report is not None and report.is_open and self.life.stage() is Stage.ACTIVE:
            self.life.now = max(self.life.now, report.ends_at)
            self.life.report(report.number, percent)
            matter = self.life.state.last_matter(MatterKind.REPORT)
            assert matter is not None
            for side in matter.chains:
                self.life.carry(side, response, matter=matter)

    @rule(days=st.sampled_from([1, 20, 46, 100]))
    def time_passes(self, days: int) -> None:
        self.life.pass_time(timedelta(days=days))

    # ---- what stays true

    @invariant()
    def the_reports_are_those_of_the_duration_in_force(self) -> None:
        state = self.life.state
        if state.stage is Stage.TERMINATED:
            return  # its last report was cut short
        reports, start = state.reports, state.reports[0].starts_at
        assert [one.number for one in reports] == list(range(1, len(reports) + 1))
        regular = [one for one in reports if one.milestone is None]
        assert [one.starts_at for one in regular] == [start, *(one.ends_at for one in regular[:-1])]
        assert [one.final for one in reports] == [False] * (len(reports) - 1) + [True]
        assert reports[-1].ends_at == add_months(start, state.proposal.duration_months)
        assert all(one.due_at == one.ends_at + timedelta(days=30) for one in reports)
        months = state.terms.reporting.period_months
        grid = {add_months(start, n) for n in range(months, state.proposal.duration_months, months)}
        ends = {one.ends_at for one in regular if not one.version}
        reported = max((one.ends_at for one in regular if one.version), default=start)
        asked = {one for one in grid if one > reported}
        assert ends - {reports[-1].ends_at} <= asked
        # A new one that would have been late already comes with the next.
        assert all(one + timedelta(days=30) <= self.life.now for one in asked - ends)
        for one in reports:
            assert one.state is not ReportState.OVERDUE or one.due_at <= self.life.now
            assert one.starts_at < one.ends_at
        accounts = state.terms.reporting.financial_every or 1
        for one in regular:
            if not one.version:
                number = sorted({*grid, reports[-1].ends_at}).index(one.ends_at) + 1
                is_told = one.final or number % accounts == 0
                assert one.kind is (ReportKind.BOTH if is_told else ReportKind.PROGRESS)

    @invariant()
    def every_milestone_of_the_version_in_force_has_one_report(self) -> None:
        state = self.life.state
        if state.stage is Stage.TERMINATED:
            return
        start = state.reports[0].starts_at
        reported = {one.milestone for one in state.reports if one.milestone and one.version}
        waited = [(one.milestone, one.ends_at) for one in state.reports if one.milestone and not one.version]
        asked = {one.id: one.month for one in self.life.proposal_in_force.milestones}
        assert sorted(waited) == sorted(
            (one, add_months(start, month)) for one, month in asked.items() if one not in reported
        )
        for one in state.reports:
            if one.milestone and not one.version:
                before = [o for o in state.reports[: one.number - 1] if o.milestone is None]
                assert one.starts_at == (before[-1].ends_at if before else start)
                assert one.kind is ReportKind.PROGRESS

    @invariant()
    def there_is_one_tranche_for_each_interim_report_one_before_and_one_after(self) -> None:
        if self.life.stage() is Stage.TERMINATED:
            return  # what is claimed back is a tranche of its own
        tranches, reports = self.life.state.tranches, self.life.state.reports
        releasing = [one.number for one in reports if one.milestone is None and not one.final]
        keys = [(one.trigger, one.report) for one in tranches]
        assert len(set(keys)) == len(keys)
        assert [one.number for one in tranches] == sorted(one.number for one in tranches)
        for one in tranches:
            assert one.shares
            place = {"signature": 1, "closure": len(releasing) + 2}
            assert one.number == (
                releasing.index(one.report) + 2 if one.report is not None else place[one.trigger]
            )

    @invariant()
    def the_tranches_come_to_what_the_version_in_force_asks_for(self) -> None:
        if self.life.stage() is Stage.TERMINATED:
            return  # what is claimed back is a tranche of its own
        state = self.life.state
        in_force = summarise(self.life.proposal_in_force)
        assert state.summary == in_force
        assert state.commitments == in_force.requested
        if state.stage is not Stage.ACTIVE:
            return  # the closing cuts the last one to the costs
        planned: Counter[tuple[str, str]] = Counter()
        for tranche in state.tranches:
            for side, share in tranche.shares.items():
                for one in share.amounts:
                    planned[side, one.unit] += one.minor
        asked = {(side, one.unit): one.minor for side, some in in_force.requested.items() for one in some}
        assert planned == Counter({key: minor for key, minor in asked.items() if minor})

    @invariant()
    def every_partner_gets_what_it_asks_for_to_the_minor_unit_of_each_payment(self) -> None:
        state = self.life.state
        if state.stage is not Stage.ACTIVE:
            return
        gets: Counter[tuple[str | None, str]] = Counter()
        asked = state.proposal.asked or {}
        for tranche in state.tranches:
            for side in tranche.shares:
                own = {one: some for one, some in asked.items() if state.proposal.partners[one] == side}
                current = tranche.shares[side].current
                for told in current or funding.instructions(state.id, tranche, side, own):
                    gets[told.partner, told.amount.unit] += told.amount.minor
        for partner, amounts in asked.items():
            for one in amounts:
                assert abs(gets[partner, one.unit] - one.minor) <= len(state.tranches) * len(asked)

    @invariant()
    def what_was_let_go_is_paid_as_it_was_let_go(self) -> None:
        state = self.life.state
        now: dict[tuple[int, str], tuple[Instruction, ...]] = {}
        for tranche in state.tranches:
            told = steps.to_instruct(state, tranche)
            for side, share in tranche.shares.items():
                if share.is_let_go:
                    now[tranche.number, side] = share.instructions or told[side]
        for key, instructions in self.let_go.items():
            known = state.tranche(key[0])
            assert known is not None
            if known.shares[key[1]].unheld in (PaymentState.AUTHORISED, PaymentState.DUE):
                continue  # held before its bank was told
            assert now[key] == instructions
        self.let_go = {key: one for key, one in now.items() if state.tranche(key[0])}

    @invariant()
    def no_amendment_waits_for_nobody(self) -> None:
        asked = self.life.state.open_amendment
        if asked is not None:
            assert any(one.task is Task.SIGN_OFF for one in self.life.waited_for())
        assert sum(one.state is AmendmentState.ASKED for one in self.life.state.amendments) <= 1
        assert len(self.life.state.amendments) <= amendment.MOST

    def teardown(self) -> None:
        if not hasattr(self, "life"):
            return
        for entry in self.life.entries:
            ACTIONS[entry.action].model_validate(entry.body)
        assert replay(self.empty, self.life.entries) == self.life.state
        versions = [one.subject for one in self.life.entries if one.action.startswith("amendment.")]
        assert self.life.state.content_hash in {self.proposal.content_hash(), *versions}


class AmendedLifeOfThree(AmendedLife):
    """Three sides, one of which gives compute hours, too."""

    of_three = True


SETTINGS = settings(
    max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
AmendedLife.TestCase.settings = SETTINGS
AmendedLifeOfThree.TestCase.settings = settings(SETTINGS, max_examples=30)

TestWhateverIsAmended = AmendedLife.TestCase
TestWhateverThreeSidesAmend = AmendedLifeOfThree.TestCase
