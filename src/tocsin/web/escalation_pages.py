"""Escalation policies: whom the chain's names mean for one team, chains of its own, and who that is at this moment."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine.admin_desk import slug
from tocsin.engine.admin_escalation import teams_of
from tocsin.engine.administration import administer
from tocsin.engine.changes import ChainStep, PutEscalationPolicy
from tocsin.incidents.directory import Directory
from tocsin.kernel.clock import SECOND, Instant, humanize
from tocsin.kernel.errors import NotFound, TocsinError, Unusable, UnusableMany
from tocsin.oncall.escalation import EscalationPolicy, EscalationStep
from tocsin.policy.calendar import BUSINESS, ELAPSED
from tocsin.policy.model import Policy
from tocsin.web.base import Visit, Web

MOST_FAULTS = 50
"""lines that are named where they cannot be read"""
BUSINESS_WORD, AT_ONCE = "business", "at once"


class Stage(msgspec.Struct):
    """A step as the page shows it: when, whom it names, and who that is now."""

    after: str
    targets: list[str]
    people: list[str]


class EscalationPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of escalation policies."""
        route = self.web.route
        return [
            route("/escalation", self.policies),
            route("/escalation/{policy}", self.policy, form=True),
        ]

    def policies(self, visit: Visit) -> Response:
        """Every escalation policy, with the teams that have it."""
        directory = visit.directory
        found = sorted(directory.escalation_policies.values(), key=lambda one: one.name.casefold())
        return visit.page(
            "escalations.html", policies=found, users={one.id: teams_of(directory, one.id) for one in found},
        )  # fmt: skip

    def policy(self, visit: Visit) -> Response:
        """Makes (``new``) or changes one; whoever may not reads it."""
        id, error = visit.part("policy"), ""
        new = id == "new"
        if new and not visit.may("schedules"):
            return visit.refuse("Escalation policies are made by owners", "Ask an owner of this installation to make one.")  # fmt: skip
        one = EscalationPolicy("", "") if new else visit.directory.escalation_policies.get(id)
        if one is None:
            raise NotFound(f"there is no escalation policy {id[:60]}")
        policy = visit.engine.store.read(lambda r: visit.engine.policy_of(r, "")[0])
        if visit.posting:
            try:
                if visit.form.get("verb") == "remove_escalation_policy":
                    visit.act("remove_escalation_policy", escalation_policy=one.id)
                    return visit.go("/escalation", f"{one.name} is removed.")
                if visit.form.get("verb") != PutEscalationPolicy.verb:
                    raise NotFound(f"this page has no form {str(visit.form.get('verb', ''))[:40]!r}")
                change = change_of(visit, one.id, list(policy.severities))
                administer(visit.engine, visit.principal, change)
                return visit.go(f"/escalation/{change.id}", "Saved.")
            except TocsinError as refused:
                error = visit.why(refused)
        directory = visit.directory
        return visit.page(
            "escalation.html", 400 if error else 200, error=error, one=one, users=teams_of(directory, one.id),
            teams=sorted(directory.teams.values(), key=lambda team: team.name.casefold()), severities=list(policy.severities),
            targets="\n".join(f"{name} = {meant}" for name, meant in one.targets.items()),
            steps={severity: lines_of(one.steps_for(severity)) for severity in policy.severities},
            stages={severity: stages(one, severity, policy, directory, visit.now) for severity in policy.severities} if one.id else {},
        )  # fmt: skip


def stages(
    one: EscalationPolicy, severity: str, policy: Policy, directory: Directory, now: Instant
) -> list[Stage]:
    """Who is paged for a severity, step by step, as things stand now."""
    own = [(delay(step.after, step.business), list(step.targets)) for step in one.steps_for(severity)]
    chain = own or [
        (delay(step.after.amount, step.after.kind == BUSINESS), list(step.targets))
        if step.after.kind in (ELAPSED, BUSINESS)
        else (f"after {step.after.text}", list(step.targets))
        for step in policy.severity(severity).escalation.steps
    ]
    found = []
    for after, targets in chain:
        meant = [
            directory.resolve(target, now, team=one.team, policy=one.id, to_page=True).people
            for target in targets
        ]
        people = dict.fromkeys(directory.name(person) for some in meant for person in some)
        found.append(Stage(after, targets, list(people)))
    return found


def delay(after: int, business: bool) -> str:
    """When a step comes, for people."""
    if not after:
        return AT_ONCE
    return f"after {humanize(after)}{f' {BUSINESS_WORD}' if business else ''}"


def lines_of(steps: tuple[EscalationStep, ...]) -> str:
    """A chain as the form has it: ``2 min: secondary, on_call``; with ``business`` behind the time where that is meant."""
    return "\n".join(
        f"{exactly(step.after)}{f' {BUSINESS_WORD}' if step.business else ''}: {', '.join(step.targets)}"
        for step in steps
    )


def exactly(duration: int) -> str:
    """A duration as a form takes it, nothing left out: ``2 h 13 min 20 s``."""
    seconds, parts = duration // SECOND, []
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0"


def change_of(visit: Visit, id: str, severities: list[str]) -> PutEscalationPolicy:
    """The form; raises :class:`UnusableMany` with every line that cannot be read."""
    form, faults = visit.form, list[Unusable]()
    name = str(form.get("name", ""))

    def parts(text: str, sign: str, example: str, where: str) -> Iterator[tuple[str, str]]:
        for number, line in enumerate(_lines(text), 1):
            left, found, right = (part.strip() for part in line.partition(sign))
            if found and left and right:
                yield left, right
            elif len(faults) < MOST_FAULTS:
                faults.append(Unusable(f"{line[:80]!r}: write it like {example}", f"{where}, line {number}"))

    targets = dict(parts(str(form.get("targets", "")), "=", "on_call = schedule:payments", "names"))
    steps: dict[str, list[ChainStep]] = {}
    for severity in severities:
        for after, page in parts(
            str(form.get(f"steps-{severity}", "")), ":", "2 min: secondary, on_call", severity
        ):
            named = [part.strip() for part in page.split(",") if part.strip()]
            business = after.endswith(f" {BUSINESS_WORD}")
            steps.setdefault(severity, []).append(
                ChainStep(after.removesuffix(f" {BUSINESS_WORD}"), named, business)
            )
    if faults:
        raise UnusableMany(faults)
    return PutEscalationPolicy(
        id or slug(name, visit.directory.escalation_policies), name, str(form.get("team", "")), targets, steps
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
