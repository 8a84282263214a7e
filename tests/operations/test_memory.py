"""The collector of cycles works while nothing else does."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import textwrap

from tocsin.memory import OLDER_EVERY, WORTH, worth_a_pass


def test_a_pause_is_used_where_there_is_something_to_look_through():
    assert worth_a_pass((WORTH - 1, OLDER_EVERY, 99)) is None
    assert worth_a_pass((WORTH, 0, 0)) == 0
    assert worth_a_pass((WORTH, OLDER_EVERY, 0)) == 1


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
    assert gc.isenabled()
