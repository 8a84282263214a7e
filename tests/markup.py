"""What is wrong with the markup of a page: what browsers mend in silence, each in its way."""

from __future__ import annotations

import re
from html.parser import HTMLParser

VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"))  # fmt: skip
BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "details", "dialog", "div", "dl", "fieldset", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "main", "nav", "ol", "p", "pre", "section", "table", "ul",
))  # fmt: skip
PHRASING = frozenset(("a", "b", "button", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "kbd", "label", "p", "pre", "small", "span", "strong", "time"))  # fmt: skip
"""elements that hold words and no blocks; an ``a`` may hold what its parent may, and none of ours does"""
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,3})?)?Z")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.faults: list[str] = []

    def fault(self, what: str) -> None:
        self.faults.append(f"line {self.getpos()[0]}: {what}, within {' '.join(self.open[-4:])}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)
        if tag not in VOID and "svg" not in self.open:
            self.fault(f"<{tag}/> closes nothing")

    def _seen(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if len(values) < len(attrs):
            self.fault(f"<{tag}> has an attribute twice")
        if (id := values.get("id")) is not None:
            if id in self.ids or not id or " " in id:
                self.fault(f"id {id!r} is no name of one element")
            self.ids.add(id)
        if tag == "time" and not MOMENT.fullmatch(values.get("datetime") or ""):
            self.fault(f"datetime {values.get('datetime')!r} is no moment")
        if tag in BLOCKS and self.open and self.open[-1] in PHRASING:
            self.fault(f"<{tag}> stands where only words may")
        if tag in ("a", "button", "form", "label") and tag in self.open:
            self.fault(f"<{tag}> in another")

    def handle_endtag(self, tag: str) -> None:
        if self.open and self.open[-1] == tag:
            self.open.pop()
            return
        self.fault(f"</{tag}> closes nothing")
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def faults(page: str) -> list[str]:
    """Tags that do not fit each other, blocks among words, names given twice, moments that are none."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.faults + [f"<{tag}> is never closed" for tag in reader.open]
