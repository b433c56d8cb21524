"""On which line each table, key and array element of a TOML text begins; ``tomllib`` itself does not tell."""

from __future__ import annotations

import re
import tomllib
from typing import Final, NamedTuple

Path = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r'''(?P<skip>[ \t\r]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<quoted>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?'{3,5}|"(?:\\.|[^"\\\n])*"|'[^'\n]*')
      | (?P<mark>[\[\]{}=,.])
      | (?P<bare>[^\s"'\#=,\[\]{}.]+)''',
    re.VERBOSE | re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def lines(text: str) -> dict[Path, int]:
    """The line, from 1, of every path in ``text``, which is TOML that ``tomllib`` has read without an error."""
    return _Scan(text).places


class _Scan:
    """One pass over the text. As it is known to be valid, only as much of the grammar as gives the places."""

    def __init__(self, text: str) -> None:
        self.places: dict[Path, int] = {}
        self._tokens: list[_Token] = []
        line = 1
        for match in _TOKEN.finditer(text):
            kind = match.lastgroup or ""
            if kind != "skip":
                self._tokens.append(_Token(kind, match[0], line))
            line += match[0].count("\n")
        self._tokens.append(_Token("end", "", line))
        self._next = 0
        self._last: dict[Path, int] = {}
        self._document()

    def _document(self) -> None:
        table: Path = ()
        while self._peek.kind != "end":
            if self._peek.kind == "newline":
                self._take()
            elif self._peek.text == "[":
                table = self._header()
            else:
                self._entry(table)

    def _header(self) -> Path:
        opening = self._take()
        of_array = self._peek.text == "["
        if of_array:
            self._take()
        names = self._names()
        for _ in range(1 + of_array):
            self._take()
        table: Path = ()
        for position, name in enumerate(names):
            table = (*table, name)
            if of_array and position == len(names) - 1:
                self._last[table] = self._last.get(table, -1) + 1
            if table in self._last:
                self.places.setdefault(table, opening.line)
                table = (*table, self._last[table])
            self.places.setdefault(table, opening.line)
        return table

    def _entry(self, table: Path) -> None:
        line, path = self._peek.line, table
        for name in self._names():
            path = (*path, name)
            self.places.setdefault(path, line)
        self._take()  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        if self._peek.text == "[":
            self._array(path)
        elif self._peek.text == "{":
            self._take()
            while self._skip_to("}"):
                self._entry(path)
        else:
            while self._peek.kind not in ("newline", "end") and self._peek.text not in (",", "]", "}"):
                self._take()

    def _array(self, path: Path) -> None:
        self._take()
        index = 0
        while self._skip_to("]"):
            self.places[(*path, index)] = self._peek.line
            self._value((*path, index))
            index += 1

    def _skip_to(self, closing: str) -> bool:
        """Whether another element comes before ``closing``, which is taken when none does."""
        while self._peek.kind == "newline" or self._peek.text == ",":
            self._take()
        if self._peek.kind == "end" or self._peek.text == closing:
            self._take()
            return False
        return True

    def _names(self) -> list[str]:
        names = [self._name()]
        while self._peek.text == ".":
            self._take()
            names.append(self._name())
        return names

    def _name(self) -> str:
        token = self._take()
        if token.kind == "quoted":
            return str(tomllib.loads(f"key = {token.text}")["key"])
        return token.text

    @property
    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> _Token:
        token = self._tokens[self._next]
        self._next = min(self._next + 1, len(self._tokens) - 1)
        return token
