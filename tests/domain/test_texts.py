"""Texts that a record cannot hold are refused before they become facts."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from countersign.domain.commands import GiveEvidence, Withdraw
from countersign.domain.matter import SignOff
from countersign.domain.proposal import Proposal
from tests.domain.lives import holder
from tests.people import minimal_proposal

CALLER = holder("il", "head")
SIGNED: dict[str, Any] = {
    "id": "1", "matter": 1, "response": "return", "content_hash": "sha256:" + "0" * 64, "caller": CALLER,
}  # fmt: skip
BAD = ["a\x00b", "\x00", "\ud800"]


@pytest.mark.parametrize("text", BAD)
@pytest.mark.parametrize("field", ["reasons", "comment", "on_behalf_of"])
def test_a_sign_off_holds_no_text_that_postgresql_does_not(field: str, text: str) -> None:
    """NUL is well-formed JSON and no text of PostgreSQL: written as a fact, it would stop its initiative."""
    with pytest.raises(ValidationError):
        SignOff.model_validate(SIGNED | {field: text})


@pytest.mark.parametrize("text", BAD)
def test_no_message_of_an_applicant_or_condition_does_either(text: str) -> None:
    for model, fields in (
        (Withdraw, {"reasons": text}),
        (GiveEvidence, {"condition": 1, "text": text}),
        (SignOff, SIGNED | {"conditions": [text]}),
        (Proposal, minimal_proposal(title={"en": text})),
        (Proposal, minimal_proposal(summary={"en": text})),
    ):
        with pytest.raises(ValidationError):
            model.model_validate({"id": "1", "caller": CALLER} | fields)


@pytest.mark.parametrize("number", [2**53, 10**30, -(2**60)])
def test_a_number_that_json_cannot_hold_exactly_is_refused_before_it_is_hashed(number: int) -> None:
    """The trail is canonical JSON, which refuses it with an exception that no workflow may raise."""
    with pytest.raises(ValidationError):
        SignOff.model_validate(SIGNED | {"matter": number})
