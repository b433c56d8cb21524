"""Canonical JSON against another implementation of RFC 8785."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from countersign.domain.canonical import LARGEST_EXACT_INTEGER, canonical_json, content_hash

exact = st.integers(min_value=-LARGEST_EXACT_INTEGER, max_value=LARGEST_EXACT_INTEGER)
texts = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | exact | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)


@given(values)
@example({"\U0001f600": 1, "\ufb33": 2, "€": 3, "\r": 4, "1": 5, "\u0080": 6, "ö": 7, "</script>": 8})
@example({"text": '\b\t\n\f\r"\\/\x00\x1f\x7f\u2028\u2029'})
@example([True, False, None, 0, -1, 10**15, []])
def test_canonical_json_is_what_another_implementation_of_the_rfc_writes(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)


def test_keys_are_sorted_by_utf_16_code_units_not_by_code_points() -> None:
    # U+1F600 is D83D DE00 in UTF-16, so it comes before U+FB33, though its code point is larger.
    assert canonical_json({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@given(st.floats() | st.builds(lambda f: [{"amount": f}], st.floats()))
def test_a_float_is_refused_wherever_it_stands(value: Any) -> None:
    with pytest.raises(ValueError, match="float has no canonical JSON"):
        canonical_json(value)


@pytest.mark.parametrize("number", [2**53, -(2**53), 10**30])
def test_an_integer_that_json_readers_round_is_refused(number: int) -> None:
    assert canonical_json(LARGEST_EXACT_INTEGER) == b"9007199254740991"
    with pytest.raises(ValueError, match="not exact"):
        canonical_json({"n": number})


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, ["a", "\ud83d"]])
def test_a_lone_surrogate_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        canonical_json(value)


@pytest.mark.parametrize("value", [b"bytes", {1: "a"}, {"a": {1, 2}}, object()])
def test_what_is_not_json_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match=r"no canonical JSON|not a string"):
        canonical_json(value)


class Colour(StrEnum):
    RED = "red"


def test_tuples_and_text_enumerations_are_lists_and_texts() -> None:
    assert canonical_json((Colour.RED, ({"k": Colour.RED},))) == b'["red",[{"k":"red"}]]'


def test_a_content_hash_is_known_and_does_not_depend_on_the_order_of_keys() -> None:
    # printf '{"a":1,"b":[true,null]}' | sha256sum
    known = "sha256:1cc69c7fa23616ca2ec3ee70d24390a6225c8832db8a4c814c7e0e7f942f8668"
    assert content_hash({"b": [True, None], "a": 1}) == content_hash({"a": 1, "b": [True, None]}) == known
