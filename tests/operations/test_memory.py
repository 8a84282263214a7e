"""The collector of cycles works while nothing else does."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

from tocsin.memory import OLDER_EVERY, generation_of


def test_what_earlier_passes_left_is_looked_through_now_and_then_and_everything_once_in_a_while():
    asked = [generation_of(passed) for passed in range(OLDER_EVERY**2)]
    assert asked[: OLDER_EVERY - 1] == [0] * (OLDER_EVERY - 1)
    assert [number + 1 for number, one in enumerate(asked) if one == 1] == [
        *range(OLDER_EVERY, OLDER_EVERY**2, OLDER_EVERY)
    ]
    assert asked[-1] == 2 and asked.count(2) == 1


def test_cycles_are_freed_once_nothing_is_committed_for_a_moment():
    """In a process of its own, because it changes the whole of it."""
    program = """
        import gc, json, threading, weakref
        from tocsin.memory import WORTH, settle_memory

        class Node:
            pass

        def cycles(count):
            made = [Node() for _ in range(count)]
            for node in made:
                node.itself = node
            return [weakref.ref(node) for node in made]

        committed, passed = [], threading.Event()
        settle_memory(committed.append)
        gc.callbacks.append(lambda phase, _: passed.set() if phase == "stop" else None)
        left = cycles(WORTH)
        quiet = passed.wait(0.2)
        committed[0]()
        print(json.dumps([quiet, passed.wait(20), sum(one() is not None for one in left), gc.get_freeze_count() > 0]))
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], check=True, capture_output=True, text=True
    )
    assert json.loads(answer.stdout) == [False, True, 0, True]
