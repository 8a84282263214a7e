"""Regular expressions from strangers, bounded: how much work an expression can make is known before it is run.

Python's ``re`` tries alternatives one after the other, so a short expression can take for ever on a short text. Instead
of a timer, this module reads the expression first and counts. A text of *n* characters costs at most about
``branches × C(n + loops, loops)`` steps, where *loops* is how many unbounded repetitions follow each other and *branches*
how many ways the optional parts and alternatives give. Repeating what itself varies (``(a+)+``, ``(a|b)*``) is refused,
as is whatever RE2, the engine of Prometheus and Alertmanager, does not know: look-around and back-references.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import NamedTuple

from tocsin.kernel.errors import Unusable

MAX_EXPRESSION = 512
MAX_BRANCHES = 10_000
MAX_LOOPS = 5
MAX_STEPS = 20_000
"""that one expression may take on one text"""
BATCH_STEPS = 20_000_000
"""that all expressions together may take for one batch or one question: some tenths of a second"""
_ENDLESS = 1_000_000_000

_REPEAT = re.compile(r"\{(\d*)(,?)(\d*)\}")
_GROUP = re.compile(r"\?(?:P?<[A-Za-z_]\w*>|[ims]*:)")
_FLAGS = re.compile(r"\(\?[ims]+\)")


class _Shape(NamedTuple):
    """``branches``: ways to match, besides loops; ``loops``: unbounded repetitions in a row."""

    branches: int
    loops: int

    @property
    def varies(self) -> bool:
        return self.branches > 1 or self.loops > 0


class Budget:
    """The steps that a batch has left: a thousand alerts times a thousand silences must not hold up everybody else's."""

    __slots__ = ("left", "spent")

    def __init__(self, steps: int = BATCH_STEPS) -> None:
        self.left = steps
        self.spent = False
        """whether something was not asked for want of steps"""

    def take(self, steps: int) -> bool:
        """Whether so many steps are left; they are then gone."""
        if steps > self.left:
            self.spent = True
            return False
        self.left -= steps
        return True


class Expression:
    """A compiled expression, anchored at both ends; ``.`` fits no line's end, as in Alertmanager."""

    __slots__ = ("_pattern", "_shape", "text")

    def __init__(self, text: str, pattern: re.Pattern[str], shape: _Shape) -> None:
        self.text, self._pattern, self._shape = text, pattern, shape

    def steps(self, length: int) -> int:
        """The most steps a text of ``length`` characters can take."""
        return self._shape.branches * math.comb(length + self._shape.loops, self._shape.loops)

    def fits(self, value: str, budget: Budget | None = None) -> bool | None:
        """Whether the whole of ``value`` fits; None where finding out could take too long, or ``budget`` has nothing left."""
        steps = self.steps(len(value)) if self._shape.varies else 1
        if steps > MAX_STEPS or (budget is not None and not budget.take(steps)):
            return None
        return self._pattern.fullmatch(value) is not None


@lru_cache(maxsize=4096)
def compiled(text: str) -> Expression:
    """The expression; raises :class:`Unusable` where it is too long, wrong, or of a shape that could take for ever."""
    if len(text) > MAX_EXPRESSION:
        raise Unusable(
            f"the expression is {len(text)} characters long; keep it under {MAX_EXPRESSION}, or use several matchers",
            "matchers",
        )
    if "[[" in text or "[^[" in text:
        raise Unusable(
            f"the expression {text[:60]!r} has a class within a class, such as [[:digit:]]; write [0-9], or \\[ for a bracket",
            "matchers",
        )
    try:
        pattern = re.compile(text, re.ASCII)
    except (re.error, ValueError, OverflowError, RecursionError, FutureWarning) as error:
        raise Unusable(
            f"the expression {text[:60]!r} is not valid: {error}. Mend it, or quote what is meant literally",
            "matchers",
        ) from None
    reader = _Reader(text)
    shape = reader.alternatives(top=True)
    if shape.loops > MAX_LOOPS or shape.branches > MAX_BRANCHES:
        raise reader.refusal("has too many repetitions or alternatives one after the other")
    return Expression(text, pattern, shape)


class _Reader:
    """Reads a *valid* expression once, from left to right."""

    def __init__(self, text: str) -> None:
        flags = _FLAGS.match(text)
        self.text, self.at = text, flags.end() if flags else 0

    def refusal(self, why: str) -> Unusable:
        return Unusable(
            f"the expression {self.text[:60]!r} {why}, which could take for ever; write it flat, or use several matchers",
            "matchers",
        )

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def alternatives(self, top: bool = False) -> _Shape:
        branches, loops = 0, 0
        while True:
            one = self._sequence(top)
            branches, loops = branches + one.branches, max(loops, one.loops)
            if self.peek() != "|":
                return _Shape(branches, loops)
            self.at += 1

    def _sequence(self, top: bool) -> _Shape:
        branches, loops = 1, 0
        while (first := self.peek()) and first not in "|)":
            start = self.at
            atom = self._quantified(self._atom())
            if top and self.text[start : self.at] in (".*", ".+") and self.peek() in ("", "|"):
                continue  # it takes the rest at once and never turns back
            branches, loops = branches * atom.branches, loops + atom.loops
            if branches > MAX_BRANCHES:
                raise self.refusal("has too many alternatives one after the other")
        return _Shape(branches, loops)

    def _atom(self) -> _Shape:
        first = self.peek()
        self.at += 1
        if first == "\\":
            if self.peek().isdigit():
                raise self.refusal("refers back to what it found")
            self.at += 1
        elif first == "[":
            self._class()
        elif first == "(":
            return self._group()
        return _Shape(1, 0)

    def _class(self) -> None:
        if self.peek() == "^":
            self.at += 1
        if self.peek() == "]":
            self.at += 1
        while self.peek() != "]":
            self.at += 2 if self.peek() == "\\" else 1
        self.at += 1

    def _group(self) -> _Shape:
        if self.peek() == "?":
            form = _GROUP.match(self.text, self.at)
            if form is None:
                raise self.refusal("looks around or has a condition")
            self.at = form.end()
        inside = self.alternatives()
        self.at += 1
        return inside

    def _quantified(self, atom: _Shape) -> _Shape:
        while True:
            lowest, highest = self._quantifier()
            if highest == -1:
                return atom
            if highest > 1 and atom.varies:
                raise self.refusal("repeats a repetition")
            if highest > 1 and highest != lowest:
                atom = _Shape(atom.branches, atom.loops + 1)
            elif highest != lowest:
                atom = _Shape(atom.branches + 1, atom.loops)

    def _quantifier(self) -> tuple[int, int]:
        """The least and most repetitions of the quantifier that stands here; (1, -1) where none does."""
        first = self.peek()
        if first and first in "*+?":
            self.at += 1
            found = (0, 1) if first == "?" else (0, _ENDLESS)
        elif first == "{" and (form := _REPEAT.match(self.text, self.at)) and (form[1] or form[2]):
            self.at = form.end()
            low = int(form[1] or 0)
            found = (low, low if not form[2] else int(form[3] or _ENDLESS))
        else:
            return (1, -1)
        if self.peek() == "?":  # a lazy quantifier finds the same, in another order
            self.at += 1
        return found
