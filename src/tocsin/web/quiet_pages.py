"""Silences and maintenance windows: who asked for quiet, why, until when, and what it hides now."""

from __future__ import annotations

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from tocsin.alerts.matchers import Matcher, parse_matcher
from tocsin.alerts.shape import AlertBody
from tocsin.alerts.silences import Maintenance, Silence
from tocsin.engine import overview
from tocsin.engine.silencing import covered, hidden
from tocsin.kernel.clock import HOUR
from tocsin.kernel.codec import decode
from tocsin.kernel.errors import TocsinError, Unusable
from tocsin.kernel.ports import AlertRow
from tocsin.web.base import Visit, Web


class Asked(msgspec.Struct):
    """A silence that somebody thinks about: what it would cover now, before they ask for it."""

    matchers: str = ""
    integration: str = ""
    alert: bool = False
    """it began at an alert"""
    shown: bool = False
    fits: list[AlertRow] = []
    wrong: str = ""


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
                said = (
                    "Saved."
                    if covers is None
                    else f"Silent now; {covers} firing {'alert fits' if covers == 1 else 'alerts fit'} it."
                )
                return visit.go("/silences", said)
            except TocsinError as refused:
                error = visit.why(refused)
        silences = [decode(row.body, Silence) for row in overview.records_of(visit.engine, "silence")]
        windows = [decode(row.body, Maintenance) for row in overview.records_of(visit.engine, "maintenance")]
        everything = visit.principal.role == "owner"
        return visit.page(
            "silences.html", 400 if error else 200, error=error, later=visit.now + 2 * HOUR, asked=asked_of(visit),
            silences=sorted((one for one in silences if one.ends_at > visit.now), key=lambda one: one.ends_at),
            windows=sorted((one for one in windows if one.ends_at > visit.now), key=lambda one: one.starts_at),
            hidden=visit.engine.store.read(lambda r: hidden(r, restricted=everything)),
            services=sorted(visit.directory.services.values(), key=lambda one: one.name.casefold()),
            integrations=overview.integration_rows(visit.engine), catalogue=visit.directory.services,
        )  # fmt: skip


def asked_of(visit: Visit) -> Asked:
    """The silence in the address or in the form: an alert's own labels, or matchers, with what fires and fits them."""
    source = visit.form if visit.posting else visit.request.query_params
    asked = Asked(str(source.get("matchers", "")).replace("\r\n", "\n"), str(source.get("integration", "")))
    key = visit.query("alert")
    if key and not asked.matchers:
        asked.alert = True
        asked.matchers = labels_of(visit, asked.integration, key)
    if not asked.matchers.strip():
        return asked
    asked.shown = True
    try:
        matchers: list[Matcher] = [parse_matcher(one) for one in asked.matchers.split("\n") if one.strip()]
        wish = Silence("", matchers, visit.now, visit.now + HOUR, "", "", asked.integration)
        everything = visit.principal.role == "owner"
        asked.fits = visit.engine.store.read(lambda r: covered(r, wish, restricted=everything))
    except Unusable as error:
        asked.wrong = error.sentence
    return asked


def labels_of(visit: Visit, integration: str, key: str) -> str:
    """An alert's labels as matchers, one a line; empty for one that nobody knows or may see."""
    everything = visit.principal.role == "owner"
    rows = visit.engine.store.read(
        lambda r: r.alerts(integration=integration, status="firing", include_restricted=everything)
    )
    row = next((one for one in rows if one.dedup_key == key), None)
    if row is None:
        return ""
    labels = decode(row.body, AlertBody).labels
    return "\n".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
