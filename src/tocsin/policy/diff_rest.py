"""What changes about alerts, types of incident, roles, channels, the outside, the post-mortem, actions and governance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from tocsin.policy import behaviour
from tocsin.policy.behaviour import Kind, Party
from tocsin.policy.calendar import Duration
from tocsin.policy.diff_plans import continuity, recovery
from tocsin.policy.model import SEVERITIES, Policy
from tocsin.policy.saying import compared, every, listed, target, which, words

Say = Callable[[Policy, Policy], Iterable[str]]


def rest() -> tuple[tuple[str, Say], ...]:
    """(group, what to say about it)."""
    return (
        ("Alerts", _alerts), ("Types of incident", _types), ("Ending", _gates), ("Roles and channels", _roles), ("Outside", _outside),
        ("Recovery", recovery), ("Business continuity", continuity), ("Post-mortem and actions", _afterwards),
        ("Governance", _governance),
    )  # fmt: skip


def _figures(old: object, new: object, texts: Mapping[str, str]) -> Iterator[str]:
    """A sentence for each figure of two parts that differs; ``{}`` is the new one."""
    for key, text in texts.items():
        before, now = getattr(old, key), getattr(new, key)
        if before != now:
            yield f"{text.format(_figure(now))} instead of {_figure(before)}"


def _figure(value: object) -> str:
    if isinstance(value, Duration):
        return value.said if value.amount else "0 seconds"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _alerts(old: Policy, new: Policy) -> Iterator[str]:
    yield from _figures(old.alerts, new.alerts, {
        "expire_after": "an alert that names no end of its own expires after {}",
        "group_window": "alerts of one group join within {} of each other",
        "group_at_most": "an incident takes further alerts of its group for {}",
        "flapping_hold": "an alert that comes and goes is held back for {}",
        "watch_after_resolved": "what a person resolved is watched for {}",
    })  # fmt: skip
    yield from _figures(old.self_resolve, new.self_resolve, {
        "clear_for": "an incident ends by itself after its alerts stayed clear for {}",
        "reopen_within": "one that ended by itself is reopened within {}",
    })  # fmt: skip
    yield from compared(
        "incidents that somebody works on may end by themselves for",
        old.self_resolve.severities,
        new.self_resolve.severities,
    )


def _types(old: Policy, new: Policy) -> Iterator[str]:
    before, now = behaviour.types(old), behaviour.types(new)
    first, other = next(iter(old.types)), next(iter(new.types))
    if first != other:
        yield f"an incident of which no type is known is of type {words(other)} instead of {words(first)}"
    for name in dict.fromkeys((*before, *now)):
        if name not in now:
            yield f"there are no {words(name)} incidents any more"
        elif name not in before:
            yield f"there are {words(name)} incidents too"
        else:
            yield from _type(words(name), before[name], now[name])


def _type(name: str, one: Kind, other: Kind) -> Iterator[str]:
    yield from compared(f"{name} incidents are of the kinds", one.subtypes, other.subtypes)
    if one.judged_by != other.judged_by:
        yield f"{name} incidents are judged by {words(other.judged_by)} instead of {words(one.judged_by)}"
    if one.restricted != other.restricted:
        yield f"{name} incidents {'open visible to their members alone' if other.restricted else 'are visible to everybody'}"
    else:
        yield from compared(f"{name} incidents are visible to", one.members, other.members)
    if one.self_resolves != other.self_resolves:
        yield f"{name} incidents {'may end' if other.self_resolves else 'never end'} by themselves"


_POST_MORTEM = {
    "required": ("owes a post-mortem", "it owed one"), "optional": ("may have a post-mortem", "it could have one"),
    "none": ("has no post-mortem", "it had none"),
}  # fmt: skip
_VALIDATED = {
    "resolved": ("is validated before it counts as resolved", "before it counted as resolved"),
    "closed": ("is validated only before it is closed", "only before it was closed"),
}
"""now, and how it was before"""


def _gates(old: Policy, new: Policy) -> Iterator[str]:
    """What a post-mortem and validation are owed for, by severity and type together."""
    kinds = [name for name in new.types if name in old.types]
    for name in SEVERITIES:
        owed, gates = ({kind: policy.post_mortem_for(name, kind) for kind in kinds} for policy in (old, new))
        yield from _gate(name, owed, gates, _POST_MORTEM)
        owed, gates = ({kind: policy.validation_gates(name, kind) for kind in kinds} for policy in (old, new))
        yield from _gate(name, owed, gates, _VALIDATED)


def _gate(
    severity: str, before: Mapping[str, str], now: Mapping[str, str], said: Mapping[str, tuple[str, str]]
) -> Iterator[str]:
    """A sentence for each change, with the types that it is for."""
    changed: dict[tuple[str, str], list[str]] = {}
    for kind in before:
        if before[kind] != now[kind]:
            changed.setdefault((before[kind], now[kind]), []).append(kind)
    for (one, other), kinds in changed.items():
        concerned = [kind for kind in now if now[kind] == other]
        whose = which(severity, concerned if len(concerned) == len(now) else kinds, now)
        yield f"{whose} {said[other][0]}; until now, {said[one][1]}"


def _roles(old: Policy, new: Policy) -> Iterator[str]:
    for name, role in new.roles.items():
        before = old.roles[name]
        if before.authority != role.authority:
            yield f"the {words(name)} {'has full authority' if role.authority == 'full' else 'no longer has full authority'}"
        if before.source != role.source:
            yield f"the {words(name)} comes from the {words(role.source)} instead of the {words(before.source)}"
        if before.standby != role.standby:
            now = target(role.standby, new, old) if role.standby else "nobody"
            yield f"{now} stands by for the {words(name)}"
        yield from compared(
            f"the {words(name)} may escalate to",
            before.may_escalate_to,
            role.may_escalate_to,
            lambda who: target(who, new, old),
        )
    for name in dict.fromkeys((*old.channels, *new.channels)):
        one, other = old.channels.get(name), new.channels.get(name)
        if one is None or other is None:
            yield f"the channel {words(name)} is {'new' if one is None else 'gone'}"
            continue
        if one.primary != other.primary:
            yield f"responses {'take place' if other.primary else 'no longer take place'} in the channel {words(name)}"
        if one.restricted != other.restricted:
            yield f"the channel {words(name)} is {'for members alone' if other.restricted else 'open to everybody'}"
        yield from compared(f"the channel {words(name)} is used for", one.for_types, other.for_types)


def _outside(old: Policy, new: Policy) -> Iterator[str]:
    before, now = old.outside, new.outside
    yield from compared("the status page shows", before.components, now.components)
    one, other = before.customer_mail, now.customer_mail
    yield from compared("customers are mailed for", one.severities, other.severities)
    if one.severities and other.severities and one.above_percent_of_users != other.above_percent_of_users:
        yield f"customers are mailed above {other.above_percent_of_users:g} % of users instead of {one.above_percent_of_users:g} %"
    yield from compared(
        "whatever their share, those hit are mailed for", one.at_any_share, other.at_any_share
    )
    if one.major_changes_only != other.major_changes_only:
        yield (
            "customers hear of major changes alone"
            if other.major_changes_only
            else "customers get every update"
        )
    yield from compared("the application shows a banner for", before.in_app.banner, now.in_app.banner)
    yield from compared("the application interrupts with a modal for", before.in_app.modal, now.in_app.modal)
    if before.in_app.degraded_message != now.in_app.degraded_message:
        yield f"the application {'says' if now.in_app.degraded_message else 'no longer says'} that something is degraded"
    yield from _parties(old, new)
    for name in dict.fromkeys((*before.approval, *now.approval)):
        first, second = before.approval.get(name), now.approval.get(name)
        if first is None or second is None:
            yield f"nothing can be sent over the channel {words(name)} {'any more' if second is None else 'until now: now it can'}"
            continue
        for verb in ("approves", "sends"):
            who, instead = getattr(second, verb), getattr(first, verb)
            if who != instead:
                yield f"{target(who, new, old)} {verb} what goes out over {words(name)}, instead of {target(instead, old, new)}"


def _parties(old: Policy, new: Policy) -> Iterator[str]:
    before, now = behaviour.parties(old), behaviour.parties(new)
    for name in dict.fromkeys((*before, *now)):
        one, other = before.get(name), now.get(name)
        if one is None or other is None:
            yield f"the {name} are {'told too' if one is None else 'no longer told'}"
            continue
        yield from compared(f"the {name} are told of", one.severities, other.severities)
        if frozenset(old.outside.parties[name].types) != frozenset(new.outside.parties[name].types):
            yield from compared(f"the {name} are told of incidents of type", one.types, other.types)
        if one.through != other.through:
            yield f"the {name} hear through {target(other.through, new, old)} instead of {target(one.through, old, new)}"
        if one.within != other.within:
            owed = (
                f"are owed a message within {other.within.said}"
                if other.within
                else "are told on proposal, owed nothing"
            )
            yield f"the {name} {owed}{f' instead of {one.within.said}' if one.within and other.within else ''}"
        yield from _major(name, one, other, old, new)


def _major(name: str, one: Party, other: Party, old: Policy, new: Policy) -> Iterator[str]:
    if (one.major is None) != (other.major is None):
        yield f"the {name} are told of {'major incidents alone' if other.major else 'every such incident, major or not'}"
    if one.major is None or other.major is None:
        return
    if one.major[0] != other.major[0]:
        now, before = (policy.outside.major.above_percent_of_users for policy in (new, old))
        yield f"an incident is major above {now:g} % of users instead of {before:g} %"
    yield from compared(
        "whatever the share, an incident is major that is", one.major[1], other.major[1], words
    )


def _afterwards(old: Policy, new: Policy) -> Iterator[str]:
    one, other = old.post_mortem, new.post_mortem
    yield from _figures(one, other, {
        "timeline": "the timeline of a post-mortem is due {} after the end", "root_cause": "the root cause is due {} after the end",
        "meeting_booked": "the meeting is to be booked {} after the end", "meeting_held": "the meeting is to be held {} after the end",
        "draft": "the draft is due {} after the end", "review": "the review is due {} after the end",
        "publication": "the post-mortem is published {} after the end",
    })  # fmt: skip
    if one.sections != other.sections:
        yield f"a post-mortem has the sections {listed(other.sections)} instead of {listed(one.sections)}"
    for key, text in (
        ("required", "the meeting needs"), ("required_when_users_saw", "when users saw it, the meeting needs"),
        ("optional", "the meeting is open to"),
    ):  # fmt: skip
        yield from compared(text, getattr(one, key), getattr(other, key), lambda who: target(who, new, old))
    if ("engineering_manager" in old.positions) != ("engineering_manager" in new.positions):
        held = (
            "the engineering manager" if "engineering_manager" in new.positions else "the incident commander"
        )
        yield f"the review of a post-mortem is owed by {held}"
    for name in behaviour.CATEGORIES:
        yield from _figures(
            old.actions.category(name),
            new.actions.category(name),
            {"within": f"{words(name)} actions are due within {{}}"},
        )
        before, now = behaviour.status(old, name), behaviour.status(new, name)
        if before != now and now is not None:
            yield f"{words(name)} actions report {every(now)}{f' instead of {before.said}' if before else ''}"
        elif before != now:
            yield f"{words(name)} actions report no more: they are due before their status is"
    first, second = old.actions.verified_by, new.actions.verified_by
    if first != second:
        yield f"a finished action is verified by {target(second, new, old)} instead of {target(first, old, new)}"
    yield from _figures(
        old.actions, new.actions, {"verified_within": "a finished action is verified within {}"}
    )
    for name in ("technical", "process", "external"):
        yield from compared(f"{name} causes are", getattr(old.causes, name), getattr(new.causes, name))


def _governance(old: Policy, new: Policy) -> Iterator[str]:
    one, other = old.governance, new.governance
    if one.owner != other.owner:
        yield f"the review of the policy is owed by {target(other.owner, new, old)} instead of {target(one.owner, old, new)}"
    yield from _figures(one, other, {"review_every": "the policy is reviewed after {}"})
