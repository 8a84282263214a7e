"""Alerts come in: rows, routing, grouping, facts, timers and pages in one transaction; the 2xx follows its commit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from tocsin.alerts.episodes import Advanced, advance
from tocsin.alerts.routing import Route
from tocsin.alerts.shape import Alert, Change
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine.placing import (
    AGAIN,
    PATIENCE,
    QUIET,
    TEST,
    UNREADABLE,
    Arrival,
    Integration,
    Placing,
    Rules,
    alert_from,
    arm_quiet,
    readable,
    reference,
)
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.duties import duties
from tocsin.incidents.incident import ALL_SEVERITIES, Incident, alert_key, worse
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import AlertRow, ChangeRow, Reader

log = structlog.get_logger("tocsin.intake")

ENDING = "ending"
"""the state of an alert that its source resolved while its incident could not be read: it counts as firing until that hears"""


class Outcome(msgspec.Struct):
    """What became of one alert, with the reason a person can read."""

    dedup_key: str
    event: str
    reason: str
    incident: str = ""
    restricted: bool = False
    """whether only the members of its incident, and owners, may know what became of it"""


class Batch:
    """What the alerts of one request come to: rows to write, and the news for incidents, gathered until all are known."""

    def __init__(
        self, work: Work, integration: Integration, rules: Rules, test: str = "", requests: int = 1
    ) -> None:
        self.work, self.integration = work, integration
        self.placing = Placing(work, integration, rules, test, requests)
        self.rows: dict[str, AlertRow] = {}
        self.touched: dict[str, AlertRow] = {}
        self.repeated: dict[str, AlertRow] = {}
        self.cleared: dict[str, list[AlertRow]] = {}
        self.acknowledged: dict[str, list[AlertRow]] = {}
        self.sooner: list[AlertRow] = []
        """rows that now expire earlier than before"""

    def take(self, alert: Alert) -> Outcome:
        """Takes one alert; answers what became of it."""
        before = self.rows.get(alert.dedup_key)
        ended, heard = (before.ends_at, before.last_at) if before is not None else (0, 0)
        step = advance(before, alert, self.work.now, integration=self.integration.id)
        row = step.row
        if row is None:
            return Outcome(alert.dedup_key, step.event, step.reason)
        news = self._news(alert, row, step, heard)
        sooner = row.ends_at < ended or (not ended and row.ends_at > 0)
        if sooner:
            self.sooner.append(row)
        self.rows[alert.dedup_key] = row
        repeats = step.same and not news and not sooner
        (self.repeated if repeats else self.touched)[alert.dedup_key] = row
        return Outcome(alert.dedup_key, step.event, f"{step.reason}; {news}" if news else step.reason)

    def _news(self, alert: Alert, row: AlertRow, step: Advanced, heard: Instant) -> str:
        """What the event means beyond its row, in words; ``heard`` is when the alert was last heard of before."""
        placing = self.placing
        if step.event in ("opened", "refired"):
            return placing.place(alert, row, step.event)
        if step.event == "worsened":
            return placing.worsened(alert, row)
        if step.event == "repeated":
            if row.state == ENDING:
                row.state = "attached"
                return "it fires after all"
            if step.before is not None and (news := placing.changed(alert, row, step.before)):
                return news
            looks = row.incident and row.state not in QUIET and heard // PATIENCE != row.last_at // PATIENCE
            return placing.lingers(alert, row) if looks else ""
        if step.event in ("cleared", "acknowledged") and row.incident:
            if placing.read(row.incident) is None:
                return self._cannot_be_told(row, step.event)
            told = self.cleared if step.event == "cleared" else self.acknowledged
            told.setdefault(row.incident, []).append(row)
        return ""

    def _cannot_be_told(self, row: AlertRow, event: str) -> str:
        """Its incident cannot be read: the end is kept and told as soon as it can be; the others go on."""
        why = "its incident cannot be read by this version of Tocsin"
        if event == "acknowledged":
            return f"{why}, so nothing waits for that"
        row.status, row.state, row.cleared_at = "firing", ENDING, 0
        row.ends_at = self.work.now + AGAIN
        return f"{why}, and hears of it as soon as it can be"

    def tell(self) -> None:
        """One fact for each incident and kind of news. An alert that fired and cleared within the batch has cleared."""
        work = self.work
        for target, arrivals in self.placing.arrivals.items():
            restricted = _arrive(work, target, arrivals)
            for row in (*self.touched.values(), *self.repeated.values()):
                if row.incident == target:
                    row.restricted = restricted
            work.let_go(work.load(target))
        for target, gone in self.cleared.items():
            keys = [(row.integration, row.dedup_key) for row in gone if row.status != "firing"]
            if keys:
                clear(work, target, keys, "resolved")
        for target, taken in self.acknowledged.items():
            incident = work.load(target)
            if incident.open:
                keys = [(row.integration, row.dedup_key) for row in taken]
                work.record(incident, f.SenderAcknowledged(keys, pause_until(work, incident)))


def receive(
    work: Work,
    integration: Integration,
    alerts: Sequence[Alert],
    rules: Rules,
    test: str = "",
    *,
    requests: int = 1,
) -> list[Outcome]:
    """Takes a batch. Repeats touch only their row; whatever opens, clears or fires again reaches its incident once.

    ``test``: the mark of a test of the integration; see :class:`Placing`. ``requests``: how many the alerts came in.
    """
    batch = Batch(work, integration, rules, test, requests)
    batch.rows = work.tx.alerts_by_key(integration.id, [alert.dedup_key for alert in alerts])
    unknown: dict[str, Alert] = {}
    for alert in alerts:
        if alert.action == "trigger" and alert.dedup_key not in batch.rows:
            unknown.setdefault(alert.dedup_key, alert)
    if len(unknown) > 1:
        batch.placing.look_ahead(unknown.values())
    outcomes = [batch.take(alert) for alert in alerts]
    batch.tell()
    for outcome in outcomes:
        row = batch.rows.get(outcome.dedup_key)
        if row is not None:
            outcome.incident, outcome.restricted = row.incident, row.restricted
    if batch.placing.budget.spent:
        log.warning(
            "expressions of routes or silences took too long for one batch", integration=integration.id
        )
        for outcome in outcomes:
            outcome.reason += "; some expressions of routes and silences were not asked, they took too long"
    if batch.touched:
        work.tx.put_alerts(list(batch.touched.values()))
    work.tx.touch_alerts([row for key, row in batch.repeated.items() if key not in batch.touched])
    _expiry(work, batch.sooner)
    work.flush()
    return outcomes


def clear(work: Work, target: str, keys: list[tuple[str, str]], how: str) -> None:
    """Alerts of an incident ended; one that has ended itself is told too, so that what it knows is true if it opens again.

    The last alert of a test ends the test.
    """
    incident = work.load(target)
    work.record(incident, f.AlertsCleared(keys, how))
    if incident.open and incident.series == TEST and not incident.firing:
        work.record(
            incident, f.StatusChanged(incident.status, "resolved", "the test is over", by_person=False)
        )
    work.let_go(incident)


def pause_until(work: Work, incident: Incident) -> Instant:
    """Until when a sender's acknowledge pauses escalation: one acknowledge time, the short one while all is only proposed."""
    policy = work.policy(incident)
    whole = policy.calendar(incident.calendar).add(work.now, policy.severity(incident.severity).acknowledge)
    running = [duty for duty in duties(incident, policy) if duty.rule == "acknowledge"]
    return min([whole, *(work.now + duty.due - duty.start for duty in running)])


