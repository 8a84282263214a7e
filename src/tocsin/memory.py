"""The memory of a process that serves: what stays is kept from the collector of cycles, which works while nothing else does.

Nearly everything here is freed by its count of references. What the collector looks through is mostly what stays, a
microsecond for six objects, and everybody waits meanwhile: in a storm a twentieth of the time.
"""

from __future__ import annotations

import ctypes
import gc
import threading
import time
from collections.abc import Callable
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""of ``mallopt(3)``"""
LARGE_BUFFER = 1024 * 1024
"""bytes from which on a buffer goes back to the operating system when it is freed: the view of an incident of thousands of alerts,
a body of thousands. By itself glibc raises this each time one is freed, and what was needed for a moment is kept for good"""
THRESHOLDS = (150_000, 20, 50)
"""of the collector, where no pause comes: new objects, passes over those, passes over what these left"""
CALM, AT_MOST = 0.02, 0.002
"""seconds that are a pause, and of the processor's time that this process takes in one"""
WORTH = 2_000
"""new objects that are worth a pass, a third of a millisecond"""
OLDER_EVERY = 20
"""passes after which what those left is looked through too, and after as many of these again everything"""


def settle_memory(subscribe: Callable[[Callable[[], None]], object]) -> None:
    """Takes what is there from the collector for good, lets it work in pauses, and the C library give back large buffers.

    ``subscribe`` takes what is to be called after each commit.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    # another C library than glibc has no such choice, and other habits
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, LARGE_BUFFER)
        library.mallopt(M_TRIM_THRESHOLD, 4 * LARGE_BUFFER)
    stirred = threading.Event()
    subscribe(stirred.set)
    threading.Thread(target=_tidy_in_pauses, args=(stirred,), name="tocsin-tidy", daemon=True).start()


def generation_of(passed: int) -> int:
    """What the pass after so many others looks through, as the collector itself would: 0 for what is new, 2 for everything."""
    number = passed + 1
    return 2 if number % OLDER_EVERY**2 == 0 else 1 if number % OLDER_EVERY == 0 else 0


def _tidy_in_pauses(stirred: threading.Event) -> None:
    passed = 0
    while True:
        stirred.wait()
        stirred.clear()
        while _works():
            pass
        if gc.get_count()[0] >= WORTH:
            gc.collect(generation_of(passed))
            passed += 1


def _works() -> bool:
    """Whether there was more to do in the last moment than to wait; a unit of work may take longer than that to its commit."""
    before = time.process_time()
    time.sleep(CALM)
    return time.process_time() - before > AT_MOST
