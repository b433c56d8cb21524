"""A store that speaks S3: rclone's own, on a directory, with a key that it asks for."""

from __future__ import annotations

import asyncio
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from countersign.runtime.embedded.ports import free_ports


@dataclass(frozen=True)
class Store:
    """Where it answers, who may, and the directory in which a test sees what is there."""

    endpoint: str
    key_id: str
    key: str
    bucket: Path

    def settings(self, prefix: str = "") -> dict[str, Any]:
        """The settings of a deployment that keeps its attachments there."""
        return {
            "attachments": f"s3://{self.bucket.name}/{prefix}",
            "attachments_endpoint": self.endpoint,
            "attachments_region": "il-central-1",
            "attachments_key_id": self.key_id,
            "attachments_key": self.key,
        }


@asynccontextmanager
async def serving(root: Path) -> AsyncIterator[Store]:
    """The store, for as long as the block lasts."""
    bucket = root / "attachments"
    bucket.mkdir()
    (port,) = free_ports(0)
    store = Store(f"http://127.0.0.1:{port}", secrets.token_hex(8), secrets.token_hex(16), bucket)
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("rclone"),
        *(
            "serve",
            "s3",
            str(root),
            "--addr",
            f"127.0.0.1:{port}",
            "--auth-key",
            f"{store.key_id},{store.key}",
        ),
        *("--config", "/dev/null", "--vfs-cache-mode", "off"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(trust_env=False) as client, asyncio.timeout(30):
            while True:
                try:
                    await client.get(store.endpoint)
                    break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield store
    finally:
        process.terminate()
        await process.wait()
