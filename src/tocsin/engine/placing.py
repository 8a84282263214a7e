"""Where a firing alert goes: kept quiet, held back, into an open incident, or the start of a new one. Each answer has a reason."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import structlog

from tocsin.alerts.expressions import BATCH_STEPS, Budget
from tocsin.alerts.routing import Route, Routed, apart, flapping, route
from tocsin.alerts.shape import Alert, AlertBody, one_line
from tocsin.alerts.silences import Maintenance, Silence, maintenance_of, silenced_by
from tocsin.engine.work import Work
from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident, worse
from tocsin.kernel.clock import HOUR, MINUTE, SECOND, Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import FromTheFuture, NotFound, Unusable
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import AlertRow
from tocsin.policy.severity import Kind, Proposal, kind_of, propose

log = structlog.get_logger("tocsin.intake")

QUIET = ("silenced", "maintenance", "held")
"""States of an alert that fires and pages nobody for now."""
TEST = "TEST"
"""the series of incidents that tests of integrations open"""
PATIENCE = 5 * MINUTE
"""how long an incident that a person ended stays so although its alert is sent again and again"""
AHEAD = 10
"""the part of the steps of expressions that looking ahead may take, one in so many"""
AGAIN = 30 * SECOND
"""when what could not be done for an unreadable incident is tried again"""
MERGES = 10
UNREADABLE = (
    FromTheFuture, NotFound, Unusable, msgspec.MsgspecError, LookupError, ValueError, TypeError, AttributeError,
)  # fmt: skip
"""what reading one incident may raise; a fault of the store is none of these, and ends the transaction"""
UNREADABLE_NOTE = "the incident it belongs to cannot be read by this version of Tocsin; "


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
    """An alert that reaches an incident that was there before. ``how``: joined, refired, lingers, worsened."""

    row: AlertRow
    alert: Alert
    how: str
    proposal: Proposal
    kind: Kind
    policy: str = ""
    """the escalation policy the alert was routed to"""


class Found(msgspec.Struct, frozen=True):
    """Where a firing alert belongs: an incident that is open or opens again; or none, and ``linked`` is the one it follows."""

    incident: Incident | None = None
    how: str = ""
    linked: str = ""
    note: str = ""


class Placing:
    """Places the alerts of one batch; ``arrivals`` gathers, by incident, what its facts will say.

    ``test``: marks a test of an integration. Its incidents are groups of their own, and are no real ones. ``requests``: how
    many the alerts came in; each may take as many steps of expressions as one that comes alone.
    """

    def __init__(
        self, work: Work, integration: Integration, rules: Rules, test: str = "", requests: int = 1
    ) -> None:
        self.work, self.integration, self.rules, self.test = work, integration, rules, test
        self.arrivals: dict[str, list[Arrival]] = {}
        self.budget = Budget(BATCH_STEPS * requests)
        self._routed: dict[int, Routed] = {}
        """where alerts go that were looked ahead to, by their identity"""
        self._judged: dict[tuple[str, bytes], tuple[Proposal, Kind]] = {}
        self._unreadable: set[str] = set()
        self._large: dict[str, Incident] = {}
        """incidents of many alerts, without these"""
        self._open: set[str] = set()

    def place(self, alert: Alert, row: AlertRow, event: str, *, hold: bool = True) -> str:
        """Decides where a firing alert belongs and answers why. ``hold``: whether one that comes and goes may wait.

        ``event``: opened, refired, or lingers (it went on firing although its incident ended).
        """
        work = self.work
        placed = self._routed.pop(id(alert), None) or self._route(alert)
        row.service = placed.service
        proposal, kind = self.judge(alert, row.service)
        row.restricted = row.restricted or kind.restricted
        row.group_key = self._group_key(placed, kind)
        quiet = self._quiet(alert, row, proposal)
        if quiet:
            return quiet
        row.state, row.reason = "attached", placed.reason
        policy = self._policy_of(row, placed)
        found = self._target(row, event, kind)
        if found.incident is not None and found.incident.open:
            return self._join(
                found.incident, Arrival(row, alert, event_of(event), proposal, kind, policy), found
            )
        if hold and not (found.incident and found.incident.resolved_by_person):
            held = self._hold(row, proposal, event)
            if held:
                return held
        if found.incident is not None:
            how = "refired" if event == "opened" else event
            return self._join(found.incident, Arrival(row, alert, how, proposal, kind, policy), found)
        incident = declare(
            work, self.integration, alert, row, proposal, kind, policy, linked=found.linked, test=self.test
        )
        row.incident, row.restricted = incident.id, incident.restricted
        work.tx.put_group(row.group_key, incident.id, work.now, work.now)
        if incident.restricted:  # what became of a request is seen by more people than what it opened
            return f"{found.note}opened {incident.name}, which is restricted"
        return f"{found.note}opened {incident.name} as {incident.severity}: {incident.severity_reason}"

    def look_ahead(self, alerts: Iterable[Alert]) -> None:
        """Looks up the groups of alerts that are placed next, all in one query; as many as a part of the steps that expressions
        may take allows, for silences are asked with what routes leave.
        """
        keys: set[str] = set()
        left = self.budget.left - self.budget.left // AHEAD
        for alert in alerts:
            if self.budget.left < left:
                break
            placed = self._routed[id(alert)] = self._route(alert)
            keys |= {placed.group_key, watch_key(placed.service)}
        self.work.tx.look_up_groups(keys)

    def _route(self, alert: Alert) -> Routed:
        directory = self.work.directory
        return route(
            alert, self.integration, self.rules.routes, directory.services, directory.aliases, self.budget
        )

    def worsened(self, alert: Alert, row: AlertRow) -> str:
        """The sender's severity rose while it fires: its incident hears of it; what was kept quiet is decided again."""
        alert = with_words(alert, row)
        if row.state in QUIET:
            return self.place(alert, row, "opened", hold=False)
        return self._worse(alert, row)

    def changed(self, alert: Alert, row: AlertRow, before: Alert) -> str:
        """It has other words or labels than before: where the rules now propose worse, that is as if the sender had said so.

        What is kept quiet is decided again: a silence that does not cover a P1 no longer hides what became one.
        """
        alert = with_words(alert, row)
        if row.state in QUIET:
            return self.place(alert, row, "refired" if row.incident else "opened")
        proposal, kind = self.judge(alert, row.service)
        was, kind_was = self.judge(before, row.service)
        if worse(proposal.severity, was.severity) or (kind.restricted and not kind_was.restricted):
            return self._worse(alert, row)
        return ""

    def lingers(self, alert: Alert, row: AlertRow) -> str:
        """It goes on firing: where its incident has ended meanwhile it comes back, after a while; empty where it need not.

        Whoever ended it knew that it fires: that holds for ``PATIENCE``, so that the next repeat does not undo it, and where
        they called it a false alarm for as long as a resolved one is watched.
        """
        if row.incident in self._open:
            return ""
        head = self.work.tx.stream(Stream("incident", row.incident))
        if head is None or head.open:
            self._open.add(row.incident)
            return ""
        incident = self._current(row.incident)
        if incident is None or incident.open:
            return ""
        since = self.work.now - (incident.closed_at or incident.resolved_at)
        judged = incident.status == "false_alarm" or not incident.resolved_at
        watched = self.work.policy(incident).alerts.watch_after_resolved.micros if judged else PATIENCE
        if since < max(PATIENCE, watched):
            return ""
        return self.place(with_words(alert, row), row, "lingers", hold=False)

    def judge(self, alert: Alert, service: str) -> tuple[Proposal, Kind]:
        """Severity and type by the policy's rules; asked once for alerts that look the same to them."""
        found = severity_facts(self.work, alert, service)
        policy, digest = self.work.current_policy()
        key = (digest, msgspec.json.encode(found, order="deterministic"))
        if key not in self._judged:
            proposal = propose(policy, found)
            self._judged[key] = proposal, kind_of(policy, found, proposal)
        return self._judged[key]

    def _worse(self, alert: Alert, row: AlertRow) -> str:
        """Its incident hears that it is worse; where that has ended for good, or cannot be read, it is placed anew."""
        incident = self._current(row.incident) if row.incident else None
        if incident is None or not (incident.open or reopens(self.work, incident)):
            return self.place(alert, row, "refired" if row.incident else "opened", hold=False)
        row.incident = incident.id
        proposal, kind = self.judge(alert, row.service)
        self._note(incident.id, Arrival(row, alert, "worsened", proposal, kind, ""))
        return "its incident is told"

    def _group_key(self, placed: Routed, kind: Kind) -> str:
        if self.test:
            return apart(placed.group_key, self.test)
        return apart(placed.group_key, "restricted") if kind.restricted else placed.group_key

    def _quiet(self, alert: Alert, row: AlertRow, proposal: Proposal) -> str:
        """The reason of the silence or maintenance window that covers it, or nothing; its end is a timer."""
        now = self.work.now
        silence = silenced_by(
            alert.labels,
            self.rules.silences,
            now,
            integration=self.integration.id,
            severity=proposal.severity,
            budget=self.budget,
        )
        window = maintenance_of(row.service, self.rules.maintenance, now, severity=proposal.severity)
        quiet = silence or window
        if quiet is None:
            return ""
        row.state, row.incident, row.reason = "silenced" if silence else "maintenance", "", quiet.reason
        arm_quiet(self.work, quiet.until)
        return quiet.reason

    def _hold(self, row: AlertRow, proposal: Proposal, event: str) -> str:
        """The reason it waits, or nothing. A first page of P1 or P2 never does, and what was P3 before is no such page."""
        before = self._current(row.incident) if event != "opened" and row.incident else None
        paged = before is not None and before.severity in ("P1", "P2")
        fired = decode(row.body, AlertBody).fired if row.episode > 1 else []
        terms = self.work.current_policy()[0].alerts
        decided = flapping(
            fired, row.received_at, severity=proposal.severity, paged=paged, hold=terms.flapping_hold.micros
        )
        if decided.until <= self.work.now:
            return ""
        row.state, row.reason = "held", decided.reason
        arm_quiet(self.work, decided.until)
        return decided.reason

    def _policy_of(self, row: AlertRow, placed: Routed) -> str:
        wanted = placed.escalation_policy or self.integration.escalation_policy
        known = self.work.directory.escalation_policy_for(service=row.service, policy=wanted)
        return known.id if known else wanted

    def _target(self, row: AlertRow, event: str, kind: Kind) -> Found:
        """The incident the alert belongs to, open or to be reopened; or the one that a new one follows."""
        work = self.work
        linked = note = ""
        if event != "opened" and row.incident:
            before = self._current(row.incident)
            if before is not None and self._takes(before, kind):
                how = "fires again in" if event == "refired" else "still fires; it is open again:"
                return Found(before, how)
            linked = row.incident
            note = "" if before is not None else UNREADABLE_NOTE
        terms = work.current_policy()[0].alerts
        group = work.tx.group(row.group_key)
        if group is not None:
            incident_id, opened_at, joined_at = group
            incident = self._current(incident_id)
            fresh = (
                work.now - joined_at <= terms.group_window.micros
                and work.now - opened_at <= terms.group_at_most.micros
            )
            if fresh and incident is not None and self._takes(incident, kind):
                work.tx.put_group(row.group_key, incident.id, opened_at, work.now)
                return Found(incident, "joined, as the incident of its group,")
            if incident is None:
                note = UNREADABLE_NOTE
            elif not incident.open and work.now - joined_at <= terms.group_at_most.micros:
                linked = linked or incident.id
        watched = work.tx.group(watch_key(row.service)) if row.service and not self.test else None
        incident = self._current(watched[0]) if watched is not None else None
        if (
            incident is not None
            and (incident.status == "monitoring" or incident.resolved_by_person)
            and incident.restricted == kind.restricted
            and not incident.drill
            and self._takes(incident, kind)
        ):
            work.tx.put_group(row.group_key, incident.id, work.now, work.now)
            return Found(incident, "joined, because its service is being watched after recovery,")
        return Found(None, "", linked, note)

    def _takes(self, incident: Incident, kind: Kind) -> bool:
        """Whether an alert may go to it: it is open or opens again, and nothing restricted becomes visible to all there."""
        return (incident.open or reopens(self.work, incident)) and (
            incident.restricted or not kind.restricted
        )

    def _current(self, reference: str) -> Incident | None:
        """The incident, or the one it was merged into; None where it cannot be read."""
        incident = self.read(reference)
        for _ in range(MERGES):
            if incident is None or incident.status != "merged":
                break
            incident = self.read(incident.merged_into)
        return incident

    def read(self, reference: str) -> Incident | None:
        """:func:`readable`, said once in a batch."""
        if reference in self._unreadable:
            return None
        if reference in self._large:
            return self._large[reference]
        incident = readable(self.work, reference)
        if incident is None:
            self._unreadable.add(reference)
        elif self.work.let_go(incident):
            incident.alerts = {}  # nothing is decided by them, and they are what is large
            self._large[reference] = incident
        return incident

    def _join(self, incident: Incident, arrival: Arrival, found: Found) -> str:
        arrival.row.incident = incident.id
        self._note(incident.id, arrival)
        return f"{found.how} {incident.name}"

    def _note(self, incident: str, arrival: Arrival) -> None:
        self.arrivals.setdefault(incident, []).append(arrival)


