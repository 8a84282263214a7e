"""One that was overtaken too often passes alone."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from tocsin.store.turnstile import Turnstile


def test_one_that_passes_alone_waits_for_those_inside_and_holds_up_those_who_come():
    turnstile, order = Turnstile(), []
    entered, leave = threading.Event(), threading.Event()

    def first():
        with turnstile.passing():
            entered.set()
            leave.wait(5)
            order.append("first")

    def alone():
        with turnstile.passing(alone=True):
            order.append("alone")

    def later():
        with turnstile.passing():
            order.append("later")

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(first)]
        entered.wait(5)
        futures.append(pool.submit(alone))
        while not turnstile._waiting_alone:
            pass
        futures.append(pool.submit(later))
        leave.set()
        for future in futures:
            future.result(5)
    assert order == ["first", "alone", "later"]


def test_several_pass_together():
    turnstile, both = Turnstile(), threading.Barrier(2, timeout=5)

    def pass_with_another():
        with turnstile.passing():
            both.wait()

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(pass_with_another) for _ in range(2)]:
            future.result(5)
