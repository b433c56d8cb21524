"""A worker that kills itself right after a commit: ``python -m tests.faults.dying_worker``.

It dies in the worst moment there is: the step is on record, and Temporal was not told. ``DIES`` says when: after so
many commits (``3``), or as a step enters one of some stages (``active,closed``).
"""

from __future__ import annotations

import asyncio
import os
import signal

from countersign import worker
from countersign.domain.audit import AuditEntry
from countersign.domain.projection import Step
from countersign.runtime.settings import Settings
from countersign.store import record
from countersign.store.session import Database

_append = record.append
_commits = 0


async def _append_and_die(database: Database, step: Step | bytes) -> tuple[AuditEntry, ...]:
    global _commits
    standing = await _append(database, step)
    if not standing:
        _commits += 1
        when = os.environ["DIES"].split(",")
        entries = (step if isinstance(step, Step) else Step.model_validate_json(step)).entries
        entered = {one.body["stage"] for one in entries if one.action == "stage.entered"}
        if str(_commits) in when or entered & set(when):
            os.kill(os.getpid(), signal.SIGKILL)
    return standing


if __name__ == "__main__":
    record.append = _append_and_die
    asyncio.run(worker.run(Settings()))
