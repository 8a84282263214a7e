"""Timers and the outbox: rows that fall due, leased to one worker at a time.

While the store is held (a restored copy that was not released) nothing is leased and nothing is next.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.kernel.ports import Ended, OutboxRow, Stuck, TimerRow
from tocsin.store.sql import Row, Session, Statement, check_key, one_of, sql, upsert

NOT_HELD = "NOT EXISTS (SELECT 1 FROM meta WHERE name = 'held')"

_TIMER_COLUMNS = list(TimerRow.__struct_fields__)
_TIMER = sql(f"SELECT {', '.join(_TIMER_COLUMNS)} FROM timers WHERE kind = :kind AND key = :key")
# one seek in an index for those that nobody holds, and a look at the few that are leased
_NEXT_TIMER = sql(
    "SELECT min(at) FROM ("
    " SELECT (SELECT due_at FROM timers WHERE lease_until = 0 ORDER BY due_at LIMIT 1) AS at UNION ALL"
    " SELECT min(CASE WHEN lease_until > due_at THEN lease_until ELSE due_at END) AS at"
    f" FROM timers WHERE lease_until > 0) AS either WHERE {NOT_HELD}"
)
_SET_TIMER = upsert("timers", _TIMER_COLUMNS, ["kind", "key"])
_WAKE = sql(
    "INSERT INTO timers (kind, key, due_at, lease_until, lease_token)"
    " SELECT kind, id, :at, 0, '' FROM streams WHERE kind = :kind AND open ORDER BY id"
    " ON CONFLICT (kind, key) DO UPDATE SET lease_until = 0, lease_token = '',"
    " due_at = CASE WHEN timers.due_at < excluded.due_at THEN timers.due_at ELSE excluded.due_at END"
)
_DROP_TIMER = sql("DELETE FROM timers WHERE kind = :kind AND key = :key")
_LEASE_TIMERS = (
    "WITH due AS MATERIALIZED (SELECT kind, key FROM timers"
    " WHERE due_at <= :now AND lease_until <= :now{kinds} AND " + NOT_HELD + " ORDER BY due_at LIMIT :limit"
    " {skip_locked}) "
    "UPDATE timers SET lease_until = :lease_until, lease_token = :token FROM due"
    " WHERE timers.kind = due.kind AND timers.key = due.key"
    " RETURNING timers.kind, timers.key, timers.due_at, timers.lease_until, timers.lease_token"
)
_LEASE_ANY = sql(_LEASE_TIMERS.replace("{kinds}", ""))
_LEASE_KINDS = sql(_LEASE_TIMERS.replace("{kinds}", " AND kind = ANY(:kinds)"))
_HOLDER = "WHERE kind = :kind AND key = :key AND lease_token = :token AND lease_token <> ''"
_REARM_TIMER = sql(f"UPDATE timers SET due_at = :due_at, lease_until = 0, lease_token = '' {_HOLDER}")
_FINISH_TIMER = sql(f"DELETE FROM timers {_HOLDER}")
_OVERDUE = sql("SELECT min(due_at) FROM timers WHERE due_at <= :now")

_COLUMNS = list(OutboxRow.__struct_fields__)
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM outbox"
# repeats the condition of the partial index word for word: only so do the planners use it
_PENDING = "finished_at = 0 AND state IN ('waiting', 'leased', 'held')"
_LEASABLE = f"FROM outbox WHERE {_PENDING} AND state <> 'held'"
_NEXT_OUTBOX = sql(
    "SELECT min(at) FROM ("
    f" SELECT (SELECT not_before {_LEASABLE} AND lease_until = 0 ORDER BY not_before LIMIT 1) AS at UNION ALL"
    " SELECT min(CASE WHEN lease_until > not_before THEN lease_until ELSE not_before END) AS at"
    f" {_LEASABLE} AND lease_until > 0) AS either WHERE {NOT_HELD}"
)
_OF_SCOPE = sql(f"{_SELECT} WHERE scope = :scope ORDER BY created_at, id")
_OUTBOX_ROW = sql(f"{_SELECT} WHERE id = :id")
# a message that was tried is late since it was first due, however far its retries have moved on
_SINCE = "CASE WHEN attempts > 0 AND due_at > 0 THEN due_at ELSE not_before END"
_UNDELIVERED = sql(f"SELECT min({_SINCE}) FROM outbox WHERE {_PENDING} AND {_SINCE} <= :now")
_FAILED = "state = 'failed' AND due_at > 0"
_NOBODY_REACHED = (
    f"{_FAILED} AND effect = :effect AND NOT EXISTS (SELECT 1 FROM outbox AS other"
    " WHERE other.scope = outbox.scope AND other.tag = outbox.tag AND other.effect = outbox.effect AND other.state = 'done')"
)
_UNREACHED = sql(f"SELECT min(due_at) FROM outbox WHERE {_NOBODY_REACHED}")
_TRIED = f"{_PENDING} AND attempts > 0"


def _stuck(condition: str, since: str, latest: str) -> Statement:
    """By channel: how many there are, since when, and what the one that was tried last failed with."""
    return sql(
        f"SELECT channel, count(*), min(since), min(CASE WHEN place = 1 THEN last_error END) FROM (SELECT channel, last_error,"
        f" {since} AS since, row_number() OVER (PARTITION BY channel ORDER BY {latest} DESC, id DESC) AS place"
        f" FROM outbox WHERE {condition}) AS tried GROUP BY channel ORDER BY channel"
    )


_STUCK = _stuck(_TRIED, _SINCE, "not_before")
_LOST = _stuck(_NOBODY_REACHED, "due_at", "finished_at")
_PUT = sql(
    f"INSERT INTO outbox ({', '.join(_COLUMNS)}, due_at)"
    f" VALUES ({', '.join(':' + name for name in _COLUMNS)}, :not_before)"
    " ON CONFLICT (key) DO NOTHING"
)
_DUE_OF_FREE = f"{_LEASABLE} AND lease_until = 0 AND not_before <= :now{{channels}} AND {NOT_HELD}"
_DUE_OF_LEASED = f"{_LEASABLE} AND lease_until > 0 AND lease_until <= :now AND not_before <= :now{{channels}} AND {NOT_HELD}"
_LEASE = (
    "UPDATE outbox SET state = 'leased', lease_until = :lease_until, lease_token = :token FROM due"
    " WHERE outbox.id = due.id RETURNING " + ", ".join(f"outbox.{name}" for name in _COLUMNS)
)


def _lease(channels: str) -> Statement:
    # told apart, each half is a seek in the index; PostgreSQL finds that by itself, and locks no rows of a union
    halves = " UNION ALL ".join(
        f"SELECT id, urgency, not_before {half.replace('{channels}', channels)}"
        for half in (_DUE_OF_FREE, _DUE_OF_LEASED)
    )
    order = "ORDER BY urgency, not_before, id LIMIT :limit"
    either = (
        f"SELECT id {_LEASABLE} AND (lease_until = 0 OR lease_until <= :now) AND not_before <= :now{channels} AND {NOT_HELD}"
        f" {order} {{skip_locked}}"
    )
    return sql(
        f"WITH due AS MATERIALIZED (SELECT id FROM ({halves}) AS either {order}) {_LEASE}",
        f"WITH due AS MATERIALIZED ({either}) {_LEASE}",
    )


_LEASE_ALL = _lease("")
_LEASE_SOME = _lease(" AND NOT (channel = ANY(:channels))")
# SQLite alone: one writer, so that what is read can be written over; without an order, for sorting costs more than all else
_FEW_DUE = {
    half: sql(f"{_SELECT} {half.removeprefix('FROM outbox ').replace('{channels}', '')} LIMIT :limit")
    for half in (_DUE_OF_FREE, _DUE_OF_LEASED)
}
_TAKE = sql(
    "UPDATE outbox SET state = 'leased', lease_until = :lease_until, lease_token = :token WHERE id = ANY(:ids)"
)
_TAKE_SENT = (
    "UPDATE outbox SET state = 'leased', lease_until = :lease_until, lease_token = :token"
    f" WHERE state = 'waiting' AND {NOT_HELD}"
)
_LEASES = "SELECT id, lease_token FROM outbox WHERE state = 'leased'"
_HELD_BY = "WHERE id = :id AND state = 'leased' AND lease_token = :token"
_COMPLETE = sql(
    "UPDATE outbox SET state = :state, finished_at = :now, last_error = :error, lease_until = 0,"
    f" lease_token = '' {_HELD_BY}"
)
# SQLite alone: one writer, so that it was looked at before whose lease holds
_END = sql(
    "WITH ended (id, state, last_error, finished_at) AS (VALUES (:id, :state, :last_error, :finished_at))"
    " UPDATE outbox SET state = ended.state, last_error = ended.last_error, finished_at = ended.finished_at,"
    " lease_until = 0, lease_token = '' FROM ended WHERE outbox.id = ended.id"
)
# a row that was withdrawn while it was on its way does not go back to waiting
_WAIT_AGAIN = (
    "UPDATE outbox SET state = CASE WHEN finished_at > 0 THEN 'withdrawn' ELSE 'waiting' END,"
    " lease_until = 0, lease_token = ''"
)
_RETRY = sql(
    f"{_WAIT_AGAIN}, not_before = :not_before, attempts = attempts + 1, last_error = :error {_HELD_BY}"
)
_PUT_BACK = f"{_WAIT_AGAIN}{{from_when}} WHERE state = 'leased' AND lease_token = :token"
_WITHDRAW = (
    "UPDATE outbox SET state = 'withdrawn', finished_at = :now, lease_until = 0, lease_token = ''"
    " WHERE scope = :scope{only} AND finished_at = 0"
    " AND (state IN ('waiting', 'held') OR (state = 'leased' AND lease_until <= :now))"
)
_WITHDRAW_LEASED = (
    "UPDATE outbox SET finished_at = :now"
    " WHERE scope = :scope{only} AND finished_at = 0 AND state = 'leased' AND lease_until > :now"
)
_ANSWERED = f"UPDATE outbox SET due_at = 0 WHERE scope = :scope{{only}} AND {_FAILED}"
_REWORD = sql("UPDATE outbox SET payload = :payload WHERE id = :id")
_HOLD = sql(
    "UPDATE outbox SET state = 'held', lease_until = 0, lease_token = ''"
    f" WHERE {_PENDING} AND state <> 'held'"
)
_HOLD_TIMERS = sql("UPDATE timers SET lease_until = 0, lease_token = '' WHERE lease_until > 0")
_HELD = upsert("meta", ["name", "value"], ["name"])
_RELEASE = sql(f"UPDATE outbox SET state = 'waiting' WHERE {_PENDING} AND state = 'held'")
_NOT_HELD_ANY_MORE = sql("DELETE FROM meta WHERE name = 'held'")


_FREE_TIMERS = sql("UPDATE timers SET lease_until = 0, lease_token = '' WHERE lease_until > 0")
_FREE_OUTBOX = sql(
    "UPDATE outbox SET state = 'waiting', lease_until = 0, lease_token = '' WHERE state = 'leased' AND finished_at = 0"
)


class _End(NamedTuple):
    """An end as the parameters of its row."""

    id: str
    state: str
    last_error: str
    finished_at: Instant


class TimerReading:
    """What can be read of timers and the outbox."""

    session: Session

    def timer(self, kind: str, key: str) -> TimerRow | None:
        row = self.session.row(_TIMER, {"kind": kind, "key": key})
        return TimerRow(*row) if row else None

    def next_timer(self) -> Instant | None:
        return _only(self.session.row(_NEXT_TIMER))

    def next_outbox(self) -> Instant | None:
        return _only(self.session.row(_NEXT_OUTBOX))

    def outbox_of(self, scope: str) -> list[OutboxRow]:
        return [OutboxRow(*row) for row in self.session.rows(_OF_SCOPE, {"scope": scope})]

    def outbox(
        self, *, state: str | None = None, recipient: str | None = None, limit: int = 200
    ) -> list[OutboxRow]:
        """Newest first."""
        where: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        for name, value in (("state", state), ("recipient", recipient)):
            if value is not None:
                where.append(f"{name} = :{name}")
                params[name] = value
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        text = f"{_SELECT}{condition} ORDER BY id DESC LIMIT :limit"
        return [OutboxRow(*row) for row in self.session.rows(sql(text), params)]

    def outbox_row(self, id: str) -> OutboxRow | None:
        row = self.session.row(_OUTBOX_ROW, {"id": id})
        return OutboxRow(*row) if row else None

    def oldest_waiting(self, now: Instant) -> tuple[Instant | None, Instant | None]:
        """Held rows count: a restored copy that nobody released is late, and says so."""
        params = {"now": now}
        return _only(self.session.row(_OVERDUE, params)), _only(self.session.row(_UNDELIVERED, params))

    def oldest_unreached(self, effect: str) -> Instant | None:
        """When the oldest row was due that failed for good where none of its scope and tag went through."""
        return _only(self.session.row(_UNREACHED, {"effect": effect}))

    def stuck(self) -> list[Stuck]:
        found = [(row, False) for row in self.session.rows(_STUCK)]
        found += [(row, True) for row in self.session.rows(_LOST, {"effect": "page"})]
        return sorted(Stuck(row[0], lost, int(row[1]), int(row[2]), row[3] or "") for row, lost in found)


class TimerWriting(TimerReading):
    """Writing, leasing and finishing timers and outbox rows."""

    sent: list[OutboxRow]
    """what this unit of work has put into the outbox"""

    @property
    def due(self) -> bool:
        """Whether this unit of work has written anything that may fall due."""
        return self.session.due

    @due.setter
    def due(self, due: bool) -> None:
        self.session.due = due

    def set_timer(self, kind: str, key: str, due_at: Instant | None) -> None:
        self.session.due = True
        check_key("the timer", kind, key)
        if due_at is None:
            self.session.run(_DROP_TIMER, {"kind": kind, "key": key})
        else:
            self.session.later(_SET_TIMER, [TimerRow(kind, key, due_at, 0, "")], [(kind, key)])

    def wake_streams(self, kind: str, at: Instant) -> None:
        self.session.due = True
        self.session.run(_WAKE, {"kind": kind, "at": at})

    def lease_timers(
        self, now: Instant, lease_until: Instant, token: str, limit: int, kinds: Sequence[str] | None = None
    ) -> list[TimerRow]:
        params: dict[str, Any] = {"now": now, "lease_until": lease_until, "token": token, "limit": limit}
        if kinds is None:
            rows = self.session.returning(_LEASE_ANY, params)
        else:
            rows = self.session.returning(_LEASE_KINDS, {**params, "kinds": list(kinds)})
        return sorted((TimerRow(*row) for row in rows), key=lambda row: (row.due_at, row.kind, row.key))

    def complete_timer(self, kind: str, key: str, token: str, next_due: Instant | None) -> bool:
        self.session.due = True
        params: dict[str, Any] = {"kind": kind, "key": key, "token": token}
        if next_due is None:
            return self.session.run(_FINISH_TIMER, params) > 0
        return self.session.run(_REARM_TIMER, {**params, "due_at": next_due}) > 0

    def put_outbox(self, rows: Sequence[OutboxRow]) -> None:
        self.session.due = True
        for row in rows:
            check_key("the outbox row", row.id, row.key, row.scope)
        if rows:
            self.session.many(_PUT, rows)
            self.sent += rows

    def lease_outbox(
        self, now: Instant, lease_until: Instant, token: str, limit: int, exclude_channels: Sequence[str] = ()
    ) -> list[OutboxRow]:
        if not exclude_channels and self.session.dialect == "sqlite":
            few = self._lease_few(now, lease_until, token, limit)
            if few is not None:
                return few
        params: dict[str, Any] = {"now": now, "lease_until": lease_until, "token": token, "limit": limit}
        if exclude_channels:
            rows = self.session.returning(_LEASE_SOME, {**params, "channels": list(exclude_channels)})
        else:
            rows = self.session.returning(_LEASE_ALL, params)
        return sorted(
            (OutboxRow(*row) for row in rows), key=lambda row: (row.urgency, row.not_before, row.id)
        )

    def lease_sent(
        self, now: Instant, lease_until: Instant, token: str, limit: int
    ) -> list[OutboxRow] | None:
        due = [row for row in self.sent if row.not_before <= now]
        if not due or len(due) > limit:
            return None if due else []
        condition, params = one_of("id", "ids", [row.id for row in due])
        leased = self.session.run(
            sql(f"{_TAKE_SENT} AND {condition}"), {"lease_until": lease_until, "token": token, **params}
        )
        if leased < len(due):  # a key that was there already, or what was taken back meanwhile
            mine = self.session.rows(
                sql(f"SELECT id FROM outbox WHERE state = 'leased' AND lease_token = :token AND {condition}"), {"token": token, **params}
            )  # fmt: skip
            ids = {row[0] for row in mine}
            due = [row for row in due if row.id in ids]
        return [
            msgspec.structs.replace(row, state="leased", lease_until=lease_until, lease_token=token)
            for row in sorted(due, key=lambda row: (row.urgency, row.not_before, row.id))
        ]

    def _lease_few(
        self, now: Instant, lease_until: Instant, token: str, limit: int
    ) -> list[OutboxRow] | None:
        """All that is due; None where that is more than ``limit``, so that somebody has to choose."""
        params = {"now": now, "limit": limit + 1}
        due = [
            OutboxRow(*row) for statement in _FEW_DUE.values() for row in self.session.rows(statement, params)
        ]
        if len(due) > limit:
            return None
        for row in due:
            row.state, row.lease_until, row.lease_token = "leased", lease_until, token
        if due:
            ids = [row.id for row in due]
            self.session.run(_TAKE, {"ids": ids, "lease_until": lease_until, "token": token})
        return sorted(due, key=lambda row: (row.urgency, row.not_before, row.id))

    def complete_outbox(self, id: str, token: str, state: str, now: Instant, error: str = "") -> bool:
        params = {"id": id, "token": token, "state": state, "now": now, "error": error}
        return self.session.run(_COMPLETE, params) > 0

    def complete_several(self, ends: Sequence[Ended], now: Instant) -> set[Ended]:
        if self.session.dialect != "sqlite":
            return {one for one in ends if self.complete_outbox(one.id, one.token, one.state, now, one.error)}
        if not ends:
            return set()
        condition, params = one_of("id", "ids", [one.id for one in ends])
        tokens: dict[str, str] = dict(self.session.rows(sql(f"{_LEASES} AND {condition}"), params))  # type: ignore[arg-type]
        held = {one.id: one for one in ends if one.token and tokens.get(one.id) == one.token}
        rows = [_End(one.id, one.state, one.error, now) for one in held.values()]
        self.session.later(_END, rows, list(held))
        return set(held.values())

    def retry_outbox(self, id: str, token: str, not_before: Instant, error: str) -> bool:
        self.session.due = True
        params = {"id": id, "token": token, "not_before": not_before, "error": error}
        return self.session.run(_RETRY, params) > 0

    def put_back(self, ids: Collection[str], token: str, not_before: Instant | None = None) -> None:
        if not ids:
            return
        self.session.due = True
        condition, params = one_of("id", "ids", sorted(ids))
        from_when = "" if not_before is None else ", not_before = :not_before"
        if not_before is not None:
            params["not_before"] = not_before
        self.session.run(
            sql(f"{_PUT_BACK.replace('{from_when}', from_when)} AND {condition}"), {"token": token, **params}
        )

    def reword_outbox(self, id: str, payload: bytes) -> None:
        self.session.forget()
        self.session.run(_REWORD, {"id": id, "payload": payload})

    def withdraw_outbox(
        self, scope: str, now: Instant, *, tag: str | None = None, recipient: str | None = None
    ) -> int:
        """Counts the rows that will certainly not leave.

        A row on its way (its lease runs) may still arrive: its worker reports as usual, but it is not tried again.
        Of a row that failed for good nobody waits any more.
        """
        only = ""
        params: dict[str, Any] = {"scope": scope, "now": now}
        for name, value in (("tag", tag), ("recipient", recipient)):
            if value is not None:
                only += f" AND {name} = :{name}"
                params[name] = value
        self.session.run(sql(_WITHDRAW_LEASED.replace("{only}", only)), params)
        self.session.run(sql(_ANSWERED.replace("{only}", only)), params)
        return self.session.run(sql(_WITHDRAW.replace("{only}", only)), params)

    def hold_all(self) -> None:
        self.session.run(_HELD, {"name": "held", "value": b"1"})
        self.session.run(_HOLD, {})
        self.session.run(_HOLD_TIMERS, {})

    def release_held(self) -> int:
        """Says how many outbox rows may now leave."""
        self.session.due = True
        self.session.run(_NOT_HELD_ANY_MORE, {})
        return self.session.run(_RELEASE, {})

    def release_leases(self) -> int:
        """Frees what a process that is gone had taken, so that nothing waits for its leases to end; says how many."""
        self.session.due = True
        return self.session.run(_FREE_TIMERS) + self.session.run(_FREE_OUTBOX)


def _only(row: Row | None) -> Instant | None:
    return None if row is None or row[0] is None else int(row[0])
