"""``index.pdf``: the story as pages, set by Typst, to be kept for as long as an archive keeps things (PDF/A)."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import typst

_TEMPLATE: Final = Path(__file__).parent / "index.typ"


def paper(story: dict[str, Any]) -> bytes:
    """The pages, dated as the record is. What others wrote goes in as data, and no file or network is needed.

    PDF/A allows no character that its fonts do not have; where there is one, it is plain PDF.
    """
    made_at = datetime.fromisoformat(story["date"]).replace(tzinfo=UTC)
    told = json.dumps(story, ensure_ascii=False)
    try:
        return _set(told, made_at, ["a-2b"])
    except typst.TypstError:
        return _set(told, made_at, [])


def _set(story: str, made_at: datetime, standards: list[Literal["a-2b"]]) -> bytes:
    pages: bytes = typst.compile(  # type: ignore[call-overload] # its own defaults do not fit its types
        _TEMPLATE,
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={"story": story},
        pdf_standards=standards,
        timestamp=made_at,
    )
    return pages
