"""The pictures in the documentation say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from countersign.domain.facts import ACTIONS
from countersign.domain.stage import TERMINAL, TRANSITIONS

FLOW = (Path(__file__).parents[2] / "docs" / "flow.md").read_text(encoding="utf-8")


def diagram(kind: str) -> str:
    """The body of the one mermaid block of a kind."""
    (found,) = re.findall(rf"```mermaid\n{kind}\n(.*?)```", FLOW, flags=re.DOTALL)
    return str(found)


def test_the_state_diagram_has_every_move_of_the_transition_table_and_no_other() -> None:
    drawn = re.findall(r"^\s*(\S+) --> (\S+?)(?::.*)?$", diagram("stateDiagram-v2"), flags=re.MULTILINE)
    moves = {
        (before.value if before else "[*]", stage.value)
        for before, some in TRANSITIONS.items()
        for stage in some
    }
    ends = {(stage.value, "[*]") for stage in TERMINAL}
    assert sorted(drawn) == sorted(moves | ends)


def test_the_sequence_diagram_names_only_facts_that_there_are() -> None:
    named = set(re.findall(r"\b[a-z]+\.[a-z_]+\b", diagram("sequenceDiagram")))
    assert named - set(ACTIONS) == set()
    assert "initiative.submitted" in named


@pytest.mark.parametrize("document", ["../README.md", "flow.md", "terms.md", "operations.md", *(
    f"adr/{path.name}" for path in sorted((Path(__file__).parents[2] / "docs" / "adr").glob("*.md"))
)])  # fmt: skip
def test_every_link_of_the_documentation_leads_somewhere(document: str) -> None:
    path = Path(__file__).parents[2] / "docs" / document
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []
