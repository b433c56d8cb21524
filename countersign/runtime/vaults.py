"""Where a deployment keeps its attachments."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from countersign.attachments.directory import DirectoryVault
from countersign.attachments.vault import Vault
from countersign.runtime.settings import Settings


def configured(settings: Settings) -> Vault | None:
    """The vault that the settings name; none where they name none, and documents are known by their hash only.

    Raises:
        OSError: the directory cannot be used.
    """
    place = settings.attachments
    if place is None:
        return None
    if not place.startswith("s3://"):
        return DirectoryVault(Path(place))
    # The library is large, and few deployments need it.
    from obstore.store import S3Store

    from countersign.attachments.s3 import S3Vault

    named = urlsplit(place)
    chosen: dict[str, Any] = {
        "endpoint": settings.attachments_endpoint,
        "region": settings.attachments_region,
        "access_key_id": settings.attachments_key_id,
        "secret_access_key": settings.attachments_key.get_secret_value()
        if settings.attachments_key is not None
        else None,
    }
    store = S3Store(
        named.netloc,
        prefix=named.path.strip("/") or None,
        checksum_algorithm="SHA256",
        client_options={
            "allow_http": (settings.attachments_endpoint or "").startswith("http://"),
            "timeout": "60s",
        },
        retry_config={"max_retries": 3},
        **{name: value for name, value in chosen.items() if value is not None},
    )
    return S3Vault(store)
