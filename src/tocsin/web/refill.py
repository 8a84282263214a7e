"""A form that was refused comes back as it was sent: nothing that somebody wrote is lost.

Works on the markup of one form of our own, between its tags. Passwords and one-time codes are never filled in again.
"""

from __future__ import annotations

import html
import re

from markupsafe import Markup
from starlette.datastructures import FormData

_INPUT = re.compile(r"<input\b[^>]*>")
_TEXTAREA = re.compile(r"(<textarea\b[^>]*>)(.*?)(</textarea>)", re.DOTALL)
_SELECT = re.compile(r"(<select\b[^>]*>)(.*?)(</select>)", re.DOTALL)
_OPTION = re.compile(r"<option\b[^>]*>")
_DETAILS = re.compile(r"<details(?![^>]*\bopen\b)")
_KEPT_OUT = ("password",)
_UNSAID = ("csrf", "verb")


class Refused:
    """The form that was refused, and why. ``shown`` once a page has put the sentence where it belongs."""

    def __init__(self, form: FormData, sentence: str) -> None:
        self.form, self.sentence, self.shown = form, sentence, False
        self.verb = str(form.get("verb", ""))

    def fits(self, verb: str, inner: str, only: bool = False) -> bool:
        """Whether the markup is the form that was sent: its verb, and the same values in its hidden fields.

        ``verb`` empty: its buttons carry the verb. ``only``: the page has no other form.
        """
        buttons = f'name="verb" value="{self.verb}"' in inner
        if self.shown or not (only or (verb == self.verb if verb else buttons)):
            return False
        for tag in _INPUT.findall(inner):
            name = _attribute(tag, "name")
            hidden = _attribute(tag, "type") == "hidden" and name not in _UNSAID
            if hidden and _attribute(tag, "value") not in self._sent(name):
                return False
        self.shown = True
        return True

    def fill(self, inner: str) -> Markup:
        """The markup with the values that were sent, its sections open."""
        self._used: dict[str, int] = {}
        filled = _INPUT.sub(self._input, inner)
        filled = _TEXTAREA.sub(self._textarea, filled)
        filled = _SELECT.sub(self._select, filled)
        return Markup(_DETAILS.sub("<details open", filled))

    def _sent(self, name: str) -> list[str]:
        return [value.replace("\r\n", "\n") for value in self.form.getlist(name) if isinstance(value, str)]

    def _next(self, name: str) -> str:
        """What was sent in this field; of several with the same name each gets its own."""
        sent, at = self._sent(name), self._used.get(name, 0)
        self._used[name] = at + 1
        return sent[min(at, len(sent) - 1)]

    def _input(self, found: re.Match[str]) -> str:
        tag, kind, name = found[0], _attribute(found[0], "type"), _attribute(found[0], "name")
        if not name or name in _UNSAID or kind in ("hidden", *_KEPT_OUT) or "one-time-code" in tag:
            return tag
        if kind in ("checkbox", "radio"):
            bare = re.sub(r"\schecked\b", "", tag)
            chosen = _attribute(tag, "value") in self._sent(name)
            return bare[:-1] + " checked>" if chosen else bare
        if not self._sent(name):
            return tag
        bare = re.sub(r'\svalue="[^"]*"', "", tag)
        return f'{bare[:-1]} value="{html.escape(self._next(name))}">'

    def _textarea(self, found: re.Match[str]) -> str:
        name = _attribute(found[1], "name")
        return f"{found[1]}\n{html.escape(self._next(name))}{found[3]}" if self._sent(name) else found[0]

    def _select(self, found: re.Match[str]) -> str:
        name = _attribute(found[1], "name")
        if not self._sent(name):
            return found[0]
        sent = self._sent(name) if "multiple" in found[1] else [self._next(name)]

        def option(one: re.Match[str]) -> str:
            bare = re.sub(r"\sselected\b", "", one[0])
            return bare[:-1] + " selected>" if _attribute(bare, "value") in sent else bare

        return found[1] + _OPTION.sub(option, found[2]) + found[3]


def _attribute(tag: str, name: str) -> str:
    found = re.search(rf'\s{name}="([^"]*)"', tag)
    return html.unescape(found[1]) if found else ""


def opened(page: str) -> str:
    """The page with every section open in which a refused form says what is wrong."""
    at = page.find('role="alert" tabindex')
    if at < 0:
        return page
    around: list[int] = []
    for tag in re.finditer(r"<(/?)details\b", page[:at]):
        if tag[1]:
            around.pop()
        else:
            around.append(tag.start())
    for start in reversed(around):
        if not re.match(r"<details[^>]*\bopen\b", page[start:]):
            page = page[: start + 8] + " open" + page[start + 8 :]
    return page
