"""Recovery, continuity and who hears of them: plans that never begin, gates without steps, word that cannot be given."""

from __future__ import annotations

from collections.abc import Iterator

from tocsin.policy.finding import ERROR, WARNING, Check, Finding, Week, words
from tocsin.policy.model import OUTSIDE, SEVERITIES, Policy
from tocsin.policy.plans import PHASES, Hearing, Recovery
from tocsin.policy.saying import listed

DATA = "data"
"""the type whose incidents bring data back, where the policy has it"""


def recovery(policy: Policy, week: Week) -> Iterator[Finding]:
    """Whatever is validated before it counts as resolved has a plan to come back by, with a step for each phase that gates."""
    terms = policy.recovery
    if terms is not None and not terms.severities and not terms.types:
        yield Finding(
            "plan_never_begins", ERROR, "recovery.severities",
            "the plan of recovery is for no severity and no type, so no incident gets it: name those that do",
        )  # fmt: skip
        return
    yield from _gated(policy, terms)
    if terms is not None:
        yield from _phases(policy, terms)
        yield from _recovery_steps(policy, terms)


def _gated(policy: Policy, terms: Recovery | None) -> Iterator[Finding]:
    severities, types = (terms.severities, terms.types) if terms else ((), ())
    for name in SEVERITIES:
        if policy.severities[name].validate_before == "resolved" and name not in severities:
            yield Finding(
                "validated_without_a_plan", ERROR, f"severities.{name}.validate_before",
                f"a {name} is validated before it counts as resolved, but no plan of recovery is for it, so nobody tries a service with a "
                f"limited group of users first: add {name} to recovery.severities",
                "recovery.severities" if terms else "",
            )  # fmt: skip
    for kind, known in policy.types.items():
        lacking = [name for name in SEVERITIES if name not in severities]
        if known.validate_before == "resolved" and kind not in types and lacking:
            yield Finding(
                "validated_without_a_plan", ERROR, f"types.{kind}.validate_before",
                f"a {kind} incident of {lacking[-1]} is validated before it counts as resolved, but no plan of recovery is for it: add "
                f"{kind} to recovery.types",
                "recovery.types" if terms else "",
            )  # fmt: skip


def _planned(policy: Policy, terms: Recovery) -> list[str]:
    """The types whose incidents may get the plan."""
    return [kind for kind in policy.types if terms.severities or kind in terms.types]


def _phases(policy: Policy, terms: Recovery) -> Iterator[Finding]:
    for phase in ("stop_damage", "data_recovery", "service_recovery"):
        steps = [step for step in terms.steps if step.phase == phase]
        concerned = [kind for kind in _planned(policy, terms) if phase != "data_recovery" or kind == DATA]
        without = [
            kind for kind in concerned if not any(not step.types or kind in step.types for step in steps)
        ]
        if without:
            gates = (
                ", and a service would be fully back before its data is" if phase == "data_recovery" else ""
            )
            yield Finding(
                "phase_without_a_step", ERROR if gates else WARNING, "recovery.steps",
                f"the plan of recovery has no step to {_PHASE[phase]} for {listed(without)} incidents{gates}: add one",
                f"types.{without[0]}",
            )  # fmt: skip


_PHASE = {
    "stop_damage": "stop the damage", "data_recovery": "bring data back", "service_recovery": "bring services back",
}  # fmt: skip


def _recovery_steps(policy: Policy, terms: Recovery) -> Iterator[Finding]:
    planned, latest = _planned(policy, terms), 0
    for index, step in enumerate(terms.steps):
        if step.types and not set(step.types) & set(planned):
            yield Finding(
                "step_for_no_incident", WARNING, f"recovery.steps.{index}.types",
                f"the step {step.id} is for {listed(step.types)} incidents, which never get the plan of recovery: add them to recovery.types",
                "recovery.types",
            )  # fmt: skip
        if PHASES.index(step.phase) < PHASES.index(terms.steps[latest].phase):
            yield Finding(
                "steps_out_of_order", WARNING, f"recovery.steps.{index}",
                f"the step {step.id} ({words(step.phase)}) comes before {terms.steps[latest].id} ({words(terms.steps[latest].phase)}), "
                "which stands above it: write the steps in the order of their phases",
                f"recovery.steps.{latest}",
            )  # fmt: skip
        else:
            latest = index


def continuity(policy: Policy, week: Week) -> Iterator[Finding]:
    """A plan begins, keeps something going, and each of its steps is for an incident that begins it."""
    for name, plan in (policy.continuity.plans if policy.continuity else {}).items():
        where = f"continuity.plans.{name}"
        if not plan.severities:
            yield Finding(
                "plan_never_begins", ERROR, f"{where}.severities",
                f"the plan for {plan.name} is for no severity, so it never begins: name those in which it does",
            )  # fmt: skip
        if not any(step.strand in ("fallback", "manual") for step in plan.steps):
            yield Finding(
                "keeps_nothing_going", WARNING, f"{where}.steps",
                f"the plan for {plan.name} has neither another way nor one by hand, so nothing goes on meanwhile: add a step of the strand "
                "fallback or manual",
            )  # fmt: skip
        begun = {
            kind
            for kind, terms in policy.types.items()
            if plan.components or plan.services or set(plan.subtypes) & set(terms.subtypes)
        }
        for index, step in enumerate(plan.steps):
            if step.types and not set(step.types) & begun:
                yield Finding(
                    "step_for_no_incident", WARNING, f"{where}.steps.{index}.types",
                    f"the step {step.id} is for {listed(step.types)} incidents, but only {listed(sorted(begun))} ones begin the plan for "
                    f"{plan.name}: take types out, or name what else begins it",
                    f"{where}.subtypes",
                )  # fmt: skip


