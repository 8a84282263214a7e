"""Where a firing alert goes: kept quiet, held back, into an open incident, or the start of a new one. Each answer has a reason."""

from __future__ import annotations

import msgspec

from tocsin.alerts.routing import Route, Routed, flapping, route
from tocsin.alerts.shape import Alert, AlertBody
from tocsin.alerts.silences import Maintenance, Silence, maintenance_of, silenced_by
from tocsin.engine.work import Work, watch_key
from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import HOUR, Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.ports import AlertRow
from tocsin.policy.severity import Proposal, propose

QUIET = ("silenced", "maintenance", "held")
"""States of an alert that fires and pages nobody for now."""


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
    """microseconds between beats of a heartbeat; elsewhere the longest this sender is ever quiet. 0: silence is no alert"""
    created_at: int = 0
    grace: int = 0
    """microseconds that a beat may be late"""


class Rules(msgspec.Struct):
    """What routing looks at: live records, read once for a batch."""

    routes: list[Route] = []
    silences: list[Silence] = []
    maintenance: list[Maintenance] = []


class Arrival(msgspec.Struct):
    """An alert that reaches an incident that was there before. ``how``: joined, refired, worsened."""

    row: AlertRow
    alert: Alert
    how: str
    proposal: Proposal
    policy: str = ""
    """the escalation policy the alert was routed to"""


class Placing:
    """Places the alerts of one batch; ``arrivals`` gathers, by incident, what its facts will say."""

    def __init__(self, work: Work, integration: Integration, rules: Rules) -> None:
        self.work, self.integration, self.rules = work, integration, rules
        self.arrivals: dict[str, list[Arrival]] = {}
        self._proposals: dict[tuple[str, bytes], Proposal] = {}

    def place(self, alert: Alert, row: AlertRow, event: str, *, hold: bool = True) -> str:
        """Decides where a firing alert belongs and answers why. ``hold``: whether one that comes and goes may wait."""
        work = self.work
        placed = route(
            alert, self.integration, self.rules.routes, work.directory.services, work.directory.aliases
        )
        row.service, row.group_key = placed.service, placed.group_key
        proposal = self.proposal(alert, row.service)
        quiet = self._quiet(alert, row, proposal)
        if quiet:
            return quiet
        row.state, row.reason = "attached", placed.reason
        policy = self._policy_of(row, placed)
        found = self._target(row, placed, event)
        if found is not None and found[0].open:
            return self._join(found[0], Arrival(row, alert, event_of(event), proposal, policy), found[1])
        sharp = found is not None and found[0].resolved_by_person
        if hold and not sharp:
            held = self._hold(row, proposal, paged=event == "refired" and bool(row.incident))
            if held:
                return held
        if found is not None:
            return self._join(found[0], Arrival(row, alert, "refired", proposal, policy), found[1])
        incident = declare(work, self.integration, alert, row, proposal, policy)
        row.incident = incident.id
        work.tx.put_group(placed.group_key, incident.id, work.now, work.now)
        return f"opened {incident.name} as {incident.severity}: {incident.severity_reason}"

    def worsened(self, alert: Alert, row: AlertRow) -> str:
        """The sender's severity rose while it fires: its incident hears of it; what was kept quiet is decided again."""
        if row.state in QUIET:
            return self.place(alert, row, "opened", hold=False)
        if row.incident:
            self._note(row.incident, Arrival(row, alert, "worsened", self.proposal(alert, row.service)))
        return "its incident is told"

    def proposal(self, alert: Alert, service: str) -> Proposal:
        """The severity that the policy's rules propose; asked once for alerts that look the same to them."""
        found = severity_facts(self.work, alert, service)
        policy, digest = self.work.current_policy()
        key = (digest, msgspec.json.encode(found, order="deterministic"))
        if key not in self._proposals:
            self._proposals[key] = propose(policy, found)
        return self._proposals[key]

    def _quiet(self, alert: Alert, row: AlertRow, proposal: Proposal) -> str:
        """The reason of the silence or maintenance window that covers it, or nothing; its end is a timer."""
        now = self.work.now
        silence = silenced_by(
            alert.labels,
            self.rules.silences,
            now,
            integration=self.integration.id,
            severity=proposal.severity,
        )
        window = maintenance_of(row.service, self.rules.maintenance, now, severity=proposal.severity)
        quiet = silence or window
        if quiet is None:
            return ""
        row.state, row.incident, row.reason = "silenced" if silence else "maintenance", "", quiet.reason
        arm_quiet(self.work, quiet.until)
        return quiet.reason

    def _hold(self, row: AlertRow, proposal: Proposal, *, paged: bool) -> str:
        fired = decode(row.body, AlertBody).fired if row.episode > 1 else []
        terms = self.work.current_policy()[0].alerts
        decided = flapping(
            fired, self.work.now, severity=proposal.severity, paged=paged, hold=terms.flapping_hold.micros
        )
        if not decided.until:
            return ""
        row.state, row.reason = "held", decided.reason
        arm_quiet(self.work, decided.until)
        return decided.reason

    def _policy_of(self, row: AlertRow, placed: Routed) -> str:
        wanted = placed.escalation_policy or self.integration.escalation_policy
        known = self.work.directory.escalation_policy_for(service=row.service, policy=wanted)
        return known.id if known else wanted

    def _target(self, row: AlertRow, placed: Routed, event: str) -> tuple[Incident, str] | None:
        """The incident the alert belongs to, open or to be reopened, and why; None where it starts a new one."""
        work = self.work
        if event == "refired" and row.incident:
            before = work.load(row.incident)
            if before.open or reopens(work, before):
                return before, "fired again in"
        terms = work.current_policy()[0].alerts
        group = work.tx.group(placed.group_key)
        if group is not None:
            incident_id, opened_at, joined_at = group
            incident = work.load(incident_id)
            fresh = (
                work.now - joined_at <= terms.group_window.micros
                and work.now - opened_at <= terms.group_at_most.micros
            )
            if fresh and (incident.open or reopens(work, incident)):
                work.tx.put_group(placed.group_key, incident.id, opened_at, work.now)
                return incident, "joined, as the open incident of its group,"
        watched = work.tx.group(watch_key(row.service)) if row.service else None
        if watched is not None:
            incident = work.load(watched[0])
            if incident.status == "monitoring" or (incident.resolved_by_person and reopens(work, incident)):
                work.tx.put_group(placed.group_key, incident.id, work.now, work.now)
                return incident, "joined, because its service is being watched after recovery,"
        return None

    def _join(self, incident: Incident, arrival: Arrival, how: str) -> str:
        arrival.row.incident = incident.id
        self._note(incident.id, arrival)
        return f"{how} {incident.name}"

    def _note(self, incident: str, arrival: Arrival) -> None:
        self.arrivals.setdefault(incident, []).append(arrival)


