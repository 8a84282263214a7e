"""How promises were kept, from the record: the same function that runs the clocks, asked again after every fact.

A duty that ran is one of: *met* in time, *missed* (met late, or never), *waived*, *moot* (it restarted or its incident was
merged before it fell due), or still *running*. A recorded miss is a miss, whatever was written later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from statistics import median

import msgspec

from tocsin.incidents import facts as f
from tocsin.incidents.duties import Duty, calendar_of, duties
from tocsin.incidents.folding import BACKDATED, fold
from tocsin.incidents.incident import OPENED, Incident
from tocsin.kernel.clock import Instant
from tocsin.kernel.facts import Fact
from tocsin.policy.model import SEVERITIES, Policy

SATISFIES: dict[str, type[f.Body]] = {
    "update": f.UpdatePosted,
    "stand_up": f.StandUpHeld,
    "continuity": f.Heard,
}
"""rules whose duty gives way to the next one when this happens: that is how they are met"""

_STILL = (
    f.Delivery, f.DutyReminded, f.DutyChased, f.MembersAdded, f.NoteAdded, f.DecisionMade, f.TaskAdded, f.TaskChanged,
    f.ChangeNoted, f.ShiftChanged, f.StepSkipped, f.Asked, f.Requested, f.RequestAnswered, f.Retitled, f.ReportAttached,
)  # fmt: skip
"""facts that change nothing about what is owed"""

RULES = ("acknowledge", "respond", "resolve", "update")
"""the promises of a severity, in the order in which they are shown"""


class Kept(msgspec.Struct, frozen=True):
    """One duty that ran. ``late``: for how many microseconds after ``due`` it stayed unkept; 0 in time.

    That is until it was met, began anew or ended with its incident, else until now. One that gives way to the next when it is
    missed (an interval without an update, a stand-up) stays unkept until the next one is met: of eight updates missed in a
    row each is late by the time from its own due moment to the update that came.

    ``severity`` is that of the incident while it ran. ``ended``: when it was met, waived or moot; 0 while it runs.
    """

    incident: str
    rule: str
    id: str
    severity: str
    owner: str
    start: Instant
    due: Instant
    state: str
    late: int
    ended: Instant
    counted: tuple[tuple[Instant, Instant], ...]
    """the stretches of time that were counted from start to due: working hours, pauses left out"""


class _Running(msgspec.Struct):
    duty: Duty
    severity: str
    counted: tuple[tuple[Instant, Instant], ...]


def score(name: str, stored: Iterable[Fact], policy_of: Callable[[str], Policy], now: Instant) -> list[Kept]:
    """Every duty that the incident ever had, in the order in which they began."""
    incident = Incident("")
    running: dict[str, _Running] = {}
    done: dict[str, Kept] = {}
    unkept: dict[str, _Running] = {}
    """missed, and given way to the next of its kind"""
    for fact in stored:
        body = f.read(fact)
        at = fact.occurred_at if fact.type in BACKDATED else fact.recorded_at
        fold(incident, body, at, fact.version, fact.actor.principal)
        if body is None or _changes_nothing(body) or not incident.opened_at:
            continue
        policy = policy_of(incident.policy)
        here = {duty.id: duty for duty in duties(incident, policy)}
        for key in [key for key in running if key not in here]:
            if (
                isinstance(body, f.DutyMissed)
                and key in incident.missed
                and running[key].duty.rule in SATISFIES
            ):
                unkept[key] = running.pop(key)
            else:
                done[key] = _gone(name, running.pop(key), incident, body, fact, at)
        for key in [key for key, one in unkept.items() if _over(one.duty, body, here.values())]:
            one = unkept.pop(key)
            done[key] = _kept(name, one, "missed", max(0, at - one.duty.due), at)
        for key, duty in here.items():
            done.pop(key, None)  # an undone merge brings a duty back
            known = running.get(key)
            if known is None or (known.duty.due, known.duty.start) != (duty.due, duty.start):
                running[key] = _Running(duty, incident.severity, counted(incident, policy, duty))
            else:
                known.duty = duty
    found = [*done.values(), *(_present(name, one, incident, now) for one in running.values())]
    found += [_kept(name, one, "missed", max(0, now - one.duty.due), 0) for one in unkept.values()]
    return sorted(found, key=lambda one: (one.start, one.due, one.id))


def _changes_nothing(body: f.Body) -> bool:
    """Whether what is owed, and how it stands, is the same after it. Of notices the first one of a severity is a duty met."""
    return isinstance(body, _STILL) or (isinstance(body, f.Told) and not body.kind.startswith(OPENED))


def _over(duty: Duty, body: f.Body, here: Iterable[Duty]) -> bool:
    """Whether a duty that gave way when it was missed is unkept no longer: the next of its kind was met, or is not owed."""
    first, further, _ = duty.id.partition("#")
    after = [one for one in here if one.rule == duty.rule and (not further or one.id == first)]
    return isinstance(body, SATISFIES[duty.rule]) or all(one.waived or one.moot for one in after)


def _gone(name: str, one: _Running, incident: Incident, body: f.Body, fact: Fact, at: Instant) -> Kept:
    """What became of a duty that is owed no more since ``fact``."""
    duty = one.duty
    missed = duty.id in incident.missed or bool(duty.missed_at)
    satisfied = SATISFIES.get(duty.rule)
    met = satisfied is not None and isinstance(body, satisfied)
    if duty.met_at and not duty.waived:
        return _present(name, one, incident, duty.met_at)
    if duty.waived:
        state = "waived"
    elif missed or (met and at > duty.due):
        state = "missed"
    else:
        state = "met" if met else "moot"
    late = max(0, (at if met else fact.recorded_at) - duty.due) if state == "missed" else 0
    return _kept(name, one, state, late, at if met else fact.recorded_at)


def _present(name: str, one: _Running, incident: Incident, now: Instant) -> Kept:
    duty = one.duty
    missed = duty.id in incident.missed or bool(duty.missed_at)
    if duty.waived:
        return _kept(name, one, "waived", 0, duty.due)
    if duty.moot:
        late = max(0, duty.met_at - duty.due)
        return _kept(name, one, "missed" if missed or late else "moot", late, duty.met_at)
    if duty.met_at:
        late = max(0, duty.met_at - duty.due)
        return _kept(name, one, "missed" if missed or late else "met", late, duty.met_at)
    if missed or now > duty.due:
        return _kept(name, one, "missed", max(0, now - duty.due), 0)
    return _kept(name, one, "running", 0, 0)


def _kept(name: str, one: _Running, state: str, late: int, ended: Instant) -> Kept:
    duty = one.duty
    return Kept(
        name,
        duty.rule,
        duty.id,
        one.severity,
        duty.owner,
        duty.start,
        duty.due,
        state,
        late,
        ended,
        one.counted,
    )


def counted(incident: Incident, policy: Policy, duty: Duty) -> tuple[tuple[Instant, Instant], ...]:
    """The stretches that count towards a duty: working hours where it is in business time, without pauses."""
    calendar = calendar_of(incident, policy)
    allowed = {
        "acknowledge": policy.severity(incident.severity).acknowledge, "respond": policy.severity(incident.severity).respond,
        "update": policy.severity(incident.severity).update,
    }.get(duty.rule)  # fmt: skip
    spans = [(duty.start, duty.due)]
    if allowed is not None and allowed.is_business:
        spans = calendar.intervals(duty.start, duty.due)
    for begin, end in incident.pauses:
        spans = [piece for span in spans for piece in _without(span, begin, end)]
    return tuple(spans)


def _without(span: tuple[Instant, Instant], begin: Instant, end: Instant) -> list[tuple[Instant, Instant]]:
    start, stop = span
    pieces = [(start, min(stop, begin)), (max(start, end), stop)]
    return [(low, high) for low, high in pieces if low < high]


class Attainment(msgspec.Struct, frozen=True):
    """How one promise of one severity was kept. ``share`` is met of met and missed, in permille; -1 where nothing ran.

    ``late`` figures are microseconds, over what was missed, what is not kept yet included; see :class:`Kept`.
    """

    severity: str
    rule: str
    met: int
    missed: int
    waived: int
    running: int
    share: int
    median_late: int
    worst_late: int


def attainment(kept: Iterable[Kept], rules: Iterable[str] = RULES) -> list[Attainment]:
    """One row for each severity and rule that ran at all."""
    every = list(kept)
    found = []
    for severity in SEVERITIES:
        for rule in rules:
            mine = [one for one in every if (one.severity, one.rule) == (severity, rule)]
            if not mine:
                continue
            late = [one.late for one in mine if one.state == "missed"]
            met = sum(one.state == "met" for one in mine)
            found.append(
                Attainment(
                    severity, rule, met, len(late), sum(one.state == "waived" for one in mine),
                    sum(one.state == "running" for one in mine), met * 1000 // (met + len(late)) if met or late else -1,
                    round(median(late)) if late else 0, max(late, default=0),
                )
            )  # fmt: skip
    return found
