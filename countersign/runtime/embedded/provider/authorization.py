"""What a client may ask of the authorization endpoint (OpenID Connect Core 1.0, 3.1.2.1; RFC 7636)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from countersign.runtime.embedded.provider.clients import AUTHORIZATION_CODE, Client
from countersign.runtime.embedded.provider.refusals import Refused, SentBack
from countersign.runtime.embedded.provider.sign_ins import Asked

SCOPES: Final = ("openid", "profile", "email", "offline_access")

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_NOT_SUPPORTED: Final = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


def read(clients: Mapping[str, Client], sent: Mapping[str, str]) -> Asked:
    """What a client asks for in a browser.

    Raises:
        Refused: it is not clear who asks, or where the browser may go back to.
        SentBack: something else is wrong.
    """
    client = clients.get(sent.get("client_id", ""))
    if client is None:
        raise Refused("invalid_request", "no client of that client_id is registered")
    redirect_uri = sent.get("redirect_uri", "")
    if AUTHORIZATION_CODE not in client.grants or not client.may_return_to(redirect_uri):
        raise Refused("invalid_request", "the redirect_uri is none that is registered for this client")

    def sent_back(error: str, description: str) -> SentBack:
        return SentBack(error, description, redirect_uri, sent.get("state"))

    for name, error in _NOT_SUPPORTED.items():
        if name in sent:
            raise sent_back(error, f"{name} is not supported")
    if "response_type" not in sent:
        raise sent_back("invalid_request", "response_type is missing")
    if sent["response_type"] != "code":
        raise sent_back("unsupported_response_type", "only response_type=code is supported")
    if sent.get("response_mode", "query") != "query":
        raise sent_back("invalid_request", "only response_mode=query is supported")
    if sent.get("code_challenge_method") != "S256":
        raise sent_back("invalid_request", "code_challenge_method=S256 is required")
    if not _CHALLENGE.fullmatch(sent.get("code_challenge", "")):
        raise sent_back("invalid_request", "code_challenge is missing, or is no SHA-256")
    if "none" in sent.get("prompt", "").split():
        raise sent_back("login_required", "whoever signs in is always asked")
    try:
        scope = read_scope(sent)
    except Refused as refused:
        raise sent_back(refused.error, refused.description) from None
    return Asked(
        client,
        scope,
        redirect_uri,
        sent["code_challenge"],
        sent.get("state"),
        sent.get("nonce"),
        sent.get("login_hint"),
    )


def read_scope(sent: Mapping[str, str]) -> tuple[str, ...]:
    """The scopes that are known of those that are asked for; others are ignored (OpenID Connect Core 1.0, 3.1.2.1).

    Raises:
        Refused: ``openid`` is not among them.
    """
    asked = sent.get("scope", "").split()
    if "openid" not in asked:
        raise Refused("invalid_scope", "the scope openid is required")
    return tuple(one for one in SCOPES if one in asked)
