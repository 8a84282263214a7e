"""Every error Tocsin raises on purpose, one tree. Each message is a sentence: what is wrong, where, what to do.

::

    TocsinError
    ├── Unusable            the input cannot be used as it is                      400
    │   └── UnusableMany    several faults found together (policy files)            400
    ├── Unauthenticated     nobody we know asks                                     401
    ├── Forbidden           who asks may not; the sentence names who may            403
    ├── NotFound            there is no such thing (or none you may see)            404
    ├── Refused             the state does not allow it; names what it allows       409
    │   └── Conflict        somebody else changed it first: read again and retry    409
    ├── KeyReused           one idempotency key, two different requests             422
    ├── Busy                full for now: try again later                           503
    ├── FromTheFuture       written by a newer version of Tocsin                    503
    └── DeliveryFailed      a provider did not take a message (retry or permanent)
"""

from __future__ import annotations

from collections.abc import Sequence


class TocsinError(Exception):
    """The root. ``status`` is the HTTP status the web layer answers with."""

    status = 500

    @property
    def sentence(self) -> str:
        """What to show a person."""
        return str(self.args[0]) if self.args else type(self).__name__


class Unusable(TocsinError):
    """The input cannot be used; ``where`` points into it (a JSON path, a file and line, a field)."""

    status = 400

    def __init__(self, sentence: str, where: str = "") -> None:
        super().__init__(sentence)
        self.where = where


class UnusableMany(Unusable):
    """Several faults found in one reading, so that all can be mended at once."""

    def __init__(self, faults: Sequence[Unusable]) -> None:
        super().__init__(
            "\n".join(
                f"{fault.where}: {fault.sentence}" if fault.where else fault.sentence for fault in faults
            )
        )
        self.faults = tuple(faults)


class Unauthenticated(TocsinError):
    status = 401


class Forbidden(TocsinError):
    status = 403


class NotFound(TocsinError):
    status = 404


class Refused(TocsinError):
    """Not now: ``allowed`` names what the present state does allow."""

    status = 409

    def __init__(self, sentence: str, allowed: Sequence[str] = ()) -> None:
        super().__init__(sentence)
        self.allowed = tuple(allowed)


class Conflict(Refused):
    """The stream moved on since it was read; the engine folds again and retries."""


class KeyReused(TocsinError):
    status = 422


class Busy(TocsinError):
    status = 503

    def __init__(self, sentence: str, retry_after: int = 5) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class FromTheFuture(TocsinError):
    status = 503


class DeliveryFailed(TocsinError):
    """A provider did not take a message.

    ``permanent``: trying again cannot help (unknown number, revoked token), so the person's next channel is used at
    once. ``retry_after``: seconds the provider asked us to wait, where it said so.
    """

    status = 502

    def __init__(self, sentence: str, *, permanent: bool = False, retry_after: int | None = None) -> None:
        super().__init__(sentence)
        self.permanent = permanent
        self.retry_after = retry_after
