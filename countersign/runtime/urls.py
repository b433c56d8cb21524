"""Addresses that may be trusted with secrets."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_confidential(url: str) -> bool:
    """Whether nobody on the way reads what is sent there: it goes over TLS, or does not leave this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if host is None or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
