"""What is sent to a provider: parameters by their names, none of them twice (RFC 6749, 3.1)."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from countersign.runtime.embedded.provider.refusals import Refused

LARGEST: Final = 16_384
"""Bytes of parameters; an ID token has about a thousand."""

_MOST: Final = 64
_FORM: Final = "application/x-www-form-urlencoded"


async def read_form(request: Request) -> dict[str, str]:
    """The parameters of a form.

    Raises:
        Refused: it is none, or too large, or has a parameter twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Refused("invalid_request", f"send {_FORM}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise _too_large()
    return _once(body.decode("utf-8", "replace"))


def read_query(request: Request) -> dict[str, str]:
    """The parameters of the address.

    Raises:
        Refused: it is too large, or has a parameter twice.
    """
    return _once(request.url.query)


def _once(text: str) -> dict[str, str]:
    if len(text) > LARGEST:
        raise _too_large()
    try:
        pairs = parse_qsl(text, max_num_fields=_MOST)
    except ValueError:
        raise _too_large() from None
    sent = dict(pairs)
    if len(sent) < len(pairs):
        raise Refused("invalid_request", "a parameter is there twice")
    return sent


def _too_large() -> Refused:
    return Refused("invalid_request", "there is too much of it", 413)
