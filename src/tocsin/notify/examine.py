"""Looking at a policy before it is applied: what is wrong with it, whom it would not reach, what it changes for people."""

from __future__ import annotations

from collections.abc import Iterable

from tocsin.incidents.directory import Directory
from tocsin.kernel.clock import Instant
from tocsin.notify.coverage import Counterexample, Proof, prove
from tocsin.policy.check import check
from tocsin.policy.model import Policy


def findings(
    policy: Policy, directory: Directory | None, now: Instant, weeks: int, kinds: Iterable[str] | None = None
) -> tuple[list[str], Proof | None]:
    """What the checker finds, and with people what the proof does: the shortest counterexample of each kind."""
    found = [f"{one.where}: {one.sentence}" for one in check(policy)]
    if directory is None:
        return found, None
    proof = prove(policy, directory, now, weeks=weeks, kinds=kinds)
    return found + [one.sentence for one in shortest(proof)], proof


def shortest(proof: Proof) -> list[Counterexample]:
    """For each severity and demand the counterexample that needs the least to go wrong, the earliest of those."""
    seen: dict[tuple[str, str], Counterexample] = {}
    for one in proof.found:
        seen.setdefault((one.severity, one.demand), one)
    return sorted(seen.values(), key=lambda one: (one.failures, one.severity, one.opened))
