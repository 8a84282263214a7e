"""Looking at a policy before it is applied: what is wrong with it, whom it would not reach, what it changes for people."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.incidents.directory import Directory
from tocsin.kernel.clock import Instant
from tocsin.notify.coverage import Counterexample, Proof, prove
from tocsin.notify.policy_change import Side, coming_week, people_changes
from tocsin.notify.policy_people import people_findings
from tocsin.policy.check import check
from tocsin.policy.diff import diff
from tocsin.policy.finding import Places
from tocsin.policy.model import Policy


def findings(
    text: str,
    policy: Policy,
    directory: Directory,
    now: Instant,
    weeks: int,
    kinds: Iterable[str] | None = None,
) -> list[str]:
    """What the checker finds, with its line; what it finds with these people; and the shortest counterexamples of the proof."""
    places = Places(text, "policy.yaml")
    usable = tuple(kinds) if kinds is not None else None
    found = [places.said(one) for one in check(policy)]
    found += [one.sentence for one in people_findings(policy, directory, now, weeks=weeks, kinds=usable)]
    return found + [
        one.sentence for one in shortest(prove(policy, directory, now, weeks=weeks, kinds=usable))
    ]


def shortest(proof: Proof) -> list[Counterexample]:
    """For each severity and demand the counterexample that needs the least to go wrong, the earliest of those."""
    seen: dict[tuple[str, str], Counterexample] = {}
    for one in proof.found:
        seen.setdefault((one.severity, one.demand), one)
    return sorted(seen.values(), key=lambda one: (one.failures, one.severity, one.opened))


def changes(before: Policy, after: Policy, directory: Directory, now: Instant) -> tuple[list[str], list[str]]:
    """(what changes for people, what only its readers notice), in sentences."""
    found = diff(before, after)
    week = coming_week(directory, now)
    paged = people_changes(Side(before, directory), Side(after, directory), week)
    said = [f"{one.about}: {one.sentence}" for one in found.behaviour] + [one.sentence for one in paged]
    return said, [one.sentence for one in found.words]
