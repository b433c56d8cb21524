"""Every action of the audit trail is documented, each once, and the documentation is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

from countersign.domain.facts import ACTIONS
from countersign.store.actions import KNOWN, TRAILS, as_markdown

ROOT = Path(__file__).parents[2]


def test_every_fact_has_its_sentence_and_nothing_else_is_said_of_initiatives() -> None:
    assert set(TRAILS[0].actions) == set(ACTIONS)


def test_no_action_stands_in_two_kinds_of_trail() -> None:
    assert sum(len(one.actions) for one in TRAILS) == len(KNOWN)
    for one in TRAILS:
        for action, sentence in one.actions.items():
            assert re.fullmatch(r"[a-z_]+\.[a-z_]+", action)
            assert sentence.endswith(".")


def test_whatever_continues_a_trail_beside_those_of_initiatives_is_documented() -> None:
    """The actions that a module of the store names are those of its trails; none is left out."""
    named = {
        action
        for path in (ROOT / "countersign" / "store").glob("*.py")
        for action in re.findall(
            r'^[A-Z_]+: Final = "([a-z_]+\.[a-z_]+)"$', path.read_text(encoding="utf-8"), re.M
        )
    }
    assert named - set(ACTIONS) == KNOWN - set(ACTIONS)


def test_the_documentation_is_what_the_code_says() -> None:
    shown = (ROOT / "docs" / "trail.md").read_text(encoding="utf-8")
    assert shown == as_markdown(), "python -m countersign.store.actions > docs/trail.md"
