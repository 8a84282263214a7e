"""The guide's own contradictions, found where a policy file plants them again.

Each check belongs to one decision of ``docs/guide-decisions.md`` and names both places that do not go together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from tocsin.kernel.clock import MINUTE
from tocsin.policy.calendar import MONTHS, Duration
from tocsin.policy.finding import ERROR, WARNING, Check, Finding, Week, words
from tocsin.policy.model import SEVERITIES, Policy

SENSITIVE = ("security", "data")
"""types whose incidents are never taken lightly, where the policy has them"""
FIRST_RESPONSE = Duration.elapsed(15 * MINUTE)
"""the guide's first minutes of a P1, the same figure as its response"""
QUARTER = Duration(MONTHS, 3)
LADDER = (
    "on_call", "secondary", "engineering_lead", "engineering_manager", "cto", "ceo",
)  # fmt: skip
"""from below to the top"""


def post_mortem_order(policy: Policy, week: Week) -> Iterator[Finding]:
    """Nothing is owed before what it needs: no meeting before the cause is known, no publication before both."""
    terms = policy.post_mortem
    for early, late in (
        ("timeline", "root_cause"), ("root_cause", "draft"), ("meeting_booked", "meeting_held"), ("draft", "review"),
        ("review", "publication"),
    ):  # fmt: skip
        first, second = getattr(terms, early), getattr(terms, late)
        if week.longer(first, second):
            yield Finding(
                "post_mortem_order", ERROR, f"post_mortem.{early}",
                f"the {words(early)} is due after {first.text}, later than the {words(late)} "
                f"({second.text}): the one comes before the other",
                f"post_mortem.{late}",
            )  # fmt: skip
    if week.never_longer(terms.meeting_held, terms.root_cause):
        yield Finding(
            "meeting_before_the_cause", ERROR, "post_mortem.meeting_held",
            f"the meeting is to be held within {terms.meeting_held.text}, while the root cause has {terms.root_cause.text}: book it by then, "
            "and hold it later",
            "post_mortem.root_cause",
        )  # fmt: skip
    for needed in ("meeting_held", "draft"):
        if week.longer(getattr(terms, needed), terms.publication):
            yield Finding(
                "published_too_early", ERROR, "post_mortem.publication",
                f"the post-mortem is to be published within {terms.publication.text}, before its {words(needed)} "
                f"({getattr(terms, needed).text}) is due: publish later",
                f"post_mortem.{needed}",
            )  # fmt: skip


_TYPED = re.compile(
    r"\b(\d+|an?|one|two|three|four|five|ten|fifteen|thirty|forty-eight|seventy-two)[ -]?(seconds?|minutes?|mins?|hours?|hrs?|h|days?|weeks?|months?)\b",
    re.IGNORECASE,
)


def typed_promises(policy: Policy, week: Week) -> Iterator[Finding]:
    """A message prints the policy's own figures: one that is typed into it promises what nobody keeps."""
    for name, sources in (
        ("first_notice", "severities.P1.update"), ("progress_update", "severities.P1.update"),
        ("resolution_notice", "post_mortem.publication"),
    ):  # fmt: skip
        template = getattr(policy.templates, name)
        wordings = {"everybody": template.everybody} | {
            f"audiences.{audience}": wording for audience, wording in template.audiences.items()
        }
        for place, wording in wordings.items():
            for part in ("subject", "text"):
                typed = _TYPED.search(getattr(wording, part))
                if typed is not None:
                    yield Finding(
                        "promise_typed_into_a_message", ERROR, f"templates.{name}.{place}.{part}",
                        f"the message promises {typed[0]!r} in words of its own, whatever the policy says: use a blank such as "
                        f"{'{{ post_mortem_date }}' if name == 'resolution_notice' else '{{ next_update }}'}",
                        sources,
                    )  # fmt: skip
            if name == "resolution_notice" and "post_mortem_date" not in wording.blanks:
                yield Finding(
                    "no_date_for_the_post_mortem", WARNING, f"templates.{name}.{place}.text",
                    "the message does not say by when the post-mortem appears: add {{ post_mortem_date }}",
                    sources,
                )  # fmt: skip


