"""Matchers as Alertmanager has them: ``=``, ``!=``, ``=~``, ``!~``; a missing label is empty, expressions are anchored.

The written form follows https://prometheus.io/docs/alerting/latest/configuration/#matcher; differences from RE2, and
what keeps an expression from taking for ever, are in :mod:`tocsin.alerts.expressions`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tocsin.alerts.expressions import Budget, compiled
from tocsin.kernel.errors import Unusable

MAX_MATCHERS = 64

_PLAIN = re.compile(r"[A-Za-z_:][A-Za-z0-9_:]*")
_OPERATOR = re.compile(r"=~|!~|!=|=")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}


class Matcher(msgspec.Struct, frozen=True):
    """One condition on one label."""

    name: str
    value: str
    regex: bool = False
    equal: bool = True

    def matches(self, labels: Mapping[str, str], budget: Budget | None = None) -> bool:
        """Whether ``labels`` fit. An expression that would take too long on a value fits nothing, negated or not."""
        value = labels.get(self.name, "")
        if not self.regex:
            return (value == self.value) == self.equal
        fits = compiled(self.value).fits(value, budget)
        return fits is not None and fits == self.equal

    def __str__(self) -> str:
        operator = ("=~" if self.equal else "!~") if self.regex else ("=" if self.equal else "!=")
        name = self.name if _PLAIN.fullmatch(self.name) else _quote(self.name)
        return name + operator + _quote(self.value)


def all_match(matchers: Sequence[Matcher], labels: Mapping[str, str], budget: Budget | None = None) -> bool:
    """Whether every matcher fits; expressions are asked last, because they cost most."""
    return all(one.matches(labels) for one in matchers if not one.regex) and all(
        one.matches(labels, budget) for one in matchers if one.regex
    )


def check_matchers(matchers: Iterable[Matcher], where: str = "matchers") -> list[Matcher]:
    """The matchers, each with a name and a usable expression; raises :class:`Unusable`."""
    found = list(matchers)
    if len(found) > MAX_MATCHERS:
        raise Unusable(f"there are {len(found)} matchers; {MAX_MATCHERS} are the most", where)
    for index, matcher in enumerate(found):
        if not matcher.name:
            raise Unusable(
                "a matcher has no label name; name the label it looks at", f"{where}[{index}].name"
            )
        if matcher.regex:
            compiled(matcher.value)
    return found


def from_json(value: Any, where: str = "$.matchers") -> list[Matcher]:
    """Matchers as Alertmanager's API v2 writes them: ``[{"name", "value", "isRegex", "isEqual"}]``."""
    if not isinstance(value, list):
        raise Unusable("matchers must be a list of objects with name, value and isRegex", where)
    found = []
    for index, item in enumerate(value):
        at = f"{where}[{index}]"
        if not isinstance(item, dict):
            raise Unusable("a matcher must be an object with name, value and isRegex", at)
        for name, kind, word in (
            ("name", str, "text"),
            ("value", str, "text"),
            ("isRegex", bool, "true or false"),
        ):
            if not isinstance(item.get(name), kind):
                raise Unusable(f"{name} in a matcher must be {word}", f"{at}.{name}")
        equal = item.get("isEqual")
        if equal is not None and not isinstance(equal, bool):
            raise Unusable("isEqual in a matcher must be true or false", f"{at}.isEqual")
        found.append(Matcher(item["name"], item["value"], item["isRegex"], equal is not False))
    return check_matchers(found, where)


def to_json(matchers: Iterable[Matcher]) -> list[dict[str, Any]]:
    """The same, the other way."""
    return [{"name": m.name, "value": m.value, "isRegex": m.regex, "isEqual": m.equal} for m in matchers]


def parse_matchers(text: str, where: str = "matchers") -> list[Matcher]:
    """Reads ``{a="b", c=~"d|e"}``; braces, blanks, quotes and a comma at the end may be left out as in amtool."""
    inner = text.strip()
    inner = inner.removeprefix("{").removesuffix("}").strip()
    pieces = _split(inner)
    if pieces and not pieces[-1].strip():
        pieces.pop()
    return check_matchers([parse_matcher(piece, where) for piece in pieces], where)


def parse_matcher(text: str, where: str = "matchers") -> Matcher:
    """Reads one matcher: ``name="value"``. A name in quotes may hold any character."""
    raw = text.strip()
    if raw.startswith('"'):
        name, rest = _quoted(raw, text, where)
        rest = rest.lstrip()
    else:
        cut = min((found.start() for found in _OPERATOR.finditer(raw)), default=len(raw))
        name, rest = raw[:cut].strip(), raw[cut:]
    operator = _OPERATOR.match(rest)
    plain = raw.startswith('"') or not any(letter in name for letter in "{}!=~,\\\"'` \t\n")
    if operator is None or not name or not plain:
        raise Unusable(f'{text.strip()[:80]!r} is not a matcher: write it like severity="critical"', where)
    value = rest[operator.end() :].strip()
    if value.startswith('"'):
        value, tail = _quoted(value, text, where)
        if tail.strip():
            raise Unusable(f"{text.strip()[:80]!r} has text after its closing quote; remove it", where)
    elif '"' in value:
        raise Unusable(f"{text.strip()[:80]!r} has a quote inside its value; quote the whole value", where)
    return Matcher(name, value, operator[0] in ("=~", "!~"), operator[0] in ("=", "=~"))


def _split(text: str) -> list[str]:
    """Cuts at the commas outside quotes."""
    pieces, start, inside, escaped = [], 0, False, False
    for index, letter in enumerate(text):
        if escaped:
            escaped = False
        elif letter == "\\":
            escaped = True
        elif letter == '"':
            inside = not inside
        elif letter == "," and not inside:
            pieces.append(text[start:index])
            start = index + 1
    pieces.append(text[start:])
    return pieces


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _quoted(raw: str, text: str, where: str) -> tuple[str, str]:
    """The text within the quotes that ``raw`` begins with, escapes undone, and what follows."""
    found: list[str] = []
    index = 1
    while index < len(raw):
        letter = raw[index]
        if letter == '"':
            return "".join(found), raw[index + 1 :]
        if letter == "\\" and index + 1 < len(raw):
            index += 1
            found.append(_ESCAPES.get(raw[index], "\\" + raw[index]))
        else:
            found.append(letter)
        index += 1
    raise Unusable(f"{text.strip()[:80]!r} has no closing quote; add it", where)
