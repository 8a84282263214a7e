"""Alerts come in: rows, routing, grouping, facts, timers and pages in one transaction; the 2xx follows its commit."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tocsin.alerts.episodes import advance
from tocsin.alerts.routing import Route, route
from tocsin.alerts.shape import Alert, Change
from tocsin.alerts.silences import Maintenance, Silence, maintenance_of, silenced_by
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident, worse
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.ports import AlertRow, ChangeRow
from tocsin.policy.severity import propose


class Integration(msgspec.Struct):
    """A way in: its key is looked up by keyed hash. ``service`` and ``escalation_policy`` are used where no route says."""

    id: str
    name: str
    source: str
    service: str = ""
    escalation_policy: str = ""
    group_by: list[str] = []
    may_silence: bool = False
    mapping: dict[str, str] = {}
    sealed_key: str = ""
    team: str = ""
    interval: int = 0
    """heartbeats: microseconds between beats; 0 for other kinds"""
    created_at: int = 0


class Outcome(msgspec.Struct):
    """What became of one alert, with the reason a person can read."""

    dedup_key: str
    event: str
    reason: str
    incident: str = ""


class Rules(msgspec.Struct):
    """What routing looks at: live records, read once for a batch."""

    routes: list[Route] = []
    silences: list[Silence] = []
    maintenance: list[Maintenance] = []


def receive(work: Work, integration: Integration, alerts: Sequence[Alert], rules: Rules) -> list[Outcome]:
    """Takes a batch. Repeats touch only their row; whatever opens, clears or fires again reaches its incident once."""
    keys = [alert.dedup_key for alert in alerts]
    rows = work.tx.alerts_by_key(integration.id, keys)
    outcomes: list[Outcome] = []
    touched: dict[str, AlertRow] = {}
    news: dict[str, list[tuple[AlertRow, Alert, str]]] = {}
    cleared: dict[str, list[AlertRow]] = {}
    acknowledged: dict[str, list[AlertRow]] = {}
    for alert in alerts:
        step = advance(rows.get(alert.dedup_key), alert, work.now, integration=integration.id)
        row = step.row
        reason = step.reason
        if row is not None:
            rows[alert.dedup_key] = touched[alert.dedup_key] = row
            if step.event in ("opened", "refired"):
                reason = f"{reason}; {_place(work, integration, alert, row, rules, news, step.event)}"
            elif step.event == "worsened" and row.incident:
                news.setdefault(row.incident, []).append((row, alert, "worsened"))
            elif step.event == "cleared" and row.incident:
                cleared.setdefault(row.incident, []).append(row)
            elif step.event == "acknowledged" and row.incident:
                acknowledged.setdefault(row.incident, []).append(row)
        outcomes.append(Outcome(alert.dedup_key, step.event, reason, row.incident if row else ""))
    for target, arrivals in news.items():
        _arrive(work, target, arrivals)
    for target, gone in cleared.items():
        incident = work.load(target)
        if incident.open:
            work.record(incident, f.AlertsCleared([(row.integration, row.dedup_key) for row in gone]))
    for target, taken in acknowledged.items():
        incident = work.load(target)
        if incident.open:
            pause = work.policy(incident).severity(incident.severity).acknowledge
            until = work.policy(incident).calendar(incident.calendar).add(work.now, pause)
            work.record(
                incident, f.SenderAcknowledged([(row.integration, row.dedup_key) for row in taken], until)
            )
    for outcome in outcomes:
        outcome.incident = rows[outcome.dedup_key].incident if outcome.dedup_key in rows else ""
    if touched:
        work.tx.put_alerts(list(touched.values()))
        _expiry(work, touched.values())
    work.flush()
    return outcomes


def _expiry(work: Work, rows) -> None:  # type: ignore[no-untyped-def]
    ends = [row.ends_at for row in rows if row.ends_at and row.status == "firing"]
    if ends:
        timer = work.tx.timer("expiry", "alerts")
        if timer is None or min(ends) < timer.due_at:
            work.tx.set_timer("expiry", "alerts", min(ends))


def _place(
    work: Work,
    integration: Integration,
    alert: Alert,
    row: AlertRow,
    rules: Rules,
    news: dict[str, list[tuple[AlertRow, Alert, str]]],
    event: str,
) -> str:
    """Silenced, under maintenance, joined to the open incident of its group, or the start of a new one."""
    placed = route(alert, integration, rules.routes, work.directory.services)
    known = work.directory.service(placed.service) if placed.service else None
    row.service = known.id if known else placed.service
    row.group_key = placed.group_key
    silence = silenced_by(alert.labels, rules.silences, work.now, integration=integration.id)
    if silence is not None:
        row.state, row.incident, row.reason = "silenced", "", silence.reason
        return silence.reason
    window = maintenance_of(row.service, rules.maintenance, work.now)
    if window is not None:
        row.state, row.incident, row.reason = "maintenance", "", window.reason
        return window.reason
    row.state = "attached"
    row.reason = placed.reason
    policy = placed.escalation_policy or integration.escalation_policy
    if event == "refired" and row.incident:
        before = work.load(row.incident)
        if before.open or _reopens(work, before):
            news.setdefault(before.id, []).append((row, alert, "refired"))
            return f"fired again in {before.name}"
    open_group = work.tx.group(placed.group_key)
    terms = work.current_policy()[0].alerts
    if open_group is not None:
        incident_id, opened_at, joined_at = open_group
        incident = work.load(incident_id)
        fresh = (
            work.now - joined_at <= terms.group_window.micros
            and work.now - opened_at <= terms.group_at_most.micros
        )
        if fresh and (incident.open or _reopens(work, incident)):
            row.incident = incident.id
            work.tx.put_group(placed.group_key, incident.id, opened_at, work.now)
            news.setdefault(incident.id, []).append((row, alert, "joined"))
            return f"joined {incident.name}, the open incident of its group"
    incident = _open(work, integration, alert, row, policy)
    row.incident = incident.id
    work.tx.put_group(placed.group_key, incident.id, work.now, work.now)
    return f"opened {incident.name} as {incident.severity}: {incident.severity_reason}"


def _reopens(work: Work, incident: Incident) -> bool:
    """Whether an alert on a resolved incident opens it again: 30 minutes after it resolved itself, 2 h after a person did."""
    if incident.status != "resolved":
        return False
    terms = work.policy(incident).alerts
    within = (
        terms.watch_after_resolved
        if incident.resolved_by_person
        else work.policy(incident).self_resolve.reopen_within
    )
    return work.now - incident.resolved_at <= within.micros


def severity_facts(work: Work, alert: Alert, service: str) -> dict[str, str | int | bool]:
    """What the policy's severity rules are asked with: the alert's words and labels, never a severity as such."""
    known = work.directory.services.get(service)
    found: dict[str, str | int | bool] = {
        "summary": alert.summary, "sender_severity": alert.severity, "service": service,
        "component": known.component if known else "",
    }  # fmt: skip
    for name, value in alert.labels.items():
        found[f"label.{name}"] = value
        if name in ("type", "subtype", "state"):
            found[name] = value
        if name in ("users_affected_percent", "error_rate_percent", "latency_ms") and value.isdigit():
            found[name] = int(value)
        if name in ("security", "data_exposed"):
            found[name] = value.lower() in ("1", "true", "yes")
    return found


def _kind(work: Work, alert: Alert) -> tuple[str, str, bool]:
    """Type and subtype from the alert's labels where the policy knows them; availability otherwise."""
    policy = work.current_policy()[0]
    wanted = alert.labels.get("type", "")
    if not wanted and alert.labels.get("security", "").lower() in ("1", "true", "yes"):
        wanted = "security"
    known = policy.incident_type(wanted) if wanted else None
    if known is None:
        return next(iter(policy.types)), "", False
    return wanted, alert.labels.get("subtype", ""), known.restricted


