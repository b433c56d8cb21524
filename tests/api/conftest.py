"""An initiative to try things on, and a desk for its attachments."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from countersign.runtime.embedded.services import Services
from tests.api.desk import Desk
from tests.api.serving import an_api
from tests.people import Office, minimal_proposal


@pytest.fixture
async def initiative(office: Office) -> str:
    """A small initiative whose clearance is before both sides."""
    submitted: dict[str, Any] = await office.submit(minimal_proposal())
    await office.open_matter_of(submitted["id"], "clearance")
    return str(submitted["id"])


@pytest.fixture(scope="module")
async def desk(services: Services, working: None) -> AsyncIterator[Desk]:
    """Where what is named has to be there."""
    async with an_api(services, attachments_absent="refuse") as client:
        yield Desk(services, client)
