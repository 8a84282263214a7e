"""What travels in one unit of work: as long as it waits for the writer, more may come along.

Where units of work wait for each other they become fewer and larger, and each costs less; where nothing waits, nothing is
held up. A unit of work that fails before it begins (a full disk, a database that is away) is over as well: whoever submits
one says so with :meth:`Together.ends_with`, or everything later would wait for what is past.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Together(Generic[T]):
    """What a unit of work is about, until it begins. For several threads."""

    def __init__(self, first: Iterable[T]) -> None:
        self._parts = list(first)
        self._lock = threading.Lock()
        self._begun = False

    def add(self, more: Sequence[T]) -> bool:
        """Takes ``more`` along; False where the unit of work has begun, so that they need another."""
        with self._lock:
            if not self._begun:
                self._parts += more
            return not self._begun

    def ends_with(self, future: Future[Any]) -> None:
        """Nothing comes along any more once ``future``, its unit of work, is done: it may never have run."""
        future.add_done_callback(lambda _: self.begin())

    def rounds(self) -> Iterator[list[T]]:
        """What came along, and then again what did meanwhile, until nothing did: from there on nothing is added. From the start
        each time: a unit of work may be done again.
        """
        taken = 0
        while True:
            with self._lock:
                some = self._parts[taken:]
                self._begun = self._begun or not some
                taken += len(some)
            if not some:
                return
            yield some

    def begin(self) -> list[T]:
        """What came along, in its order; nothing is added any more. May be called again."""
        with self._lock:
            self._begun = True
        return self._parts