def post_mortem_owed(policy: Policy, week: Week) -> Iterator[Finding]:
    """P1, P2 and every data or security incident owe a post-mortem."""
    for name in ("P1", "P2"):
        owed = policy.severities[name].post_mortem
        if owed != "required":
            yield Finding(
                "post_mortem_not_owed", ERROR, f"severities.{name}.post_mortem",
                f"a {name} owes no post-mortem ({owed}), so the deadlines below post_mortem bind nobody: use post_mortem: required",
                "post_mortem",
            )  # fmt: skip
    for kind in SENSITIVE:
        terms = policy.types.get(kind)
        if terms is None or terms.post_mortem == "required":
            continue
        lax = next((name for name in SEVERITIES if policy.severities[name].post_mortem != "required"), "")
        if lax:
            yield Finding(
                "post_mortem_not_owed", ERROR, f"types.{kind}.post_mortem",
                f"a {kind} incident of {lax} owes no post-mortem, whatever was lost: use post_mortem: required for the type",
                f"severities.{lax}.post_mortem",
            )  # fmt: skip


def activation(policy: Policy, week: Week) -> Iterator[Finding]:
    """The team comes at once for a P1, and never by itself for what can wait."""
    first = policy.severities["P1"]
    if first.activate_team != "at_once":
        yield Finding(
            "team_comes_late", ERROR, "severities.P1.activate_team",
            f"the team of a P1 is activated {words(first.activate_team)}, though {first.respond.text} to respond run from the start: use at_once",
            "severities.P1.respond",
        )  # fmt: skip
    if policy.severities["P2"].activate_team == "by_hand":
        yield Finding(
            "team_comes_late", WARNING, "severities.P2.activate_team",
            "nobody proposes the team of a P2: use proposed, so that it is one click", "severities.P2.respond",
        )  # fmt: skip
    for name in ("P3", "P4"):
        terms = policy.severities[name]
        if terms.activate_team == "at_once":
            yield Finding(
                "team_comes_for_little", ERROR, f"severities.{name}.activate_team",
                f"a {name} would call the whole team at any hour, though it has {terms.respond.text} to respond: use by_hand",
                f"severities.{name}.respond",
            )  # fmt: skip


def customers(policy: Policy, week: Week) -> Iterator[Finding]:
    """Customers hear of a breach at any share, of major changes alone, and of the more severe before the milder."""
    mail = policy.outside.customer_mail
    where = "outside.customer_mail"
    breaches = [
        subtype for terms in policy.types.values() for subtype in terms.subtypes if "breach" in subtype
    ]
    for subtype in breaches:
        if subtype not in mail.at_any_share and mail.above_percent_of_users > 0:
            yield Finding(
                "breach_waits_for_a_share", ERROR, f"{where}.at_any_share",
                f"those hit by a {words(subtype)} are mailed only above {mail.above_percent_of_users:g} % of users: add {subtype} to at_any_share",
                f"{where}.above_percent_of_users",
            )  # fmt: skip
    if not mail.major_changes_only:
        yield Finding(
            "customers_get_every_update", ERROR, f"{where}.major_changes_only",
            f"customers would be mailed each update, every {policy.severities['P1'].update.text} for a P1: use major_changes_only: true",
            "severities.P1.update",
        )  # fmt: skip
    for place, named in (
        (f"{where}.severities", mail.severities), ("outside.in_app.banner", policy.outside.in_app.banner),
        ("outside.in_app.modal", policy.outside.in_app.modal),
        *((f"outside.parties.{name}.severities", party.severities) for name, party in policy.outside.parties.items()),
        *_planned(policy),
    ):  # fmt: skip
        for severe, mild in pairwise(SEVERITIES):
            if mild in named and severe not in named:
                yield Finding(
                    "upside_down", ERROR, place,
                    f"it is for {mild} and not for the more severe {severe}: add {severe}",
                )  # fmt: skip
    extra = [name for name in policy.outside.in_app.modal if name not in policy.outside.in_app.banner]
    if extra:
        yield Finding(
            "modal_without_banner", WARNING, "outside.in_app.modal",
            f"a {extra[0]} interrupts customers with a modal and then leaves no banner: add it to banner", "outside.in_app.banner",
        )  # fmt: skip


