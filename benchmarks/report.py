"""Where results go: rows as JSON for programs, a page with tables and charts for people."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, table

RESULTS: Final = Path(__file__).parent / "results"
PAGE: Final = Path("docs/performance.md")
CHARTS: Final = Path("docs/performance")
_BEGIN, _END = "<!-- results -->", "<!-- end of results -->"


def keep(rows: Sequence[Row]) -> None:
    """Write ``latest.json``: a list of rows."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps([asdict(one) for one in rows], indent=1, ensure_ascii=False)
    (RESULTS / "latest.json").write_text(text + "\n", encoding="utf-8")


def publish(parts: Mapping[str, Sequence[Row]]) -> None:
    """Put the tables between the marks of ``docs/performance.md``, and the charts beside it."""
    CHARTS.mkdir(exist_ok=True)
    text = [_machine()]
    for title, rows in parts.items():
        text += [f"### {title}", table(rows)]
        held = [one for one in rows if one.ratio is not None]
        if held:
            chart = CHARTS / f"{'-'.join(re.findall('[a-z]+', title.lower()))}.svg"
            chart.write_text(bars(title, held), encoding="utf-8")
            text.append(f"![{title}: ratios to what they are held against](performance/{chart.name})")
    page = PAGE.read_text(encoding="utf-8")
    head, rest = page.split(_BEGIN, 1)
    PAGE.write_text(
        f"{head}{_BEGIN}\n\n" + "\n\n".join(text) + f"\n\n{_END}{rest.split(_END, 1)[1]}", encoding="utf-8"
    )


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(
        f"{one} {version(one)}" for one in ("temporalio", "SQLAlchemy", "asyncpg", "pydantic")
    )
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, {packages}; PostgreSQL and Temporal of the embedded default, both with "
        "every commit flushed to the disk."
    )


def bars(title: str, rows: Sequence[Row]) -> str:
    """An SVG with a bar for each ratio; the line at 1 is what it is held against."""
    width, label, line = 1080, 560, 22
    height = line * len(rows) + 50
    most = max(2.0, *(one.ratio or 0 for one in rows))
    scale = (width - label - 60) / most
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">',
        f'<title>{escape(title)}</title><rect {size} fill="#fff"/>',
    ]
    for number, one in enumerate(rows):
        y, ratio = 20 + number * line, one.ratio or 0
        colour = {None: "#8a94a6", True: "#2f7d4f", False: "#b4442f"}[one.met]
        parts.append(
            f'<text x="{label - 8}" y="{y + 11}" text-anchor="end">{escape(one.name)} / '
            f"{escape(one.against)}</text>"
            f'<rect x="{label}" y="{y}" width="{max(1, ratio * scale):.0f}" height="{line - 7}" fill="{colour}"/>'
            f'<text x="{label + ratio * scale + 5:.0f}" y="{y + 11}">{ratio:.2f}</text>'
        )
    at = label + scale
    parts.append(f'<path d="M{at:.0f} 8V{height - 22}" stroke="#222" stroke-dasharray="3 3"/>')
    parts.append(f'<text x="{at:.0f}" y="{height - 8}" text-anchor="middle">1</text></svg>')
    return "".join(parts) + "\n"
