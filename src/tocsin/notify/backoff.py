"""When a message that was not taken is tried again."""

from __future__ import annotations

from tocsin.kernel.clock import HOUR, MINUTE, SECOND, Instant
from tocsin.kernel.randomness import Randomness, jitter

FIRST = 2 * SECOND
LONGEST = {0: 30 * SECOND, 1: MINUTE}
GIVE_UP = {0: HOUR, 1: 4 * HOUR}


def next_attempt(
    attempts: int,
    created_at: Instant,
    now: Instant,
    urgency: int,
    randomness: Randomness,
    retry_after: int | None = None,
) -> Instant | None:
    """When to try again, or None to give up and use the person's next contact.

    Doubles from 2 s with 20 % of jitter, to 30 s at most for a P1; what the provider asks for (seconds) is respected.
    """
    if now - created_at > GIVE_UP.get(urgency, 24 * HOUR):
        return None
    pause = min(FIRST * 2 ** min(attempts - 1, 20), LONGEST.get(urgency, 15 * MINUTE))
    return now + max(jitter(randomness, pause), (retry_after or 0) * SECOND)
