"""Layers, overrides and the secondary: who answers, and how far that answer reaches."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.kernel.clock import DAY, HOUR, MINUTE, WEEK, parse_instant
from tocsin.kernel.errors import Unusable
from tocsin.oncall.calendar_feed import calendar_feed, joined
from tocsin.oncall.rotations import Rotation, Window
from tocsin.oncall.schedules import (
    Gap,
    Leave,
    Override,
    Schedule,
    check_schedule,
    gaps,
    next_change,
    shifts,
    who,
)

OFFICE = (Window((0, 1, 2, 3, 4), "09:00", "17:00"),)
ROUND = Rotation("round", ("anna", "bilal", "chiara"), "2026-03-02T09:00", "Europe/Berlin")
DAYS = Rotation("days", ("dora",), "2026-03-02T00:00", "Europe/Berlin", restrict=OFFICE)
SIMPLE = Schedule("s", "Simple", (ROUND,), "Europe/Berlin")
MONDAY = parse_instant("2026-03-02T08:00:00Z")


def override(person: str, start: int, end: int, **more: str) -> Override:
    return Override(more.pop("id", f"o-{person}"), "s", start, end, person, **more)


def test_who_says_since_when_and_until_when() -> None:
    answer = who(SIMPLE, MONDAY + DAY)
    assert (answer.person, answer.since, answer.until) == ("anna", MONDAY, MONDAY + WEEK)
    assert answer.reason == "has the turn in the rotation round"


def test_a_later_layer_wins_while_it_covers() -> None:
    layered = Schedule("s", "Layered", (ROUND, DAYS))
    noon, evening = MONDAY + 4 * HOUR, MONDAY + 10 * HOUR
    assert who(layered, noon).person == "dora"
    answer = who(layered, evening)
    assert (answer.person, answer.since, answer.until) == ("anna", MONDAY + 8 * HOUR, MONDAY + DAY)


def test_the_secondary_is_the_next_in_line_and_never_the_primary() -> None:
    assert who(SIMPLE, MONDAY, position="secondary").person == "bilal"
    swapped = [override("bilal", MONDAY, MONDAY + DAY)]
    assert who(SIMPLE, MONDAY, swapped).person == "bilal"
    assert who(SIMPLE, MONDAY, swapped, "secondary").person == "chiara", (
        "anna gave her shift away, bilal has it"
    )


def test_a_rotation_of_one_has_no_secondary_and_the_layer_below_lends_one() -> None:
    alone = Schedule("s", "Alone", (Rotation("r", ("anna",), "2026-03-02T09:00"),))
    assert who(alone, MONDAY + DAY, position="secondary").person is None
    layered = Schedule("s", "Layered", (ROUND, DAYS))
    assert who(layered, MONDAY + 4 * HOUR, position="secondary").person == "anna"


def test_whoever_gave_the_turn_away_is_asked_again_only_before_nobody_is() -> None:
    two = Schedule("s", "Two", (Rotation("r", ("anna", "bilal"), "2026-03-02T09:00", "Europe/Berlin"),))
    answer = who(two, MONDAY, [override("bilal", MONDAY, MONDAY + DAY)], "secondary")
    assert (answer.person, answer.reason) == (
        "anna",
        "gave the turn away, but the rotation r has nobody else",
    )
    layered = Schedule("s", "Layered", (ROUND, DAYS))
    noon = MONDAY + 4 * HOUR
    assert who(layered, noon, [override("emil", noon, noon + HOUR)], "secondary").person == "anna", (
        "not dora, who gave it away"
    )
    twice = Schedule(
        "s", "Twice", (Rotation("r", ("anna", "anna", "bilal"), "2026-03-02T09:00", "Europe/Berlin"),)
    )
    assert who(twice, MONDAY, [override("emil", MONDAY, MONDAY + DAY)], "secondary").person == "bilal"


def test_a_schedule_may_have_its_own_rotation_of_secondaries() -> None:
    own = Schedule(
        "s",
        "Own",
        (ROUND,),
        secondary=(Rotation("second", ("anna", "emil"), "2026-03-02T09:00", "Europe/Berlin"),),
    )
    assert who(own, MONDAY, position="secondary").person == "emil", "anna is primary this week"
    assert who(own, MONDAY + WEEK, position="secondary").person == "emil"


def test_a_schedule_without_a_secondary_on_purpose_has_no_gap_there() -> None:
    none = Schedule("s", "None", (ROUND,), secondary_offset=0)
    assert who(none, MONDAY, position="secondary").reason == "the schedule has no secondary"
    assert gaps(none, MONDAY, MONDAY + WEEK) == []


def test_of_nested_overrides_the_last_added_wins() -> None:
    outer = override("dora", MONDAY, MONDAY + 3 * DAY)
    inner = override("emil", MONDAY + DAY, MONDAY + 2 * DAY)
    people = [shift.person for shift in shifts(SIMPLE, MONDAY, MONDAY + 4 * DAY, [outer, inner])]
    assert people == ["dora", "emil", "dora", "anna"]
    assert [shift.person for shift in shifts(SIMPLE, MONDAY, MONDAY + 4 * DAY, [inner, outer])] == [
        "dora",
        "anna",
    ]


def test_an_override_in_place_of_somebody_leaves_the_others_their_turns() -> None:
    swap = override("dora", MONDAY, MONDAY + 3 * WEEK, replaces="bilal", reason="swap")
    found = shifts(SIMPLE, MONDAY, MONDAY + 3 * WEEK, [swap])
    assert [shift.person for shift in found] == ["anna", "dora", "chiara"]
    assert found[1].reason == "override in place of bilal: swap"


def test_an_override_of_another_schedule_or_position_changes_nothing() -> None:
    elsewhere = Override("o", "other", MONDAY, MONDAY + DAY, "dora")
    second = override("dora", MONDAY, MONDAY + DAY, position="secondary")
    assert who(SIMPLE, MONDAY, [elsewhere, second]).person == "anna"
    assert who(SIMPLE, MONDAY, [elsewhere, second], "secondary").person == "dora"


@pytest.mark.guide("ROL-2")
def test_gaps_are_found_before_they_happen_in_both_positions() -> None:
    only_days = Schedule("s", "Days", (DAYS,), secondary_offset=0)
    found = gaps(only_days, MONDAY, MONDAY + DAY)
    assert found == [
        Gap(MONDAY + 8 * HOUR, MONDAY + DAY, "primary", "outside the hours of the rotation days")
    ]
    away = [
        Leave("bilal", MONDAY + DAY, MONDAY + 2 * DAY),
        Leave("bilal", MONDAY + 36 * HOUR, MONDAY + 8 * DAY),
    ]
    assert [
        (gap.start, gap.end, gap.position) for gap in gaps(SIMPLE, MONDAY, MONDAY + 2 * WEEK, leaves=away)
    ] == [
        (MONDAY + DAY, MONDAY + WEEK, "secondary"),
        (MONDAY + WEEK, MONDAY + 8 * DAY, "primary"),
    ]


def test_the_next_change_passes_over_turns_of_the_same_person() -> None:
    assert next_change(SIMPLE, MONDAY + DAY) == MONDAY + WEEK
    twice = Schedule(
        "s", "Twice", (Rotation("r", ("anna", "anna", "bilal"), "2026-03-02T09:00", "Europe/Berlin"),)
    )
    assert next_change(twice, MONDAY) == MONDAY + 2 * WEEK
    alone = Schedule("s", "Alone", (Rotation("r", ("anna",), "2026-03-02T09:00"),))
    assert next_change(alone, MONDAY + DAY) is None


people = st.sampled_from(["anna", "bilal", "chiara", "dora", "emil"])
zones = st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"])
rotations = st.builds(
    Rotation, st.just("r"), st.lists(people, max_size=4).map(tuple),
    st.sampled_from(["2026-02-23T09:00", "2026-03-01T02:30", "2026-03-20T00:00"]), zones, st.integers(1, 4),
    st.sampled_from(["days", "weeks"]),
    st.sampled_from([(), OFFICE, (Window((5, 6), "22:00", "06:00"), Window((0,), "00:00", "24:00"))]),
)  # fmt: skip
hours = st.integers(0, 40 * 24).map(lambda hour: MONDAY + hour * HOUR)
overrides = st.builds(
    lambda start, length, person, replaces, position: Override("o", "s", start, start + length * HOUR, person, replaces, position=position),
    hours, st.integers(0, 100), people, st.one_of(st.just(""), people), st.sampled_from(["primary", "secondary"]),
)  # fmt: skip
schedules = st.builds(
    Schedule, st.just("s"), st.just("S"), st.lists(rotations, max_size=3).map(tuple), zones,
    st.lists(rotations, max_size=1).map(tuple), st.integers(0, 2),
)  # fmt: skip


@given(
    schedules,
    st.lists(overrides, max_size=4),
    st.sampled_from(["primary", "secondary"]),
    st.lists(hours, max_size=8),
)
@settings(max_examples=150, deadline=None)
def test_shifts_tile_the_stretch_and_agree_with_who(
    schedule: Schedule, changes: list[Override], position: str, moments: list[int]
) -> None:
    start, end = MONDAY - 5 * DAY, MONDAY + 40 * DAY
    found = shifts(schedule, start, end, changes, position)
    assert found[0].start == start and found[-1].end == end
    assert all(left.end == right.start for left, right in pairwise(found))
    assert all(shift.start < shift.end for shift in found)
    edges = [edge for shift in found for edge in (shift.start, shift.end - 1)]
    for moment in moments + edges:
        shift = next((one for one in found if one.start <= moment < one.end), None)
        if shift is not None:
            answer = who(schedule, moment, changes, position)
            assert (answer.person, answer.reason) == (shift.person, shift.reason)
            assert (
                max(answer.since or start, start) == shift.start
                and min(answer.until or end, end) == shift.end
            )


@given(schedules, st.lists(overrides, max_size=3), hours)
@settings(max_examples=100, deadline=None)
def test_primary_and_secondary_are_two_people_unless_an_override_says_otherwise(
    schedule: Schedule, changes: list[Override], at: int
) -> None:
    second = who(schedule, at, changes, "secondary")
    if second.person is not None and not second.source.startswith("override"):
        assert second.person != who(schedule, at, changes).person


def test_a_feed_carries_every_shift_in_utc_and_the_same_uid_next_time() -> None:
    import icalendar

    text = calendar_feed(SIMPLE, MONDAY, MONDAY + 2 * WEEK, now=MONDAY, names={"anna": "Anna Berg"})
    events = icalendar.Calendar.from_ical(text).walk("VEVENT")
    assert [str(event["summary"]) for event in events][:2] == ["Anna Berg: Simple", "bilal: Simple"]
    assert events[0].decoded("dtstart").isoformat() == "2026-03-02T08:00:00+00:00"
    again = calendar_feed(SIMPLE, MONDAY, MONDAY + 2 * WEEK, now=MONDAY + HOUR)
    assert [e["uid"] for e in icalendar.Calendar.from_ical(again).walk("VEVENT")] == [
        e["uid"] for e in events
    ]
    mine = icalendar.Calendar.from_ical(
        calendar_feed(SIMPLE, MONDAY, MONDAY + 2 * WEEK, now=MONDAY, person="bilal")
    )
    assert [str(e["summary"]) for e in mine.walk("VEVENT")] == ["bilal: Simple", "bilal: Simple (secondary)"]


@pytest.mark.parametrize("every", [1, 5, 26])
def test_a_shift_keeps_its_uid_and_its_times_whenever_the_feed_is_fetched(every: int) -> None:
    import icalendar

    turns = Rotation("r", ("anna", "bilal"), "2026-03-02T09:00", "Europe/Rome", every, "weeks")
    schedule = Schedule("s", "Slow", (turns,), "Europe/Rome")
    away = Override("o", "s", MONDAY - 30 * DAY, MONDAY + 3 * DAY + HOUR, "clara")
    seen: dict[str, tuple[str, str]] = {}
    for day in range(0, 40, 3):
        today = MONDAY + day * DAY
        text = calendar_feed(
            schedule, today - WEEK, today + 2 * WEEK, now=today, overrides=[away], positions=["primary"]
        )
        for event in icalendar.Calendar.from_ical(text).walk("VEVENT"):
            times = (str(event.decoded("dtstart")), str(event.decoded("dtend")))
            assert seen.setdefault(str(event["uid"]), times) == times
    starts = {start for start, _ in seen.values()}
    assert "2026-03-02 08:00:00+00:00" not in starts, "the override covers it"
    assert "2026-01-31 08:00:00+00:00" in starts, "an override is shown from its own beginning"
    assert len(starts) == len(seen), "nothing is shown twice under two names"


def test_feeds_joined_are_one_calendar_of_short_lines() -> None:
    import icalendar

    parts = [calendar_feed(SIMPLE, MONDAY, MONDAY + 2 * WEEK, now=MONDAY), calendar_feed(Schedule("e", "E"), MONDAY, MONDAY + WEEK, now=MONDAY)]  # fmt: skip
    text = joined(parts, "Ängström, " * 12)
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    calendar = icalendar.Calendar.from_ical(text)
    assert str(calendar["x-wr-calname"]).startswith("On call: Ängström\\, Ängström")
    assert len(calendar.walk("VEVENT")) == parts[0].count("BEGIN:VEVENT") > 0


def test_the_name_of_a_calendar_is_a_text_like_any_other() -> None:
    feed = calendar_feed(Schedule("s", r"Berlin; Rome, C:\ops"), MONDAY, MONDAY + WEEK, now=MONDAY)
    assert r"X-WR-CALNAME:On call: Berlin\; Rome\, C:\\ops" in feed.split("\r\n")


def test_ten_thousand_schedules_are_answered_by_arithmetic_not_by_walking_through_time() -> None:
    ancient = Schedule(
        "s", "Old", (Rotation("r", ("a", "b"), "1975-01-06T09:00", "Europe/Berlin", 1, "days"),)
    )
    for minute in range(10_000):
        assert who(ancient, MONDAY + minute * MINUTE).person in ("a", "b")


def test_what_is_wrong_with_a_schedule_is_said_in_sentences() -> None:
    assert check_schedule(SIMPLE) == []
    assert check_schedule(Schedule("s", "S", (ROUND, ROUND), "Nowhere", secondary_offset=-1)) == [
        "there is no time zone 'Nowhere': use an IANA name such as Europe/Berlin",
        "the schedule s has a negative secondary offset: use 1 for the next in line, 0 for none",
        "the schedule s has two rotations called round",
    ]
    with pytest.raises(Unusable, match="primary or secondary"):
        who(SIMPLE, MONDAY, position="tertiary")


def test_a_rotation_without_a_zone_is_handed_over_by_the_clocks_of_its_schedule() -> None:
    turns = Rotation("r", ("anna", "bilal"), "2026-03-02T09:00")
    schedule = Schedule("s", "Far away", (turns,), "Asia/Tokyo")
    midnight_utc = parse_instant("2026-03-02T00:00:00Z")
    assert who(schedule, midnight_utc - 1).person is None
    assert who(schedule, midnight_utc).person == "anna"
