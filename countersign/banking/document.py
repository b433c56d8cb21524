"""Reading XML of others: nothing is expanded, nothing is fetched, and what is missing has a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, cast

from lxml import etree

from countersign.domain.errors import RuleBroken
from countersign.domain.text import clean

_BLANKS: Final = re.compile("[ \t\r\n]+")


class _Builder:
    """Builds the tree, and stops at a DOCTYPE before anything in it is read, or where it gets too deep.

    Comments and processing instructions are left out: one inside a number would cut its text in two.
    """

    def __init__(self, depth: int) -> None:
        self._tree = etree.TreeBuilder()
        self._depth, self._left = depth, depth
        self.refusal: str | None = None

    def doctype(self, name: str | None, public: str | None, system: str | None) -> None:
        self._refuse("a DOCTYPE and its entities are not taken")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if self._left < 0:
            self._refuse(f"elements are nested more than {self._depth} deep")
        self._tree.start(tag, attributes)

    def end(self, tag: str) -> None:
        self._left += 1
        self._tree.end(tag)

    def data(self, text: str) -> None:
        self._tree.data(text)

    def close(self) -> etree._Element:
        return self._tree.close()

    def _refuse(self, why: str) -> None:
        # lxml closes the tree on the way out and raises what closing raises, so the reason is kept here as well.
        self.refusal = self.refusal or why
        raise RuleBroken("invalid", self.refusal)


def read(data: bytes, size: int, depth: int) -> etree._Element:
    """The root element of the XML document ``data``: at most ``size`` bytes, at most ``depth`` elements deep.

    Raises:
        RuleBroken: ``too_large``, or ``invalid`` when it is not well formed, has a DOCTYPE or is too deep.
    """
    if len(data) > size:
        raise RuleBroken("too_large", f"the file has more than {size} bytes")
    builder = _Builder(depth)
    parser = etree.XMLParser(
        # lxml calls the methods that are there; its type stubs would have all that there could be.
        target=cast("Any", builder),
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=False,
    )
    try:
        root: etree._Element | None = etree.fromstring(data, parser)
    except (etree.LxmlError, AssertionError, LookupError, ValueError, RuleBroken):
        root = None
    if builder.refusal is not None:
        raise RuleBroken("invalid", builder.refusal)
    if root is None:
        raise RuleBroken("invalid", "not a well-formed XML document, or not all of one")
    return root


@dataclass(frozen=True, slots=True)
class Node:
    """An element, the namespace its children are sought in, and where it is, for whoever has to find the fault."""

    element: etree._Element
    namespace: str
    where: str

    def all(self, name: str) -> list[Node]:
        """The children of that name, in their order."""
        found = self.element.findall(f"{{{self.namespace}}}{name}")
        several = len(found) > 1
        return [
            Node(one, self.namespace, f"{self.where}/{name}" + (f"[{index}]" if several else ""))
            for index, one in enumerate(found, start=1)
        ]

    def maybe(self, *names: str) -> Node | None:
        """What is at the end of the path of names, if it is there.

        Raises:
            RuleBroken: ``invalid`` when one of the names is there more than once.
        """
        node = self
        for name in names:
            found = node.all(name)
            if len(found) > 1:
                raise RuleBroken("invalid", f"{node.where}/{name} is there more than once")
            if not found:
                return None
            node = found[0]
        return node

    def one(self, *names: str) -> Node:
        """What is at the end of the path of names.

        Raises:
            RuleBroken: ``invalid`` when one of the names is missing, or there more than once.
        """
        node = self
        for name in names:
            child = node.maybe(name)
            if child is None:
                raise RuleBroken("invalid", f"{node.where}/{name} is missing")
            node = child
        return node

    def text(self, limit: int) -> str:
        """The text on one line, without blanks around it: one character at least, ``limit`` at most.

        Raises:
            RuleBroken: ``invalid`` when it is empty or too long, or has elements or control characters in it.
        """
        if len(self.element):
            raise RuleBroken("invalid", f"{self.where} has elements where text belongs")
        text = _BLANKS.sub(" ", self.element.text or "").strip(" ")
        if not 0 < len(text) <= limit:
            raise RuleBroken("invalid", f"{self.where} is empty or longer than {limit} characters")
        try:
            return clean(text)
        except ValueError as error:
            raise RuleBroken("invalid", f"{self.where}: {error}") from None

    def attribute(self, name: str) -> str:
        """The attribute's value.

        Raises:
            RuleBroken: ``invalid`` when it is missing.
        """
        value = self.element.get(name)
        if value is None:
            raise RuleBroken("invalid", f"{self.where}/@{name} is missing")
        return _BLANKS.sub(" ", value).strip(" ")
