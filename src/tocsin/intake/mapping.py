"""The small language that says where a generic JSON body keeps what an alert needs.

A mapping is a table of field → expression. An expression is one or more choices parted by `` | ``; the first that finds
text wins. A choice is

- a path: ``alert.name``, ``$.alerts[0].name``, or a JSON pointer ``/alert/name``; in a body with ``items`` it starts at
  the item, and with ``^.`` at the whole body,
- a text in quotes: ``'no host'``,
- a template: ``{{ host }} is {{ state }}``; it finds nothing where one of its paths finds nothing.

A condition (``resolve``, ``acknowledge``) is an expression alone (it holds unless that finds nothing, ``false`` or ``0``),
or an expression, ``=`` or ``!=``, and texts parted by commas, compared without regard to case.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from tocsin.intake.reading import text_of
from tocsin.kernel.errors import Unusable, UnusableMany

TEXT_FIELDS = (
    "summary", "dedup_key", "severity", "source", "service", "started_at", "source_at", "runbook_url", "dashboard_url",
)  # fmt: skip
CONDITIONS = ("resolve", "acknowledge")
PATHS = ("items", "labels", "details")
PREFIXES = ("labels.", "link.")
MAX_FIELDS = 64
MAX_EXPRESSION = 500
MAX_STEPS = 20

_WIDE = re.compile(r"\t|\s{2,}")
_STEP = re.compile(r"\[(\d{1,6})\]|\.?([^.\[\]]+)")
_TEMPLATE = re.compile(r"\{\{(.*?)\}\}")
_COMPARISON = re.compile(r"^(.*?)\s*(!=|==?)\s*(.*)$", re.DOTALL)
_ORDERED = re.compile(r"\s[<>]\s|!~")

Step = str | int


class Path(msgspec.Struct, frozen=True):
    """Where a value is. ``whole``: from the whole body rather than from the item."""

    steps: tuple[Step, ...]
    whole: bool = False

    def find(self, item: Any, body: Any) -> Any:
        """The value there, or None."""
        value = body if self.whole else item
        for step in self.steps:
            if isinstance(value, dict):
                value = value.get(str(step))
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value


class Choice(msgspec.Struct, frozen=True):
    """Texts and paths in turn; all of them together make the text."""

    parts: tuple[str | Path, ...]

    def text(self, item: Any, body: Any) -> str:
        """The text, or empty where a path finds nothing."""
        found = []
        for part in self.parts:
            piece = part if isinstance(part, str) else text_of(part.find(item, body))
            if not piece and not isinstance(part, str):
                return ""
            found.append(piece)
        return "".join(found).strip()


class Expression(msgspec.Struct, frozen=True):
    """Choices, the first that finds text wins."""

    choices: tuple[Choice, ...]

    def text(self, item: Any, body: Any) -> str:
        """The text, or empty."""
        return next((found for choice in self.choices if (found := choice.text(item, body))), "")

    def values(self, item: Any, body: Any) -> list[Any]:
        """What the paths among the choices find, of whatever kind."""
        paths = [part for choice in self.choices for part in choice.parts if isinstance(part, Path)]
        return [value for path in paths if (value := path.find(item, body)) is not None]


class Condition(msgspec.Struct, frozen=True):
    """Whether an expression's text is one of ``texts`` (or, negated, none of them)."""

    expression: Expression
    texts: tuple[str, ...] = ()
    equal: bool = True

    def holds(self, item: Any, body: Any) -> bool:
        """Whether it does. A text that is missing fits nothing, negated or not."""
        found = self.expression.text(item, body).casefold()
        if not self.texts:
            return found not in ("", "false", "0", "no", "null")
        return bool(found) and (found in self.texts) == self.equal


class Compiled(msgspec.Struct, frozen=True):
    """A mapping that was read and found usable."""

    texts: dict[str, Expression]
    conditions: dict[str, Condition]
    items: Expression | None = None
    labels: Expression | None = None
    details: Expression | None = None
    label: dict[str, Expression] = {}
    link: dict[str, Expression] = {}


def read_mapping(text: str) -> dict[str, str]:
    """A mapping as people write it: one field a line and the expression behind it, parted by blanks; where the text of a link has
    blanks of its own, by two of them or a tab. Lines that are empty or begin with ``#`` are left out. Raises
    :class:`UnusableMany`.
    """
    mapping: dict[str, str] = {}
    faults: list[Unusable] = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        linked = line.startswith("link.") and _WIDE.search(line)
        field, *rest = _WIDE.split(line, maxsplit=1) if linked else line.split(maxsplit=1)
        where = f"line {number}"
        if len(faults) >= MAX_FIELDS:
            break
        if not rest:
            faults.append(Unusable(f"{field[:80]!r} stands alone; write where its value is behind it", where))
        elif field in mapping:
            faults.append(
                Unusable(f"{field[:80]!r} is there twice; part choices by ' | ' in one line", where)
            )
        else:
            mapping[field] = rest[0]
    if faults:
        raise UnusableMany(faults)
    return mapping


def write_mapping(mapping: Mapping[str, str]) -> str:
    """A mapping as :func:`read_mapping` reads it. Blanks inside an expression stay: they may be part of a text."""
    width = max((len(field) for field in mapping), default=0)
    return "\n".join(
        f"{field:{width}}  {' '.join(text.strip().splitlines())}" for field, text in mapping.items()
    )


