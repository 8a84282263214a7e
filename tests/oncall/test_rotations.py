"""A hand-off at 09:00 stays at 09:00, whatever the clocks do."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.kernel.clock import DAY, HOUR, MINUTE, SECOND, WEEK, parse_instant
from tocsin.kernel.errors import Unusable
from tocsin.oncall.rotations import (
    Rotation,
    Window,
    check_rotation,
    member_at,
    span_at,
    turn_at,
    turn_start,
    with_members,
)
from tocsin.oncall.walltime import parse_wall, wall_text

ZONES = {
    "Europe/Berlin": 2026, "America/New_York": 2026, "Australia/Lord_Howe": 2026, "Africa/Casablanca": 2026,
    "Asia/Kathmandu": 1985, "Pacific/Apia": 2011, "America/St_Johns": 2006, "Asia/Tehran": 2022,
    "Antarctica/Troll": 2026, "Africa/Cairo": 2026,
}  # fmt: skip
"""Zones with a year in which something happens: half-hour shifts, a skipped day, two changes at midnight …"""

_EPOCH = datetime(1970, 1, 1)


def at(text: str) -> int:
    return parse_instant(text)


def person_at(rotation: Rotation, instant: int) -> str | None:
    span = span_at(rotation, instant)
    return None if span.turn is None else member_at(rotation, span.turn)


def shown(zone: str, instant: int) -> int:
    """What the wall clock shows, straight from the standard library."""
    local = datetime.fromtimestamp(instant // SECOND, UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return int((local - _EPOCH).total_seconds()) * SECOND


@cache
def transitions(zone: str) -> tuple[int, ...]:
    start = at(f"{ZONES[zone]}-01-01T00:00:00Z")
    found = []
    for step in range(start, start + 366 * DAY, 30 * MINUTE):
        before, after = shown(zone, step - 30 * MINUTE), shown(zone, step)
        if after - before != 30 * MINUTE:
            found.append(
                next(
                    m
                    for m in range(step - 30 * MINUTE, step + 1, MINUTE)
                    if shown(zone, m) - shown(zone, m - MINUTE) != MINUTE
                )
            )
    return tuple(found)


class Oracle:
    """By brute force: a wall time has come once a clock that is watched all along has shown it, or a later one."""

    def __init__(self, rotation: Rotation, start: int, end: int) -> None:
        self.rotation = rotation
        self.furthest: dict[int, int] = {}
        highest = max(shown(rotation.zone, m) for m in range(start - 6 * HOUR, start, 10 * MINUTE))
        for minute in range(start, end, MINUTE):
            highest = max(highest, shown(rotation.zone, minute))
            self.furthest[minute] = highest

    def person(self, minute: int) -> str | None:
        rotation, wall = self.rotation, self.furthest[minute]
        length = rotation.every * (DAY if rotation.unit == "days" else WEEK)
        passed = wall - parse_wall(rotation.start)
        if passed < 0 or not rotation.members or not self.open(wall):
            return None
        return rotation.members[passed // length % len(rotation.members)]

    def open(self, wall: int) -> bool:
        if not self.rotation.restrict:
            return True
        today = wall - wall % DAY
        for window in self.rotation.restrict:
            start, end = (
                int(text[:2]) * HOUR + int(text[3:]) * MINUTE for text in (window.start, window.end)
            )
            for midnight in (today - DAY, today):
                closes = midnight + end + (DAY if end <= start else 0)
                if (midnight // DAY + 3) % 7 in window.days and midnight + start <= wall < closes:
                    return True
        return False


def hhmm(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


windows = st.builds(
    Window,
    st.lists(st.integers(0, 6), min_size=1, max_size=7, unique=True).map(tuple),
    st.integers(0, 1439).map(hhmm),
    st.integers(0, 1440).map(hhmm),
)


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_every_minute_round_a_change_of_the_clocks_agrees_with_a_watched_clock(
    zone: str, data: st.DataObject
) -> None:
    moment = data.draw(st.sampled_from(transitions(zone)))
    local = shown(zone, moment) + data.draw(st.integers(-150, 150)) * MINUTE
    back = data.draw(st.integers(-1, 30))
    rotation = Rotation(
        "r", ("a", "b", "c")[: data.draw(st.integers(0, 3))], wall_text(local - back * DAY), zone,
        data.draw(st.integers(1, 3)), data.draw(st.sampled_from(["days", "weeks"])),
        tuple(data.draw(st.lists(windows, max_size=2))),
    )  # fmt: skip
    start, end = moment - 3 * HOUR, moment + 4 * HOUR
    oracle = Oracle(rotation, start, end)
    for minute in range(start, end, MINUTE):
        assert person_at(rotation, minute) == oracle.person(minute), (rotation, minute)


@given(
    st.sampled_from(sorted(ZONES)), st.integers(0, 1439), st.lists(windows, max_size=2).map(tuple),
    st.integers(0, 60 * 24 * 60),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_an_answer_holds_exactly_as_long_as_it_says(
    zone: str, minute: int, restrict: tuple[Window, ...], later: int
) -> None:
    year = ZONES[zone]
    rotation = Rotation("r", ("a", "b"), f"{year}-01-05T{hhmm(minute)}", zone, 2, "days", restrict)
    instant = at(f"{year}-02-25T00:00:00Z") + later * MINUTE
    span = span_at(rotation, instant)
    assert span.start is not None and span.start <= instant
    assert span.end is None or instant < span.end
    assert span_at(rotation, span.start).turn == span.turn
    assert span_at(rotation, span.start - 1).turn != span.turn
    if span.end is not None:
        assert span_at(rotation, span.end - 1) == span
        assert span_at(rotation, span.end).turn != span.turn


@pytest.mark.guide("ROL-2")
def test_a_monday_hand_off_stays_at_nine_when_summer_time_begins_and_ends() -> None:
    rotation = Rotation("r", ("anna", "bilal"), "2026-03-23T09:00", "Europe/Berlin")
    assert turn_start(rotation, 0) == at("2026-03-23T08:00:00Z")
    assert turn_start(rotation, 1) == at("2026-03-30T07:00:00Z")
    assert person_at(rotation, at("2026-03-30T06:59:59Z")) == "anna"
    assert person_at(rotation, at("2026-03-30T07:00:00Z")) == "bilal"
    assert turn_start(rotation, 31) == at("2026-10-26T08:00:00Z")


def test_a_hand_off_in_the_skipped_hour_happens_when_the_clocks_jump() -> None:
    rotation = Rotation("r", ("anna", "bilal"), "2026-03-28T02:30", "Europe/Berlin", 1, "days")
    assert turn_start(rotation, 1) == at("2026-03-29T01:00:00Z")


def test_a_hand_off_in_the_repeated_hour_happens_the_first_time_round() -> None:
    rotation = Rotation("r", ("anna", "bilal"), "2026-10-24T02:30", "Europe/Berlin", 1, "days")
    assert turn_start(rotation, 1) == at("2026-10-25T00:30:00Z")
    assert person_at(rotation, at("2026-10-25T01:10:00Z")) == "bilal", (
        "02:10 the second time is after the hand-off"
    )


def test_the_day_that_samoa_left_out_has_no_turn_of_its_own() -> None:
    rotation = Rotation("r", ("a", "b", "c"), "2011-12-29T00:00", "Pacific/Apia", 1, "days")
    midnight = at("2011-12-30T10:00:00Z")
    assert turn_start(rotation, 1) == turn_start(rotation, 2) == midnight
    assert turn_at(rotation, midnight - 1) == 0
    assert turn_at(rotation, midnight) == 2


def test_nobody_is_on_call_before_the_first_hand_off() -> None:
    rotation = Rotation("r", ("anna",), "2026-03-02T09:00", name="Weekly")
    span = span_at(rotation, at("2026-03-02T08:59:00Z"))
    assert (span.turn, span.end, span.reason) == (
        None,
        at("2026-03-02T09:00:00Z"),
        "the rotation Weekly has not begun yet",
    )


def test_a_rotation_without_members_covers_nothing_and_says_so() -> None:
    assert span_at(Rotation("empty", (), "2026-03-02T09:00"), 0).reason == "the rotation empty has no members"


def test_office_hours_that_run_past_midnight_belong_to_the_day_they_began() -> None:
    nights = Rotation("n", ("anna",), "2026-01-05T00:00", restrict=(Window((4,), "22:00", "06:00"),))
    assert person_at(nights, at("2026-03-07T05:59:00Z")) == "anna", "Saturday morning of Friday's night"
    assert person_at(nights, at("2026-03-07T06:00:00Z")) is None
    assert person_at(nights, at("2026-03-07T22:00:00Z")) is None


def test_windows_that_leave_no_hour_out_never_close() -> None:
    rotation = Rotation(
        "r", ("a", "b"), "2026-01-05T00:00", every=30, unit="days", restrict=(Window(tuple(range(7))),)
    )
    span = span_at(rotation, at("2026-03-10T12:00:00Z"))
    assert (span.start, span.end) == (at("2026-03-06T00:00:00Z"), at("2026-04-05T00:00:00Z"))


def test_somebody_new_does_not_move_whoever_is_on_call_now() -> None:
    rotation = Rotation("r", ("anna", "bilal", "chiara"), "2026-01-05T09:00", "Europe/Berlin")
    now = at("2026-03-04T12:00:00Z")
    holder = person_at(rotation, now)
    grown = with_members(rotation, ("dmitri", "anna", "bilal", "chiara"), now)
    assert person_at(grown, now) == holder
    assert turn_start(grown, 1) == turn_start(rotation, (turn_at(rotation, now) or 0) + 1)


def test_where_the_holder_leaves_the_next_in_line_takes_over() -> None:
    rotation = Rotation("r", ("anna", "bilal", "chiara"), "2026-03-02T09:00")
    now = at("2026-03-04T12:00:00Z")
    assert person_at(with_members(rotation, ("chiara", "bilal"), now), now) == "bilal"


def test_what_cannot_be_used_is_said_in_sentences() -> None:
    wrong = Rotation("r", ("a",), "soon", "Europe/Nowhere", 0, "months", (Window((9,), "24:00", "25:00"),))
    assert len(check_rotation(wrong)) == 6
    with pytest.raises(Unusable, match="IANA name"):
        turn_at(Rotation("r", ("a",), "2026-03-02T09:00", "Mars/Base"), 0)
