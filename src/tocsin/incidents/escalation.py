"""Escalation, pure: which step of a run comes when. A step adds people and never stops an earlier one.

The chain (targets and delays) is the policy's, or the escalation policy's own; who a target means is the directory's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident, Run
from tocsin.kernel.clock import MINUTE, Instant
from tocsin.policy import model as policy_model
from tocsin.policy.calendar import BUSINESS, ELAPSED, BusinessCalendar, Duration
from tocsin.policy.model import Policy

LATE = MINUTE
"""a step later than this moves the steps after it, so that they keep their spacing from now"""


class Step(msgspec.Struct, frozen=True):
    """``after``: delay from the run's anchor. ``targets``: names that the directory resolves."""

    after: Duration
    targets: tuple[str, ...]
    quiet: bool = False


class Chain(msgspec.Struct, frozen=True):
    """The steps of a run, and after the last one the pause until everybody is paged again (None: only once)."""

    steps: tuple[Step, ...]
    repeat: Duration | None


class Due(msgspec.Struct, frozen=True):
    """The next step of a run and when it is due. ``round`` is that of the step: a repeat begins a new one."""

    at: Instant
    step: int
    round: int
    targets: tuple[str, ...]
    quiet: bool = False


def chain_of(run: Run, policy: Policy, directory: Directory) -> Chain:
    """The chain of a run by its kind. An escalation policy with steps of its own for the severity replaces the policy's."""
    chain = policy.severity(run.severity).escalation
    if run.kind == "manual":
        return Chain((Step(Duration.parse("0m"), tuple(run.first)),), None)
    if run.kind == "commander":
        commander = policy.paging.commander
        steps, repeat = commander.steps, commander.repeat_every or chain.repeat_every
    else:
        team = directory.escalation_policy_for(service=run.service, policy=run.escalation_policy)
        own = team.steps_for(run.severity) if team else ()
        if own:
            return Chain(
                tuple(
                    Step(Duration(BUSINESS if step.business else ELAPSED, step.after), step.targets)
                    for step in own
                ),
                chain.repeat_every,
            )
        steps, repeat = chain.steps, chain.repeat_every
    return Chain(_plain(steps), repeat)


_PLAIN: dict[int, tuple[Sequence[policy_model.Step], tuple[Step, ...]]] = {}
"""by the identity of a policy's steps, which are kept so that it stays theirs: they are asked for several times in each incident"""
_MOST_PLAIN = 256


def _plain(steps: Sequence[policy_model.Step]) -> tuple[Step, ...]:
    known = _PLAIN.get(id(steps))
    if known is None:
        if len(_PLAIN) >= _MOST_PLAIN:
            _PLAIN.clear()
        plain = tuple(Step(step.after, tuple(step.targets), step.quiet) for step in steps)
        known = _PLAIN[id(steps)] = (steps, plain)
    return known[1]


def next_step(run: Run, chain: Chain, calendar: BusinessCalendar) -> Due | None:
    """The step that comes next, or None when the run is over or has nothing left."""
    if run.state != "running" or not chain.steps:
        return None
    if run.next < len(chain.steps):
        step = chain.steps[run.next]
        at = calendar.add(run.anchor, step.after)
        # the step before it found nobody: this one comes in its place, those after it at their time
        if run.skipped:
            at = min(at, max(run.last_step_at, run.anchor))
        return Due(max(at, run.paused_until), run.next, run.round, step.targets, step.quiet)
    if chain.repeat is None:
        return None
    at = calendar.add(run.last_step_at or run.anchor, chain.repeat)
    return Due(max(at, run.paused_until), len(chain.steps) - 1, run.round + 1, _everybody(chain))


def _everybody(chain: Chain) -> tuple[str, ...]:
    return tuple(dict.fromkeys(target for step in chain.steps for target in step.targets))


TURNS = ("on_call", "secondary", "technical_lead", "incident_commander", "secondary_commander")


def is_turn(target: str) -> bool:
    """Whether whom ``target`` means changes by itself as time goes on."""
    return target in TURNS or target.partition(":")[0] in ("schedule", "service")


ABOVE = {
    "on_call": "engineering_lead", "secondary": "engineering_lead", "engineering_lead": "engineering_manager",
    "engineering_manager": "cto", "cto": "ceo",
}  # fmt: skip
"""one step up: to whom a missed duty goes where those it would go to are the ones who owe it"""


def one_up(
    target: str,
    directory: Directory,
    at: Instant,
    owing: Collection[str],
    *,
    service: str = "",
    policy: str = "",
) -> tuple[str, ...]:
    """Whom a missed duty goes to: ``target``, or the next above it who does not owe it already and has a contact."""
    asked: str | None = target
    people: tuple[str, ...] = ()
    while asked is not None:
        people = directory.resolve(asked, at, service=service, policy=policy, to_page=True).people
        if any(person not in owing for person in people):
            return people
        asked = ABOVE.get(asked)
    return people


def next_escalation(
    incident: Incident, policy: Policy, calendar: BusinessCalendar, directory: Directory
) -> Instant | None:
    """When the earliest step of any run of the incident is due."""
    moments = [
        due.at
        for run in incident.runs.values()
        if run.state == "running" and (due := next_step(run, chain_of(run, policy, directory), calendar))
    ]
    return min(moments, default=None)
