"""What every fact is."""

from __future__ import annotations

from typing import ClassVar

from countersign.domain.model import Model


class Fact(Model):
    """The body of an audit entry."""

    action: ClassVar[str]


class FromMessage(Fact):
    """A fact that answers a message. ``fingerprint`` tells the message from another with the same id."""

    fingerprint: str
