"""The log: one line for each event, secrets masked, tracebacks as Python writes them.

Left to itself structlog prints the values of every variable beside a traceback where rich is installed: the token of a
provider, a page's link, somebody's number.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog

from tocsin.kernel.redact import mask


def masked(logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Every text of an event, a traceback included, with what looks like a secret masked."""
    return {name: mask(value) if isinstance(value, str) else value for name, value in event.items()}


def configure_log() -> None:
    """Sets the log up for this process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.StackInfoRenderer(),
            structlog.dev.set_exc_info,
            structlog.processors.format_exc_info,
            masked,
            structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )
