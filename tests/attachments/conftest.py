"""A real store for the vaults that are not a directory."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.attachments.stores import Store, serving


@pytest.fixture(scope="session")
async def s3(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """A store that speaks S3, with a bucket."""
    async with serving(tmp_path_factory.mktemp("s3")) as store:
        yield store
