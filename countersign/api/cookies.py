"""The cookies of browser sessions, and whether a request that brings one is from a page of ours.

Cookies as RFC 6265bis has them: by their prefix (``__Host-``) a browser takes them from this host alone, over TLS, and
gives them to no other. On this very machine, without TLS, they go without both.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from fastapi import Request, Response

from countersign.api.errors import Problem

CSRF_HEADER: Final = "X-CSRF-Token"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, 9.2.1)."""

_CSRF: Final = b"countersign csrf 1"


@dataclass(frozen=True, slots=True)
class Cookies:
    """The cookies of one origin: the session's, and that of a sign-in which was begun."""

    origin: str

    @property
    def session(self) -> str:
        """The name of the session's."""
        return self._named("countersign")

    @property
    def sign_in(self) -> str:
        """The name of the sign-in's."""
        return self._named("countersign-sign-in")

    @property
    def is_secure(self) -> bool:
        """Whether browsers send them over TLS only."""
        return self.origin.startswith("https:")

    def give(self, response: Response, name: str, value: str, *, seconds: int | None = None) -> None:
        """Have a browser keep a cookie, for ``seconds`` or until it is closed; no script gets at it."""
        response.set_cookie(
            name, value, path="/", max_age=seconds, secure=self.is_secure, httponly=True, samesite="lax"
        )

    def take_back(self, response: Response, name: str) -> None:
        """Have a browser forget a cookie."""
        response.delete_cookie(name, path="/", secure=self.is_secure, httponly=True, samesite="lax")

    def _named(self, name: str) -> str:
        return f"__Host-{name}" if self.is_secure else name


def csrf_token(secret: str) -> str:
    """The token that a page sends with what it changes: it follows from the session's secret, and not the other way."""
    made = hmac.digest(secret.encode(), _CSRF, hashlib.sha256)
    return base64.urlsafe_b64encode(made).rstrip(b"=").decode()


def check_ours(request: Request, origin: str, csrf: str) -> None:
    """Refuse what another site's page could have sent with this browser's cookie.

    A browser says where a request comes from (Fetch, ``Origin`` and ``Sec-Fetch-Site``); one that does not has the
    token asked for all the same, which only a page of this origin can have read.

    Raises:
        Problem: ``forbidden``.
    """
    if request.method in SAFE:
        return
    headers = request.headers
    if (
        headers.get("origin", origin) != origin
        or headers.get("sec-fetch-site", "same-origin") != "same-origin"
    ):
        raise Problem("forbidden", "a browser's session counts only for what a page of this origin sends")
    if not hmac.compare_digest(headers.get(CSRF_HEADER, "").encode(), csrf.encode()):
        raise Problem("forbidden", f"send {CSRF_HEADER} as GET /v1/session has it")
