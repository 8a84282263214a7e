"""Messages, blanks, channels and the outside: what is read, by whom, and who lets it go."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.policy.finding import ERROR, WARNING, Check, Finding, Week, words
from tocsin.policy.model import AUDIENCES, FILLED_BLANKS, OUTSIDE, Policy, Template

TEMPLATES = ("first_notice", "progress_update", "resolution_notice")
NEEDED = {
    "first_notice": (
        "severity", "id", "started", "impact", "services", "status", "next_update", "commander", "status_page", "update_every",
    ),
    "progress_update": ("id", "time", "status", "progress", "actions_taken", "next_steps", "eta", "next_update"),
    "resolution_notice": ("id", "resolved", "duration", "root_cause", "summary", "preventive_measures", "post_mortem_place"),
}  # fmt: skip
"""what each message says to everybody"""
PLACEHOLDERS = frozenset(
    [
        "?",
        "??",
        "???",
        "-",
        "--",
        "—",
        "–",
        "…",
        "...",
        ".",
        "n/a",
        "na",
        "none",
        "nil",
        "null",
        "tbd",
        "tba",
        "todo",
        "fixme",
        "xxx",
        "unknown",
        "empty",
        "blank",
    ]
)


def templates(policy: Policy, week: Week) -> Iterator[Finding]:
    """Each blank is filled, each message says what it must."""
    for name in TEMPLATES:
        template: Template = getattr(policy.templates, name)
        places = {"everybody": template.everybody} | {
            f"audiences.{audience}": wording for audience, wording in template.audiences.items()
        }
        for place, wording in places.items():
            for blank in wording.blanks:
                if blank not in FILLED_BLANKS:
                    yield Finding(
                        "blank_nothing_fills", ERROR, f"templates.{name}.{place}",
                        f"nothing fills the blank {blank!r}, so everybody would read its fallback for ever: take it out; "
                        f"there are {', '.join(sorted(FILLED_BLANKS))}",
                        f"blanks.{blank}",
                    )  # fmt: skip
        lacking = [blank for blank in NEEDED[name] if blank not in template.everybody.blanks]
        if lacking:
            yield Finding(
                "message_lacks", WARNING, f"templates.{name}.everybody.text",
                f"the {words(name)} does not say {', '.join(words(one) for one in lacking)}: add {{{{ {lacking[0]} }}}}",
            )  # fmt: skip


def blanks(policy: Policy, week: Week) -> Iterator[Finding]:
    """A blank that cannot be filled is honest to each audience, and outside the company the commander is a role."""
    read_by = _readers(policy)
    for name, blank in policy.blanks.items():
        for audience in AUDIENCES:
            if (
                name in read_by.get(audience, {})
                and blank.fallback(audience).strip().casefold() in PLACEHOLDERS
            ):
                key = (
                    f"audiences.{audience}"
                    if audience in blank.audiences
                    else "outside"
                    if audience in OUTSIDE
                    else "inside"
                )
                yield Finding(
                    "fallback_is_no_answer", ERROR, f"blanks.{name}.{key}",
                    f"where {words(name)} is not known, {audience} read {blank.fallback(audience)!r}: say honestly what is known, such as "
                    "'under investigation'",
                    read_by[audience][name],
                )  # fmt: skip
                break
        for audience, text in {"inside": blank.inside, "outside": blank.outside, **blank.audiences}.items():
            if "{{" in text or "}}" in text:
                yield Finding(
                    "fallback_has_a_blank", ERROR, f"blanks.{name}.{audience}",
                    f"the fallback of {words(name)} has a blank of its own, which nothing fills: say it in words",
                )  # fmt: skip
    for name, rule, why in (
        ("commander", "name_outside", "would read the commander's name: give outside_always with the role"),
        (
            "update_every",
            "rhythm_outside",
            f"would be promised an update every {policy.severities['P1'].update.text}, though they hear major changes alone: give "
            "outside_always with words of their own",
        ),
    ):
        known = policy.blanks.get(name)
        place = next((place for audience in OUTSIDE if (place := read_by.get(audience, {}).get(name))), "")
        if known is not None and place and known.outside_always is None:
            yield Finding(rule, ERROR, f"blanks.{name}", f"people outside the company {why}", place)


def _readers(policy: Policy) -> dict[str, dict[str, str]]:
    """For each audience, the blanks that it reads and a place where it does."""
    found: dict[str, dict[str, str]] = {}
    for name in TEMPLATES:
        template: Template = getattr(policy.templates, name)
        for audience in AUDIENCES:
            place = f"audiences.{audience}" if audience in template.audiences else "everybody"
            for blank in template.wording(audience).blanks:
                found.setdefault(audience, {}).setdefault(blank, f"templates.{name}.{place}.text")
    return found


def channels(policy: Policy, week: Week) -> Iterator[Finding]:
    """One place for every response, and one that is closed for what is restricted."""
    primary = [name for name, channel in policy.channels.items() if channel.primary]
    if len(primary) != 1:
        named = ", ".join(primary) if primary else "none"
        yield Finding(
            "one_primary_channel", ERROR, "channels",
            f"exactly one channel is primary, where the response takes place; here: {named}",
            f"channels.{primary[1]}.primary" if len(primary) > 1 else "",
        )  # fmt: skip
    for kind, terms in policy.types.items():
        if kind == "security" and not terms.restricted:
            yield Finding(
                "security_in_the_open", ERROR, f"types.{kind}.restricted",
                "everybody could read a security incident: use restricted: true, with members",
            )  # fmt: skip
        if not terms.restricted:
            continue
        if not terms.members:
            yield Finding(
                "restricted_without_members", ERROR, f"types.{kind}.members",
                f"a {kind} incident is restricted, but the policy names nobody who may see it: give members", f"types.{kind}.restricted",
            )  # fmt: skip
        used = [name for name, channel in policy.channels.items() if kind in channel.for_types]
        if not any(policy.channels[name].restricted for name in used):
            yield Finding(
                "restricted_in_the_open", ERROR, f"channels.{used[0]}.restricted" if used else "channels",
                f"a {kind} incident is restricted, but no restricted channel is for it, so its response would take place in the open: give one "
                "restricted: true and for_types",
                f"types.{kind}.restricted",
            )  # fmt: skip


def approved(policy: Policy, week: Week) -> Iterator[Finding]:
    """Whatever leaves the company has somebody who lets it go."""
    outside = policy.outside
    needed = {"stakeholders": "severities.P1.update", "status_page": "outside.components"}
    if outside.customer_mail.severities or outside.customer_mail.at_any_share:
        needed["customer_mail"] = "outside.customer_mail"
    if outside.in_app.banner or outside.in_app.modal:
        needed["in_app"] = "outside.in_app"
    needed |= {name: f"outside.parties.{name}" for name in outside.parties}
    for channel, where in needed.items():
        if channel in outside.approval:
            continue
        party = outside.parties.get(channel)
        owed = (
            f"{party.name} are owed a message within {party.within.text}"
            if party and party.within
            else f"{words(channel)} is written to"
        )
        yield Finding(
            "nothing_can_be_sent", ERROR, where,
            f"{owed}, but nobody approves and sends it, so none can leave: add {channel} to outside.approval", "outside.approval",
        )  # fmt: skip
    for name, party in outside.parties.items():
        if not party.severities:
            yield Finding(
                "party_never_told", WARNING, f"outside.parties.{name}.severities",
                f"{party.name} are told of no severity at all: name one, or take the party out",
            )  # fmt: skip


def stand_ups(policy: Policy, week: Week) -> Iterator[Finding]:
    """A stand-up on business days lies in working hours."""
    hours = policy.calendar().hours
    for name, terms in policy.severities.items():
        if terms.stand_ups is None or terms.stand_ups.days != "business":
            continue
        for index, text in enumerate(terms.stand_ups.at):
            minute = int(text[:2]) * 60 + int(text[3:])
            if not any(start <= minute < end for spans in hours for start, end in spans):
                yield Finding(
                    "stand_up_out_of_hours", WARNING, f"severities.{name}.stand_ups.at.{index}",
                    f"the stand-up of {name} at {text} is on business days, but nobody works at that hour: move it",
                    f"calendars.{policy.default_calendar}.hours",
                )  # fmt: skip


CHECKS: tuple[Check, ...] = (templates, blanks, channels, approved, stand_ups)
