"""Fixtures for all: stores, each test with its own.

``sqlite_store`` and ``postgres_store`` are migrated and empty; ``store`` runs a test on both. ``postgres_url`` is the
address of an empty, migrated database. A database is copied from one that was migrated once, or emptied
after the test before.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import postgres_server
from tocsin.store.postgres import PostgresStore
from tocsin.store.sqlite import SqliteStore


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database that tests copy."""
    folder = tmp_path_factory.mktemp("migrated")
    store = SqliteStore(folder)
    store.migrate()
    store.close()
    return folder / "tocsin.db"


@pytest.fixture
def sqlite_folder(tmp_path: Path, migrated_file: Path) -> Path:
    """A data folder with an empty, migrated store."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copyfile(migrated_file, folder / "tocsin.db")
    return folder


@pytest.fixture
def sqlite_store(sqlite_folder: Path) -> Iterator[SqliteStore]:
    store = SqliteStore(sqlite_folder)
    yield store
    store.close()


@pytest.fixture(scope="session")
def postgres_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres_server.Cluster]:
    """The private PostgreSQL server of this run, shared by its workers."""
    cluster = postgres_server.join(postgres_server.shared_folder(tmp_path_factory))
    yield cluster
    cluster.leave()


@pytest.fixture
def postgres_url(postgres_cluster: postgres_server.Cluster) -> Iterator[str]:
    """The address of an empty, migrated database of this test's own."""
    url = postgres_cluster.take()
    yield url
    postgres_cluster.give_back(url)


@pytest.fixture
def postgres_store(postgres_url: str) -> Iterator[PostgresStore]:
    store = PostgresStore(postgres_url)
    yield store
    store.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest) -> SqliteStore | PostgresStore:
    """Runs the test on both stores."""
    return request.getfixturevalue(f"{request.param}_store")  # type: ignore[no-any-return]
