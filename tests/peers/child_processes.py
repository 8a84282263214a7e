"""Programs run as children of a test: started, waited for, their output kept, and gone when the test is over."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

LOOPBACK = "127.0.0.1"
LINK = re.compile(r"https?://[^\s\"'<>│]+")
TOKEN = re.compile(r"[A-Za-z0-9_-]{16,}")
NO_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""a proxy in the environment has no business between two programs on the loopback"""


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 20.0, pause: float = 0.05) -> None:
    """Waits for what another process does, which no clock of ours can hasten; raises AssertionError naming ``what``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds:g} s still not: {what}")
        time.sleep(pause)


def get(url: str, seconds: float = 5.0, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and body of a GET; redirects are followed. Status 0: nobody answered."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    try:
        with NO_PROXY.open(request, timeout=seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0, b""


class Child:
    """One program. ``output`` is everything it has written so far, both streams together."""

    def __init__(
        self, name: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._lines: list[str] = []
        self._process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env=dict(env) if env is not None else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line)

    @property
    def output(self) -> str:
        return "".join(self._lines)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, url: str, seconds: float = 30.0) -> None:
        """Waits until ``url`` answers 200; a program that ends before that fails at once, with what it wrote."""

        def ready() -> bool:
            if not self.running:
                self._reader.join(2)
                raise AssertionError(
                    f"{self.name} ended with {self._process.returncode} before {url} answered:\n{self.output}"
                )
            return get(url, 2.0)[0] == 200

        try:
            wait_until(ready, f"{self.name} answers {url}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\nwhat it wrote:\n{self.output}") from None

    def wait(self, seconds: float = 30.0) -> int:
        """Waits for it to end by itself; the exit code."""
        code = self._process.wait(seconds)
        self._close()
        return code

    def stop(self, seconds: float = 15.0) -> int:
        """Asks it to end (SIGTERM) and answers with the exit code; one that does not go is killed, and that is a failure."""
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"{self.name} was still there {seconds:g} s after SIGTERM:\n{self.output}"
            ) from None

    def kill(self) -> None:
        """SIGKILL: no chance to tidy up, as with a power cut."""
        if self.running:
            self._process.kill()
        self.wait()

    def _close(self) -> None:
        self._reader.join(5)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()


class TocsinProcess:
    """A Tocsin server of its own on a free port of the loopback: ``url``, ``data`` (its folder), ``sign_in_url``.

    ``options`` are further flags of ``serve``; ``settings`` further ``TOCSIN_*`` variables. The machine's own
    ``TOCSIN_*`` variables and any ``tocsin.toml`` of the working folder stay outside.
    """

    def __init__(
        self,
        data: Path,
        *,
        program: Sequence[str] = (sys.executable, "-m", "tocsin.cli"),
        options: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
    ) -> None:
        self.data = data
        self.port = port or free_port()
        self.url = f"http://{LOOPBACK}:{self.port}"
        self._command = [*program, "serve", "--data", str(data), "--port", str(self.port), *options]
        self._env = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        # one long line for each thing it says: a link that a terminal would break must come through whole
        self._env |= {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "COLUMNS": "400"} | dict(settings or {})
        self._child: Child | None = None
        self._said_before = ""

    def start(self, seconds: float = 60.0) -> Self:
        """Starts it and waits for ``/readyz``; raises AssertionError with its output if that never comes."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        self._child = Child("tocsin", self._command, cwd=self.data.parent, env=self._env)
        try:
            self._child.wait_ready(f"{self.url}/readyz", seconds)
        except AssertionError:
            self._child.kill()
            raise
        return self

    @property
    def child(self) -> Child:
        if self._child is None:
            raise AssertionError("this Tocsin was never started")
        return self._child

    @property
    def output(self) -> str:
        """All it has written, of starts before a restart too."""
        return self._said_before + (self._child.output if self._child else "")

    @property
    def sign_in_url(self) -> str:
        """The owner's one-time link, printed at the first start, or left in a file of the data folder under a manager."""
        found: list[str] = []

        def seen() -> bool:
            found[:] = self._links()
            return bool(found)

        try:
            wait_until(seen, "a link to sign in", 10)
        except AssertionError as error:
            raise AssertionError(f"{error}; it wrote:\n{self.output}") from None
        return found[0]

    @property
    def token(self) -> str:
        """The API token it printed at its first start."""
        return self._said("API token")

    @property
    def integration_key(self) -> str:
        """The Events v2 routing key it printed at its first start."""
        return self._said("Events v2 routing key")

    def _said(self, what: str) -> str:
        """The word after ``what:`` in its output."""
        wait_until(lambda: f"{what}: " in self.output, f"the server prints its {what}", 10)
        return self.output.split(f"{what}: ", 1)[1].split()[0]

    def _links(self) -> list[str]:
        """Links with something as long as a token after the host, printed ones before those in private files."""
        texts = [self.output]
        if self.data.is_dir():
            private = [path for path in self.data.iterdir() if path.is_file() and path.stat().st_size < 2_000]
            texts += [path.read_text("utf-8", "replace") for path in sorted(private)]
        links = [match.rstrip(".,;)") for text in texts for match in LINK.findall(text)]
        return [link for link in links if TOKEN.search(link.split("//", 1)[1].partition("/")[2])]

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, bytes]:
        """Status and body of a GET of one of its addresses."""
        return get(self.url + path, 10.0, headers)

    def stop(self) -> int:
        """Ends it in good order and answers with the exit code."""
        return self.child.stop()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self.child.kill()

    def restart(self) -> None:
        """Starts it again on the same folder and port; stop or kill it first."""
        if self.child.running:
            raise AssertionError("stop or kill this Tocsin before it is started again")
        self._said_before = self.output
        self.start()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child is not None and self._child.running:
            if error is None:
                self.stop()
            else:
                self.kill()
