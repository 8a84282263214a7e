"""Instants: integers of microseconds, read strictly, written in UTC."""

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.kernel.clock import (
    MINUTE,
    SECOND,
    ManualClock,
    ScaledClock,
    check_instant,
    earliest,
    humanize,
    parse_instant,
    to_datetime,
    to_iso,
)
from tocsin.kernel.errors import Unusable
from tocsin.oncall.walltime import wall_at


@given(st.integers(min_value=0, max_value=4_000_000_000 * SECOND))
def test_what_is_written_is_read_back(instant):
    assert parse_instant(to_iso(instant)) == instant


def test_offsets_and_nine_digits_of_fraction_are_read():
    assert parse_instant("2026-03-02T10:00:00.123456789+01:00") == parse_instant(
        "2026-03-02T09:00:00.123456Z"
    )


def test_year_one_which_senders_use_for_not_set_is_read():
    assert parse_instant("0001-01-01T00:00:00Z") < 0


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-03-02T09:00:00", "2026-13-02T09:00:00Z", "2026-03-02T09:00:00.Z9"]
)
def test_what_names_no_moment_is_refused_with_a_hint(text):
    with pytest.raises(Unusable, match=r"time"):
        parse_instant(text)


@pytest.mark.parametrize("instant", [10**18, 2**63, 10**30, -(10**18), -(10**30)])
def test_whatever_was_stored_can_be_shown_in_every_zone(instant):
    assert to_iso(instant).endswith("Z")
    for zone in ("Pacific/Kiritimati", "Etc/GMT+12"):
        assert to_datetime(instant, ZoneInfo(zone)).year in (1, 9999)
        assert wall_at(zone, instant)


@pytest.mark.parametrize("text", ["1970-01-01T00:00:00Z", "2099-12-31T23:59:59Z"])
def test_what_comes_from_outside_lies_between_1970_and_2100(text):
    assert check_instant(parse_instant(text), "at") == parse_instant(text)
    for wrong in (-1, parse_instant("2100-01-01T00:00:00Z"), 10**18, 10**30):
        with pytest.raises(Unusable, match="between 1970 and 2100"):
            check_instant(wrong, "at")


def test_a_long_text_that_is_no_time_is_not_said_back():
    with pytest.raises(Unusable) as caught:
        parse_instant("a." * 50_000)
    assert len(caught.value.sentence) < 200


def test_a_manual_clock_stands_still_until_it_is_moved_even_backwards():
    clock = ManualClock("2026-03-02T09:00:00Z")
    assert clock.now() == clock.now()
    assert clock.advance(MINUTE) == parse_instant("2026-03-02T09:01:00Z")
    clock.move_to(parse_instant("2026-03-02T08:00:00Z"))
    assert to_iso(clock.now()) == "2026-03-02T08:00:00Z"


def test_a_scaled_clock_runs_as_many_times_as_fast():
    base = ManualClock("2026-03-02T09:00:00Z")
    clock = ScaledClock(60, base)
    base.advance(SECOND)
    assert clock.now() == parse_instant("2026-03-02T09:01:00Z")
    clock.skip(MINUTE)
    assert clock.now() == parse_instant("2026-03-02T09:02:00Z")


def test_durations_read_as_people_say_them():
    assert [humanize(x * SECOND) for x in (45, 125, 720, 7500, 273_600, -90)] == [
        "45 s", "2 min 5 s", "12 min", "2 h 5 min", "3 d 4 h", "-1 min 30 s",
    ]  # fmt: skip


def test_the_earliest_of_nothing_is_nothing():
    assert earliest([None, 7, None, 3]) == 3
    assert earliest([None]) is None
