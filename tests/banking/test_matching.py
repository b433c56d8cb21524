"""What each line of a bank's notification is to a side."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.banking.camt054 import Limits, read_notification
from countersign.banking.matching import CURRENCIES, Line, Verdict, match
from countersign.domain.amounts import Amount
from countersign.domain.funding import BankOutcome
from tests.banking import making
from tests.banking.making import details, entry

MINE, THEIRS = "CS0001T01A01", "CS0002T01A01"


@dataclass(frozen=True)
class Payment:
    """A payment on record."""

    directorate: str = "il"
    amount: Amount = field(default_factory=lambda: Amount(100_00, "ILS"))
    outcome: BankOutcome | None = None
    is_claim: bool = False


def lines(*entries: str, outcome: BankOutcome | None = None) -> list[Line]:
    told = {MINE: Payment(outcome=outcome), THEIRS: Payment(directorate="az")}
    text = making.notification(*entries)
    return match(read_notification(text.encode(), Limits(currencies=CURRENCIES)), told, "il")


def verdicts(*entries: str, outcome: BankOutcome | None = None) -> list[str]:
    return [one.verdict.value for one in lines(*entries, outcome=outcome)]


LEFT = entry(details(MINE))
BACK = entry(details(MINE, returned="AC04"), direction="CRDT")


def test_what_left_was_booked_and_what_came_back_has_failed() -> None:
    (left,) = lines(LEFT)
    assert (left.verdict, left.outcome, left.entry) == (Verdict.MATCHED, BankOutcome.BOOKED, 1)
    assert (left.bank_reference, str(left.on)) == ("B-1", "2027-03-02")
    (back,) = lines(BACK)
    assert (back.verdict, back.outcome, back.reason) == (Verdict.MATCHED, BankOutcome.RETURNED, "AC04")
    (reversed_,) = lines(entry(details(MINE), direction="CRDT", reversal="true"))
    assert reversed_.outcome is BankOutcome.RETURNED


@pytest.mark.parametrize(
    ("verdict", "line"),
    [
        ("unmatched", entry(details("CS9999T01A01"))),
        ("unmatched", entry(details("NOTPROVIDED"))),
        ("not_yours", entry(details(THEIRS))),
        ("wrong_amount", entry(details(MINE), amount="100.01")),
        ("wrong_currency", entry(details(MINE), currency="USD")),
        ("pending", entry(details(MINE), status="PDNG")),
        ("pending", entry(details(MINE), status="INFO")),
        ("unclear", entry(details(MINE, returned="AC04"))),
        ("unclear", entry(details(MINE), reversal="true")),
        ("unclear", entry(details(MINE), details(MINE), amount="200.00")),
    ],
)
def test_a_line_that_changes_nothing_says_why(verdict: str, line: str) -> None:
    assert set(verdicts(line)) == {verdict}


def test_the_same_again_is_a_duplicate_in_a_file_and_after_it() -> None:
    assert verdicts(LEFT, LEFT) == ["matched", "duplicate"]
    assert verdicts(LEFT, outcome=BankOutcome.BOOKED) == ["duplicate"]
    assert verdicts(BACK, BACK) == ["matched", "duplicate"]
    assert verdicts(BACK, outcome=BankOutcome.BOOKED) == ["matched"]
    assert verdicts(LEFT, outcome=BankOutcome.RETURNED) == ["unclear"]


def test_what_left_and_came_back_is_read_so_in_whatever_order_the_bank_tells_it() -> None:
    assert verdicts(LEFT, BACK) == verdicts(BACK, LEFT) == ["matched", "matched"]


def test_an_entry_without_details_is_told_as_unmatched() -> None:
    bare = entry(details(MINE)).replace(f"<NtryDtls>{details(MINE)}</NtryDtls>", "")
    (line,) = lines(bare)
    assert (line.verdict, line.end_to_end_id, line.amount) == ("unmatched", None, Amount(100_00, "ILS"))


some = st.builds(
    entry,
    st.builds(
        details, st.sampled_from([MINE, THEIRS, "CSX"]), st.none(), returned=st.sampled_from(["", "AC04"])
    ),
    amount=st.sampled_from(["100.00", "99.00"]),
    currency=st.sampled_from(["ILS", "EUR"]),
    direction=st.sampled_from(["DBIT", "CRDT"]),
    status=st.sampled_from(["BOOK", "PDNG"]),
)


@given(st.lists(some, min_size=1, max_size=8), st.sampled_from([None, *BankOutcome]))
def test_no_payment_counts_twice_the_same_whatever_the_bank_writes(
    entries: list[str], outcome: BankOutcome | None
) -> None:
    found = lines(*entries, outcome=outcome)
    assert len(found) == len(entries)
    counted = [one.outcome for one in found if one.verdict is Verdict.MATCHED]
    assert len(set(counted)) == len(counted)
    assert outcome not in counted
    assert all(
        one.end_to_end_id == MINE and one.amount == Amount(100_00, "ILS")
        for one in found
        if one.verdict is Verdict.MATCHED
    )
