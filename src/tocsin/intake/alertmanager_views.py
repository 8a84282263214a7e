"""Alertmanager's API v2, the side that shows: alerts, groups, silences, receivers and status, and the filters of a query.

Source: https://github.com/prometheus/alertmanager, ``api/v2/openapi.yaml``. Pure: rows and silences come in, plain values
ready for JSON go out. Rows must be those of one integration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from tocsin.alerts.expressions import Budget, compiled
from tocsin.alerts.matchers import Matcher, all_match, parse_matcher, to_json
from tocsin.alerts.shape import AlertBody
from tocsin.alerts.silences import Silence, silencing, state_of
from tocsin.intake.alertmanager_api import RESOLVE_TIMEOUT
from tocsin.kernel.clock import MILLISECOND, SECOND, Instant, to_iso
from tocsin.kernel.codec import decode
from tocsin.kernel.ports import AlertRow

RECEIVER = "tocsin"
"""The receiver that is named where no other is known."""

MUTED = {"maintenance": "maintenance", "held": "it comes and goes"}
"""state of a row → what keeps it quiet, besides silences"""

_TRUE = {"true", "1", "yes", "ok", "y", "on", "selected", "checked", "t", "enabled"}
_ORDER = {"active": 1, "pending": 2, "expired": 3}


class Query(msgspec.Struct):
    """The query of a GET. The truth values are true where the query says nothing, as the API's description has it."""

    active: bool = True
    silenced: bool = True
    inhibited: bool = True
    unprocessed: bool = True
    muted: bool = True
    pending: bool = True
    expired: bool = True
    filter: list[Matcher] = []
    receiver: str = ""
    receiver_matchers: list[Matcher] = []
    creator: str = ""


def parse_query(pairs: Iterable[tuple[str, str]]) -> Query:
    """Reads the query's (name, value) pairs; raises :class:`~tocsin.kernel.errors.Unusable` (400).

    Unknown names are passed over, and truth values without a value say nothing, as in Alertmanager.
    """
    query = Query()
    for name, value in pairs:
        if name in ("active", "silenced", "inhibited", "unprocessed", "muted", "pending", "expired"):
            if value:
                setattr(query, name, value.strip().lower() in _TRUE)
        elif name == "filter":
            query.filter.append(_matcher(value, "filter"))
        elif name == "receiver_matchers":
            query.receiver_matchers.append(_matcher(value, "receiver_matchers"))
        elif name == "creator":
            query.creator = value
        elif name == "receiver":
            compiled(value)
            query.receiver = value
    return query


def _matcher(text: str, where: str) -> Matcher:
    matcher = parse_matcher(text, where)
    if matcher.regex:
        compiled(matcher.value)
    return matcher


def stamp(at: Instant) -> str:
    """A time as Alertmanager prints it: UTC, to the millisecond."""
    whole = to_iso(at - at % SECOND)
    return f"{whole[:-1]}.{at % SECOND // MILLISECOND:03d}Z"


def _hears(query: Query, receiver: str) -> bool:
    if query.receiver and not compiled(query.receiver).fits(receiver):
        return False
    return all_match(query.receiver_matchers, {})  # receivers here carry no labels


def gettable_alert(
    row: AlertRow, now: Instant, silences: Sequence[Silence], *, receiver: str = RECEIVER
) -> dict[str, Any]:
    """One alert as ``GET /api/v2/alerts`` shows it. The dedup key of this API's alerts is the fingerprint."""
    return _shown(row, decode(row.body, AlertBody), now, silences, receiver, Budget())


def _shown(
    row: AlertRow, body: AlertBody, now: Instant, silences: Sequence[Silence], receiver: str, budget: Budget
) -> dict[str, Any]:
    """``silencedBy`` names silences that the integration can look up; what else keeps an alert quiet stands in ``mutedBy``.

    Whether it is suppressed follows what really pages nobody: a silence that came after the page, or does not cover a P1,
    hides nothing.
    """
    covering: list[str] = []
    muted = [MUTED[row.state]] if row.state in MUTED else []
    if row.state == "silenced":
        found = silencing(body.labels, silences, now, integration=row.integration, budget=budget)
        covering = [one.id for one in found if one.integration == row.integration]
        muted = [] if covering else ["a silence in Tocsin"]
    annotations = body.details.get("annotations")
    shown = {
        "annotations": annotations if isinstance(annotations, dict) else {},
        "endsAt": stamp(row.ends_at or (row.cleared_at if row.status != "firing" else now + RESOLVE_TIMEOUT)),
        "fingerprint": row.dedup_key,
        "receivers": [{"name": receiver}],
        "startsAt": stamp(row.started_at),
        "status": {
            "inhibitedBy": [],
            "mutedBy": muted,
            "silencedBy": covering,
            "state": "suppressed" if covering or muted else "active",
        },
        "updatedAt": stamp(row.last_at),
        "labels": body.labels,
    }
    generator = body.details.get("generatorURL")
    if isinstance(generator, str):
        shown["generatorURL"] = generator
    return shown


