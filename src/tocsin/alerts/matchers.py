"""Matchers as Alertmanager has them: ``=``, ``!=``, ``=~``, ``!~``; a missing label is empty, expressions are anchored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

import msgspec

from tocsin.kernel.errors import Unusable

MAX_EXPRESSION = 512
_NESTED = re.compile(r"[*+}]\)?[*+{]|\([^)]*[*+][^)]*\)\s*[*+{]")


class Matcher(msgspec.Struct, frozen=True):
    """One condition on one label."""

    name: str
    value: str
    regex: bool = False
    equal: bool = True

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether ``labels`` fit."""
        value = labels.get(self.name, "")
        hit = compiled(self.value).fullmatch(value) is not None if self.regex else value == self.value
        return hit == self.equal


@lru_cache(maxsize=2048)
def compiled(expression: str) -> re.Pattern[str]:
    """The expression, refused where it is too long, wrong, or of a shape that can take for ever."""
    if len(expression) > MAX_EXPRESSION:
        raise Unusable(f"the expression is longer than {MAX_EXPRESSION} characters; shorten it", "matchers")
    if _NESTED.search(expression):
        raise Unusable(
            f"the expression {expression[:60]!r} repeats a repetition, which can take for ever; write it flat",
            "matchers",
        )
    try:
        return re.compile(expression)
    except re.error as error:
        raise Unusable(f"the expression {expression[:60]!r} is not valid: {error}", "matchers") from None


def all_match(matchers: list[Matcher], labels: Mapping[str, str]) -> bool:
    """Whether every matcher fits."""
    return all(matcher.matches(labels) for matcher in matchers)
