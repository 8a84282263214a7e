"""A draft filled from the record: the policy's own wording, its blanks filled with what is known, and honest about the rest."""

from __future__ import annotations

import re
from collections.abc import Callable

from tocsin.catalogue.services import Service
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.incidents.promises import due_at
from tocsin.incidents.wording import moment, plain
from tocsin.kernel.clock import MINUTE, Instant, humanize, to_datetime
from tocsin.oncall.walltime import zone_of
from tocsin.policy.model import INSIDE, Policy
from tocsin.policy.wording import BLANK
from tocsin.web.incident_view import Word

AUDIENCES = {
    "stakeholders": "leadership", "investors": "investors", "partners": "partners", "media": "media",
}  # fmt: skip
"""channel → the audience whose wording it takes; the others speak to customers"""
SENTENCE_END = re.compile(r"[.!?]\s+$")


def draft_for(
    channel: str,
    incident: Incident,
    policy: Policy,
    directory: Directory,
    word: Word | None,
    zone: str,
    now: Instant,
    next_update: Instant,
) -> str:
    """A first text for a channel: the first notice, an update or the resolution, by how far the incident is."""
    audience = AUDIENCES.get(channel, "customers")
    templates = policy.templates
    if incident.resolved_at:
        template = templates.resolution_notice
    else:
        template = templates.progress_update if incident.sent_to.get(channel) else templates.first_notice
    wording = template.wording(audience)
    inside = audience in INSIDE
    known = _known(incident, policy, directory, word, "UTC" if not inside else zone, now, next_update, inside)

    def fill(name: str) -> str:
        blank = policy.blanks.get(name)
        if not inside and blank is not None and blank.outside_always:
            return blank.outside_always
        value = known.get(name, lambda: "")()
        return value or (blank.fallback(audience) if blank is not None else "")

    text = f"{wording.subject}\n\n{wording.text}"
    return BLANK.sub(lambda found: begun(fill(found[1]), text[: found.start()]), text).strip()


def begun(words: str, before: str) -> str:
    """``words`` with a capital where a sentence begins with them; an address stays as it is written."""
    starts = not before.strip() or before.endswith("\n") or SENTENCE_END.search(before[-3:]) is not None
    return words[:1].upper() + words[1:] if starts and "://" not in words.partition(" ")[0] else words


def next_word(incident: Incident, policy: Policy, due: Instant, now: Instant) -> Instant:
    """When a draft of now may promise the next update: when it is due (0: it is not), or an interval from now where that is past.

    One that is due within the minute is past by the time that anybody reads of it.
    """
    if not due or due >= now + MINUTE:
        return due
    later = due_at(incident, policy, now, policy.severity(incident.severity).update)
    return later if later > now else 0


def _known(
    incident: Incident, policy: Policy, directory: Directory, word: Word | None, zone: str, now: Instant, next_update: Instant, inside: bool,
) -> dict[str, Callable[[], str]]:  # fmt: skip
    severity = policy.severity(incident.severity)
    began = incident.milestones.get("impact_began") or incident.opened_at
    share = incident.impact.get("users_affected_percent", "")
    commander = incident.commander or incident.acting_commander

    def at(instant: Instant) -> str:
        if not instant:
            return ""
        text = moment(instant, zone, now)
        return text if zone == "UTC" else f"{text} {to_datetime(instant, zone_of(zone)):%Z}"

    def service(id: str) -> str:
        known: Service | None = directory.services.get(id)
        return (known.component if known and not inside else "") or (known.name if known else id)

    return {
        "id": lambda: incident.name,
        "severity": lambda: incident.severity,
        "severity_name": lambda: severity.name,
        "title": lambda: incident.title if inside else "",
        "started": lambda: at(began),
        "time": lambda: at(now),
        "impact": lambda: str(incident.impact.get("who", "")) or (f"about {share} % of users are affected" if share else ""),
        "services": lambda: ", ".join(dict.fromkeys(service(one) for one in incident.services)),
        "status": lambda: plain(incident.status),
        "next_update": lambda: at(next_update),
        "commander": lambda: directory.name(commander) if commander else "",
        "update_every": lambda: f"every {humanize(severity.update.amount)}" if severity.update.is_elapsed else severity.update.text,
        "progress": lambda: word.text if word and (inside or word.audience != "internal") else "",
        "eta": lambda: at(word.eta) if word and word.eta > now else "",
        "resolved": lambda: at(incident.resolved_at),
        "duration": lambda: humanize(incident.resolved_at - began) if incident.resolved_at else "",
        "workaround": lambda: str(incident.impact.get("workaround", "")),
    }  # fmt: skip
