"""Schedules: layers of rotations, a secondary, overrides. ``who`` answers for an instant, ``shifts`` for a stretch.

Nothing here knows who is on leave: a person on the schedule is on call; the directory decides whether to page them.
"""

from __future__ import annotations

import msgspec

from tocsin.kernel.clock import Instant
from tocsin.oncall.rotations import Rotation

POSITIONS = ("primary", "secondary")


class Schedule(msgspec.Struct, frozen=True):
    """Who answers, by time.

    ``rotations`` are layers: where a later one covers an instant, it wins. The secondary comes from the rotations of
    ``secondary`` where there are any, otherwise it is the member ``secondary_offset`` places further on in the same
    rotation; 0 means that there is no secondary. ``zone`` is for showing; each rotation has its own.
    """

    id: str
    name: str
    rotations: tuple[Rotation, ...] = ()
    zone: str = "UTC"
    secondary: tuple[Rotation, ...] = ()
    secondary_offset: int = 1


class Override(msgspec.Struct, frozen=True):
    """``person`` is on call from ``start`` until ``end`` (instants), whatever the rotations say; the last added wins.

    ``replaces``: only where that person would be on call otherwise; empty: always. ``by`` is the principal who made it.
    """

    id: str
    schedule: str
    start: Instant
    end: Instant
    person: str
    replaces: str = ""
    by: str = ""
    reason: str = ""
    position: str = "primary"


class Leave(msgspec.Struct, frozen=True):
    """``person`` is away from ``start`` until ``end`` (instants)."""

    person: str
    start: Instant
    end: Instant
    reason: str = ""
    id: str = ""


class OnCall(msgspec.Struct, frozen=True):
    """The answer for an instant: ``person`` (None: nobody) holds the position from ``since`` until ``until``.

    None for ``since`` or ``until`` means without end on that side. ``reason`` says why, ``source`` is
    ``rotation:ID``, ``override:ID`` or empty.
    """

    person: str | None
    since: Instant | None
    until: Instant | None
    reason: str
    source: str = ""


class Shift(msgspec.Struct, frozen=True):
    """A stretch of time with one answer; ``person`` is None where nobody is on call."""

    start: Instant
    end: Instant
    person: str | None
    reason: str
    source: str = ""


class Gap(msgspec.Struct, frozen=True):
    """A stretch of time without anybody who could answer, and why."""

    start: Instant
    end: Instant
    position: str
    reason: str
