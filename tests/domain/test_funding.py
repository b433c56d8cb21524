"""What each side pays, when, and who may say so."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain import funding, papers
from countersign.domain.agreement import TranchePlan
from countersign.domain.amounts import Amount
from countersign.domain.errors import RuleBroken
from countersign.domain.funding import PaymentState, Share, Tranche
from countersign.domain.matter import Caller
from countersign.domain.projection import Task
from countersign.domain.stage import Stage
from tests.domain.lives import Life, active_life, holder, three_sides, two_sides


@st.composite
def plans(draw: st.DrawFn) -> TranchePlan:
    first = draw(st.integers(0, 100))
    reports = draw(st.integers(0, 100 - first))
    return TranchePlan(on_signature=first, on_reports=reports, on_closure=100 - first - reports)


units = st.sampled_from(["ILS", "AZN", "GEL", "GPUh"])


def one_amount_a_unit(some: list[Amount]) -> tuple[Amount, ...]:
    return tuple({one.unit: one for one in some}.values())


commitments = st.dictionaries(
    st.sampled_from(["il", "az", "ge"]),
    st.lists(st.builds(Amount, st.integers(0, 10**12), units), max_size=2).map(one_amount_a_unit),
    max_size=3,
)


@given(commitments, plans(), st.integers(0, 20))
def test_the_tranches_add_up_to_the_commitment_exactly(
    committed: dict[str, tuple[Amount, ...]], plan: TranchePlan, interim: int
) -> None:
    tranches = funding.plan(committed, plan, range(1, interim + 1))
    sums: dict[tuple[str, str], int] = {}
    for tranche in tranches:
        for side, share in tranche.shares.items():
            for amount in share.amounts:
                sums[side, amount.unit] = sums.get((side, amount.unit), 0) + amount.minor
    wanted = {
        (side, one.unit): one.minor for side, amounts in committed.items() for one in amounts if one.minor
    }
    assert sums == wanted


@given(commitments, plans(), st.integers(0, 20))
def test_every_tranche_pays_something_and_names_what_releases_it(
    committed: dict[str, tuple[Amount, ...]], plan: TranchePlan, interim: int
) -> None:
    tranches = funding.plan(committed, plan, range(1, interim + 1))
    assert all(t.shares and all(s.amounts for s in t.shares.values()) for t in tranches)
    assert all(one.minor > 0 for t in tranches for s in t.shares.values() for one in s.amounts)
    assert [t.number for t in tranches] == sorted({t.number for t in tranches})
    reports = [t.report for t in tranches if t.trigger == "report"]
    assert reports == sorted(set(reports), key=lambda n: n or 0)
    assert all(1 <= (n or 0) <= interim for n in reports)
    assert sum(t.trigger == "signature" for t in tranches) <= 1
    assert sum(t.trigger == "closure" for t in tranches) <= 1
    assert [t.trigger for t in tranches] == sorted(
        (t.trigger for t in tranches), key=["signature", "report", "closure"].index
    )


@given(st.integers(1, 10**12), plans())
def test_without_interim_reports_their_part_is_paid_on_signature(minor: int, plan: TranchePlan) -> None:
    tranches = funding.plan({"il": (Amount(minor, "ILS"),)}, plan, ())
    on_closure = sum(
        s.amounts[0].minor for t in tranches if t.trigger == "closure" for s in t.shares.values()
    )
    assert abs(on_closure * 100 - minor * plan.on_closure) < 100
    assert all(t.trigger in ("signature", "closure") for t in tranches)


def test_the_shipped_plan_pays_forty_percent_then_equal_parts_then_ten() -> None:
    plan = TranchePlan(on_signature=40, on_reports=50, on_closure=10)
    tranches = funding.plan({"il": (Amount(1_000_00, "ILS"),)}, plan, (1, 2))
    assert [t.shares["il"].amounts[0].minor for t in tranches] == [400_00, 250_00, 250_00, 100_00]
    assert [t.report for t in tranches] == [None, 1, 2, None]


# ---- who may


def refused(code: str, life: Life, act: str, number: int, side: str, caller: Caller | None = None) -> None:
    tranches = life.state.tranches
    answer = getattr(life, act)(number, side, caller)
    assert (answer.status, answer.code) == ("refused", code)
    assert life.state.tranches == tranches


def test_whoever_authorises_a_payment_never_confirms_it() -> None:
    life = active_life()
    first = holder("il", "finance_officer", "first")
    assert life.authorise(1, "il", first).status == "counted"
    assert life.authorise(1, "az").status == "counted"
    refused("four_eyes", life, "confirm", 1, "il", first)
    assert life.confirm(1, "il", holder("il", "finance_officer", "second")).status == "counted"


def test_no_side_is_told_to_pay_before_every_side_has_authorised() -> None:
    life = active_life(three_sides())
    for side in ("il", "az"):
        assert life.authorise(1, side).status == "counted"
        refused("out_of_order", life, "confirm", 1, side)
    assert not any(entry.action == "tranche.instructed" for entry in life.entries)
    assert life.authorise(1, "ge").status == "counted"
    assert [entry.action for entry in life.entries][-2:] == ["tranche.authorised", "tranche.instructed"]
    assert all(life.confirm(1, side).status == "counted" for side in ("il", "az", "ge"))


def test_a_side_whose_bank_cannot_be_told_yet_keeps_no_other_side_from_being_paid() -> None:
    life = active_life(three_sides())
    life.away = {"az"}
    for side in life.sides:
        assert life.authorise(1, side).status == "counted"
    instructed = [one.body["instructions"] for one in life.entries if one.action == "tranche.instructed"]
    assert [list(one) for one in instructed] == [["il", "ge"]]
    assert all(life.confirm(1, side).status == "counted" for side in ("il", "ge"))
    refused("out_of_order", life, "confirm", 1, "az")
    assert [(one.task, one.office) for one in life.waited_for() if one.directorate == "az"] == [
        (Task.INSTRUCT, None)
    ]
    life.away = set()
    life.settle()
    assert life.confirm(1, "az").status == "counted"
    assert life.state.tranches[0].is_paid


def test_payments_are_made_by_the_finance_officers_of_that_side() -> None:
    life = active_life()
    refused("not_your_office", life, "authorise", 1, "il", holder("az", "finance_officer"))
    refused("not_your_office", life, "authorise", 1, "il", holder("il", "head"))
    refused("not_your_office", life, "authorise", 1, "il", life.applicant)
    officer = holder("il", "finance_officer").model_copy(update={"contact": life.state.proposal.people[0]})
    refused("conflict_of_interest", life, "authorise", 1, "il", officer)


def test_a_payment_is_made_in_its_order_and_once() -> None:
    life = active_life()
    refused("out_of_order", life, "authorise", 2, "il")  # due on the first report
    refused("not_found", life, "authorise", 99, "il")
    refused("out_of_order", life, "confirm", 1, "il")
    life.pay(1)
    refused("out_of_order", life, "authorise", 1, "il", holder("il", "finance_officer", "third"))
    refused("out_of_order", life, "confirm", 1, "il", holder("il", "finance_officer", "third"))


def test_a_payment_keeps_its_end_to_end_id_and_no_two_share_one() -> None:
    amounts = (Amount(100, "ILS"), Amount(5, "GPUh"))
    tranches = [Tranche(number=n, trigger="report", shares={"il": Share(amounts=amounts)}) for n in (1, 2)]
    told = [funding.instructions(i, t, "il") for i in ("one", "two") for t in tranches]
    assert told == [funding.instructions(i, t, "il") for i in ("one", "two") for t in tranches]
    ids = [one.end_to_end_id for some in told for one in some]
    assert len(set(ids)) == len(ids) == 8
    assert all(len(one) <= 35 and one.isalnum() for one in ids)  # ISO 20022 Max35Text


def test_only_what_is_paid_counts_as_paid() -> None:
    states = [state for state in PaymentState if state not in {*funding.PAID, PaymentState.RECOVERED}]
    tranches = [
        Tranche(
            number=i, trigger="report", shares={"il": Share(amounts=(Amount(10**i, "ILS"),), state=state)}
        )
        for i, state in enumerate([*states, PaymentState.PAID, PaymentState.SETTLED])
    ]
    assert funding.paid(tuple(tranches), "il") == {"ILS": 10 ** len(states) * 11}
    assert funding.paid(tuple(tranches), "az") == {}


# ---- the end of the money


def closing_life(percent: int) -> Life:
    life = active_life(two_sides())
    while life.stage() is not Stage.CLOSING:
        assert life.go_on(percent)
    return life


def paid_and_accepted(life: Life) -> list[tuple[int, int, int]]:
    rows = papers.reconciliation(life.state)
    return [(row["paid"], row["accepted"], row["committed"]) for side in rows.values() for row in side]


@pytest.mark.parametrize("percent", [100, 95, 92, 90, 40, 0])
def test_the_last_tranche_pays_no_more_than_the_costs_that_were_accepted(percent: int) -> None:
    life = closing_life(percent).reach(Stage.CLOSED)
    for paid, accepted, committed in paid_and_accepted(life):
        before_closure = committed - committed // 10  # of 40 + 50 percent, paid whatever was spent
        assert paid <= max(accepted, before_closure + 1)
        assert paid <= committed


def test_the_last_tranche_counts_what_is_still_on_its_way_to_the_bank() -> None:
    """The closure may be signed while an earlier tranche is due and not yet paid."""
    life = active_life()
    while life.stage() is not Stage.CLOSING:
        waiting = [one for one in life.waited_for() if one.task not in ("authorise", "confirm")]
        life.do(waiting[0], 92)
    life.all_sign()
    while life.stage() is not Stage.CLOSED:
        assert life.go_on()
    for paid, accepted, committed in paid_and_accepted(life):
        assert paid == accepted < committed


def test_a_stage_that_pays_nothing_takes_no_authorisation() -> None:
    life = Life(*two_sides()).begin().reach(Stage.CONTRACTING)
    refused("stage_closed", life, "authorise", 1, "il")
    with pytest.raises(RuleBroken, match="not_found"):
        funding.check_finance(None, "il", holder("il", "finance_officer"), frozenset())