def gettable_alerts(
    rows: Iterable[AlertRow],
    now: Instant,
    silences: Sequence[Silence],
    query: Query,
    *,
    receiver: str = RECEIVER,
) -> list[dict[str, Any]]:
    """``GET /api/v2/alerts``: those that still fire and fit the query, by fingerprint."""
    found = [shown for _, shown in _fitting(rows, now, silences, query, receiver)]
    return sorted(found, key=lambda shown: str(shown["fingerprint"]))


def _fitting(
    rows: Iterable[AlertRow], now: Instant, silences: Sequence[Silence], query: Query, receiver: str
) -> Iterable[tuple[AlertRow, dict[str, Any]]]:
    if not _hears(query, receiver):
        return
    budget = Budget()
    for row in rows:
        if row.status != "firing" or 0 < row.ends_at < now:
            continue
        body = decode(row.body, AlertBody)
        if not all_match(query.filter, body.labels, budget):
            continue
        shown = _shown(row, body, now, silences, receiver, budget)
        active = shown["status"]["state"] == "active"
        if (active and not query.active) or (row.state == "silenced" and not query.silenced):
            continue
        yield row, shown


def gettable_groups(
    rows: Iterable[AlertRow],
    now: Instant,
    silences: Sequence[Silence],
    query: Query,
    *,
    receiver: str = RECEIVER,
) -> list[dict[str, Any]]:
    """``GET /api/v2/alerts/groups``: the same alerts by the group they were routed to."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row, shown in _fitting(rows, now, silences, query, receiver):
        groups.setdefault(row.group_key, []).append(shown)
    return [
        {
            "alerts": sorted(members, key=lambda shown: str(shown["fingerprint"])),
            "labels": group_labels(key, members),
            "receiver": {"name": receiver},
            "routeLabels": {},
        }
        for key, members in sorted(groups.items())
        if query.muted or any(shown["status"]["state"] == "active" for shown in members)
    ]


def group_labels(group_key: str, members: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The labels a group was made by: those its key names and all of its members share."""
    try:
        parts = decode(group_key, list[str])
    except msgspec.DecodeError:
        return {}  # a row that no route has placed yet has no group key
    labels: dict[str, str] = {}
    for part in parts[1:]:
        name, _, value = part.partition("=")
        if value and all(shown["labels"].get(name) == value for shown in members):
            labels[name] = value
    return labels


def gettable_silence(silence: Silence, now: Instant) -> dict[str, Any]:
    """One silence as ``GET /api/v2/silence/ID`` shows it."""
    return {
        "id": silence.id,
        "status": {"state": state_of(silence, now)},
        "updatedAt": stamp(silence.updated_at or silence.starts_at),
        "comment": silence.reason,
        "createdBy": silence.author,
        "endsAt": stamp(silence.ends_at),
        "matchers": to_json(silence.matchers),
        "startsAt": stamp(silence.starts_at),
        "annotations": silence.annotations,
    }


def gettable_silences(silences: Iterable[Silence], now: Instant, query: Query) -> list[dict[str, Any]]:
    """``GET /api/v2/silences``: active first (next to end first), then pending, then expired (last ended first).

    A filter fits a silence that has the very same matcher.
    """
    wanted = {"active": query.active, "pending": query.pending, "expired": query.expired}
    found = [
        silence
        for silence in silences
        if wanted[state_of(silence, now)]
        and set(query.filter) <= set(silence.matchers)
        and query.creator in ("", silence.author)
    ]
    return [gettable_silence(silence, now) for silence in sorted(found, key=lambda one: _place(one, now))]


def _place(silence: Silence, now: Instant) -> tuple[int, int, str]:
    state = state_of(silence, now)
    within = {"active": silence.ends_at, "pending": silence.starts_at, "expired": -silence.ends_at}[state]
    return _ORDER[state], within, silence.id


def receivers(query: Query, *, receiver: str = RECEIVER) -> list[dict[str, Any]]:
    """``GET /api/v2/receivers``."""
    return [{"name": receiver}] if _hears(query, receiver) else []


def status(version: str, started_at: Instant) -> dict[str, Any]:
    """``GET /api/v2/status``. ``config`` is what clients parse at least: one route to one receiver."""
    return {
        "cluster": {"peers": [], "status": "disabled"},
        "config": {
            "original": f"global:\n  resolve_timeout: 5m\nroute:\n  receiver: {RECEIVER}\nreceivers:\n- name: {RECEIVER}\n"
        },
        "uptime": stamp(started_at),
        "versionInfo": {
            "branch": "tocsin",
            "buildDate": "",
            "buildUser": "",
            "goVersion": "",
            "revision": version,
            "version": version,
        },
    }
