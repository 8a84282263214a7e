"""How much may be on its way in at once: a bounded number of requests and of bytes, so that a flood is refused, not stored up.

Whoever is refused hears it at once and tries again; what was let in is taken to the disk.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tocsin.intake.limits import RETRY_AFTER
from tocsin.kernel.errors import Busy

MAX_REQUESTS = 1024
"""requests on their way in at once"""
MAX_BYTES = 128 * 1024 * 1024
"""bytes of their bodies together"""


class Gate:
    """Counts what is inside. Not for several threads: one event loop owns it."""

    def __init__(self, max_requests: int = MAX_REQUESTS, max_bytes: int = MAX_BYTES) -> None:
        self.max_requests, self.max_bytes = max_requests, max_bytes
        self.requests = self.bytes = 0
        self.refused = 0
        """how often it was full since the start"""

    def enter(self) -> Place:
        """A place inside, to be held with ``with`` until the request is answered; raises :class:`Busy` when full."""
        if self.requests >= self.max_requests:
            self.refused += 1
            raise Busy(f"{self.max_requests} requests are on their way in already; try again", RETRY_AFTER)
        return Place(self)


class Place:
    """One request inside the gate."""

    __slots__ = ("_bytes", "_gate")

    def __init__(self, gate: Gate) -> None:
        self._gate, self._bytes = gate, 0

    def add(self, size: int) -> None:
        """Counts bytes of the body as they come; raises :class:`Busy` when all bodies together are too much."""
        gate = self._gate
        if gate.bytes + size > gate.max_bytes:
            gate.refused += 1
            raise Busy(
                f"{gate.max_bytes // 1024} kB of bodies are on their way in already; try again", RETRY_AFTER
            )
        gate.bytes += size
        self._bytes += size

    def __enter__(self) -> Self:
        self._gate.requests += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._gate.requests -= 1
        self._gate.bytes -= self._bytes
        self._bytes = 0
