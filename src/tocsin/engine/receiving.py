"""Alerts come in: rows, routing, grouping, facts, timers and pages in one transaction; the 2xx follows its commit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.alerts.episodes import advance
from tocsin.alerts.routing import Route
from tocsin.alerts.shape import Alert, Change
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine.placing import (
    QUIET,
    Arrival,
    Integration,
    Placing,
    Rules,
    alert_from,
    arm_quiet,
    reference,
)
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.incident import ALL_SEVERITIES, worse
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import AlertRow, ChangeRow, Reader


class Outcome(msgspec.Struct):
    """What became of one alert, with the reason a person can read."""

    dedup_key: str
    event: str
    reason: str
    incident: str = ""


def receive(work: Work, integration: Integration, alerts: Sequence[Alert], rules: Rules) -> list[Outcome]:
    """Takes a batch. Repeats touch only their row; whatever opens, clears or fires again reaches its incident once."""
    rows = work.tx.alerts_by_key(integration.id, [alert.dedup_key for alert in alerts])
    placing = Placing(work, integration, rules)
    outcomes: list[Outcome] = []
    touched: dict[str, AlertRow] = {}
    repeated: dict[str, AlertRow] = {}
    cleared: dict[str, list[AlertRow]] = {}
    acknowledged: dict[str, list[AlertRow]] = {}
    sooner: list[AlertRow] = []
    for alert in alerts:
        before = rows.get(alert.dedup_key)
        ended = before.ends_at if before is not None else 0
        step = advance(before, alert, work.now, integration=integration.id)
        row, reason = step.row, step.reason
        if row is not None and (not ended or row.ends_at < ended):
            sooner.append(row)
        if row is not None and step.same:
            rows[alert.dedup_key] = repeated[alert.dedup_key] = row
        elif row is not None:
            rows[alert.dedup_key] = touched[alert.dedup_key] = row
            if step.event in ("opened", "refired"):
                reason = f"{reason}; {placing.place(alert, row, step.event)}"
            elif step.event == "worsened":
                reason = f"{reason}; {placing.worsened(alert, row)}"
            elif step.event == "cleared" and row.incident:
                cleared.setdefault(row.incident, []).append(row)
            elif step.event == "acknowledged" and row.incident:
                acknowledged.setdefault(row.incident, []).append(row)
        outcomes.append(Outcome(alert.dedup_key, step.event, reason))
    _tell(work, placing, cleared, acknowledged)
    for outcome in outcomes:
        outcome.incident = rows[outcome.dedup_key].incident if outcome.dedup_key in rows else ""
    if touched:
        work.tx.put_alerts(list(touched.values()))
    work.tx.touch_alerts([row for key, row in repeated.items() if key not in touched])
    _expiry(work, sooner)
    work.flush()
    return outcomes


def _tell(
    work: Work, placing: Placing, cleared: dict[str, list[AlertRow]], acknowledged: dict[str, list[AlertRow]]
) -> None:
    """One fact for each incident and kind of news. An alert that fired and cleared within the batch has cleared."""
    for target, arrivals in placing.arrivals.items():
        _arrive(work, target, arrivals)
    for target, gone in cleared.items():
        incident = work.load(target)
        keys = [(row.integration, row.dedup_key) for row in gone if row.status != "firing"]
        if incident.open and keys:
            work.record(incident, f.AlertsCleared(keys))
    for target, taken in acknowledged.items():
        incident = work.load(target)
        if incident.open:
            pause = work.policy(incident).severity(incident.severity).acknowledge
            until = work.policy(incident).calendar(incident.calendar).add(work.now, pause)
            keys = [(row.integration, row.dedup_key) for row in taken]
            work.record(incident, f.SenderAcknowledged(keys, until))


def _expiry(work: Work, rows) -> None:  # type: ignore[no-untyped-def]
    ends = [row.ends_at for row in rows if row.ends_at and row.status == "firing"]
    if ends:
        timer = work.tx.timer("expiry", "alerts")
        if timer is None or min(ends) < timer.due_at:
            work.tx.set_timer("expiry", "alerts", min(ends))


def _arrive(work: Work, target: str, arrivals: list[Arrival]) -> None:
    """One fact for a batch that joins; a higher severity of its own raises, and never the other way."""
    incident = work.load(target)
    if incident.status == "resolved":
        reason = f"an alert fired: {arrivals[0].alert.summary[:200]}"
        work.record(incident, f.Reopened(reason, False, work.now - incident.resolved_at))
    joined = [reference(one.row, one.alert, one.policy) for one in arrivals if one.how == "joined"]
    refired = [reference(one.row, one.alert, one.policy) for one in arrivals if one.how == "refired"]
    if joined:
        work.record(incident, f.AlertsAttached(joined, "same group", []))
    if refired:
        work.record(incident, f.AlertsRefired(refired))
    worst = min(
        (one.proposal for one in arrivals), key=lambda proposal: ALL_SEVERITIES.index(proposal.severity)
    )
    if worst.rule and worse(worst.severity, incident.severity):
        work.record(
            incident,
            f.SeverityChanged(
                incident.severity, worst.severity, "raised", worst.reason, "proposed", worst.rule
            ),
        )


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
    placing = Placing(work, integration, rules)
    for row in rows:
        placing.place(alert_from(row), row, "refired" if row.incident else "opened", hold=False)
    _tell(work, placing, {}, {})
    work.tx.put_alerts(rows)
    return sum(1 for row in rows if row.state not in QUIET)


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


def expire(work: Work, limit: int = 500) -> int:
    """Alerts that were not sent again by their end count as cleared; answers how many."""
    rows = work.tx.alerts_ending(work.now, limit)
    by_incident: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        row.status, row.cleared_at, row.ends_at = "expired", work.now, 0
        row.reason = "it was not sent again in time"
        if row.incident:
            by_incident.setdefault(row.incident, []).append((row.integration, row.dedup_key))
    if rows:
        work.tx.put_alerts(rows)
    for target, keys in by_incident.items():
        incident = work.load(target)
        if incident.open:
            work.record(incident, f.AlertsCleared(keys, "expired"))
    work.flush()
    later = work.tx.alerts_ending(2**62, 1)
    work.tx.set_timer("expiry", "alerts", later[0].ends_at if later else None)
    return len(rows)


def rules_of(tx) -> Rules:  # type: ignore[no-untyped-def]
    """The routing records as they stand."""
    return Rules(
        [decode(row.body, Route) for row in tx.records("route")],
        [decode(row.body, Silence) for row in tx.records("silence")],
        [decode(row.body, Maintenance) for row in tx.records("maintenance")],
    )
