"""The ledger: balanced, never beyond the commitment, and the same from the trail and from the steps."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant

from countersign.domain import funding
from countersign.domain.facts import ACTIONS
from countersign.domain.funding import BankOutcome
from countersign.domain.ledger import (
    POSTED,
    Account,
    Book,
    Code,
    Place,
    Transaction,
    book_of,
    faults,
    ledger_of,
    postings,
    standings,
)
from countersign.domain.matter import Response
from countersign.domain.stage import Stage
from tests.amendments import asking, shifted
from tests.domain.lives import Life, active_life, body_of, holder, three_sides, two_sides
from tests.domain.test_walks import Walk
from tests.people import ROOT

PAIRS = (
    {Account.APPROPRIATION, Account.RESERVED, Account.COMMITTED},
    {Account.TREASURY, Account.INSTRUCTED, Account.DISBURSED, Account.RECOVERED},
    {Account.REPORTED, Account.ACCEPTED},
    {Account.RECOVERABLE, Account.CLAIMED},
)


def check(ledger: Iterable[Transaction]) -> dict[Place, int]:
    """Hold every rule at every instant; the balances at the end."""
    balances: defaultdict[Place, int] = defaultdict(int)
    seen: set[tuple[int, int]] = set()
    for one in ledger:
        assert (one.sequence, one.number) not in seen
        seen.add((one.sequence, one.number))
        assert sum(entry.minor for entry in one.entries) == 0
        assert len({entry.account for entry in one.entries}) == len(one.entries) == 2
        assert all(entry.minor for entry in one.entries)
        for entry in one.entries:
            balances[Place(one.directorate, one.unit, entry.account)] += entry.minor

        def on(account: Account, one: Transaction = one) -> int:
            return balances[Place(one.directorate, one.unit, account)]

        assert on(Account.INSTRUCTED) + on(Account.DISBURSED) <= on(Account.COMMITTED)
        for account in (Account.RESERVED, Account.COMMITTED, Account.INSTRUCTED, Account.DISBURSED):
            assert on(account) >= 0
        for pair in PAIRS:
            assert sum(on(account) for account in pair) == 0
    return {place: minor for place, minor in balances.items() if minor}


def per_side(balances: dict[Place, int], account: Account) -> dict[tuple[str, str], int]:
    return {(one.directorate, one.unit): n for one, n in balances.items() if one.account is account}


def codes(ledger: Iterable[Transaction], side: str = "il") -> list[str]:
    return [one.code for one in ledger if one.directorate == side]


class LedgerWalk(Walk):
    """Whatever people do, step by step."""

    def __init__(self) -> None:
        super().__init__()
        self.known = self.empty
        self.posted: list[Transaction] = []

    @invariant()
    def what_the_steps_post_keeps_the_rules_and_is_what_the_state_stands_at(self) -> None:
        new = self.life.entries[self.known.sequence :]
        self.posted += postings(self.known, new)
        self.known = self.life.state
        balances = check(self.posted)
        book = book_of(self.life.state)
        assert {place: minor for place, minor in book.balances.items() if minor} == balances
        tranches = self.life.state.tranches
        confirmed = tuple(
            one.model_copy(
                update={"shares": {side: s for side, s in one.shares.items() if s.state in funding.PAID}}
            )
            for one in tranches
        )
        for side in self.life.sides:
            for unit, minor in funding.paid(tranches, side).items():
                disbursed, instructed = (
                    balances.get(Place(side, unit, account), 0)
                    for account in (Account.DISBURSED, Account.INSTRUCTED)
                )
                assert disbursed == funding.paid(confirmed, side).get(unit, 0)
                assert minor <= disbursed + instructed  # the bank may have booked what nobody confirmed yet

    def teardown(self) -> None:
        super().teardown()
        assert tuple(self.posted) == ledger_of(self.life.entries)


class LedgerWalkOfThree(LedgerWalk):
    of_three = True


LedgerWalk.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
LedgerWalkOfThree.TestCase.settings = LedgerWalk.TestCase.settings


TestWhateverTwoSidesDoWithMoney = LedgerWalk.TestCase


TestWhateverThreeSidesDoWithMoney = LedgerWalkOfThree.TestCase


@pytest.mark.parametrize("of_three", [False, True])
@pytest.mark.parametrize("percent", [0, 40, 100])
def test_the_ledger_of_a_whole_life_ends_at_what_was_paid(of_three: bool, percent: int) -> None:
    life = Life(*(three_sides() if of_three else two_sides())).begin()
    while life.go_on(percent):
        pass
    assert life.stage() is Stage.CLOSED
    balances = check(ledger_of(life.entries))
    paid: dict[tuple[str, str], int] = defaultdict(int)
    for entry in life.entries:
        if entry.action == "tranche.paid":
            for amount in entry.body["amounts"]:
                paid[entry.body["directorate"], amount["unit"]] += amount["minor"]
    assert paid
    assert per_side(balances, Account.DISBURSED) == paid
    assert per_side(balances, Account.COMMITTED) == paid  # the rest was released
    assert per_side(balances, Account.APPROPRIATION) == {key: -minor for key, minor in paid.items()}
    for gone in (Account.RESERVED, Account.INSTRUCTED):
        assert per_side(balances, gone) == {}


def test_a_commitment_is_reserved_by_the_decision_and_made_by_the_agreements() -> None:
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    requested = {(side, one.unit): one.minor for side, some in life.state.commitments.items() for one in some}
    reserved = check(ledger_of(life.entries))
    assert per_side(reserved, Account.RESERVED) == requested
    assert per_side(reserved, Account.COMMITTED) == {}
    life.reach(Stage.ACTIVE)
    made = check(ledger_of(life.entries))
    assert per_side(made, Account.RESERVED) == {}
    assert per_side(made, Account.COMMITTED) == requested


def test_a_payment_leaves_the_treasury_when_it_is_instructed_and_is_disbursed_when_confirmed() -> None:
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    share = life.state.tranches[0].shares["il"].amounts[0]
    told = check(ledger_of(life.entries))
    il = [Place("il", share.unit, one) for one in (Account.TREASURY, Account.INSTRUCTED, Account.DISBURSED)]
    assert [told.get(one, 0) for one in il] == [-share.minor, share.minor, 0]
    life.confirm(1, "il")
    paid = check(ledger_of(life.entries))
    assert [paid.get(one, 0) for one in il] == [-share.minor, 0, share.minor]
    assert codes(ledger_of(life.entries)) == [
        Code.COMMITMENT_RESERVED, Code.COMMITMENT_MADE, Code.PAYMENT_INSTRUCTED, Code.PAYMENT_MADE,
    ]  # fmt: skip


def test_what_is_withdrawn_or_refused_while_contracting_is_released_whole() -> None:
    withdrawn = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    withdrawn.withdraw()
    refused = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    refused.all_sign(Response.REFUSE)
    # A complaint may come for thirty days, and must not find the money spent.
    assert codes(ledger_of(refused.entries)) == [Code.COMMITMENT_RESERVED]
    assert {place: minor for place, minor in book_of(refused.state).balances.items() if minor} == check(
        ledger_of(refused.entries)
    )
    refused.pass_time(timedelta(days=31))
    for life in (withdrawn, refused):
        ledger = ledger_of(life.entries)
        assert codes(ledger) == [Code.COMMITMENT_RESERVED, Code.COMMITMENT_RELEASED]
        assert check(ledger) == {}


def test_a_reduced_tranche_leaves_the_commitment_until_the_rest_is_released() -> None:
    life = active_life()
    while life.stage() is not Stage.CLOSED:
        reduced = any(one.action == "tranche.reduced" for one in life.entries)
        if reduced:
            balances = check(ledger_of(life.entries))
            assert per_side(balances, Account.COMMITTED) == {
                (side, one.unit): one.minor for side, some in life.state.commitments.items() for one in some
            }
        assert life.go_on(80)
    assert any(one.action == "tranche.reduced" for one in life.entries)
    assert codes(ledger_of(life.entries))[-1] == Code.COMMITMENT_RELEASED


def test_costs_are_entered_when_the_report_is_accepted_and_not_when_it_is_submitted() -> None:
    life = active_life()
    life.pay(1)
    life.now = life.state.reports[0].ends_at
    life.report(1, 30)
    assert Code.COSTS_ACCEPTED not in codes(ledger_of(life.entries))
    life.all_sign(Response.RETURN)
    life.report(1, 70)
    life.all_sign()
    balances = check(ledger_of(life.entries))
    assert per_side(balances, Account.ACCEPTED) == {
        (side, one.unit): one.minor for side, some in life.state.reports[0].costs.items() for one in some
    }


def test_what_is_decided_anew_is_reserved_anew_and_only_once() -> None:
    """An approval ran out: the initiative goes back before every side."""
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    life.write(life._enter(Stage.DECISION))
    assert check(ledger_of(life.entries)) == {}
    life.reach(Stage.CONTRACTING)
    assert codes(ledger_of(life.entries)) == [
        Code.COMMITMENT_RESERVED, Code.COMMITMENT_RELEASED, Code.COMMITMENT_RESERVED,
    ]  # fmt: skip


def test_an_amendment_commits_more_on_one_side_and_gives_back_on_another() -> None:
    life = active_life()
    life.pay(1)
    more = asking(asking(body_of(life.proposal), "dugma", 500), "numune", -700)
    assert life.amend(**shifted(body_of(life.proposal), "dugma", 3)).status == "counted"
    assert codes(ledger_of(life.entries))[-1] == Code.PAYMENT_MADE  # a notice moves nothing
    assert life.amend(**shifted(more, "dugma", 3)).status == "counted"
    before = check(ledger_of(life.entries))
    life.all_sign()
    after = check(ledger_of(life.entries))
    il, az = Place("il", "ILS", Account.COMMITTED), Place("az", "AZN", Account.COMMITTED)
    assert (after[il] - before[il], after[az] - before[az]) == (500, -700)
    assert codes(ledger_of(life.entries))[-1] == Code.COMMITMENT_INCREASED
    assert codes(ledger_of(life.entries), "az")[-1] == Code.COMMITMENT_RELEASED
    assert after == {place: minor for place, minor in book_of(life.state).balances.items() if minor}


def test_an_entry_that_is_no_money_posts_nothing_and_every_posted_action_is_known() -> None:
    life = Life(*two_sides()).begin()
    assert [Book().post(one) for one in life.entries] == [()] * len(life.entries)
    assert set(POSTED) <= set(ACTIONS)


def test_a_ledger_that_is_not_the_trail_s_is_told_by_the_places_that_differ() -> None:
    life = active_life()
    life.pay(1)
    ledger = ledger_of(life.entries)
    assert faults(life.entries, reversed(ledger)) == []
    first, last = ledger[0], ledger[-1]
    altered = first.model_copy(update={"directorate": "xx"})
    added = last.model_copy(update={"number": 9})
    assert faults(life.entries, [altered, *ledger[1:-1], added]) == [
        f"transaction {first.sequence}.1 was altered",
        f"transaction {last.sequence}.1 is missing",
        f"transaction {last.sequence}.9 was added",
    ]


DOCUMENTED = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")


def test_the_page_on_the_ledger_names_every_account_code_and_fact_of_it() -> None:
    rows = [line for line in DOCUMENTED.splitlines() if line.startswith("|")]
    told = set(re.findall(r"`([a-z_.]+)`", "\n".join(rows)))
    quiet = {"report.submitted", "tranche.claimed"}  # what is accepted, and let go, moves something
    assert told == {*Account, *Code, *POSTED, "active"} - quiet


def test_what_came_back_returns_to_the_treasury_and_is_confirmed_with_the_rest_once_it_is_paid_again() -> (
    None
):
    life = active_life()
    for side in life.sides:
        life.authorise(1, side)
    life.confirm(1, "il")
    paid = check(ledger_of(life.entries))
    lost = next(one for one in life.state.tranches[0].shares["il"].current if one.is_money)
    unit, minor = lost.amount.unit, lost.amount.minor
    assert life.bank(1, "il", BankOutcome.RETURNED, lost).status == "counted"
    after = check(ledger_of(life.entries))
    whole = paid[Place("il", unit, Account.DISBURSED)]
    assert after.get(Place("il", unit, Account.DISBURSED), 0) == 0
    assert after.get(Place("il", unit, Account.INSTRUCTED), 0) == whole - minor
    assert after.get(Place("il", unit, Account.TREASURY), 0) == minor - whole
    assert codes(ledger_of(life.entries))[-2:] == ["payment_unconfirmed", "payment_returned"]

    assert life.authorise(1, "il", holder("il", "finance_officer", "second")).status == "counted"
    assert life.confirm(1, "il", holder("il", "finance_officer", "third")).status == "counted"
    again = check(ledger_of(life.entries))
    assert per_side(again, Account.DISBURSED) == per_side(paid, Account.DISBURSED)
    assert again == {place: value for place, value in book_of(life.state).balances.items() if value}


def test_hours_given_and_hours_used_stand_beside_each_other_like_money() -> None:
    life = Life(*three_sides()).begin().reach(Stage.CLOSED)
    found = {(one.directorate, one.unit): one for one in standings(book_of(life.state).balances)}
    hours = found["il", "GPUh"]
    assert hours.committed == hours.disbursed == hours.accepted == 1009
    assert (hours.instructed, hours.available, hours.unspent) == (0, 0, 0)
    part = Life(*three_sides()).begin().reach(Stage.ACTIVE)
    for side in part.sides:
        part.authorise(1, side)
    part.confirm(1, "il")
    hours = {(one.directorate, one.unit): one for one in standings(book_of(part.state).balances)}[
        "il", "GPUh"
    ]
    given = hours.disbursed
    assert (hours.committed, hours.available, hours.unspent) == (1009, 1009 - given, given)
    assert 0 < given < 1009
