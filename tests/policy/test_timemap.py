"""When something is due as a function of when it began: exact, and turned round."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.kernel.clock import DAY, HOUR, MINUTE, WEEK, parse_instant
from tocsin.policy.calendar import BusinessCalendar, Duration
from tocsin.policy.timemap import TimeMap, crossings

START = parse_instant("2026-03-20T00:00:00Z")
END = START + 3 * WEEK
BERLIN = BusinessCalendar(
    "Europe/Berlin",
    (((540, 720), (780, 1020)), ((540, 1020),), ((540, 1020),), ((0, 1440),), ((540, 1020),), (), ()),
    frozenset({"2026-04-03"}),
)
"""with a lunch break, a whole day, a holiday, and the clocks going forward on 29 March"""

durations = st.sampled_from(
    [
        "0m",
        "10m",
        "3h",
        "72h",
        "1h business",
        "4h business",
        "13h business",
        "1 business day",
        "2 business days",
    ]
).map(Duration.parse)
moments = st.integers(0, 3 * WEEK // MINUTE - 1).map(lambda minute: START + minute * MINUTE) | st.integers(
    START, END - 1
)


@settings(deadline=None, max_examples=150)
@given(durations, st.lists(moments, min_size=1, max_size=8))
def test_the_pieces_say_what_the_calendar_says(duration, at):
    whole = TimeMap.of(duration, BERLIN, START, END)
    for t in at:
        assert whole.line(t)[0] == BERLIN.add(t, duration)


@settings(deadline=None, max_examples=150)
@given(durations, moments)
def test_turned_round_it_gives_the_first_beginning_from_which_on_it_is_due_later(duration, moment):
    whole = TimeMap.of(duration, BERLIN, START, END)
    t = whole.since(moment)
    assert START <= t <= END
    if t < END:
        assert BERLIN.add(t, duration) >= moment
    if t > START:
        assert BERLIN.add(t - 1, duration) < moment


@settings(deadline=None, max_examples=60)
@given(durations, durations, moments)
def test_between_two_crossings_the_comparison_does_not_change(one, other, at):
    first, second = TimeMap.of(one, BERLIN, START, END), TimeMap.of(other, BERLIN, START, END)
    edges = [t for t in crossings(first, second) if t <= at]
    since = edges[-1]

    def compare(t):
        return first.at(t) <= second.at(t)

    assert compare(since) == compare(at)


def test_a_week_of_one_calendar_has_few_pieces():
    hours = TimeMap.of(Duration.parse("2h business"), BusinessCalendar.standard(), START, START + WEEK)
    assert len(hours.knots) < 40
    assert hours.since(START + 10 * DAY + HOUR) == START + WEEK
