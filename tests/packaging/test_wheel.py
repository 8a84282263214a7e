"""The wheel as a stranger gets it: built from the tree, installed into an empty environment, started, asked, ended."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from child_processes import TocsinProcess

pytestmark = [pytest.mark.real, pytest.mark.timeout(400), pytest.mark.xdist_group("packaging")]

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tocsin"
VENDOR = "tocsin/web/static/vendor/"
VENDORED = ("htmx.min.js", "htmx-sse.js", "swagger-ui-bundle.js", "swagger-ui.css")


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Runs a program to its end and answers with what it wrote; one that fails fails the test with all it said."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TOCSIN_", "PYTHONPATH"))
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}"
    return done.stdout


def build(kind: str, folder: Path) -> Path:
    """Builds the ``kind`` (wheel, sdist) in an environment of its own, as a package index would be given it."""
    run(sys.executable, "-m", "build", f"--{kind}", "--outdir", folder)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the tree as it stands."""
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def inside(wheel: Path) -> Sequence[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``tocsin`` program of an environment that holds the wheel, what it requires, and nothing else."""
    home = tmp_path_factory.mktemp("empty") / "venv"
    run(sys.executable, "-m", "venv", home)
    run(
        home / "bin" / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--no-input",
        wheel,
    )
    return home / "bin" / "tocsin"


def test_the_wheel_holds_every_file_of_the_source_tree(inside: Sequence[str]) -> None:
    """Templates, styles, the default policy, migrations: whatever the program reads beside its modules."""
    files = (path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    missing = sorted({f"tocsin/{path.relative_to(SOURCE).as_posix()}" for path in files} - set(inside))
    assert not missing


@pytest.mark.parametrize("name", VENDORED)
def test_the_wheel_holds_the_browser_files_of_others(wheel: Path, name: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert len(archive.read(VENDOR + name)) > 1_000


def test_beside_the_browser_files_stands_whose_they_are_and_under_which_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        beside = {name.removeprefix(VENDOR) for name in archive.namelist() if name.startswith(VENDOR)}
        notice = archive.read(VENDOR + "NOTICE.txt").decode()
        apache = archive.read(VENDOR + "LICENSE.Apache-2.0.txt").decode()
    assert {name for name in VENDORED if name.rpartition(".")[0] not in notice} == set()
    assert set(re.findall(r"LICENSE\.[\w-]+[\w.-]*\.txt", notice)) == beside - {*VENDORED, "NOTICE.txt"}
    assert re.search(r"Swagger UI \d+\.\d+", notice)
    assert "Version 2.0, January 2004" in apache


@pytest.mark.parametrize(
    "pattern", [r"tocsin/policy/(.*/)?default\.yaml", r"tocsin/store/migrations/(.*/)?\w+\.py"]
)
def test_the_wheel_holds_the_default_policy_and_the_migrations(inside: Sequence[str], pattern: str) -> None:
    assert [name for name in inside if re.fullmatch(pattern, name)]


def test_nothing_but_the_package_is_in_the_wheel(inside: Sequence[str]) -> None:
    strays = [name for name in inside if not re.match(r"tocsin/|tocsin-[^/]+\.dist-info/", name)]
    assert not strays
    assert not [name for name in inside if "__pycache__" in name]


def test_the_source_archive_leaves_the_browser_files_to_the_build(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert "hatch_build.py" in names
    assert "src/tocsin/kernel/clock.py" in names
    assert not [name for name in names if f"src/{VENDOR}" in name]


def test_the_installed_program_says_its_version(installed: Path, wheel: Path, tmp_path: Path) -> None:
    version = wheel.name.split("-")[1]
    assert version in run(installed, "--version", cwd=tmp_path)


def test_the_installed_program_serves_its_pages_from_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    with TocsinProcess(tmp_path / "data", program=[str(installed)]) as server:
        for path in ("/healthz", "/readyz", "/metrics", "/api/openapi.json", "/api/docs"):
            assert server.get(path)[0] == 200, path
        status, page = server.get("/")  # a stranger is led to the sign-in page
        assert status == 200
        assert b"<form" in page
        for name in VENDORED:
            status, body = server.get(f"/static/vendor/{name}")
            assert (status, len(body) > 1_000) == (200, True), name
        link = server.sign_in_url
        assert link.startswith(server.url)
        assert server.get(link.removeprefix(server.url))[0] == 200
        assert server.stop() == 0
