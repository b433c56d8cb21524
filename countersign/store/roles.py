"""The database's roles by what a process does, and on whose behalf the API reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final, Literal

API: Final = "countersign_api"
"""Reads what the reader of a request may see, and writes what is no step of an initiative."""

WORKER: Final = "countersign_worker"
"""Writes every step of every initiative, and therefore reads all of them."""

SIDE: Final = "countersign_side"
"""A directorate's own worker: puts on record what a bank was told, and reads nothing of the initiatives."""

KEEPER: Final = "countersign_keeper"
"""Redacts people when they have been on record for long enough; an operator's, and no process's."""

AUDITOR: Final = "countersign_auditor"
"""Reads the whole record to verify it, and writes nothing; an audit office's, and no process's."""

ROLES: Final = (API, WORKER, SIDE, KEEPER, AUDITOR)
"""What a login is a member of. None of them owns anything; migrations run as the owner (ADR 0016)."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Whom a request is from, as row security sees them: what a token proved, or the caller of a message.

    ``directorate`` is the side of staff and of auditors; ``contact`` is the ``contact_key`` of an applicant's address.
    Operators see nothing.
    """

    role: Literal["staff", "applicant", "auditor", "operator"]
    person: str
    directorate: str | None = None
    contact: str | None = None

    @property
    def setting(self) -> str:
        """The value of ``countersign.reader``, which the policies read."""
        said = {
            "role": self.role,
            "person": self.person,
            "directorate": self.directorate,
            "contact": self.contact,
        }
        return json.dumps(said, ensure_ascii=True)


@dataclass(frozen=True, slots=True)
class SessionOf:
    """Which browser sessions are meant, as row security sees them; nobody is known yet.

    Either the one with the ``digest``, or those of an issuer with its ``sid`` or ``subject``.
    """

    digest: str | None = None
    issuer: str | None = None
    sid: str | None = None
    subject: str | None = None

    @property
    def setting(self) -> str:
        """The value of ``countersign.reader``."""
        said = {"session": self.digest, "issuer": self.issuer, "sid": self.sid, "subject": self.subject}
        return json.dumps(said, ensure_ascii=True)
