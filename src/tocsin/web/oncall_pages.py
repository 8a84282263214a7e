"""On call: who answers now and in the next two weeks, overrides, leave, schedules; the calendar feeds."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tocsin.engine import overview
from tocsin.engine.admin_access import FeedToken
from tocsin.engine.admin_desk import slug
from tocsin.engine.administration import administer
from tocsin.engine.changes import PutSchedule
from tocsin.engine.engine import Engine
from tocsin.identity.sessions import secret_id
from tocsin.incidents.directory import Directory
from tocsin.kernel.clock import DAY, HOUR, MINUTE, Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import NotFound, TocsinError, Unauthenticated
from tocsin.oncall.calendar_feed import calendar_feed, joined
from tocsin.oncall.rotations import Rotation
from tocsin.oncall.schedules import Gap, Schedule, gaps, has_secondary, shifts
from tocsin.oncall.walltime import instant_at, wall_at, weekday
from tocsin.web.base import Visit, Web

DAYS = 14
FEED_DAYS = 90
COLOURS = 12
WIDE, NARROW = 980, 320
"""pixels that a strip has on a desk and on a telephone, roughly: what a name may need"""
LETTER = 7.5
"""pixels of a letter"""
LONGEST_SHIFT = 36 * HOUR
"""a present shift that ends within this is what *take a shift* proposes to take over"""


class Bar(msgspec.Struct):
    """A shift in the strip: left edge and width in thousandths of the whole; ``colour`` is the person's, 0 for nobody.

    ``full`` and ``brief``: as much of the name as there is room for, on a desk and on a telephone.
    """

    left: int
    width: int
    name: str
    colour: int
    start: Instant
    end: Instant
    reason: str
    person: str = ""
    full: str = ""
    brief: str = ""


class Away(msgspec.Struct):
    """Leave within somebody's own shifts: nobody is there, whatever the bar says."""

    left: int
    width: int
    name: str
    start: Instant
    end: Instant


class Strip(msgspec.Struct):
    """The next days of one position of a schedule."""

    position: str
    bars: list[Bar]
    away: list[Away] = []


class Hole(msgspec.Struct):
    """A stretch without anybody who could answer; ``why`` names people."""

    schedule: Schedule
    gap: Gap
    why: str


