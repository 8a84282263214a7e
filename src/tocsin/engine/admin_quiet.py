"""Silences and maintenance windows, asked for by people; the rules stand in :mod:`tocsin.engine.silencing`."""

from __future__ import annotations

from tocsin.alerts.matchers import parse_matcher
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine import changes as c
from tocsin.engine import silencing
from tocsin.engine.admin_desk import Answer, Desk, known, text_of
from tocsin.engine.work import Work
from tocsin.kernel.errors import Unusable


def add_silence(desk: Desk, change: c.AddSilence) -> Answer:
    work = desk.work()
    silencing.may(work, desk.principal, change.covers_p1)
    known([change.integration], {row.id for row in desk.tx.records("integration")}, "integration")
    matchers = [parse_matcher(text) for text in change.matchers if text.strip()]
    if not matchers:
        raise Unusable("a silence needs at least one matcher such as alertname=DiskFull", "matchers")
    silence = silencing.put_silence(
        work,
        Silence(
            "", matchers, change.starts_at or desk.now, change.ends_at, desk.principal.person or desk.principal.id,
            text_of(change.reason, "reason"), change.integration, change.covers_p1, desk.now,
        ),
    )  # fmt: skip
    _written(work)
    fits = silencing.covered(desk.tx, silence, restricted=desk.principal.role == "owner")
    return {"id": silence.id, "covers": len(fits)}


def end_silence(desk: Desk, change: c.EndSilence) -> Answer:
    work = desk.work()
    silence = desk.stored("silence", change.silence, Silence)
    silencing.may(work, desk.principal, silence.covers_p1)
    silencing.end(work, "silence", silence.id)
    _written(work)
    return {"id": silence.id}


def add_maintenance(desk: Desk, change: c.AddMaintenance) -> Answer:
    work = desk.work()
    silencing.may(work, desk.principal, change.covers_p1, "maintenance")
    window = silencing.put_maintenance(
        work,
        Maintenance(
            "", change.services, change.starts_at or desk.now, change.ends_at, desk.principal.person or desk.principal.id,
            text_of(change.reason, "reason"), change.covers_p1,
        ),
    )  # fmt: skip
    _written(work)
    return {"id": window.id}


def end_maintenance(desk: Desk, change: c.EndMaintenance) -> Answer:
    work = desk.work()
    window = desk.stored("maintenance", change.maintenance, Maintenance)
    silencing.may(work, desk.principal, window.covers_p1, "maintenance")
    silencing.end(work, "maintenance", window.id)
    _written(work)
    return {"id": window.id}


def _written(work: Work) -> None:
    work.flush()
