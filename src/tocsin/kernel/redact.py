"""Secrets appear in no log, page, error or export: one place that masks what looks like one."""

from __future__ import annotations

import re

MASK = "•••"

_PATTERNS = (
    re.compile(r"(?i)\b(authorization\s*[:=]\s*)(bearer|basic|geniekey)?\s*[^\s\"',;]+"),
    re.compile(
        r"(?i)(\b(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|routing[_-]?key|service[_-]?key)\b[\"']?\s*[:=]\s*[\"']?)([^\s\"',;&}]+)"
    ),
    re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)([^\s@/]+)(@)"),
    re.compile(r"(/(?:a|in/[a-z0-9_-]+|in/reply/[a-z]+)/)([A-Za-z0-9_-]{16,})"),
    re.compile(r"\b(xox[abprs]-|gh[pousr]_|sk_live_|AKIA)[A-Za-z0-9-]{8,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----", re.DOTALL),
)


def mask(text: str) -> str:
    """``text`` with what looks like a password, token or key replaced by ``•••``."""
    text = _PATTERNS[0].sub(lambda match: f"{match[1]}{MASK}", text)
    text = _PATTERNS[1].sub(lambda match: f"{match[1]}{MASK}", text)
    text = _PATTERNS[2].sub(lambda match: f"{match[1]}{MASK}{match[3]}", text)
    text = _PATTERNS[3].sub(lambda match: f"{match[1]}{MASK}", text)
    text = _PATTERNS[4].sub(lambda match: f"{match[1]}{MASK}", text)
    return _PATTERNS[5].sub(MASK, text)