def _expiry(work: Work, rows: Sequence[AlertRow]) -> None:
    ends = [row.ends_at for row in rows if row.ends_at and row.status == "firing"]
    if ends:
        timer = work.tx.timer("expiry", "alerts")
        if timer is None or min(ends) < timer.due_at:
            work.tx.set_timer("expiry", "alerts", min(ends))


def _arrive(work: Work, target: str, arrivals: list[Arrival]) -> bool:
    """One fact for a batch that joins; a higher severity of its own raises, and never the other way.

    Answers whether the incident is restricted then. What one of its own alerts says can make it so.
    """
    incident = work.load(target)
    if not incident.open:
        word = "still fires" if arrivals[0].how == "lingers" else "fired"
        reason = f"an alert {word}: {arrivals[0].alert.summary[:200]}"
        ended = incident.resolved_at or incident.closed_at
        work.record(incident, f.Reopened(reason, False, work.now - ended))
    kind = next((one.kind for one in arrivals if one.kind.restricted and not incident.restricted), None)
    if kind is not None:
        work.record(incident, f.TypeSet(kind.name, kind.subtype, kind.reason, True))
    raising = [one for one in arrivals if _raises(incident, one)]
    joined = [_reference(work, one) for one in arrivals if one.how == "joined"]
    refired = [_reference(work, one) for one in arrivals if one.how in ("refired", "lingers")]
    if joined:
        work.record(incident, f.AlertsAttached(joined, "same group", []))
    if refired:
        work.record(incident, f.AlertsRefired(refired))
    if raising:
        worst = min(raising, key=lambda one: ALL_SEVERITIES.index(one.proposal.severity)).proposal
        work.record(
            incident,
            f.SeverityChanged(
                incident.severity, worst.severity, "raised", worst.reason, "proposed", worst.rule
            ),
        )
    return incident.restricted


