"""``countersign amend``, ``countersign adopt`` and ``countersign amendments``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import TimeSkipper

from countersign.domain.agreement import ProgrammeAgreement
from countersign.runtime.embedded.services import Services
from countersign.store.session import Database
from tests.amendments import extended, shifted
from tests.cli.conftest import Terminal
from tests.journeys.journey import Journey
from tests.journeys.test_adoption import registered
from tests.people import Office, minimal_proposal

pytestmark = pytest.mark.services


def write(file: Path, content: Any) -> Path:
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


async def test_one_is_asked_for_by_a_file_and_what_became_of_each_is_listed(
    terminal: Terminal, office: Office, services: Services, skipper: TimeSkipper, tmp_path: Path
) -> None:
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    minor = write(tmp_path / "minor.json", shifted(journey.proposal, "dugma", 100))
    major = write(tmp_path / "major.json", extended(shifted(journey.proposal, "dugma", 100), 6))
    why = ("--reasons", "A post came free.")
    early = await terminal("amend", journey.id, minor, *why, who="il-lead")
    assert early.status == 1
    assert "stage_closed" in early.err
    await journey.clear()
    await journey.approve_and_sign()

    assert "None was asked for." in (await terminal("amendments", journey.id)).out
    told = await terminal("amend", journey.id, minor, *why, "--key", "once", who="il-lead")
    assert told.out.startswith("Amendment 1 is notified and in force")
    again = await terminal.json(
        "amend",
        journey.id,
        minor,
        *why,
        "--key",
        "once",
        "--replaces",
        await version(journey, 1),
        who="il-lead",
    )
    assert (again["number"], again["weight"]) == (1, "minor")
    before = await terminal("amend", journey.id, major, *why, who="il-lead")
    matter = (await journey.matter("amendment"))["number"]
    assert before.out == f"Amendment 2 is before every side, as matter {matter}.\n"
    listed = await terminal("amendments", journey.id)
    assert "budget shift" in listed.out
    assert "notified, version 2" in listed.out
    assert "extension" in listed.out
    found = await terminal.json("amendments", journey.id, who="az-officer")
    assert [(one["state"], one["matter"]) for one in found["items"]] == [
        ("notified", None),
        ("asked", matter),
    ]


async def test_the_head_of_a_side_asks_to_adopt_a_newer_version_of_the_agreement(
    terminal: Terminal,
    office: Office,
    services: Services,
    skipper: TimeSkipper,
    database: Database,
    agreement: ProgrammeAgreement,
) -> None:
    newer = await registered(database, agreement)
    journey = Journey(office, services, skipper, minimal_proposal())
    await journey.submit()
    await journey.clear()
    await journey.approve_and_sign()
    adopt = ("adopt", journey.id, str(newer.version), "--reasons", "A report a year will do.")
    refused = await terminal(*adopt, who="il-officer")
    assert refused.status == 1
    assert "not_your_office" in refused.err
    told = await terminal(*adopt, who="il-head")
    matter = (await journey.matter("amendment"))["number"]
    assert told.out == f"Amendment 1 is before every side, as matter {matter}.\n"
    assert f"agreement: version {newer.version}" in (await terminal("amendments", journey.id)).out


async def version(journey: Journey, number: int) -> str:
    """The content hash of a version."""
    path = f"/v1/initiatives/{journey.id}/proposal/versions/{number}"
    found: str = (await journey.office.get("il-auditor", path))["content_hash"]
    return found
