"""Does every page reach somebody: 500 schedules, 52 weeks, every stretch decided. Beside looking at every minute."""

from __future__ import annotations

import time

from tocsin.catalogue.people import Contact, Person
from tocsin.catalogue.services import Service
from tocsin.catalogue.teams import Team
from tocsin.incidents.organisation import Organisation, OrganisationSettings
from tocsin.kernel.clock import DAY, MINUTE, WEEK, SystemClock, to_datetime
from tocsin.notify.coverage import prove
from tocsin.oncall.rotations import Rotation
from tocsin.oncall.schedules import Override, Schedule
from tocsin.policy.load import default_policy

LOOKS = 20_000
"""(schedule, minute) pairs looked at one by one, to know what one look costs"""


def measure(count: int = 500, weeks: int = 52) -> list[dict[str, object]]:
    """One row: the proof, and what asking each schedule at each minute would take (counted from a sample)."""
    now = SystemClock().now()
    directory = organisation(count, now).directory()
    begin = time.perf_counter()
    proof = prove(default_policy(), directory, now, weeks=weeks)
    took = time.perf_counter() - begin
    begin = time.perf_counter()
    for number in range(LOOKS):
        directory.on_call(f"s{number % count}", now + number * (weeks * WEEK // LOOKS))
    each = (time.perf_counter() - begin) / LOOKS
    by_minute = each * count * (weeks * WEEK // MINUTE)
    return [
        {
            "schedules": count,
            "weeks": weeks,
            "stretches decided": proof.openings,
            "proved": proof.proved,
            "proof s": round(took, 1),
            "minute by minute s": round(by_minute),
            "ratio": round(took / by_minute, 4),
        }
    ]


def organisation(count: int, now: int) -> Organisation:
    """A team, a service and a weekly rotation of four in one of four zones for each; every third has an override."""
    people = [
        Person(f"p{n}", f"Person {n}", contacts=(Contact("push", "ntfy", f"t{n}", tested_at=1), Contact("text", "sms", f"+1555{n:07}", tested_at=1)))
        for n in range(count * 4)
    ]  # fmt: skip
    for number, role in enumerate(("cto", "ceo")):
        people[number] = Person(
            f"p{number}", f"Person {number}", contacts=people[number].contacts, org_roles=(role,)
        )
    teams = tuple(
        Team(
            f"t{n}", f"Team {n}", tuple(f"p{n * 4 + k}" for k in range(4)), f"s{n}",
            engineering_lead=f"p{n * 4 + 2}", engineering_manager=f"p{n * 4 + 3}",
        )
        for n in range(count)
    )  # fmt: skip
    services = tuple(Service(f"service-{n}", f"Service {n}", team=f"t{n}") for n in range(count))
    schedules = [_schedule(n, now) for n in range(count)]
    boss = Rotation("b", ("p2", "p7", "p11"), "2026-01-05T00:00", "UTC", 1, "weeks")
    schedules.append(Schedule("boss", "Commanders", (boss,)))
    return Organisation(
        OrganisationSettings(commander_schedule="boss", default_team="t0"), tuple(people), teams, services,
        tuple(schedules), overrides=tuple(
            Override(f"o{n}", f"s{n}", now + (n % 50) * WEEK, now + (n % 50) * WEEK + DAY, f"p{n * 4 + 1}")
            for n in range(0, count, 3)
        ),
    )  # fmt: skip


def _schedule(number: int, now: int) -> Schedule:
    start = to_datetime(now - 70 * DAY).strftime("%Y-%m-%dT09:00")
    zone = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "UTC")[number % 4]
    members = tuple(f"p{number * 4 + step}" for step in range(4))
    return Schedule(
        f"s{number}", f"Schedule {number}", zone=zone, rotations=(Rotation("weekly", members, start, zone),)
    )
