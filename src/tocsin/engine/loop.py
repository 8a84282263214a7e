"""The loop: steps when something falls due, sleeps otherwise, never polls hot, and goes on whatever one step does.

It wakes at a commit (the store tells), at the next due moment, and once a second where another process may have
written. Deliveries run on a small pool of threads; their futures are kept until they are done, because a task that
nobody holds can be collected before it ran.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from tocsin.engine.engine import Engine
from tocsin.engine.watching import Heartbeat, Watch
from tocsin.kernel.clock import SECOND

log = structlog.get_logger("tocsin.loop")


class Loop:
    """Runs ``engine.step`` in a thread of its own between :meth:`start` and :meth:`stop`."""

    def __init__(
        self, engine: Engine, workers: int = 8, longest_sleep: float = 1.0, *, watch: Watch | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:  # fmt: skip
        self.engine, self.watch, self.heartbeat = engine, watch, heartbeat
        self._wake = threading.Event()
        self._stopping = False
        self._longest = longest_sleep
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="tocsin-deliver")
        self._held: set[Future[None]] = set()
        self._thread = threading.Thread(target=self._run, name="tocsin-loop", daemon=True)
        self._unsubscribe = engine.store.subscribe(self._wake.set, due_only=True)
        engine._deliver = self.hand_out

    def hand_out(self, job: Callable[[], object]) -> None:
        """Runs a delivery on the pool and keeps hold of it."""
        future = self._pool.submit(self._guarded, job)
        self._held.add(future)
        future.add_done_callback(self._held.discard)

    @staticmethod
    def _guarded(job: Callable[[], object]) -> None:
        try:
            job()
        except Exception:  # the lease of this one message runs out and it is tried again
            log.exception("a delivery failed in an unforeseen way")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after the step under way; what was not delivered is leased again later."""
        self._stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        self._unsubscribe()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self.watch is not None:
            self.watch.goodbye()

    def _signs_of_life(self) -> None:
        """Before each step: a gap behind us is dealt with before anything that it made late."""
        if self.watch is not None:
            self.watch.look()
        if self.heartbeat is not None and self.heartbeat.due():
            self.hand_out(self.heartbeat.beat)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self._signs_of_life()
                done = self.engine.step()
                due = self.engine.next_due() if not done else None
            except Exception:  # the loop outlives every error; lateness shows that something is wrong
                log.exception("a step failed")
                done, due = 0, None
                self._wake.wait(self._longest)
            if done:
                continue
            wait = (
                self._longest
                if due is None
                else min(self._longest, max(0.0, (due - self.engine.clock.now()) / SECOND))
            )
            self._wake.wait(wait)