def event_of(event: str) -> str:
    """How an alert reaches an open incident: it fired again, or it joins."""
    return "refired" if event == "refired" else "joined"


def arm_quiet(work: Work, until: Instant) -> None:
    """Lets the timer of what is kept quiet fall due no later than ``until``."""
    timer = work.tx.timer("quiet", "alerts")
    if timer is None or until < timer.due_at:
        work.tx.set_timer("quiet", "alerts", until)


def reopens(work: Work, incident: Incident) -> bool:
    """Whether an alert opens a resolved incident again: within 30 minutes after it resolved itself, 2 h after a person did it.

    The figures are the policy's, as frozen onto the incident.
    """
    if incident.status != "resolved":
        return False
    policy = work.policy(incident)
    within = (
        policy.alerts.watch_after_resolved
        if incident.resolved_by_person
        else policy.self_resolve.reopen_within
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


def kind_of(work: Work, alert: Alert) -> tuple[str, str, bool]:
    """Type, subtype and whether it is restricted, from the alert's labels where the policy knows them; else the first type."""
    policy = work.current_policy()[0]
    wanted = alert.labels.get("type", "")
    if not wanted and alert.labels.get("security", "").lower() in ("1", "true", "yes"):
        wanted = "security"
    known = policy.incident_type(wanted) if wanted else None
    if known is None:
        return next(iter(policy.types)), "", False
    return wanted, alert.labels.get("subtype", ""), known.restricted


def declare(
    work: Work,
    integration: Integration,
    alert: Alert,
    row: AlertRow,
    proposal: Proposal,
    escalation_policy: str,
) -> Incident:
    """A new incident that begins with this alert. What came before and is over is linked; the nearest change is noted."""
    kind, subtype, restricted = kind_of(work, alert)
    incident = work.create(
        f.Declared(
            number=work.tx.next_number("INC"), series="INC", title=alert.summary[:300] or alert.dedup_key, severity=proposal.severity,
            severity_state="proposed", reason=proposal.reason, policy=work.current_policy()[1], rule=proposal.rule or "", kind=kind,
            subtype=subtype, by="machine", detected_how="heartbeat" if integration.source == "heartbeat" else "monitor",
            detected_by=integration.name, services=[row.service] if row.service else [], escalation_policy=escalation_policy,
            group_key=row.group_key, restricted=restricted, calendar=work.directory.calendar_of(row.service) if row.service else "",
            linked=row.incident,
        )
    )  # fmt: skip
    row.restricted = restricted
    work.record(incident, f.AlertsAttached([reference(row, alert, escalation_policy)], "the first alert"))
    nearest = work.tx.changes(
        services=[row.service] if row.service else None, since=work.now - 6 * HOUR, until=work.now, limit=1
    )
    if nearest:
        work.record(incident, f.ChangeNoted(nearest[0].summary[:500], nearest[0].service, nearest[0].at))
    return incident


def reference(row: AlertRow, alert: Alert, policy: str) -> f.AlertRef:
    """The alert as the incident remembers it."""
    return f.AlertRef(
        row.integration, row.dedup_key, row.episode, alert.summary[:500], alert.severity, row.service, row.received_at,
        alert.started_at, policy, [(link.href, link.text) for link in alert.links[:10]], alert.source[:200],
        alert.runbook_url, alert.dashboard_url, alert.links[0].href if alert.links else "",
    )  # fmt: skip


def alert_from(row: AlertRow) -> Alert:
    """The alert as its row remembers it, to be placed again."""
    body = decode(row.body, AlertBody)
    return Alert(
        "trigger", row.dedup_key, row.summary, row.severity, service=row.service, labels=body.labels, links=body.links,
        details=body.details, source=body.source, runbook_url=body.runbook_url, dashboard_url=body.dashboard_url,
        started_at=row.started_at, ends_at=row.ends_at, via=body.via,
    )  # fmt: skip
