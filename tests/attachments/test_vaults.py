"""Where attachments are kept: the same of a directory and of an S3-compatible store."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from countersign.attachments.directory import DirectoryVault
from countersign.attachments.vault import Damaged, Missing, Vault, VaultAway, proven, staged
from countersign.runtime.settings import Settings
from countersign.runtime.vaults import configured
from tests.attachments.stores import Store

LARGE = os.urandom(11 << 20)  # more than one part of an upload


def hash_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


async def pieces_of(content: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def keep(vault: Vault, content: bytes) -> str:
    async with staged(vault, pieces_of(content)) as file:
        assert (file.content_hash, file.size) == (hash_of(content), len(content))
        await vault.put(file.content_hash, file.path)
    return hash_of(content)


async def found(vault: Vault, content_hash: str) -> bytes:
    return b"".join([piece async for piece in proven(content_hash, vault.read(content_hash))])


async def _into(given: list[bytes], pieces: AsyncIterator[bytes]) -> None:
    async for piece in pieces:
        given.append(piece)  # noqa: PERF401 - what came before it broke off is looked at


def made(**values: object) -> Vault:
    vault = configured(Settings.model_validate({"database_url": "", **values}))
    assert vault is not None
    return vault


@pytest.fixture(params=["directory", "s3"])
def vault(request: pytest.FixtureRequest, tmp_path: Path, s3: Store) -> Vault:
    if request.param == "directory":
        return made(attachments=str(tmp_path / "kept"))
    return made(**s3.settings(f"deployment/{tmp_path.name}"))


def lying_in(vault: Vault, store: Store) -> list[Path]:
    """The files behind a vault."""
    root = vault.staging.parent if isinstance(vault, DirectoryVault) else store.bucket
    return [path for path in root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("content", [b"x", b"A paper.\n" * 40_000, LARGE], ids=["a byte", "some", "large"])
async def test_what_is_put_is_read_back_byte_by_byte(vault: Vault, content: bytes) -> None:
    kept = await keep(vault, content)
    assert await found(vault, kept) == content
    assert await keep(vault, content) == kept
    assert await found(vault, kept) == content
    assert list(vault.staging.iterdir()) == []


async def test_what_is_erased_is_gone_and_may_come_again(vault: Vault, s3: Store) -> None:
    kept = await keep(vault, b"to be forgotten")
    await vault.erase(kept)
    await vault.erase(kept)
    with pytest.raises(Missing):
        await found(vault, kept)
    assert not [path for path in lying_in(vault, s3) if path.read_bytes() == b"to be forgotten"]
    await keep(vault, b"to be forgotten")
    assert await found(vault, kept) == b"to be forgotten"


async def test_content_that_was_changed_where_it_lies_is_never_given_out_whole(
    vault: Vault, s3: Store
) -> None:
    content = b"A budget of 100.\n" * 60_000
    kept = await keep(vault, content)
    (file,) = [path for path in lying_in(vault, s3) if path.name == kept.removeprefix("sha256:")]
    file.write_bytes(content.replace(b"100", b"900", 1))
    given: list[bytes] = []
    with pytest.raises(Damaged):
        await _into(given, proven(kept, vault.read(kept)))
    assert len(b"".join(given)) < len(content)
    await keep(vault, content)  # whoever has it may bring it again
    assert await found(vault, kept) == content


async def test_many_put_the_same_at_once(vault: Vault) -> None:
    content = b"The same paper.\n" * 30_000
    kept = set(await asyncio.gather(*(keep(vault, content) for _ in range(8))))
    assert kept == {hash_of(content)}
    assert await found(vault, hash_of(content)) == content
    assert list(vault.staging.iterdir()) == []


async def test_what_breaks_off_on_its_way_leaves_nothing(vault: Vault) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"a" * 600_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with staged(vault, broken()):
            pytest.fail("it came in whole")
    assert list(vault.staging.iterdir()) == []


async def test_a_directory_is_its_owners_alone_and_clears_what_was_left_behind(tmp_path: Path) -> None:
    vault = made(attachments=str(tmp_path / "kept"))
    kept = await keep(vault, b"a paper")
    digits = kept.removeprefix("sha256:")
    place = tmp_path / "kept" / digits[:2] / digits
    assert place.read_bytes() == b"a paper"
    for directory in (tmp_path / "kept" / digits[:2], vault.staging):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    old, new = vault.staging / "old", vault.staging / "new"
    for one in (old, new):
        one.write_bytes(b"half a pa")
    os.utime(old, (time.time() - 100_000,) * 2)
    made(attachments=str(tmp_path / "kept"))
    assert (old.exists(), new.exists()) == (False, True)


async def test_a_directory_opens_while_another_process_takes_something_out_of_its_staging(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def listed(directory: Path) -> Iterator[Path]:
        yield directory / "in its place by now"

    monkeypatch.setattr(Path, "iterdir", listed)
    vault = made(attachments=str(tmp_path / "kept"))
    assert await found(vault, await keep(vault, b"a paper")) == b"a paper"


async def test_nothing_counts_as_erased_in_a_directory_that_never_had_it(tmp_path: Path) -> None:
    kept = await keep(made(attachments=str(tmp_path / "kept")), b"a paper")
    not_mounted = made(attachments=str(tmp_path / "another"))
    with pytest.raises(VaultAway, match="ever kept there"):
        await not_mounted.erase(kept)


async def test_a_directory_that_cannot_be_written_is_away(tmp_path: Path) -> None:
    vault = made(attachments=str(tmp_path / "kept"))
    digits = hash_of(b"a paper").removeprefix("sha256:")
    (tmp_path / "kept" / digits[:2]).write_text("a file where a directory has to be")
    with pytest.raises(VaultAway):
        await keep(vault, b"a paper")


async def test_a_disk_that_takes_nothing_is_away(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vault, "staging", tmp_path / "unmounted")
    with pytest.raises(VaultAway):
        await keep(vault, b"a paper")


async def test_a_store_that_refuses_the_key_or_does_not_answer_is_away(s3: Store) -> None:
    for wrong in ({"attachments_key": "another"}, {"attachments_endpoint": "http://127.0.0.1:9"}):
        vault = made(**s3.settings() | wrong)
        with pytest.raises(VaultAway):
            await keep(vault, b"a paper")
        with pytest.raises(VaultAway):
            await found(vault, hash_of(b"a paper"))
        with pytest.raises(VaultAway):
            await vault.erase(hash_of(b"a paper"))


@pytest.mark.parametrize("place", ["https://store.example/bucket", "s3:///prefix", "s3://bucket?versions"])
def test_what_is_no_place_for_attachments_is_told_at_the_start(place: str) -> None:
    with pytest.raises(ValueError, match="a directory, or s3://bucket/prefix"):
        made(attachments=place)


def test_without_the_setting_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COUNTERSIGN_ATTACHMENTS", raising=False)
    assert configured(Settings.model_validate({"database_url": ""})) is None
