"""Seals on a timer, exports that carry head and seals, and the check of both, offline or against the store.

A chain shows that nothing in it was changed; it does not show that its end was cut off or that all of it was written
anew. A seal over the heads does, for everything up to its time, as long as its key stays outside the database. Each
stream that moved since the seal before also gets a small seal of its own, which its exports carry along.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tocsin.engine.work import Work
from tocsin.kernel.clock import DAY, HOUR, Instant, to_iso
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import Unusable
from tocsin.kernel.facts import Fact, Stream, from_stored, verify_chain
from tocsin.kernel.ports import Reader, StreamRow, Transaction
from tocsin.kernel.seal import Seal, check_seal, make_seal, public_key

EVERY = HOUR
FORMAT = 1
KEPT = 48
"""seals over everything that are kept; older ones go"""
KEPT_OF_STREAM = 20


def seal_key(secret: bytes) -> bytes:
    """The secret half of the sealing key: derived from the installation's key file, so it is never in the database."""
    return hmac.new(secret, b"seal", hashlib.sha256).digest()


def sealing_public_key(secret: bytes) -> str:
    """The public half, as hex: write it down outside, so that a seal by another key is noticed."""
    return public_key(seal_key(secret))


def hex_heads(heads: Mapping[str, tuple[int, bytes]]) -> dict[str, tuple[int, str]]:
    """Heads as seals carry them."""
    return {name: (version, bytes(digest).hex()) for name, (version, digest) in heads.items()}


def seal(unit: Work, secret: bytes) -> Seal | None:
    """Seals all heads and arms the next time; None where nothing moved since a seal of the last day."""
    tx, now = unit.tx, unit.now
    heads = hex_heads(tx.heads())
    before = latest(tx)
    tx.set_timer("seal", "heads", now + EVERY)
    if before is not None and before.heads == heads and now - before.at < DAY:
        return None
    key = seal_key(secret)
    made = make_seal(key, now, heads)
    tx.put_meta(f"seal/{now:020}", encode(made))
    known = before.heads if before else {}
    for name, head in heads.items():
        if known.get(name) != head:
            own = [*seals_of(tx, name), make_seal(key, now, {name: head})][-KEPT_OF_STREAM:]
            tx.put_meta(f"sealed/{name}", encode(own))
    for name in sorted(tx.metas("seal/"))[:-KEPT]:
        tx.put_meta(name, None)
    return made


def latest(reader: Reader) -> Seal | None:
    """The last seal over everything."""
    found = reader.metas("seal/")
    return decode(found[max(found)], Seal) if found else None


def seals_of(reader: Reader, name: str) -> list[Seal]:
    """The small seals of one stream (``incident/01J…``), oldest first."""
    body = reader.meta(f"sealed/{name}")
    return decode(body, list[Seal]) if body else []


def export(reader: Reader, row: StreamRow, secret: bytes, now: Instant) -> bytes:
    """One stream as lines of JSON: what it is, its facts as stored, then its head with all seals, a fresh one the last."""
    name = str(row.stream)
    heads = {name: (row.version, bytes(row.head).hex())}
    lines: list[dict[str, Any]] = [
        {"export": FORMAT, "stream": name, "incident": f"{row.series}-{row.number}", "at": to_iso(now)}
    ]
    for fact in reader.facts(row.stream):
        body = bytes(fact.body).decode() if fact.body is not None else None
        lines.append({"header": bytes(fact.header).decode(), "body": body, "hash": bytes(fact.hash).hex()})
    seals = [*seals_of(reader, name), make_seal(seal_key(secret), now, heads)]
    lines.append({"head": heads[name], "seals": [msgspec.to_builtins(one) for one in seals]})
    return b"".join(encode(line) + b"\n" for line in lines)


class Verdict(msgspec.Struct):
    """``flaw``: the first thing that does not fit, or empty. ``facts``: how many fit.

    ``seals``: those that name the stream; the last of them, of ``sealed_at``, covers its facts up to ``sealed_to``. All 0
    without one.
    """

    facts: int
    flaw: str = ""
    until: Instant = 0
    seals: int = 0
    sealed_at: Instant = 0
    sealed_to: int = 0
    key: str = ""


