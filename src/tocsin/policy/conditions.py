"""The conditions of severity rules, and patterns that cannot be made to run for ever.

A pattern is a regular expression of a safe kind: no look-around, no back-references, no repeats or alternatives inside a repeat, and a
bounded amount of work (see :data:`BUDGET`), because what it is matched against is written by strangers. It is matched
anywhere in the text, without regard to letter case, against the first :data:`LONGEST` characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from re import _constants as ops  # type: ignore[attr-defined]  # the parse tree tells what a pattern can cost
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from tocsin.kernel.errors import Unusable
from tocsin.policy.screen import needed
from tocsin.policy.terms import Terms

Fact = str | int | bool
Facts = Mapping[str, Fact]

FACTS: dict[str, Literal["text", "number", "yes or no"]] = {
    "summary": "text",
    "sender_severity": "text",
    "service": "text",
    "component": "text",
    "type": "text",
    "subtype": "text",
    "state": "text",
    "users_affected_percent": "number",
    "error_rate_percent": "number",
    "latency_ms": "number",
    "tenants": "number",
    "security": "yes or no",
    "data_exposed": "yes or no",
}
"""What rules may ask about, and of which form it is; ``label.NAME`` (any label of an alert) may be of any form."""

LONGEST = 1_000
"""How many characters of a text a pattern looks at."""

BUDGET = 5_000
"""How many ways through a pattern there may be from one place in the text; ``.*`` alone is :data:`LONGEST` of them."""


class Condition(Terms):
    """One question about the facts, or several joined with ``all``, ``any`` or ``not``.

    A question names a ``fact`` and one comparison: ``equals``, ``one_of``, ``matches`` (texts, without regard to letter
    case), ``above``, ``at_least``, ``below`` (numbers). A fact that nobody offered answers no to everything.
    """

    fact: str | None = None
    equals: bool | int | float | str | None = None
    one_of: tuple[str, ...] | None = Field(None, min_length=1)
    matches: str | None = None
    above: float | None = None
    at_least: float | None = None
    below: float | None = None
    all: tuple[Condition, ...] | None = Field(None, min_length=1)
    any: tuple[Condition, ...] | None = Field(None, min_length=1)
    not_: Condition | None = Field(None, alias="not")

    @field_validator("matches")
    @classmethod
    def _safe(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                pattern(value)
            except Unusable as error:
                raise ValueError(error.sentence) from None
        return value

    @field_validator("fact")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value not in FACTS and not (value.startswith("label.") and value[6:]):
            known = ", ".join(FACTS)
            raise ValueError(f"there is no fact {value!r}: use one of {known}, or label.NAME")
        return value

    @model_validator(mode="after")
    def _one_form(self) -> Condition:
        joined = [name for name in ("all", "any", "not_") if getattr(self, name) is not None]
        asked = [name for name in COMPARISONS if getattr(self, name) is not None]
        if len(joined) == 1 and not asked and self.fact is None:
            return self
        if joined or self.fact is None or len(asked) != 1:
            raise ValueError(
                "a condition is either a fact with one comparison (equals, one_of, matches, above, at_least, below) "
                "or one of all, any, not"
            )
        form = FACTS.get(self.fact)
        if asked[0] in ("above", "at_least", "below") and form in ("text", "yes or no"):
            raise ValueError(f"{self.fact} is {form}: compare it with equals, one_of or matches")
        if asked[0] in ("one_of", "matches") and form in ("number", "yes or no"):
            raise ValueError(f"{self.fact} is a {form}, not a text: compare it with equals, above or below")
        return self


def asked(**parts: object) -> Condition:
    """A condition made in the program: ``asked(fact="state", equals="down")``, ``asked(all=(one, other))``."""
    return Condition.model_validate(parts)


COMPARISONS = ("equals", "one_of", "matches", "above", "at_least", "below")


def holds(condition: Condition, facts: Facts) -> bool:
    """Whether ``condition`` is true of ``facts``."""
    return test_of(condition)(facts)


def test_of(condition: Condition) -> Callable[[Facts], bool]:
    """The function that says whether ``condition`` is true of facts, for conditions that are asked again and again."""
    if condition.all is not None:
        return _joined([test_of(part) for part in condition.all], True)
    if condition.any is not None:
        return _joined([test_of(part) for part in condition.any], False)
    if condition.not_ is not None:
        other = test_of(condition.not_)
        return lambda facts: not other(facts)
    assert condition.fact is not None
    name = condition.fact
    if condition.matches is not None:
        return _matches(name, condition.matches)
    true_of = _comparison(condition)

    def test(facts: Facts) -> bool:
        value = facts.get(name)
        return value is not None and true_of(value)

    return test


def _matches(name: str, wanted: str) -> Callable[[Facts], bool]:
    """Whether a text has a pattern in it, which is what rules ask most: it is searched where it has a word that the pattern needs."""
    search, words = pattern(wanted).search, words_of(wanted)

    def matches(facts: Facts) -> bool:
        value = facts.get(name)
        if value is None:
            return False
        text = str(value)
        if words and text.isascii():  # other letters may be the same as one of a word in ways of their own
            lower = text[:LONGEST].lower()
            for word in words:
                if word in lower:
                    break
            else:
                return False
        return search(text, 0, LONGEST) is not None

    return matches


def _joined(tests: list[Callable[[Facts], bool]], every: bool) -> Callable[[Facts], bool]:
    """Whether all of them hold, or one of them does. Written out: of dozens of rules each is asked of each alert."""

    def joined(facts: Facts) -> bool:
        for test in tests:
            if test(facts) is not every:
                return not every
        return every

    return joined


def _comparison(condition: Condition) -> Callable[[Fact], bool]:
    if condition.one_of is not None:
        texts = frozenset(text.casefold() for text in condition.one_of)
        return lambda value: str(value).casefold() in texts
    if condition.equals is not None:
        wanted = condition.equals
        if isinstance(wanted, str):
            folded = wanted.casefold()
            return lambda value: str(value).casefold() == folded
        return lambda value: _equal(value, wanted)
    above, at_least, below = condition.above, condition.at_least, condition.below

    def compare(value: Fact) -> bool:
        number = number_of(value)
        if number is None:
            return False
        if above is not None:
            return number > above
        if at_least is not None:
            return number >= at_least
        assert below is not None
        return number < below

    return compare


def facts_asked(condition: Condition) -> frozenset[str]:
    """Every fact that the condition asks about."""
    if condition.fact is not None:
        return frozenset((condition.fact,))
    parts = (condition.all or ()) + (condition.any or ()) + ((condition.not_,) if condition.not_ else ())
    return frozenset().union(*(facts_asked(part) for part in parts))


def _equal(value: Fact, wanted: bool | int | float) -> bool:
    if isinstance(wanted, bool):
        return value is wanted or (isinstance(value, str) and value.casefold() == str(wanted).casefold())
    return number_of(value) == wanted


def number_of(value: Fact) -> float | None:
    """A number, also out of a label such as ``12`` or ``12.5 %``; None where there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return float(value)
    shape = _NUMBER.match(value)
    return float(shape[1]) if shape else None


