"""When messages wait for each other: in a storm few of them say as much as many, and the writer is left to what comes in."""

from __future__ import annotations

import threading

from tocsin.kernel.clock import MILLISECOND, Clock, Instant

LONGEST_REST = 100 * MILLISECOND
"""between messages of a storm: each lists all that is unanswered, so that few of them say as much as many"""
ALONE = 4
"""messages of one incident that opens: after so few the next do not wait"""
CALM = 10 * MILLISECOND
"""without anything that comes in, after which nothing more is waited for"""
PAUSE = 4 * CALM
"""of a storm, after which what became of its messages is written: those that wait leave first"""


class Pace:
    """See the module. For several threads."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._rests_until: Instant = 0
        self._coming = 0
        """units of work that take something in, from when they wait for the writer until they are committed"""
        self._stirred: Instant = 0
        """when something last came in or was composed"""
        self._counting = threading.Lock()

    def next_due(self, due: Instant | None, *, within: bool = False) -> Instant | None:
        """When a message that is ``due`` then is composed: not while it rests from the last. ``within``: asked by something that
        comes in itself.
        """
        now = self.clock.now()
        comes = self._coming > int(within)
        until = self._rests_until if comes else min(self._rests_until, self._stirred + CALM)
        rests = now < until <= now + LONGEST_REST  # unless the clock was set back
        return max(due, until) if rests and due is not None else due

    def rest(self, began: Instant, rows: int) -> None:
        """The more fell due together, the more will: those wait for each other, and the writer is left to what comes in. What
        one incident sends is no storm.
        """
        now = self.clock.now()
        rest = min(LONGEST_REST, max(0, now - began) * (rows - ALONE))
        self._rests_until = now + rest if rows > ALONE else 0
        self._stirred = now

    def storms(self) -> bool:
        """Whether more comes in, so soon after many messages fell due together that they rest or are composed again by now."""
        now = self.clock.now()
        comes = self._coming > 0 or 0 <= now - self._stirred < PAUSE
        return comes and -LONGEST_REST <= now - self._rests_until < LONGEST_REST

    def comes(self) -> None:
        """Something comes in, which may make something due."""
        with self._counting:
            self._coming += 1

    def came(self) -> None:
        """It is committed, or refused."""
        with self._counting:
            self._coming -= 1
        self._stirred = self.clock.now()
