"""Shifts as an iCalendar feed (RFC 5545), for people who keep their duty in their own calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tocsin.kernel.clock import Instant, to_datetime
from tocsin.oncall.schedules import Override, Schedule, has_secondary, shifts


def calendar_feed(
    schedule: Schedule, start: Instant, end: Instant, *, now: Instant, overrides: Sequence[Override] = (),
    names: Mapping[str, str] | None = None, person: str = "", positions: Sequence[str] = ("primary", "secondary"),
) -> str:  # fmt: skip
    """The shifts between ``start`` and ``end`` as iCalendar text; times are UTC, calendars show them locally.

    ``names`` maps person ids to what is shown. ``person`` limits the feed to one person's shifts. Each event keeps its
    UID as long as its shift begins at the same time, so that a subscribed calendar updates instead of doubling.
    """
    import icalendar  # few processes ever serve a feed, and the import is slow

    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Tocsin//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", f"On call: {schedule.name}")
    for position in positions:
        if position == "secondary" and not has_secondary(schedule):
            continue
        for shift in shifts(schedule, start, end, overrides, position):
            if shift.person is None or (person and shift.person != person):
                continue
            event = icalendar.Event()
            event.add("uid", f"{schedule.id}-{position}-{shift.start}-{shift.person}@tocsin")
            event.add("dtstamp", to_datetime(now).replace(microsecond=0))
            event.add("dtstart", to_datetime(shift.start))
            event.add("dtend", to_datetime(shift.end))
            shown = (names or {}).get(shift.person, shift.person)
            event.add(
                "summary", f"{shown}: {schedule.name}" + (" (secondary)" if position == "secondary" else "")
            )
            event.add("description", f"{shown} {shift.reason}.")
            event.add("transp", "TRANSPARENT")
            calendar.add_component(event)
    return calendar.to_ical().decode()
