"""``make bench``: how the engine stands against the limit, and against what a user would pick instead.

``QUICK=1`` measures the first five goals only and keeps no page. Nothing here passes or fails: the ratios are told,
met or not.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from benchmarks import core, cost, growth, http, report
from benchmarks.rows import Row, table
from benchmarks.servers import Measured, servers

Part = Callable[[Measured, bool], Awaitable[list[Row]]]


async def apart(measure: Part, quick: bool) -> list[Row]:
    """A part on servers of its own: what one leaves behind must not weigh on the next."""
    with tempfile.TemporaryDirectory() as place:
        async with servers(Path(place)) as measured:
            return await measure(measured, quick)


async def measure(quick: bool) -> dict[str, Sequence[Row]]:
    """Every part, told as soon as it is there."""
    parts: dict[str, Part] = {"The work": core.measure, "HTTP": http.measure}
    if not quick:
        parts |= {"Cost": cost.measure, "Growth": growth.measure}
    found: dict[str, Sequence[Row]] = {}
    for title, part in parts.items():
        began = time.monotonic()
        found[title] = await apart(part, quick)
        print(f"## {title} ({time.monotonic() - began:.0f} s)\n\n{table(found[title])}\n", flush=True)
    return found


def main() -> None:
    """Measure, print, keep."""
    quick = bool(os.environ.get("QUICK"))
    parts = asyncio.run(measure(quick))
    report.keep([one for rows in parts.values() for one in rows])
    if not quick:
        report.publish(parts)


if __name__ == "__main__":
    main()
