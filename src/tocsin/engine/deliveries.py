"""Who runs deliveries: at once where they are handed out, or beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tocsin.kernel.clock import MINUTE

LEASE = MINUTE
"""of a message: longer than any channel's time-outs; whoever took it and died holds it up no longer than this"""
MANY = 1_000_000


class Deliveries(Protocol):
    """Runs deliveries: at once, or on threads, each channel's its own."""

    def room(self, channel: str) -> int:
        """How many more messages the channel can take now."""
        ...

    def hand_out(self, channel: str, job: Callable[[], object]) -> None:
        """Runs a delivery by ``channel``."""
        ...

    def idle(self) -> bool:
        """Whether deliveries run beside whoever hands them out, and few are under way."""
        ...

    def pause(self, micros: int) -> bool:
        """Lets a delivery wait; False, at once, where nothing goes on meanwhile."""
        ...


class AtOnce:
    """Delivers where it stands, one message after another: tests, drills and simulations."""

    def room(self, channel: str) -> int:
        return MANY

    def hand_out(self, channel: str, job: Callable[[], object]) -> None:
        job()

    def idle(self) -> bool:
        return False

    def pause(self, micros: int) -> bool:
        return False
