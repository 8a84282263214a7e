"""References in escalation policies, and times as people write them."""

from __future__ import annotations

import pytest

from tocsin.kernel.clock import DAY, HOUR, MINUTE, WEEK, parse_instant
from tocsin.kernel.errors import Unusable
from tocsin.oncall.escalation import EscalationPolicy, EscalationStep, Reference, parse_reference
from tocsin.oncall.relative import parse_duration, parse_local, parse_moment
from tocsin.oncall.walltime import parse_time_of_day, parse_wall, wall_text

NOW = parse_instant("2026-03-04T10:20:30Z")  # a Wednesday, 11:20 in Berlin


def test_references_name_a_kind_an_id_and_for_schedules_a_position() -> None:
    assert parse_reference("schedule:payments") == Reference("schedule", "payments", "primary")
    assert parse_reference("schedule:payments#secondary") == Reference("schedule", "payments", "secondary")
    assert parse_reference("org:cto") == Reference("org", "cto")
    for wrong in (
        "on_call",
        "planet:mars",
        "person:",
        "person:anna#secondary",
        "schedule:s#third",
        "schedule:#secondary",
    ):
        assert parse_reference(wrong) is None, wrong


def test_own_steps_come_earliest_first_and_only_for_their_severity() -> None:
    late, early = EscalationStep(10 * MINUTE, ("cto",)), EscalationStep(0, ("on_call",))
    policy = EscalationPolicy("p", "Payments", steps={"P1": (late, early)})
    assert policy.steps_for("P1") == (early, late)
    assert policy.steps_for("P2") == ()


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("2026-03-02 09:00", "2026-03-02T09:00"),
        ("monday -4 weeks 09:00", "2026-02-02T09:00"),
        ("Monday 09:00", "2026-03-02T09:00"),
        ("sunday", "2026-03-08T00:00"),
        ("today +2 days 14:30", "2026-03-06T14:30"),
        ("tomorrow 08:00", "2026-03-05T08:00"),
        ("now", "2026-03-04T11:20"),
        ("now +90 min", "2026-03-04T12:50"),
        ("monday +1 week -1 day 10:00", "2026-03-08T10:00"),
    ],
)
def test_relative_times_are_local_to_the_zone(text: str, means: str) -> None:
    assert wall_text(parse_local(text, "Europe/Berlin", NOW)) == means


def test_a_moment_may_carry_its_own_offset() -> None:
    assert parse_moment("2026-03-02T09:00:00Z", "Europe/Berlin", NOW) == parse_instant("2026-03-02T09:00:00Z")
    assert parse_moment("2026-03-02T09:00", "Europe/Berlin", NOW) == parse_instant("2026-03-02T08:00:00Z")
    with pytest.raises(Unusable, match=r"or relative, like monday \+1 week"):
        parse_moment("next tuesday", "Europe/Berlin", NOW)


def test_durations_are_read_in_words() -> None:
    assert parse_duration("1 h 30 min") == 90 * MINUTE
    assert parse_duration("2 weeks") == 2 * WEEK
    assert (parse_duration("0"), parse_duration("5 m"), parse_duration("3d"), parse_duration("2 Hours")) == (
        0,
        5 * MINUTE,
        3 * DAY,
        2 * HOUR,
    )
    for wrong in ("", "soon", "5", "5 parsecs", "-5 min"):
        with pytest.raises(Unusable, match="duration"):
            parse_duration(wrong)


def test_wall_times_that_mean_nothing_are_refused_with_the_form_to_use() -> None:
    for wrong in ("2026-03-02T09:00+01:00", "whenever", "0001-01-01 00:00"):
        with pytest.raises(Unusable):
            parse_wall(wrong)
    for wrong in ("9", "24:01", "12:60", "noon", "²3:00"):
        with pytest.raises(Unusable, match="time of day"):
            parse_time_of_day(wrong)
