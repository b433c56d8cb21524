"""Checkpoints in the form of C2SP's tlog-checkpoint and signed-note."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain import checkpoint
from countersign.domain.checkpoint import Checkpoint, NoteFault, NoteSignature, SignedCheckpoint, read_note

# The example of the tlog-checkpoint specification.
PUBLISHED = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
"""


def test_a_published_checkpoint_is_read_and_written_again_to_the_letter() -> None:
    found = read_note(PUBLISHED)
    assert found.checkpoint.origin == "example.com/behind-the-sofa"
    assert found.checkpoint.size == 20_852_163
    assert found.checkpoint.root.hex().startswith("0ac5186a91863e8e1d90c808014aa89b")
    (signed,) = found.signatures
    assert (signed.name, signed.key_id.hex(), len(signed.signature)) == (
        found.checkpoint.origin,
        "033de0ae",
        64,
    )
    assert found.note == PUBLISHED


def test_a_key_is_known_by_its_name_and_itself() -> None:
    # The vector of golang.org/x/mod/sumdb/note: PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW
    public = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert public[:1] == checkpoint.ED25519
    assert checkpoint.key_id("PeterNeumann", public[1:]).hex() == "c74f20a3"


names = st.text(alphabet="abcdefghijklmnopqrstuvwxyz/.-0123456789", min_size=1, max_size=30)
signatures = st.builds(
    NoteSignature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=72)
)


@given(names, st.integers(0, 10**15), st.binary(), st.lists(signatures, min_size=1, max_size=4))
def test_what_is_written_is_read_again(
    origin: str, size: int, root: bytes, signed: list[NoteSignature]
) -> None:
    made = SignedCheckpoint(Checkpoint(origin, size, hashlib.sha256(root).digest()), tuple(signed))
    assert read_note(made.note) == made


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "\n\n",
        PUBLISHED.replace("\n\n", "\n"),
        PUBLISHED.rstrip("\n"),
        PUBLISHED.replace("20852163", "020852163"),
        PUBLISHED.replace("20852163", "-1"),
        PUBLISHED.replace("20852163", "1e3"),
        PUBLISHED.replace("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=", "CsUYapGG"),
        PUBLISHED.replace("CsUY", "Cs!Y"),
        PUBLISHED.replace("— example", "- example"),
        PUBLISHED.replace("Az3grlgt", "Az3="),
        PUBLISHED.replace("jxq2I=\n", "jxq2I=\nand more\n"),
        PUBLISHED.replace("jxq2I=\n", "jxq2J=\n"),  # bits that base64 does not use
        PUBLISHED + "\n",
        PUBLISHED + "something\n",
        PUBLISHED.split("\n\n")[0] + "\n\n",
        PUBLISHED.replace("example.com/behind-the-sofa\n", "\n", 1),
    ],
)
def test_what_is_no_checkpoint_is_refused(wrong: str) -> None:
    with pytest.raises(NoteFault):
        read_note(wrong)


@given(st.text(max_size=300) | st.text(max_size=50).map(lambda tail: PUBLISHED[:150] + tail))
def test_whatever_comes_is_a_checkpoint_or_refused(note: str) -> None:
    try:
        found = read_note(note)
    except NoteFault:
        return
    assert found.note == note
