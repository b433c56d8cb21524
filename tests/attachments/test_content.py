"""What an attachment is, told by its content."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from countersign.attachments.content import TAKEN, MediaType, NotTaken, detect
from tests.attachments.papers import PAPERS, REFUSED, archive, listing, pdf, saying_less


def written(path: Path, content: bytes) -> Path:
    file = path / "brought"
    file.write_bytes(content)
    return file


@pytest.mark.parametrize("name", PAPERS)
def test_each_type_that_is_taken_is_told_by_its_content(name: str, tmp_path: Path) -> None:
    content, media_type = PAPERS[name]
    assert detect(written(tmp_path, content)).name == media_type


@pytest.mark.parametrize("name", REFUSED)
def test_whatever_is_not_surely_one_of_them_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotTaken):
        detect(written(tmp_path, REFUSED[name]))


def test_an_archive_that_unpacks_to_more_than_a_gibibyte_is_refused_without_unpacking_it(
    tmp_path: Path,
) -> None:
    file = tmp_path / "bomb"
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened,
        opened.open("[Content_Types].xml", "w") as part,
    ):
        piece = b"\0" * (1 << 20)
        for _ in range((1 << 10) + 1):
            part.write(piece)
    assert file.stat().st_size < 4 << 20
    with pytest.raises(NotTaken, match="more than a document would"):
        detect(file)


@pytest.mark.parametrize(
    "content",
    [
        saying_less({"[Content_Types].xml": b"\0" * (64 << 20)}),
        saying_less({"[Content_Types].xml": b"\0" * (64 << 20)}, zipfile.ZIP_BZIP2),
        listing(150_000),
    ],
    ids=["unpacks to more than it says", "is packed in a way without a bound", "lists very many files"],
)
def test_an_archive_that_lies_about_itself_takes_no_memory(content: bytes, tmp_path: Path) -> None:
    file = written(tmp_path, content)
    tracemalloc.start()
    try:
        with pytest.raises(NotTaken):
            detect(file)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 << 20


def test_a_locked_archive_is_refused(tmp_path: Path) -> None:
    content = bytearray(archive({"[Content_Types].xml": b"x"}))
    content[6] |= 1  # the local header's flag, and the same in the directory
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(NotTaken, match="password"):
        detect(written(tmp_path, bytes(content)))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary(max_size=400)
    | st.binary(max_size=100).map(lambda tail: pdf()[:300] + tail)
    | st.binary(max_size=200).map(lambda tail: b"PK\x03\x04" + tail)
)
def test_whatever_comes_is_one_of_the_types_or_refused(tmp_path: Path, content: bytes) -> None:
    file = written(tmp_path, content)
    try:
        found = detect(file)
    except NotTaken:
        return
    assert isinstance(found, MediaType)
    assert TAKEN[found.name] is found
