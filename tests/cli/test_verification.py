"""``countersign audit verify`` and ``audit checkpoint``, as an audit office uses them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from countersign.domain.audit import AuditEntry
from countersign.domain.stage import Stage
from countersign.runtime import payload_keys
from countersign.runtime.archive import Press
from countersign.runtime.build import build_id
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.runtime.payload_codec import EncryptingCodec
from countersign.store.roles import AUDITOR
from countersign.store.session import Database
from tests.audit.histories import BUILD, archive
from tests.cli.conftest import Ended, Terminal, run
from tests.people import Office as Clerks
from tests.people import minimal_proposal
from tests.store.whole import Whole

NOW = datetime(2027, 3, 1, tzinfo=UTC)


class Office:
    """An audit office with a login of its own, on a record of its own."""

    def __init__(self, url: str, owner: Database, agreement: Path, life: Whole) -> None:
        self.url, self.owner, self.agreement, self.life = url, owner, agreement, life

    async def verify(self, *arguments: str | Path, keys: Path | None = None) -> Ended:
        named = {} if keys is None else {"COUNTERSIGN_PAYLOAD_KEYS": str(keys)}
        return await run(
            *("audit", "verify", "--agreement", self.agreement),
            *arguments,
            COUNTERSIGN_DATABASE_URL=self.url,
            **named,
        )

    async def do(self, statement: str) -> None:
        """What only a superuser can."""
        async with self.owner.transaction() as connection:
            await connection.execute(text("ALTER TABLE audit_entry DISABLE TRIGGER ALL"))
            await connection.execute(text(statement))


@pytest.fixture
async def auditing(services: Services, tmp_path: Path) -> Office:
    name = f"audited_{secrets.token_hex(4)}"
    url = await services.postgres.create_database(name)
    await migrate(url)
    owner = Database(url, pool_size=1)
    life = Whole()
    life.begin().reach(Stage.ACTIVE)
    await life.on_record(owner)
    # Nobody signed what this life decided: without keys nobody's signature is asked for.
    agreement = tmp_path / "agreement.toml"
    agreement.write_text(
        (Path(__file__).parents[2] / "agreements" / "il-az-ai.toml").read_text(encoding="utf-8")
    )
    return Office(services.postgres.url(name, role=AUDITOR), owner, agreement, life)


async def test_a_record_that_is_whole_is_said_to_be_and_one_that_was_changed_is_told_apart(
    auditing: Office,
) -> None:
    whole = await auditing.verify()
    assert whole.status == 0, whole
    number = len(auditing.life.entries)
    assert whole.out.splitlines()[0] == f"{number} entries, 0 of them in the log, 0 signed by every side."
    assert "Nothing was altered" in whole.out
    entry: AuditEntry = auditing.life.entries[4]
    await auditing.do(f"UPDATE audit_entry SET actor = 'il/somebody-else' WHERE hash = '{entry.hash}'")
    changed, as_json = await auditing.verify(), await auditing.verify("--json")
    assert changed.status == 1
    (line,) = [one for one in changed.out.splitlines() if "was altered" in one]
    assert line.split()[:2] == [entry.initiative, str(entry.sequence)]
    assert as_json.status == 1
    assert as_json.json["faults"] == [
        {
            "trail": entry.initiative,
            "sequence": entry.sequence,
            "table": "audit_entry",
            "problem": "it was altered",
        }
    ]
    await auditing.owner.close()


async def test_a_checkpoint_that_was_kept_is_asked_for_by_name(
    terminal: Terminal, auditing: Office, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.checkpoint"
    made = await terminal("audit", "checkpoint", "--now", "-o", kept)
    assert made.status == 0, made
    assert "signed by az, il" in made.out
    over = await terminal("audit", "checkpoint", "-o", kept)
    assert (over.status, "cannot be written" in over.err) == (2, True)
    printed = await terminal("audit", "checkpoint")
    assert printed.out.startswith("countersign/il-az-ai\n")
    as_json = await terminal.json("audit", "checkpoint")
    assert as_json["signed_by"] == ["az", "il"]

    # It is one of another record: this one does not begin with it, and knows none of its keys.
    other = await auditing.verify("--since", kept, "--json")
    assert other.status == 1
    assert {one["table"] for one in other.json["faults"]} == {"kept checkpoint"}
    assert any("entries are gone" in one["problem"] for one in other.json["faults"])
    broken = tmp_path / "broken"
    broken.write_text("half a note")
    for file, said in ((broken, "is no checkpoint"), (tmp_path / "absent", "cannot be read")):
        refused = await auditing.verify("--since", file)
        assert (refused.status, said in refused.err) == (2, True)
    await auditing.owner.close()


async def test_histories_are_opened_with_the_keys_and_held_by_their_hashes_without(
    auditing: Office, tmp_path: Path
) -> None:
    keys, others = tmp_path / "keys.json", tmp_path / "others.json"
    for file in (keys, others):
        payload_keys.write(file, payload_keys.new_ring())
    press = Press(EncryptingCodec(payload_keys.read(keys)))
    life = auditing.life
    async with auditing.owner.transaction() as connection:
        runs = await archive(connection, press, life.agreement.id, life.entries, NOW)

    opened = await auditing.verify(keys=keys)
    assert opened.status == 0, opened
    assert "2 archived histories were held against the trails.\n" in opened.out
    by_hash = await auditing.verify()
    assert by_hash.status == 0
    assert "2 of them by their hash alone, without the keys." in by_hash.out
    as_json = await auditing.verify("--json", keys=keys)
    assert as_json.json["histories"] == {"archived": 2, "unread": 0}

    locked = await auditing.verify("--json", keys=others)
    assert locked.status == 1
    assert [one["problem"] for one in locked.json["faults"]] == [
        f"run {one.run_id} cannot be read: it does not open: SealKeyUnknown" for one in runs
    ]
    refused = await auditing.verify("--replay")
    assert (refused.status, "COUNTERSIGN_PAYLOAD_KEYS" in refused.err) == (2, True)
    # What no workflow of this code has made does not replay, and it says by which it was made.
    replayed = await auditing.verify("--replay", keys=keys)
    assert replayed.status == 1
    assert f"made by {BUILD}; this is {build_id()}" in " ".join(replayed.out.split())
    await auditing.owner.close()


async def test_an_auditor_has_what_has_ended_archived_and_reads_its_history_filtered(
    terminal: Terminal, office: Clerks
) -> None:
    initiative = (await office.submit(minimal_proposal(12)))["id"]
    withdrawn = await office.call(
        "il-lead", "POST", f"/v1/initiatives/{initiative}/withdrawal", body={"reasons": "no"}
    )
    assert withdrawn.status_code == 200, withdrawn.text
    told = await terminal("history", initiative, "--action", "withdraw")
    done = await terminal.json("audit", "archive")
    assert done["is_done"]
    assert done["archived"] >= 1
    assert (await terminal("history", initiative, "--action", "withdraw")).out == told.out
    assert "sent withdraw" in told.out
    assert "sign_off" not in told.out
    assert (await terminal("audit", "archive")).out == "0 archived.\n"
    # Staff have it done by itself, and may not ask for it.
    assert (await terminal("audit", "archive", who="il-head")).status != 0
