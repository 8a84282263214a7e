"""What changes about working time, and an example that shows what it means."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import groupby

from tocsin.kernel.clock import DAY, Instant, to_datetime
from tocsin.policy import behaviour
from tocsin.policy.behaviour import Hours
from tocsin.policy.calendar import WEEKDAYS, Minutes, wall_instant, zone_named
from tocsin.policy.model import SEVERITIES, Policy
from tocsin.policy.saying import listed

_DAYS = tuple(day.capitalize() for day in WEEKDAYS)
_MONDAY = datetime.fromisoformat("2026-03-02").toordinal()
"""an ordinary week"""
_DUTIES = {
    "respond": "answered",
    "acknowledge": "acknowledged",
    "resolve": "resolved",
    "update": "followed by an update",
}


def working_time(old: Policy, new: Policy) -> Iterator[str]:
    """What is different about each calendar that a team may name, the default one first."""
    default = (behaviour.hours(old), behaviour.hours(new))
    yield from _hours("the default calendar", *default)
    for name in dict.fromkeys((*old.calendars, *new.calendars)):
        one, other = behaviour.hours(old, name), behaviour.hours(new, name)
        if name in (old.default_calendar, new.default_calendar) and (one, other) == default:
            continue  # it is the default one, which was told
        yield from _hours(f"a team with the calendar {name!r}", one, other)


def _hours(which: str, one: Hours, other: Hours) -> Iterator[str]:
    if behaviour.same_hours(one, other):
        return
    if not behaviour.same_clocks(one.zone, other.zone):
        yield f"{which} goes by the clocks of {other.zone} instead of {one.zone}"
    changes = [
        (_DAYS[day], (one.week[day], other.week[day])) for day in range(7) if one.week[day] != other.week[day]
    ]
    for (before, now), days in groupby(
        sorted(changes, key=lambda pair: str(pair[1])), key=lambda pair: pair[1]
    ):
        named = listed(sorted((f"{day}s" for day, _ in days), key=lambda day: _DAYS.index(day[:-1])), "and")
        if not now:
            yield f"{which} no longer works on {named}"
        elif not before:
            yield f"{which} works on {named} too, {_spans(now)}"
        else:
            yield f"{which} works {_spans(now)} instead of {_spans(before)} on {named}"
    free, worked = sorted(other.holidays - one.holidays), sorted(one.holidays - other.holidays)
    if free:
        yield f"{which} is free on {listed(free, 'and')}"
    if worked:
        yield f"{which} is no longer free on {listed(worked, 'and')}"


def _spans(spans: tuple[Minutes, ...]) -> str:
    return listed([f"{_clock(start)}–{_clock(end)}" for start, end in spans], "and")


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def example(old: Policy, new: Policy) -> Iterator[str]:
    """One opening whose promise moves because working time did: the first of an ordinary week, or of that of a holiday."""
    before, now = old.calendar(), new.calendar()
    zone = behaviour.hours(new).zone
    changed = sorted(behaviour.hours(old).holidays ^ behaviour.hours(new).holidays)
    first = datetime.fromisoformat(changed[0]).toordinal() - 2 if changed else _MONDAY
    starts = [wall_instant(zone, first + day, hour * 60) for day in range(8) for hour in range(24)]
    starts.sort(
        key=lambda start: not (before.is_open(start) and now.is_open(start))
    )  # a time at which people work
    for severity in reversed(SEVERITIES[:3]):
        for duty, done in _DUTIES.items():
            allowed = new.severities[severity].before_due(duty)
            if not allowed.is_business or old.severities[severity].before_due(duty) != allowed:
                continue
            for start in starts:
                one, other = (calendar.add(start, allowed) for calendar in (before, now))
                if one != other:
                    yield (
                        f"for example, a {severity} opened {_moment(start, start, zone)} is to be {done} by {_moment(other, start, zone)} "
                        f"instead of {_moment(one, start, zone)}"
                    )
                    return


def _moment(at: Instant, since: Instant, zone: str) -> str:
    """``Thursday 16:00``; with its date where the weekday alone could be misread."""
    local = to_datetime(at, zone_named(zone))
    far = at - since >= 6 * DAY
    return f"{_DAYS[local.weekday()]} {f'{local:%Y-%m-%d} ' if far else ''}{local:%H:%M}"
