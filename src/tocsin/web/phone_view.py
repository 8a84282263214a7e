"""The telephones of the demonstration: what arrived when, by which channel, why, and whether it was answered."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tocsin.engine import delivery
from tocsin.engine.work import find_row, read_incident
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import decode
from tocsin.kernel.ports import Message, OutboxRow, Reader
from tocsin.web.base import Visit

SHOWN = 40
CHANNELS = {
    "console": "push",
    "ntfy": "push",
    "sms": "SMS",
    "voice": "call",
    "email": "mail",
    "slack": "Slack",
}


class Rung(msgspec.Struct):
    """A message on somebody's telephone. ``note``: what kind it is; ``answered``: who has it, where somebody does."""

    id: str
    to: str
    at: Instant
    channel: str
    kind: str
    title: str
    text: str
    ack_url: str
    note: str = ""
    answered: str = ""


def rung(visit: Visit, messages: Iterable[Message]) -> list[Rung]:
    """The last messages, the newest first."""
    wanted = list(messages)[-SHOWN:]

    def work(reader: Reader) -> list[Rung]:
        return [_one(visit, reader, one) for one in reversed(wanted)]

    return visit.engine.store.read(work)


def _one(visit: Visit, reader: Reader, message: Message) -> Rung:
    row = reader.outbox_row(message.id) if message.id else None
    channel = row.channel if row else "console"
    sms = message.to.startswith("+")
    found = Rung(
        message.id, row.recipient if row else message.to, (row.finished_at or row.not_before or row.created_at) if row else 0,
        "SMS" if sms else CHANNELS.get(channel, channel), message.kind, message.title, message.text, message.ack_url,
        _note(reader, row, message),
    )  # fmt: skip
    if message.ack_url:
        found.answered = _answered(visit, reader, message)
    return found


def _note(reader: Reader, row: OutboxRow | None, message: Message) -> str:
    """What sets a message apart: the first page, an escalation, a repeat, or a notice that asks for nothing."""
    if message.kind != "page" or row is None:
        return "test" if message.kind == "test" else "notice"
    sent = decode(row.payload)
    run = read_incident(reader, find_row(reader, str(sent.get("incident", "")))).runs.get(
        str(sent.get("run", ""))
    )
    if sent.get("round", 0):
        return "paged again"
    if run is not None and run.kind == "commander":
        return "as commander"
    if run is not None and run.kind == "manual":
        return "asked for by hand"
    return "escalation" if sent.get("step", 0) else "first page"


def _answered(visit: Visit, reader: Reader, message: Message) -> str:
    token = message.ack_url.rpartition("/")[2]
    row = reader.record_by("link", delivery.link_lookup(token))
    if row is None:
        return ""
    link = decode(row.body, delivery.Link)
    states = [read_incident(reader, find_row(reader, one)) for one in link.incidents]
    if any(_waits(one, link.person) for one in states):
        return ""
    holders = list(dict.fromkeys(visit.directory.name(one.holder) for one in states if one.holder))
    if holders:
        return f"{' and '.join(holders)} acknowledged."
    return "It is over."


def _waits(incident: Incident, person: str) -> bool:
    if not incident.open:
        return False
    running = [run for run in incident.runs.values() if run.state == "running"]
    return not incident.holder or any(person in run.paged for run in running)
