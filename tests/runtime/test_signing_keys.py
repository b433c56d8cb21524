"""A side's signing key is a file that may be put in place, replaced and taken away while its worker runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from joserfc import jws
from joserfc.jwk import OKPKey
from temporalio.exceptions import ApplicationError

from countersign.activities.signing import Signing, SigningOrder

ORDER = SigningOrder(directorate="il", document={"directorate": "il", "response": "approve"})


def put(keys: Path, kid: str, *, in_place: bool = False) -> None:
    """A new key in the file of a side; renamed into its place, or written over what is there."""
    key = OKPKey.generate_key("Ed25519", {"kid": kid})
    file = keys / "il.jwk.json"
    written = file if in_place else keys / "new"
    written.write_text(json.dumps(key.as_dict(private=True)), encoding="utf-8")
    if not in_place:
        written.rename(file)


def kid_of(signed: str | None) -> str:
    assert signed is not None
    return str(jws.extract_compact(signed.encode()).headers()["kid"])


@pytest.mark.parametrize("in_place", [False, True], ids=["renamed", "written over"])
def test_the_next_signature_is_made_with_the_key_that_replaced_the_last(
    tmp_path: Path, in_place: bool
) -> None:
    signing = Signing(tmp_path, ["il"])
    for number in range(5):
        put(tmp_path, f"key-{number}", in_place=in_place)
        assert [kid_of(signing.here(ORDER)) for _ in range(3)] == [f"key-{number}"] * 3


def test_one_that_is_taken_away_signs_nothing_more_until_it_is_back(tmp_path: Path) -> None:
    signing = Signing(tmp_path, ["il"])
    put(tmp_path, "first")
    assert kid_of(signing.here(ORDER)) == "first"
    (tmp_path / "il.jwk.json").rename(tmp_path / "away")
    assert signing.here(ORDER) is None
    with pytest.raises(ApplicationError, match="cannot be read"):
        signing.key("il")
    (tmp_path / "away").rename(tmp_path / "il.jwk.json")
    assert kid_of(signing.here(ORDER)) == "first"


def test_one_that_is_no_key_signs_nothing_and_neither_does_what_was_read_before(tmp_path: Path) -> None:
    signing = Signing(tmp_path, ["il"])
    put(tmp_path, "first")
    assert kid_of(signing.here(ORDER)) == "first"
    (tmp_path / "il.jwk.json").write_text('{"kty": "OKP"', encoding="utf-8")
    assert signing.here(ORDER) is None
    put(tmp_path, "second")
    assert kid_of(signing.here(ORDER)) == "second"
