"""A private PostgreSQL server for one run of the tests.

The first worker that needs it makes a cluster on a free loopback port; the others join it through a folder they share.
Whoever uses the server holds the writing end of a named pipe; when the last one has gone, even killed, the pipe ends,
and the shell that minds the server stops it and removes its files.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MIND = """
"$1/postgres" -D "$2/data" -c listen_addresses=127.0.0.1 -c port="$3" -c unix_socket_directories='' \
  -c fsync=off -c full_page_writes=off -c max_connections=200 -c shared_buffers=64MB \
  >"$2/log" 2>&1 </dev/null &
server=$!
cat "$2/users" >/dev/null
kill -INT "$server"
wait "$server"
rm -rf "$2"
"""
TEMPLATE = "tocsin_template"


class Cluster:
    """A running server; ``database(name)`` is an address in it."""

    def __init__(self, port: int, pipe: int) -> None:
        self.port = port
        self._pipe = pipe
        self._spare: list[str] = []

    def address(self, name: str) -> str:
        return f"postgresql://tocsin@127.0.0.1:{self.port}/{name}"

    def execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def create_database(self, template: str = TEMPLATE) -> str:
        """A database of its own: migrated and empty, or without any table from ``template0``."""
        name = f"t_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.address(name)

    def drop_database(self, url: str) -> None:
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def take(self) -> str:
        """An empty, migrated database: one that an earlier test gave back, or a new one."""
        return self._spare.pop() if self._spare else self.create_database()

    def give_back(self, url: str) -> None:
        """Empties a database for the next test (fifty times as quick as a new one); drops one that was changed."""
        import psycopg

        from tocsin.store.revisions import HEAD, TABLE
        from tocsin.store.schema import metadata

        name = url.rpartition("/")[2]
        self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        with psycopg.connect(url) as connection:
            tables = {
                row[0]
                for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            }
            untouched = tables == {*metadata.tables, TABLE} and connection.execute(
                f"SELECT version_num FROM {TABLE}"
            ).fetchall() == [(HEAD,)]
            if untouched:
                for table in metadata.tables:
                    connection.execute(f"DELETE FROM {table}")
                connection.execute(
                    "SELECT setval(quote_ident(sequencename)::regclass, 1, false) FROM pg_sequences"
                )
        if untouched:
            self._spare.append(url)
        else:
            self.drop_database(url)

    def leave(self) -> None:
        os.close(self._pipe)


def shared_folder(factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of this run see."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def binaries() -> Path | None:
    """The newest server's folder, or None where no PostgreSQL is installed."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    for name in ("postgres", "initdb"):
        on_path = shutil.which(name)
        if on_path:
            found.append(Path(on_path).resolve().parent)
    whole = [folder for folder in found if (folder / "initdb").exists() and (folder / "postgres").exists()]
    return max(whole, key=lambda folder: [int(part) for part in folder.parts if part.isdigit()], default=None)


def join(shared: Path) -> Cluster:
    """The run's server, started where there is none yet; skips the test, with the reason, where it cannot be."""
    with _locked(shared / "postgres.lock"):
        note = shared / "postgres.json"
        if note.exists():
            known = json.loads(note.read_text())
            try:
                pipe = os.open(known["pipe"], os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # the last user has gone, and the server with it
                note.unlink()
            else:
                return Cluster(known["port"], pipe)
        folder, port = _start()
        pipe = os.open(folder / "users", os.O_WRONLY)
        cluster = Cluster(port, pipe)
        _wait_until_ready(cluster, folder)
        _make_template(cluster)
        note.write_text(json.dumps({"port": port, "pipe": str(folder / "users")}))
        return cluster


def _start() -> tuple[Path, int]:
    folder_of_binaries = binaries()
    if folder_of_binaries is None:
        pytest.skip("no PostgreSQL server is installed (Debian: apt install postgresql)")
    as_user: list[str] = []
    if os.geteuid() == 0:
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL refuses to run as root, and there is no runuser to change the user")
        as_user = ["runuser", "-u", "postgres", "--"]
    folder = Path(tempfile.mkdtemp(prefix="tocsin-postgres-"))
    os.mkfifo(folder / "users", 0o600)
    if as_user:
        for path in (folder, folder / "users"):
            shutil.chown(path, "postgres", "postgres")
    subprocess.run(
        [*as_user, folder_of_binaries / "initdb", "-D", folder / "data", "-U", "tocsin", "-A", "trust",
         "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
        check=True,
        capture_output=True,
        cwd="/",
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.Popen(
        [*as_user, "sh", "-c", _MIND, "sh", folder_of_binaries, folder, str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd="/",
    ).returncode = 0  # it outlives this worker on purpose; nobody waits for it
    return folder, port


def _wait_until_ready(cluster: Cluster, folder: Path) -> None:
    import psycopg

    until = time.monotonic() + 30
    while True:
        try:
            cluster.execute("SELECT 1")
        except psycopg.OperationalError:
            if time.monotonic() > until:
                pytest.fail(f"PostgreSQL did not start:\n{(folder / 'log').read_text()}")
            time.sleep(0.05)
        else:
            return


def _make_template(cluster: Cluster) -> None:
    from tocsin.store.postgres import PostgresStore

    cluster.execute(f"CREATE DATABASE {TEMPLATE}")
    store = PostgresStore(cluster.address(TEMPLATE))
    store.migrate()
    store.close()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
