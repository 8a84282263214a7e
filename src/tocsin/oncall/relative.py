"""Times as people write them in a file: ``2026-03-02 09:00``, ``monday -4 weeks 09:00``, ``today +2 days 14:30``, ``now``.

A weekday means that day of the present week (Monday to Sunday) in the zone at hand; ``-4 weeks`` and ``+2 days`` move
it. A time of day may follow, otherwise it is midnight. Only relative forms look at the given ``now``.
"""

from __future__ import annotations

import re

from tocsin.kernel.clock import DAY, HOUR, MINUTE, WEEK, Instant, parse_instant
from tocsin.kernel.errors import Unusable
from tocsin.oncall.walltime import instant_at, parse_time_of_day, parse_wall, wall_at, weekday

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNITS = {
    "s": 1_000_000, "sec": 1_000_000, "second": 1_000_000, "m": MINUTE, "min": MINUTE, "minute": MINUTE, "h": HOUR,
    "hour": HOUR, "d": DAY, "day": DAY, "w": WEEK, "week": WEEK,
}  # fmt: skip
_DURATION = re.compile(r"(\d{1,6})\s*([a-z]+)")
_RELATIVE = re.compile(
    rf"(?P<base>now|today|tomorrow|yesterday|{'|'.join(WEEKDAYS)})"
    r"(?P<moves>(?:\s*[+-]\s*\d{1,4}\s*[a-z]+)*)"
    r"(?:\s+(?P<time>\d{1,2}:\d{2}))?"
)
_MOVE = re.compile(r"([+-])\s*(\d{1,4}\s*[a-z]+)")
_DAYS = {"today": 0, "tomorrow": 1, "yesterday": -1}


def parse_duration(text: str) -> int:
    """``5 min``, ``2 h``, ``1 week`` or ``1 h 30 min`` in microseconds; raises :class:`Unusable`."""
    rest, total = text.strip().casefold(), 0
    if rest == "0":
        return 0
    while rest:
        match = _DURATION.match(rest)
        unit = _UNITS.get(match[2]) or _UNITS.get(match[2].removesuffix("s")) if match else None
        if match is None or unit is None:
            raise Unusable(
                f"{text[:60]!r} is not a duration: write it like 5 min, 2 h, 3 days or 1 week", "duration"
            )
        total += int(match[1]) * unit
        rest = rest[match.end() :].strip()
    if not text.strip():
        raise Unusable("a duration is missing: write it like 5 min, 2 h, 3 days or 1 week", "duration")
    return total


def parse_local(text: str, zone: str, now: Instant) -> int:
    """The wall time in ``zone`` that ``text`` means; raises :class:`Unusable` with the forms that can be written."""
    match = _RELATIVE.fullmatch(text.strip().casefold())
    if match is None:
        return parse_wall(text)
    present = wall_at(zone, now)
    base = match["base"]
    wall = present if base == "now" else present - present % DAY
    if base in _DAYS:
        wall += _DAYS[base] * DAY
    elif base in WEEKDAYS:
        wall += (WEEKDAYS.index(base) - weekday(wall)) * DAY
    for sign, amount in _MOVE.findall(match["moves"]):
        wall += parse_duration(amount) * (1 if sign == "+" else -1)
    if match["time"]:
        wall = wall - wall % DAY + parse_time_of_day(match["time"])
    return wall - wall % MINUTE


def parse_moment(text: str, zone: str, now: Instant) -> Instant:
    """The instant that ``text`` means: a relative or local form in ``zone``, or RFC 3339 with its own offset."""
    try:
        return instant_at(zone, parse_local(text, zone, now))
    except Unusable as error:
        if not re.search(r"\d(?:z|[+-]\d{2}:?\d{2})$", text.strip().casefold()):
            raise Unusable(f"{error.sentence}; or relative, like monday +1 week 09:00", error.where) from None
    return parse_instant(text)
