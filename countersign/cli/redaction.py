"""What ``countersign retention`` does on the record itself; loaded when it is asked for, with all that it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from countersign.attachments.vault import Vault, VaultAway
from countersign.cli.output import Failure
from countersign.domain.errors import RuleBroken
from countersign.domain.facts import RecordRedacted
from countersign.store import retention
from countersign.store.retention import Due, Erase
from countersign.store.session import Database, RecordAway


@dataclass(frozen=True, slots=True)
class Done:
    """What is due, and what came of it: a redaction, or why there was none."""

    due: Due
    fact: RecordRedacted | None = None
    problem: str | None = None

    def view(self) -> dict[str, Any]:
        """As JSON data."""
        one, fact = self.due, self.fact
        return {
            "id": one.id,
            "reference": one.reference,
            "stage": one.stage,
            "ended_at": one.ended_at.isoformat(),
            "due_at": one.due_at.isoformat(),
            "years": one.rule.years,
            "directorate": one.rule.directorate,
            "redacted": None if fact is None else list(fact.documents),
            "kept": None if fact is None else list(fact.kept),
            "erased": None if fact is None else list(fact.attachments),
            "problem": self.problem,
        }


async def carry_out(url: str, day: datetime, by: str | None, vault: Vault | None = None) -> list[Done]:
    """What is due on a day, on the database of that URL; redacted, one after the other, if it is said by whom.

    ``vault`` is where the attachments are.

    Raises:
        Failure: the database does not answer; what was redacted until then is redacted.
    """
    erase = None if vault is None else vault.erase
    database = Database(url, pool_size=1)
    try:
        async with database.reading() as connection:
            due = await retention.due(connection, day)
        return [Done(one) if by is None else await _redact(database, one, by, erase) for one in due]
    except RecordAway as problem:
        raise Failure(f"the database does not answer: {problem}") from problem
    finally:
        await database.close()


async def _redact(database: Database, one: Due, by: str, erase: Erase | None) -> Done:
    try:
        return Done(one, await retention.redact(database, one.id, datetime.now(UTC), by, erase))
    except VaultAway as problem:
        return Done(one, problem=f"unavailable: what keeps the attachments does not answer ({problem})")
    except RuleBroken as broken:
        return Done(one, problem=str(broken))
