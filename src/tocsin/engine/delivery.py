"""What leaves: rows of the outbox become messages at the last moment, one for each person and address.

A page is composed when it leaves, so that it lists everything its person has not acknowledged, and nothing that has
cleared meanwhile. What one person is told at the same time travels in one message, with the page where there is one. Drills
and what is real never share a message. A row that cannot be composed is reported and holds up no other.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Container, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec

from tocsin.alerts.shape import clip, one_line
from tocsin.catalogue.services import Service
from tocsin.engine.waiting import Order, Seen, Unanswered, Waiting
from tocsin.engine.work import read_incident
from tocsin.incidents import facts as f
from tocsin.incidents.directory import Directory
from tocsin.incidents.incident import OWED, Incident
from tocsin.kernel.clock import DAY, Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.facts import Stream
from tocsin.kernel.ports import Message, OutboxRow, Reader, RecordRow, StreamRow, Transaction
from tocsin.kernel.redact import mask
from tocsin.notify import texts

LINK_LIFE = 400 * DAY
"""upper bound of a link's record; whether it still serves is decided by its incidents"""
ACTIONS = {"acknowledged": "acknowledge", "ended": "resolve"}
"""what a notice of that kind means to a receiver that keeps a state of its own"""
NEVER = 2**62
LISTED = 25
"""what a page lists beside the incidents that it is sent for, the most severe; the others are listed once these are taken"""


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

    @property
    def rows(self) -> list[OutboxRow]:
        return [self.row, *self.joined]


class Composed(msgspec.Struct):
    """What became of leased rows. ``faults``: rows that could not be composed, with the reason. ``put_back``: messages for which
    their channels had no room.
    """

    parcels: list[Parcel] = []
    put_back: int = 0
    faults: list[tuple[OutboxRow, Exception]] = []
    noted: dict[str, bytes] = {}
    """named values that go with the messages"""


def listed_key(person: str) -> str:
    """Where it is kept what a person's last page listed, for an answer that has no link to name it."""
    return f"listed/{person}"


def link_token(secret: bytes, mark: str) -> str:
    """The token of a page's link, not stored in clear anywhere. ``mark``: its row and what it lists.

    The same for each attempt that lists the same; one that lists something else has a link of its own, so that each link
    serves what its own page showed.
    """
    return hmac.new(secret, b"page link " + mark.encode(), hashlib.sha256).hexdigest()[:40]


def _digest(names: Iterable[str]) -> str:
    """A short mark of a set of names."""
    return hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:16]


