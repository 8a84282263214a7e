"""Shifts as an iCalendar feed (RFC 5545), for people who keep their duty in their own calendar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tocsin.kernel.clock import Instant, to_datetime
from tocsin.oncall.schedules import Override, Schedule, has_secondary, shifts, who


def calendar_feed(
    schedule: Schedule, start: Instant, end: Instant, *, now: Instant, overrides: Sequence[Override] = (),
    names: Mapping[str, str] | None = None, person: str = "", positions: Sequence[str] = ("primary", "secondary"),
) -> str:  # fmt: skip
    """The shifts that touch ``start`` to ``end`` as iCalendar text; times are UTC, calendars show them locally.

    ``names`` maps person ids to what is shown. ``person`` limits the feed to one person's shifts. A shift is shown from its
    own beginning to its own end, and its event keeps its UID as long as it begins at the same time, so that a subscribed
    calendar updates instead of doubling.
    """
    import icalendar  # few processes ever serve a feed, and the import is slow

    calendar = _frame(f"On call: {schedule.name}")
    for position in positions:
        if position == "secondary" and not has_secondary(schedule):
            continue
        first, last = _whole(schedule, start, end, overrides, position)
        for shift in shifts(schedule, first, last, overrides, position):
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
    return str(calendar.to_ical().decode())


def joined(parts: Sequence[str], name: str) -> str:
    """Several feeds as one under the name of their person."""
    whole = _frame(f"On call: {name}").to_ical().decode()
    events = [
        part[part.index("BEGIN:VEVENT") : part.rindex("END:VCALENDAR")]
        for part in parts
        if "BEGIN:VEVENT" in part
    ]
    return str(whole.replace("END:VCALENDAR", "".join(events) + "END:VCALENDAR"))


def _frame(name: str) -> Any:
    import icalendar  # as above

    calendar = icalendar.Calendar()
    calendar.add("prodid", "-//Tocsin//on call//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    # a property that RFC 5545 does not know is a text too (3.8.8.2); the library escapes those that it knows
    calendar.add("x-wr-calname", icalendar.vText(name))
    return calendar


def _whole(
    schedule: Schedule, start: Instant, end: Instant, overrides: Sequence[Override], position: str
) -> tuple[Instant, Instant]:
    """The stretch grown to where its first shift begins and its last one ends; without an end it stays as it is."""
    first = who(schedule, start, overrides, position).since
    last = who(schedule, end - 1, overrides, position).until
    return start if first is None else first, end if last is None else last