def _open(
    work: Work, integration: Integration, alert: Alert, row: AlertRow, escalation_policy: str
) -> Incident:
    policy, policy_hash = work.current_policy()
    proposal = propose(policy, severity_facts(work, alert, row.service))
    kind, subtype, restricted = _kind(work, alert)
    team_policy = work.directory.escalation_policy_for(service=row.service, policy=escalation_policy)
    incident = work.create(
        f.Declared(
            number=work.tx.next_number("INC"), series="INC", title=alert.summary[:300] or alert.dedup_key, severity=proposal.severity,
            severity_state="proposed", reason=proposal.reason, policy=policy_hash, rule=proposal.rule or "", kind=kind, subtype=subtype,
            by="machine", detected_how="heartbeat" if integration.source == "heartbeat" else "monitor", detected_by=integration.name,
            services=[row.service] if row.service else [], escalation_policy=team_policy.id if team_policy else escalation_policy,
            group_key=row.group_key, restricted=restricted, calendar=work.directory.calendar_of(row.service) if row.service else "",
        )
    )  # fmt: skip
    row.restricted = restricted
    work.record(incident, f.AlertsAttached([reference(row, alert, "")], "the first alert"))
    nearest = work.tx.changes(
        services=[row.service] if row.service else None,
        since=work.now - 6 * 3600 * 1_000_000,
        until=work.now,
        limit=1,
    )
    if nearest:
        work.record(incident, f.ChangeNoted(nearest[0].summary[:500], nearest[0].service, nearest[0].at))
    return incident


def _arrive(work: Work, target: str, arrivals: list[tuple[AlertRow, Alert, str]]) -> None:
    """One fact for a batch that joins; a higher severity of its own raises, and never the other way."""
    incident = work.load(target)
    if not incident.open and incident.status == "resolved":
        work.record(
            incident,
            f.Reopened(
                f"an alert fired: {arrivals[0][1].summary[:200]}", False, work.now - incident.resolved_at
            ),
        )
    references = [reference(row, alert, "") for row, alert, _ in arrivals]
    refired = [one for one, (_, _, how) in zip(references, arrivals, strict=True) if how == "refired"]
    joined = [one for one, (_, _, how) in zip(references, arrivals, strict=True) if how == "joined"]
    if joined:
        work.record(incident, f.AlertsAttached(joined, "same group", []))
    if refired:
        work.record(incident, f.AlertsRefired(refired))
    worst = max(
        (
            propose(work.policy(incident), severity_facts(work, alert, row.service))
            for row, alert, _ in arrivals
        ),
        key=lambda p: -"P1P2P3P4".index(p.severity),
    )
    if worst.rule and worse(worst.severity, incident.severity):
        work.record(
            incident,
            f.SeverityChanged(
                incident.severity, worst.severity, "raised", worst.reason, "proposed", worst.rule
            ),
        )


def reference(row: AlertRow, alert: Alert, policy: str) -> f.AlertRef:
    """The alert as the incident remembers it."""
    return f.AlertRef(
        row.integration, row.dedup_key, row.episode, alert.summary[:500], alert.severity, row.service, row.received_at,
        alert.started_at, policy, [(link.href, link.text) for link in alert.links[:10]], alert.source[:200],
        alert.runbook_url, alert.dashboard_url, alert.links[0].href if alert.links else "",
    )  # fmt: skip


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
