"""Checking an agreement and rehearsing a proposal from the command line: nothing has to run for it."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from countersign.runtime.resources import default_agreement
from tests.cli.conftest import environment, run
from tests.people import ROOT, minimal_proposal

SHIPPED = default_agreement().read_text(encoding="utf-8")
BROKEN = (
    SHIPPED.replace('country = "AZ"\nweekend', 'country = "XQ"\nweekend', 1)
    .replace("on_closure = 10", "on_closure = 12", 1)
    .replace("version = 3\n", "version = 0\n", 1)
)


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory for temporary files with a name that is short enough for sockets in it."""
    made = Path(tempfile.mkdtemp(prefix="cs-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    """A file with a small eligible proposal."""
    file = tmp_path / "proposal.json"
    file.write_text(json.dumps(minimal_proposal()))
    return file


async def test_a_good_agreement_is_summed_up() -> None:
    told, raw = await asyncio.gather(
        run("agreement", "check", default_agreement()),
        run("agreement", "check", default_agreement(), "--json"),
    )
    assert told.status == 0, told
    assert "has no faults" in told.out
    assert "Supercomputing infrastructure" in told.out
    (az_side,) = [one for one in told.out.splitlines() if one.startswith("az ")]
    assert "saturday, sunday" in az_side
    assert "az, en" in az_side
    (chain,) = [one for one in told.out.splitlines() if one.startswith("proposal ")]
    il = ["programme_officer", "→", "legal_counsel", "→", "head"]
    az = ["programme_officer", "→", "finance_reviewer", "→", "deputy_minister"]
    assert chain.split() == ["proposal", "30", *il, *az, "above", "100,000.00", "AZN"]
    assert raw.json["valid"] is True
    assert raw.json["directorates"] == ["il", "az"]
    assert raw.json["chains"]["clearance"] == {"il": ["legal_counsel"], "az": ["programme_officer"]}


async def test_every_fault_of_an_agreement_is_listed_at_once_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(BROKEN, encoding="utf-8")
    told, raw = await asyncio.gather(
        run("agreement", "check", file), run("agreement", "check", file, "--json")
    )
    assert (told.status, raw.status) == (1, 1)
    assert "3 fault(s)" in told.err
    assert raw.json["valid"] is False
    found = {one["place"]: one for one in raw.json["faults"]}
    assert {place: one["line"] for place, one in found.items()} == {
        "version": line_of(BROKEN, "version = 0"),
        "directorate[2].calendar.country": line_of(BROKEN, '"XQ"'),
        "tranches": line_of(BROKEN, "[tranches]"),
    }
    assert "public holidays of XQ" in found["directorate[2].calendar.country"]["problem"]
    for one in found.values():
        (line,) = [row for row in told.out.splitlines() if row.startswith(str(one["line"]))]
        assert one["place"] in line
        assert one["problem"] in line


async def test_what_is_no_toml_or_no_file_is_told(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("id = \n")
    ended = await run("agreement", "check", file)
    assert (ended.status, ended.out.splitlines()[1].split()[0]) == (1, "1")
    file.write_bytes(b"\xff\xfe")
    assert (await run("agreement", "check", file)).status == 1
    assert (await run("agreement", "check", tmp_path / "missing.toml")).status == 2


@pytest.mark.parametrize("pace", ["deadline", "prompt"])
async def test_a_rehearsal_reaches_the_end_with_every_amount_paid_to_the_last_minor_unit(
    pace: str, proposal: Path
) -> None:
    ended = await run("rehearse", proposal, "--pace", pace, "--json")
    assert ended.status == 0, ended
    life = ended.json
    assert life["stage"] == "closed"
    assert life["paid"] == {
        "az": [{"minor": 50_000_03, "unit": "AZN"}],
        "il": [{"minor": 100_000_01, "unit": "ILS"}],
    }
    assert life["seconds"] < 60
    paid = [one["at"] for one in life["lines"] if one["what"].startswith("tranche 1 paid")]
    active = [one["at"] for one in life["lines"] if one["what"] == "stage: active"]
    # Nobody has a deadline for paying, so nobody waits with it: the clock stands still in the meantime.
    assert [one[:10] for one in paid] == [active[0][:10]] * 2


async def test_a_rehearsal_prints_the_dates_as_they_come_and_then_sums_up(
    proposal: Path, place: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "countersign", "rehearse", str(proposal)),
        env=environment(TMPDIR=str(place)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    lines = out.decode().splitlines()
    assert process.returncode == 0
    assert lines[0].split() == ["date", "what", "who", "due"]
    (put,) = [one for one in lines if "proposal put before il" in one]
    assert put.count("UTC") == 2
    assert "It got to closed." in lines
    assert "  paid by az: 50,000.03 AZN" in lines
    assert "  paid by il: 100,000.01 ILS" in lines
    assert names_in(place) == []


async def test_three_sides_are_rehearsed_under_their_own_agreement() -> None:
    agreements = ROOT / "tests" / "agreements"
    proposal, agreement = agreements / "three-sides-proposal.json", agreements / "three-sides.toml"
    ended = await run("rehearse", proposal, "--agreement", agreement, "--json")
    assert ended.status == 0, ended
    assert ended.json["stage"] == "closed"
    asked: dict[str, dict[str, int]] = {}
    content = json.loads(proposal.read_text(encoding="utf-8"))
    sides = {one["id"]: one["directorate"] for one in content["partners"]}
    for line in content["budget"]:
        sums = asked.setdefault(sides[line["partner"]], {})
        sums[line["amount"]["unit"]] = sums.get(line["amount"]["unit"], 0) + line["amount"]["minor"]
    assert len(asked) == 3
    assert {
        side: {one["unit"]: one["minor"] for one in paid} for side, paid in ended.json["paid"].items()
    } == asked


async def test_a_rehearsal_beyond_a_budget_says_which_and_ends(proposal: Path, place: Path) -> None:
    text = default_agreement().read_text(encoding="utf-8")
    small = place / "small.toml"
    small.write_text(text.replace("24,000,000.00 ILS", "100,000.00 ILS"), encoding="utf-8")
    ended = await run("rehearse", proposal, "--agreement", small)
    assert ended.status == 1, ended
    assert "waits for money: il's budget of" in ended.err
    assert "has 100,000.00 ILS left for 100,000.01 ILS" in ended.err


async def test_a_proposal_that_could_not_be_carried_is_told_before_anything_starts(
    place: Path,
) -> None:
    content = minimal_proposal()
    shapeless = content | {"duration_months": "long", "surprise": 1}
    senseless = content | {"area": "nowhere", "kind": "nothing"}
    ineligible = content | {"duration_months": 40, "documents": []}
    expected = {
        "duration_months": shapeless,
        "surprise": shapeless,
        "kind": senseless,
        "area": senseless,
        "documents": ineligible,
    }
    for fault, one in expected.items():
        ended = await run("rehearse", "-", "--json", stdin=json.dumps(one), TMPDIR=str(place))
        assert ended.status == 1
        assert fault in [found["place"] for found in ended.json["faults"]]
        assert names_in(place) == []


async def test_an_agreement_with_faults_is_not_rehearsed(proposal: Path, tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text(BROKEN, encoding="utf-8")
    ended = await run("rehearse", proposal, "--agreement", file)
    assert (ended.status, "public holidays of XQ" in ended.out) == (1, True)


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
async def test_a_rehearsal_that_is_told_to_end_leaves_nothing_behind(
    asked: signal.Signals, proposal: Path, place: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "countersign", "rehearse", str(proposal)),
        env=environment(TMPDIR=str(place)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"stage: decision" not in await process.stdout.readline():
                pass
        assert {"postgres", "temporal"} <= at_work_for(place)
    finally:
        process.send_signal(asked)
        _, err = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, err.decode()) == (130, "")
    assert at_work_for(place) == set()
    assert names_in(place) == []


async def test_a_rehearsal_whose_reader_goes_away_leaves_nothing_behind(proposal: Path, place: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", '"$0" -u -m countersign rehearse "$1" | head -n 3', sys.executable, str(proposal)),
        env=environment(TMPDIR=str(place)),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert len(out.splitlines()) == 3
    assert at_work_for(place) == set()
    assert names_in(place) == []


def names_in(place: Path) -> list[str]:
    """What lies in a directory."""
    return [one.name for one in place.iterdir()]


def at_work_for(place: Path) -> set[str]:
    """The names of the processes that were started with that directory for their temporary files."""
    found = set()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("TMPDIR") == str(place):
                found.add(process.name())
    return found
