"""What ``login`` keeps of a sign-in: one file an API, for its owner only, and tokens for that API alone.

It lies where the XDG Base Directory Specification has the state of programs: ``$XDG_STATE_HOME/countersign``, or
``~/.local/state/countersign``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import httpx
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from countersign.cli import openid
from countersign.cli.output import Failure, Status
from countersign.disk import write_private

EARLY: Final = 60
"""Seconds before its end that an access token is renewed: the call that it is for takes its time."""


class SignedOut(Failure):
    """Somebody had signed in, and is signed in no more."""

    code: Final = "signed_out"

    def __init__(self, api: str) -> None:
        super().__init__(f"signed out of {api}; sign in again with `countersign login`", Status.SIGNED_OUT)


class Kept(BaseModel):
    """Somebody who signed in. Without an ``access_token`` they are signed out by their issuer's word."""

    model_config = ConfigDict(frozen=True)

    api: str
    issuer: str
    issuer_key: str
    client_id: str
    token_endpoint: str
    revocation_endpoint: str | None
    subject: str
    name: str
    signed_in_at: AwareDatetime
    expires_at: AwareDatetime
    access_token: str | None = Field(repr=False)
    refresh_token: str | None = Field(repr=False)

    @property
    def person(self) -> str:
        """Who they are to the API."""
        return f"{self.issuer_key}/{self.subject}"

    def good_for(self, seconds: float) -> bool:
        """Whether the access token is still good then."""
        return self.access_token is not None and self.expires_at.timestamp() - time.time() > seconds

    def with_tokens(self, tokens: openid.Tokens) -> Kept:
        """The same sign-in with what the issuer gave now; a refresh token that it did not renew goes on."""
        changes = {
            "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token or self.refresh_token,
            "expires_at": expiry(tokens),
        }
        return self.model_copy(update=changes)

    def without_tokens(self) -> Kept:
        """What is left when the issuer has ended it."""
        return self.model_copy(update={"access_token": None, "refresh_token": None})


def expiry(tokens: openid.Tokens) -> datetime:
    """When an access token that was given just now runs out."""
    return datetime.fromtimestamp(int(time.time()) + tokens.expires_in, UTC)


def canonical(api: str) -> str:
    """The URL of an API in the one form that tokens are kept under; they go to no other.

    Raises:
        Failure: it is no URL.
    """
    try:
        return str(httpx.URL(api)).rstrip("/")
    except httpx.InvalidURL as problem:
        raise Failure(f"{api!r} is no URL: {problem}", Status.USAGE) from None


def read(api: str) -> Kept | None:
    """Who signed in to an API, if anybody did.

    Raises:
        Failure: the file cannot be read.
    """
    path = _path(api)
    try:
        kept = Kept.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValidationError, UnicodeDecodeError):
        raise Failure(f"{path} cannot be read; `countersign logout` removes it") from None
    return kept if kept.api == canonical(api) else None


def write(kept: Kept) -> None:
    """Keep somebody who signed in, in place of whoever did before."""
    _make_directory()
    write_private(_path(kept.api), kept.model_dump_json(indent=2))


def forget(api: str) -> None:
    """Keep nobody for an API."""
    _path(api).unlink(missing_ok=True)


@contextmanager
def locked(api: str) -> Iterator[None]:
    """Hold what is kept for an API against other commands: a refresh token is used once."""
    _make_directory()
    with _path(api).with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def token(api: str) -> str | None:
    """The access token of whoever signed in to an API, renewed where it is about to run out; none if nobody did.

    Raises:
        SignedOut: the issuer renews it no more.
        Failure: the issuer does not answer, and the token has run out.
    """
    kept = read(api)
    if kept is None or kept.good_for(EARLY):
        return None if kept is None else kept.access_token
    with locked(api):
        kept = read(api)  # another command may have renewed it, or signed out, in the meantime
        if kept is None or kept.good_for(EARLY):
            return None if kept is None else kept.access_token
        return _renewed(kept).access_token


def _renewed(kept: Kept) -> Kept:
    if kept.refresh_token is None:
        if kept.good_for(0):
            return kept
        raise SignedOut(kept.api)
    try:
        tokens = openid.refresh(kept.token_endpoint, kept.client_id, kept.refresh_token)
    except openid.Declined as declined:
        if declined.error == "invalid_grant":
            write(kept.without_tokens())
            raise SignedOut(kept.api) from None
        if kept.good_for(0):
            return kept
        raise
    except openid.Away:
        if kept.good_for(0):
            return kept
        raise
    renewed = kept.with_tokens(tokens)
    write(renewed)
    return renewed


def _path(api: str) -> Path:
    return _directory() / f"{hashlib.sha256(canonical(api).encode()).hexdigest()[:32]}.json"


def _directory() -> Path:
    """Where the files are; the specification has a relative path ignored."""
    named = os.environ.get("XDG_STATE_HOME", "")
    state = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
    return state / "countersign"


def _make_directory() -> None:
    directory = _directory()
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_mode & 0o077:
            directory.chmod(0o700)
    except OSError as problem:
        raise Failure(f"{directory} cannot be used: {problem.strerror}") from None
