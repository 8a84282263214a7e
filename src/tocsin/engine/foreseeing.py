"""Gaps in who is on call, found before they happen: whoever looks after a schedule is told a fortnight and a day ahead."""

from __future__ import annotations

from tocsin.engine.work import Work
from tocsin.kernel.clock import DAY, HOUR, Instant, to_datetime
from tocsin.kernel.codec import encode
from tocsin.kernel.ports import OutboxRow
from tocsin.notify.rules import plan
from tocsin.oncall.schedules import Gap
from tocsin.oncall.walltime import zone_of

AHEAD = 14 * DAY
SOON = DAY
EVERY = 6 * HOUR
"""how often it is looked; a change of schedule, override or leave is looked at within this"""


def foresee(work: Work, key: str) -> None:
    """Tells of every gap that begins within the next fortnight, once then and once more a day before."""
    for schedule, gap in work.directory.gaps(work.now, work.now + AHEAD):
        for stage, ahead in (("soon", SOON), ("ahead", AHEAD)):
            mark = f"gap/{schedule}/{gap.position}/{gap.start}/{stage}"
            if gap.start - work.now <= ahead:
                if work.tx.meta(mark) is None:
                    work.tx.put_meta(mark, b"1")
                    _tell(work, schedule, gap)
                break
    work.tx.set_timer("gaps", key, work.now + EVERY)
    work.flush()


def caretakers(work: Work, schedule: str) -> list[str]:
    """Who is told of a gap: the lead and the manager of the teams that use the schedule; for the commanders, the manager
    of engineering; where none of them is found, the owners of this installation.
    """
    directory = work.directory
    people: dict[str, None] = {}
    for team in directory.teams.values():
        if team.schedule == schedule:
            people.update(dict.fromkeys(filter(None, (team.engineering_lead, team.engineering_manager))))
    if schedule == directory.commander_schedule or not people:
        people.update(dict.fromkeys(directory.resolve("engineering_manager", work.now).people))
    able = [person for person in people if not directory.off(person, work.now)]
    return able or [one.id for one in directory.people.values() if one.role == "owner" and one.active]


def sentence(work: Work, schedule: str, gap: Gap, zone: str) -> str:
    """The gap in words, in the reader's zone and UTC."""
    known = work.directory.schedules[schedule]
    local, utc = zone_of(zone), zone_of("UTC")

    def shown(at: Instant) -> str:
        return f"{to_datetime(at, local):%a %d %b %H:%M} ({to_datetime(at, utc):%H:%M} UTC)"

    name = work.directory.people.get(gap.reason.partition(" ")[0])
    reason = gap.reason.replace(name.id, name.name, 1) if name else gap.reason
    return (
        f"nobody answers as {gap.position} of {known.name} from {shown(gap.start)} to {shown(gap.end)}: {reason}. "
        "Take it, or add an override."
    )


def _tell(work: Work, schedule: str, gap: Gap) -> None:
    calendar = work.current_policy()[0].calendar()
    title = f"A gap on call: {work.directory.schedules[schedule].name}"
    for person_id in caretakers(work, schedule):
        person = work.directory.people[person_id]
        for attempt in plan(person, "P4", "nudge"):
            contact = attempt.contact
            subject = {
                "title": title, "text": sentence(work, schedule, gap, person.zone), "path": f"/oncall/{schedule}", "restricted": False,
            }  # fmt: skip
            work.send(
                OutboxRow(
                    id=work.new_id(), key=f"gap:{schedule}:{gap.position}:{gap.start}:{work.now}:{person_id}:{contact.id}", effect="notice",
                    channel=contact.kind, recipient=person_id, address=contact.address, scope=f"schedule/{schedule}", tag="notice:gap",
                    urgency=3, not_before=calendar.in_hours(work.now) if contact.interrupts else work.now, created_at=work.now,
                    payload=encode({"subject": subject, "contact": contact.id, "kind": "notice"}),
                )
            )  # fmt: skip
