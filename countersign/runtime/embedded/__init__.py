"""The embedded default: PostgreSQL, Temporal and identity providers of one machine, kept under one home directory."""

from __future__ import annotations


class EmbeddedError(Exception):
    """An embedded service cannot do what was asked; the message says why and what helps."""


class NotRunning(EmbeddedError):
    """Nothing runs on this home."""


class AlreadyRunning(EmbeddedError):
    """Something else runs on this home."""
