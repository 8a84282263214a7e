"""The PostgreSQL store: many processes, one database.

Works run at REPEATABLE READ: a unit of work decides on one view, and where another one changed a row it writes in the
meantime, PostgreSQL refuses it and it is run again. Positions of facts are given under an advisory lock that is held to
the end of the transaction, so that they become visible in their order. Human numbers come from a connection beside the
transaction: they may have gaps, and two people who declare at once do not wait for each other.

Those who wait for changes are woken by NOTIFY, sent after the commit by a thread of its own: inside the transaction it
would make all commits of the instance wait in line. A look each second covers what gets lost.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from tocsin.kernel.clock import Instant
from tocsin.kernel.errors import Busy, Conflict, TocsinError, Unusable
from tocsin.kernel.ports import Reader, Transaction
from tocsin.kernel.redact import mask
from tocsin.store import revisions
from tocsin.store.listeners import Listeners
from tocsin.store.sql import Params, Row, Statement, check_text, sql, surrogate, too_large
from tocsin.store.transaction import SqlReader, SqlTransaction

try:
    import psycopg
    import psycopg_pool
    from psycopg import errors
except ImportError:  # pragma: no cover - the extra is not installed
    psycopg = None  # type: ignore[assignment]

T = TypeVar("T")
