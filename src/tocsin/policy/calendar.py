"""Durations as the policy writes them, and business time.

A duration is one of four kinds:

* *elapsed*: ``90s``, ``15m``, ``4h``, ``3d``, ``1 week``; so many microseconds, whatever clocks on walls do;
* *business time*: ``4h business``, ``30m business``; working hours alone count;
* *business days*: ``2 business days``; the same time of day, so many working days later;
* *calendar months*: ``1 month``, ``1 quarter``; the same day of a later month, clamped to that month's end.

Wall times are read as everywhere in Tocsin: one that clocks skip is the first instant after the jump, one that they
show twice is its first showing. Working hours include their start and not their end; what is counted to exactly the
closing is due at the closing.
"""

from __future__ import annotations

import calendar as gregorian
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND, WEEK, Instant, to_datetime
from tocsin.kernel.errors import Unusable

ELAPSED, BUSINESS, BUSINESS_DAYS, MONTHS = "elapsed", "business", "business_days", "months"

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_HINT = "write it like 90s, 15m, 4h, 3d, 1 week, 4h business, 2 business days, 1 month or 1 quarter"
_SHAPE = re.compile(r"(\d{1,10})\s*(business\s+)?([a-z]+)(\s+business)?", re.ASCII)
_UNITS = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), ("s", SECOND)),
    **dict.fromkeys(("m", "min", "minute", "minutes"), ("m", MINUTE)),
    **dict.fromkeys(("h", "hour", "hours"), ("h", HOUR)),
    **dict.fromkeys(("d", "day", "days"), ("d", DAY)),
    **dict.fromkeys(("w", "week", "weeks"), ("week", WEEK)),
}
_MONTHS = {
    **dict.fromkeys(("month", "months"), ("month", 1)),
    **dict.fromkeys(("quarter", "quarters"), ("quarter", 3)),
    **dict.fromkeys(("year", "years"), ("year", 12)),
}
_LONGEST = 100 * 366 * DAY


