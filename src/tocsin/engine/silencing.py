"""Asking for quiet: silences and maintenance windows as live records, each with an author, a reason and an end.

Adding one never takes back a page that left. When one ends, by itself or by hand, what still fires pages.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from tocsin.alerts.expressions import Budget
from tocsin.alerts.matchers import all_match
from tocsin.alerts.shape import AlertBody
from tocsin.alerts.silences import Maintenance, Silence, check_maintenance, check_silence
from tocsin.engine.placing import QUIET, Rules, arm_quiet
from tocsin.engine.work import Work
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.kernel.clock import DAY, Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import Forbidden, NotFound, Unusable
from tocsin.kernel.ports import AlertRow, Reader, RecordRow

KEPT = 400 * DAY
"""how long the record of one that has ended is kept; it has no expiry of its own, because caches of rules must notice it"""

Quietening = TypeVar("Quietening", Silence, Maintenance)

KINDS: dict[str, type[Silence] | type[Maintenance]] = {"silence": Silence, "maintenance": Maintenance}


class Hidden(msgspec.Struct, frozen=True):
    """An alert that fires and pages nobody for now, and why."""

    integration: str
    dedup_key: str
    summary: str
    service: str
    state: str
    """silenced, maintenance or held"""
    reason: str
    since: Instant


def may(work: Work, principal: Principal, covers_p1: bool, kind: str = "silence") -> None:
    """Raises :class:`Forbidden` unless the principal may ask for quiet; for a P1 it takes an owner or the commander on rotation."""
    watch = work.directory.resolve("incident_commander", work.now).people
    about = About(rotation_commander=watch[0] if watch else "")
    for verb in (kind, "silence_p1") if covers_p1 else (kind,):
        decision = authorize(principal, verb, about)
        if not decision.allowed:
            what = "quiet that covers a P1" if verb == "silence_p1" else f"a {kind}"
            raise Forbidden(f"{decision.reason}: {what} is for {decision.who_may}")


def put_silence(work: Work, silence: Silence) -> Silence:
    """Stores a silence that was checked; without an id it gets one. Who may is asked before."""
    silence = check_silence(silence, work.now)
    return _put(
        work, "silence", msgspec.structs.replace(silence, id=silence.id or work.new_id(), updated_at=work.now)
    )


def put_maintenance(work: Work, window: Maintenance) -> Maintenance:
    """Stores a maintenance window that was checked; raises :class:`Unusable` for a service that nobody knows."""
    check_maintenance(window, work.now)
    services = []
    for name in window.services:
        known = work.directory.service(name)
        if known is None:
            raise Unusable(f"there is no service {name[:60]!r}; name those of the catalogue", "services")
        services.append(known.id)
    return _put(
        work, "maintenance", msgspec.structs.replace(window, id=window.id or work.new_id(), services=services)
    )


def _put(work: Work, kind: str, record: Quietening) -> Quietening:
    body = encode(record)
    try:
        decode(body, KINDS[kind])  # one record that cannot be read again would hold up every alert
    except msgspec.ValidationError as error:
        raise Unusable(f"the {kind} cannot be read: {error}", kind) from None
    work.tx.put_record(RecordRow(kind, record.id, "", body, work.now))
    arm_quiet(work, max(work.now, record.ends_at))
    return record


def end(work: Work, kind: str, record_id: str) -> Silence | Maintenance:
    """Ends a silence or a window now; one that has ended already stays as it is. Raises :class:`NotFound`."""
    row = work.tx.record(kind, record_id)
    if row is None:
        raise NotFound(f"there is no {kind} {record_id[:40]}")
    record = decode(row.body, KINDS[kind])
    if record.ends_at <= work.now:
        return record
    record.ends_at = work.now
    record.starts_at = min(record.starts_at, work.now)
    if isinstance(record, Silence):
        record.updated_at = work.now
    work.tx.put_record(RecordRow(kind, record.id, "", encode(record), work.now))
    arm_quiet(work, work.now)
    return record


def forget(work: Work, rules: Rules) -> None:
    """Removes the records of silences and windows that ended long ago."""
    for kind, records in (("silence", rules.silences), ("maintenance", rules.maintenance)):
        for record in records:
            if record.ends_at + KEPT < work.now:
                work.tx.delete_record(kind, record.id)


def hidden(reader: Reader, *, restricted: bool = False, limit: int = 200) -> list[Hidden]:
    """What fires and pages nobody: silenced, under maintenance, or held back because it comes and goes."""
    rows: list[AlertRow] = []
    for state in QUIET:
        rows += reader.alerts(status="firing", state=state, include_restricted=restricted, limit=limit)
    return [
        Hidden(
            row.integration, row.dedup_key, row.summary, row.service, row.state, row.reason, row.received_at
        )
        for row in rows[:limit]
    ]


def covered(
    reader: Reader, silence: Silence, *, restricted: bool = False, limit: int = 1000
) -> list[AlertRow]:
    """The firing alerts that a silence would cover, to be shown before it is asked for; ``restricted`` ones too."""
    rows = reader.alerts(
        integration=silence.integration or None, status="firing", include_restricted=restricted, limit=limit
    )
    budget = Budget()
    return [row for row in rows if all_match(silence.matchers, decode(row.body, AlertBody).labels, budget)]
