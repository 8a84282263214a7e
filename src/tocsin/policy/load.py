"""Reading a policy file: strict YAML, every fault with its file and line, all of them at once.

The file is composed to nodes, which know their lines, and turned into plain data by rules of our own: ``true`` and
``false`` are the only truths (``on`` and ``no`` stay words), dates and times stay as written, a key may stand only once.
Anchors, aliases and merge keys work as YAML says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tocsin.kernel.errors import Unusable, UnusableMany
from tocsin.policy.mending import path_of, references_beside
from tocsin.policy.model import Policy
from tocsin.policy.references import references

LARGEST = 1_000_000
"""Bytes of a policy file; a written guide of a hundred pages stays far below."""

MOST_NODES = 50_000
"""Aliases included, so that a small file cannot unfold into a huge one."""

Path = tuple[str | int, ...]

_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ["map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"]
)


class Document:
    """A YAML document as plain data, and where each part of it stands."""

    def __init__(self, text: str, filename: str) -> None:
        self.filename = filename
        self.faults: list[Unusable] = []
        self._lines: dict[Path, int] = {}
        self._nodes = 0
        root = self._compose(text)
        self.data: Any = self._plain(root, (), ()) if root is not None else None

    def where(self, path: Sequence[str | int]) -> str:
        """``file:line`` of the part at ``path``, or of the nearest part around it that there is."""
        return f"{self.filename}:{self._lines[self.nearest(path)]}"

    def nearest(self, path: Sequence[str | int]) -> Path:
        """The longest beginning of ``path`` that stands in the document; steps that are no keys of it are left out."""
        known: Path = ()
        for step in path:
            if (*known, step) in self._lines:
                known = (*known, step)
        return known

    def fault(self, sentence: str, path: Sequence[str | int]) -> None:
        """Notes a fault at the part at ``path``."""
        self.faults.append(Unusable(sentence, self.where(path)))

    def _compose(self, text: str) -> yaml.Node | None:
        if len(text.encode("utf-8", "replace")) > LARGEST:
            raise UnusableMany([Unusable("the policy is larger than 1 MB: that is no policy", self.filename)])
        self._lines[()] = 1
        self._refuse_tabs(text)
        try:
            return yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line = mark.line + 1 if mark else 1
            raise UnusableMany(
                [
                    Unusable(
                        f"this is not valid YAML: {error.problem or error.context}", f"{self.filename}:{line}"
                    )
                ]
            ) from None
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise UnusableMany(
                [
                    Unusable(
                        f"there is a character that YAML does not allow: {error.reason}",
                        f"{self.filename}:{line}",
                    )
                ]
            ) from None
        except RecursionError:
            raise UnusableMany(
                [Unusable("the file is nested too deeply: write it flatter", self.filename)]
            ) from None

    def _refuse_tabs(self, text: str) -> None:
        for number, line in enumerate(text.splitlines(), 1):
            indent = line[: len(line) - len(line.lstrip())]
            if "\t" in indent and line.strip():
                fault = Unusable("the line is indented with a tab: use spaces", f"{self.filename}:{number}")
                raise UnusableMany([fault])

    def _plain(self, node: yaml.Node, path: Path, around: tuple[yaml.Node, ...]) -> Any:
        self._nodes += 1
        self._lines.setdefault(path, node.start_mark.line + 1)
        if any(node is outer for outer in around):
            self._refuse(node, "an alias stands inside what it stands for: write the part out")
        if self._nodes > MOST_NODES:
            self._refuse(node, "aliases unfold to more than 50,000 parts: write less, or use fewer aliases")
        if len(around) > 60:
            self._refuse(node, "the file is nested too deeply: write it flatter")
        if node.tag not in _TAGS:
            self.fault(
                f"the tag {node.tag.removeprefix('tag:yaml.org,2002:')} is not used here: write the value itself",
                path,
            )
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, (*around, node))
        if isinstance(node, yaml.SequenceNode):
            return [
                self._plain(item, (*path, index), (*around, node)) for index, item in enumerate(node.value)
            ]
        if not node.value.isascii() and any("\ud800" <= character <= "\udfff" for character in node.value):
            self._refuse(node, "there is half a character (a lone surrogate): write the whole one")
        return self._scalar(node)

    def _refuse(self, node: yaml.Node, sentence: str) -> None:
        raise UnusableMany([Unusable(sentence, f"{self.filename}:{node.start_mark.line + 1}")])

    def _mapping(self, node: yaml.MappingNode, path: Path, around: tuple[yaml.Node, ...]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        parts: list[yaml.Node] = []
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.faults.append(Unusable("a key must be a word", f"{self.filename}:{line}"))
                continue
            if key.tag == "tag:yaml.org,2002:merge":
                parts += value.value if isinstance(value, yaml.SequenceNode) else [value]
                continue
            name = str(key.value)
            if name in found:
                first = self._lines[(*path, name)]
                sentence = f"the key {name!r} stands twice (first in line {first}): keep one of them"
                self.faults.append(Unusable(sentence, f"{self.filename}:{line}"))
                continue
            self._lines[(*path, name)] = line
            found[name] = self._plain(value, (*path, name), around)
        for part in parts:  # after the keys of the mapping itself, whose lines are the ones to point at
            taken = self._plain(part, path, around)
            if isinstance(taken, dict):
                found = {**taken, **found}
            else:
                line = part.start_mark.line + 1
                self.faults.append(
                    Unusable("<<: takes a mapping, by alias as a rule", f"{self.filename}:{line}")
                )
        return found

    def _scalar(self, node: yaml.Node) -> Any:
        text = str(node.value)
        if not isinstance(node, yaml.ScalarNode) or node.style is not None:
            return text
        if text in ("true", "false"):
            return text == "true"
        if text in ("", "~", "null"):
            return None
        if re.fullmatch(r"[-+]?(0|[1-9]\d{0,17})", text, re.ASCII):
            return int(text)
        if re.fullmatch(r"[-+]?\d{1,15}\.\d{1,15}", text, re.ASCII):
            return float(text)
        return text


@lru_cache(maxsize=2)
def read_document(text: str, filename: str) -> Document:
    """The file, read once for its data and for the lines of what is found in it. Nobody changes what comes back."""
    return Document(text, filename)


def load_policy(text: str, filename: str = "policy.yaml") -> Policy:
    """The policy in ``text``. Raises :class:`UnusableMany`; each fault names ``filename:line`` and how to mend it."""
    document = read_document(text, filename)
    faults = list(document.faults)

    def fault(sentence: str, path: Path) -> None:
        faults.append(Unusable(sentence, document.where(path)))

    policy: Policy | None = None
    if not isinstance(document.data, dict):
        fault("the policy is empty: start from the one that `tocsin policy show` prints", ())
        raise UnusableMany(faults)
    try:
        policy = Policy.model_validate_json(json.dumps(document.data), strict=True)
    except ValidationError as error:
        details = error.errors(include_url=False)
        for detail in details:
            fault(_sentence(detail), path_of(detail))
        default = read_document(default_policy_text(), "default.yaml").data
        for path, sentence in references_beside(document.data, details, default):
            fault(sentence, path)
    else:
        for path, sentence in references(policy):
            fault(sentence, path)
    if policy is None or faults:
        raise UnusableMany(sorted(faults, key=_line))
    return policy


def _line(fault: Unusable) -> int:
    tail = fault.where.rpartition(":")[2]
    return int(tail) if tail.isdigit() else 0


def _sentence(detail: ErrorDetails) -> str:
    """What pydantic found, in words for the writer of the file."""
    path = path_of(detail)
    name = str(path[-1]) if path else "the policy"
    kind, value = detail["type"], detail["input"]
    match kind:
        case "extra_forbidden":
            return f"there is no key {name!r} here: {_did_you_mean(name, path[:-1])}"
        case "missing":
            return f"{_at(path[:-1])} lacks the key {name!r}: add it"
        case "missing_parts" | "duration":
            return f"{detail['msg']}"
        case "value_error":
            return str(detail["msg"]).removeprefix("Value error, ")
        case "string_type":
            return f"{name} must be text, not {_shown(value)}: put it in quotes"
        case "bool_type":
            return f"{name} must be true or false, not {_shown(value)}"
        case "int_type" | "float_type" | "int_from_float":
            return f"{name} must be a number, not {_shown(value)}: write it without quotes"
        case "tuple_type" | "frozen_set_type" | "list_type":
            return f"{name} must be a list, not {_shown(value)}: write it like [one, two]"
        case "dict_type" | "mapping_type" | "model_type" | "model_attributes_type":
            return f"{name} must be a mapping with keys of its own, not {_shown(value)}"
        case "string_too_short" | "too_short":
            return f"{name} is empty: fill it in"
        case "literal_error":
            expected = str((detail.get("ctx") or {}).get("expected", ""))
            return f"{name} cannot be {_shown(value)}: use {expected}"
    return f"{name}: {detail['msg']} (it is {_shown(value)})"


def _at(path: Path) -> str:
    return ".".join(str(step) for step in path) or "the policy"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _did_you_mean(name: str, path: Path) -> str:
    keys = _keys_at(Policy, path)
    close = get_close_matches(name, keys, 1, 0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"the keys are {', '.join(keys)}" if keys else "take it out"


def _keys_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the model knows at ``path``: walked through fields, mappings and lists."""
    here: list[Any] = [model]
    for step in path:
        following: list[Any] = []
        for one in here:
            if isinstance(one, type) and issubclass(one, BaseModel):
                following += [
                    field.annotation
                    for name, field in one.model_fields.items()
                    if step in (name, field.alias)
                ]
            else:
                following.append(one)  # a step into a mapping or a list: what it holds was unwrapped already
        here = [part for annotation in following for part in _models_in(annotation)]
    return [
        field.alias or name
        for one in here
        if isinstance(one, type) and issubclass(one, BaseModel)
        for name, field in one.model_fields.items()
    ]


