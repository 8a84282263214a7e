"""Alerts, the open groups they join, and changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from tocsin.kernel.clock import Instant
from tocsin.kernel.ports import AlertRow, ChangeRow
from tocsin.store.sql import Row, Session, check_key, one_of, sql, upsert

_COLUMNS = list(AlertRow.__struct_fields__)
assert _COLUMNS[-1] == "restricted"
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM alerts"
_OF_INCIDENT = sql(
    f"{_SELECT} WHERE incident = :incident AND incident <> '' ORDER BY received_at, integration, dedup_key"
)
# the literals repeat the conditions of the partial indexes: only so do the planners use them
_NEVER = 2**62


def _look_at(end: str) -> str:
    """When an alert is looked at that ends at ``end``, an expression in SQL."""
    return f"CASE WHEN {end} > 0 THEN {end} ELSE {_NEVER} END"


_ENDING = sql(
    f"{_SELECT} WHERE status = 'firing' AND look_at <= :until AND ends_at > 0 AND ends_at <= :until"
    " ORDER BY ends_at, integration, dedup_key LIMIT :limit"
)
_NEXT_END = sql(f"SELECT min(look_at) FROM alerts WHERE status = 'firing' AND look_at < {_NEVER}")
_LOOK_LATER = sql(
    f"UPDATE alerts SET look_at = {_look_at('ends_at')} WHERE (integration, dedup_key) IN"
    " (SELECT integration, dedup_key FROM alerts WHERE status = 'firing' AND look_at <= :now"
    " AND (ends_at > :now OR ends_at = 0) ORDER BY look_at LIMIT :limit)"
)
_COUNT_FIRING = sql("SELECT count(*) FROM alerts WHERE status = 'firing'")
_COUNT_FIRING_OPEN = sql("SELECT count(*) FROM alerts WHERE status = 'firing' AND NOT restricted")
_COUNT = sql("SELECT count(*) FROM alerts WHERE status = :status")
_COUNT_OPEN = sql("SELECT count(*) FROM alerts WHERE status = :status AND NOT restricted")
_PUT = sql(
    f"INSERT INTO alerts ({', '.join(_COLUMNS)}, look_at)"
    f" VALUES ({', '.join(f':{name}' for name in _COLUMNS)}, {_look_at(':ends_at')})"
    " ON CONFLICT (integration, dedup_key) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in [*_COLUMNS[2:], "look_at"])
)
assert _COLUMNS[:2] == ["integration", "dedup_key"]
_TOUCHED = ("last_at", "source_at", "ends_at", "repeats")
_TOUCH = sql(
    f"WITH heard (integration, dedup_key, {', '.join(_TOUCHED)}) AS"
    f" (VALUES (:integration, :dedup_key, {', '.join(f':{name}' for name in _TOUCHED)}))"
    f" UPDATE alerts SET {', '.join(f'{name} = heard.{name}' for name in _TOUCHED)} FROM heard"
    " WHERE alerts.integration = heard.integration AND alerts.dedup_key = heard.dedup_key",
    f"UPDATE alerts SET {', '.join(f'{name} = :{name}' for name in _TOUCHED)}"
    " WHERE integration = :integration AND dedup_key = :dedup_key",
)
_MOVE_ALL = sql("UPDATE alerts SET incident = :target WHERE incident = :source AND incident <> ''")
_MOVE_ONE = sql(
    "UPDATE alerts SET incident = :target"
    " WHERE integration = :integration AND dedup_key = :dedup_key AND incident = :source"
)
_MOVE_GROUPS = sql("UPDATE alert_groups SET incident = :target WHERE incident = :source")
_MOVE_GROUP = sql(
    "UPDATE alert_groups SET incident = :target WHERE incident = :source AND group_key ="
    " (SELECT group_key FROM alerts WHERE integration = :integration AND dedup_key = :dedup_key"
    " AND incident = :target)"
)
_GROUP = sql("SELECT incident, opened_at, joined_at FROM alert_groups WHERE group_key = :group_key")
_GROUPS = "SELECT group_key, incident, opened_at, joined_at FROM alert_groups"
_PUT_GROUP = upsert("alert_groups", ["group_key", "incident", "opened_at", "joined_at"], ["group_key"])
_DROP_GROUPS = sql("DELETE FROM alert_groups WHERE incident = :incident")

_CHANGE_COLUMNS = list(ChangeRow.__struct_fields__)
_ANY_CHANGE = sql("SELECT 1 FROM changes WHERE at >= :since LIMIT 1")
_PUT_CHANGE = upsert("changes", _CHANGE_COLUMNS, ["id"])


def _alert(row: Row) -> AlertRow:
    found = AlertRow(*row)
    found.restricted = bool(found.restricted)  # SQLite has numbers for truth
    return found


class Group(NamedTuple):
    """The incident that alerts of a group join, as the parameters of its row."""

    group_key: str
    incident: str
    opened_at: Instant
    joined_at: Instant


class AlertReading:
    """What can be read of alerts."""

    session: Session

    def alerts_by_key(self, integration: str, keys: Sequence[str]) -> dict[str, AlertRow]:
        if not keys:
            return {}
        condition, params = one_of("dedup_key", "keys", keys)
        text = f"{_SELECT} WHERE integration = :integration AND {condition}"
        rows = self.session.rows(sql(text), {"integration": integration, **params})
        return {row[1]: _alert(row) for row in rows}

    def alerts_of(self, incident: str) -> list[AlertRow]:
        return [_alert(row) for row in self.session.rows(_OF_INCIDENT, {"incident": incident})]

    def alerts(
        self,
        *,
        integration: str | None = None,
        status: str | None = None,
        state: str | None = None,
        include_restricted: bool = True,
        after: tuple[str, str] | None = None,
        limit: int = 1000,
    ) -> list[AlertRow]:
        where: list[str] = []
        params: dict[str, Any] = {"limit": limit}
        if integration is not None:
            where.append("integration = :integration")
            params["integration"] = integration
        if status == "firing":
            where.append("status = 'firing'")
        elif status is not None:
            where.append("status = :status")
            params["status"] = status
        if state is not None:
            where.append("state = :state")
            params["state"] = state
        if not include_restricted:
            where.append("NOT restricted")
        if after is not None:
            where.append("(integration, dedup_key) > (:after_integration, :after_key)")
            params["after_integration"], params["after_key"] = after
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        text = f"{_SELECT}{condition} ORDER BY integration, dedup_key LIMIT :limit"
        return [_alert(row) for row in self.session.rows(sql(text), params)]

    def alerts_ending(self, until: Instant, limit: int = 500) -> list[AlertRow]:
        return [_alert(row) for row in self.session.rows(_ENDING, {"until": until, "limit": limit})]

    def next_end(self) -> Instant | None:
        row = self.session.row(_NEXT_END)
        return None if row is None or row[0] is None else int(row[0])

    def count_alerts(self, status: str = "firing", *, include_restricted: bool = True) -> int:
        if status == "firing":
            return int(self.session.rows(_COUNT_FIRING if include_restricted else _COUNT_FIRING_OPEN)[0][0])
        statement = _COUNT if include_restricted else _COUNT_OPEN
        return int(self.session.rows(statement, {"status": status})[0][0])

    def group(self, group_key: str) -> tuple[str, Instant, Instant] | None:
        row = self.session.row(_GROUP, {"group_key": group_key})
        return (row[0], row[1], row[2]) if row else None

    def changes(
        self,
        *,
        services: Sequence[str] | None = None,
        since: Instant = 0,
        until: Instant | None = None,
        limit: int = 100,
    ) -> list[ChangeRow]:
        where = ["at >= :since"]
        params: dict[str, Any] = {"since": since, "limit": limit}
        if self.session.row(_ANY_CHANGE, {"since": since}) is None:
            return []  # most often there is none, and sorting nothing costs ten times as much as looking
        if until is not None:
            where.append("at <= :until")
            params["until"] = until
        if services is not None:
            condition, named = one_of("service", "services", ["", *dict.fromkeys(services)])
            where.append(condition)
            params |= named
        text = (
            f"SELECT {', '.join(_CHANGE_COLUMNS)} FROM changes WHERE {' AND '.join(where)}"
            " ORDER BY at DESC, id DESC LIMIT :limit"
        )
        return [ChangeRow(*row) for row in self.session.rows(sql(text), params)]


class AlertWriting(AlertReading):
    """Writing alerts, groups and changes."""

    _groups: dict[str, tuple[str, Instant, Instant] | None]
    """groups as they were read or written in this unit of work"""

    def alerts_by_key(self, integration: str, keys: Sequence[str]) -> dict[str, AlertRow]:
        kept = self.session.kept
        if not kept:
            return super().alerts_by_key(integration, keys)
        found, others = {}, []
        for key in dict.fromkeys(keys):
            row = kept.pop((integration, key), None)
            if row is not None:
                found[key] = row
            else:
                others.append(key)
        return found | super().alerts_by_key(integration, others)

    def _forget(self) -> None:
        if self.session.kept is not None:
            self.session.kept.clear()

    def put_alerts(self, rows: Sequence[AlertRow]) -> None:
        for row in rows:
            check_key("the dedup key", row.dedup_key, row.integration)
            check_key("the group key", row.group_key, row.incident)
        if rows:
            self.session.many(_PUT, rows)
        if self.session.kept is not None:
            for row in rows:
                self.session.kept.keep((row.integration, row.dedup_key), row)

    def touch_alerts(self, rows: Sequence[AlertRow]) -> None:
        if rows:
            self.session.many(_TOUCH, rows)
        if self.session.kept is not None:
            for row in rows:
                self.session.kept.give_back((row.integration, row.dedup_key), row)

    def look_later(self, now: Instant, limit: int = 500) -> None:
        self.session.run(_LOOK_LATER, {"now": now, "limit": limit})

    def move_alerts(self, source: str, target: str, keys: Sequence[tuple[str, str]] | None = None) -> None:
        self._forget()
        self._groups.clear()
        if keys is None:
            self.session.run(_MOVE_ALL, {"source": source, "target": target})
            self.session.run(_MOVE_GROUPS, {"source": source, "target": target})
        elif keys:
            params = [
                {"source": source, "target": target, "integration": integration, "dedup_key": dedup_key}
                for integration, dedup_key in keys
            ]
            for one in params:
                self.session.run(_MOVE_ONE, one)
            for one in params:
                self.session.run(_MOVE_GROUP, one)

    def put_group(self, group_key: str, incident: str, opened_at: Instant, joined_at: Instant) -> None:
        check_key("the group key", group_key, incident)
        self.session.later(_PUT_GROUP, [Group(group_key, incident, opened_at, joined_at)], [group_key])
        self._groups[group_key] = (incident, opened_at, joined_at)

    def group(self, group_key: str) -> tuple[str, Instant, Instant] | None:
        if group_key not in self._groups:
            self._groups[group_key] = super().group(group_key)
        return self._groups[group_key]

    def look_up_groups(self, group_keys: Collection[str]) -> None:
        wanted = sorted(key for key in group_keys if key not in self._groups)
        if wanted:
            condition, params = one_of("group_key", "keys", wanted)
            rows = self.session.rows(sql(f"{_GROUPS} WHERE {condition}"), params)
            self._groups |= dict.fromkeys(wanted)
            self._groups |= {row[0]: (row[1], row[2], row[3]) for row in rows}

    def drop_groups(self, incident: str) -> None:
        self._groups.clear()
        self.session.run(_DROP_GROUPS, {"incident": incident})

    def put_changes(self, rows: Sequence[ChangeRow]) -> None:
        for row in rows:
            check_key("the change", row.id, row.integration, row.service)
        if rows:
            self.session.many(_PUT_CHANGE, rows)
