"""The envelope of a fact, its hash chain, redaction, and the offline check.

A stream is a sequence of facts numbered from 1. The *header* holds everything but the body, plus the body's SHA-256
digest and the hash of the fact before; ``hash = sha256(header)``. Because the hash covers the digest and not the body,
a body can be dropped (a pasted password, personal data) and the chain still verifies. The stored header bytes are
hashed as they stand, never re-encoded.

Integrity is not completeness: the chain shows that nothing *in* it was changed. That nothing was cut off its end, or
the whole rewritten, is shown by a seal over all heads (:mod:`tocsin.kernel.seal`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

from tocsin.kernel.clock import Instant

GENESIS = bytes(32)
REDACTED = "redacted"
"""the type of the fact that vouches for a stand-in"""
"""What the first fact of a stream names as the hash before it."""


class Stream(msgspec.Struct, frozen=True, order=True):
    """Which stream: its kind (``incident``, ``policy``, ``integration`` …) and its ULID."""

    kind: str
    id: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


class Actor(msgspec.Struct, frozen=True):
    """Who did it: ``principal`` (``person:anna``, ``integration:01J…``, ``tocsin``), by which way, on whose behalf."""

    principal: str
    via: str = "engine"
    on_behalf_of: str = ""


SYSTEM = Actor("tocsin")
"""Tocsin itself: timers, rules and deliveries."""


class Draft(msgspec.Struct):
    """A fact before it is chained: what a command decides.

    ``visibility``: ``internal`` (everybody who may see the stream), ``restricted`` (its named members only) or
    ``public``. ``occurred_at`` may lie in the past (back-dating); ``recorded_at`` is always the time of appending.
    ``body`` is canonical JSON (:func:`tocsin.kernel.codec.canonical`), hashed and stored as it is.
    """

    type: str
    body: bytes
    occurred_at: Instant
    type_version: int = 1
    visibility: str = "internal"


class Fact(msgspec.Struct, frozen=True):
    """A fact as stored. ``body`` is None when it was dropped, and a stand-in where words in it were redacted: then its digest
    is not the header's, and a later fact of type ``redacted`` vouches for it (see :func:`verify_chain`). ``position`` is the place among all facts of the store."""

    stream: Stream
    version: int
    id: str
    type: str
    type_version: int
    occurred_at: Instant
    recorded_at: Instant
    actor: Actor
    command_id: str
    visibility: str
    header: bytes
    body: bytes | None
    hash: bytes
    position: int = 0


class _Header(msgspec.Struct, array_like=True):
    """The header's fields in their stored order; part of the format, append only."""

    format: int
    kind: str
    stream: str
    version: int
    id: str
    type: str
    type_version: int
    occurred_at: int
    recorded_at: int
    principal: str
    via: str
    on_behalf_of: str
    command_id: str
    visibility: str
    body_digest: str
    previous: str


def chain(
    stream: Stream,
    drafts: Sequence[Draft],
    *,
    version: int,
    previous: bytes,
    actor: Actor,
    command_id: str,
    now: Instant,
    ids: Sequence[str],
) -> list[Fact]:
    """Turns drafts into facts that follow ``version`` and ``previous``; ``ids`` has one fact id for each."""
    facts = []
    for draft, fact_id in zip(drafts, ids, strict=True):
        version += 1
        body = draft.body
        header = msgspec.json.encode(
            _Header(
                1, stream.kind, stream.id, version, fact_id, draft.type, draft.type_version, draft.occurred_at, now,
                actor.principal, actor.via, actor.on_behalf_of, command_id, draft.visibility,
                hashlib.sha256(body).hexdigest(), previous.hex(),
            )
        )  # fmt: skip
        previous = hashlib.sha256(header).digest()
        facts.append(
            Fact(
                stream, version, fact_id, draft.type, draft.type_version, draft.occurred_at, now, actor,
                command_id, draft.visibility, header, body, previous,
            )
        )  # fmt: skip
    return facts


def from_stored(header: bytes, body: bytes | None, hash: bytes, position: int) -> Fact:
    """Rebuilds a fact from its stored columns; every envelope field is read from the header that is hashed."""
    head = msgspec.json.decode(header, type=_Header)
    return Fact(
        Stream(head.kind, head.stream), head.version, head.id, head.type, head.type_version, head.occurred_at,
        head.recorded_at, Actor(head.principal, head.via, head.on_behalf_of), head.command_id, head.visibility,
        header, body, hash, position,
    )  # fmt: skip


class Flaw(msgspec.Struct, frozen=True):
    """The first fact that does not fit, and why."""

    stream: str
    version: int
    fact_id: str
    reason: str

    def __str__(self) -> str:
        return f"{self.stream} fact {self.version} ({self.fact_id}): {self.reason}"


def verify_chain(facts: Iterable[Fact], stream: Stream | None = None) -> Flaw | None:
    """Re-computes one stream from its first fact and names the first that does not fit; None when all do.

    A body that does not have the header's digest is the stand-in of a redaction, or was tampered with: it counts as the
    former where a later fact of the chain names the fact and this body's digest.
    """
    previous, expected = GENESIS, 1
    unlike: dict[str, tuple[str, Flaw]] = {}
    for fact in facts:
        name = str(stream or fact.stream)
        try:
            head = msgspec.json.decode(fact.header, type=_Header)
        except msgspec.DecodeError as error:
            return Flaw(name, fact.version, fact.id, f"its header cannot be read: {error}")
        if hashlib.sha256(fact.header).digest() != fact.hash:
            return Flaw(name, fact.version, fact.id, "its header was changed: the hash does not match")
        if head.version != expected:
            return Flaw(
                name,
                head.version,
                head.id,
                f"version {expected} was expected here: a fact is missing or repeated",
            )
        if bytes.fromhex(head.previous) != previous:
            return Flaw(name, head.version, head.id, "it does not follow the fact before it")
        digest = hashlib.sha256(fact.body).hexdigest() if fact.body is not None else head.body_digest
        if digest != head.body_digest:
            reason = "its body was changed: the digest does not match, and no redaction vouches for it"
            unlike[head.id] = (digest, Flaw(name, head.version, head.id, reason))
        elif head.type == REDACTED and fact.body is not None:
            _vouched(unlike, fact.body)
        if stream is not None and (head.kind, head.stream) != (stream.kind, stream.id):
            return Flaw(name, head.version, head.id, f"it belongs to {head.kind}/{head.stream}")
        stream = stream or Stream(head.kind, head.stream)
        previous, expected = fact.hash, expected + 1
    return next((flaw for _, flaw in unlike.values()), None)


def _vouched(unlike: dict[str, tuple[str, Flaw]], body: bytes) -> None:
    """Takes out the fact whose stand-in a redaction names."""
    try:
        redaction = msgspec.json.decode(body, type=_Redaction)
    except msgspec.DecodeError:
        return
    if unlike.get(redaction.fact, ("", None))[0] == redaction.stand_in != "":
        del unlike[redaction.fact]


class _Redaction(msgspec.Struct):
    """What the check reads of a redaction; part of the format."""

    fact: str
    stand_in: str = ""
