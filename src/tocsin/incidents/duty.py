"""One promise, as plain data."""

from __future__ import annotations

import msgspec

from tocsin.kernel.clock import Instant


class Duty(msgspec.Struct, frozen=True):
    """One promise. ``id`` changes when the duty restarts, so that a recorded miss stands for ever.

    ``rule``: what kind of promise (acknowledge, respond, assess, update, stand_up, post_mortem …). ``owner``: a role or a
    position; ``met_at``: 0 while owed. ``chase_from``: nobody is
    reminded before. ``waived``: the reason, where somebody who may waived it.
    """

    id: str
    rule: str
    owner: str
    start: Instant
    due: Instant
    how: str
    met_at: Instant = 0
    chase_from: Instant = 0
    waived: str = ""
    missed_at: Instant = 0
    """when its miss was recorded; nothing that happens later takes that back"""
    moot: bool = False
    """it ended with the incident before anybody met it; ``met_at`` is then the resolution"""
    by_system: bool = False
    """Tocsin owes it itself: nobody is chased, but a miss is a miss"""