class _Held:
    """What a mapping or a list holds: one more step of the path leads into it."""

    def __init__(self, model: type[BaseModel]) -> None:
        self.model = model


def _models_in(annotation: Any) -> Iterator[Any]:
    if isinstance(annotation, _Held):
        yield annotation.model
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        origin = getattr(annotation, "__origin__", None)
        contained = origin in (Mapping, tuple, frozenset) or (origin is not None and "apping" in str(origin))
        for part in get_args(annotation):
            for found in _models_in(part):
                yield _Held(found) if contained and not isinstance(found, _Held) else found


def locate(text: str, filename: str, where: str) -> str:
    """``file:line`` of a dotted place such as ``severities.P1.respond``, for findings of the checker."""
    steps = [int(step) if step.isdigit() else step for step in where.split(".")]
    return read_document(text, filename).where(steps)


def canonical(policy: Policy) -> bytes:
    """The policy as canonical JSON (keys sorted): two files that say the same give the same bytes."""
    data = policy.model_dump(mode="json", by_alias=True)
    return json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def policy_hash(text: str | bytes) -> str:
    """SHA-256 of the file as it is, in hexadecimal: versions are kept for ever under it."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def policy_from_bytes(body: bytes, filename: str = "policy.yaml") -> Policy:
    """A stored version, loaded once for each content. Raises as :func:`load_policy` does."""
    return _stored(policy_hash(body), body, filename)


class _Kept:
    """The versions in use, by hash; a hundred is more than any installation has open incidents on."""

    def __init__(self) -> None:
        self.policies: dict[str, Policy] = {}


_kept = _Kept()


def _stored(digest: str, body: bytes, filename: str) -> Policy:
    known = _kept.policies.get(digest)
    if known is None:
        try:
            text = body.decode("utf-8")
        except UnicodeDecodeError as error:
            line = body.count(b"\n", 0, error.start) + 1
            fault = Unusable("the policy is not UTF-8: save it as UTF-8", f"{filename}:{line}")
            raise UnusableMany([fault]) from None
        known = load_policy(text, filename)
        if len(_kept.policies) >= 100:
            _kept.policies.clear()
        _kept.policies[digest] = known
    return known


def default_policy_text() -> str:
    """The policy that a new installation starts with, as it is written."""
    return (files("tocsin.policy") / "default.yaml").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def default_policy() -> Policy:
    """The default policy, loaded once."""
    return policy_from_bytes(default_policy_text().encode(), "default.yaml")
