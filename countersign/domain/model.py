"""What values have in common that travel in messages, state and the trail."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MessageId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
"""An id that a sender chose, or a person's: printable ASCII without spaces."""


Sha256 = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A content hash."""

Number = Annotated[int, Field(ge=1, le=100_000)]
"""The number of a matter, tranche, report or condition."""


class Model(BaseModel):
    """A value that travels: frozen; unknown fields of newer senders are tolerated."""

    model_config = ConfigDict(frozen=True)
