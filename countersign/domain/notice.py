"""What a side has announced and what has not taken effect yet."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from countersign.domain.model import Model


class NoticeKind(StrEnum):
    """What a side can announce ahead."""

    SUSPENSION = "suspension"
    TERMINATION = "termination"


class Notice(Model):
    """One side's announcement, which it may take back until ``effective_at``; at most one of a kind and side."""

    kind: NoticeKind
    directorate: str
    reasons: str
    announced_at: datetime
    effective_at: datetime

    @property
    def reason(self) -> str:
        """Why it takes effect, in the words of the side."""
        return f"{self.directorate}: {self.reasons}"
