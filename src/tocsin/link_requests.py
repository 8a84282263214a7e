"""Sign-in links asked for beside a running server, which has the database to itself: by a file in its data folder.

Whoever asks makes the secret and writes down its hash alone; the server keeps that, and answers by another file. The
server takes files only from its own account and from root, whom the data belongs to anyway.
"""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from tocsin.identity.sessions import secret_id
from tocsin.kernel.errors import Refused, TocsinError, Unusable
from tocsin.kernel.randomness import SystemRandomness, token

log = structlog.get_logger("tocsin.links")

FOLDER = "link-requests"
LARGEST = 4096
POLL = 0.3
"""seconds between two looks of the server"""
PATIENCE = 10.0
"""seconds until whoever asks gives up"""

Keep = Callable[[str, str], str]
"""(person, the secret's hash) → the address that the link begins with; raises :class:`TocsinError`"""


class LinkRequests:
    """The server's side: looks for requests in a thread of its own between :meth:`start` and :meth:`stop`."""

    def __init__(self, folder: Path, keep: Keep) -> None:
        self._folder, self._keep = folder / FOLDER, keep
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tocsin-link-requests", daemon=True)

    def start(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._folder.chmod(0o700)
        for left in (one for kind in ("ask", "answer", "part") for one in self._folder.glob(f"*.{kind}")):
            left.unlink(missing_ok=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(POLL):
            try:
                self.look()
            except OSError as error:
                log.warning("requests for sign-in links cannot be read", why=str(error))

    def look(self) -> None:
        """Answers every request that waits."""
        for path in sorted(self._folder.glob("*.ask")):
            request = _read(path)
            path.unlink(missing_ok=True)
            if request is None:
                log.warning("a request for a sign-in link was not taken", file=path.name)
                continue
            try:
                answer = {"begins": self._keep(str(request["person"]), str(request["lookup"]))}
            except (TocsinError, KeyError) as error:
                answer = {"error": error.sentence if isinstance(error, TocsinError) else "it names no person"}
            _write(path.with_suffix(".answer"), answer)


def ask(folder: Path, person: str, *, patience: float = PATIENCE) -> str:
    """A sign-in link from the server that runs on ``folder``. Raises :class:`Refused` where it does not answer."""
    place = folder / FOLDER
    if not place.is_dir():
        raise Refused(
            f"the server that runs on {folder} takes no requests; stop it first, or restart it with this version"
        )
    secret = token(SystemRandomness())
    name = token(SystemRandomness(), 64)
    request, answer = place / f"{name}.ask", place / f"{name}.answer"
    _write(request, {"person": person, "lookup": secret_id(secret)}, owner=place)
    end = time.monotonic() + patience
    try:
        while not answer.exists():
            if time.monotonic() > end:
                raise Refused(f"the server that runs on {folder} did not answer; look at its log")
            time.sleep(0.05)
        said = json.loads(answer.read_text(encoding="utf-8"))
    finally:
        request.unlink(missing_ok=True)
        answer.unlink(missing_ok=True)
    if "error" in said:
        raise Unusable(str(said["error"]), "person")
    return f"{said['begins']}/sign-in/{secret}"


def _read(path: Path) -> dict[str, Any] | None:
    """A request that the server's own account or root wrote; None for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(descriptor)
        if (
            not stat.S_ISREG(about.st_mode)
            or about.st_uid not in (os.geteuid(), 0)
            or about.st_size > LARGEST
        ):
            return None
        try:
            said = json.loads(file.read(LARGEST))
        except ValueError:
            return None
    return said if isinstance(said, dict) else None


def _write(path: Path, said: dict[str, str], owner: Path | None = None) -> None:
    """Writes a file for its owner's eyes, whole at once. Root gives it to whom ``owner`` belongs."""
    unfinished = path.with_suffix(".part")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(said, file)
        if owner is not None and os.geteuid() == 0:
            about = owner.stat()
            os.fchown(descriptor, about.st_uid, about.st_gid)
    unfinished.replace(path)
