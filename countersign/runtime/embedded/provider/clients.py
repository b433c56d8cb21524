"""The clients of the local providers: the command line, and the web client of whichever API is served here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

COMMAND_LINE: Final = "countersign-cli"
WEB: Final = "countersign-web"

AUTHORIZATION_CODE: Final = "authorization_code"
REFRESH_TOKEN: Final = "refresh_token"  # noqa: S105 - the name of a grant
DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"
CLIENT_CREDENTIALS: Final = "client_credentials"

_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|\[::1\]):([1-9][0-9]{0,4})/callback")


@dataclass(frozen=True, slots=True)
class WebAddresses:
    """Where the web client is: where a browser may be sent back to, and who is told that a sign-in has ended."""

    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    backchannel_logout_uri: str | None = None

    @classmethod
    def of(cls, *apis: str) -> WebAddresses:
        """Those of an API at one or several URLs; the first is told when a sign-in ends."""
        bases = [one.rstrip("/") for one in apis]
        return cls(
            tuple(f"{base}/v1/session/callback" for base in bases),
            tuple(f"{base}/" for base in bases),
            f"{bases[0]}/v1/session/backchannel-logout" if bases else None,
        )


@dataclass(frozen=True, slots=True)
class Client:
    """A public client, known by its id alone. ``on_loopback``: on the machine of whoever uses it, at any port."""

    id: str
    title: str
    grants: frozenset[str]
    on_loopback: bool = False
    web: WebAddresses = field(default_factory=WebAddresses)

    def may_return_to(self, uri: str) -> bool:
        """Whether a browser may be sent back there: to the very URI that is registered, or to a port of this machine
        (RFC 8252, 7.3).
        """
        if not self.on_loopback:
            return uri in self.web.redirect_uris
        found = _LOOPBACK.fullmatch(uri)
        return found is not None and int(found[1]) <= 65535


def registered(web: WebAddresses) -> dict[str, Client]:
    """All clients, by id."""
    return {
        one.id: one
        for one in (
            Client(
                COMMAND_LINE,
                "The countersign command line",
                frozenset({AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE}),
                on_loopback=True,
            ),
            Client(
                WEB, "Countersign in the browser", frozenset({AUTHORIZATION_CODE, REFRESH_TOKEN}), web=web
            ),
        )
    }
