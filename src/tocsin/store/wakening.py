"""Waking those who wait for changes, across processes: PostgreSQL's LISTEN and NOTIFY.

NOTIFY inside a transaction makes all commits of the instance wait in line, so it is sent after the commit, by a thread
of its own, once for all commits of some milliseconds. What gets lost that way is found by a look each second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tocsin.kernel.errors import Busy
from tocsin.store.listeners import Listeners

try:
    import psycopg
except ImportError:
    if not TYPE_CHECKING:
        psycopg = None  # the extra is not installed: PostgresStore says so

CHANNEL = "tocsin"
GATHER_SECONDS = 0.005
POLL_SECONDS = 1.0


def notify(value: Callable[..., Any], instance: str, wanted: threading.Event, stop: threading.Event) -> None:
    """Sends a notification when ``wanted``; a last one on ``stop``, which ends the wait of this instance's listener."""
    while True:
        wanted.wait()
        wanted.clear()
        try:
            value("SELECT pg_notify(%s, %s)", (CHANNEL, instance))
        except Busy:
            # the server is away; the others look by themselves each second
            stop.wait(POLL_SECONDS)
        if stop.wait(GATHER_SECONDS):
            return


def listen(conninfo: str, instance: str, listeners: Listeners, stop: threading.Event) -> None:
    """Calls the listeners for each notification of another instance and each second, until ``stop``."""
    while not stop.is_set():
        try:
            with psycopg.connect(conninfo, autocommit=True) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                listeners.call()
                while not stop.is_set():
                    notes = list(connection.notifies(timeout=POLL_SECONDS, stop_after=1))
                    if not notes or any(note.payload != instance for note in notes):
                        listeners.call()
        except psycopg.OperationalError:
            # the server is away: keep looking, and listen again once it is back
            if not stop.wait(POLL_SECONDS):
                listeners.call()
