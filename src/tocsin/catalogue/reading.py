"""Strict reading of YAML: every value knows its line, every fault is collected, nothing is guessed.

Plain YAML turns ``09:00`` into the number 540 and ``no`` into false. Here a scalar stays the text that was written
until somebody asks for a number or a yes, and a key nobody knows is a fault with the nearest known one as a hint.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import yaml

from tocsin.kernel.errors import Unusable, UnusableMany

T = TypeVar("T")

MAX_DEPTH = 40
_YES, _NO = ("true", "yes", "on"), ("false", "no", "off")


class Node:
    """One value of the file. Its readers record a fault and answer with a harmless default where it does not fit."""

    def __init__(
        self, raw: yaml.Node | None, filename: str, faults: list[Unusable], line: int = 1, depth: int = 0
    ) -> None:
        self.raw = raw
        self.filename = filename
        self.faults = faults
        self.line = raw.start_mark.line + 1 if raw is not None else line
        self.depth = depth
        if depth > MAX_DEPTH:
            raise UnusableMany([Unusable("this is nested too deeply: write it flatter", self.where)])

    @property
    def where(self) -> str:
        """``file:line``."""
        return f"{self.filename}:{self.line}"

    @property
    def empty(self) -> bool:
        """Nothing was written (a missing key, ``~`` or ``null``)."""
        return self.raw is None or (isinstance(self.raw, yaml.ScalarNode) and self.raw.tag.endswith(":null"))

    @property
    def is_list(self) -> bool:
        """A list was written."""
        return isinstance(self.raw, yaml.SequenceNode)

    def fault(self, sentence: str) -> None:
        """Records that something is wrong here."""
        self.faults.append(Unusable(sentence, self.where))

    def attempt(self, reader: Callable[[], T], default: T) -> T:
        """``reader()``, or ``default`` after recording why it could not be read."""
        try:
            return reader()
        except Unusable as error:
            self.fault(error.sentence)
            return default

    def mapping(self, known: Collection[str] | None = None, what: str = "this") -> dict[str, Node]:
        """Keys to values; with ``known``, any other key is a fault."""
        if self.empty:
            return {}
        if not isinstance(self.raw, yaml.MappingNode):
            self.fault(f"{what} must be a mapping (key: value)")
            return {}
        found: dict[str, Node] = {}
        for key_node, value_node in self.raw.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            at_key = self._child(key_node)
            if not key:
                at_key.fault("a key must be a plain word")
            elif key in found:
                at_key.fault(f"{key} is written twice: keep one")
            elif known is not None and key not in known:
                at_key.fault(f"{what} has no {key}" + did_you_mean(key, known))
            else:
                found[key] = self._child(value_node)
        return found

    def items(self, what: str = "this") -> list[Node]:
        """The elements of a list; a missing one is empty."""
        if self.empty:
            return []
        if not isinstance(self.raw, yaml.SequenceNode):
            self.fault(f"{what} must be a list")
            return []
        return [self._child(node) for node in self.raw.value]

    def text(self, default: str = "", what: str = "this") -> str:
        """The text as written."""
        if self.empty:
            return default
        if not isinstance(self.raw, yaml.ScalarNode):
            self.fault(f"{what} must be text")
            return default
        value = str(self.raw.value)
        if "\x00" in value:
            self.fault(f"{what} holds a NUL character: remove it")
            return default
        return value.strip()

    def texts(self, what: str = "this") -> tuple[str, ...]:
        """A list of texts; a single text counts as a list of one."""
        return tuple(node.text(what=what) for node in self.scalars(what))

    def scalars(self, what: str = "this") -> list[Node]:
        """The elements of a list of texts, or this node itself where it is a single text."""
        if isinstance(self.raw, yaml.ScalarNode) and not self.empty:
            return [self]
        return self.items(what)

    def integer(self, default: int, low: int, high: int, what: str = "this") -> int:
        """A whole number from ``low`` to ``high``."""
        text = self.text(what=what)
        if not text:
            return default
        if text.removeprefix("-").isdecimal() and len(text) < 12 and low <= int(text) <= high:
            return int(text)
        self.fault(f"{what} must be a whole number from {low} to {high}, not {text}")
        return default

    def boolean(self, default: bool, what: str = "this") -> bool:
        """Yes or no."""
        text = self.text(what=what).casefold()
        if not text:
            return default
        if text in _YES or text in _NO:
            return text in _YES
        self.fault(f"{what} must be true or false, not {text}")
        return default

    def choice(self, default: str, known: Iterable[str], what: str = "this") -> str:
        """One of ``known``."""
        options = tuple(known)
        text = self.text(default, what)
        if text in options:
            return text
        self.fault(f"{what} must be one of {', '.join(options)}, not {text}" + did_you_mean(text, options))
        return default

    def reference(self, known: Collection[str], what: str) -> str:
        """The id of something that exists; empty where nothing was written."""
        text = self.text(what=what)
        if text and text not in known:
            self.fault(f"there is no {what} {text}" + did_you_mean(text, known))
        return text

    def plain(self) -> Any:
        """The value as ordinary Python data, numbers and booleans as YAML understands them."""
        if self.empty:
            return None
        if isinstance(self.raw, yaml.MappingNode):
            return {key: node.plain() for key, node in self.mapping().items()}
        if isinstance(self.raw, yaml.SequenceNode):
            return [node.plain() for node in self.items()]
        text = self.text()
        if self.raw is not None and self.raw.tag.endswith(":bool"):
            return text.casefold() in _YES
        if self.raw is not None and self.raw.tag.endswith(":int") and text.removeprefix("-").isdecimal():
            return int(text)
        return text

    def _child(self, raw: yaml.Node) -> Node:
        return Node(raw, self.filename, self.faults, depth=self.depth + 1)


def missing(parent: Node) -> Node:
    """A node that was not written, standing at its parent's line."""
    return Node(None, parent.filename, parent.faults, parent.line, parent.depth)


class _Loader(yaml.SafeLoader):
    """Composes nodes without aliases: a few lines of them can stand for billions of values."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.composer.ComposerError(
                None, None, "an alias (*name): write the value out", event.start_mark
            )
        return super().compose_node(parent, index)


def read_document(text: str, filename: str) -> Node:
    """The one document of a file. Raises :class:`UnusableMany` where the text is no YAML at all."""
    try:
        raw = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{filename}:{mark.line + 1}" if mark else filename
        raise UnusableMany(
            [Unusable(f"this is not valid YAML: {error.problem or error.context}", where)]
        ) from None
    except yaml.YAMLError as error:
        raise UnusableMany([Unusable(f"this is not valid YAML: {error}", filename)]) from None
    except RecursionError:
        raise UnusableMany([Unusable("this is nested too deeply: write it flatter", filename)]) from None
    return Node(raw, filename, [])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` (did you mean …?)`` with the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""
