"""Secrets appear in no log, page, error or export: one place that masks what looks like one.

Every pattern is bounded or begins where the one before it ended, so that a text of *n* characters costs about *n* steps,
whatever a stranger wrote into it.
"""

from __future__ import annotations

import re

MASK = "•••"

_NAMES = (
    "password|passwd|passphrase|pwd|secret|token|credential|api[_-]?key|access[_-]?key|routing[_-]?key|service[_-]?key|"
    "private[_-]?key|signing[_-]?key|integration[_-]?key"
)
_IS = r"[A-Za-z0-9_-]{0,24}\\{0,3}[\"']?\s{0,8}[:=]\s{0,8}"
"""From a secret's name to its value: the rest of the name (``token2``), a quote (escaped, in JSON within JSON), a sign."""

_PATTERNS = (
    # Authorization: Bearer …, "Authorization":"Basic …"
    (
        r"(?i)(authorization\\{0,3}[\"']?\s{0,8}[:=]\s{0,8}\\{0,3}[\"']?)(?:(?:bearer|basic|geniekey|token)\s{1,8})?"
        r"[^\s\"',;\\]+",
        rf"\1{MASK}",
    ),
    (r"(?i)\b((?:bearer|geniekey)\s{1,8})[A-Za-z0-9._~+/=-]{16,}", rf"\1{MASK}"),
    # password: "with blanks", in JSON within JSON too, then without quotes
    (rf"(?i)((?:{_NAMES}){_IS})\"(?:[^\"\\]|\\.)*(\"?)", rf'\1"{MASK}\2'),
    (rf"(?i)((?:{_NAMES}){_IS})'[^']*('?)", rf"\1'{MASK}\2"),
    (rf"(?i)((?:{_NAMES}){_IS}\\+[\"'])[^\"'\\]*", rf"\1{MASK}"),
    (rf"(?i)((?:{_NAMES}){_IS})(?![\"'\\•{{\[])[^\s\"',;&}}\\]+", rf"\1{MASK}"),
    # scheme://user:password@host
    (r"(?i)((?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,30}://[^\s:/@]{0,256}:)[^\s@/]{1,512}@", rf"\1{MASK}@"),
    # keys in Tocsin's own addresses
    (r"(/(?:a|report|sign-in|in/[a-z0-9_-]{1,64}|in/reply/[a-z]{1,16})/)[A-Za-z0-9_-]{16,}", rf"\1{MASK}"),
    # what vendors, and Tocsin, begin their tokens with
    (r"\b(xox[abprs]-|gh[pousr]_|github_pat_|glpat-|sk_live_|toc_|AKIA)[A-Za-z0-9_-]{8,}", rf"\1{MASK}"),
    (r"(?<![A-Za-z0-9_.-])(eyJ)[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?", rf"\1{MASK}"),
)  # fmt: skip
_RULES = tuple((re.compile(pattern), replacement) for pattern, replacement in _PATTERNS)

_BEGIN = re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")
_END = re.compile(r"-----END [A-Z ]{0,40}PRIVATE KEY-----")


def mask(text: str) -> str:
    """``text`` with what looks like a password, token or key replaced by ``•••``."""
    if not text:  # as most fields are
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _without_private_keys(text)


def shown(text: str, most: int = 60) -> str:
    """At most ``most`` characters of what a stranger wrote, masked: for errors that say back what was wrong.

    More is looked at than is shown, so that a secret that the cut goes through is still seen for what it is.
    """
    return mask(text[: 4 * most])[:most]


def _without_private_keys(text: str) -> str:
    """A key whose end was cut off is one too: everything after its beginning goes."""
    pieces, at = [], 0
    while (begin := _BEGIN.search(text, at)) is not None:
        end = _END.search(text, begin.end())
        pieces += [text[at : begin.start()], MASK]
        at = len(text) if end is None else end.end()
    return "".join([*pieces, text[at:]])
