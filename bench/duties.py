"""What 10,000 open incidents owe, from their stored views: beside reading and decoding the same rows."""

from __future__ import annotations

import random
import time

from tocsin.incidents import facts as f
from tocsin.incidents.duties import duties, standing
from tocsin.incidents.folding import fold
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import DAY, MINUTE, SystemClock
from tocsin.kernel.codec import decode, encode
from tocsin.policy.load import default_policy
from tocsin.policy.model import SEVERITIES


def measure(count: int = 10_000) -> list[dict[str, object]]:
    """One row: every duty of every incident with its standing, and the decoding of the views that it starts from."""
    policy, now = default_policy(), SystemClock().now()
    pick = random.Random(7)
    stored = [encode(_incident(number, now, pick)) for number in range(count)]
    begin = time.perf_counter()
    incidents = [decode(row, Incident) for row in stored]
    reading = time.perf_counter() - begin
    begin = time.perf_counter()
    found = [duties(incident, policy) for incident in incidents]
    owing = time.perf_counter() - begin
    begin = time.perf_counter()
    late = sum(standing(duty, now).state == "overdue" for owed in found for duty in owed)
    judging = time.perf_counter() - begin
    return [
        {
            "open incidents": count,
            "duties": sum(len(owed) for owed in found),
            "overdue": late,
            "duties s": round(owing, 3),
            "standing s": round(judging, 3),
            "decoding the rows s": round(reading, 3),
            "ratio to decoding": round((owing + judging) / reading, 1),
        }
    ]


def _incident(number: int, now: int, pick: random.Random) -> Incident:
    """One of any severity and age up to four days, in the middle of its work."""
    opened = now - pick.randrange(4 * DAY)
    incident = Incident(f"I{number}")
    severity = pick.choice(SEVERITIES)
    declared = f.Declared(
        number,
        "INC",
        "checkout errors at 12 %",
        severity,
        "proposed",
        "matched a rule",
        "policy",
        rule="errors",
    )
    steps: list[tuple[int, f.Body]] = [(0, declared)]
    if pick.random() < 0.7:
        steps.append((pick.randrange(10), f.Acknowledged("p1", "web")))
        steps += [(pick.randrange(10, 600), f.UpdatePosted(text="looking")) for _ in range(pick.randrange(4))]
    for version, (minutes, body) in enumerate(sorted(steps, key=lambda one: one[0]), 1):
        fold(incident, body, min(now, opened + minutes * MINUTE), version, "person:p1")
    return incident
