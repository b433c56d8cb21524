"""Refusals of the local providers, with the codes of OAuth 2.0 and OpenID Connect."""

from __future__ import annotations


class Refused(Exception):
    """A request that is not done; ``error`` is a registered code (RFC 6749, 5.2 and 4.1.2.1), ``status`` HTTP's."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error, description)
        self.error, self.description, self.status = error, description, status


class SentBack(Refused):
    """A refusal that the browser takes back to the client (RFC 6749, 4.1.2.1)."""

    def __init__(self, error: str, description: str, redirect_uri: str, state: str | None) -> None:
        super().__init__(error, description, 303)
        self.redirect_uri, self.state = redirect_uri, state
