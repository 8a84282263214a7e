"""The loop: steps when something falls due, sleeps otherwise, never polls hot, and goes on whatever one step does.

It wakes at a commit (the store tells), at the next due moment, and once a second where another process may have
written. Each channel delivers on threads of its own, so that one that hangs holds up no other; what a channel cannot take
yet stays in the outbox. Futures are kept until they are done, because a task that nobody holds can be collected before
it ran.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import structlog

from tocsin.engine.engine import Engine
from tocsin.engine.watching import Heartbeat, Watch
from tocsin.kernel.clock import SECOND
from tocsin.kernel.errors import Busy

log = structlog.get_logger("tocsin.loop")

WORKERS = 4
"""threads of one channel"""
QUEUED = 28
"""messages that wait for a channel's threads; the others stay in the outbox"""


class Loop:
    """Runs ``engine.step`` in a thread of its own between :meth:`start` and :meth:`stop`."""

    def __init__(
        self, engine: Engine, workers: int = WORKERS, longest_sleep: float = 1.0, *, watch: Watch | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:  # fmt: skip
        self.engine, self.watch, self.heartbeat = engine, watch, heartbeat
        self._wake = threading.Event()
        self._stopping = False
        self._stopped = threading.Event()
        self._longest = longest_sleep
        self._workers = workers
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._held: dict[str, set[Future[None]]] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="tocsin-loop", daemon=True)
        self._unsubscribe = engine.store.subscribe(self._wake.set, due_only=True)
        engine.deliveries = self

    def room(self, channel: str) -> int:
        """How many more messages the channel can take now."""
        with self._lock:
            return self._workers + QUEUED - len(self._held.get(channel, ()))

    def idle(self) -> bool:
        """Whether a thread is free for what is handed out next; while not, what falls due is gathered."""
        with self._lock:
            busy = any(len(held) >= max(1, self._workers // 2) for held in self._held.values())
        return self._thread.is_alive() and not self._stopping and not busy

    def pause(self, micros: int) -> bool:
        """Lets a delivery wait; not while the loop stops."""
        return not self._stopped.wait(micros / SECOND)

    def hand_out(self, channel: str, job: Callable[[], object]) -> None:
        """Runs a delivery on the channel's threads and keeps hold of it."""
        with self._lock:
            if channel not in self._pools:
                self._pools[channel] = ThreadPoolExecutor(
                    self._workers, thread_name_prefix=f"tocsin-{channel}"
                )
            future = self._pools[channel].submit(self._guarded, job)
            self._held.setdefault(channel, set()).add(future)
        future.add_done_callback(lambda done: self._let_go(channel, done))

    def _let_go(self, channel: str, done: Future[None]) -> None:
        with self._lock:
            was_full = len(self._held[channel]) >= self._workers + QUEUED
            self._held[channel].discard(done)
        if was_full:
            self._wake.set()

    def _full(self) -> bool:
        """Whether a channel has no room: what waits for it cannot leave before a thread is free."""
        with self._lock:
            return any(len(held) >= self._workers + QUEUED for held in self._held.values())

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
        self._stopped.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        self._unsubscribe()
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=True)
        if self.watch is not None:
            self.watch.goodbye()

    def _signs_of_life(self) -> None:
        """Before each step: a gap behind us is dealt with before anything that it made late."""
        if self.watch is not None:
            self.watch.look()
        if self.heartbeat is not None and self.heartbeat.due():
            self.hand_out("watchdog", self.heartbeat.beat)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            try:
                self._signs_of_life()
                done, due = 0, self.engine.next_due()
                if due is not None and due <= self.engine.clock.now():
                    done = self.engine.step()
                    due = self.engine.next_due() if not done else None
            except (
                Busy
            ) as error:  # its sentence says all there is to know, each time the store is asked again
                log.error("no step can be taken", why=error.sentence)
                done, due = 0, None
                self._wake.wait(self._longest)
            except Exception:  # the loop outlives every error; lateness shows that something is wrong
                log.exception("a step failed")
                done, due = 0, None
                self._wake.wait(self._longest)
            if done:
                continue
            wait = (
                self._longest
                if due is None or self._full()
                else min(self._longest, max(0.0, (due - self.engine.clock.now()) / SECOND))
            )
            self._wake.wait(wait)
