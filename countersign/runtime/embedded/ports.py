"""Free ports of this machine."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports(*preferred: int, host: str = "127.0.0.1") -> tuple[int, ...]:
    """For each preferred port (0: any) that port if nothing listens on it, else one that the system gives.

    Between this answer and its use another process may take a port; the service that finds it taken says so.
    """
    with ExitStack() as held:  # all at once, so that no port is given twice
        return tuple(_hold(held, port, host) for port in preferred)


def is_free(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether a service could listen on the port now."""
    return free_ports(port, host=host) == (port,)


def _hold(held: ExitStack, preferred: int, host: str) -> int:
    for port in (preferred, 0):
        probe = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        # A port whose last connections are merely fading away is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            continue
        chosen: int = probe.getsockname()[1]
        return chosen
    raise OSError(f"no port is free on {host}")
