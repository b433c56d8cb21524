"""Legal text with places for what is agreed: filled in by plain substitution, once.

What is put in is not looked at again: a partner who calls itself ``{number}`` is printed as just that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from typing import Final

PLACES: Final = frozenset(
    {
        "amounts",
        "beneficiaries",
        "decision",
        "directorate",
        "drawn_up_on",
        "due_working_days",
        "duration_months",
        "number",
        "period_months",
        "programme",
        "reference",
        "reports",
        "title",
        "tranches",
    }
)
"""The placeholders of a funding agreement's text, written ``{number}``."""

IN_TRANCHE_LINE: Final = {
    "signature": frozenset({"amounts", "tranche"}),
    "report": frozenset({"amounts", "report", "tranche"}),
    "closure": frozenset({"amounts", "tranche"}),
}
"""Those of the line for a tranche, by what it falls due with."""

IN_REPORT_LINE: Final = frozenset({"from_month", "report", "to_month"})
"""Those of the line for a regular report, and of its title."""

IN_MILESTONE_LINE: Final = frozenset({"milestone", "month", "report"})
"""Those of the line for a report on a milestone, and of its title."""

_PLACE: Final = re.compile(r"\{([^{}]*)\}")


def problems(text: str, known: Set[str]) -> Iterator[str]:
    """What is wrong with the placeholders of a template, each with its line in the text."""
    for number, line in enumerate(text.splitlines(), 1):
        for name in _PLACE.findall(line):
            if name not in known:
                there_are = ", ".join(f"{{{one}}}" for one in sorted(known))
                yield f"{{{name}}} in line {number} of the text is no placeholder; there are {there_are}"
        if re.search("[{}]", _PLACE.sub("", line)):
            yield f"a brace in line {number} of the text has no other one to it"


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with each placeholder replaced by its value; a brace that is not one of a placeholder stays."""
    return _PLACE.sub(lambda place: values.get(place[1], place[0]), text)