def hearing(policy: Policy, week: Week) -> Iterator[Finding]:
    """Who is owed word while a plan runs can be given it, in time, by those who may send it."""
    terms = policy.continuity
    if terms is None:
        return
    begins = {severity for plan in terms.plans.values() for severity in plan.severities}
    if begins and not terms.hearing:
        yield Finding(
            "nobody_hears", WARNING, "continuity",
            "plans keep the business going and nobody is owed word of how it goes: add customers, employees, partners and stakeholders to "
            "hearing",
            "continuity.plans",
        )  # fmt: skip
    if terms.hearing and not begins:
        yield Finding(
            "hears_of_nothing", WARNING, "continuity.hearing",
            "people are owed word while a plan of continuity runs, but none ever does: add a plan, or take hearing out",
            "continuity.plans",
        )  # fmt: skip
    for audience, one in terms.hearing.items():
        where = f"continuity.hearing.{audience}"
        yield from _in_time(policy, week, one, where, begins)
        yield from _given(policy, audience, one, where)


def _in_time(policy: Policy, week: Week, one: Hearing, where: str, begins: set[str]) -> Iterator[Finding]:
    if week.longer(one.within, one.every):
        yield Finding(
            "hears_first_too_late", WARNING, f"{where}.within",
            f"{one.name} hear every {one.every.text}, but for the first time only after {one.within.text}: let the first word come no later",
            f"{where}.every",
        )  # fmt: skip
    over = [
        name for name in SEVERITIES if name in begins and week.longer(one.within, policy.severities[name].resolve)
    ]  # fmt: skip
    if over:
        resolve = policy.severities[over[0]].resolve.text
        yield Finding(
            "heard_after_the_end", WARNING, f"{where}.within",
            f"{one.name} hear of a {over[0]} after {one.within.text}, when it has been due to be resolved ({resolve}): tell them earlier",
            f"severities.{over[0]}.resolve",
        )  # fmt: skip


def _given(policy: Policy, audience: str, one: Hearing, where: str) -> Iterator[Finding]:
    if audience in OUTSIDE and "update" in one.met_by:
        yield Finding(
            "met_inside", ERROR, f"{where}.met_by",
            f"{one.name} would count as told by an update on the incident, which is read inside alone: name a channel that they read",
        )  # fmt: skip
    if "update" in one.met_by:
        return
    approval = policy.outside.approval
    open_ways = [way for way in one.met_by if way in approval]
    if not open_ways:
        yield Finding(
            "cannot_be_heard", ERROR, f"{where}.met_by",
            f"{one.name} are owed word over {listed([words(way) for way in one.met_by], 'or')}, but nobody approves and sends it, so none can "
            f"leave: add {one.met_by[0]} to outside.approval",
            "outside.approval",
        )  # fmt: skip
    elif not any(one.through in (approval[way].approves, approval[way].sends) for way in open_ways):
        yield Finding(
            "goes_past_its_owner", ERROR, f"{where}.through",
            f"what {one.name} hear goes through the {words(one.through)}, who neither approves nor sends over {words(open_ways[0])}: let "
            "them do one of both, or name who does",
            f"outside.approval.{open_ways[0]}",
        )  # fmt: skip
    if one.met_by == ("customer_mail",) and policy.outside.customer_mail.major_changes_only:
        yield Finding(
            "customers_get_every_update", ERROR, f"{where}.met_by",
            f"{one.name} are owed word every {one.every.text} by mail alone, though customers are mailed major changes only: add status_page",
            "outside.customer_mail.major_changes_only",
        )  # fmt: skip


def major(policy: Policy, week: Week) -> Iterator[Finding]:
    """What is major can happen, and customers hear no later of it than the public."""
    terms, outside = policy.outside.major, policy.outside
    for name, party in outside.parties.items():
        if not party.major_only:
            continue
        kinds = party.types or tuple(policy.types)
        known = {subtype for kind in kinds for subtype in policy.types[kind].subtypes}
        if terms.above_percent_of_users >= 100 and not known & set(terms.subtypes):
            yield Finding(
                "never_major", ERROR, f"outside.parties.{name}.major_only",
                f"{party.name} are told of major incidents alone, and none can be: more than 100 % of users are never affected, and no subtype "
                "that is major is one of theirs: lower above_percent_of_users, or name subtypes",
                "outside.major.above_percent_of_users",
            )  # fmt: skip
        mail = outside.customer_mail
        if (
            party.severities
            and mail.severities
            and terms.above_percent_of_users < mail.above_percent_of_users
        ):
            yield Finding(
                "told_before_customers", WARNING, "outside.major.above_percent_of_users",
                f"{party.name} are told above {terms.above_percent_of_users:g} % of users, customers only above "
                f"{mail.above_percent_of_users:g} %: let customers hear no later than the public",
                "outside.customer_mail.above_percent_of_users",
            )  # fmt: skip


def verification(policy: Policy, week: Week) -> Iterator[Finding]:
    """What is done at once is not left unverified for longer than it took."""
    allowed, within = policy.actions.verified_within, policy.actions.immediate.within
    if week.longer(allowed, within):
        yield Finding(
            "verified_too_late", WARNING, "actions.verified_within",
            f"an immediate action is done within {within.text} and may then wait {allowed.text} to be verified: verify it no later",
            "actions.immediate.within",
        )  # fmt: skip


CHECKS: tuple[Check, ...] = (recovery, continuity, hearing, major, verification)