_NUMBER = re.compile(r"\s*(-?\d{1,15}(?:\.\d{1,9})?)\s*%?\s*$", re.ASCII)


@lru_cache(maxsize=4_096)
def pattern(text: str) -> re.Pattern[str]:
    """The compiled pattern; raises :class:`Unusable` where it is no regular expression or not a safe one."""
    try:
        tree = parser.parse(text, re.IGNORECASE)
        work = _work(tree)
        compiled = re.compile(text, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        raise Unusable(f"{text!r} is not a pattern: {error}") from None
    if work > BUDGET:
        raise Unusable(f"{text!r} could take too long: use one .* at most, or bounded gaps such as .{{0,40}}")
    return compiled


@lru_cache(maxsize=4_096)
def words_of(text: str) -> tuple[str, ...]:
    """What a text must have for the pattern to be found in it; see :func:`tocsin.policy.screen.needed`."""
    try:
        return needed(parser.parse(text, re.IGNORECASE))
    except RecursionError:  # nested deeper than this looks, not than it may be
        return ()


def _work(tree: Any, inside: bool = False) -> int:
    """How many ways there are through a parsed pattern, roughly: repeats multiply, alternatives add up."""
    total = 1
    for operation, argument in tree:
        if operation in (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT):
            low, high, body = argument
            if inside:
                raise re.error("a repeat inside a repeat can take for ever")
            ways = 1 + min(int(high), LONGEST) - min(int(low), LONGEST)
            total *= ways * _work(body, inside or high > 1)
        elif operation is ops.BRANCH:
            if inside:
                raise re.error("alternatives inside a repeat can take for ever")
            total *= sum(_work(branch, inside) for branch in argument[1])
        elif operation is ops.SUBPATTERN:
            total *= _work(argument[3], inside)
        elif operation is ops.ATOMIC_GROUP:
            total *= _work(argument, inside)
        elif operation in (ops.ASSERT, ops.ASSERT_NOT):
            raise re.error("look-around is not allowed")
        elif operation in (ops.GROUPREF, ops.GROUPREF_EXISTS):
            raise re.error("back-references are not allowed")
    return min(total, 10**9)
