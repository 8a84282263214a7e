"""Due times against an oracle that counts minutes: pauses, raises, lowering, reopening and merging in any order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.incidents import facts as f
from tocsin.incidents.chasing import next_chase_moment, not_before, reminders
from tocsin.incidents.duties import duties, owed
from tocsin.incidents.folding import fold
from tocsin.incidents.incident import ALL_SEVERITIES, Incident
from tocsin.incidents.owing import next_duty_moment
from tocsin.kernel.clock import DAY, HOUR, MINUTE, earliest, parse_instant
from tocsin.policy.calendar import BUSINESS, BUSINESS_DAYS
from tocsin.policy.load import default_policy

POLICY = default_policy()
CALENDAR = POLICY.calendar()
START = parse_instant("2026-03-05T13:00:00Z")  # a Thursday

steps = st.lists(
    st.tuples(
        st.integers(1, 900),
        st.sampled_from(
            ["raise", "lower", "pause", "resume", "update", "acknowledge", "resolve", "reopen", "merge"]
        ),
        st.integers(1, 600),
    ),
    max_size=12,
)


class Oracle:
    """Keeps the beginnings by the rules as people say them, and finds due times by walking minute by minute."""

    def __init__(self, severity):
        self.severity = severity
        self.acknowledge = self.respond = self.update = self.resolve = START
        self.pauses = []
        self.resolved = False

    def due(self, start, duration):
        if duration.kind == BUSINESS_DAYS:
            return None  # the same time of another day: its own property test counts that
        left, at = duration.amount // MINUTE, start
        if duration.kind == BUSINESS and not self.open(at):
            while not self.open(at):
                at += MINUTE
        while left:
            counts = not any(a <= at < b for a, b in self.pauses)
            if duration.kind == BUSINESS:
                counts = counts and self.open(at)
            at += MINUTE
            left -= counts
        return at

    @staticmethod
    def open(at):
        return CALENDAR.is_open(at)


def apply(oracle, incident, what, at, amount):
    """One event, told to both; None where it makes no sense now."""
    body = None
    index = ALL_SEVERITIES.index(oracle.severity)
    pausable = POLICY.severity(oracle.severity).pausable
    if what in ("raise", "lower") and not oracle.resolved:
        target = index - 1 if what == "raise" else index + 1
        if 0 <= target < 4:
            after = ALL_SEVERITIES[target]
            body = f.SeverityChanged(oracle.severity, after, "raised" if what == "raise" else "lowered", "x")
            if what == "raise":
                oracle.acknowledge = oracle.respond = oracle.update = at
            oracle.severity = after
            if oracle.pauses and oracle.pauses[-1][1] > at and not POLICY.severity(after).pausable:
                oracle.pauses[-1] = (oracle.pauses[-1][0], at)
                tell(incident, body, at)
                body = f.ClockResumed("never pauses")
    elif what == "pause" and pausable and not oracle.resolved:
        end_pause(oracle, at)
        oracle.pauses.append((at, at + amount * MINUTE))
        body = f.ClockPaused("x", at + amount * MINUTE)
    elif what == "resume" and oracle.pauses and oracle.pauses[-1][1] > at:
        end_pause(oracle, at)
        body = f.ClockResumed("x")
    elif what == "update":
        oracle.update = max(oracle.update, at)
        body = f.UpdatePosted("x")
    elif what == "acknowledge" and not oracle.resolved:
        body = f.Acknowledged("anna", "web", [])
    elif what == "resolve" and not oracle.resolved:
        oracle.resolved = True
        end_pause(oracle, at)
        body = f.StatusChanged(incident.status, "resolved")
    elif what == "reopen" and oracle.resolved:
        oracle.resolved = False
        oracle.acknowledge = oracle.respond = oracle.update = at
        body = f.Reopened("x")
    elif what == "merge" and not oracle.resolved:
        earlier = START - amount * MINUTE
        oracle.resolve = min(oracle.resolve, earlier)
        body = f.MergedFrom("other", "INC-9", earlier)
    if body is not None:
        tell(incident, body, at)


def end_pause(oracle, at):
    if oracle.pauses and oracle.pauses[-1][1] > at:
        oracle.pauses[-1] = (oracle.pauses[-1][0], at)


def tell(incident, body, at):
    fold(incident, body, at, incident.version + 1, "person:anna")


def lived_through(severity, events):
    """An incident and its oracle after events, and when the last of them was."""
    incident, oracle, at = Incident("i"), Oracle(severity), START
    tell(incident, f.Declared(1, "INC", "x", severity, "confirmed", "x", "p", rule="r", by="anna"), START)
    for wait, what, amount in events:
        at += wait * MINUTE
        apply(oracle, incident, what, at, amount)
    return incident, oracle, at


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(ALL_SEVERITIES), steps, st.data())
def test_the_next_moment_is_the_first_of_all_that_is_owed_though_most_of_it_is_only_estimated(
    severity, events, data
):
    incident, _, at = lived_through(severity, events)
    open_ones = owed(incident, POLICY)
    for duty in data.draw(
        st.lists(st.sampled_from(open_ones), unique_by=id, max_size=4) if open_ones else st.just([])
    ):
        body = data.draw(st.sampled_from([
            f.DutyMissed(duty.id, duty.rule, duty.due, duty.owner, []),
            *(f.DutyReminded(one.key, duty.rule, "", []) for one in reminders_of(duty, incident)),
        ]))  # fmt: skip
        tell(incident, body, at)
    moments = []
    for duty in owed(incident, POLICY):
        moment = next_chase_moment(duty, incident, POLICY.chase(duty.rule), CALENDAR, **hours_of(incident))
        moments.append(moment)
        if duty.id not in incident.missed:
            assert not_before(duty, POLICY.chase(duty.rule)) <= moment
    expected = incident.paused_until or earliest(moments)
    assert next_duty_moment(incident, POLICY, CALENDAR) == expected


def hours_of(incident):
    terms = POLICY.severity(incident.severity)
    return {"business": terms.hours == "business", "digest": terms.escalation.when_missed == "digest"}


def reminders_of(duty, incident):
    return reminders(duty, POLICY.chase(duty.rule), CALENDAR, business=hours_of(incident)["business"])


@settings(deadline=None, max_examples=120)
@given(st.sampled_from(ALL_SEVERITIES), steps)
def test_what_is_due_agrees_with_counting_minutes_whatever_happened_before(severity, events):
    incident, oracle, _ = lived_through(severity, events)
    found = {}
    for duty in duties(incident, POLICY):
        found.setdefault(duty.rule, duty)
    terms = POLICY.severity(oracle.severity)
    respond = oracle.due(oracle.respond, terms.respond)
    for rule, start, allowed in (
        ("acknowledge", oracle.acknowledge, terms.acknowledge), ("respond", oracle.respond, terms.respond), ("resolve", oracle.resolve, terms.resolve),
    ):  # fmt: skip
        assert found[rule].start == start, rule
        expected = oracle.due(start, allowed)
        if rule == "resolve" and expected is not None and respond is not None:
            expected = max(expected, respond)
        if expected is not None and not (rule == "resolve" and respond is None):
            assert found[rule].due == expected, rule
    if not oracle.resolved and terms.first_update != "response":
        expected = oracle.due(oracle.update, terms.update)
        if expected is not None:
            assert found["update"].due == expected


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(ALL_SEVERITIES), steps)
def test_a_duty_that_ran_is_met_missed_waived_moot_or_running_and_never_gone(severity, events):
    """Whatever was owed once is in the score, and every id that is owed now is among them."""
    from tocsin.kernel.facts import GENESIS, Actor, Stream, chain
    from tocsin.learn.score import score

    incident, oracle = Incident("i"), Oracle(severity)
    declared = f.Declared(1, "INC", "x", severity, "confirmed", "x", "p", rule="r", by="anna")
    told, seen, at = [(declared, START)], set(), START
    tell(incident, declared, START)

    def noted(target, body, when):
        fold(target, body, when, target.version + 1, "person:anna")
        told.append((body, when))
        seen.update(duty.id for duty in duties(target, POLICY))

    for wait, what, amount in events:
        at += wait * MINUTE
        apply_with(noted, oracle, incident, what, at, amount)
    facts, previous = [], GENESIS
    for version, (body, when) in enumerate(told):
        made = chain(
            Stream("incident", "i"), [f.draft(body, when)], version=version, previous=previous, actor=Actor("person:anna", "web"),
            command_id="c", now=when, ids=[f"{version:026}"],
        )  # fmt: skip
        facts += made
        previous = made[-1].hash
    kept = {one.id: one.state for one in score("INC-1", facts, lambda _: POLICY, at + DAY)}
    assert seen <= set(kept)
    assert set(kept.values()) <= {"met", "missed", "waived", "moot", "running"}


def apply_with(noted, oracle, incident, what, at, amount):
    original = globals()["tell"]
    globals()["tell"] = noted
    try:
        apply(oracle, incident, what, at, amount)
    finally:
        globals()["tell"] = original


def test_the_oracle_itself_counts_as_people_do():
    oracle = Oracle("P3")
    assert oracle.due(START, POLICY.severity("P3").respond) == START + 4 * HOUR
    oracle.pauses.append((START, START + HOUR))
    assert oracle.due(START, POLICY.severity("P3").respond) == START + DAY - 4 * HOUR + HOUR
