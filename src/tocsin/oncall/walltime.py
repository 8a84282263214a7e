"""Local wall time to instants and back, with the two odd hours of the year decided.

A *wall* time is an ``int``: microseconds since 1970-01-01T00:00 as the clock on the wall shows them. A wall time that
clocks skip means the first instant after the jump; one that they repeat means its first occurrence.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND, Instant, to_datetime
from tocsin.kernel.errors import Unusable

_EPOCH = datetime(1970, 1, 1)
_EARLIEST, _LATEST = -50 * 366 * DAY, 250 * 366 * DAY
"""Roughly 1920 to 2220: what zone data and datetime handle with room to spare."""


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name; raises :class:`Unusable` where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Unusable(
            f"there is no time zone {name[:60]!r}: use an IANA name such as Europe/Berlin", "zone"
        ) from None


@lru_cache(maxsize=65_536)
def instant_at(zone: str, wall: int) -> Instant:
    """The instant at which ``wall`` is on the clocks of ``zone``."""
    info = zone_of(zone)
    seconds, micros = divmod(wall, SECOND)
    naive = _EPOCH + timedelta(seconds=seconds)
    before = _offset(naive.replace(tzinfo=info))
    after = _offset(naive.replace(tzinfo=info, fold=1))
    if before >= after:  # an ordinary time, or one that clocks show twice: the first
        return (seconds - before) * SECOND + micros
    return _jump(info, seconds - after, seconds - before) * SECOND


def wall_at(zone: str, instant: Instant) -> int:
    """What the clocks of ``zone`` show at ``instant``."""
    info = zone_of(zone)
    return instant + _offset(to_datetime(instant, info)) * SECOND


def _offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    if offset is None:
        raise Unusable(
            f"the time zone {moment.tzinfo} gives no offset: use an IANA name such as Europe/Berlin", "zone"
        )
    return offset.days * 86_400 + offset.seconds


def _jump(zone: ZoneInfo, low: int, high: int) -> int:
    """The second, between ``low`` (before) and ``high`` (not before), from which the later offset holds."""
    later = _offset(datetime.fromtimestamp(high, UTC).astimezone(zone))
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC).astimezone(zone)) == later:
            high = middle
        else:
            low = middle
    return high


def parse_wall(text: str) -> int:
    """``2026-03-02T09:00`` (or with a blank) as a wall time; raises :class:`Unusable`."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Unusable(
            f"{text[:60]!r} is not a local date and time: write it like 2026-03-02 09:00", "start"
        ) from None
    if moment.tzinfo is not None:
        raise Unusable(
            f"{text[:60]!r} carries an offset: write the local time without one, the zone stands beside it",
            "start",
        )
    wall = _to_wall(moment)
    if not _EARLIEST < wall < _LATEST:
        raise Unusable(f"{text[:60]!r} is too far away: use a year between 1930 and 2200", "start")
    return wall


def _to_wall(moment: datetime) -> int:
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * SECOND


def wall_text(wall: int) -> str:
    """``2026-03-02T09:00`` of a wall time."""
    return (_EPOCH + timedelta(seconds=wall // SECOND)).isoformat(timespec="minutes")


def parse_time_of_day(text: str) -> int:
    """``09:30`` as microseconds since midnight, ``24:00`` included; raises :class:`Unusable`."""
    hours, colon, minutes = text.strip().partition(":")
    if colon and hours.isdecimal() and minutes.isdecimal() and len(hours) <= 2 and len(minutes) == 2:
        value = int(hours) * HOUR + int(minutes) * MINUTE
        if int(minutes) < 60 and value <= DAY:
            return value
    raise Unusable(
        f"{text[:60]!r} is not a time of day: write it like 09:00 (24:00 is midnight at the day's end)",
        "time",
    )


def weekday(wall: int) -> int:
    """0 for Monday to 6 for Sunday."""
    return (wall // DAY + 3) % 7
