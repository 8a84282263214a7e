"""The documented API: everything a page can do, for programs. Bearer tokens with scopes, RFC 9457 problem documents."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import Body, FastAPI, Header, Query
from starlette.requests import Request

from tocsin.incidents.duties import duties, standing
from tocsin.incidents.timeline import line
from tocsin.kernel.clock import to_iso
from tocsin.web import auth
from tocsin.web.base import Web, command_from, incident_json, names_of


def add_api(app: FastAPI, web: Web) -> None:
    """Adds the addresses under /api/v1."""
    engine = web.engine

    @app.get("/api/v1/incidents", tags=["incidents"], summary="Incidents, newest first")
    def incidents(
        request: Request, open: bool | None = None, severity: str = "", status: str = "", q: str = "", limit: int = Query(100, ge=1, le=500),
    ) -> dict[str, Any]:  # fmt: skip
        principal = auth.principal_of(engine, request)
        rows = engine.incidents(principal, open=open, severity=severity, status=status, search=q, limit=limit)
        return {
            "incidents": [
                {
                    "id": r.stream.id,
                    "name": f"{r.series}-{r.number}",
                    "title": r.title,
                    "status": r.status,
                    "severity": r.severity,
                    "opened_at": to_iso(r.opened_at),
                    "restricted": r.restricted,
                }
                for r in rows
            ]
        }

    @app.post("/api/v1/incidents", tags=["incidents"], summary="Declare an incident", status_code=201)
    def declare(
        request: Request, body: dict[str, Any] = Body(...), idempotency_key: str = Header("")
    ) -> dict[str, Any]:
        principal = auth.principal_of(engine, request)
        return engine.execute(principal, command_from("declare", body), idempotency_key=idempotency_key)

    @app.get("/api/v1/incidents/{reference}", tags=["incidents"], summary="One incident, by id or number")
    def incident(request: Request, reference: str) -> dict[str, Any]:
        return incident_json(engine.incident(auth.principal_of(engine, request), reference))

    @app.get("/api/v1/incidents/{reference}/timeline", tags=["incidents"], summary="What happened, in order")
    def timeline(request: Request, reference: str, after: int = Query(0, ge=0)) -> dict[str, Any]:
        principal = auth.principal_of(engine, request)
        names = names_of(engine, engine.directory())
        lines = [line(fact, names) for fact in engine.facts(principal, reference, after)]
        return {
            "timeline": [
                msgspec.to_builtins(one) | {"at": to_iso(one.at), "recorded_at": to_iso(one.recorded_at)}
                for one in lines
            ]
        }

    @app.get(
        "/api/v1/incidents/{reference}/duties",
        tags=["incidents"],
        summary="What is owed, by when, and how it stands",
    )
    def owed(request: Request, reference: str) -> dict[str, Any]:
        found = engine.incident(auth.principal_of(engine, request), reference)
        policy = engine.store.read(lambda r: engine.policy_of(r, found.policy)[0])
        now = engine.clock.now()
        clocks = [standing(duty, now) for duty in duties(found, policy)]
        return {
            "duties": [
                {
                    "id": c.duty.id, "rule": c.duty.rule, "owner": c.duty.owner, "start": to_iso(c.duty.start), "due": to_iso(c.duty.due),
                    "how": c.duty.how, "state": c.state, "left_seconds": c.left // 1_000_000, "missed": c.missed,
                }
                for c in clocks
            ]
        }  # fmt: skip

    @app.post(
        "/api/v1/incidents/{reference}/commands/{verb}",
        tags=["incidents"],
        summary="Do something: acknowledge, update, severity, move …",
    )
    def command(
        request: Request,
        reference: str,
        verb: str,
        body: dict[str, Any] = Body(default={}),
        idempotency_key: str = Header(""),
    ) -> dict[str, Any]:
        principal = auth.principal_of(engine, request)
        return engine.execute(
            principal, command_from(verb, body | {"incident": reference}), idempotency_key=idempotency_key
        )
