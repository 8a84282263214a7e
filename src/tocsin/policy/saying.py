"""Parts of the policy in the words that differences and the readable guide use."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from tocsin.policy.calendar import Duration
from tocsin.policy.finding import words
from tocsin.policy.model import Policy

__all__ = ["after", "compared", "every", "listed", "owed", "target", "way", "which", "within", "words"]

_OWED = {
    "acknowledge": "an acknowledgement", "respond": "a response", "resolve": "a resolution", "update": "an update",
    "stand_up": "a stand-up", "message": "a message outside", "post_mortem": "a step of the post-mortem",
    "first_steps": "a step of the first response", "validation": "the validation of a recovery",
    "continuity": "word on a plan of continuity", "action": "an action", "action_status": "the status of an action",
    "action_verification": "the verification of an action", "policy_review": "the review of the policy",
}  # fmt: skip


_WAYS = {
    "status_page": "the status page", "customer_mail": "mail to customers", "in_app": "the customers' application",
    "social_media": "social media", "stakeholders": "messages to stakeholders", "investors": "messages to investors",
    "partners": "messages to partners", "media": "messages to the media", "update": "an update on the incident",
}  # fmt: skip


def way(channel: str) -> str:
    """By which way something is told."""
    return _WAYS.get(channel, words(channel))


def listed(parts: Sequence[str], last: str = "and") -> str:
    """``one``, ``one and two``, ``one, two and three``."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def owed(duty: str) -> str:
    """A kind of duty with its article."""
    return _OWED.get(duty, words(duty))


def which(severity: str, kinds: Collection[str], known: Collection[str]) -> str:
    """``a P1``, or ``a P3 of type data or security`` where it is not for every one of the types ``known``."""
    if len(kinds) == len(known):
        return f"a {severity}"
    return f"a {severity} of type {listed([words(kind) for kind in kinds], 'or')}"


def compared(
    text: str, before: Iterable[str], now: Iterable[str], shown: Callable[[str], str] = str
) -> Iterator[str]:
    """A sentence where two sets differ, with both. ``shown``: how to say a member."""
    old, new = (frozenset(members) for members in (before, now))
    if old != new:
        first, second = (
            listed([shown(one) for one in sorted(members)]) or "nothing" for members in (old, new)
        )
        yield f"{text} {second} instead of {first}"


def after(delay: Duration) -> str:
    """``at once`` or ``after 2 minutes``."""
    return "at once" if delay.amount == 0 else f"after {delay.said}"


def every(duration: Duration) -> str:
    """``every hour``, ``every 15 minutes``."""
    return f"every {duration.said.removeprefix('1 ')}"


def within(delay: Duration, word: str = "within") -> str:
    """``within 2 hours``, with another word before it where asked."""
    return f"{word} {delay.said}"


def target(name: str, policy: Policy, beside: Policy | None = None, *, role: bool = False) -> str:
    """Whom a name means: the position or role in words, a reference as it is. ``role``: where a role of the response is meant."""
    if role and name in policy.roles:
        return f"the {words(policy.roles[name].name.lower())}"
    for known in (policy, beside):
        if known is None:
            continue
        if name in known.positions:
            return f"the {known.positions[name]}"
        if name in known.roles:
            return f"the {words(known.roles[name].name.lower())}"
    return f"the {words(name)}" if ":" not in name else name