def _planned(policy: Policy) -> Iterator[tuple[str, tuple[str, ...]]]:
    if policy.recovery is not None:
        yield "recovery.severities", policy.recovery.severities
    for name, plan in (policy.continuity.plans if policy.continuity else {}).items():
        yield f"continuity.plans.{name}.severities", plan.severities


def told_at_open(policy: Policy, week: Week) -> Iterator[Finding]:
    """P2: the lead is told when it opens, not only when the chain comes to them."""
    if "engineering_lead" not in policy.positions:
        return
    terms = policy.severities["P2"]
    notice = terms.notice
    where = "severities.P2.notice"
    steps = terms.escalation.steps
    later = next((index for index, step in enumerate(steps) if "engineering_lead" in step.targets), None)
    also = "severities.P2.escalation.steps" + (f".{later}" if later is not None else "")
    if notice is None or "engineering_lead" not in notice.targets:
        after = (
            f"only when nobody acknowledged for {steps[later].after.text}" if later is not None else "never"
        )
        yield Finding(
            "lead_not_told", ERROR, f"{where}.targets" if notice else where,
            f"the engineering lead hears of a P2 {after}: name engineering_lead in its notice", also,
        )  # fmt: skip
    elif notice.when != "opened":
        yield Finding(
            "lead_not_told", ERROR, f"{where}.when",
            "the engineering lead hears of a P2 only once a person confirmed it: use when: opened", also,
        )  # fmt: skip


def chain_tops(policy: Policy, week: Week) -> Iterator[Finding]:
    """P1 ends at the CEO, P2 at the CTO: the last step is for critical incidents alone."""
    for name, top in (("P1", "ceo"), ("P2", "cto")):
        steps = policy.severities[name].escalation.steps
        named = [(index, target) for index, step in enumerate(steps) for target in step.targets]
        if top not in policy.positions or any(target not in LADDER for _, target in named):
            continue  # a ladder of the organisation's own
        reached = max((LADDER.index(target) for _, target in named), default=-1)
        where = f"severities.{name}.escalation.steps"
        if named and reached < LADDER.index(top):
            yield Finding(
                "chain_ends_too_low", ERROR, f"{where}.{len(steps) - 1}",
                f"nobody above the {words(LADDER[reached])} ever hears of a {name} that nobody acknowledges: end it at the {words(top)}",
                f"severities.{name}.acknowledge",
            )  # fmt: skip
        elif reached > LADDER.index(top):
            place = next(index for index, target in named if target == LADDER[reached])
            yield Finding(
                "chain_ends_too_high", ERROR, f"{where}.{place}",
                f"a {name} would page the {words(LADDER[reached])}, whose step is for critical incidents alone: end it at the {words(top)}",
                f"severities.P1.escalation.steps.{len(policy.severities['P1'].escalation.steps) - 1}",
            )  # fmt: skip


def validation(policy: Policy, week: Week) -> Iterator[Finding]:
    """Recovery is validated before a P1, a P2, a data or a security incident counts as resolved."""
    for name in ("P1", "P2"):
        terms = policy.severities[name]
        if terms.validate_before != "resolved":
            yield Finding(
                "validated_too_late", ERROR, f"severities.{name}.validate_before",
                f"a {name} could be resolved, its clock stopped and the all-clear sent, before anybody has validated the recovery: use "
                "validate_before: resolved",
                f"severities.{name}.resolve",
            )  # fmt: skip
    for kind in SENSITIVE:
        kind_terms = policy.types.get(kind)
        if kind_terms is None or kind_terms.validate_before == "resolved":
            continue
        lax = next((name for name in SEVERITIES if policy.severities[name].validate_before != "resolved"), "")
        if lax:
            yield Finding(
                "validated_too_late", ERROR, f"types.{kind}.validate_before",
                f"a {kind} incident of {lax} could be resolved before anybody has validated the recovery: use validate_before: resolved for the type",
                f"severities.{lax}.validate_before",
            )  # fmt: skip


