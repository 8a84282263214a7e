"""What conditions have to do with each other: does one imply another, do both ask the same, can one ever hold?

Conditions see the facts through their own questions alone. So the facts of the world fall into finitely many *cells*, each
a set of questions that are answered yes; within a cell no condition can tell two worlds apart. Comparing conditions is
looking at cells. Patterns are taken to be independent of each other unless they are spelled alike (see :func:`pattern_key`),
so an implication that is claimed is certain, and one between two patterns that only a person would see is not claimed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations, pairwise, product
from re import _constants as ops  # type: ignore[attr-defined]  # the parse tree tells which patterns are the same
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from tocsin.policy.conditions import FACTS, Condition, number_of, pattern

Question = tuple[str, str, Any]
"""(fact, comparison, with what), in one spelling"""
Cell = frozenset[Question]

MOST_CELLS = 200_000
"""Combinations that are looked at before it is left open; a rule of a dozen questions has some thousand."""
MOST_PATTERNS = 10
"""Patterns about one text before it is left open: each doubles the cells."""


class _Open(Exception):
    """There are too many cells to decide."""


def implies(one: Condition, other: Condition) -> bool:
    """Whether ``other`` certainly holds wherever ``one`` does."""
    return _implies(_written(one), _written(other))


def equivalent(one: Condition, other: Condition) -> bool:
    """Whether both certainly hold of the same facts."""
    return _written(one) == _written(other) or (implies(one, other) and implies(other, one))


def _written(condition: Condition) -> str:
    """The condition as text: unlike the condition itself, it tells ``1`` from ``true``."""
    return condition.model_dump_json(by_alias=True, exclude_none=True)


@lru_cache(maxsize=4_096)
def _implies(one: str, other: str) -> bool:
    try:
        return _first(*(Condition.model_validate_json(each, strict=True) for each in (one, other))) is None
    except _Open:
        return one == other


def possible(condition: Condition) -> bool:
    """Whether there can be facts of which it holds; certain where it answers no."""
    try:
        return any(_holds(condition, cell) for cell in _cells(condition))
    except _Open:
        return True


def difference(one: Condition, other: Condition) -> str:
    """Facts of which ``one`` holds and ``other`` does not, in words; empty where there are none, or none was found."""
    try:
        cell = _first(one, other)
    except _Open:
        return ""
    return said(cell) if cell is not None else ""


def sample(condition: Condition) -> str:
    """Facts of which it holds, in words; empty where there are none, or too many ways to look at."""
    try:
        return next((said(cell) for cell in _cells(condition) if _holds(condition, cell)), "")
    except _Open:
        return ""


def said(cell: Cell) -> str:
    """A cell in words: what the facts are like."""
    shown = {"equals": "is", "number": "is", "above": "above", "at_least": "at least", "below": "below"}
    parts: list[str] = []
    exact = {fact for fact, asked, _ in cell if asked in ("equals", "number")}
    for fact, asked, value in sorted(cell, key=lambda one: (one[0], one[1], str(one[2]))):
        if asked == "matches":
            parts.append(f"{fact} matching {_spelled[value]}" if fact not in exact else "")
        elif asked in ("equals", "number") or fact not in exact:
            parts.append(f"{fact} {shown[asked]} {_figure(value)}")
    return " and ".join(part for part in parts if part) or "nothing known"


def _figure(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def questions(condition: Condition) -> Iterator[Question]:
    """Every question of a condition, each alternative of ``one_of`` by itself."""
    for part in (*(condition.all or ()), *(condition.any or ())):
        yield from questions(part)
    if condition.not_ is not None:
        yield from questions(condition.not_)
    if condition.fact is not None:
        yield from _asked(condition)


def _asked(condition: Condition) -> Iterator[Question]:
    fact = condition.fact or ""
    if condition.matches is not None:
        yield fact, "matches", pattern_key(condition.matches)
    for text in condition.one_of or ():
        yield fact, "equals", text.casefold()
    if condition.equals is not None:
        wanted = condition.equals
        if isinstance(wanted, int | float) and not isinstance(wanted, bool):
            yield fact, "number", float(wanted)
        else:
            yield fact, "equals", str(wanted).casefold()
    for name in ("above", "at_least", "below"):
        limit = getattr(condition, name)
        if limit is not None:
            yield fact, name, float(limit)


def _holds(condition: Condition, cell: Cell) -> bool:
    if condition.all is not None:
        return all(_holds(part, cell) for part in condition.all)
    if condition.any is not None:
        return any(_holds(part, cell) for part in condition.any)
    if condition.not_ is not None:
        return not _holds(condition.not_, cell)
    return any(question in cell for question in _asked(condition))


def _first(one: Condition, other: Condition) -> Cell | None:
    """A cell of which ``one`` holds and ``other`` does not, with as few facts known as possible."""
    return next((cell for cell in _cells(one, other) if _holds(one, cell) and not _holds(other, cell)), None)


def _cells(*conditions: Condition) -> Iterator[Cell]:
    """Every cell of these conditions, those with few known facts first. Raises :class:`_Open`."""
    asked: dict[str, set[Question]] = {}
    for condition in conditions:
        for question in questions(condition):
            asked.setdefault(question[0], set()).add(question)
    kinds = {fact: _kinds(fact, frozenset(those)) for fact, those in asked.items()}
    seen = 0
    for known in range(len(kinds) + 1):
        for facts in combinations(sorted(kinds), known):
            for parts in product(*(kinds[fact] for fact in facts)):
                seen += 1
                if seen > MOST_CELLS:
                    raise _Open
                yield frozenset().union(*parts)


@lru_cache(maxsize=4_096)
def _kinds(fact: str, asked: frozenset[Question]) -> tuple[Cell, ...]:
    """The ways in which one fact can be known, as the questions that it answers with yes; at least one each."""
    form = FACTS.get(fact, "any")
    keys = sorted({value for _, how, value in asked if how == "matches"}, key=str)
    if len(keys) > MOST_PATTERNS:
        raise _Open
    matching = [
        frozenset((fact, "matches", key) for key in chosen)
        for size in range(len(keys) + 1)
        for chosen in combinations(keys, size)
    ]
    found: dict[Cell, None] = {}
    for text in sorted({value for _, how, value in asked if how == "equals"}):
        also = {(fact, "matches", key) for key in keys if pattern(_spelled[key]).search(text)}
        found[frozenset({(fact, "equals", text), *also, *_numeric(asked, number_of(text))})] = None
    for number in _numbers(asked, whole=form == "number"):
        for matches in matching:
            found[_numeric(asked, number) | matches] = None
    if form in ("text", "any"):
        found.update(dict.fromkeys(matching))
    return tuple(cell for cell in found if cell)


def _numeric(asked: frozenset[Question], number: float | None) -> Cell:
    if number is None:
        return frozenset()
    compare = {
        "number": lambda limit: number == limit, "above": lambda limit: number > limit,
        "at_least": lambda limit: number >= limit, "below": lambda limit: number < limit,
    }  # fmt: skip
    return frozenset(one for one in asked if one[1] in compare and compare[one[1]](one[2]))


def _numbers(asked: frozenset[Question], *, whole: bool) -> list[float]:
    """Numbers on, between and beyond all limits. ``whole``: facts that are counted, so nothing lies between 1 and 2."""
    limits = sorted({value for _, how, value in asked if how in ("number", "above", "at_least", "below")})
    if not limits:
        return []
    if whole:
        return sorted({float(int(limit) + by) for limit in limits for by in (-1, 0, 1)})
    between = [(low + high) / 2 for low, high in pairwise(limits)]
    return sorted({limits[0] - 1, *limits, *between, limits[-1] + 1})


# patterns

_spelled: dict[object, str] = {}
"""a pattern for each key, to show and to search with"""


@lru_cache(maxsize=4_096)
def pattern_key(text: str) -> object:
    """The same for patterns that differ in groups, the order of alternatives, letter case or greed alone."""
    key = _trimmed(_tree(parser.parse(text, re.IGNORECASE)))
    _spelled.setdefault(key, text)
    return key


def _tree(parsed: Any) -> tuple[Any, ...]:
    found: list[Any] = []
    for operation, argument in parsed:
        if operation in (ops.LITERAL, ops.NOT_LITERAL):
            found.append((str(operation), chr(argument).lower()))
        elif operation is ops.IN:
            found.append(("in", frozenset(_item(item) for item in argument)))
        elif operation is ops.BRANCH:
            found.append(("one of", frozenset(_tree(branch) for branch in argument[1])))
        elif operation is ops.SUBPATTERN and not argument[1] and not argument[2]:
            found += _tree(argument[3])
        elif operation in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            low, high, body = argument
            found.append(("repeat", int(low), int(high), _tree(body)))
        else:
            found.append((str(operation), str(argument)))
    return tuple(found)


def _item(item: Any) -> Any:
    operation, argument = item
    return (str(operation), chr(argument).lower() if operation is ops.LITERAL else str(argument))


def _trimmed(tree: tuple[Any, ...]) -> tuple[Any, ...]:
    """Without what is free at either end: a pattern is looked for anywhere, so ``.*down`` is ``down``."""
    if len(tree) == 1 and tree[0][0] == "one of":
        return (("one of", frozenset(_trimmed(branch) for branch in tree[0][1])),)
    parts = list(tree)
    for end in (0, -1):
        while parts and parts[end][0] == "repeat" and parts[end][1] == 0:
            parts.pop(end)
        if parts and parts[end][0] == "repeat":
            _, low, _, body = parts.pop(end)
            fewest = body * low if low <= 8 else (("repeat", low, low, body),)
            parts = [*fewest, *parts] if end == 0 else [*parts, *fewest]
    return tuple(parts)
