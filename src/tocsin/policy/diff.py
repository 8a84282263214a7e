"""What a new policy changes for people, in sentences: nothing exactly when both behave the same.

What only people read (titles, meanings, reasons) is reported apart. Who is paged at which hours of the week needs people:
:mod:`tocsin.notify.policy_change`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from tocsin.policy import behaviour
from tocsin.policy.behaviour import Chasing, Clocks, Paging, Telling
from tocsin.policy.calendar import Duration
from tocsin.policy.diff_rest import rest
from tocsin.policy.diff_rules import rules
from tocsin.policy.diff_time import example, working_time
from tocsin.policy.diff_words import messages, words_alone
from tocsin.policy.load import canonical
from tocsin.policy.model import SEVERITIES, Policy
from tocsin.policy.saying import after, every, listed, owed, target, within

CLOCKS, WHO, TOLD, CHASED, TIME, RULES = (
    "Clocks", "Paging", "Telling", "Chasing", "Working time", "Severity rules",
)  # fmt: skip


class Change(msgspec.Struct, frozen=True):
    """One thing that is different. ``about``: the group in which it is shown."""

    about: str
    sentence: str


class Difference(msgspec.Struct, frozen=True):
    """``behaviour``: what changes for people; empty exactly when both behave the same. ``words``: what only people read.

    ``idle``: the files differ in settings that have no effect.
    """

    behaviour: tuple[Change, ...]
    words: tuple[Change, ...]
    idle: bool = False

    @property
    def same(self) -> bool:
        """Whether both policies behave the same."""
        return not self.behaviour


def diff(old: Policy, new: Policy) -> Difference:
    """What changes for people from ``old`` to ``new``, grouped, the most urgent first."""
    groups: tuple[tuple[str, Callable[[Policy, Policy], Iterable[str]]], ...] = (
        (CLOCKS, _clocks), (WHO, _paging), (TOLD, _telling), (CHASED, _chasing), (TIME, _time), (RULES, rules),
        *rest(), ("Messages", messages),
    )  # fmt: skip
    changes = tuple(
        Change(about, sentence) for about, say in groups for sentence in dict.fromkeys(say(old, new))
    )
    words = tuple(Change(about, sentence) for about, sentence in words_alone(old, new))
    return Difference(changes, words, not changes and not words and canonical(old) != canonical(new))


def _time(old: Policy, new: Policy) -> Iterator[str]:
    found = list(working_time(old, new))
    yield from found
    if found:
        yield from example(old, new)


# clocks

_PROMISES = {
    "acknowledge": "is to be acknowledged within {}", "respond": "is to be responded to within {}",
    "resolve": "is to be resolved within {}", "update": "owes an update every {}",
}  # fmt: skip
_SWITCHES: dict[str, dict[object, str]] = {
    "hours": {"always": "is chased day and night", "business": "is chased in business hours"},
    "pausable": {True: "can be paused", False: "cannot be paused"},
    "activate_team": {
        "at_once": "calls its team at once", "proposed": "has its team proposed in one click", "by_hand": "has its team called by hand",
    },
    "war_room": {True: "opens a war room", False: "opens no war room"},
}  # fmt: skip


def _clocks(old: Policy, new: Policy) -> Iterator[str]:
    for name in SEVERITIES:
        one, other = behaviour.clocks(old, name), behaviour.clocks(new, name)
        yield from (f"{name} {sentence}" for sentence in _clock(one, other))


def _clock(one: Clocks, other: Clocks) -> Iterator[str]:
    for key, text in _PROMISES.items():
        before, now = getattr(one, key), getattr(other, key)
        if before != now:
            said = now.said.removeprefix("1 ") if key == "update" else now.said
            yield f"{text.format(said)} instead of {before.said}"
    if one.unsure != other.unsure:
        before, now = (each.unsure[0] if each.unsure else each.acknowledge for each in (one, other))
        if before != now or one.acknowledge == other.acknowledge:
            yield f"is to be acknowledged within {now.said} instead of {before.said} while it is only proposed"
        else:
            yield f"keeps {now.said} to be acknowledged while it is only proposed"
    if one.first_update != other.first_update and (one.first_update, other.first_update) != (
        one.update,
        other.update,
    ):
        yield f"owes its first update within {other.first_update.said} instead of {one.first_update.said}"
    for key, words in _SWITCHES.items():
        before, now = getattr(one, key), getattr(other, key)
        if before != now:
            yield f"{words[now]} instead of: {words[before]}" if key != "hours" else _hours(now)
    if one.stand_ups != other.stand_ups:
        yield f"meets {_stand_ups(other)} instead of {_stand_ups(one)}"


def _hours(now: str) -> str:
    if now == "always":
        return "is chased day and night instead of in business hours"
    return "is chased in business hours instead of day and night"


def _stand_ups(terms: Clocks) -> str:
    if terms.stand_ups is None:
        return "in no stand-up"
    at, days = terms.stand_ups
    return f"at {listed(at)} on {'business days' if days == 'business' else 'every day'}"


# paging


def _paging(old: Policy, new: Policy) -> Iterator[str]:
    for name in SEVERITIES:
        yield from _chain(name, behaviour.paging(old, name), behaviour.paging(new, name), old, new)
    for name in SEVERITIES:
        one, other = behaviour.commander(old, name), behaviour.commander(new, name)
        if one is None and other is not None:
            yield f"{name}: a commander is paged: {_chain_said(other, new)}"
        elif one is not None and other is None:
            yield f"{name}: no commander is paged any more"
        elif one is not None and other is not None:
            yield from _chain(f"{name}, the commander's page", one, other, old, new)
    for key, text in (
        ("page_each_person_at_most_every", "nobody is interrupted more than once in {}"),
        ("link_lives_after_resolved", "the link of a page lives {} after the end"),
    ):
        before, now = getattr(old.paging, key), getattr(new.paging, key)
        if before != now:
            yield f"{text.format(now.said)} instead of {before.said}"


def _chain(whose: str, one: Paging, other: Paging, old: Policy, new: Policy) -> Iterator[str]:
    if one == other:
        return
    found = []
    names = dict.fromkeys(
        name for chain in (one, other) for _, _, targets in chain.steps for name in sorted(targets)
    )
    for name in names:
        before, now = _times(one, name), _times(other, name)
        who = target(name, new, old)
        if before == now:
            continue
        if not now:
            found.append(f"{who} is no longer paged (before: {_times_said(before)})")
        elif not before:
            found.append(f"{who} is paged too, {_times_said(now)}")
        else:
            found.append(f"{who} is paged {_times_said(now)} instead of {_times_said(before)}")
    if one.repeat_every != other.repeat_every:
        found.append(
            f"everybody is paged again {_every(other.repeat_every)} instead of {_every(one.repeat_every)}"
        )
    if one.hours != other.hours:
        found.append(
            "pages wait for business hours"
            if other.hours == "business"
            else "pages no longer wait for business hours"
        )
    if one.digest_to != other.digest_to:
        where = f"goes to {target(other.digest_to, new, old)} in the next digest"
        found.append(f"what is missed {where if other.digest_to else 'is paged again'}")
    if not found:
        found.append(f"who is paged together changes: {_chain_said(other, new)}")
    yield from (f"{whose}: {sentence}" for sentence in found)


def _times(chain: Paging, name: str) -> list[tuple[Duration, bool]]:
    return [(delay, quiet) for delay, quiet, targets in chain.steps if name in targets]


def _times_said(times: list[tuple[Duration, bool]]) -> str:
    return listed([f"{after(delay)}{', quietly' if quiet else ''}" for delay, quiet in times], "and")


def _chain_said(chain: Paging, policy: Policy) -> str:
    return "; ".join(
        f"{after(delay)} {listed([target(name, policy) for name in sorted(targets)], 'and')}"
        for delay, _, targets in chain.steps
    )


def _every(duration: Duration | None) -> str:
    return every(duration) if duration else "never"


def _telling(old: Policy, new: Policy) -> Iterator[str]:
    for name in SEVERITIES:
        one, other = behaviour.telling(old, name), behaviour.telling(new, name)
        if one == other:
            continue
        before = one.targets if one else frozenset()
        now = other.targets if other else frozenset()
        for who in sorted(now - before):
            yield f"{name}: {target(who, new, old)} is told{_when(other)}"
        for who in sorted(before - now):
            yield f"{name}: {target(who, new, old)} is no longer told"
        if one is None or other is None or not before & now:
            continue
        if (one.when, one.unsure_after) != (other.when, other.unsure_after):
            yield f"{name}: those who are told hear of it{_when(other)} instead of{_when(one)}"
        if one.interrupts != other.interrupts:
            yield f"{name}: a notice {'may wake people' if other.interrupts else 'wakes nobody any more'}"


def _when(terms: Telling | None) -> str:
    if terms is None or terms.when == "opened":
        return " at once"
    if terms.unsure_after is None:
        return " once a person declared or confirmed it"
    return (
        f" once a person declared or confirmed it, or {after(terms.unsure_after)} while it is only proposed"
    )


# chasing


def _chasing(old: Policy, new: Policy) -> Iterator[str]:
    before, now = behaviour.chasing(old), behaviour.chasing(new)
    found: dict[tuple[str, str], list[str]] = {}
    for severity, duty in dict.fromkeys((*before, *now)):
        one, other = before.get((severity, duty)), now.get((severity, duty))
        # what is owed here or there alone is told where it is promised
        if one is not None and other is not None:
            for sentence in _chased(one, other, old, new):
                found.setdefault((duty, sentence), []).append(severity)
    for (duty, sentence), severities in found.items():
        which = f" of {listed(severities)}" if any(severities) else ""
        yield f"{owed(duty)}{which} {sentence}"


def _chased(one: Chasing, other: Chasing, old: Policy, new: Policy) -> Iterator[str]:
    if (one.percent, one.before) != (other.percent, other.before):
        yield f"is reminded of {_reminders(other)} instead of {_reminders(one)}"
    if one.every != other.every:
        yield f"is chased {_every(other.every)} instead of {_every(one.every)} once it is late"
    if one.escalates != other.escalates:
        yield f"goes {_goes(other, new, old)} instead of {_goes(one, old, new)} when it stays late"


def _reminders(terms: Chasing) -> str:
    parts = [f"after {percent} % of its time" for percent in terms.percent]
    parts += [
        f"{Duration.elapsed(micros).said} before it is due" for micros in sorted(terms.before, reverse=True)
    ]
    return listed(parts, "and") if parts else "not at all"


def _goes(terms: Chasing, policy: Policy, beside: Policy) -> str:
    if terms.escalates is None:
        return "to nobody else"
    delay, who = terms.escalates
    return f"{within(delay, 'after')} to {target(who, policy, beside)}"
