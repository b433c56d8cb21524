"""Figures, each with what it is held against, and how they are kept."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Goal:
    """What a figure should come to: the ``ratio`` to the reference, or the ``value`` itself, at most or at least."""

    of: Literal["ratio", "value"]
    bound: Literal["<=", ">="]
    limit: float

    def met(self, value: float, ratio: float | None) -> bool:
        measured = value if self.of == "value" or ratio is None else ratio
        return measured <= self.limit if self.bound == "<=" else measured >= self.limit

    def __str__(self) -> str:
        sign = "≤" if self.bound == "<=" else "≥"
        return f"{sign} {self.limit:g}" + (" times" if self.of == "ratio" else "")


@dataclass(frozen=True)
class Row:
    """One figure. ``ratio`` is to ``reference``, measured in the same run; ``spread`` is between the rounds."""

    name: str
    value: float
    unit: str
    reference: float | None = None
    against: str = ""
    ratio: float | None = None
    goal: str | None = None
    met: bool | None = None
    n: int = 1
    spread: float = 0.0


def at_most(limit: float) -> Goal:
    return Goal("ratio", "<=", limit)


def at_least(limit: float) -> Goal:
    return Goal("ratio", ">=", limit)


def row(
    name: str,
    unit: str,
    values: Sequence[float],
    reference: Sequence[float] = (),
    *,
    against: str = "",
    goal: Goal | None = None,
) -> Row:
    """The medians of some rounds, and the ratio of the two."""
    value = statistics.median(values)
    other = statistics.median(reference) if reference else None
    ratio = value / other if other else None
    return Row(
        name=name,
        value=value,
        unit=unit,
        reference=other,
        against=against,
        ratio=ratio,
        goal=str(goal) if goal else None,
        met=goal.met(value, ratio) if goal else None,
        n=len(values),
        spread=max(values) - min(values),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| measure | value | against | ratio | goal | met | rounds | spread |",
        "| --- | ---: | --- | ---: | --- | --- | ---: | ---: |",
    ]
    for one in rows:
        against = f"{one.reference:,.3g} {one.unit} ({one.against})" if one.reference is not None else ""
        ratio = f"{one.ratio:.2f}" if one.ratio is not None else ""
        met = "" if one.met is None else "yes" if one.met else "**no**"
        lines.append(
            f"| {one.name} | {one.value:,.3g} {one.unit} | {against} | {ratio} | {one.goal or ''} | {met} "
            f"| {one.n} | {one.spread:.2g} |"
        )
    return "\n".join(lines)
