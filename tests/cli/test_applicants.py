"""Submitting, revising and withdrawing from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Terminal
from tests.people import Office, minimal_proposal


@pytest.fixture
def proposal(tmp_path: Path) -> Path:
    """A file with a proposal that nobody else's test submits."""
    return write(tmp_path / "proposal.json", minimal_proposal(title={"en": f"Of {tmp_path.name}"}))


def write(file: Path, content: Any, **options: Any) -> Path:
    file.write_text(json.dumps(content, **options), encoding="utf-8")
    return file


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


async def test_submitting_prints_the_id_the_reference_and_the_stage(
    terminal: Terminal, proposal: Path, office: Office
) -> None:
    ended = await terminal("submit", proposal, who="il-lead")
    assert ended.status == 0, ended
    reference = ended.out.split()[0]
    assert reference.startswith("ILAZ-")
    found = await office.get("il-auditor", f"/v1/initiatives/{reference}")
    assert found["id"] in ended.out
    assert "stage    submitted" in ended.out
    assert found["content_hash"] in ended.out


async def test_the_same_file_twice_is_one_initiative_however_it_is_laid_out(
    terminal: Terminal, proposal: Path, tmp_path: Path
) -> None:
    first = await terminal.json("submit", proposal, who="il-lead")
    laid_out = write(
        tmp_path / "again.json",
        read(proposal),
        indent=4,
        sort_keys=True,
        ensure_ascii=False,
    )
    second = await terminal.json("submit", laid_out, who="il-lead")
    assert (second["id"], second["reference"]) == (first["id"], first["reference"])

    another = await terminal.json("submit", proposal, "--key", "another", who="il-lead")
    assert another["id"] != first["id"]
    assert (await terminal.json("submit", proposal, "--key", "another", who="il-lead"))["id"] == another["id"]


async def test_without_a_name_the_lead_s_side_submits(
    terminal: Terminal, proposal: Path, tmp_path: Path, office: Office
) -> None:
    content = read(proposal)
    roles = {"il": "partner", "az": "lead"}
    content["partners"] = [one | {"role": roles[one["directorate"]]} for one in content["partners"]]
    submitted = await terminal.json("submit", write(tmp_path / "az.json", content))
    assert (await office.trail(submitted["id"]))[0]["actor"] == "applicants/az-lead"


async def test_a_proposal_is_read_from_standard_input_with_a_token_and_a_url(
    terminal: Terminal, proposal: Path
) -> None:
    ended = await terminal.remotely(
        "submit", "-", "--json", who="il-lead", stdin="\ufeff" + json.dumps(read(proposal))
    )
    assert ended.status == 0, ended
    assert ended.json["stage"] == "submitted"


async def test_a_proposal_that_contradicts_the_agreement_is_refused_with_every_place(
    terminal: Terminal, proposal: Path, tmp_path: Path
) -> None:
    content = read(proposal) | {"area": "nowhere", "kind": "nothing"}
    content["budget"][1]["partner"] = "nobody"
    faulty = write(tmp_path / "faulty.json", content)
    ended = await terminal("submit", faulty, who="il-lead")
    assert (ended.status, ended.out) == (1, "")
    assert "invalid: 3 thing(s)" in ended.err
    for place in ("area", "kind", "budget[1].partner"):
        assert f"\n  {place}: " in ended.err

    ended = await terminal("submit", faulty, "--json", who="il-lead")
    assert ended.status == 1
    assert (ended.json["code"], len(ended.json["errors"])) == ("invalid", 3)


async def test_what_is_no_json_is_told_before_anything_is_sent(terminal: Terminal, tmp_path: Path) -> None:
    file = tmp_path / "broken.json"
    file.write_text('{"agreement": ')
    ended = await terminal("submit", file, who="il-lead")
    assert ended.status == 1
    assert "broken.json is not JSON: Expecting value: line 1" in ended.err
    assert (await terminal("submit", tmp_path / "missing.json", who="il-lead")).status == 2


async def test_a_returned_proposal_is_revised_against_the_version_that_stands(
    terminal: Terminal, proposal: Path, tmp_path: Path, office: Office
) -> None:
    initiative = (await terminal.json("submit", proposal, who="il-lead"))["reference"]
    new = read(proposal) | {"summary": {"en": "It is small, and clear."}}
    file = write(tmp_path / "new.json", new)

    early = await terminal("revise", initiative, file, who="il-lead")
    assert early.status == 1
    assert "stage_closed" in early.err

    why = "Work package 1 is unclear."
    assert (await terminal("sign", initiative, "return", "--reasons", why, who="il-legal")).status == 0
    assert (await terminal("sign", initiative, "approve", who="az-officer")).status == 0
    await office.until_stage(initiative, "revision")
    shown = await terminal("show", initiative, who="il-lead")
    assert f"because    il: {why}" in shown.out
    assert "put version 2" in shown.out

    wrong = await terminal("revise", initiative, file, "--replaces", "sha256:" + "0" * 64, who="il-lead")
    assert wrong.status == 1
    assert "precondition_failed" in wrong.err

    ended = await terminal("revise", initiative, file, who="il-lead")
    assert ended.status == 0, ended
    found = await office.get("il-auditor", f"/v1/initiatives/{initiative}")
    assert found["version"] == 2
    assert found["content_hash"] in ended.out


async def test_withdrawing_needs_reasons_and_ends_the_initiative(
    terminal: Terminal, proposal: Path, office: Office
) -> None:
    initiative = (await terminal.json("submit", proposal, who="il-lead"))["id"]
    assert (await terminal("withdraw", initiative, who="il-lead")).status == 2

    stranger = await terminal("withdraw", initiative, "--reasons", "No.", who="il-head")
    assert stranger.status == 1
    assert "forbidden" in stranger.err

    ended = await terminal("withdraw", initiative, "--reasons", "A partner left.", who="il-lead")
    assert ended.status == 0, ended
    assert await office.stage(initiative) == "withdrawn"
    signed = await terminal("sign", initiative, "approve", who="il-legal")
    assert signed.status == 1
    assert "no matter" in signed.err
