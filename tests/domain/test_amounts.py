"""Amounts: whole minor units, written, read and split without losing any."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from countersign.domain.amounts import MINOR_DIGITS, Amount, decimal, parse_amount, split, total

units = st.sampled_from(["ILS", "AZN", "GEL", "GPUh", "KWD", "JPY"])
minors = st.integers(min_value=0, max_value=10**15)
amounts = st.builds(Amount, minors, units)
weights = st.lists(st.integers(min_value=0, max_value=10_000), min_size=1, max_size=40).filter(any)


@given(amounts, weights)
def test_a_split_loses_and_makes_nothing(amount: Amount, parts: list[int]) -> None:
    shares = split(amount, parts)
    assert len(shares) == len(parts)
    assert {share.unit for share in shares} == {amount.unit}
    assert sum(share.minor for share in shares) == amount.minor


@given(amounts, weights)
def test_a_share_differs_from_the_ideal_by_less_than_one_minor_unit(amount: Amount, parts: list[int]) -> None:
    for share, weight in zip(split(amount, parts), parts, strict=True):
        assert abs(share.minor - Fraction(amount.minor * weight, sum(parts))) < 1


@given(amounts, weights)
def test_the_largest_remainders_get_what_is_left_and_of_equal_ones_the_earlier(
    amount: Amount, parts: list[int]
) -> None:
    ideals = [Fraction(amount.minor * weight, sum(parts)) for weight in parts]
    rounded_up = [share.minor > ideal for share, ideal in zip(split(amount, parts), ideals, strict=True)]
    remainders = [ideal - int(ideal) for ideal in ideals]
    for i, up in enumerate(rounded_up):
        for j, other_up in enumerate(rounded_up):
            if up and not other_up:
                assert remainders[i] > remainders[j] or (remainders[i] == remainders[j] and i < j)


@given(amounts, weights, st.integers(min_value=1, max_value=1000))
def test_only_the_proportion_of_the_weights_counts(amount: Amount, parts: list[int], factor: int) -> None:
    assert split(amount, parts) == split(amount, [factor * one for one in parts])


def test_a_hundred_in_three_parts_gives_the_odd_one_to_the_first() -> None:
    assert split(Amount(100, "ILS"), [1, 1, 1]) == (Amount(34, "ILS"), Amount(33, "ILS"), Amount(33, "ILS"))
    assert split(Amount(101, "ILS"), [1, 1, 1]) == (Amount(34, "ILS"), Amount(34, "ILS"), Amount(33, "ILS"))


@pytest.mark.parametrize("parts", [[], [0], [0, 0], [-1, 2], [-1, -1]])
def test_weights_that_mean_nothing_are_refused(parts: list[int]) -> None:
    with pytest.raises(ValueError, match=r"weights|empty"):
        split(Amount(100, "ILS"), parts)


@given(amounts)
def test_what_is_written_is_read_back(amount: Amount) -> None:
    assert parse_amount(str(amount)) == amount


@pytest.mark.parametrize(
    ("text", "minor", "unit"),
    [
        ("1,250,000.00 ILS", 1_250_000_00, "ILS"),
        ("1250000 ILS", 1_250_000_00, "ILS"),
        ("1 250 000.5 AZN", 1_250_000_50, "AZN"),
        ("0.01 AZN", 1, "AZN"),
        ("400,000 GPUh", 400_000, "GPUh"),
        ("1.234 KWD", 1_234, "KWD"),
        ("  7 JPY ", 7, "JPY"),
    ],
)
def test_an_amount_is_read_as_people_write_it(text: str, minor: int, unit: str) -> None:
    assert parse_amount(text) == Amount(minor, unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ILS",
        "12",
        "12 ils",
        "-5 ILS",
        "1.005 ILS",
        "1.5 GPUh",
        "0.5 JPY",
        "1.2.3 ILS",
        ".5 ILS",
        "1e3 ILS",
    ],
)
def test_what_is_no_amount_or_too_fine_for_its_unit_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an amount|digits after the point"):
        parse_amount(text)


@pytest.mark.parametrize("text", ["1,25 ILS", "1250,50 ILS", "1,2,3 ILS", "12,3456 AZN"])
def test_a_comma_that_does_not_group_by_three_is_refused_rather_than_dropped(text: str) -> None:
    # Read as grouping, a decimal comma would make an amount a hundred times as large.
    with pytest.raises(ValueError, match="not an amount"):
        parse_amount(text)


@pytest.mark.parametrize("minor", [-1, True, 1.0, "5"])
def test_an_amount_is_a_whole_number_of_minor_units_and_never_negative(minor: int) -> None:
    with pytest.raises(ValueError, match=r"whole number|not negative"):
        Amount(minor, "ILS")


@given(st.lists(amounts, max_size=20))
def test_a_total_is_the_sum_of_each_unit(some: list[Amount]) -> None:
    sums = total(some)
    assert set(sums) == {one.unit for one in some}
    for unit, amount in sums.items():
        assert amount == Amount(sum(one.minor for one in some if one.unit == unit), unit)


@given(amounts, amounts)
def test_amounts_of_different_units_neither_add_up_nor_compare(first: Amount, second: Amount) -> None:
    assume(first.unit != second.unit)
    for act in (first.__add__, first.__sub__, first.__le__, first.__gt__):
        with pytest.raises(ValueError, match="do not add up"):
            act(second)


@given(minors, minors, units)
def test_amounts_compare_as_their_minor_units_do_and_a_difference_is_never_negative(
    first: int, second: int, unit: str
) -> None:
    one, other = Amount(first, unit), Amount(second, unit)
    assert (one <= other) == (first <= second)
    assert (one > other) == (first > second)
    if first >= second:
        assert (one - other) + other == one
    else:
        with pytest.raises(ValueError, match="not negative"):
            _ = one - other


def test_the_digits_after_the_point_are_those_of_the_currency() -> None:
    assert [str(Amount(12345, unit)) for unit in ("ILS", "KWD", "JPY", "GPUh")] == [
        "123.45 ILS",
        "12.345 KWD",
        "12,345 JPY",
        "12,345 GPUh",
    ]
    assert set(MINOR_DIGITS.values()) <= {0, 3}


@pytest.mark.parametrize(
    ("minor", "unit", "written"),
    [
        (1_250_000_00, "ILS", "1250000.00"),
        (-5, "AZN", "-0.05"),
        (0, "ILS", "0.00"),
        (-12_000, "GPUh", "-12000"),
        (1_001, "KWD", "1.001"),
    ],
)
def test_a_balance_is_written_as_a_plain_number(minor: int, unit: str, written: str) -> None:
    assert decimal(minor, unit) == written
