"""Who may write at the same time, within one process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """Lets many pass together, and one that others keep overtaking pass alone.

    Under REPEATABLE READ a busy row lets one writer through and sends the others back; without this the same one could
    be sent back again and again.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._waiting_alone = 0
        self._alone = False
        self._thread = threading.local()

    @contextmanager
    def passing(self, alone: bool = False) -> Iterator[None]:
        """Raises :class:`RuntimeError` where this thread is inside already: it would wait for itself."""
        if getattr(self._thread, "inside", False):
            raise RuntimeError("a unit of work cannot wait for another one: use the transaction it was given")
        self._enter(alone)
        self._thread.inside = True
        try:
            yield
        finally:
            self._thread.inside = False
            with self._changed:
                self._inside -= 1
                if alone:
                    self._alone = False
                self._changed.notify_all()

    def _enter(self, alone: bool) -> None:
        with self._changed:
            if alone:
                self._waiting_alone += 1
                self._changed.wait_for(lambda: self._inside == 0)
                self._waiting_alone -= 1
                self._alone = True
            else:
                self._changed.wait_for(lambda: not self._alone and not self._waiting_alone)
            self._inside += 1
