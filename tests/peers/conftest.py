"""Real peers as fixtures. Those named ``start_…`` are functions: a test says to whom its peer shall send."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import real_peers
from child_processes import TocsinProcess


@pytest.fixture
def mail_server() -> Iterator[real_peers.MailServer]:
    """A real SMTP server on the loopback."""
    with real_peers.mail_server() as server:
        yield server


@pytest.fixture
def hooks() -> Iterator[real_peers.Hooks]:
    """An HTTP server that keeps what is posted to it."""
    with real_peers.hook_collector() as collector:
        yield collector


@pytest.fixture
def start_prometheus(tmp_path: Path) -> Iterator[Callable[..., real_peers.Prometheus]]:
    """``start_prometheus([url, …], key="")``: see :func:`real_peers.prometheus`."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(
            real_peers.prometheus(tmp_path / "prometheus", *args, **options)
        )


@pytest.fixture
def start_alertmanager(tmp_path: Path) -> Iterator[Callable[..., real_peers.Alertmanager]]:
    """``start_alertmanager(webhook, key="", group_by=())``: see :func:`real_peers.alertmanager`."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(
            real_peers.alertmanager(tmp_path / "alertmanager", *args, **options)
        )


@pytest.fixture
def start_tocsin(tmp_path: Path) -> Iterator[Callable[..., TocsinProcess]]:
    """``start_tocsin(options=["--demo"], settings={…}, name="tocsin")``: a server on a folder of its own, ready."""
    with ExitStack() as stack:

        def start(name: str = "tocsin", **how: Any) -> TocsinProcess:
            return stack.enter_context(TocsinProcess(tmp_path / name, **how))

        yield start


@pytest.fixture
def tocsin_process(start_tocsin: Callable[..., TocsinProcess]) -> TocsinProcess:
    """One plain server: ``url``, ``sign_in_url``, ``stop()``, ``kill()``, ``restart()``."""
    return start_tocsin()