def watch_key(service: str) -> str:
    """The group under which an incident that is monitored, or was just resolved, is found by its service."""
    return f"watch/{service}"


def event_of(event: str) -> str:
    """How an alert reaches an open incident: it fired again, or it joins."""
    return "joined" if event == "opened" else event


def with_words(alert: Alert, row: AlertRow) -> Alert:
    """A repeat may leave out its words: the ones that are known stand."""
    return alert if alert.summary else msgspec.structs.replace(alert, summary=row.summary)


def readable(work: Work, reference: str) -> Incident | None:
    """The incident; None where this process cannot read it: a newer version wrote it, or something is broken.

    It is set aside, loudly: its own timer falls due, which counts it among the streams set aside, and everything else goes on.
    """
    try:
        incident = work.load(reference)
        work.policy(incident)
    except UNREADABLE as error:
        log.error("an incident cannot be read", incident=reference, error=str(error)[:500])
        timer = work.tx.timer("incident", reference)
        known = work.tx.stream(Stream("incident", reference)) is not None
        if known and (timer is None or timer.due_at > work.now + AGAIN):
            work.tx.set_timer("incident", reference, work.now)
        return None
    return incident


def arm_quiet(work: Work, until: Instant) -> None:
    """Lets the timer of what is kept quiet fall due no later than ``until``."""
    timer = work.tx.timer("quiet", "alerts")
    if timer is None or until < timer.due_at:
        work.tx.set_timer("quiet", "alerts", until)


