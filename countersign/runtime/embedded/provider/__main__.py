"""The local providers of one home, in a process of their own."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from countersign.runtime import logs
from countersign.runtime.embedded.home import Home
from countersign.runtime.embedded.identity import Identity
from countersign.runtime.embedded.provider import DEFAULT_PORT
from countersign.runtime.embedded.provider.application import create_app
from countersign.runtime.embedded.provider.clients import WebAddresses
from countersign.runtime.embedded.provider.provider import Provider


def main() -> None:
    """Serve the providers of one home."""
    arguments = argparse.ArgumentParser(description=main.__doc__)
    arguments.add_argument("--home", type=Path, required=True)
    arguments.add_argument("--port", type=int, default=DEFAULT_PORT)
    arguments.add_argument(
        "--web", action="append", default=[], help="The URL of an API that browsers sign in to."
    )
    chosen = arguments.parse_args()
    logs.configure()
    base = f"http://127.0.0.1:{chosen.port}"
    provider = Provider(Identity(Home(chosen.home)), base, WebAddresses.of(*chosen.web))
    uvicorn.run(create_app(provider), host="127.0.0.1", port=chosen.port, log_config=None, access_log=False)


if __name__ == "__main__":
    main()