def _raises(incident: Incident, arrival: Arrival) -> bool:
    """Whether it is worse than the incident. One that comes and goes raises no second time what a person has settled since."""
    proposed = arrival.proposal.severity
    if not worse(proposed, incident.severity):
        return False
    known = incident.alerts.get(alert_key(arrival.row.integration, arrival.row.dedup_key))
    if arrival.how not in ("refired", "lingers") or known is None or not known.ref.proposed:
        return True
    return not incident.confirmed_at or worse(proposed, known.ref.proposed)


def _reference(work: Work, arrival: Arrival) -> f.AlertRef:
    return reference(work, arrival.row, arrival.alert, arrival.policy, arrival.proposal)


def release(work: Work, rules: Rules, limit: int = 1000) -> int:
    """Decides again about what was silenced, under maintenance or held back: what still fires pages; answers how many left.

    The timer is set to the next end of a silence, a window or a hold that still keeps something quiet.
    """
    terms = work.current_policy()[0].alerts
    work.tx.set_timer("quiet", "alerts", None)
    released = 0
    for state in QUIET:
        after: tuple[str, str] | None = None
        while rows := work.tx.alerts(status="firing", state=state, after=after, limit=limit):
            after = (rows[-1].integration, rows[-1].dedup_key)
            by_integration: dict[str, list[AlertRow]] = {}
            for row in rows:
                held_until = row.received_at + terms.flapping_hold.micros
                if state == "held" and held_until > work.now:
                    arm_quiet(work, held_until)
                else:
                    by_integration.setdefault(row.integration, []).append(row)
            for integration, due in by_integration.items():
                released += _release(work, rules, integration_of(work.tx, integration), due)
            if len(rows) < limit:
                break
    work.flush()
    return released


def _release(work: Work, rules: Rules, integration: Integration, rows: list[AlertRow]) -> int:
    batch = Batch(work, integration, rules)
    for row in rows:
        try:
            alert = alert_from(row)
        except UNREADABLE as error:
            log.error(
                "an alert cannot be read",
                integration=row.integration,
                key=row.dedup_key,
                error=str(error)[:500],
            )
            arm_quiet(work, work.now + AGAIN)
            continue
        batch.touched[row.dedup_key] = row
        batch.placing.place(alert, row, "refired" if row.incident else "opened", hold=False)
    batch.tell()
    released = list(batch.touched.values())
    work.tx.put_alerts(released)
    return sum(1 for row in released if row.state not in QUIET)


def integration_of(reader: Reader, integration_id: str) -> Integration:
    """The integration of that id; a bare one where it was removed since its alerts came in."""
    row = reader.record("integration", integration_id)
    return decode(row.body, Integration) if row else Integration(integration_id, integration_id, "removed")


def keep_changes(work: Work, integration: Integration, changes: Sequence[Change]) -> None:
    """Deployments and configuration changes, shown beside the onset of incidents."""
    rows = []
    for change in changes:
        known = work.directory.service(change.service or integration.service)
        service = known.id if known else change.service or integration.service
        rows.append(
            ChangeRow(
                work.new_id(),
                integration.id,
                service,
                change.at or work.now,
                work.now,
                change.summary[:1000],
                encode(change),
            )
        )
    work.tx.put_changes(rows)
    work.forget_openings()


def expire(work: Work, limit: int = 500) -> int:
    """Alerts that were not sent again by their end count as cleared; answers how many.

    Those of an incident that cannot be read stay as they are and are looked at again soon, so that they hold up no others.
    """
    work.tx.look_later(work.now, limit)
    rows = work.tx.alerts_ending(work.now, limit)
    told: dict[tuple[str, str], list[tuple[str, str]]] = {}
    can_be_read = {
        target: readable(work, target) is not None for target in {row.incident for row in rows} if target
    }
    for row in rows:
        if not can_be_read.get(row.incident, True):
            row.ends_at = work.now + AGAIN
            continue
        resolved = row.state == ENDING
        row.status, row.cleared_at, row.ends_at = "resolved" if resolved else "expired", work.now, 0
        row.reason = "the source resolved it" if resolved else "it was not sent again in time"
        if row.incident:
            told.setdefault((row.incident, row.status), []).append((row.integration, row.dedup_key))
    if rows:
        work.tx.put_alerts(rows)
    for (target, how), keys in told.items():
        clear(work, target, keys, how)
    work.flush()
    work.tx.set_timer("expiry", "alerts", work.tx.next_end())
    return len(rows)


def rules_of(tx: Reader) -> Rules:
    """The routing records as they stand."""
    return Rules(
        [decode(row.body, Route) for row in tx.records("route")],
        [decode(row.body, Silence) for row in tx.records("silence")],
        [decode(row.body, Maintenance) for row in tx.records("maintenance")],
    )