def reopens(work: Work, incident: Incident) -> bool:
    """Whether an alert opens an ended incident again: within 30 minutes after it resolved itself, 2 h after a person did it.

    That it was closed meanwhile changes nothing; a false alarm does not open again. The figures are the policy's, as frozen
    onto the incident.
    """
    if incident.status not in ("resolved", "closed") or not incident.resolved_at:
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
        if name in ("users_affected_percent", "error_rate_percent", "latency_ms") and _is_number(value):
            found[name] = int(value)
        if name in ("security", "data_exposed"):
            found[name] = value.lower() in ("1", "true", "yes")
    return found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12


def declare(
    work: Work, integration: Integration, alert: Alert, row: AlertRow, proposal: Proposal, kind: Kind, escalation_policy: str, *,
    linked: str = "", test: str = "",
) -> Incident:  # fmt: skip
    """A new incident that begins with this alert. What came before and is over is linked.

    A ``test`` has a series of its own and is marked, for people and as a drill: nothing of it is owed afterwards.
    """
    title = alert.summary[:300] or one_line(alert.dedup_key)
    series = TEST if test else "INC"
    attached = reference(work, row, alert, escalation_policy, proposal)
    return work.open(
        f.Declared(
            number=work.tx.next_number(series), series=series, title=f"TEST: {title}" if test else title,
            severity=proposal.severity, severity_state="proposed", reason=proposal.said, policy=work.current_policy()[1],
            rule=proposal.rule or "", kind=kind.name, subtype=kind.subtype, by="machine",
            detected_how="heartbeat" if integration.source == "heartbeat" else "monitor", detected_by=integration.name,
            services=[row.service] if row.service else [], escalation_policy=escalation_policy, group_key=row.group_key,
            restricted=kind.restricted, calendar=work.directory.calendar_of(row.service) if row.service else "", linked=linked,
            drill=bool(test),
        ),
        f.AlertsAttached([attached], "the first alert"),
    )  # fmt: skip


