"""Taking words out: a password, somebody's data. From the fact, from copies of it, and from what the store keeps beside facts.

What has left, as a message or an export, cannot be called back. A sender that goes on sending brings its words again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from tocsin.alerts.shape import AlertBody
from tocsin.engine import acting
from tocsin.engine import commands as c
from tocsin.engine.access import Answer, allow, answer, load, text_of
from tocsin.engine.work import Work
from tocsin.identity.principals import Principal
from tocsin.incidents.actions import SERIES, ActionItem
from tocsin.incidents.incident import Incident
from tocsin.incidents.redaction import GONE, without
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import NotFound
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import AlertRow

SAID = ("text", "reason", "title")
"""fields of a waiting or sent message that hold words"""


def redact(work: Work, principal: Principal, command: c.Redact) -> Answer:
    """Takes the words out of one fact, and whatever repeats them."""
    state: Incident | ActionItem
    if command.incident.upper().startswith(f"{SERIES}-"):
        allow(work, principal, "redact", None)
        state = work.load_other(ActionItem, command.incident, SERIES)
        stream = Stream("action", state.id)
    else:
        state = load(work, principal, command.incident, "redact")
        stream = Stream("incident", state.id)
    reason = text_of(command.reason, "reason")[:500]
    wanted = [fact for fact in work.tx.facts(stream) if command.fact in (fact.id, str(fact.version))]
    if not wanted:
        raise NotFound(
            f"{state.name} has no fact {command.fact[:40]}; its timeline shows each fact's version and id"
        )
    after, words = work.redact(state, wanted[0], reason)
    _messages(work, str(stream), words)
    if isinstance(after, Incident):
        _alerts(work, after, words)
        for other in dict.fromkeys([after.merged_into, *after.merged_from]):
            if other:
                _beside(work, work.load(other), words, f"{reason} ({after.name})")
    said = answer(after) if isinstance(after, Incident) else acting.answer(after)
    return said | {"message": f"the words of fact {wanted[0].version} are gone, and copies of them"}


def _beside(work: Work, incident: Incident, words: Collection[str], reason: str) -> None:
    """What it was merged with remembers the same alerts."""
    after = work.redact_copies(incident, words, reason)
    _messages(work, f"incident/{after.id}", words)
    _alerts(work, after, words)


def _messages(work: Work, scope: str, words: Collection[str]) -> None:
    """What waits to leave says them no more, and what has left is not kept with them."""
    for row in work.tx.outbox_of(scope):
        body: dict[str, Any] = decode(row.payload)
        subject = body.get("subject")
        after = body | _reworded(body, words)
        if isinstance(subject, dict):
            after["subject"] = subject | _reworded(subject, words)
        if after != body:
            work.tx.reword_outbox(row.id, encode(after))


def _reworded(said: dict[str, Any], words: Collection[str]) -> dict[str, str]:
    return {name: without(said[name], words) for name in SAID if isinstance(said.get(name), str)}


def _alerts(work: Work, incident: Incident, words: Collection[str]) -> None:
    """The rows of its alerts, and the requests that brought them as far as they are kept."""
    changed: list[AlertRow] = []
    integrations: dict[str, None] = {}
    for row in work.tx.alerts_of(incident.id):
        body = decode(row.body, AlertBody)
        texts = msgspec.to_builtins(body)
        after = msgspec.convert(_everywhere(texts, words), AlertBody)
        summary = without(row.summary, words)
        if (summary, after) != (row.summary, body):
            row.summary, row.body = summary, encode(after)
            changed.append(row)
            integrations[row.integration] = None
    if changed:
        work.tx.put_alerts(changed)
    for integration in integrations:
        for request in work.tx.requests(integration):
            body_text = bytes(request.body).decode("utf-8", "replace")
            clean, reason = without(body_text, words), without(request.reason, words)
            if (clean, reason) != (body_text, request.reason):
                request.body, request.reason, request.headers = GONE.encode(), reason, ""
                work.tx.put_request(request)


def _everywhere(value: Any, words: Collection[str]) -> Any:
    if isinstance(value, str):
        return without(value, words)
    if isinstance(value, dict):
        return {key: _everywhere(part, words) for key, part in value.items()}
    return [_everywhere(part, words) for part in value] if isinstance(value, list | tuple) else value
