"""Two incidents that are one, and one that is two: merge and split. Alerts, their keys and who was told move with them."""

from __future__ import annotations

from tocsin.engine import commands as c
from tocsin.engine.access import Answer, answer, load, text_of
from tocsin.engine.calling import unanswered
from tocsin.engine.reactions import follow, go_on_paging
from tocsin.engine.work import Work
from tocsin.identity.principals import Principal
from tocsin.incidents import facts as f
from tocsin.incidents.incident import Incident, alert_key, worse
from tocsin.incidents.moves import move, require_open
from tocsin.kernel.errors import Refused, Unusable


def merge(work: Work, principal: Principal, command: c.Merge) -> Answer:
    """Merges into another: the higher severity and the earlier start stay, alerts and keys move."""
    source = load(work, principal, command.incident, "merge")
    target = load(work, principal, command.into, "merge")
    if source.id == target.id:
        raise Unusable("an incident cannot be merged into itself", "into")
    if source.restricted and not target.restricted:
        raise Refused(f"{source.name} is restricted and never merges into an open incident")
    move(source, "merge")
    require_open(target, "merge")
    if source.drill != target.drill:
        raise Refused(
            f"{source.name} and {target.name}: a drill and what is real never become one incident; end the drill instead"
        )
    told, waiting = source.everybody_told, unanswered(source)
    alerts = [one.ref for one in source.alerts.values()]
    cleared = [(one.ref.integration, one.ref.key) for one in source.alerts.values() if one.cleared_at]
    raises = worse(source.severity, target.severity)
    if alerts:
        work.tx.move_alerts(source.id, target.id)
        if target.restricted:
            show_alerts(work, target)
    work.record(
        target,
        f.MergedFrom(
            source.id, source.name, source.opened_at, alerts, cleared, list(source.services), told, raises
        ),
    )
    if raises:
        work.record(
            target,
            f.SeverityChanged(
                target.severity, source.severity, "raised", f"merged with {source.name}", source.severity_state, source.rule, source.id
            ),
        )  # fmt: skip
    for service in source.services:
        calendar = work.directory.calendar_of(service)
        if calendar not in target.calendars:
            work.record(target, f.CalendarJoined(calendar, service))
    firing = source.firing_refs
    if target.restricted and not source.restricted:  # or it would name what only members may know of
        work.record(source, f.TypeSet(source.kind, source.subtype, f.MERGED_RESTRICTED, restricted=True))
    work.record(source, f.MergedInto(target.id, target.name, command.reason[:2000]))
    work.withdraw(source)
    follow(work, source, "resolve", work.new_id())
    go_on_paging(work, target, source.name, waiting, firing)
    return answer(target)


def split(work: Work, principal: Principal, command: c.Split) -> Answer:
    """Undoes a merge, or takes some alerts into a new incident; either is paged for as if it had just opened.

    Answers for the incident that now stands on its own.
    """
    incident = load(work, principal, command.incident, "split")
    if incident.status == "merged":
        raise Refused(
            f"{incident.name} was merged itself, and its alerts with it: split from {work.leading(incident).name}"
        )
    if bool(command.source) == bool(command.alerts):
        raise Unusable(
            "name either the merged incident that is to stand on its own again, or alerts to take out",
            "source",
        )
    if command.source:
        return _undo(work, incident, load(work, principal, command.source, "split"), command.reason)
    require_open(incident, "split")
    named = {f"{one.ref.integration}/{one.ref.key}": key for key, one in incident.alerts.items()}
    unknown = [key for key in command.alerts if key not in named]
    if unknown:
        raise Unusable(
            f"{incident.name} has no alert {unknown[0][:100]!r}; it has {', '.join(list(named)[:5])}",
            "alerts",
        )
    wanted = [named[key] for key in dict.fromkeys(command.alerts)]
    if len(wanted) == len(incident.alerts):
        raise Refused(
            f"these are all the alerts of {incident.name}; leave at least one, or there is nothing to split"
        )
    first = incident.alerts[wanted[0]].ref
    services = list(
        dict.fromkeys(incident.alerts[key].ref.service for key in wanted if incident.alerts[key].ref.service)
    )
    new = work.create(
        f.Declared(
            number=work.tx.next_number(incident.series), series=incident.series, title=first.summary or incident.title,
            severity=incident.severity, severity_state=incident.severity_state, reason=incident.severity_reason,
            policy=incident.policy, rule=incident.rule, kind=incident.kind, subtype=incident.subtype, by=principal.person or principal.id,
            detected_how=incident.detected_how, detected_by=incident.detected_by, services=services,
            escalation_policy=first.policy or incident.escalation_policy, restricted=incident.restricted, drill=incident.drill,
            linked=incident.id, calendar=incident.calendar,
        )
    )  # fmt: skip
    _part(work, incident, new, wanted, command.reason)
    return answer(new)


def show_alerts(work: Work, incident: Incident) -> None:
    """The alerts of an incident are as restricted as it is."""
    rows = [row for row in work.tx.alerts_of(incident.id) if row.restricted is not incident.restricted]
    for row in rows:
        row.restricted = incident.restricted
    if rows:
        work.tx.put_alerts(rows)


def _undo(work: Work, target: Incident, source: Incident, reason: str) -> Answer:
    if source.merged_into != target.id:
        raise Refused(f"{source.name} was not merged into {target.name}; there is nothing to undo")
    move(source, "split")
    _part(work, target, source, [key for key in source.alerts if key in target.alerts], reason)
    return answer(source)


def _part(work: Work, before: Incident, after: Incident, keys: list[str], reason: str) -> None:
    """Moves alerts from one to the other; those that have cleared stay cleared."""
    references = [before.alerts[key].ref for key in keys]
    pairs = [(ref.integration, ref.key) for ref in references]
    cleared = [
        (ref.integration, ref.key)
        for ref in references
        if before.alerts[alert_key(ref.integration, ref.key)].cleared_at
    ]
    said = text_of(reason, "reason")[:2000]
    work.tx.move_alerts(before.id, after.id, pairs)
    if before.restricted and (not after.restricted or after.restricted_by_merge) and any(
        key not in after.alerts or after.alerts[key].ref != before.alerts[key].ref for key in keys
    ):  # fmt: skip
        work.record(after, f.TypeSet(after.kind, after.subtype, f"it comes from {before.name}", True))
    work.record(after, f.SplitFrom(before.id, before.name, references, said, cleared))
    show_alerts(work, after)
    merged, raised_by = before.before_merge.get(after.id), before.raised_by
    work.record(before, f.SplitOff(after.id, after.name, pairs, said))
    if merged is not None and raised_by == after.id and before.open:
        severity, state, why, rule = merged
        work.record(
            before,
            f.SeverityChanged(before.severity, severity, "lowered", f"{after.name} was split off: {why}", state, rule),
        )  # fmt: skip
