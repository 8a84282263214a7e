"""Time is an argument: this module alone asks the system what time it is.

An *instant* is an ``int``: microseconds since 1970-01-01T00:00:00Z. Integers because facts carry no floats, compare
without surprises and mean the same in both databases. Durations are ``int`` microseconds too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Protocol

from tocsin.kernel.errors import Unusable

Instant = int
"""Microseconds since the epoch, UTC."""

MILLISECOND = 1_000
SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
WEEK = 7 * DAY

LATEST = 4_102_444_800 * SECOND
"""2100-01-01: a later time is a mistake (milliseconds read as seconds, a counter, "never"), not a moment."""
_FIRST = -62_135_510_400 * SECOND
_LAST = 253_402_214_400 * SECOND - 1
"""The second day of year 1 to the last but one of 9999: what a calendar can show in every zone."""


class Clock(Protocol):
    """Whatever can say what time it is."""

    def now(self) -> Instant:
        """The present instant (UTC, microseconds)."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> Instant:
        return time.time_ns() // 1_000


class SteadyClock:
    """Counts from an arbitrary beginning and is never set: what really went by, the machine's sleep included.

    Two processes may compare what it says while :func:`boot_id` is the same.
    """

    def now(self) -> Instant:
        if hasattr(time, "CLOCK_BOOTTIME"):
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000
        return time.monotonic_ns() // 1_000


class SharedClock:
    """The clock of a database that several machines share, carried on by ``steady`` between two looks.

    ``ask`` answers the database's time. Until :meth:`refresh` is called again the clock runs by itself, so that no
    decision waits for the network.
    """

    def __init__(self, ask: Callable[[], Instant], steady: Clock | None = None) -> None:
        self._ask, self._steady = ask, steady or SteadyClock()
        self._base, self._at = ask(), self._steady.now()

    def now(self) -> Instant:
        return self._base + self._steady.now() - self._at

    def refresh(self) -> None:
        """Looks at the database's clock again; small differences never turn time back."""
        asked, at = self._ask(), self._steady.now()
        carried = self._base + at - self._at
        if 0 < carried - asked < SECOND:
            return
        self._base, self._at = asked, at


def boot_id() -> str:
    """Names this run of the machine where the system tells (Linux), else empty."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


class ManualClock:
    """A clock that stands still until it is moved; tests, drills and proofs run on it."""

    def __init__(self, start: Instant | str = "2026-03-02T09:00:00Z") -> None:
        self._now = parse_instant(start) if isinstance(start, str) else start

    def now(self) -> Instant:
        return self._now

    def move_to(self, instant: Instant) -> None:
        """Sets the clock, backwards too: a clock that steps is one of the faults that drills play."""
        self._now = instant

    def advance(self, duration: int) -> Instant:
        """Moves forward by ``duration`` microseconds and says the new time."""
        self._now += duration
        return self._now


class ScaledClock:
    """A clock that runs ``factor`` times as fast as the machine's, from the moment it was made (demonstrations)."""

    def __init__(self, factor: int, base: Clock | None = None) -> None:
        self._base = base or SystemClock()
        self._start = self._base.now()
        self.factor = factor
        self._offset = 0

    def now(self) -> Instant:
        return self._start + (self._base.now() - self._start) * self.factor + self._offset

    def skip(self, duration: int) -> None:
        """Jumps forward by ``duration`` microseconds of the clock's own time."""
        self._offset += duration


def from_datetime(moment: datetime) -> Instant:
    """The instant of an aware datetime; a naive one is refused because it names no moment."""
    if moment.tzinfo is None:
        raise Unusable(f"{moment.isoformat()} has no time zone: add Z for UTC or an offset such as +01:00")
    delta = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND + delta.microseconds


def check_instant(instant: Instant, where: str) -> Instant:
    """``instant`` where it lies between 1970 and 2100, else :class:`Unusable`: what comes from outside goes through here."""
    if not 0 <= instant < LATEST:
        raise Unusable(f"{where} is not a moment between 1970 and 2100; correct it", where)
    return instant


def to_datetime(instant: Instant, zone: tzinfo = UTC) -> datetime:
    """The aware datetime of ``instant`` in ``zone``; the first or last one there is where no calendar reaches it."""
    seconds, micros = divmod(min(max(instant, _FIRST), _LAST), SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros).astimezone(zone)


def parse_instant(text: str) -> Instant:
    """Reads RFC 3339 (``2026-03-02T09:00:00Z``, with any fraction and offset); raises :class:`Unusable` with a hint."""
    raw = text[:200].strip()
    head, dot, tail = raw.partition(".")
    if dot:  # Go writes nine digits of fraction, datetime reads six
        digits = 0
        while digits < len(tail) and tail[digits].isdigit():
            digits += 1
        raw = f"{head}.{tail[: min(digits, 6)].ljust(6, '0')}{tail[digits:]}" if digits else head + tail
    try:
        moment = datetime.fromisoformat(raw)
    except ValueError:
        raise Unusable(f"{text[:60]!r} is not a time: write it like 2026-03-02T09:00:00Z") from None
    try:
        return from_datetime(moment)
    except OverflowError:
        # year 1 with a positive offset cannot be expressed in UTC; senders use year 1 for "not set"
        return from_datetime(moment.replace(tzinfo=UTC))


def to_iso(instant: Instant) -> str:
    """RFC 3339 in UTC, to the microsecond only where there is one: ``2026-03-02T09:00:00Z``."""
    moment = to_datetime(instant)
    timespec = "microseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def humanize(duration: int) -> str:
    """A duration in microseconds as people say it: ``45 s``, ``12 min``, ``2 h 5 min``, ``3 d 4 h``."""
    sign = "-" if duration < 0 else ""
    seconds = abs(duration) // SECOND
    if seconds < 60:
        return f"{sign}{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{sign}{minutes} min" + (f" {seconds} s" if seconds and minutes < 5 else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{sign}{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{sign}{days} d" + (f" {hours} h" if hours else "")


def earliest(instants: Iterable[Instant | None]) -> Instant | None:
    """The smallest of those that are set, or None."""
    return min((instant for instant in instants if instant is not None), default=None)