class OncallPages:
    """One method for each page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The addresses of on call. The feed stands first: a schedule's address would match it."""
        route = self.web.route
        return [
            Route("/oncall/{schedule}.ics", self.feed),
            route("/oncall", self.overview, form=True),
            route("/oncall/{schedule}", self.schedule, form=True),
            route("/oncall/{schedule}/edit", self.edit, form=True),
        ]

    def overview(self, visit: Visit) -> Response:
        """Every schedule with its next two weeks, gaps first."""
        error = ""
        if visit.posting:
            try:
                answer = visit.act("add_leave", "remove_leave", "put_organisation", "add_override")
                return visit.go(
                    "/oncall", str(answer.get("warning") or SAYS.get(str(visit.form.get("verb")), "Saved."))
                )
            except TocsinError as refused:
                error = visit.why(refused)
        start, end = overview.upcoming(visit.engine, DAYS)
        directory = visit.directory
        schedules = sorted(directory.schedules.values(), key=lambda one: one.name.casefold())
        return visit.page(
            "oncall.html", 400 if error else 200, error=error, organisation=directory.settings,
            cards=[(one, strips(directory, one, start, end), directory.on_call(one.id, visit.now)) for one in schedules],
            days=day_marks(visit.zone, start, end), holes=[hole(directory, directory.schedules[id], gap) for id, gap in directory.gaps(start, end)],
            schedules=directory.schedules,
            leaves=sorted((one for one in directory.leaves if one.end > visit.now), key=lambda one: one.start),
            people=sorted((one for one in directory.people.values() if one.active), key=lambda one: one.name.casefold()),
            teams=sorted(directory.teams.values(), key=lambda one: one.name.casefold()), soon=visit.now + DAY,
        )  # fmt: skip

    def schedule(self, visit: Visit) -> Response:
        """One schedule: the strip, every shift, overrides, and *take a shift*."""
        schedule, error = self._found(visit), ""
        if visit.posting:
            try:
                answer = visit.act("add_override", "remove_override", schedule=schedule.id)
                said = SAYS.get(str(visit.form.get("verb")), "Saved.")
                return visit.go(f"/oncall/{schedule.id}", str(answer.get("warning") or said))
            except TocsinError as refused:
                error = visit.why(refused)
        start, end = overview.upcoming(visit.engine, DAYS)
        directory = visit.directory
        overrides = directory.overrides_of(schedule.id)
        others = visit.may("schedules")
        now_on, soon = (
            directory.on_call(schedule.id, visit.now),
            visit.now - visit.now % (30 * MINUTE) + 30 * MINUTE,
        )
        ends = (
            now_on.until
            if now_on.until and now_on.until - visit.now < LONGEST_SHIFT and now_on.until > soon
            else soon + 12 * HOUR
        )
        return visit.page(
            "schedule.html", 400 if error else 200, error=error, schedule=schedule, days=day_marks(visit.zone, start, end), until=ends,
            strips=strips(directory, schedule, start, end), now_on=now_on, secondary=has_secondary(schedule),
            holes=[hole(directory, schedule, gap) for gap in gaps(schedule, start, end, overrides, directory.leaves)],
            overrides=sorted((one for one in overrides if one.end > visit.now), key=lambda one: one.start), others=others,
            people=sorted(
                (one for one in directory.people.values() if one.active and (others or one.id == visit.principal.person)),
                key=lambda one: one.name.casefold(),
            ),
            soon=soon, teams=[one.name for one in directory.teams.values() if one.schedule == schedule.id],
        )  # fmt: skip

    def _found(self, visit: Visit) -> Schedule:
        schedule = visit.directory.schedules.get(visit.part("schedule"))
        if schedule is None:
            raise NotFound(f"there is no schedule {visit.part('schedule')[:60]}")
        return schedule

    def edit(self, visit: Visit) -> Response:
        """Makes (``new``) or changes a schedule, rotation by rotation; the last row adds one."""
        id, error = visit.part("schedule"), ""
        if not visit.may("schedules"):
            return visit.refuse("Schedules are changed by owners", "You can take a shift or a gap on the schedule's own page; ask an owner of this installation for the rest.")  # fmt: skip
        schedule = Schedule("", "", (), visit.zone) if id == "new" else self._found(visit)
        if visit.posting:
            try:
                if str(visit.form.get("verb")) == "remove_schedule":
                    visit.act("remove_schedule", schedule=schedule.id)
                    return visit.go("/oncall", f"{schedule.name} is removed.")
                change = schedule_of(visit, schedule.id)
                administer(visit.engine, visit.principal, change)
                return visit.go(f"/oncall/{change.id}", "Saved.")
            except TocsinError as refused:
                error = visit.why(refused)
        return visit.page(
            "schedule_edit.html", 400 if error else 200, error=error, schedule=schedule, rotations=[*schedule.rotations, None],
            known={one.id for one in visit.directory.people.values() if one.active},
            people=sorted((one for one in visit.directory.people.values() if one.active), key=lambda one: one.name.casefold()),
        )  # fmt: skip

    async def feed(self, request: Request) -> Response:
        """Shifts as iCalendar, by the person's own token; ``mine`` is one's shifts in every schedule. Unchanged: 304."""
        text = await run_in_threadpool(
            feed_text, self.web.engine, request.path_params["schedule"], request.query_params.get("token", "")
        )
        etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
        headers = {"etag": etag, "cache-control": "private, max-age=300"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(text, media_type="text/calendar; charset=utf-8", headers=headers)


def feed_text(engine: Engine, schedule: str, secret: str) -> str:
    """The feed of a schedule, from the start of the day a week ago; raises :class:`Unauthenticated` or :class:`NotFound`."""
    row = engine.store.read(lambda r: r.record_by("feed_token", secret_id(secret))) if secret else None
    directory = engine.directory()
    feed = decode(row.body, FeedToken) if row else None
    person = directory.people.get(feed.person) if feed else None
    if feed is None or person is None or not person.active:
        raise Unauthenticated("this calendar address is not known; copy it again from your account page")
    now = engine.clock.now()
    today = now - now % DAY  # a feed that begins at midnight stays the same all day
    start, end = today - 7 * DAY, today + FEED_DAYS * DAY
    names = {one.id: one.name for one in directory.people.values()}
    if schedule != "mine":
        found = directory.schedules.get(schedule)
        if found is None:
            raise NotFound(f"there is no schedule {schedule[:60]}")
        return calendar_feed(
            found, start, end, now=today, overrides=directory.overrides_of(schedule), names=names
        )
    parts = [
        calendar_feed(
            one,
            start,
            end,
            now=today,
            overrides=directory.overrides_of(one.id),
            names=names,
            person=person.id,
        )
        for one in directory.schedules.values()
    ]
    return joined(parts, person.name)


SAYS = {
    "add_override": "Taken: it stands in the schedule.", "remove_override": "Taken back.", "add_leave": "The leave is entered.",
    "remove_leave": "The leave is taken back.", "put_organisation": "Saved.",
}  # fmt: skip


def colours(directory: Directory) -> dict[str, int]:
    """person → colour, the same in every schedule."""
    shown = dict.fromkeys(
        member
        for schedule in directory.schedules.values()
        for rotation in (*schedule.rotations, *schedule.secondary)
        for member in rotation.members
    )
    rest = (one for one in directory.people if one not in shown)
    return {person: number % COLOURS + 1 for number, person in enumerate([*shown, *rest])}


def strips(directory: Directory, schedule: Schedule, start: Instant, end: Instant) -> list[Strip]:
    """The bars of the next days, and the leave of those who have them."""
    painted, found = colours(directory), []
    whole = end - start
    for position in ("primary", "secondary"):
        if position == "secondary" and not has_secondary(schedule):
            continue
        strip = Strip(position, [])
        for one in shifts(schedule, start, end, directory.overrides_of(schedule.id), position):
            left = (one.start - start) * 1000 // whole
            width = (one.end - start) * 1000 // whole - left
            name = directory.name(one.person) if one.person else "nobody"
            strip.bars.append(
                Bar(
                    left, width, name, painted.get(one.person or "", 0), one.start, one.end, one.reason, one.person or "",
                    fitting(name, width * WIDE // 1000), fitting(name, width * NARROW // 1000),
                )
            )  # fmt: skip
            for leave in directory.leaves:
                if leave.person == one.person and leave.start < one.end and leave.end > one.start:
                    first, last = max(leave.start, one.start), min(leave.end, one.end)
                    edge = (first - start) * 1000 // whole
                    strip.away.append(Away(edge, max(2, (last - start) * 1000 // whole - edge), name, first, last))  # fmt: skip
        found.append(strip)
    return found


def fitting(name: str, pixels: int) -> str:
    """As much of a name as fits: all of it, the first name, the initials, or nothing."""
    initials = "".join(part[0] for part in name.split())
    for text in (name, name.split(" ")[0], initials):
        if len(text) * LETTER + 12 <= pixels:
            return text
    return ""


def hole(directory: Directory, schedule: Schedule, gap: Gap) -> Hole:
    """A gap with its reason in names."""
    person = next((one for one in directory.people if gap.reason.startswith(f"{one} ")), "")
    return Hole(schedule, gap, directory.name(person) + gap.reason[len(person) :] if person else gap.reason)


def day_marks(zone: str, start: Instant, end: Instant) -> list[tuple[int, Instant, bool]]:
    """(left edge in thousandths, midnight, whether a Monday) of each day in the reader's zone."""
    wall = wall_at(zone, start)
    wall = wall - wall % DAY + DAY
    marks = []
    while (at := instant_at(zone, wall)) < end:
        marks.append(((at - start) * 1000 // (end - start), at, weekday(wall) == 0))
        wall += DAY
    return marks


def schedule_of(visit: Visit, id: str) -> PutSchedule:
    """The schedule form: one row of fields for each rotation; a row without members is left out."""
    form = visit.form
    name, zone = str(form.get("name", "")), str(form.get("zone", "UTC"))
    id = id or slug(name, visit.directory.schedules)
    rows: list[dict[str, Any]] = [
        {
            "id": str(form.get(f"id-{number}") or f"{id}-{number + 1}"),
            "name": str(form.get(f"name-{number}", "")),
            "members": members_of([str(one) for one in form.getlist(f"members-{number}")]),
            "start": str(form.get(f"start-{number}", "")),
            "every": _number(str(form.get(f"every-{number}", "1"))),
            "unit": str(form.get(f"unit-{number}", "weeks")),
        }
        for number in range(min(20, _number(str(form.get("rows", "0")))))
    ]  # fmt: skip
    before = visit.directory.schedules.get(id)
    windows = {one.id: one.restrict for one in before.rotations} if before else {}
    rotations = [
        Rotation(
            row["id"], tuple(row["members"]), row["start"], zone, row["every"], row["unit"], windows.get(row["id"], ()), row["name"]
        )
        for row in rows
        if row["members"]
    ]  # fmt: skip
    return PutSchedule(
        id,
        name,
        rotations,
        zone,
        list(before.secondary) if before else [],
        1 if form.get("secondary") == "next" else 0,
    )


def members_of(texts: list[str]) -> list[str]:
    """The members of a rotation in order: one field for each place, empty ones left out; lines and commas are read too."""
    parts = [part.strip() for text in texts for part in text.replace(",", "\n").split("\n")]
    return [part for part in parts if part]


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
