"""The file with the keys: made once, kept private, rotated without losing what is still needed."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import KeySet

from countersign.runtime import payload_keys
from countersign.runtime.payload_keys import KeyRing, KeyRingFault, PayloadKey

KEY = {
    "kty": "oct",
    "kid": "one",
    "alg": "A256GCM",
    "k": base64.urlsafe_b64encode(bytes(32)).decode().rstrip("="),
}


def test_a_file_is_made_once_for_its_owner_only_and_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "keys" / "payload.jwks.json"
    first = payload_keys.read(payload_keys.ensure(file))
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert payload_keys.read(payload_keys.ensure(file)).keys == first.keys
    assert len(first.current.secret) == 32


def test_no_two_keys_are_the_same() -> None:
    made = [payload_keys.new_ring().current for _ in range(50)]
    assert len({one.id for one in made}) == len({one.secret for one in made}) == 50


def test_the_file_is_a_jwk_set_that_other_tools_read(tmp_path: Path) -> None:
    ring = payload_keys.new_ring().with_new()
    payload_keys.write(tmp_path / "keys.json", ring)
    read = KeySet.import_key_set(json.loads((tmp_path / "keys.json").read_text()))
    assert [one.kid for one in read.keys] == list(ring.ids)
    assert [one.as_dict(private=True)["kty"] for one in read.keys] == ["oct", "oct"]
    assert payload_keys.read(tmp_path / "keys.json").keys == ring.keys


def test_a_new_key_decrypts_until_it_is_used_and_an_old_one_until_it_is_dropped() -> None:
    ring = payload_keys.new_ring()
    old = ring.current.id
    added = ring.with_new()
    new = added.ids[1]
    assert added.current.id == old
    rotated = added.using(new)
    assert rotated.ids == (new, old)
    with pytest.raises(KeyRingFault, match="is the current key"):
        rotated.without(new)
    assert rotated.without(old).ids == (new,)
    for change in (rotated.using, rotated.without):
        with pytest.raises(KeyRingFault, match="there is no key 2020-01"):
            change("2020-01")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("{", "no JWK Set"),
        ("[]", "no JWK Set"),
        ('{"keys": 1}', "no JWK Set"),
        ({"keys": []}, "there is no key"),
        ({"keys": [KEY, KEY]}, "the same id"),
        ({"keys": ["x"]}, "not symmetric"),
        ({"keys": [KEY | {"kty": "EC"}]}, "not symmetric"),
        ({"keys": [KEY | {"alg": "A128GCM"}]}, "not symmetric"),
        ({"keys": [KEY | {"kid": None}]}, "lacks its id"),
        ({"keys": [KEY | {"kid": "a b"}]}, "id has up to 64"),
        ({"keys": [KEY | {"k": "AAAA"}]}, "has not 32 bytes"),
        ({"keys": [KEY | {"k": "!" * 43}]}, "not base64url"),
    ],
)
def test_a_file_that_holds_no_keys_says_why_and_nothing_of_what_it_holds(
    content: Any, fault: str, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(KeyRingFault, match=fault) as refused:
        payload_keys.read(file)
    assert str(file) in str(refused.value)
    assert KEY["k"] not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyRingFault, match="cannot be read: No such file"):
        payload_keys.read(tmp_path / "keys.json")


def test_a_key_of_another_length_is_none() -> None:
    with pytest.raises(KeyRingFault, match="32 bytes"):
        KeyRing([PayloadKey("short", b"x" * 16)])
