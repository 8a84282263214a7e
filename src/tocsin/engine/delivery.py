"""Effects leave through the outbox: leased, composed at the last moment, handed to a channel, the result told as a fact.

A page is composed when it leaves, so that it lists everything its person has not acknowledged, and nothing that has
cleared meanwhile. One interrupting page for each person in the policy's interval; what comes within it joins the next.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import msgspec

from tocsin.engine.work import read_incident
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import Incident
from tocsin.kernel.clock import DAY, SECOND, Instant, humanize, to_iso
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import Message, OutboxRow, Reader, RecordRow, Transaction
from tocsin.notify import texts

LINK_LIFE = 400 * DAY
"""upper bound of a link's record; whether it still serves is decided by its incidents"""


class Link(msgspec.Struct):
    """What a page's link names: one person and the incidents the page listed."""

    person: str
    incidents: list[str]
    made_at: Instant


class Parcel(msgspec.Struct):
    """An outbox row with the message it became, and the rows that travel with it."""

    row: OutboxRow
    message: Message
    joined: list[OutboxRow] = []


def listed_key(person: str) -> str:
    """Where it is kept what a person's last page listed, for an answer that has no link to name it."""
    return f"listed/{person}"


def link_token(secret: bytes, row_id: str) -> str:
    """The token of a page's link: the same for each attempt at the same row, and not stored in clear anywhere."""
    return hmac.new(secret, b"page link " + row_id.encode(), hashlib.sha256).hexdigest()[:40]


def link_lookup(token: str) -> str:
    """How a link is found again; the token itself is not kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def compose(
    tx: Transaction,
    rows: list[OutboxRow],
    directory: Directory,
    now: Instant,
    *,
    secret: bytes,
    public_url: str,
    token: str,
) -> list[Parcel]:
    """Messages for leased rows. Pages of one person by one channel become one; what is moot is withdrawn here."""
    parcels: list[Parcel] = []
    together: dict[tuple[str, str, str], Parcel] = {}
    loaded: dict[str, Incident | None] = {}
    for row in rows:
        body = decode(row.payload)
        incident = _incident(tx, loaded, body.get("incident", ""))
        if row.effect == "page" and incident is not None:
            run = incident.runs.get(body.get("run", ""))
            if not incident.open or (run is not None and run.state != "running"):
                tx.complete_outbox(row.id, token, "withdrawn", now, "nothing left to acknowledge")
                continue
            key = (row.recipient, row.channel, row.address)
            if key in together:
                together[key].joined.append(row)
                continue
        parcel = Parcel(row, Message(row.key, row.address, "", "", "", row.urgency))
        if row.effect == "page" and incident is not None:
            together[row.recipient, row.channel, row.address] = parcel
        parcels.append(parcel)
    for parcel in parcels:
        parcel.message = _message(tx, parcel, loaded, directory, now, secret, public_url)
    return parcels


def _incident(tx: Reader, loaded: dict[str, Incident | None], incident_id: str) -> Incident | None:
    if incident_id not in loaded:
        row = tx.stream(Stream("incident", incident_id)) if incident_id else None
        loaded[incident_id] = read_incident(tx, row) if row else None
    return loaded[incident_id]


def _message(
    tx: Transaction,
    parcel: Parcel,
    loaded: dict[str, Incident | None],
    directory: Directory,
    now: Instant,
    secret: bytes,
    public_url: str,
) -> Message:
    row = parcel.row
    person = directory.people.get(row.recipient)
    zone = person.zone if person else "UTC"
    body: dict[str, Any] = decode(row.payload)
    if "subject" in body:
        return about_subject(row, body["subject"], public_url)
    ids = list(
        dict.fromkeys(
            [body.get("incident", ""), *(decode(other.payload)["incident"] for other in parcel.joined)]
        )
    )
    listed = [incident for one in ids if (incident := _incident(tx, loaded, one)) is not None]
    if row.effect == "test" or not listed:
        return Message(
            row.key,
            row.address,
            "Test page from Tocsin",
            str(body.get("text", "This is a test page.")),
            "Tocsin test page",
            row.urgency,
            "test",
            id=row.id,
        )
    ack_url = ""
    if row.effect == "page":
        token = link_token(secret, row.id)
        link = Link(row.recipient, [incident.id for incident in listed], now)
        tx.put_record(RecordRow("link", row.id, link_lookup(token), encode(link), now, now + LINK_LIFE))
        tx.put_meta(listed_key(row.recipient), encode(link.incidents))
        ack_url = f"{public_url}/a/{token}"
    contexts = [
        context_of(incident, directory, public_url, now)
        for incident in sorted(listed, key=lambda one: one.severity)
    ]
    first = contexts[0]
    data = {
        "incidents": [msgspec.to_builtins(context) for context in contexts],
        "reason": body.get("reason", ""),
        "person": row.recipient,
    }
    if row.effect == "page":
        words = texts.page(contexts, zone=zone, ack_url=ack_url)
    else:
        words = texts.notice(first, str(body.get("text", "")), str(body.get("reason", "")), zone=zone)
    return Message(
        row.key, row.address, words.title, words.text, words.short, row.urgency, row.effect, ack_url, first.url, words.html,
        listed[0].id, row.id, "trigger", data,
    )  # fmt: skip


def about_subject(row: OutboxRow, subject: dict[str, Any], public_url: str) -> Message:
    """A notice about an action item or the policy; of a restricted one it says only that there is something."""
    title, text = str(subject["title"]), str(subject["text"])
    if subject.get("restricted"):
        title = title.partition(":")[0]
        text = f"there is something for you about {title}: sign in to see it"
    url = public_url + str(subject["path"])
    return Message(
        row.key,
        row.address,
        title,
        f"{text}\n\n{url}",
        f"{title}: {text}"[:140],
        row.urgency,
        "notice",
        page_url=url,
        id=row.id,
    )


def context_of(incident: Incident, directory: Directory, public_url: str, now: Instant) -> texts.PageContext:
    """What a page says of one incident; a restricted one shows number, severity and link only."""
    url = f"{public_url}/incidents/{incident.name}"
    if incident.restricted:
        return texts.PageContext(
            number=incident.name,
            severity=incident.severity,
            url=url,
            restricted=True,
            since=incident.opened_at,
        )
    alert = next((one.ref for one in incident.firing), None)
    return texts.PageContext(
        number=incident.name, severity=incident.severity, url=url, title=incident.title, since=incident.opened_at,
        reason=incident.severity_reason, services=[directory.services[s].name if s in directory.services else s for s in incident.services],
        change=incident.change, sender_url=alert.sender_url if alert else "", runbook_url=alert.runbook_url if alert else "",
        dashboard_url=alert.dashboard_url if alert else "", alerts=len(incident.firing), restricted=False,
    )  # fmt: skip


def describe(incident: Incident, now: Instant) -> str:
    """One line for lists and logs."""
    return f"{incident.name} {incident.severity} {incident.title} (open for {humanize(now - incident.opened_at)}, since {to_iso(incident.opened_at)})"


def page_window(last: Instant, now: Instant, every: int = 60 * SECOND) -> Instant:
    """When the person may next be interrupted."""
    return max(now, last + every) if last else now
