"""Rotations: people who take turns, handed over at a wall-clock time that stays put across daylight saving.

A rotation is a function of time alone. Its turn ``k`` begins at the local date of the first hand-off plus ``k`` times
its length, at the same time of day in its zone. A hand-off that falls into the hour that clocks skip happens at the
first instant after it; one in the hour that clocks repeat happens the first time round.
"""

from __future__ import annotations

import msgspec


class Window(msgspec.Struct, frozen=True):
    """Weekly hours, local to the rotation: ``days`` 0 (Monday) to 6, ``start`` and ``end`` as ``HH:MM``.

    An end not after its start lies on the next day; ``24:00`` is midnight at the end of the day.
    """

    days: tuple[int, ...]
    start: str = "00:00"
    end: str = "24:00"


class Rotation(msgspec.Struct, frozen=True):
    """People who take turns.

    ``members`` are person ids in order; ``start`` is the local date and time of the first hand-off
    (``2026-03-02T09:00``) in ``zone``, before which nobody is on call; a turn lasts ``every`` ``unit`` (``days`` or
    ``weeks``). ``restrict`` limits the rotation to weekly hours; empty: round the clock.
    """

    id: str
    members: tuple[str, ...]
    start: str
    zone: str = "UTC"
    every: int = 1
    unit: str = "weeks"
    restrict: tuple[Window, ...] = ()
    name: str = ""
