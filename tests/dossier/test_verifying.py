"""A dossier of a real life verifies where nothing is installed, and fails after any byte of it is changed."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from countersign.runtime.dossier.verifier.dossier import Dossier
from countersign.runtime.dossier.verifier.main import CHECKS, run
from countersign.runtime.dossier.verifier.places import Archive, opened
from countersign.runtime.dossier.verifier.trail import container
from tests.dossier.conftest import Lives
from tests.dossier.making import read, sealed, verify

Files = Callable[[str], Path]
Check = Callable[[Dossier], Iterator[str]]


def is_sound(place: Path) -> bool:
    """Whether the verifier finds nothing wrong, in this process."""
    try:
        files = opened(str(place))
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False
    dossier = Dossier(files, None, None, None)
    for _, check in CHECKS[:2]:  # the quick ones first
        if (check is not container or isinstance(files, Archive)) and _finds(check, dossier):
            return False
    return run(Dossier(files, None, None, None), lambda _: None)


def _finds(check: Check, dossier: Dossier) -> bool:
    try:
        return bool(list(check(dossier)))
    except Exception:
        return True  # whatever it is, the program says so and ends with 1


@pytest.mark.parametrize("name", ["closed", "refused", "running"])
async def test_a_dossier_verifies_as_it_came_and_unpacked_in_an_empty_environment(
    name: str, lives: Lives, files: Files, tmp_path: Path
) -> None:
    archive = tmp_path / "dossier.zip"
    archive.write_bytes(lives.archives[name])
    directory = files(name)
    for found in (await verify(archive), await verify(using=directory / "verify.py")):
        assert (found.status, found.wrong) == (0, []), found.out
        assert found.out.splitlines()[-1] == "Nothing was altered."


async def test_it_says_what_no_checkpoint_vouches_for_yet(lives: Lives, files: Files) -> None:
    found = await verify(files("running"))
    entries = read(files("running"), "dossier.json")
    assert entries["unvouched"] == list(range(entries["unvouched"][0], entries["entries"] + 1))
    said = (
        f"note: not vouched for by all sides yet: entries {entries['unvouched'][0]} to {entries['entries']}"
    )
    assert said in found.out.splitlines()
    assert "yet" not in (await verify(files("closed"))).out


async def test_every_changed_byte_of_the_archive_is_found(lives: Lives, tmp_path: Path) -> None:
    whole = lives.archives["refused"]
    place = tmp_path / "changed.zip"
    place.write_bytes(whole)
    assert is_sound(place)
    luck = random.Random(8)
    # All of the first header and of the end; of what is between, some.
    places = {*range(64), *range(len(whole) - 200, len(whole)), *luck.sample(range(len(whole)), 150)}
    for at in sorted(places):
        changed = bytearray(whole)
        changed[at] ^= 1 << luck.randrange(8)
        place.write_bytes(changed)
        assert not is_sound(place), f"byte {at} of {len(whole)}"
    for at in luck.sample(sorted(places), 6):
        changed = bytearray(whole)
        changed[at] ^= 0xFF
        place.write_bytes(changed)
        assert (await verify(place)).status == 1, at


async def test_bytes_before_between_and_after_the_files_of_the_archive_are_found(
    lives: Lives, tmp_path: Path
) -> None:
    whole, place = lives.archives["refused"], tmp_path / "changed.zip"
    for changed in (b"x" + whole, whole + b"x", whole[:-1], whole[:5000] + b"x" + whole[5000:], b""):
        place.write_bytes(changed)
        assert not is_sound(place)


async def test_every_changed_byte_of_an_unpacked_file_is_found_and_the_file_named(files: Files) -> None:
    directory, luck = files("refused"), random.Random(9)
    for file in sorted(one for one in directory.rglob("*") if one.is_file()):
        whole = file.read_bytes()
        for at in {0, len(whole) - 1, luck.randrange(len(whole))}:
            changed = bytearray(whole)
            changed[at] ^= 1 << luck.randrange(8)
            file.write_bytes(changed)
            said: list[str] = []
            assert not run(Dossier(opened(str(directory)), None, None, None), said.append), file
            name = file.relative_to(directory).as_posix().replace(".sha256", ".json")
            assert any(one.startswith(f"      - {name}: ") or "cannot be read" in one for one in said), said
        file.write_bytes(whole)
    assert is_sound(directory)


async def test_a_verifier_that_was_changed_itself_does_not_pass_itself(files: Files) -> None:
    directory, luck = files("refused"), random.Random(10)
    program = directory / "verify.py"
    whole = program.read_bytes()
    for at in luck.sample(range(len(whole)), 12):
        changed = bytearray(whole)
        changed[at] ^= 1 << luck.randrange(7)
        program.write_bytes(changed)
        assert (await verify(directory, using=program)).status != 0, at


async def test_a_file_that_is_missing_or_was_added_is_named(files: Files) -> None:
    directory = files("refused")
    (directory / "another").write_text("not theirs")
    assert (await verify(directory)).wrong == ["another: it is not in the manifest"]
    (directory / "another").unlink()
    (directory / "payments" / "bank.json").unlink()
    assert "payments/bank.json: it is missing" in (await verify(directory)).wrong
    sealed(directory)
    (directory / "link").symlink_to("/etc/hostname")
    assert (await verify(directory)).status == 1


async def test_what_was_kept_elsewhere_is_held_against_it(lives: Lives, files: Files, tmp_path: Path) -> None:
    directory = files("closed")
    keys, kept = tmp_path / "keys.json", tmp_path / "kept"
    keys.write_bytes((await lives.office.call(None, "GET", "/v1/keys")).content)
    kept.write_text(lives.checkpoint["note"])
    digest = (directory / "manifest.sha256").read_text().split()[0]
    found = await verify("--keys", keys, "--against", kept, "--manifest", digest, directory)
    assert found.status == 0, found.out
    assert "prove nothing" not in found.out
    other = await verify("--manifest", "0" * 64, directory)
    assert other.wrong == [f"manifest.json: its SHA-256 is {digest}, not the one that you gave"]
    later = await lives.office.call("il-auditor", "POST", "/v1/audit/checkpoint")
    kept.write_text(later.json()["note"])
    assert "have a dossier made for it" in (await verify("--against", kept, directory)).wrong[0]
    strange = read(directory, "keys.json")
    for one in strange["items"]:
        one["jwk"]["x"] = strange["items"][0]["jwk"]["x"]
    keys.write_text(json.dumps(strange))
    wrong = (await verify("--keys", keys, directory)).wrong
    assert any("checkpoint.txt: az has not signed it" in one for one in wrong)
    assert any("az: the signature does not hold" in one for one in wrong)


async def test_called_wrongly_it_ends_with_two(tmp_path: Path) -> None:
    assert (await verify(tmp_path / "absent")).status == 2
    assert (await verify("--no-such-option")).status == 2
    (tmp_path / "no.zip").write_bytes(b"nothing")
    assert (await verify(tmp_path / "no.zip")).status == 1
