"""Servers of their own for tests that keep workers away."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from countersign.runtime.embedded.services import Services, embedded_services
from countersign.store.session import Database


@pytest.fixture(scope="package")
async def apart(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Services]:
    """Services that no worker serves but those that a test starts."""
    async with embedded_services(tmp_path_factory.mktemp("apart")) as running:
        yield running


@pytest.fixture(scope="package")
async def apart_database(apart: Services) -> AsyncIterator[Database]:
    """Their record."""
    opened = Database(apart.database_url)
    yield opened
    await opened.close()
