"""``index.html``: the story on one page that needs nothing beside it; what others wrote is text on it, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

_STYLE: Final = (Path(__file__).parent / "index.css").read_text(encoding="utf-8")


_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_FIXED: Final = frozenset({"entry", "at", "no.", "since", "until", "due"})
_HASH: Final = 64


def page(story: dict[str, Any]) -> bytes:
    """The page. There are no scripts in it and no addresses, and its policy would let none work."""
    return "\n".join(_lines(story)).encode()


def _lines(story: dict[str, Any]) -> Iterator[str]:
    reference = escape(story["reference"])
    yield f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{reference}: the dossier</title>'
    yield f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<style>{_STYLE}</style>\n</head>\n<body>\n<header><div>"
    yield f"<p>Dossier of {reference}, as of {escape(story['as_of'])}</p>"
    for one in story["titles"]:
        yield f'<h1 dir="auto" lang="{escape(one["language"])}">{escape(one["text"])}</h1>'
    yield f'<span class="stage">{escape(story["stage"])}</span>\n</div></header>\n<main>'
    for section in story["sections"]:
        yield f"<section>\n<h2>{escape(section['title'])}</h2>"
        for block in section["blocks"]:
            yield from _block(block)
        yield "</section>"
    yield "<footer>Made from the record; README.txt says what the files beside this page are.</footer>"
    yield "</main>\n</body>\n</html>\n"


def _block(block: dict[str, Any]) -> Iterator[str]:
    if "heading" in block:
        yield f"<h3>{escape(block['heading'])}</h3>"
    elif "text" in block:
        yield f'<p dir="auto">{escape(block["text"])}</p>'
    elif "facts" in block:
        yield "<dl>"
        for label, value in block["facts"]:
            yield f"<dt>{escape(label)}</dt><dd{_class(label, value)} dir=auto>{escape(value)}</dd>"
        yield "</dl>"
    else:
        heads = "".join(f"<th>{escape(one)}</th>" for one in block["columns"])
        yield f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>"
        for row in block["rows"]:
            cells = zip(block["columns"], row, strict=True)
            told = (f"<td{_class(name, one)} dir=auto>{escape(one)}</td>" for name, one in cells)
            yield f"<tr>{''.join(told)}</tr>"
        yield "</tbody>\n</table>"


def _class(name: str, value: str) -> str:
    if is_hash(value):
        return ' class="hash"'
    return ' class="fixed"' if name in _FIXED and len(value) < 24 else ""


def is_hash(value: str) -> bool:
    """Whether a cell holds a hash and nothing else."""
    plain = value.removeprefix("sha256:")
    return len(plain) == _HASH and all(c in "0123456789abcdef" for c in plain)
