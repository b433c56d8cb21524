"""The archive of histories: swept often for what has ended, and gone through whole once in a while."""

from __future__ import annotations

from typing import Final

from temporalio import workflow

from countersign.activities.archive import Sweep, Swept
from countersign.workflows import options

ARCHIVE: Final = "audit/archive"
"""The id of the schedule that has it swept, and of the workflow that does."""

COMPLETE: Final = "audit/archive/complete"
"""Those of what asks for every initiative."""


@workflow.defn
class ArchiveWorkflow:
    """One sweep. It takes no messages."""

    @workflow.run
    async def run(self, complete: bool) -> Swept:
        """Archive what has ended; ``complete`` also finds what Temporal does not list, or has no more."""
        swept: Swept = await workflow.execute_activity(
            "archive_histories",
            Sweep(at=workflow.now(), complete=complete),
            result_type=Swept,
            summary="every initiative" if complete else "closed runs",
            **options.SWEEP,
        )
        return swept


__all__ = ["ARCHIVE", "COMPLETE", "ArchiveWorkflow", "Swept"]
