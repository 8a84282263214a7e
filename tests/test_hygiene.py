"""What the repository must not carry: the paths of somebody's machine, hosts of registries, other people's browser files."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BINARY = {".png", ".ico", ".woff2", ".gz", ".zip", ".db", ".pdf"}

FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.:/*-])/(?:work|root|home|Users)/(?!\.\.\.)\w|~/\w+/src"),
    "a folder outside the repository": re.compile(r"(?<!\w)(?:\.\./)?shared/"),
    "a registry's host": re.compile(
        r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org|npmjs\.com|proxy\.golang\.org|crates\.io|"
        r"deb\.debian\.org|jsdelivr\.net|unpkg\.com|cdnjs\.cloudflare\.com)\b"
    ),
}  # fmt: skip
BROWSER_FILES = re.compile(
    r"static/vendor/|\.min\.(?:js|css)$|(?:^|/)(?:htmx|swagger-ui|redoc)[^/]*\.(?:js|css)$"
)


def tracked_files() -> list[str]:
    """Every file git tracks or would track next; the test is skipped outside a git checkout."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listing = subprocess.run(
        [
            "git",
            "-c",
            f"safe.directory={ROOT}",
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file())


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_names(what: str) -> None:
    found = []
    for name in tracked_files():
        path = ROOT / name
        if path.suffix in BINARY or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if FORBIDDEN[what].search(line):
                found.append(f"{name}:{number}: {line.strip()[:120]}")
    assert not found, f"{what}:\n" + "\n".join(found)


def test_no_browser_file_of_others_is_tracked() -> None:
    """They come out of pinned wheels when the package is built (``hatch_build.py``)."""
    assert not [name for name in tracked_files() if BROWSER_FILES.search(name)]


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a path of somebody's machine", "see /home/anna/tocsin"),
        ("a path of somebody's machine", 'open("/root/x")'),
        ("a folder outside the repository", "as in ../shared/payloads"),
        ("a registry's host", "https://pypi.org/simple"),
    ],
)
def test_the_patterns_find_what_they_are_for(what: str, line: str) -> None:
    assert FORBIDDEN[what].search(line)


@pytest.mark.parametrize("line", ["https://example.org/home/start", "a shared lock", "homework/root/cause"])
def test_the_patterns_leave_ordinary_words_alone(line: str) -> None:
    assert not [what for what, pattern in FORBIDDEN.items() if pattern.search(line)]
