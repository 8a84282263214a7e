"""What an alert says beside its summary, as its incident shows it: labels, details and links, masked and clipped.

A sender decides how much that is, so each alert has a bounded number of rows of bounded length, and only as much is looked
at as can be shown.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from tocsin.alerts.shape import AlertBody, clip
from tocsin.kernel.codec import encode
from tocsin.kernel.redact import MASK, mask

ALERTS = 20
"""alerts of an incident whose content is shown"""
ROWS = 100
"""rows of one alert"""
LENGTH = 2000
"""characters of one value"""
LABEL = 100
"""characters of a label beyond which it is read as a text"""
PARTS = 300
"""values that are looked at in the details of one alert, however deep they stand"""


class Content(msgspec.Struct):
    """What one alert says. ``id`` stays the same from one look at the page to the next. ``links``: address, text."""

    id: str
    labels: list[tuple[str, str]]
    details: list[tuple[str, str]]
    links: list[tuple[str, str]]
    more: int = 0
    """rows that are left out"""


def content_of(key: str, body: AlertBody) -> Content | None:
    """Labels, details and links of the alert that ``key`` names; None where it has none."""
    told = {name for name, value in body.labels.items() if is_told(body, name, value)}
    labels = [
        (shortened(name), value_of(name, value)) for name, value in body.labels.items() if name not in told
    ]
    masking = Masking()
    details: list[tuple[str, str]] = []
    unseen = 0
    for number, (name, value) in enumerate(body.details.items()):
        for path, part in _rows(name, value):
            if part in ("", None) or (path not in told and _is_label(body, path, part)):
                continue
            details.append((shortened(path), written(masking.of(part, is_secret(path)))))
        if not masking.room:
            unseen = len(body.details) - number - 1
            break
    links = []
    for link in body.links:
        text, address = mask(link.text), mask(link.href)
        if address == link.href:
            links.append((link.href, text or "Link"))
        else:  # it leads nowhere without its secret
            details.append((text or "Link", address))
    if not (labels or details or links):
        return None
    more = max(0, len(labels) - ROWS) + max(0, len(details) - ROWS) + unseen
    seed = hashlib.sha256(key.encode()).hexdigest()[:12]
    return Content(f"content-{seed}", labels[:ROWS], details[:ROWS], links, more)


def is_told(body: AlertBody, name: str, value: str) -> bool:
    """Whether a label is a text to be read, such as a description: it stands among the details, of which it is one as well."""
    return (len(value) > LABEL or "\n" in value) and isinstance(body.details.get(name), str)


def _is_label(body: AlertBody, name: str, value: Any) -> bool:
    """PagerDuty's details are the alert's labels as well: once is enough."""
    return name in body.labels and not isinstance(value, dict | list) and written(value) == body.labels[name]


def _rows(name: str, value: Any) -> list[tuple[str, Any]]:
    """A detail as it is, or one row for each of its parts where all of them are plain: annotations are read one by one."""
    plain = isinstance(value, dict) and not any(isinstance(part, dict | list) for part in value.values())
    if not plain or is_secret(name):
        return [(name, value)]
    return [(f"{name}.{inner}", part) for inner, part in value.items()]


class Masking:
    """Copies a value without its secrets, those too that only the name over them gives away."""

    def __init__(self) -> None:
        self.room = PARTS

    def of(self, value: Any, secret: bool = False) -> Any:
        """``value`` as it may be shown; what there is no room for is ``…``."""
        if not self.room:
            return "…"
        if secret:
            self.room -= 1
            return MASK
        if isinstance(value, dict):
            return {shortened(str(key)): self.of(part, is_secret(str(key))) for key, part in self._first(value.items())}  # fmt: skip
        if isinstance(value, list):
            return [self.of(part) for part in self._first(value)]
        self.room -= 1
        return shortened(value) if isinstance(value, str) else value

    def _first(self, parts: Any) -> list[Any]:
        return list(parts)[: self.room + 1]


def is_secret(name: str) -> bool:
    """Whether what stands under this name is masked wherever it is written."""
    asked = f"{name[-100:]}=x"
    return mask(asked) != asked


def value_of(name: str, value: str) -> str:
    """The value of a label as it may be shown."""
    return MASK if is_secret(name) else shortened(value)


def shortened(text: str) -> str:
    """What may be shown of a text. More is looked at than is shown, so that a secret that the cut goes through is still seen."""
    return clip(mask(text[: 2 * LENGTH]), LENGTH)


def written(value: Any) -> str:
    """A value as text: words as they are, anything nested as indented JSON."""
    if isinstance(value, str):
        return value
    return clip(msgspec.json.format(encode(value), indent=2).decode(), LENGTH)