@dataclass(frozen=True)
class Duration:
    """How long. ``amount`` is microseconds for the kinds elapsed and business, days for business days, months else.

    ``text`` is how it was written (``24h`` stays ``24h``); it does not take part in comparing, and reading it again
    gives the same duration.
    """

    kind: str
    amount: int
    text: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.text:
            object.__setattr__(self, "text", _text(self.kind, self.amount))

    @classmethod
    def parse(cls, text: str) -> Duration:
        """Reads one of the forms above; raises :class:`Unusable` with the forms that there are."""
        raw = " ".join(text.lower().split())
        if raw == "0":
            return cls(ELAPSED, 0, "0s")
        shape = _SHAPE.fullmatch(raw)
        if shape is None:
            raise Unusable(f"{text!r} is not a duration: {_HINT}")
        number, before, unit, after = int(shape[1]), shape[2], shape[3], shape[4]
        if unit in _MONTHS and not before and not after:
            name, months = _MONTHS[unit]
            return _bounded(cls(MONTHS, number * months, _plural(number, name)), text)
        if unit not in _UNITS:
            raise Unusable(f"{text!r} is not a duration: {unit!r} is no unit; {_HINT}")
        short, size = _UNITS[unit]
        if not before and not after:
            written = _plural(number, "week") if short == "week" else f"{number}{short}"
            return _bounded(cls(ELAPSED, number * size, written), text)
        if short == "d":
            if number == 0:
                raise Unusable(f"{text!r} is not a duration: business days count from 1; {_HINT}")
            return _bounded(cls(BUSINESS_DAYS, number, _plural(number, "business day")), text)
        if short == "week":
            raise Unusable(f"{text!r} is not a duration: say how many business days a week has; {_HINT}")
        return _bounded(cls(BUSINESS, number * size, f"{number}{short} business"), text)

    @classmethod
    def elapsed(cls, micros: int) -> Duration:
        """An elapsed duration of ``micros`` microseconds (whole seconds)."""
        return cls(ELAPSED, micros)

    @property
    def is_business(self) -> bool:
        """Whether working hours or working days alone count."""
        return self.kind in (BUSINESS, BUSINESS_DAYS)

    @property
    def is_elapsed(self) -> bool:
        return self.kind == ELAPSED

    @property
    def micros(self) -> int:
        """The length of an elapsed duration in microseconds; raises :class:`Unusable` for every other kind."""
        if self.kind != ELAPSED:
            raise Unusable(
                f"{self.text} has no fixed length: it needs a calendar, and an elapsed time was expected"
            )
        return self.amount

    @property
    def roughly(self) -> int:
        """A length in microseconds to compare durations by, never to compute a due time: a business day counts 24
        hours, a business hour three, a month 30 days.
        """
        return {ELAPSED: 1, BUSINESS: 3, BUSINESS_DAYS: DAY, MONTHS: 30 * DAY}[self.kind] * self.amount

    @property
    def said(self) -> str:
        """As people say it: ``15 minutes``, ``4 hours of business time``, ``2 business days``, ``1 month``."""
        if self.kind in (BUSINESS_DAYS, MONTHS):
            return self.text
        for size, name in ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
            # 24, 48 and 72 hours are said in hours, as guides write them
            if self.amount and self.amount % size == 0 and not (size == DAY and self.amount <= 3 * DAY):
                words = _plural(self.amount // size, name)
                break
        else:
            words = _plural(self.amount // SECOND, "second")
        return f"{words} of business time" if self.kind == BUSINESS else words

    def __str__(self) -> str:
        return self.text

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def _validate(cls, value: object) -> Duration:
        if isinstance(value, Duration):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and value == 0:
            return cls(ELAPSED, 0, "0s")
        if not isinstance(value, str):
            raise PydanticCustomError(
                "duration", "{value} is not a duration: {hint}", {"value": repr(value), "hint": _HINT}
            )
        try:
            return cls.parse(value)
        except Unusable as error:
            raise PydanticCustomError("duration", "{sentence}", {"sentence": error.sentence}) from None


def _bounded(duration: Duration, text: str) -> Duration:
    if duration.roughly > _LONGEST:
        raise Unusable(f"{text!r} is more than a hundred years: {_HINT}")
    return duration


def _plural(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _text(kind: str, amount: int) -> str:
    if kind == BUSINESS_DAYS:
        return _plural(amount, "business day")
    if kind == MONTHS:
        return _plural(amount // 3, "quarter") if amount and amount % 3 == 0 else _plural(amount, "month")
    tail = " business" if kind == BUSINESS else ""
    sizes = ((DAY, "d"), (HOUR, "h"), (MINUTE, "m")) if kind == ELAPSED else ((HOUR, "h"), (MINUTE, "m"))
    for size, short in sizes:
        if amount and amount % size == 0:
            return f"{amount // size}{short}{tail}"
    return f"{amount // SECOND}s{tail}"


@lru_cache(maxsize=256)
def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name; raises :class:`Unusable` where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Unusable(
            f"there is no time zone {name!r}: use an IANA name such as Europe/Berlin or UTC"
        ) from None


Minutes = tuple[int, int]
"""Start and end of working hours in minutes since midnight; the end is not included and may be 1440."""


@dataclass(frozen=True)
class BusinessCalendar:
    """When an organisation works: ``hours`` for Monday (0) to Sunday (6), ``holidays`` as ISO dates without work.

    Raises :class:`Unusable` where the zone is unknown, hours overlap or run backwards, a holiday is no date, or
    nobody ever works.
    """

    zone: str
    hours: tuple[tuple[Minutes, ...], ...]
    holidays: frozenset[str] = frozenset()
    _days: dict[int, tuple[tuple[Instant, Instant], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    _off: frozenset[int] = field(default=frozenset(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        zone_named(self.zone)
        if len(self.hours) != 7:
            raise Unusable(f"a calendar has hours for 7 weekdays, this one for {len(self.hours)}")
        if not any(self.hours):
            raise Unusable("the calendar has no working hours: give at least one weekday hours")
        for day, spans in zip(WEEKDAYS, self.hours, strict=True):
            last = 0
            for start, end in spans:
                if not 0 <= start < end <= 24 * 60:
                    raise Unusable(
                        f"{day}: hours must start before they end, between 00:00 and 24:00; put a night shift on two days"
                    )
                if start < last:
                    raise Unusable(f"{day}: hours overlap or are out of order")
                last = end
        object.__setattr__(self, "_off", frozenset(_ordinal(day) for day in self.holidays))

    @classmethod
    def standard(cls, zone: str = "UTC", holidays: frozenset[str] = frozenset()) -> BusinessCalendar:
        """Monday to Friday, 09:00 to 17:00."""
        day = ((9 * 60, 17 * 60),)
        return cls(zone, (day, day, day, day, day, (), ()), holidays)

    # questions

    def is_open(self, at: Instant) -> bool:
        """Whether ``at`` lies in working hours (their end does not)."""
        today = self._date(at)
        # tomorrow's may have begun: clocks that go back over midnight show yesterday's date again
        return any(start <= at < end for day in (today, today + 1) for start, end in self._day(day))

    def in_hours(self, at: Instant) -> Instant:
        """``at`` itself in working hours or at their very end, where business time falls due; else when they next begin."""
        return at if self.is_open(at) or self.is_open(at - 1) else self.next_opening(at)

    def next_opening(self, at: Instant) -> Instant:
        """``at`` itself in working hours, else when they next begin."""
        for start, end in self._spans(at):
            if end > at:
                return max(start, at)
        raise AssertionError("unreachable: the spans of a calendar never end")

    def next_closing(self, at: Instant) -> Instant | None:
        """When working hours next end after ``at``; None for a calendar that never closes within two years."""
        latest = at + 2 * 366 * DAY
        closing: Instant | None = None
        for start, end in self._spans(at):
            if end <= at:
                continue
            if closing is not None and start > closing:
                return closing
            closing = end
            if closing > latest:
                return None
        return closing

    def midnight_after(self, at: Instant) -> Instant:
        """When the local day after that of ``at`` begins."""
        return wall_instant(self.zone, self._date(at) + 1, 0)

    def next_day(self, at: Instant) -> Instant:
        """When the next business day after the local day of ``at`` opens."""
        return self.next_opening(self.midnight_after(at))

    def wall_edges(self, start: Instant, end: Instant) -> list[Instant]:
        """Every time of day at which hours begin or end on some weekday, on each local day between the two instants."""
        minutes = sorted({edge for spans in self.hours for span in spans for edge in span})
        return [
            wall_instant(self.zone, ordinal, minute)
            for ordinal in range(self._date(start), self._date(end) + 1)
            for minute in minutes
        ]

    def add(self, start: Instant, duration: Duration) -> Instant:
        """When ``duration`` from ``start`` is over. Business kinds count from the next opening when it is closed."""
        if duration.kind == ELAPSED:
            return start + duration.amount
        if duration.kind == MONTHS:
            return self._add_months(start, duration.amount)
        opening = self.next_opening(start)
        if duration.kind == BUSINESS_DAYS:
            return self._add_business_days(opening, duration.amount)
        left = duration.amount
        if left == 0:
            return opening
        for begin, end in self._spans(opening):
            begin = max(begin, opening)
            if end - begin >= left > 0 and end > begin:
                return begin + left
            left -= max(0, end - begin)
        raise AssertionError("unreachable: the spans of a calendar never end")

    def business_between(self, a: Instant, b: Instant) -> int:
        """Microseconds of working hours between two instants; negative where ``b`` comes first."""
        if b < a:
            return -self.business_between(b, a)
        return sum(end - start for start, end in self.intervals(a, b))

    def intervals(self, start: Instant, due: Instant) -> list[tuple[Instant, Instant]]:
        """The stretches of working hours from ``start`` to ``due``, clipped to both, touching ones joined."""
        found: list[tuple[Instant, Instant]] = []
        for begin, end in self._spans(start):
            if begin >= due:
                break
            low, high = max(begin, start), min(end, due)
            if low >= high:
                continue
            if found and found[-1][1] == low:
                found[-1] = (found[-1][0], high)
            else:
                found.append((low, high))
        return found

    # the arithmetic

    def _date(self, at: Instant) -> int:
        return to_datetime(at, zone_named(self.zone)).toordinal()

    def _day(self, ordinal: int) -> tuple[tuple[Instant, Instant], ...]:
        """The working hours of one local date as instants, in order."""
        known = self._days.get(ordinal)
        if known is None:
            known = self._work_out(ordinal)
            if len(self._days) > 4_000:  # ten years of days: somebody plans far ahead, start over
                self._days.clear()
            self._days[ordinal] = known
        return known

    def _work_out(self, ordinal: int) -> tuple[tuple[Instant, Instant], ...]:
        if ordinal in self._off:
            return ()
        spans = (
            (wall_instant(self.zone, ordinal, start), wall_instant(self.zone, ordinal, end))
            for start, end in self.hours[(ordinal - 1) % 7]
        )
        # hours that the clocks jump over altogether are no hours
        return tuple((start, end) for start, end in spans if start < end)

    def _spans(self, at: Instant) -> Iterator[tuple[Instant, Instant]]:
        """Working hours in order, for ever, from the local date before ``at`` on."""
        ordinal = self._date(at) - 1
        while True:
            yield from self._day(ordinal)
            ordinal += 1

    def _add_business_days(self, opening: Instant, days: int) -> Instant:
        local = to_datetime(opening, zone_named(self.zone))
        ordinal, left = local.toordinal(), days
        while left:
            ordinal += 1
            left -= bool(self._day(ordinal))
        minutes, rest = local.hour * 60 + local.minute, local.second * SECOND + local.microsecond
        due = wall_instant(self.zone, ordinal, minutes) + rest
        for start, end in self._day(ordinal):
            if due <= end:
                return max(start, due)
        return self._day(ordinal)[-1][1]  # that day closes earlier

    def _add_months(self, start: Instant, months: int) -> Instant:
        local = to_datetime(start, zone_named(self.zone))
        years, month = divmod(local.month - 1 + months, 12)
        year, month = local.year + years, month + 1
        day = min(local.day, gregorian.monthrange(year, month)[1])
        rest = local.second * SECOND + local.microsecond
        return (
            wall_instant(self.zone, date(year, month, day).toordinal(), local.hour * 60 + local.minute) + rest
        )


def _ordinal(day: str) -> int:
    try:
        return date.fromisoformat(day).toordinal()
    except ValueError:
        raise Unusable(f"the holiday {day!r} is not a date: write it like 2026-12-25") from None


_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


def wall_instant(zone: str, ordinal: int, minutes: int) -> Instant:
    """The instant at which clocks of ``zone`` show ``minutes`` past midnight of a date (proleptic ordinal).

    1440 minutes is the midnight after. Skipped: the first instant after the jump. Shown twice: the first showing.
    """
    info = zone_named(zone)
    naive = datetime.fromordinal(ordinal) + timedelta(minutes=minutes)
    wall = ((ordinal - _EPOCH_ORDINAL) * 1440 + minutes) * 60
    before = _offset(naive.replace(tzinfo=info))
    after = _offset(naive.replace(tzinfo=info, fold=1))
    if before >= after:  # an ordinary time, or one shown twice
        return (wall - before) * SECOND
    low, high = wall - after, wall - before  # the jump lies in between
    jump = bisect_right(
        range(low, high),
        before,
        key=lambda second: _offset(datetime.fromtimestamp(second, UTC).astimezone(info)),
    )
    return (low + jump) * SECOND


def _offset(moment: datetime) -> int:
    offset = moment.utcoffset()
    assert offset is not None  # zoneinfo always knows
    return offset.days * 86_400 + offset.seconds


def business_calendar(
    zone: str, hours: Mapping[str, tuple[Minutes, ...]], holidays: frozenset[str] = frozenset()
) -> BusinessCalendar:
    """A calendar from hours by weekday name; days that are left out are free."""
    return BusinessCalendar(zone, tuple(hours.get(day, ()) for day in WEEKDAYS), holidays)
