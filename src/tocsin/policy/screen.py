"""What a text must have in it for a pattern to be found there: looked for first, because it is found fast.

A rule's pattern takes a microsecond for each hundred characters or so, and dozens are asked of each alert. Nearly all of them need one
of a few words (``down``, ``outage``), and a text that has none of these need not be searched.
"""

from __future__ import annotations

from re import _constants as ops  # type: ignore[attr-defined]  # the parse tree tells what a pattern needs
from typing import Any

SHORTEST = 2
"""letters of a word that is worth looking for"""
MOST = 64
"""words: to look for more takes as long as the search"""


def needed(tree: Any) -> tuple[str, ...]:
    """Words in lower case of which every ASCII text has one in which the parsed pattern is found, whatever the case of its
    letters; empty where there is no telling.
    """
    return min(_candidates(tree), key=_worth, default=())


def _candidates(tree: Any) -> list[tuple[str, ...]]:
    """Each of these is needed: the runs of letters of a sequence, and what its parts need."""
    found: list[tuple[str, ...]] = []
    run = ""
    for operation, argument in [*tree, (None, None)]:
        if operation is ops.LITERAL and argument < 128:
            run += chr(argument).lower()
            continue
        if operation is ops.AT:  # takes no room: what is before and behind it stands side by side
            continue
        found.append((run,))
        run = ""
        found.append(_of_part(operation, argument))
    return [words for words in found if words and min(map(len, words)) >= SHORTEST]


def _of_part(operation: Any, argument: Any) -> tuple[str, ...]:
    if operation is ops.SUBPATTERN:
        return needed(argument[3])
    if operation is ops.ATOMIC_GROUP:
        return needed(argument)
    if operation in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
        return needed(argument[2]) if argument[0] else ()
    if operation is ops.BRANCH:
        each = [needed(branch) for branch in argument[1]]
        words = {word for words in each for word in words}
        return _shortest(words) if all(each) and len(words) <= MOST else ()
    return ()


def _shortest(words: set[str]) -> tuple[str, ...]:
    """Those that stand for all: where one is in another, that is looked for alone."""
    return tuple(sorted(one for one in words if not any(other in one for other in words if other != one)))


def _worth(words: tuple[str, ...]) -> tuple[int, int]:
    """The fewer the better, and among as many the longer."""
    return len(words), -min(map(len, words))
