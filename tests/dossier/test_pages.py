"""The pages of a dossier: readable without the system, and what others wrote is text on them and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

from countersign.domain.audit import AuditEntry
from countersign.domain.facts import ACTIONS
from countersign.runtime.dossier.page import page
from countersign.runtime.dossier.paper import paper
from countersign.runtime.dossier.telling import SENTENCES, sentence
from tests.dossier.conftest import CALLED, HOSTILE
from tests.dossier.test_tampering import trail_of

Files = Callable[[str], Path]


class Seen(HTMLParser):
    """The tags of a page, with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_shows_what_others_wrote_as_text_and_asks_for_nothing(files: Files) -> None:
    text = (files("refused") / "index.html").read_text(encoding="utf-8")
    seen = Seen(text)
    assert HOSTILE in seen.text
    assert CALLED in seen.text
    assert seen.tags.isdisjoint({"script", "img", "link", "iframe", "object", "a", "form"})
    assert not {one for one in seen.attributes if one.startswith("on") or one in ("src", "href")}
    assert "url(" not in text.partition("</style>")[0]
    assert "default-src 'none'" in text


async def test_the_page_tells_who_signed_what_and_what_came_of_it(files: Files) -> None:
    directory = files("closed")
    said = Seen((directory / "index.html").read_text(encoding="utf-8")).text
    for told in (
        "מערכת לגילוי דליפות",
        "Kənd təsərrüfatı üçün gübrə",  # noqa: RUF001 - its own letters
        "il/il-secretariat), for il/il-legal",
        "signed with its key",
        "A message did not count, not_your_office",
        "closed, since",
        "Draft 0",
        "python -I verify.py",
    ):
        assert told in said, told
    entries = [AuditEntry.model_validate(one) for one in trail_of(directory)]
    for entry in entries:
        assert sentence(entry) in said
        assert not re.search(r"[{}\[\]]|\bNone\b", sentence(entry)), sentence(entry)


async def test_every_action_is_told_in_a_sentence() -> None:
    assert SENTENCES.keys() == ACTIONS.keys()


async def test_the_pages_for_print_are_pdf_a_and_dated_as_the_record_is(files: Files) -> None:
    for name in ("closed", "refused"):
        directory = files(name)
        pages = (directory / "index.pdf").read_bytes()
        assert pages.startswith(b"%PDF-")
        assert b"pdfaid:part>2<" in pages or b'pdfaid:part="2"' in pages
        year = trail_of(directory)[-1]["at"][:4]
        assert f"D:{year}".encode() in pages


async def test_a_character_that_no_font_has_makes_plain_pages_and_no_failure() -> None:
    told = {
        "reference": "T-1",
        "stage": "active",
        "as_of": "2027-01-01 00:00 UTC",
        "date": "2027-01-01",
        "titles": [{"language": "ja", "text": "水漏れ検知 \U0001f4a7", "rtl": False}],
        "sections": [{"title": "What it is", "blocks": [{"text": "#panic() $x$ *b* \\ `"}]}],
    }
    assert paper(told).startswith(b"%PDF-")
    assert "水漏れ検知".encode() in page(told)
