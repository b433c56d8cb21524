"""``countersign audit verify`` and ``audit checkpoint``, as an audit office uses them."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from sqlalchemy import text

from countersign.domain.audit import AuditEntry
from countersign.domain.stage import Stage
from countersign.runtime.embedded.services import Services
from countersign.runtime.migrate import migrate
from countersign.store.roles import AUDITOR
from countersign.store.session import Database
from tests.cli.conftest import Ended, Terminal, run
from tests.store.whole import Whole


class Office:
    """An audit office with a login of its own, on a record of its own."""

    def __init__(self, url: str, owner: Database, agreement: Path, life: Whole) -> None:
        self.url, self.owner, self.agreement, self.life = url, owner, agreement, life

    async def verify(self, *arguments: str | Path) -> Ended:
        return await run(
            *("audit", "verify", "--agreement", self.agreement),
            *arguments,
            COUNTERSIGN_DATABASE_URL=self.url,
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