def compile_mapping(mapping: Mapping[str, str]) -> Compiled:
    """Reads a mapping; raises :class:`UnusableMany` with every fault, each ``where`` naming the field."""
    faults: list[Unusable] = []
    texts: dict[str, Expression] = {}
    conditions: dict[str, Condition] = {}
    paths: dict[str, Expression] = {}
    named: dict[str, dict[str, Expression]] = {"labels.": {}, "link.": {}}
    if len(mapping) > MAX_FIELDS:
        faults.append(Unusable(f"a mapping has at most {MAX_FIELDS} fields", "mapping"))
    for field, text in list(mapping.items())[:MAX_FIELDS]:
        where = f"mapping.{field[:80]}"
        try:
            if field in TEXT_FIELDS:
                texts[field] = expression(text, where)
            elif field in CONDITIONS:
                conditions[field] = condition(text, where)
            elif field in PATHS:
                paths[field] = expression(text, where)
            elif (prefix := next((one for one in PREFIXES if field.startswith(one)), "")) and field != prefix:
                named[prefix][field.removeprefix(prefix)] = expression(text, where)
            else:
                known = ", ".join([*TEXT_FIELDS, *CONDITIONS, *PATHS, "labels.NAME", "link.TEXT"])
                raise Unusable(f"{field[:80]!r} is no field of an alert; the fields are {known}", where)
        except Unusable as fault:
            faults.append(fault)
    if "summary" not in mapping:
        faults.append(
            Unusable("'summary' is missing; say where the body has its one line", "mapping.summary")
        )
    if faults:
        raise UnusableMany(faults)
    return Compiled(texts, conditions, label=named["labels."], link=named["link."], **paths)


def expression(text: str, where: str) -> Expression:
    """Reads an expression; raises :class:`Unusable`."""
    if not isinstance(text, str) or not text.strip():
        raise Unusable("the expression is empty; give a path, a 'text' or a template", where)
    if len(text) > MAX_EXPRESSION:
        raise Unusable(f"the expression is longer than {MAX_EXPRESSION} characters; shorten it", where)
    return Expression(tuple(_choice(piece.strip(), where) for piece in _split(text, "|", where)))


def condition(text: str, where: str) -> Condition:
    """Reads a condition; raises :class:`Unusable`."""
    found = _COMPARISON.match(text) if isinstance(text, str) else None
    ends = (found[1].rstrip().endswith(("<", ">", "~", "!")) or found[3].startswith("~")) if found else False
    if ends or (not found and isinstance(text, str) and _ORDERED.search(text)):
        raise Unusable(
            f"{text[:60]!r} compares with something else than = or !=; name the texts, like status = ok, resolved",
            where,
        )
    if found is None:
        return Condition(expression(text, where))
    words = [_unquoted(word.strip()) for word in _split(found[3], ",", where)]
    if not all(words):
        raise Unusable("a text to compare with is missing; write it like status = ok, resolved", where)
    return Condition(expression(found[1], where), tuple(word.casefold() for word in words), found[2] != "!=")


def _split(text: str, at: str, where: str) -> list[str]:
    """Cuts at ``at`` outside quotes and braces."""
    pieces, start, quote, depth = [], 0, "", 0
    for index, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not depth and not text[start:index].strip():
            quote = letter
        elif text.startswith("{{", index):
            depth = 1
        elif text.startswith("}}", index):
            depth = 0
        elif letter == at and not depth:
            pieces.append(text[start:index])
            start = index + 1
    if quote or depth:
        raise Unusable(f"{text[:60]!r} has an open quote or brace; close it", where)
    return [*pieces, text[start:]]


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _choice(text: str, where: str) -> Choice:
    if not text:
        raise Unusable("there is an empty choice beside a |; remove it", where)
    if text[0] in "'\"":
        if len(text) < 2 or text[-1] != text[0]:
            raise Unusable(f"{text[:60]!r} has text after its closing quote; use a template instead", where)
        return Choice((_unquoted(text),))
    if "{{" not in text:
        return Choice((path(text, where),))
    parts: list[str | Path] = []
    end = 0
    for found in _TEMPLATE.finditer(text):
        if found.start() > end:
            parts.append(text[end : found.start()])
        parts.append(path(found[1].strip(), where))
        end = found.end()
    if text[end:]:
        parts.append(text[end:])
    return Choice(tuple(parts))


def path(text: str, where: str) -> Path:
    """Reads a path, dotted or a JSON pointer; raises :class:`Unusable`."""
    if text.startswith("/"):
        steps: list[Step] = [
            int(step) if step.isascii() and step.isdigit() and len(step) < 7 else step
            for step in (piece.replace("~1", "/").replace("~0", "~") for piece in text[1:].split("/"))
        ]
        return _bounded(steps, False, text, where)
    whole = text.startswith("^")
    rest = text[1:] if text[:1] in ("$", "^") else text
    rest = rest.removeprefix(".")
    steps, at = [], 0
    while at < len(rest):
        found = _STEP.match(rest, at)
        if found is None:
            raise Unusable(f"{text[:60]!r} is not a path; write it like alert.hosts[0].name", where)
        steps.append(int(found[1]) if found[1] else found[2].strip())
        at = found.end()
    if rest.endswith(".") or (not rest and text[:1] not in ("$", "^")):
        raise Unusable(f"{text[:60]!r} is not a path; write it like alert.hosts[0].name", where)
    return _bounded(steps, whole, text, where)


def _bounded(steps: list[Step], whole: bool, text: str, where: str) -> Path:
    if len(steps) > MAX_STEPS:
        raise Unusable(f"the path {text[:60]!r} has more than {MAX_STEPS} steps", where)
    return Path(tuple(steps), whole)