def watching(policy: Policy, week: Week) -> Iterator[Finding]:
    """What a person resolved is watched no shorter than what resolved itself."""
    watch, reopen = policy.alerts.watch_after_resolved, policy.self_resolve.reopen_within
    if watch.micros < max(reopen.micros, 1):
        yield Finding(
            "watched_too_short", ERROR, "alerts.watch_after_resolved",
            f"what a person resolved is watched for {watch.text}, what resolved itself for {reopen.text}: watch at least as long",
            "self_resolve.reopen_within",
        )  # fmt: skip
    for name in policy.self_resolve.severities:
        if name in ("P1", "P2"):
            yield Finding(
                "ends_by_itself", ERROR, "self_resolve.severities",
                f"a {name} that somebody works on could end by itself: leave it out", f"severities.{name}.validate_before",
            )  # fmt: skip
    for kind in SENSITIVE:
        terms = policy.types.get(kind)
        if terms is not None and terms.self_resolves:
            yield Finding(
                "ends_by_itself", ERROR, f"types.{kind}.self_resolves",
                f"a {kind} incident could end by itself, though its alert clearing says nothing about the damage: use self_resolves: false",
                "self_resolve.clear_for",
            )  # fmt: skip
    window, most = policy.alerts.group_window, policy.alerts.group_at_most
    if window.micros > most.micros:
        yield Finding(
            "group_window_too_long", ERROR, "alerts.group_window",
            f"alerts join within {window.text} of each other, but an incident takes them for {most.text} only: the first must not be longer",
            "alerts.group_at_most",
        )  # fmt: skip


def review(policy: Policy, week: Week) -> Iterator[Finding]:
    """The policy is looked at again each quarter, counted from when it was applied."""
    every = policy.governance.review_every
    if week.longer(every, QUARTER):
        yield Finding(
            "reviewed_too_rarely", WARNING, "governance.review_every",
            f"the policy is reviewed after {every.text} only: review it each quarter, counted from the day it is applied", "governance.version",
        )  # fmt: skip
    if re.fullmatch(r"\D*(19|20)\d\d-\d\d(-\d\d)?\D*", policy.governance.version):
        yield Finding(
            "version_is_a_date", WARNING, "governance.version",
            f"the version {policy.governance.version!r} reads like a date to count the review from; it counts from the day the policy is "
            "applied: use a number",
            "governance.review_every",
        )  # fmt: skip


def approvals(policy: Policy, week: Week) -> Iterator[Finding]:
    """The commander approves what goes to stakeholders and the communication lead sends it; elsewhere the owner of the channel does."""
    outside, where = policy.outside, "outside.approval"
    own = outside.approval.get("stakeholders")
    if own is not None and own.approves != "incident_commander":
        yield Finding(
            "stakeholders_approved_elsewhere", ERROR, f"{where}.stakeholders.approves",
            f"the {words(own.approves)} approves what stakeholders read, over the head of the commander: use incident_commander",
            "roles.incident_commander",
        )  # fmt: skip
    if own is not None and own.sends != "communication_lead":
        yield Finding(
            "stakeholders_approved_elsewhere", ERROR, f"{where}.stakeholders.sends",
            f"the {words(own.sends)} sends what stakeholders read: use communication_lead", "roles.communication_lead",
        )  # fmt: skip
    for channel, terms in outside.approval.items():
        party = outside.parties.get(channel)
        owner = party.through if party else "communication_lead"
        if channel != "stakeholders" and terms.approves == terms.sends != owner:
            yield Finding(
                "nobody_approves", ERROR, f"{where}.{channel}",
                f"the {words(terms.sends)} approves and sends alone, though the channel {words(channel)} is the {words(owner)}'s: let the owner approve",
                f"outside.parties.{channel}.through" if party else "roles.communication_lead",
            )  # fmt: skip
        elif party and owner not in (terms.approves, terms.sends):
            yield Finding(
                "goes_past_its_owner", ERROR, f"{where}.{channel}",
                f"what {party.name} read goes through the {words(owner)}, who neither approves nor sends it: let them do one of both",
                f"outside.parties.{channel}.through",
            )  # fmt: skip


