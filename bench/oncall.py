"""Who is on call now, for 10,000 schedules: after a change, warm, and beside rows that somebody worked out beforehand in SQL."""

from __future__ import annotations

import sqlite3
import time

from tocsin.catalogue.people import Person
from tocsin.incidents.directory import Directory
from tocsin.kernel.clock import DAY, SystemClock, to_datetime
from tocsin.oncall.rotations import Rotation
from tocsin.oncall.schedules import Schedule


def measure(count: int = 10_000) -> list[dict[str, object]]:
    """One row with all three."""
    now = SystemClock().now()
    people = [Person(f"p{n}", f"Person {n}") for n in range(1000)]
    schedules = [_schedule(n, now) for n in range(count)]
    begin = time.perf_counter()
    directory = Directory(people=people, schedules=schedules)
    first = [directory.on_call(one.id, now).person for one in schedules]
    cold = time.perf_counter() - begin
    begin = time.perf_counter()
    second = [directory.on_call(one.id, now + 1).person for one in schedules]
    warm = time.perf_counter() - begin
    assert first == second
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE shifts (schedule TEXT PRIMARY KEY, person TEXT)")
    database.executemany(
        "INSERT INTO shifts VALUES (?, ?)", zip((one.id for one in schedules), first, strict=True)
    )
    begin = time.perf_counter()
    rows = database.execute("SELECT schedule, person FROM shifts").fetchall()
    ready = time.perf_counter() - begin
    assert len(rows) == count
    return [
        {
            "schedules": count,
            "after a change s": round(cold, 3),
            "warm s": round(warm, 3),
            "precomputed rows s": round(ready, 4),
            "warm ratio": round(warm / ready, 1),
        }
    ]


def _schedule(number: int, now: int) -> Schedule:
    start = to_datetime(now - 70 * DAY).strftime("%Y-%m-%dT09:00")
    members = tuple(f"p{(number + step) % 1000}" for step in range(4))
    zone = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC")[number % 4]
    return Schedule(
        f"s{number}", f"Schedule {number}", zone=zone, rotations=(Rotation("weekly", members, start, zone),)
    )
