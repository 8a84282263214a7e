"""What a change of live records is made with: the transaction, who asks, and the small things that handlers share."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec

from tocsin.engine.journal import Written
from tocsin.engine.kinds import KINDS
from tocsin.engine.work import Work
from tocsin.identity.authorize import authorize
from tocsin.identity.principals import About, Principal
from tocsin.incidents.directory import Directory
from tocsin.incidents.organisation import record_of
from tocsin.kernel.clock import Instant
from tocsin.kernel.codec import decode, encode
from tocsin.kernel.errors import Forbidden, NotFound, Refused, Unusable
from tocsin.kernel.facts import Actor
from tocsin.kernel.ports import RecordRow, Transaction
from tocsin.kernel.randomness import Randomness, ulid
from tocsin.policy.model import Policy

Answer = dict[str, Any]
T = TypeVar("T")

MAX_NAME = 120
JOURNALED = frozenset({"route", "integration", "report_key"})
"""records beside the organisation's of which the journal tells what changed; of keys and tokens it tells only that"""
ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,62}")


class Desk(msgspec.Struct):
    """One change at work. ``channels``: kinds of contact this installation can deliver to. ``prepared``: what was computed
    before the transaction (a password's hash takes too long to hold it)."""

    tx: Transaction
    principal: Principal
    now: Instant
    directory: Directory
    randomness: Randomness
    secret: bytes
    public_url: str
    channels: frozenset[str]
    policy_of: Callable[[Any, str], tuple[Policy, str]]
    prepared: str = ""
    touched: set[str] = set()
    written: list[Written] = []
    """what the change wrote and removed, for the journal"""

    def new_id(self) -> str:
        """A fresh ULID of this moment."""
        return ulid(self.randomness, self.now)

    def work(self, via: str = "web") -> Work:
        """A unit of work on incidents, in the same transaction."""
        return Work(
            self.tx, now=self.now, actor=Actor(self.principal.id, via), command_id=self.new_id(), directory=self.directory,
            policy_of=self.policy_of, randomness=self.randomness, kinds=KINDS,
        )  # fmt: skip

    def put(self, value: msgspec.Struct) -> None:
        """Stores a record of the organisation."""
        row = record_of(value, self.now)
        self._note(row.kind, row.id, row.body)
        self.tx.put_record(row)
        self.touched.add(row.kind)

    def remove(self, kind: str, id: str) -> None:
        """Removes a record that is there; raises :class:`NotFound` where it is not."""
        self._note(kind, id, None)
        if not self.tx.delete_record(kind, id):
            raise NotFound(f"there is no {kind.replace('_', ' ')} {id[:60]}")
        self.touched.add(kind)

    def stored(self, kind: str, id: str, type_: type[T]) -> T:
        """A record of any kind; raises :class:`NotFound`."""
        row = self.tx.record(kind, id)
        if row is None:
            raise NotFound(f"there is no {kind.replace('_', ' ')} {id[:60]}")
        return decode(row.body, type_)

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        """The records of a kind as they are stored."""
        return [decode(row.body) for row in self.tx.records(kind)]

    def keep(self, kind: str, id: str, lookup: str, value: msgspec.Struct, expires: Instant = 0) -> None:
        """Stores a record that is none of the organisation's."""
        row = RecordRow(kind, id, lookup, encode(value), self.now, expires)
        if kind in JOURNALED:
            self._note(kind, id, row.body)
        self.tx.put_record(row)

    def _note(self, kind: str, id: str, after: bytes | None) -> None:
        before = self.tx.record(kind, id)
        self.written.append(Written(kind, id, before.body if before else None, after))

    def allow(self, verb: str) -> None:
        """Raises :class:`Forbidden` with who may."""
        rotation = self.directory.resolve("incident_commander", self.now).people
        decision = authorize(self.principal, verb, About(rotation_commander=rotation[0] if rotation else ""))
        if not decision.allowed:
            raise Forbidden(f"{decision.reason}")

    def allow_for(self, person: str, own: str, others: str) -> None:
        """Everybody may do it for themselves by ``own``; for others ``others`` is needed."""
        self.allow(own if self.principal.person == person else others)


# small things that handlers share


def name_of(text: str, where: str = "name") -> str:
    """A name a person gave: not empty, one line, not endless."""
    shown = " ".join(text.split())
    if not shown:
        raise Unusable(f"the {where} is empty", where)
    if len(shown) > MAX_NAME or not shown.isprintable():
        raise Unusable(
            f"the {where} is longer than {MAX_NAME} characters or holds a control character", where
        )
    return shown


def text_of(text: str, where: str, most: int = 500) -> str:
    """A short text, possibly empty."""
    if len(text) > most or "\x00" in text:
        raise Unusable(f"{where} is longer than {most} characters or has a NUL character; shorten it", where)
    return text.strip()


def check_id(id: str) -> str:
    """An id as people choose one; raises :class:`Unusable`."""
    if not ID.fullmatch(id):
        raise Unusable(
            f"{id[:60]!r} is no id: use up to 63 lowercase letters, digits, dots, - and _, a letter or digit first",
            "id",
        )
    return id


def slug(name: str, taken: Iterable[str]) -> str:
    """An id made of a name, with a number where it is taken; never ``new``, which is where a page makes one."""
    base = re.sub(r"[^a-z0-9]+", "-", name.casefold()).strip("-")[:50] or "one"
    known, id, number = {"new", *taken}, base, 1
    while id in known:
        number += 1
        id = f"{base}-{number}"
    return id


def known(ids: Iterable[str], where: Any, what: str) -> list[str]:
    """Ids that all exist in ``where``; raises :class:`Unusable` with the first that does not."""
    found = [one for one in ids if one]
    for one in found:
        if one not in where:
            raise Unusable(
                f"there is no {what} {one[:60]!r}; known: {', '.join(list(where)[:20]) or 'none'}", what
            )
    return found


def code_hash(secret: bytes, person: str, contact: str, code: str) -> str:
    """What is kept of a contact's code: a stolen database alone confirms nothing."""
    text = f"contact code\x00{person}\x00{contact}\x00{code}".encode(errors="surrogatepass")
    return hmac.new(secret, text, hashlib.sha256).hexdigest()


def require(condition: bool, sentence: str) -> None:
    """Raises :class:`Refused` with ``sentence`` unless ``condition``."""
    if not condition:
        raise Refused(sentence)
