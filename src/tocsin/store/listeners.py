"""Those who want to know of commits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType


class _Reported:
    """Reports what a listener raises as its thread would have, so that the others are still called."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if kind is not None:
            thread = threading.current_thread()
            threading.excepthook(threading.ExceptHookArgs((kind, error, traceback, thread)))
        return True


class Listeners:
    """A set of functions that are called after commits, from whichever thread committed."""

    def __init__(self) -> None:
        self._functions: tuple[Callable[[], None], ...] = ()
        self._lock = threading.Lock()

    def add(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Adds one; the function returned takes it out again."""
        with self._lock:
            self._functions = (*self._functions, listener)

        def remove() -> None:
            with self._lock:
                self._functions = tuple(function for function in self._functions if function != listener)

        return remove

    def call(self) -> None:
        for function in self._functions:
            with _Reported():
                function()
