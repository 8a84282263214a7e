"""Silences and maintenance windows: who asked for quiet, why, until when, and what it hides now."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine import overview
from tocsin.engine.silencing import hidden
from tocsin.kernel.clock import HOUR
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import TocsinError
from tocsin.web.base import Visit, Web


class QuietPages:
    """One page."""

    def __init__(self, web: Web) -> None:
        self.web = web

    def routes(self) -> list[Route]:
        """The address of silences."""
        return [self.web.route("/silences", self.silences, form=True)]

    def silences(self, visit: Visit) -> Response:
        """What is quiet now, what will be, and forms for both kinds."""
        error = ""
        if visit.posting:
            try:
                answer = visit.act("add_silence", "end_silence", "add_maintenance", "end_maintenance")
                covers = answer.get("covers")
                said = "Saved." if covers is None else f"Saved; {covers} alerts that fire now fit it."
                return visit.go("/silences", said)
            except TocsinError as refused:
                error = refused.sentence
        silences = [decode(row.body, Silence) for row in overview.records_of(visit.engine, "silence")]
        windows = [decode(row.body, Maintenance) for row in overview.records_of(visit.engine, "maintenance")]
        everything = visit.principal.role == "owner"
        return visit.page(
            "silences.html", 400 if error else 200, error=error, later=visit.now + 2 * HOUR,
            silences=sorted((one for one in silences if one.ends_at > visit.now), key=lambda one: one.ends_at),
            windows=sorted((one for one in windows if one.ends_at > visit.now), key=lambda one: one.starts_at),
            hidden=visit.engine.store.read(lambda r: hidden(r, restricted=everything)),
            services=sorted(visit.directory.services.values(), key=lambda one: one.name.casefold()),
            integrations=overview.integration_rows(visit.engine), catalogue=visit.directory.services,
        )  # fmt: skip
