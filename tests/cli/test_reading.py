"""What can be read from the command line, and how a command finds the system and its caller."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from countersign.cli import wording
from countersign.domain.projection import Task
from tests.cli.conftest import Terminal, run
from tests.people import SIGNERS, Office, minimal_proposal


@pytest.fixture
async def initiative(office: Office) -> str:
    """An initiative that both sides have cleared, with a title that would steer a terminal."""
    title = {"en": "A [bold]small[/bold] project", "az": "Kiçik layihə"}
    submitted = await office.submit(minimal_proposal(title=title))
    matter = await office.open_matter_of(submitted["id"], "clearance")
    for who in SIGNERS["clearance"]:
        assert (await office.sign(who, submitted["id"], matter=matter)).status_code == 200
    await office.open_matter_of(submitted["id"], "proposal")
    return str(submitted["id"])


async def test_show_tells_where_it_stands_and_who_is_waited_for(terminal: Terminal, initiative: str) -> None:
    ended = await terminal("show", initiative, who="il-officer")
    assert ended.status == 0, ended
    assert "A [bold]small[/bold] project" in ended.out
    assert "stage      decision, since 20" in ended.out
    own, other = [one for one in ended.out.splitlines() if "sign off matter 2" in one]
    assert sorted((own.split()[0], other.split()[0])) == ["az", "il,"]
    assert all(one.count("UTC") == 2 for one in (own, other))


async def test_show_in_json_is_the_api_s_own_form_with_its_parts(terminal: Terminal, initiative: str) -> None:
    shown = await terminal.json("show", initiative, who="il-lead")
    assert (shown["id"], shown["stage"]) == (initiative, "decision")
    assert [one["kind"] for one in shown["matters"]] == ["clearance", "proposal"]
    assert (shown["tranches"], shown["reports"]) == ([], [])
    assert {one["office"] for one in shown["waiting"]} == {None}


async def test_the_history_is_told_in_sentences_or_as_temporal_s_own_json(
    terminal: Terminal, initiative: str
) -> None:
    told, raw = await asyncio.gather(
        terminal("history", initiative, who="il-auditor"),
        terminal("history", initiative, "--temporal-json", who="az-auditor"),
    )
    assert (told.status, raw.status) == (0, 0)
    assert "The workflow began." in told.out
    assert "il/il-legal sent sign_off (matter 1, approve)." in told.out
    (only,) = raw.json["runs"]
    assert only["events"][0]["eventType"] == "EVENT_TYPE_WORKFLOW_EXECUTION_STARTED"


async def test_only_auditors_read_the_history_and_the_trail(terminal: Terminal, initiative: str) -> None:
    refused = await asyncio.gather(
        terminal("history", initiative, who="il-head"),
        terminal("history", initiative, "--temporal-json", who="il-head"),
        terminal("audit", "show", initiative, who="il-head"),
    )
    assert [one.status for one in refused] == [1, 1, 1]
    assert all("forbidden: " in one.err for one in refused)
    assert json.loads(refused[1].out)["code"] == "forbidden"


async def test_the_trail_is_a_table_of_every_entry(
    terminal: Terminal, initiative: str, office: Office
) -> None:
    entries = await office.trail(initiative)
    told, raw = await asyncio.gather(
        terminal("audit", "show", initiative, who="il-auditor"), terminal.json("audit", "show", initiative)
    )
    assert told.status == 0, told
    lines = told.out.splitlines()
    assert [one.split()[0] for one in lines[1 : len(entries) + 1]] == [str(e["sequence"]) for e in entries]
    (signed,) = [one for one in lines if "matter.signed" in one and "il/il-legal" in one]
    assert "response approve" in signed
    assert "fingerprint" not in told.out
    assert entries[-1]["hash"] in lines[-1]
    assert raw["items"] == entries


async def test_the_trail_of_the_whole_programme_is_searched(terminal: Terminal, initiative: str) -> None:
    about = ("audit", "search", "--initiative", initiative)
    raw, told, empty = await asyncio.gather(
        terminal.json(*about, "--action", "matter.signed"),
        terminal(*about, "--actor", "il/il-legal", "--limit", "1", "--from", "2020-01-31", who="az-auditor"),
        terminal(*about, "--to", "2020-01-31T09:30"),
    )
    assert {one["entry"]["actor"] for one in raw["items"]} >= {"il/il-legal", "az/az-officer"}
    assert raw["next"] is None
    assert (told.status, empty.status) == (0, 0), (told, empty)
    assert "response approve" in told.out
    assert raw["items"][0]["reference"] in told.out
    assert "matter.signed" not in empty.out
    first = await terminal.json(*about, "--limit", "2")
    rest = await terminal.json(*about, "--cursor", first["next"])
    assert [one["entry"]["sequence"] for one in (*first["items"], *rest["items"])][-1] == 1
    assert rest["items"][0]["entry"]["sequence"] == first["items"][-1]["entry"]["sequence"] - 1


async def test_only_auditors_search_the_trail_and_a_strange_time_is_told(terminal: Terminal) -> None:
    refused, strange = await asyncio.gather(
        terminal("audit", "search", "--json", who="il-head"), terminal("audit", "search", "--from", "soon")
    )
    assert (refused.status, refused.json["code"]) == (1, "forbidden")
    assert (strange.status, "'soon' is no instant" in strange.err) == (2, True)


@pytest.mark.parametrize(
    "command",
    [("show", "ILAZ-2027-0001"), ("inbox", "--as", "il-head"), ("sign", "ILAZ-2027-0001", "approve")],
    ids=lambda command: command[0],
)
async def test_where_nothing_runs_a_command_says_so(command: tuple[str, ...], tmp_path: Path) -> None:
    home = tmp_path / "nobody-home"
    ended = await run(*command, "--home", home)
    assert ended.status == 3
    assert f"nothing runs on {home}" in ended.err
    assert not home.exists()


async def test_a_url_where_nothing_answers_is_told_too(tmp_path: Path) -> None:
    ended = await run("inbox", "--url", "http://127.0.0.1:9", COUNTERSIGN_TOKEN="a.b.c")
    assert (ended.status, "nothing answers at http://127.0.0.1:9" in ended.err) == (3, True)


async def test_whoever_calls_has_to_say_who_they_are(terminal: Terminal) -> None:
    unnamed, unknown, forged = await asyncio.gather(
        terminal("inbox"),
        terminal("inbox", who="nobody"),
        run("inbox", "--url", terminal.url, COUNTERSIGN_TOKEN="a.b.c"),
    )
    assert (unnamed.status, "--as" in unnamed.err) == (2, True)
    assert (unknown.status, "nobody is called 'nobody'" in unknown.err) == (1, True)
    assert (forged.status, "unauthenticated: " in forged.err) == (1, True)


async def test_a_home_that_is_typed_counts_for_more_than_a_url_in_the_environment(terminal: Terminal) -> None:
    ended = await run(
        *("inbox", "--json", "--as", "il-head", "--home", terminal.home), COUNTERSIGN_URL="http://127.0.0.1:9"
    )
    assert ended.status == 0, ended


async def test_a_name_in_the_environment_is_as_good_as_a_typed_one(terminal: Terminal) -> None:
    ended = await run("inbox", "--json", COUNTERSIGN_HOME=str(terminal.home), COUNTERSIGN_AS="il-secretariat")
    assert (ended.status, ended.json) == (0, await terminal.json("inbox", who="il-secretariat"))


def test_everything_that_can_be_waited_for_has_words() -> None:
    assert set(wording.TASKS) == set(Task)


async def test_every_command_explains_itself() -> None:
    groups: list[tuple[str, ...]] = [
        ("pay", "authorise"),
        ("audit", "show"),
        ("audit", "search"),
        ("agreement", "check"),
    ]
    commands = (
        "submit",
        "inbox",
        "sign",
        "show",
        "history",
        "ledger",
        "report",
        "withdraw",
        "revise",
        "rehearse",
    )
    said = await asyncio.gather(*(run(*one, "--help") for one in (*groups, *((name,) for name in commands))))
    assert [one.status for one in said] == [0] * len(said)
    assert all("--json" in one.out for one in said)
    submit = next(one.out for one in said if "countersign submit" in one.out)
    assert "the same file twice is one" in " ".join(submit.replace("│", " ").split())


async def test_a_search_goes_into_a_file_whole(terminal: Terminal, office: Office, initiative: str) -> None:
    trail = await office.trail(initiative)
    told = await terminal("audit", "search", "--initiative", initiative, "--limit", "1", "--format", "jsonl")
    assert told.status == 0, told
    assert [json.loads(one)["entry"] for one in reversed(told.out.splitlines())] == trail
    told = await terminal("audit", "search", "--initiative", initiative, "--format", "csv")
    assert len(told.out.splitlines()) == len(trail) + 1
    refused = await terminal("audit", "search", "--format", "csv", who="il-head")
    assert (refused.status, "forbidden" in refused.err) == (1, True)
