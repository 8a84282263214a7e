"""What people read otherwise: messages, which count as behaviour, and the words of the policy itself, which do not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import SequenceMatcher

from tocsin.policy import behaviour
from tocsin.policy.behaviour import Message
from tocsin.policy.cells import possible
from tocsin.policy.diff_rules import matched
from tocsin.policy.model import AUDIENCES, Policy
from tocsin.policy.saying import listed, words


def messages(old: Policy, new: Policy) -> Iterator[str]:
    """Each change of a message once, with all audiences that read it."""
    before, now = behaviour.messages(old), behaviour.messages(new)
    found: dict[tuple[str, str], list[str]] = {}
    for template, audience in before:
        for sentence in _message(before[template, audience], now[template, audience]):
            found.setdefault((template, sentence), []).append(audience)
    for (template, sentence), audiences in found.items():
        to = "everybody" if len(audiences) == len(AUDIENCES) else listed(audiences)
        yield f"the {words(template)} to {to} {sentence}"


def _message(one: Message, other: Message) -> Iterator[str]:
    if one.subject != other.subject:
        yield f"has the subject {other.subject!r} instead of {one.subject!r}"
    yield from _lines(one.text.splitlines(), other.text.splitlines())
    if one.text != other.text and one.text.splitlines() == other.text.splitlines():
        yield "ends its lines otherwise"
    for name in dict.fromkeys((*one.fallbacks, *other.fallbacks, *one.always, *other.always)):
        before, now = _reads(one, name), _reads(other, name)
        if before and now and before != now:
            yield f"reads {now} instead of {before} {_blank(name)}"


def _blank(name: str) -> str:
    return f"in the blank {words(name)}"


def _reads(message: Message, name: str) -> str:
    if name in message.always:
        return f"{message.always[name]!r} always"
    return f"{message.fallbacks[name]!r} when nothing is known" if name in message.fallbacks else ""


def _lines(before: list[str], now: list[str]) -> Iterator[str]:
    for kind, low, high, start, end in SequenceMatcher(None, before, now, autojunk=False).get_opcodes():
        old, new = " / ".join(before[low:high]), " / ".join(now[start:end])
        if kind == "replace":
            yield f"says {new!r} instead of {old!r}"
        elif kind == "delete":
            yield f"no longer says {old!r}"
        elif kind == "insert":
            yield f"says {new!r} too"


def words_alone(old: Policy, new: Policy) -> Iterator[tuple[str, str]]:
    """(group, sentence) for everything that only readers of the policy notice."""
    before, now = dict(_texts(old)), dict(_texts(new))
    for place in dict.fromkeys((*before, *now)):
        one, other = before.get(place), now.get(place)
        if one == other:
            continue
        where = " ".join(place)
        if one is None or other is None:
            yield place[0], f"{where} is {'new' if one is None else 'gone'}"
        else:
            yield place[0], f"{where} reads {other!r} instead of {one!r}"
    pairs, _, _ = matched(old, new)
    for rule, renamed in pairs:
        if rule.name != renamed.name:
            yield "rules", f"the rule {rule.name!r} is called {renamed.name!r}"
        if (rule.reason or rule.name) != (renamed.reason or renamed.name):
            yield (
                "rules",
                f"the reason of the rule {renamed.name!r} reads {renamed.reason or renamed.name!r} instead of {rule.reason or rule.name!r}",
            )
    order = [rule.name for rule in old.rules], [rule.name for rule in new.rules]
    if order[0] != order[1] and sorted(order[0]) == sorted(order[1]):
        yield "rules", "rules stand in another order: of several with one severity, the first is named"
    for policy, what in ((old, "gone"), (new, "new")):
        beside = {rule.name for rule in (new if policy is old else old).rules}
        for rule in policy.rules:
            if rule.name not in beside and not possible(rule.when):
                yield "rules", f"the rule {rule.name!r}, which never fires, is {what}"
    if list(old.outside.components) != list(new.outside.components) and set(old.outside.components) == set(
        new.outside.components
    ):
        yield "components", "the status page lists its components in another order"


def _texts(policy: Policy) -> Iterator[tuple[tuple[str, ...], str]]:
    """(place, text): the texts of the policy that only people read."""
    yield ("governance", "title"), policy.governance.title
    yield ("governance", "version"), policy.governance.version
    yield from _part("positions", policy.positions)
    for name, severity in policy.severities.items():
        yield from _part("severities", {"name": severity.name, "meaning": severity.meaning}, name)
    for name, kind in policy.types.items():
        yield from _part("types", {"name": kind.name, "hits": _list(kind.hits)}, name)
        yield from _part("types", kind.subtypes, name)
    for name, role in policy.roles.items():
        yield from _part("roles", {
            "name": role.name, "purpose": role.purpose, "tasks": _list(role.tasks), "tools": _list(role.tools),
            "channels": _list(role.channels), "rotation": role.rotation or "",
        }, name)  # fmt: skip
    for name, channel in policy.channels.items():
        yield from _part("channels", {"name": channel.name, "purpose": channel.purpose}, name)
    for name, component in policy.outside.components.items():
        yield from _part("components", {"name": component.name, "description": component.description}, name)
    yield from _part("parties", {name: party.name for name, party in policy.outside.parties.items()})
    if policy.continuity is not None:
        yield from _part(
            "continuity", {name: plan.name for name, plan in policy.continuity.plans.items()}, "plans"
        )
        yield from _part(
            "continuity", {name: one.name for name, one in policy.continuity.hearing.items()}, "hearing"
        )
    yield from _part("blanks", {name: blank.meaning for name, blank in policy.blanks.items()})
    for name in ("immediate", "short_term", "long_term"):
        action = policy.actions.category(name)
        yield from _part("actions", {"name": action.name, "purpose": action.purpose}, name)


def _part(group: str, texts: Mapping[str, str], of: str = "") -> Iterator[tuple[tuple[str, ...], str]]:
    for key, text in texts.items():
        yield ((group, of, key) if of else (group, key)), text


def _list(parts: Iterable[str]) -> str:
    return ", ".join(parts)
