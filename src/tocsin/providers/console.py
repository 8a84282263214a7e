"""The console: a telephone for demonstrations, and the twin of every channel in tests."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.ports import Message, Receipt


class ConsoleChannel:
    """Keeps the last messages and hands each to ``show``. ``fail_next`` scripts failures, one for each delivery.

    ``messages`` of another console: both are one telephone, and its messages stand in one order.
    """

    wakes = True

    def __init__(
        self, name: str = "console", show: Callable[[Message], None] | None = None, keep: int = 500,
        messages: deque[Message] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.messages: deque[Message] = deque(maxlen=keep) if messages is None else messages
        self.fail_next: deque[DeliveryFailed] = deque()
        self._show = show
        self._lock = threading.Lock()

    def deliver(self, message: Message) -> Receipt:
        with self._lock:
            if self.fail_next:
                raise self.fail_next.popleft()
            self.messages.append(message)
        if self._show is not None:
            self._show(message)
        return Receipt("delivered")
