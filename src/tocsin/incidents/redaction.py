"""Which fields of facts hold what people and senders wrote, and how those words, and copies of them, are taken out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import msgspec

from tocsin.incidents import facts as f
from tocsin.kernel.facts import Fact

WORDS = frozenset({
    "title", "summary", "text", "note", "notes", "reason", "how", "criteria", "links", "description", "override", "break_glass",
    "detected_by",
})  # fmt: skip
"""Fields of facts that hold what somebody, or a sender, wrote."""
MORE_WORDS: dict[str, frozenset[str]] = {
    "report_attached": frozenset({"by"}), "measured": frozenset({"source"}), "message_sent": frozenset({"to"}),
    "alerts": frozenset({"source", "sender_url", "runbook_url", "dashboard_url"}),
}  # fmt: skip
"""Further ones of a fact type, or within a field."""
ALL_WORDS = "values"
"""the field within which every text is somebody's: what they say of the impact"""
NO_WORDS = {"report_attached": frozenset({"how"})}
GONE = "[redacted]"
COPIED = 8
"""from how many letters on the same words are looked for within others; fewer count where they are all that is said"""
CUT = 60
"""by its first letters a longer text is known again where it was cut short"""


def without_words(fact: Fact) -> tuple[dict[str, Any], list[str]] | None:
    """The body of a fact with every word in it replaced, all that duties and figures read kept; and those words.

    None where none is left.
    """
    return _without(fact, lambda text: GONE)


def without_copies(fact: Fact, words: Collection[str]) -> dict[str, Any] | None:
    """The body of a fact with copies of ``words`` replaced; None where it holds none."""
    found = _without(fact, lambda text: without(text, words))
    return found[0] if found else None


def without(text: str, words: Collection[str]) -> str:
    """A text with copies of ``words`` in it replaced, those that were cut short included."""
    for word in words:
        if len(word) < COPIED:
            text = GONE if text.strip() == word else text
        elif word in text:
            text = text.replace(word, GONE)
        elif len(word) > CUT and (at := text.find(word[:CUT])) >= 0:
            text = text[:at] + GONE
    return text


def _without(fact: Fact, change: Callable[[str], str]) -> tuple[dict[str, Any], list[str]] | None:
    body = f.read(fact)
    if body is None or isinstance(body, f.AlertsCleared | f.Redacted):
        return None
    before = msgspec.to_builtins(body)
    taken: dict[str, None] = {}
    after: dict[str, Any] = _walked(before, fact.type, change, taken)
    return (after, [one for one in taken if one.strip() and one != GONE]) if after != before else None


def _walked(value: Any, within: str, change: Callable[[str], str], taken: dict[str, None]) -> Any:
    """``value`` with its words changed; ``taken`` gathers those that were."""
    if isinstance(value, list | tuple):
        return [_walked(part, within, change, taken) for part in value]
    if not isinstance(value, dict):
        return value
    fields = (WORDS | MORE_WORDS.get(within, frozenset())) - NO_WORDS.get(within, frozenset())
    found = {}
    for key, part in value.items():
        said = key in fields or within == ALL_WORDS
        found[key] = _changed(part, change, taken) if said else _walked(part, key, change, taken)
    return found


def _changed(part: Any, change: Callable[[str], str], taken: dict[str, None]) -> Any:
    if isinstance(part, str):
        after = change(part) if part else part
        if after != part:
            taken[part.strip()] = None
        return after
    if isinstance(part, list | tuple):  # links: those that say something are left out
        kept = [one for one in part if _changed_all(one, change) == _flat(one)]
        taken.update(dict.fromkeys(text for one in part if one not in kept for text in _flat(one)))
        return kept
    return part


def _flat(one: Any) -> list[str]:
    return [str(text) for text in one] if isinstance(one, list | tuple) else [str(one)]


def _changed_all(one: Any, change: Callable[[str], str]) -> list[str]:
    return [change(text) if text else text for text in _flat(one)]
