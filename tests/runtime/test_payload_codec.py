"""Payloads encrypted for Temporal: what opens, what does not, and what it says then."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.converter import DataConverter
from temporalio.exceptions import ApplicationError

from countersign.domain.errors import CODES
from countersign.domain.stage import Stage
from countersign.runtime import payload_keys
from countersign.runtime.payload_codec import (
    ENCRYPTED,
    KEY_ID,
    NONCE,
    EncryptingCodec,
    KeylessCodec,
    PayloadRefused,
    configured,
)
from countersign.runtime.payload_keys import KeyRing, KeyRingFault, PayloadKey
from countersign.runtime.settings import Settings
from countersign.runtime.temporal import KEYLESS, data_converter
from countersign.workflows.messages import Receipt, Unencrypted

OLD, NEW = PayloadKey("2027-01", bytes(range(32))), PayloadKey("2028-01", bytes(range(1, 33)))
CODEC = EncryptingCodec(KeyRing([NEW, OLD]))
SECRET = b'"Plonit Almonit refuses, since it leads nowhere"'
PLAIN = Payload(metadata={"encoding": b"json/plain", "messageType": b"x"}, data=SECRET)

payloads = st.builds(
    lambda metadata, data: Payload(metadata=metadata, data=data),
    st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=20), st.binary(max_size=50), max_size=4),
    st.binary(max_size=2000),
)


def changed(payload: Payload, change: Callable[[Payload], None]) -> Payload:
    other = Payload()
    other.CopyFrom(payload)
    change(other)
    return other


def code_of(payload: Payload, codec: EncryptingCodec = CODEC) -> str:
    with pytest.raises(PayloadRefused) as refused:
        codec.open(payload)
    assert refused.value.code in CODES
    assert str(refused.value).startswith(refused.value.code)
    return refused.value.code


@given(st.lists(payloads, max_size=5))
async def test_whatever_is_encrypted_opens_as_it_was_and_no_two_encryptions_are_the_same(
    some: list[Payload],
) -> None:
    first, second = await CODEC.encode(some), await CODEC.encode(some)
    assert await CODEC.decode(first) == some == await CODEC.decode(second)
    sealed = [one.data for one in (*first, *second)]
    assert len({data[:NONCE] for data in sealed}) == len(set(sealed)) == 2 * len(some)


@given(payloads.filter(lambda one: len(one.data) >= 8))
def test_nothing_of_a_payload_is_left_to_read(payload: Payload) -> None:
    sealed = CODEC.seal(payload)
    assert dict(sealed.metadata) == {"encoding": ENCRYPTED, KEY_ID: b"2028-01"}
    assert payload.data not in sealed.data
    # The nonce, the tag, and otherwise as long as what it hides.
    assert len(sealed.data) == 12 + payload.ByteSize() + 16


def test_the_current_key_encrypts_and_an_older_one_still_decrypts() -> None:
    before = EncryptingCodec(KeyRing([OLD])).seal(PLAIN)
    assert before.metadata[KEY_ID] == b"2027-01"
    assert CODEC.open(before) == PLAIN
    assert CODEC.seal(PLAIN).metadata[KEY_ID] == b"2028-01"


@given(st.data())
def test_one_altered_bit_anywhere_is_found(data: st.DataObject) -> None:
    sealed = CODEC.seal(PLAIN)
    at = data.draw(st.integers(0, len(sealed.data) * 8 - 1))
    altered = bytearray(sealed.data)
    altered[at // 8] ^= 1 << at % 8
    assert code_of(changed(sealed, lambda one: setattr(one, "data", bytes(altered)))) == "payload_altered"


@given(st.integers(0, len(CODEC.seal(PLAIN).data) - 1))
def test_what_is_cut_short_is_found(length: int) -> None:
    cut = changed(CODEC.seal(PLAIN), lambda one: setattr(one, "data", one.data[:length]))
    assert code_of(cut) == ("payload_malformed" if length < 12 + 16 else "payload_altered")


def test_a_key_that_is_not_here_is_named() -> None:
    only_new = EncryptingCodec(KeyRing([NEW]))
    before = EncryptingCodec(KeyRing([OLD])).seal(PLAIN)
    with pytest.raises(PayloadRefused, match="payload_key_unknown: there is no key '2027-01' here"):
        only_new.open(before)


def test_another_key_of_the_same_id_opens_nothing() -> None:
    impostor = EncryptingCodec(KeyRing([PayloadKey(NEW.id, OLD.secret)]))
    assert code_of(CODEC.seal(PLAIN), impostor) == "payload_altered"


def test_the_same_key_under_another_id_opens_nothing_either() -> None:
    """The id is authenticated: what names another key was not encrypted so."""
    renamed = EncryptingCodec(KeyRing([PayloadKey("another", NEW.secret)]))
    sealed = changed(CODEC.seal(PLAIN), lambda one: one.metadata.update({KEY_ID: b"another"}))
    assert code_of(sealed, renamed) == "payload_altered"


@pytest.mark.parametrize("key_id", [None, b"", b"\xff\xfe"])
def test_an_encrypted_payload_without_the_id_of_a_key_is_malformed_or_unknown(key_id: bytes | None) -> None:
    sealed = CODEC.seal(PLAIN)
    del sealed.metadata[KEY_ID]
    if key_id is not None:
        sealed.metadata[KEY_ID] = key_id
    assert code_of(sealed) == ("payload_key_unknown" if key_id else "payload_malformed")


def test_what_is_authentic_and_no_payload_is_malformed() -> None:
    sealed = CODEC.seal(Payload())
    cipher = CODEC._ciphers[NEW.id]
    nonce = bytes(12)
    no_payload = cipher.encrypt(nonce, b"\x0a\xff", b"countersign payload 1\x00" + NEW.id.encode())
    assert (
        code_of(changed(sealed, lambda one: setattr(one, "data", nonce + no_payload))) == "payload_malformed"
    )


async def test_what_is_plain_is_never_taken_for_what_was_encrypted() -> None:
    assert code_of(PLAIN) == "payload_plain"
    (taken,) = await CODEC.decode([PLAIN])
    assert SECRET not in taken.SerializeToString()
    with pytest.raises(PayloadRefused, match="payload_plain"):
        await data_converter(CODEC).decode([PLAIN], [str])
    assert await data_converter(CODEC).decode([PLAIN]) == [Unencrypted()]


async def test_what_is_plain_is_read_for_as_long_as_a_setting_says_so() -> None:
    accepting = EncryptingCodec(KeyRing([NEW]), "accept")
    both = [PLAIN, accepting.seal(PLAIN)]
    assert await accepting.decode(both) == [PLAIN, PLAIN]
    assert (await accepting.encode([PLAIN]))[0].metadata["encoding"] == ENCRYPTED


async def test_values_and_failures_travel_encrypted() -> None:
    converter = data_converter(CODEC)
    receipt = Receipt(
        initiative="i", reference="ILAZ-2027-0042", stage=Stage.DECISION, content_hash="h", sequence=7
    )
    (payload,) = await converter.encode([receipt])
    assert b"ILAZ" not in payload.SerializeToString()
    assert await converter.decode([payload], [Receipt]) == [receipt]
    failure = Failure()
    try:
        raise ApplicationError("Plonit leads nowhere", {"of": "Almonit"}, type="invalid") from ValueError(
            "Dugma"
        )
    except ApplicationError as error:
        await converter.encode_failure(error, failure)
    kept = failure.SerializeToString()
    for secret in (
        b"Plonit",
        b"Almonit",
        b"Dugma",
        b"test_payload_codec",
    ):  # message, details, cause, stack trace
        assert secret not in kept
    assert b"invalid" in kept  # the type: a code, which decides on retries
    known = await converter.decode_failure(failure)
    assert isinstance(known, ApplicationError)
    assert (known.message, known.details, known.type) == (
        "Plonit leads nowhere",
        ({"of": "Almonit"},),
        "invalid",
    )
    assert known.failure is not None
    assert "test_payload_codec" in known.failure.stack_trace
    assert "Dugma" in str(known.cause)


async def test_a_client_without_keys_neither_sends_nor_reads_content() -> None:
    for refused in (
        KEYLESS.encode(["x"]),
        KEYLESS.decode([PLAIN]),
        KeylessCodec().decode([CODEC.seal(PLAIN)]),
    ):
        with pytest.raises(PayloadRefused, match="payload_keys_missing"):
            await refused


async def test_a_history_that_was_decrypted_is_read_without_keys() -> None:
    converter: DataConverter = data_converter(None)
    assert await converter.decode(await converter.encode(["x"])) == ["x"]


def test_a_digest_is_the_same_under_the_same_key_and_says_nothing_without_it() -> None:
    said = "il/il-head m1 0123456789abcdef"
    assert CODEC.digest(said) == EncryptingCodec(KeyRing([NEW])).digest(said)
    assert (
        len({CODEC.digest(said), CODEC.digest(said + "0"), EncryptingCodec(KeyRing([OLD])).digest(said)}) == 3
    )
    assert len(CODEC.digest(said)) == 64


def test_settings_that_name_no_keys_make_no_codec() -> None:
    with pytest.raises(KeyRingFault, match="COUNTERSIGN_PAYLOAD_KEYS names no file"):
        configured(Settings(database_url="postgresql+asyncpg://nowhere"))


def test_no_key_shows_in_what_is_printed_of_it() -> None:
    ring = payload_keys.new_ring()
    for shown in (repr(ring.current), repr(ring), str(ring.keys), repr(EncryptingCodec(ring))):
        assert repr(ring.current.secret) not in shown