def check_export(data: bytes, what: str, trusted_key: str = "") -> Verdict:
    """Checks an export offline. Raises :class:`Unusable` for what is no export; facts without head and seal are checked
    as a bare chain."""
    facts: list[Fact] = []
    stream = ""
    tail: dict[str, Any] | None = None
    for number, text in enumerate(data.splitlines(), 1):
        try:
            line = decode(text)
            if number == 1 and "export" in line:
                stream = line["stream"]
            elif "seals" in line:
                tail = {"head": line["head"], "seals": msgspec.convert(line["seals"], list[Seal])}
            else:
                body = line["body"].encode() if line["body"] is not None else None
                facts.append(from_stored(line["header"].encode(), body, bytes.fromhex(line["hash"]), number))
        except (msgspec.MsgspecError, KeyError, ValueError, AttributeError, TypeError) as error:
            raise Unusable(
                f"{what}:{number}: this line is no exported fact: {error}", f"{what}:{number}"
            ) from None
    if not facts:
        raise Unusable(
            f"{what} holds no facts: it is no export, or it is empty; export the incident again", what
        )
    kind, _, id = stream.partition("/")
    flaw = verify_chain(facts, Stream(kind, id) if stream else None)
    verdict = Verdict(len(facts), until=facts[-1].recorded_at if facts else 0)
    if flaw is not None:
        verdict.flaw = str(flaw)
    elif stream and tail is None:
        verdict.flaw = f"{stream}: the line with head and seals is missing: the end was cut off"
    elif tail is not None:
        version, digest = tail["head"]
        if (version, digest) != (len(facts), facts[-1].hash.hex() if facts else ""):
            verdict.flaw = f"{stream}: its head names fact {version}, the file ends with fact {len(facts)}"
        else:
            _check_seals(verdict, tail["seals"], stream, facts, trusted_key)
    return verdict


def _check_seals(
    verdict: Verdict, seals: Iterable[Seal], name: str, facts: list[Fact], trusted_key: str
) -> None:
    """Every signature has to hold; a seal that does not name the stream, older than it as a rule, says nothing more of it."""
    for one in seals:
        fault = check_seal(one, trusted_key or None)
        version = 0
        if fault is None and name in one.heads:
            version, digest = one.heads[name]
            if version > len(facts):
                fault = f"{name}: the seal of {to_iso(one.at)} covers fact {version}; facts after {len(facts)} are missing"
            elif version and facts[version - 1].hash.hex() != digest:
                fault = f"{name} fact {version} ({facts[version - 1].id}): it is not the one sealed at {to_iso(one.at)}"
        if fault is not None:
            verdict.flaw = fault
            return
        if name in one.heads:
            verdict.seals, verdict.sealed_at, verdict.key = verdict.seals + 1, one.at, one.public_key
            verdict.sealed_to = version


def check_stream(reader: Reader, row: StreamRow, secret: bytes) -> Verdict:
    """Checks one stream of the store against its chain, its head and every seal that was kept."""
    facts = reader.facts(row.stream)
    verdict = Verdict(len(facts), until=facts[-1].recorded_at if facts else 0)
    flaw = verify_chain(facts, row.stream)
    if flaw is not None:
        verdict.flaw = str(flaw)
    elif not facts or (facts[-1].version, facts[-1].hash) != (row.version, bytes(row.head)):
        verdict.flaw = f"{row.stream}: its head names fact {row.version}, the store has {len(facts)}"
    else:
        name = str(row.stream)
        every = [decode(body, Seal) for body in reader.metas("seal/").values()]
        seals = [*every, *seals_of(reader, name)]
        _check_seals(verdict, sorted(seals, key=lambda one: one.at), name, facts, sealing_public_key(secret))
    return verdict


def missing_streams(reader: Reader) -> list[str]:
    """Streams that the last seal covers and the store no longer has, or has shorter."""
    last = latest(reader)
    if last is None:
        return []
    heads = reader.heads()
    return sorted(
        name for name, (version, _) in last.heads.items() if name not in heads or heads[name][0] < version
    )


def retain(tx: Transaction, now: Instant) -> int:
    """Retention: idempotency keys 7 days, raw requests 30, alerts and deliveries 400, facts for ever; daily."""
    tx.set_timer("retention", "rows", now + DAY)
    return tx.forget_before(
        now, keys=now - 7 * DAY, requests=now - 30 * DAY, alerts=now - 400 * DAY, outbox=now - 400 * DAY
    )


def arm(tx: Transaction, now: Instant) -> None:
    """The periodic timers of an installation, where they do not stand yet."""
    for kind, key, due in (
        ("seal", "heads", now),
        ("retention", "rows", now + HOUR),
        ("gaps", "schedules", now),
    ):
        if tx.timer(kind, key) is None:
            tx.set_timer(kind, key, due)