def note_change(work: Work, incident: Incident, body: f.Body, fact_id: str) -> None:
    """A reaction to its beginning: the change nearest the onset, of its services where it names some."""
    services = incident.services or None
    nearest = work.tx.changes(services=services, since=work.now - 6 * HOUR, until=work.now, limit=1)
    if nearest:
        work.record(incident, f.ChangeNoted(nearest[0].summary[:500], nearest[0].service, nearest[0].at))


def reference(work: Work, row: AlertRow, alert: Alert, policy: str, proposal: Proposal) -> f.AlertRef:
    """The alert as the incident remembers it."""
    team, _ = work.directory.answering_team(service=row.service, policy=policy)
    return f.AlertRef(
        row.integration, row.dedup_key, row.episode, alert.summary[:500], alert.severity, row.service, row.received_at,
        alert.started_at, policy, [(link.href, link.text) for link in alert.links[:10]], alert.source[:200],
        alert.runbook_url, alert.dashboard_url, alert.links[0].href if alert.links else "", team.id if team else "",
        proposal.severity,
    )  # fmt: skip


def restrict_alerts(work: Work, incident: Incident, body: f.Body, fact_id: str) -> None:
    """What an incident hides its alerts hide too: in lists of what fires and of what is kept quiet. A reaction to its type."""
    rows = (
        [row for row in work.tx.alerts_of(incident.id) if not row.restricted] if incident.restricted else []
    )
    for row in rows:
        row.restricted = True
    if rows:
        work.tx.put_alerts(rows)


def alert_from(row: AlertRow) -> Alert:
    """The alert as its row remembers it, to be placed again."""
    body = decode(row.body, AlertBody)
    return Alert(
        "trigger", row.dedup_key, row.summary, row.severity, service=row.service, labels=body.labels, links=body.links,
        details=body.details, source=body.source, runbook_url=body.runbook_url, dashboard_url=body.dashboard_url,
        started_at=row.started_at, ends_at=row.ends_at, via=body.via,
    )  # fmt: skip
