"""Business time: the examples everybody argues about, and an oracle that counts minute by minute."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.kernel.clock import DAY, HOUR, MINUTE, Instant, from_datetime, parse_instant, to_iso
from tocsin.kernel.errors import Unusable
from tocsin.policy.calendar import BusinessCalendar, Duration

BERLIN = BusinessCalendar.standard("Europe/Berlin", frozenset({"2026-12-25"}))
DAY_AND_NIGHT = BusinessCalendar("UTC", (((0, 1440),),) * 7)


def berlin(wall: str) -> Instant:
    return from_datetime(datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo("Europe/Berlin")))


def shown(instant: Instant) -> str:
    moment = datetime.fromtimestamp(instant / 1e6, ZoneInfo("Europe/Berlin"))
    return moment.strftime("%a %Y-%m-%d %H:%M")


@pytest.mark.parametrize(
    ("start", "duration", "due"),
    [
        ("2026-03-03T14:00", "2 business days", "Thu 2026-03-05 14:00"),
        (
            "2026-03-07T11:00",
            "2 business days",
            "Wed 2026-03-11 09:00",
        ),  # Saturday counts from Monday's opening
        ("2026-03-03T17:00", "1 business day", "Thu 2026-03-05 09:00"),  # at closing it is closed
        ("2026-03-03T07:00", "1 business day", "Wed 2026-03-04 09:00"),
        ("2026-03-06T16:00", "4h business", "Mon 2026-03-09 12:00"),
        (
            "2026-03-03T13:00",
            "4h business",
            "Tue 2026-03-03 17:00",
        ),  # done exactly at closing: due at closing
        ("2026-03-03T13:01", "4h business", "Wed 2026-03-04 09:01"),
        ("2026-03-03T20:00", "30m business", "Wed 2026-03-04 09:30"),
        ("2026-12-24T16:00", "2h business", "Mon 2026-12-28 10:00"),  # Christmas and a weekend between
        ("2026-12-24T16:00", "1 business day", "Mon 2026-12-28 16:00"),
        ("2026-03-27T16:00", "4h business", "Mon 2026-03-30 12:00"),  # the clocks went forward on Sunday
        ("2026-10-23T16:00", "1 business day", "Mon 2026-10-26 16:00"),  # … and back
        ("2026-03-28T12:00", "24h", "Sun 2026-03-29 13:00"),  # elapsed time takes no notice of clocks
        ("2026-01-31T10:00", "1 month", "Sat 2026-02-28 10:00"),
        ("2026-11-30T10:00", "1 quarter", "Sun 2027-02-28 10:00"),
        ("2028-01-31T10:00", "1 month", "Tue 2028-02-29 10:00"),
        ("2026-02-28T02:30", "1 month", "Sat 2026-03-28 02:30"),
        ("2026-01-29T02:30", "2 month", "Sun 2026-03-29 03:00"),  # 02:30 does not exist that night
    ],
)
def test_when_it_is_due(start: str, duration: str, due: str) -> None:
    assert shown(BERLIN.add(berlin(start), Duration.parse(duration))) == due


def test_a_business_day_that_closes_early_is_due_at_its_closing() -> None:
    short_friday = BusinessCalendar("UTC", (((540, 1020),),) * 4 + (((540, 780),), (), ()))
    due = short_friday.add(parse_instant("2026-03-05T15:00:00Z"), Duration.parse("1 business day"))
    assert to_iso(due) == "2026-03-06T13:00:00Z"


def test_a_business_day_that_ends_in_the_lunch_break_is_due_after_it() -> None:
    long = ((9 * 60, 17 * 60),)
    broken = ((9 * 60, 12 * 60), (13 * 60, 17 * 60))
    calendar = BusinessCalendar("UTC", (long, broken, long, long, long, (), ()))
    due = calendar.add(parse_instant("2026-03-02T12:30:00Z"), Duration.parse("1 business day"))
    assert to_iso(due) == "2026-03-03T13:00:00Z"
    due = calendar.add(parse_instant("2026-03-02T12:00:00Z"), Duration.parse("1 business day"))
    assert to_iso(due) == "2026-03-03T12:00:00Z"  # exactly at a closing


def test_it_stays_open_when_clocks_go_back_over_midnight() -> None:
    sundays = BusinessCalendar("America/St_Johns", ((),) * 6 + (((0, 1440),),))
    # one minute past midnight on Sunday 7 November 2010, clocks went back to Saturday, 23:01
    assert sundays.is_open(parse_instant("2010-11-07T02:30:30Z"))
    assert sundays.is_open(parse_instant("2010-11-07T02:45:00Z"))


def test_opening_and_closing() -> None:
    assert BERLIN.is_open(berlin("2026-03-03T09:00"))
    assert not BERLIN.is_open(berlin("2026-03-03T17:00"))
    assert not BERLIN.is_open(berlin("2026-12-25T10:00"))
    assert shown(BERLIN.next_opening(berlin("2026-03-06T18:00"))) == "Mon 2026-03-09 09:00"
    closing = BERLIN.next_closing(berlin("2026-03-07T18:00"))
    assert closing is not None
    assert shown(closing) == "Mon 2026-03-09 17:00"
    assert DAY_AND_NIGHT.next_closing(parse_instant("2026-03-03T10:00:00Z")) is None


def test_what_was_counted_can_be_shown() -> None:
    start = berlin("2026-03-06T16:00")
    due = BERLIN.add(start, Duration.parse("4h business"))
    assert [(shown(a), shown(b)) for a, b in BERLIN.intervals(start, due)] == [
        ("Fri 2026-03-06 16:00", "Fri 2026-03-06 17:00"),
        ("Mon 2026-03-09 09:00", "Mon 2026-03-09 12:00"),
    ]
    assert BERLIN.business_between(start, due) == 4 * HOUR
    assert BERLIN.business_between(due, start) == -4 * HOUR


def test_hours_around_midnight_are_one_stretch() -> None:
    night = BusinessCalendar("UTC", (((0, 360), (1320, 1440)),) * 7)
    start = parse_instant("2026-03-03T23:00:00Z")
    assert to_iso(night.add(start, Duration.parse("3h business"))) == "2026-03-04T02:00:00Z"
    assert len(night.intervals(start, start + 3 * HOUR)) == 1
    closing = night.next_closing(start)
    assert closing is not None
    assert to_iso(closing) == "2026-03-04T06:00:00Z"


def test_a_day_that_the_calendar_of_a_place_left_out_is_no_working_day() -> None:
    apia = BusinessCalendar.standard("Pacific/Apia")  # there was no Friday 30 December 2011
    start = from_datetime(datetime(2011, 12, 29, 16, tzinfo=ZoneInfo("Pacific/Apia")))
    due = apia.add(start, Duration.parse("1 business day"))
    assert (
        datetime.fromtimestamp(due / 1e6, ZoneInfo("Pacific/Apia")).isoformat() == "2012-01-02T16:00:00+14:00"
    )


@pytest.mark.parametrize(
    ("zone", "hours", "holidays", "hint"),
    [
        ("Mars/Olympus", (((540, 1020),),) * 7, frozenset(), "Europe/Berlin"),
        ("UTC", ((),) * 7, frozenset(), "at least one weekday"),
        ("UTC", (((1020, 540),),) + ((),) * 6, frozenset(), "two days"),
        ("UTC", (((540, 720), (700, 800)),) + ((),) * 6, frozenset(), "overlap"),
        ("UTC", (((540, 1020),),) * 7, frozenset({"25.12.2026"}), "2026-12-25"),
        ("UTC", (((540, 1020),),) * 5, frozenset(), "7 weekdays"),
    ],
)
def test_a_calendar_that_cannot_work_is_refused(
    zone: str, hours: tuple, holidays: frozenset[str], hint: str
) -> None:
    with pytest.raises(Unusable) as refused:
        BusinessCalendar(zone, hours, holidays)
    assert hint in refused.value.sentence


# the oracle: minute by minute

CHANGES = {
    "Europe/Berlin": ("2026-03-25", "2026-10-21"),
    "America/New_York": ("2026-03-04", "2026-10-28"),
    "America/Havana": ("2026-03-04", "2026-10-28"),  # the jump is at midnight
    "America/St_Johns": ("2010-03-10", "2010-11-03"),  # back over midnight, to the day before
    "Australia/Lord_Howe": ("2026-03-31", "2026-09-30"),  # half an hour
    "Asia/Kolkata": ("2026-03-25", "2026-10-21"),
}
WINDOW = 10 * 1440


@lru_cache(maxsize=32)
def furthest_walls(zone: str, first: str) -> tuple[Instant, list[datetime]]:
    """For each minute of ten days: the furthest that clocks have shown so far. Going back adds no working time."""
    start = datetime.fromisoformat(first).replace(tzinfo=UTC)
    info = ZoneInfo(zone)
    furthest = datetime.min
    walls = []
    for minute in range(WINDOW):
        wall = (start + timedelta(minutes=minute)).astimezone(info).replace(tzinfo=None)
        furthest = max(furthest, wall)
        walls.append(furthest)
    return from_datetime(start), walls


def open_minutes(calendar: BusinessCalendar, first: str) -> tuple[Instant, list[bool]]:
    start, walls = furthest_walls(calendar.zone, first)
    return start, [
        wall.date().isoformat() not in calendar.holidays
        and any(a <= wall.hour * 60 + wall.minute < b for a, b in calendar.hours[wall.weekday()])
        for wall in walls
    ]


@st.composite
def days(draw: st.DrawFn) -> tuple[tuple[int, int], ...]:
    cuts = sorted(draw(st.sets(st.integers(0, 96), max_size=4)))
    return tuple((a * 15, b * 15) for a, b in zip(cuts[::2], cuts[1::2], strict=False))


@st.composite
def calendars(draw: st.DrawFn) -> tuple[BusinessCalendar, str]:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    first = draw(st.sampled_from(CHANGES[zone]))
    week = draw(st.tuples(*[days()] * 7).filter(any))
    holiday = (datetime.fromisoformat(first) + timedelta(days=draw(st.integers(2, 6)))).date().isoformat()
    return BusinessCalendar(zone, week, frozenset({holiday})), first


@given(calendars(), st.integers(1440, 4 * 1440), st.integers(1, 600))
@settings(max_examples=25, deadline=None)
def test_business_time_agrees_with_counting_minutes(
    chosen: tuple[BusinessCalendar, str], offset: int, length: int
) -> None:
    calendar, first = chosen
    origin, is_open = open_minutes(calendar, first)
    start = origin + offset * MINUTE
    assert calendar.is_open(start) == is_open[offset]
    if not any(is_open[offset:]):
        assert calendar.next_opening(start) >= origin + WINDOW * MINUTE
        return
    assert calendar.next_opening(start) == origin + is_open.index(True, offset) * MINUTE
    counted = 0
    for minute in range(offset, WINDOW):
        counted += is_open[minute]
        if counted == length:
            due = calendar.add(start, Duration("business", length * MINUTE))
            assert due == origin + (minute + 1) * MINUTE
            assert calendar.business_between(start, due) == length * MINUTE
            break
    end = origin + (WINDOW - 1440) * MINUTE
    assert calendar.business_between(start, end) == sum(is_open[offset : WINDOW - 1440]) * MINUTE


@given(calendars(), st.integers(0, 8 * 1440), st.integers(0, 5_000), st.integers(0, 5_000))
@settings(max_examples=80, deadline=None)
def test_business_time_adds_up(chosen: tuple[BusinessCalendar, str], offset: int, one: int, two: int) -> None:
    calendar, first = chosen
    start = parse_instant(f"{first}T00:00:00Z") + offset * MINUTE
    stepwise = calendar.add(
        calendar.add(start, Duration("business", one * MINUTE)), Duration("business", two * MINUTE)
    )
    at_once = calendar.add(start, Duration("business", (one + two) * MINUTE))
    # nothing more to count, from a closing on, moves to the next opening: the same point of business time
    assert calendar.business_between(min(stepwise, at_once), max(stepwise, at_once)) == 0
    if two:
        assert stepwise == at_once


@given(st.integers(0, 40 * 1440), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=80, deadline=None)
def test_business_days_add_up_where_all_days_are_alike(offset: int, one: int, two: int) -> None:
    start = berlin("2026-03-01T00:00") + offset * MINUTE
    stepwise = BERLIN.add(BERLIN.add(start, Duration("business_days", one)), Duration("business_days", two))
    assert stepwise == BERLIN.add(start, Duration("business_days", one + two))


@given(
    calendars(),
    st.integers(0, 8 * 1440),
    st.integers(0, 2_000),
    st.sampled_from(["2 business days", "90m business", "1 month", "4h"]),
)
@settings(max_examples=80, deadline=None)
def test_who_starts_later_is_never_due_earlier(
    chosen: tuple[BusinessCalendar, str], offset: int, later: int, duration: str
) -> None:
    calendar, first = chosen
    start = parse_instant(f"{first}T00:00:00Z") + offset * MINUTE
    length = Duration.parse(duration)
    early, late = calendar.add(start, length), calendar.add(start + later * MINUTE, length)
    # the 30th and the 31st of a month are both due on the 30th of a shorter one, each at its own time of day
    assert early <= late + (DAY if length.kind == "months" else 0)


def test_years_of_business_time_are_quick() -> None:
    calendar = BusinessCalendar.standard("Europe/Berlin")
    start = berlin("2026-03-02T09:00")
    began = time.perf_counter()
    for minute in range(2_000):
        calendar.add(start + minute * MINUTE, Duration.parse("2 business days"))
    calendar.business_between(start, start + 3650 * DAY)
    assert time.perf_counter() - began < 2  # about 0.1 s; a loop over minutes would take far longer
