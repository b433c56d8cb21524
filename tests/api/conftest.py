"""An initiative to try things on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.people import Office, minimal_proposal


@pytest.fixture
async def initiative(office: Office) -> str:
    """A small initiative whose clearance is before both sides."""
    submitted: dict[str, Any] = await office.submit(minimal_proposal())
    await office.open_matter_of(submitted["id"], "clearance")
    return str(submitted["id"])