def link_lookup(token: str) -> str:
    """How a link is found again; the token itself is not kept."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def compose(
    tx: Transaction, rows: list[OutboxRow], directory: Directory, now: Instant, *, secret: bytes, public_url: str, token: str,
    soon: Instant, seen: Seen, unanswered: Unanswered,
) -> Composed:  # fmt: skip
    """Messages for leased rows; what is moot is withdrawn here.

    A page lists what waits to leave until ``soon``, and not what waits for the working hours of its severity.
    """
    composer = Composer(tx, directory, now, secret, public_url, soon, seen, unanswered)
    composer.look_up(rows)
    done = Composed()
    together: dict[tuple[str, ...], list[OutboxRow]] = {}
    for row in rows:
        try:
            moot = composer.moot(row)
            key = composer.together(row)
        except Exception as error:  # noqa: BLE001  # one stream that cannot be read must not hold up the others
            done.faults.append((row, error))
            continue
        if moot:
            tx.complete_outbox(row.id, token, "withdrawn", now, moot)
        else:
            together.setdefault(key, []).append(row)
    composer.expect(
        group[0].recipient for group in together.values() if any(one.effect == "page" for one in group)
    )
    for group in together.values():
        _compose_group(composer, group, done)
    tx.put_records(composer.links)
    done.noted = composer.listed
    return done


def _compose_group(composer: Composer, group: list[OutboxRow], done: Composed) -> None:
    """One message of a group; where it cannot be made, one for each of its rows that can."""
    try:
        done.parcels.append(composer.parcel(group))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with one row, the others go out
        if len(group) == 1:
            done.faults.append((group[0], error))
            return
        for row in group:
            _compose_group(composer, [row], done)


class Brief(msgspec.Struct, frozen=True):
    """What messages say of an incident and go by. The incident itself is let go: it may have thousands of alerts, and a step be
    about dozens.
    """

    id: str
    order: Order
    drill: bool
    open: bool
    runs: dict[str, str]
    """escalation → its state"""
    context: texts.PageContext


class Composer:
    """Reads each incident once for all the messages of a step."""

    def __init__(
        self, tx: Transaction, directory: Directory, now: Instant, secret: bytes, public_url: str, soon: Instant, seen: Seen,
        unanswered: Unanswered,
    ) -> None:  # fmt: skip
        self.tx, self.directory, self.now, self.seen = tx, directory, now, seen
        self.secret, self.public_url, self.soon = secret, public_url, soon
        self.links: list[RecordRow] = []
        """of the pages that were made"""
        self.listed: dict[str, bytes] = {}
        """what they list, by the key under which that is kept"""
        self._listed_before: dict[str, bytes] = {}
        self._heads: dict[str, tuple[int, bytes]] = {}
        self._loaded: dict[str, Brief | None] = {}
        self._bodies: dict[str, dict[str, Any]] = {}
        self._unanswered, self._followed = unanswered, False

    def expect(self, people: Iterable[str]) -> None:
        """Reads what the last pages of ``people`` listed."""
        self._listed_before = self.tx.metas_named({listed_key(person) for person in people})

    def look_up(self, rows: Sequence[OutboxRow]) -> None:
        """Looks up how far the incidents are that ``rows`` are about, so that those that are known are not read again."""
        scopes = [row.scope.partition("/") for row in rows]
        self._heads = self.tx.heads_of("incident", {id for kind, _, id in scopes if kind == "incident"})

    def body(self, row: OutboxRow) -> dict[str, Any]:
        """What a row carries."""
        if row.id not in self._bodies:
            self._bodies[row.id] = decode(row.payload)
        return self._bodies[row.id]

    def incident(self, row: OutboxRow) -> Brief | None:
        """The incident that a row is about, or None where there is none; raises where it cannot be read."""
        id = self.body(row).get("incident", "")
        if id not in self._loaded:
            incident = self._read(id) if id else None
            self._loaded[id] = self._brief(incident) if incident is not None else None
        return self._loaded[id]

    def _read(self, id: str) -> Incident | None:
        known = self.seen.at(id, self._heads[id][1]) if id in self._heads else None
        if known is not None:
            return known
        row = self.tx.stream(Stream("incident", id))
        return self.seen.read(self.tx, row) if row else None

    def _brief(self, incident: Incident) -> Brief:
        return Brief(
            incident.id, (incident.severity, incident.opened_at, incident.number, incident.id), incident.drill, incident.open,
            {run.id: run.state for run in incident.runs.values()}, self.context(incident),
        )  # fmt: skip

    def moot(self, row: OutboxRow) -> str:
        """Why a row need not leave any more: nobody waits for the answer, or its person is not there; empty where it must."""
        person = self.directory.people.get(row.recipient)
        if person is not None and not person.active and row.effect != "follow":
            return "deactivated"
        incident = self.incident(row) if row.effect == "page" else None
        if incident is None:
            return ""
        running = incident.runs.get(self.body(row).get("run", ""), "running") == "running"
        return "" if incident.open and running else "nothing left to acknowledge"

    def together(self, row: OutboxRow) -> tuple[str, ...]:
        """What a row shares a message by."""
        incident = self.incident(row)
        if row.effect in ("test", "follow") or incident is None:
            return (row.id,)
        return (row.recipient, row.channel, row.address, "drill" if incident.drill else "real")

    def parcel(self, rows: list[OutboxRow]) -> Parcel:
        """The one message of rows that share it; its first page is its row, else its first notice."""
        pages = [row for row in rows if row.effect == "page"]
        main = (pages or rows)[0]
        told = [(row, self.body(row), brief) for row in rows if (brief := self.incident(row)) is not None]
        if not told or main.effect == "test":
            return Parcel(main, self._alone(main))
        if main.effect == "follow":
            return Parcel(main, self._follow(main, *told[0][1:]))
        message = self._page(main, pages, told) if pages else self._notice(main, told)
        if len(rows) > 1:
            # after a crash rows may share a message otherwise: a receiver that drops repeats must not take it for this one
            together = _digest(row.key for row in rows)
            message = msgspec.structs.replace(message, key=f"{main.key}+{together}")
        return Parcel(main, message, [row for row in rows if row is not main])

    def _alone(self, row: OutboxRow) -> Message:
        """A message that is about no incident: an action item, the policy, a test."""
        body = self.body(row)
        if "subject" in body:
            subject = body["subject"] | {"restricted": self._restricted(row, body["subject"])}
            return about_subject(row, subject, self.public_url)
        text = str(body.get("text", "This is a test page."))
        return Message(
            row.key, row.address, "Test page from Tocsin", text, text, row.urgency, "test", id=row.id
        )

    def _restricted(self, row: OutboxRow, subject: dict[str, Any]) -> bool:
        """Whether what it is about is restricted by now, whatever it was when the message was written."""
        kind, _, id = row.scope.partition("/")
        stream = self.tx.stream(Stream(kind, id))
        return bool(subject.get("restricted")) or (stream is not None and stream.restricted)

    def _page(
        self, main: OutboxRow, pages: list[OutboxRow], told: list[tuple[OutboxRow, dict[str, Any], Brief]]
    ) -> Message:
        """Lists all that its person has not acknowledged; the link serves exactly that."""
        person = main.recipient
        ids = {row.id for row in pages}
        own = {one.id: one for row, _, one in told if row.id in ids}
        drill = next(iter(own.values())).drill
        listed = [(one.order, one.context) for one in own.values()]
        listed += islice(self.unanswered(person, drill, own), LISTED)
        listed.sort(key=lambda one: one[0])
        incidents = [order[3] for order, _ in listed]
        contexts = [context for _, context in listed]
        also = [self._as_notice(body, one) for row, body, one in told if row.id not in ids]
        mark = f"{main.id}-{_digest(incidents)}"
        token = link_token(self.secret, mark)
        ack_url = f"{self.public_url}/a/{token}"
        words = texts.page(contexts, zone=self._zone(person), ack_url=ack_url, also=also)
        link = Link(person, incidents, self.now)
        urgency = min(row.urgency for row, _, _ in told)
        message = self._message(main, words, "page", urgency, contexts, "", incidents[0], ack_url)
        ends = self.now + LINK_LIFE
        self.links.append(RecordRow("link", mark, link_lookup(token), encode(link), self.now, ends))
        self.listed[listed_key(person)] = encode(link.incidents)
        return message

    def _notice(
        self, main: OutboxRow, told: list[tuple[OutboxRow, dict[str, Any], Brief]]
    ) -> Message:  # fmt: skip
        notices = [self._as_notice(body, one) for _, body, one in told]
        words = texts.notices(notices, zone=self._zone(main.recipient))
        notices.sort(key=lambda one: one.context.order)
        contexts = list({one.context.number: one.context for one in notices}.values())
        reason = "; ".join(
            dict.fromkeys(one.reason for one in notices if one.reason and not one.context.restricted)
        )
        thread = next(one.id for _, _, one in told if one.context.number == contexts[0].number)
        urgency = min(row.urgency for row, _, _ in told)
        message = self._message(main, words, main.effect, urgency, contexts, reason, thread, "")
        about = {str(body.get("notice", "")).partition(":")[0] for _, body, _ in told}
        if about <= set(ACTIONS) and len(about) == 1:
            return msgspec.structs.replace(message, action=ACTIONS[about.pop()])
        return message

    def _follow(self, row: OutboxRow, body: dict[str, Any], incident: Brief) -> Message:
        """What a receiver that keeps a state is told of a page it got: that somebody has it, or that it is over."""
        context, action = incident.context, str(body["action"])
        text = f"{context.head}: {'somebody has it' if action == 'acknowledge' else 'it is over'}"
        return Message(
            row.key, row.address, context.head, text, text, row.urgency, "follow", page_url=context.url, thread=incident.id, id=row.id,
            action=action,
        )  # fmt: skip

    def _as_notice(self, body: dict[str, Any], incident: Brief) -> texts.Notice:
        owed = str(body.get("notice", "")).startswith(OWED)
        said, reason = str(body.get("text", "")), str(body.get("reason", ""))
        return texts.Notice(incident.context, said, reason, owed)

    def _message(
        self, main: OutboxRow, words: texts.Words, kind: str, urgency: int, contexts: list[texts.PageContext], reason: str, thread: str,
        ack_url: str,
    ) -> Message:  # fmt: skip
        data = {
            "incidents": [msgspec.to_builtins(context) for context in contexts], "reason": reason, "person": main.recipient,
            "channel": main.channel, "drill": contexts[0].drill,
        }  # fmt: skip
        return Message(
            main.key, main.address, words.title, words.text, words.short, urgency, kind, ack_url, contexts[0].url, words.html, thread,
            main.id, "trigger", data,
        )  # fmt: skip

    def unanswered(
        self, person: str, drill: bool, besides: Container[str]
    ) -> Iterator[tuple[Order, texts.PageContext]]:
        """Open incidents, the worst first, with an escalation that runs and has paged the person. One that cannot be read is
        left out.
        """
        waiting = self._unanswered
        if not self._followed:
            waiting.follow(self.tx, self._readable, self.seen)
            self._followed = True
        key = listed_key(person)
        body = self.listed.get(key) or self._listed_before.get(key)
        before = frozenset(decode(body, list[str]) if body else ())
        for id in before:
            if waiting.known(id) is None:
                waiting.look(self.tx, id, self._readable)
        for one in waiting.of(person):
            if one.drill != drill or one.id in besides or not (one.id in before or self._leaves(one, person)):
                continue
            if (context := self._said_of(one)) is not None:
                yield one.order, context

    def _leaves(self, waiting: Waiting, person: str) -> bool:
        """Whether a page for it went to the person, or goes soon."""
        if person not in waiting.left:
            moments = [
                0 if row.state != "waiting" else row.not_before
                for row in self.tx.outbox_of(f"incident/{waiting.id}")
                if row.recipient == person and row.effect == "page"
            ]
            waiting.left[person] = min(moments, default=NEVER)
        return waiting.left[person] <= self.soon

    def _said_of(self, waiting: Waiting) -> texts.PageContext | None:
        if waiting.about is None or waiting.about[0] is not self.directory:
            row = self.tx.stream(Stream("incident", waiting.id))
            incident = self._readable(row) if row is not None else None
            if incident is None:
                return None
            waiting.about = (self.directory, self.context(incident))
        return waiting.about[1]

    def _readable(self, row: StreamRow) -> Incident | None:
        try:
            return self.seen.read(self.tx, row)
        except Exception:  # noqa: BLE001  # its own timer says what is wrong with it
            return None

    def _zone(self, person: str) -> str:
        known = self.directory.people.get(person)
        return known.zone if known else "UTC"

    def context(self, incident: Incident) -> texts.PageContext:
        return context_of(incident, self.directory, self.public_url, self.now)


def readable(reader: Reader, row: StreamRow) -> Incident | None:
    """An incident, or None where it cannot be read: a newer version wrote it, or it is damaged."""
    try:
        return read_incident(reader, row)
    except Exception:  # noqa: BLE001  # lists show the others; its own timer says what is wrong with it
        return None


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
    """What a page says of one incident; a restricted one shows number, severity and link only.

    Where the alert names no runbook or dashboard, those of the services in the catalogue stand in.
    """
    url = f"{public_url}/incidents/{incident.name}"
    if incident.restricted:
        return texts.PageContext(
            number=incident.name, severity=incident.severity, url=url, restricted=True, since=incident.opened_at, drill=incident.drill
        )  # fmt: skip
    alert, firing = speaking(incident), len(incident.firing)
    over = (
        alert is not None
        and alert.summary[:300] != incident.title
        and any(one.ref.summary[:300] == incident.title for one in incident.alerts.values())
    )
    services = [one for id in incident.services if (one := directory.services.get(id)) is not None]
    runbook = (alert.runbook_url if alert else "") or next(
        (one.runbook_url for one in services if one.runbook_url), ""
    )
    dashboards = [alert.dashboard_url] if alert and alert.dashboard_url else _dashboards(services)
    return texts.PageContext(
        number=incident.name, severity=incident.severity, url=url, title=incident.title, since=incident.opened_at,
        reason=incident.severity_reason, services=[directory.services[s].name if s in directory.services else s for s in incident.services],
        change=incident.change, sender_url=alert.sender_url if alert else "", runbook_url=runbook,
        dashboard_url=next(iter(dashboards), ""), alerts=firing, dashboards=dashboards, drill=incident.drill,
        fires=alert.summary[:300] if alert is not None and over else "",
        summary=clip(mask(one_line(incident.summary[: 4 * texts.SUMMARY_LENGTH])), texts.SUMMARY_LENGTH),
    )  # fmt: skip


def speaking(incident: Incident) -> f.AlertRef | None:
    """The alert that speaks for an incident: the one that gave its title while that fires, else the worst that fires, of several
    the one that came last.
    """
    firing = incident.firing_refs
    return next(
        (ref for ref in firing if ref.summary[:300] == incident.title),
        min(firing, key=lambda ref: (ref.proposed or "P9", -ref.received_at), default=None),
    )


def _dashboards(services: Iterable[Service]) -> list[str]:
    return list(dict.fromkeys(link.url for service in services for link in service.dashboards))
