"""What breaks in tests: a stream that a newer version wrote, channels that take nothing."""

from __future__ import annotations

import msgspec

from tocsin.engine.work import find_row
from tocsin.kernel.codec import canonical
from tocsin.kernel.errors import DeliveryFailed
from tocsin.kernel.facts import SYSTEM, Draft, chain
from tocsin.kernel.randomness import ulid


def written_by_a_newer_version(world, name="INC-1"):
    """A fact of a type that this version does not know, and a snapshot of a newer fold."""

    def work(tx):
        row, now = find_row(tx, name), world.clock.now()
        facts = chain(
            row.stream, [Draft("quantum_leap", canonical({"x": 1}), now)], version=row.version, previous=row.head, actor=SYSTEM,
            command_id="c", now=now, ids=[ulid(world.engine.randomness, now)],
        )  # fmt: skip
        tx.append(facts)
        tx.put_stream(
            msgspec.structs.replace(
                row, version=facts[-1].version, head=facts[-1].hash, fold=99, snapshot=b"{}"
            )
        )

    world.store.write(work)


class Broken:
    """A channel that takes nothing: for good, or for now."""

    wakes = True

    def __init__(self, name="console", *, permanent=False):
        self.name, self.permanent, self.tried = name, permanent, 0

    def deliver(self, message):
        self.tried += 1
        raise DeliveryFailed(f"{self.name}: nothing goes through", permanent=self.permanent)