def action_status(policy: Policy, week: Week) -> Iterator[Finding]:
    """An action reports before it is over, and the urgent ones no more rarely than the others."""
    names = ("immediate", "short_term", "long_term")
    for name in names:
        terms = policy.actions.category(name)
        if week.longer(terms.status_every, terms.within):
            yield Finding(
                "status_after_the_end", ERROR, f"actions.{name}.status_every",
                f"{terms.name} actions report after {terms.status_every.text}, when they have been due ({terms.within.text}): report earlier",
                f"actions.{name}.within",
            )  # fmt: skip
    for urgent, later in pairwise(names):
        for key in ("within", "status_every"):
            first, second = (getattr(policy.actions.category(name), key) for name in (urgent, later))
            if week.longer(first, second):
                yield Finding(
                    "actions_out_of_order", WARNING, f"actions.{urgent}.{key}",
                    f"{words(urgent)} actions have {first.text} where {words(later)} ones have {second.text}: exchange them",
                    f"actions.{later}.{key}",
                )  # fmt: skip


def first_minutes(policy: Policy, week: Week) -> Iterator[Finding]:
    """Responding to a P1 and the first minutes of the protocol are one figure."""
    respond = policy.severities["P1"].respond
    if week.longer(respond, FIRST_RESPONSE):
        yield Finding(
            "first_minutes", WARNING, "severities.P1.respond",
            f"the five steps of a P1 would have {respond.text}, the guide gives them the first {FIRST_RESPONSE.text}: allow no more",
            "severities.P1.update",
        )  # fmt: skip
    for where, text in _texts(policy):
        named = re.search(r"\bfirst (\d+) ?(?:min|minutes)\b", text)
        if named is not None and Duration.elapsed(int(named[1]) * MINUTE) != respond:
            yield Finding(
                "first_minutes", ERROR, where,
                f"it speaks of the first {named[1]} minutes, but a P1 has {respond.text} to respond, and both are one figure: say it without a number",
                "severities.P1.respond",
            )  # fmt: skip


def _texts(policy: Policy) -> Iterator[tuple[str, str]]:
    for name, severity in policy.severities.items():
        yield f"severities.{name}.meaning", severity.meaning
    for name, role in policy.roles.items():
        yield f"roles.{name}.purpose", role.purpose
        for index, task in enumerate(role.tasks):
            yield f"roles.{name}.tasks.{index}", task
    for name, channel in policy.channels.items():
        yield f"channels.{name}.purpose", channel.purpose


def hours(policy: Policy, week: Week) -> Iterator[Finding]:
    """What keeps business hours keeps them throughout; what does not, counts no working time."""
    for name in SEVERITIES:
        terms = policy.severities[name]
        where = f"severities.{name}"
        counted = next(
            (duty for duty in ("acknowledge", "respond", "update") if terms.before_due(duty).is_business), ""
        )
        if name in ("P1", "P2"):
            if counted or terms.hours == "business":
                place = f"{where}.{counted}" if counted else f"{where}.hours"
                what = f"{counted} in {terms.before_due(counted).text}" if counted else "hours: business"
                yield Finding(
                    "asleep", ERROR, place, f"{name} would wait for working hours ({what}): count elapsed time, day and night",
                    f"{where}.escalation.hours",
                )  # fmt: skip
            continue
        if terms.hours != terms.escalation.hours:
            yield Finding(
                "hours_disagree", ERROR, f"{where}.hours",
                f"what is late of {name} is chased in hours: {terms.hours}, and paged in hours: {terms.escalation.hours}: use business for both",
                f"{where}.escalation.hours",
            )  # fmt: skip
        elif terms.hours == "always" and counted:
            yield Finding(
                "hours_disagree", ERROR, f"{where}.hours",
                f"{name} is chased and paged day and night, though its {counted} counts working time ({terms.before_due(counted).text}): use "
                "hours: business",
                f"{where}.{counted}",
            )  # fmt: skip
        if terms.first_update == "interval" and week.longer(terms.respond, terms.update):
            yield Finding(
                "update_before_response", ERROR, f"{where}.first_update",
                f"the first update of {name} falls due after {terms.update.text}, before its response ({terms.respond.text}): use first_update: response",
                f"{where}.respond",
            )  # fmt: skip


CHECKS: tuple[Check, ...] = (
    post_mortem_order, typed_promises, post_mortem_owed, activation, customers, told_at_open, chain_tops, validation, watching, review,
    approvals, action_status, first_minutes, hours,
)  # fmt: skip
