"""The whole of what can be asked of, and written in, one transaction."""

from __future__ import annotations

from tocsin.store.alerts import AlertReading, AlertWriting
from tocsin.store.facts import FactReading, FactWriting
from tocsin.store.records import RecordReading, RecordWriting
from tocsin.store.sql import Session
from tocsin.store.timers import TimerReading, TimerWriting


class SqlReader(FactReading, AlertReading, TimerReading, RecordReading):
    """One consistent view: :class:`tocsin.kernel.ports.Reader` on a session."""

    def __init__(self, session: Session) -> None:
        self.session = session


class SqlTransaction(FactWriting, AlertWriting, TimerWriting, RecordWriting):
    """One unit of work: :class:`tocsin.kernel.ports.Transaction` on a session."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.sent = []
        self._groups = {}
